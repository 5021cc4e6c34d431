//! An endpoint is toggled under live TCP, over links that lose up to 30 % of all packets.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem::{
    Cause, DefaultAction, Edge, EventKind, Network, Outbound, RuleLimits, RuleSet, Scope, Settings,
};
use vnetem_lab::world::Served;
use vnetem_lab::{App, LinkSettings, Status, World, http::Request};

const ACCOUNT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(52, 239, 1, 9), 80);
const FILM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 80), 80);

/// S-17, S-18, S-20, R1, R5: a hundred toggles at 0 to 30 % loss. Each time both ends of the connection to the service end up closed (an
/// end whose reset was lost learns it at its next segment or keep-alive), the download from elsewhere goes on, and a new connection works.
#[test]
fn both_ends_are_closed_by_every_toggle_whatever_is_lost() {
    let (mut resets, mut ends, mut film_bytes) = (0, 0, 0);
    for loss in [0, 100, 200, 300] {
        let mut network = Network::new();
        let storage = network.add_service("storage", &["52.239.0.0/16".parse().unwrap()]).unwrap();
        let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
        let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
        network.set_outbound(web, Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, 1)])).unwrap();
        let nic = network.add_nic(web, "vm", Ipv4Addr::new(10, 0, 0, 4)).unwrap();
        let open = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
        let resource = network.add_resource(storage, "acct", *ACCOUNT.ip(), open).unwrap();

        let mut world = World::new(network.commit(), Settings::default(), u64::from(loss));
        world.set_link(LinkSettings { loss, ..LinkSettings::clean(Duration::from_millis(5)) });
        let vm = world.add_host("vm", Edge::Nic(nic), Ipv4Addr::new(10, 0, 0, 4));
        let www = world.add_host("www", Edge::Internet, *FILM.ip());
        world.host(www).unwrap().listen(80, App::Http);
        world.serve(
            "acct",
            Served { resource, service: storage, address: *ACCOUNT.ip(), app: App::Http },
        );

        let film = || Request::get("www", "/film?bytes=9000000&rate=2000").write();
        let mut elsewhere = world.call(vm, FILM, film()).unwrap();
        let status = |world: &World<'_>, id| world.connection(vm, id).unwrap().status;
        for toggle in 0..25 {
            let blob = Request::get("acct", "/blob?bytes=9000000&rate=20000").write();
            let call = world.call(vm, ACCOUNT, blob).unwrap();
            let patience = world.now() + Duration::from_secs(50);
            world.run_while(patience, |world| world.connection(vm, call).unwrap().received < 5_000);
            assert_eq!(status(&world, call), Status::Open, "{loss} toggle {toggle}");
            let local = world.connection(vm, call).unwrap().local;
            let far = *world.journey(vm, call).unwrap().hops.last().unwrap();

            if toggle % 2 == 0 {
                network.enable_endpoint(web, storage, Scope::Worldwide).unwrap();
            } else {
                network.disable_endpoint(web, storage).unwrap();
            }
            let changed = world.apply(network.commit());
            let closed = changed.closed.iter().find(|event| event.tuple.source == local).unwrap();
            assert_eq!(closed.kind, EventKind::Closed(Cause::SourceSwitched));
            assert!(changed.closed.iter().all(|event| event.tuple.destination == ACCOUNT));
            let seen = closed.external;

            let server = |world: &World<'_>| world.server_side(ACCOUNT, seen, far).unwrap().status;
            let patience = world.now() + Duration::from_secs(200);
            world.run_while(patience, |world| {
                !(status(world, call).is_over() && server(world).is_over())
            });
            for end in [status(&world, call), server(&world)] {
                assert!(
                    matches!(end, Status::Reset | Status::TimedOut),
                    "{loss} toggle {toggle}: {end:?}"
                );
                ends += 1;
                resets += u32::from(end == Status::Reset);
            }
            // Loss alone may make the film give up, but nobody resets it; then it is called again.
            let film_ends = status(&world, elsewhere);
            assert!(matches!(film_ends, Status::Connecting | Status::Open | Status::TimedOut));
            film_bytes += world.connection(vm, elsewhere).unwrap().received;
            if film_ends == Status::TimedOut {
                elsewhere = world.call(vm, FILM, film()).unwrap();
            }
        }
    }
    assert_eq!(ends, 200);
    assert!(film_bytes > 0);
    assert!(resets >= 190, "only {resets} of {ends} ends saw a reset; the others gave up");
}
