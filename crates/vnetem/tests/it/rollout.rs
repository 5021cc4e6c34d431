//! Changes that take their time: which hosts have an endpoint when, and from when on new rules are
//! asked.

use std::net::Ipv4Addr;
use std::time::Duration;

use etherparse::PacketBuilder;
use vnetem::{
    DataPlane, Disposition, Edge, EventKind, Identity, Network, ResourceId, ServiceId, Settings,
    SubnetId, Time,
    authz::{Access, Arrival, DefaultAction, IpRule, RuleLimits, RuleSet},
    control::{Endpoint, Outbound, ProvisioningState, Rollout, Scope},
    nat::Cause,
};

const QUARTER: Duration = Duration::from_secs(15 * 60);
const ACCOUNT: Ipv4Addr = Ipv4Addr::new(52, 239, 1, 9);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(20, 1, 1, 1);

struct World {
    network: Network,
    plane: DataPlane,
    now: Time,
    web: SubnetId,
    storage: ServiceId,
    account: ResourceId,
}

fn world() -> World {
    let mut network = Network::new();
    let storage = network.add_service("storage", &["52.239.0.0/16".parse().unwrap()]).unwrap();
    let rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    let account = network.add_resource(storage, "acct", ACCOUNT, rules).unwrap();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![GATEWAY])).unwrap();
    network.add_nic(web, "vm", Ipv4Addr::new(10, 0, 0, 4)).unwrap();
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    World { network, plane, now: Time(0), web, storage, account }
}

fn endpoint() -> Option<Endpoint> {
    let name = "storage".into();
    Some(Endpoint { name, scope: Scope::Worldwide, network_identifier: None })
}

impl World {
    fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
        while self.plane.poll_transmit(self.now).is_some() {}
    }

    /// Lets the rollout go on until a time.
    fn run(&mut self, rollout: &mut Rollout, until: Time) {
        while let Some(due) = rollout.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            assert!(rollout.handle_timeout(due, &mut self.network));
            self.apply();
        }
        self.now = until;
    }

    /// Whether a host's new connection goes over the endpoint. Route and source always switch
    /// together.
    fn has_endpoint(&mut self, host: u8, port: u16) -> bool {
        let source = Ipv4Addr::new(10, 0, 0, host);
        let mut packet = Vec::new();
        PacketBuilder::ipv4(source.octets(), ACCOUNT.octets(), 64)
            .tcp(port, 443, 0, 4096)
            .syn()
            .write(&mut packet, &[])
            .unwrap();
        let Disposition::Forward(forward) =
            self.plane.process(self.now, Edge::Subnet(self.web), &mut packet).disposition
        else {
            panic!("not forwarded");
        };
        let seen = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
        match forward.edge(self.plane.snapshot()) {
            Edge::Service { identity: Some(Identity { address, .. }), .. } => {
                assert_eq!((seen, address), (source, source));
                true
            }
            Edge::Service { identity: None, .. } => {
                assert_eq!(seen, GATEWAY);
                false
            }
            other => panic!("{other:?}"),
        }
    }

    fn hosts_with_endpoint(&mut self, port: u16) -> Vec<u8> {
        (4..=67).filter(|host| self.has_endpoint(*host, port)).collect()
    }
}

/// S-28, U-13: while an endpoint is being enabled some hosts have it and some do not; after the
/// time all have. Each host switches once, route and source together, and the order follows from
/// the seed.
#[test]
fn s_28_endpoint_reaches_hosts_in_turn() {
    let orders: Vec<_> = [7, 7, 8]
        .into_iter()
        .map(|seed| {
            let mut world = world();
            let mut rollout = Rollout::new(seed, QUARTER, Duration::ZERO).unwrap();
            let (web, storage) = (world.web, world.storage);
            rollout.set_endpoint(Time(0), &mut world.network, web, storage, endpoint()).unwrap();
            world.apply();
            assert_eq!(world.hosts_with_endpoint(1), []);
            let mut order = Vec::new();
            for (step, port) in (1..=3).zip(2..) {
                world.run(&mut rollout, Time(0) + QUARTER * step / 4);
                let state = world.network.provisioning_state(web);
                assert_eq!(state, Ok(ProvisioningState::Updating));
                let have = world.hosts_with_endpoint(port);
                assert!(!have.is_empty() && have.len() < 64, "{} at {step}/4", have.len());
                assert!(
                    order.last().is_none_or(|before: &Vec<u8>| before
                        .iter()
                        .all(|host| have.contains(host)))
                );
                order.push(have);
            }
            world.run(&mut rollout, Time(0) + QUARTER);
            assert_eq!(world.hosts_with_endpoint(9).len(), 64);
            assert_eq!(rollout.poll_timeout(), None);
            let state = world.network.provisioning_state(web);
            assert_eq!(state, Ok(ProvisioningState::Succeeded));
            order
        })
        .collect();
    assert_eq!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
}

