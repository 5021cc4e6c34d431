//! How long a connection may be silent, by the method behind which it opened (N-15, N-23).

use std::net::SocketAddrV4;
use std::time::Duration;

use vnetem::{
    DataPlane, Disposition, Edge, EditError, LoadBalancerId, Network, NicId, Settings, SubnetId,
    Time,
    control::{Outbound, OutboundRule},
    nat::{IdleMinutes, PoolRules, State, TimerProfile, Timers},
};

use crate::packets::{datagram, end, ip, net, segment};

const REMOTE: &str = "203.0.113.80:443";

/// A subnet behind a NAT gateway, one behind another and one behind a pool by RFC; an interface
/// with an address of its own, and a member of a load balancer.
struct World {
    network: Network,
    plane: DataPlane,
    now: Time,
    subnets: [SubnetId; 3],
    balancer: LoadBalancerId,
    nics: [NicId; 2],
}

fn minutes(minutes: u8) -> Option<IdleMinutes> {
    Some(IdleMinutes::new(minutes).unwrap())
}

impl World {
    fn new() -> Self {
        let mut network = Network::new();
        let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
        let subnets = [0, 1, 2].map(|third| {
            let prefix = net(&format!("10.0.{third}.0/24"));
            network.add_subnet(alpha, &format!("subnet{third}"), prefix).unwrap()
        });
        let plain = network.add_subnet(alpha, "plain", net("10.0.9.0/24")).unwrap();
        let gateway = |last| Outbound::NatGateway(vec![ip(&format!("20.1.1.{last}"))]);
        network.set_outbound(subnets[0], gateway(1)).unwrap();
        network.set_outbound(subnets[1], gateway(2)).unwrap();
        network.set_gateway_idle(subnets[1], minutes(10)).unwrap();
        let (addresses, rules) = (vec![ip("20.1.1.3")], PoolRules::RFC);
        let pool = Outbound::Pool { addresses, first_port: 1024, last_port: 65_535, rules };
        network.set_outbound(subnets[2], pool).unwrap();
        let nics = [4, 5].map(|last| {
            let address = ip(&format!("10.0.9.{last}"));
            network.add_nic(plain, &format!("nic{last}"), address).unwrap()
        });
        network.set_public_address(nics[0], Some(ip("20.1.1.4"))).unwrap();
        network.set_address_idle(nics[0], minutes(20)).unwrap();
        let balancer = network.add_load_balancer(alpha, "lb", &[ip("20.1.1.5")]).unwrap();
        network.add_member(balancer, nics[1]).unwrap();
        let rule = OutboundRule { idle: minutes(30), ..OutboundRule::default() };
        network.set_outbound_rule(balancer, rule).unwrap();
        let plane = DataPlane::new(network.commit(), Settings::replayable(0));
        Self { network, plane, now: Time(0), subnets, balancer, nics }
    }

    fn forward(&mut self, edge: Edge, mut packet: Vec<u8>) -> Vec<u8> {
        let verdict = self.plane.process(self.now, edge, &mut packet);
        assert!(
            matches!(verdict.disposition, Disposition::Forward(_)),
            "{:?}",
            verdict.disposition
        );
        packet
    }

    /// Opens a connection and says how long it then lives in silence.
    fn connection(&mut self, edge: Edge, internal: &str) -> SocketAddrV4 {
        let (internal, remote) = (end(internal), end(REMOTE));
        let syn = self.forward(edge, segment(internal, remote, "S", (1000, 0), &[]));
        let public = vnetem::Headers::parse(&syn).unwrap().tuple().source;
        self.forward(Edge::Internet, segment(remote, public, "SA", (5000, 1001), &[]));
        self.forward(edge, segment(internal, remote, "A", (1001, 5001), &[]));
        internal
    }

    /// How many whole minutes the flow of an inside end, which has just had a packet, lives on.
    fn lives(&mut self, internal: SocketAddrV4) -> u64 {
        let start = self.now;
        for minute in 1..=150 {
            self.now = start + Duration::from_secs(60 * minute);
            self.plane.handle_timeout(self.now);
            if !self.plane.flows().any(|flow| flow.internal == internal) {
                return minute;
            }
        }
        0
    }

    fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
        while self.plane.poll_transmit(self.now).is_some() {}
    }
}

/// N-15, N-23: 4 minutes where nothing is said, else what the gateway, the address, the outbound
/// rule or the pool says. (T-15)
#[test]
fn n_15_method_has_its_idle_timeout() {
    let mut world = World::new();
    let (subnets, nics) = (world.subnets.map(Edge::Subnet), world.nics.map(Edge::Nic));
    for (edge, internal, expected) in [
        (subnets[0], "10.0.0.4:50001", 4),
        (subnets[1], "10.0.1.4:50001", 10),
        (subnets[2], "10.0.2.4:50001", 124),
        (nics[0], "10.0.9.4:50001", 20),
        (nics[1], "10.0.9.5:50001", 30),
    ] {
        let internal = world.connection(edge, internal);
        assert_eq!(world.lives(internal), expected, "{internal}");
    }
}

