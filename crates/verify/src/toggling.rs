//! Toggles an endpoint under live TCP, over links that lose packets. Both ends must close, and no
//! other connection may be affected.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem::{
    Edge, EditError, EventKind, Network, NicId, ResourceId, ServiceId, Settings, SubnetId,
    authz::{DefaultAction, RuleLimits, RuleSet},
    control::{Outbound, Scope},
    nat::Cause,
};

use vnetem_sim::http::Request;
use vnetem_sim::world::Served;
use vnetem_sim::{App, ConnectError, LinkSettings, Status, World};

/// The result of the toggles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toggling {
    /// Toggles made.
    pub toggles: u64,
    /// Ends of connections to the service that were closed: two for each toggle.
    pub ends: u64,
    /// Those of the closed ends that saw a reset. The others timed out, since loss can take every
    /// reset.
    pub resets: u64,
    /// Downloads that loss kept from beginning; each was replaced.
    pub given_up: u64,
    /// Bytes of the download from elsewhere, which goes on throughout.
    pub elsewhere: u64,
}

/// The most downloads that are tried for one toggle.
const PATIENCE: u32 = 20;
const ACCOUNT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(52, 239, 1, 9), 80);
const FILM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 80), 80);

/// Toggles an endpoint this many times under a running download from the service, while another one
/// from elsewhere runs on. `loss` is per mille of all packets (S-17, S-18, S-20,
/// INV-toggle-ends-exact-set, INV-both-ends-learn).
///
/// # Errors
///
/// Describes what did not happen as it must.
pub fn toggle_under_tcp(seed: u64, loss: u16, toggles: u64) -> Result<Toggling, String> {
    let Built { mut network, storage, web, nic, resource } =
        build().map_err(|error| format!("the network is a constant: {error}"))?;
    let mut world = World::new(network.commit(), Settings::replayable(0), seed);
    world.set_link(LinkSettings { loss, ..LinkSettings::clean(Duration::from_millis(5)) });
    let vm = world.add_host("vm", Edge::Nic(nic), Ipv4Addr::new(10, 0, 0, 4));
    let www = world.add_host("www", Edge::Internet, *FILM.ip());
    world.host(www).ok_or("no such host")?.listen(80, App::Http);
    world.serve(
        "acct",
        Served { resource, service: storage, address: *ACCOUNT.ip(), app: App::Http },
    );
    let refused = |error: ConnectError| format!("no connection: {error:?}");
    let film = || Request::get("www", "/film?bytes=9000000&rate=2000").write();
    let mut elsewhere = world.call(vm, FILM, film()).map_err(refused)?;
    let mut sums = Toggling::default();
    for toggle in 0..toggles {
        let said =
            |what: &str| format!("seed {seed}, loss {loss} per mille, toggle {toggle}: {what}");
        let status = |world: &World<'_>, id| {
            world.connection(vm, id).map_or(Status::Connecting, |connection| connection.status)
        };
        let received = |world: &World<'_>, id| {
            world.connection(vm, id).map_or(0, |connection| connection.received)
        };
        // Heavy loss can end a connection before it is toggled.
        let mut running = None;
        for _ in 0..PATIENCE {
            let blob = Request::get("acct", "/blob?bytes=9000000&rate=20000").write();
            let call = world.call(vm, ACCOUNT, blob).map_err(refused)?;
            let until = world.now() + Duration::from_secs(60);
            world.run_while(until, |world| {
                received(world, call) < 5_000 && !status(world, call).is_over()
            });
            if status(&world, call) == Status::Open && received(&world, call) >= 5_000 {
                running = Some(call);
                break;
            }
            sums.given_up += 1;
        }
        let call = running.ok_or_else(|| said("no download begins"))?;
        let local = world.connection(vm, call).map(|it| it.local).ok_or("no connection")?;
        let hop = world.journey(vm, call).and_then(|journey| journey.hops.last().copied());
        let far = hop.ok_or_else(|| said("it went nowhere"))?;

        let edit = match toggle % 2 {
            0 => network.enable_endpoint(web, storage, Scope::Worldwide),
            _ => network.disable_endpoint(web, storage),
        };
        edit.map_err(|error| said(&error.to_string()))?;
        let changed = world.apply(network.commit());
        let own = changed.closed.iter().find(|event| event.tuple.source == local);
        let own = own.ok_or_else(|| said("the connection was not closed (S-17)"))?;
        if own.kind != EventKind::Closed(Cause::SourceSwitched) {
            return Err(said("it was closed for another cause"));
        }
        if changed.closed.iter().any(|event| event.tuple.destination != ACCOUNT) {
            return Err(said("something else was closed (S-18)"));
        }
        let seen = own.external;
        let server = |world: &World<'_>| {
            world.server_side(ACCOUNT, seen, far).map_or(Status::Connecting, |it| it.status)
        };
        let patience = world.now() + Duration::from_secs(200);
        world.run_while(patience, |world| {
            !(status(world, call).is_over() && server(world).is_over())
        });
        for end in [status(&world, call), server(&world)] {
            if !matches!(end, Status::Reset | Status::TimedOut) {
                return Err(said(&format!("an end is left {end:?} (INV-both-ends-learn)")));
            }
            sums.ends += 1;
            sums.resets += u64::from(end == Status::Reset);
        }
        // Loss can time out either end of the film, and a reset may tell the other end. Then the
        // film is started again.
        let film_ends = status(&world, elsewhere);
        let server = world.host(www).and_then(|host| host.connections().last());
        let gave_up = server.is_some_and(|(_, it)| it.status == Status::TimedOut);
        if !(matches!(film_ends, Status::Connecting | Status::Open | Status::TimedOut)
            || film_ends == Status::Reset && gave_up)
        {
            return Err(said(&format!("the other download is {film_ends:?} (S-18)")));
        }
        sums.elsewhere += received(&world, elsewhere);
        if film_ends.is_over() {
            elsewhere = world.call(vm, FILM, film()).map_err(refused)?;
        }
        sums.toggles += 1;
    }
    Ok(sums)
}

/// A subnet behind a gateway, a machine in it, and a service with one resource.
struct Built {
    network: Network,
    storage: ServiceId,
    web: SubnetId,
    nic: NicId,
    resource: ResourceId,
}

fn build() -> Result<Built, EditError> {
    let net = |text: &str| text.parse().unwrap_or_default();
    let mut network = Network::new();
    let storage = network.add_service("storage", &[net("52.239.0.0/16")])?;
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")])?;
    let web = network.add_subnet(alpha, "web", net("10.0.0.0/24"))?;
    network.set_outbound(web, Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, 1)]))?;
    let nic = network.add_nic(web, "vm", Ipv4Addr::new(10, 0, 0, 4))?;
    let open = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
    let resource = network.add_resource(storage, "acct", *ACCOUNT.ip(), open)?;
    Ok(Built { network, storage, web, nic, resource })
}