/// U-13, C-05: a connection is closed when its own host switches, and not before.
#[test]
fn u_13_flow_closes_when_host_switches() {
    let mut world = world();
    let mut rollout = Rollout::new(7, QUARTER, Duration::ZERO).unwrap();
    assert_eq!(world.hosts_with_endpoint(1), []);
    let (web, storage) = (world.web, world.storage);
    rollout.set_endpoint(Time(0), &mut world.network, web, storage, endpoint()).unwrap();
    world.apply();
    let mut closed = 0;
    for step in 1..=16 {
        // A SYN that nobody answers is forgotten after half a minute.
        let at = Time(0) + QUARTER * step / 16;
        world.run(&mut rollout, Time(at.0 - 1));
        for host in 4..=67 {
            world.has_endpoint(host, 2000 + u16::try_from(step).unwrap());
        }
        world.run(&mut rollout, at);
        while let Some(event) = world.plane.poll_event() {
            if event.kind == EventKind::Closed(Cause::SourceSwitched) {
                let [.., host] = event.tuple.source.ip().octets();
                assert!(world.has_endpoint(host, 1000 + u16::try_from(step).unwrap()));
                closed += 1;
            }
        }
    }
    assert!(closed >= 64, "{closed}");
}

/// S-28: disabling takes its time too; a change on the way is done with before the next begins.
#[test]
fn later_change_waits_for_earlier_one() {
    let mut world = world();
    let mut rollout = Rollout::new(7, QUARTER, Duration::ZERO).unwrap();
    let (web, storage) = (world.web, world.storage);
    rollout.set_endpoint(Time(0), &mut world.network, web, storage, endpoint()).unwrap();
    world.run(&mut rollout, Time(0) + QUARTER / 2);
    assert!(world.hosts_with_endpoint(1).len() < 64);
    let now = world.now;
    rollout.set_endpoint(now, &mut world.network, web, storage, None).unwrap();
    world.apply();
    assert_eq!(world.hosts_with_endpoint(2).len(), 64);
    world.run(&mut rollout, now + QUARTER / 2);
    let left = world.hosts_with_endpoint(3).len();
    assert!(left > 0 && left < 64, "{left}");
    world.run(&mut rollout, now + QUARTER);
    assert_eq!(world.hosts_with_endpoint(4), []);
}

/// U-13: without a time every host has the change at once; so it has after an edit that does not go
/// by the rollout.
#[test]
fn without_delay_change_is_immediate() {
    let mut world = world();
    let (web, storage) = (world.web, world.storage);
    let mut rollout = Rollout::default();
    rollout.set_endpoint(Time(0), &mut world.network, web, storage, endpoint()).unwrap();
    world.apply();
    assert_eq!(world.hosts_with_endpoint(1).len(), 64);
    assert_eq!(rollout.poll_timeout(), None);

    let mut rollout = Rollout::new(7, QUARTER, QUARTER).unwrap();
    rollout.set_endpoint(Time(0), &mut world.network, web, storage, None).unwrap();
    world.network.disable_endpoint(web, storage).unwrap();
    world.apply();
    assert_eq!(world.hosts_with_endpoint(2), []);
}

/// S-29: until new rules have come into force the old ones decide; what would be refused is refused
/// at once.
#[test]
fn s_29_old_rules_decide_meanwhile() {
    let mut world = world();
    let rules = |address| {
        let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
        rules.add_ip_rule(IpRule::Address(address)).unwrap();
        rules
    };
    let allowed = |world: &mut World| {
        let snapshot = world.network.commit();
        let judged = snapshot.judge(world.account, Arrival::Public(GATEWAY)).unwrap();
        matches!(judged, Access::Allowed(_))
    };
    let most = Duration::from_secs(5 * 60);
    let mut rollout = Rollout::new(7, Duration::ZERO, most).unwrap();
    let (account, now) = (world.account, world.now);
    rollout.set_rules(now, &mut world.network, account, rules(GATEWAY)).unwrap();
    let due = rollout.poll_timeout().unwrap();
    assert!(due > now && due <= now + most);
    world.run(&mut rollout, Time(due.0 - 1));
    assert!(!allowed(&mut world));
    world.run(&mut rollout, due);
    assert!(allowed(&mut world));

    // Of two changes the later one stands, whatever they drew.
    for _ in 0..16 {
        let now = world.now;
        for address in [Ipv4Addr::new(9, 9, 9, 9), GATEWAY] {
            rollout.set_rules(now, &mut world.network, account, rules(address)).unwrap();
        }
        world.run(&mut rollout, now + most);
        assert!(allowed(&mut world));
    }

    let unknown = rollout.set_rules(world.now, &mut world.network, ResourceId(9), rules(GATEWAY));
    assert_eq!(unknown.unwrap_err().to_string(), "there is no resource resource#9");
    assert_eq!(rollout.poll_timeout(), None);
}