/// N-15: UDP has 4 minutes, whatever the gateway says of TCP.
#[test]
fn n_15_datagrams_keep_their_four_minutes() {
    let mut world = World::new();
    let (internal, edge) = (end("10.0.1.4:50001"), Edge::Subnet(world.subnets[1]));
    world.forward(edge, datagram(internal, end(REMOTE), b"x"));
    assert_eq!(world.lives(internal), 4);
}

/// N-11, N-15: so does what the internet opens towards an interface's own address.
#[test]
fn n_15_inbound_flow_uses_address_timeout() {
    let mut world = World::new();
    let (remote, public) = (end(REMOTE), end("20.1.1.4:22"));
    world.forward(Edge::Internet, segment(remote, public, "S", (1000, 0), &[]));
    let internal = end("10.0.9.4:22");
    let edge = Edge::Nic(world.nics[0]);
    world.forward(edge, segment(internal, remote, "SA", (5000, 1001), &[]));
    world.forward(Edge::Internet, segment(remote, public, "A", (1001, 5001), &[]));
    assert_eq!(world.lives(internal), 20);
}

/// N-07, N-15: a connection keeps the timeout with which it opened, also when it is revalidated;
/// the next one has the new.
#[test]
fn n_15_changed_timeout_binds_new_connections() {
    let mut world = World::new();
    let edge = Edge::Subnet(world.subnets[1]);
    let internal = world.connection(edge, "10.0.1.4:50001");
    world.network.set_gateway_idle(world.subnets[1], minutes(5)).unwrap();
    let hop = vnetem::control::NextHop::None;
    world.network.set_route(world.subnets[1], net("198.51.100.0/24"), hop).unwrap();
    world.apply();
    world.forward(edge, segment(internal, end(REMOTE), "A", (1001, 5001), &[]));
    assert_eq!(world.lives(internal), 10);
    let internal = world.connection(edge, "10.0.1.4:50002");
    assert_eq!(world.lives(internal), 5);
    world.network.set_gateway_idle(world.subnets[1], None).unwrap();
    world.apply();
    let internal = world.connection(edge, "10.0.1.4:50003");
    assert_eq!(world.lives(internal), 4);
}

/// What is said of a method goes with it.
#[test]
fn another_method_takes_the_timeout_away() {
    let mut world = World::new();
    let (subnet, nic) = (world.subnets[1], world.nics[0]);
    let more = Outbound::NatGateway(vec![ip("20.1.1.2"), ip("20.1.1.6")]);
    world.network.set_outbound(subnet, more.clone()).unwrap();
    assert_eq!(world.network.subnet(subnet).unwrap().idle, minutes(10), "the same gateway");
    world.network.set_outbound(subnet, Outbound::Private).unwrap();
    world.network.set_outbound(subnet, more).unwrap();
    assert_eq!(world.network.subnet(subnet).unwrap().idle, None);
    world.network.set_public_address(nic, Some(ip("20.1.1.7"))).unwrap();
    assert_eq!(world.network.nic(nic).unwrap().idle, minutes(20));
    world.network.set_public_address(nic, None).unwrap();
    assert_eq!(world.network.nic(nic).unwrap().idle, None);
    let refused = |result: Result<(), EditError>| result.unwrap_err().to_string();
    let result = world.network.set_gateway_idle(world.subnets[2], minutes(9));
    assert_eq!(refused(result), "there is no NAT gateway of subnet subnet2");
    let result = world.network.set_address_idle(nic, minutes(9));
    assert_eq!(refused(result), "there is no public address of nic nic4");
    assert_eq!(world.network.load_balancer(world.balancer).unwrap().rule.idle, minutes(30));
}

/// T-13, T-15: the profiles are data, and a pool names one.
#[test]
fn t_15_a_pool_names_a_profile() {
    let profiles = [
        (TimerProfile::Table, Timers::AZURE),
        (TimerProfile::Linux, Timers::LINUX),
        (TimerProfile::Rfc, Timers::RFC),
        (TimerProfile::Azure(IdleMinutes::MAX), Timers::azure(IdleMinutes::MAX)),
    ];
    for (timers, expected) in profiles {
        let mut world = World::new();
        let (rules, addresses) = (PoolRules { timers, ..PoolRules::AZURE }, vec![ip("20.1.1.3")]);
        let pool = Outbound::Pool { addresses, first_port: 1024, last_port: 65_535, rules };
        world.network.set_outbound(world.subnets[2], pool).unwrap();
        world.apply();
        let (internal, edge) = (end("10.0.2.4:50001"), Edge::Subnet(world.subnets[2]));
        world.forward(edge, segment(internal, end(REMOTE), "S", (1000, 0), &[]));
        assert!(world.plane.flows().all(|flow| flow.state == State::SynSent));
        let deadline = world.now + expected.syn_sent;
        world.plane.handle_timeout(Time(deadline.0 - 1));
        assert_eq!(world.plane.flows().count(), 1, "{timers:?}");
        world.plane.handle_timeout(deadline);
        assert_eq!(world.plane.flows().count(), 0, "{timers:?}");
    }
}
