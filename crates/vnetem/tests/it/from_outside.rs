//! What the outside opens: who hears of its end, how it is answered, and who answers an unsolicited
//! SYN.

use std::time::Duration;

use vnetem::packet::{TcpFlags, Transport};
use vnetem::{
    CloseMode, DataPlane, DenyReason, Disposition, DropReason, Edge, EdgeId, Headers, Mtu, Network,
    NicId, Settings, SubnetId, Time, Transmit,
    authz::{
        Action, PortRange, RuleDirection, RuleProtocol, SecurityGroup, SecurityRule, Selector,
    },
    control::{NextHop, Outbound},
    nat::PoolRules,
};

use crate::packets::{datagram, end, ip, net, process, segment};

const CALLER: &str = "198.51.100.20:40000";
const PUBLIC: &str = "20.31.0.24:22";
const PRIVATE: &str = "30.1.0.4:22";

/// A machine with a public address in a network of public-looking addresses, and an appliance
/// beside it.
struct World {
    network: Network,
    plane: DataPlane,
    web: SubnetId,
    vm: NicId,
    fw: NicId,
    now: Time,
}

impl World {
    fn new(settings: Settings) -> Self {
        let mut network = Network::new();
        let vnet = network.add_vnet("net", &[net("30.1.0.0/16")]).unwrap();
        let web = network.add_subnet(vnet, "web", net("30.1.0.0/24")).unwrap();
        let fws = network.add_subnet(vnet, "fws", net("30.1.9.0/24")).unwrap();
        let vm = network.add_nic(web, "vm", ip("30.1.0.4")).unwrap();
        let fw = network.add_nic(fws, "fw", ip("30.1.9.4")).unwrap();
        network.set_ip_forwarding(fw, true).unwrap();
        network.set_public_address(vm, Some(ip("20.31.0.24"))).unwrap();
        let plane = DataPlane::new(network.commit(), settings);
        Self { network, plane, web, vm, fw, now: Time(1) }
    }

    fn apply(&mut self) {
        let snapshot = self.network.commit();
        self.plane.apply(self.now, snapshot);
    }

    fn send(&mut self, edge: Edge, mut packet: Vec<u8>) -> Disposition {
        process(&mut self.plane, self.now, edge, &mut packet)
    }

    /// A caller's connection to the machine.
    fn call(&mut self) {
        let to = Some(Edge::Nic(self.vm).into());
        assert_eq!(self.ask("S", (7000, 0)), to);
        let back = Some(EdgeId::INTERNET);
        assert_eq!(self.answer("SA", (1000, 7001)), back);
        assert_eq!(self.ask("A", (7001, 1001)), to);
    }

    fn ask(&mut self, flags: &str, numbers: (u32, u32)) -> Option<EdgeId> {
        let packet = segment(end(CALLER), end(PUBLIC), flags, numbers, &[]);
        leaves(self.send(Edge::Internet, packet))
    }

    fn answer(&mut self, flags: &str, numbers: (u32, u32)) -> Option<EdgeId> {
        leaves(self.send(Edge::Nic(self.vm), reply(flags, numbers)))
    }

    fn made(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.plane.poll_transmit(self.now)).collect()
    }

    fn tunnel(&mut self) {
        let hop = NextHop::VirtualAppliance(ip("30.1.9.4"));
        self.network.set_route(self.web, net("0.0.0.0/0"), hop).unwrap();
        self.apply();
    }
}

fn leaves(disposition: Disposition) -> Option<EdgeId> {
    match disposition {
        Disposition::Forward(forward) => Some(forward.to()),
        _ => None,
    }
}

fn reply(flags: &str, numbers: (u32, u32)) -> Vec<u8> {
    segment(end(PRIVATE), end(CALLER), flags, numbers, &[])
}

/// U-01: the initiator that a mode speaks of may be outside.
#[test]
fn closing_notifies_an_external_initiator() {
    for (closing, notified) in [
        (CloseMode::Both, &[Edge::Nic(NicId(1)), Edge::Internet][..]),
        (CloseMode::Opener, &[Edge::Internet]),
        (CloseMode::Silent, &[]),
    ] {
        let mut world = World::new(Settings { closing, ..Settings::replayable(0) });
        world.call();
        world.network.set_public_address(world.vm, None).unwrap();
        world.apply();
        let made = world.made();
        let edges: Vec<Edge> = made.iter().map(|made| made.to).collect();
        let notified: Vec<Edge> = notified
            .iter()
            .map(|edge| if *edge == Edge::Internet { *edge } else { Edge::Nic(world.vm) })
            .collect();
        assert_eq!(edges, notified, "{closing:?}");
        for packet in &made {
            let headers = Headers::parse(&packet.packet).unwrap();
            let Transport::Tcp(segment) = headers.transport else { panic!() };
            assert!(segment.flags.contains(TcpFlags::RST));
        }
        // INV-tombstone-answers: so with who is answered later.
        for (edge, answered) in [
            (Edge::Internet, closing != CloseMode::Silent),
            (Edge::Nic(world.vm), closing == CloseMode::Both),
        ] {
            let packet = match edge {
                Edge::Internet => segment(end(CALLER), end(PUBLIC), "A", (7001, 1001), &[]),
                _ => reply("A", (1001, 7001)),
            };
            assert_eq!(world.send(edge, packet), Disposition::Drop(DropReason::FlowClosed));
            assert_eq!(world.made().len(), usize::from(answered), "{closing:?} {edge:?}");
        }
    }
}

/// T-16: of two pools with one address the most patient one answers a SYN, whichever came first.
#[test]
fn the_most_patient_pool_answers() {
    for patience in [[6, 60], [60, 6]] {
        let mut network = Network::new();
        let vnet = network.add_vnet("net", &[net("10.0.0.0/16")]).unwrap();
        for (seconds, (name, prefix)) in
            patience.into_iter().zip([("web", "10.0.0.0/24"), ("app", "10.0.1.0/24")])
        {
            let subnet = network.add_subnet(vnet, name, net(prefix)).unwrap();
            let unsolicited_syn = Some(Duration::from_secs(seconds));
            let pool = Outbound::Pool {
                addresses: vec![ip("20.1.1.1")],
                first_port: 1024,
                last_port: 2047,
                rules: PoolRules { unsolicited_syn, ..PoolRules::AZURE },
            };
            network.set_outbound(subnet, pool).unwrap();
        }
        let mut plane = DataPlane::new(network.commit(), Settings::replayable(0));
        let mut syn = segment(end("8.8.8.8:9"), end("20.1.1.1:1024"), "S", (1, 0), &[]);
        let disposition = process(&mut plane, Time(1), Edge::Internet, &mut syn);
        assert_eq!(disposition, Disposition::Drop(DropReason::Unsolicited));
        let due = Time(1) + Duration::from_secs(60);
        assert_eq!(plane.poll_timeout(), Some(due), "{patience:?}");
        plane.handle_timeout(Time(1) + Duration::from_secs(59));
        assert!(plane.poll_transmit(Time(1) + Duration::from_secs(59)).is_none());
        assert!(plane.poll_transmit(due).is_some(), "{patience:?}");
    }
}

/// an answer that takes another way is still one of its connection, as long as that is open.
#[test]
fn answers_elsewhere_belong_to_their_connection() {
    let mut settings = Settings::replayable(0);
    settings.flows.strict_windows = true;
    let mut world = World::new(settings);
    world.call();
    world.tunnel();
    assert!(world.made().is_empty(), "the route closes nothing");
    let fw = Some(Edge::Nic(world.fw).into());
    assert_eq!(world.answer("A", (1001, 7001)), fw);
    assert_eq!(world.ask("A", (7001, 1001)), Some(Edge::Nic(world.vm).into()));
    let stray = world.send(Edge::Nic(world.vm), reply("A", (900_001, 7001)));
    assert_eq!(stray, Disposition::Drop(DropReason::TcpInvalid));
    let elsewhere = segment(end(PRIVATE), end("198.51.100.20:40001"), "SA", (1, 1), &[]);
    let stray = world.send(Edge::Nic(world.vm), elsewhere);
    assert_eq!(stray, Disposition::Drop(DropReason::NoFlow));
    // Both ends finish, and the connection is over as any other.
    assert_eq!(world.answer("FA", (1001, 7001)), fw);
    assert_eq!(world.ask("FA", (7001, 1002)), Some(Edge::Nic(world.vm).into()));
    assert_eq!(world.answer("A", (1002, 7002)), fw);
    assert_eq!(world.ask("S", (90_000, 0)), Some(Edge::Nic(world.vm).into()), "begun anew");
    // With the address its flows end, and both ends hear of it by the edges where they are.
    assert_eq!(world.answer("SA", (5000, 90_001)), fw);
    world.network.set_public_address(world.vm, None).unwrap();
    world.apply();
    let edges: Vec<Edge> = world.made().iter().map(|made| made.to).collect();
    assert_eq!(edges, [Edge::Nic(world.vm), Edge::Internet]);
}

/// R-30, P-10, INV-last-hop-ends, T-27: whoever guards the next hop judges the answer, and it goes
/// by that link.
#[test]
fn answers_elsewhere_meet_the_next_hop() {
    let mtu = Mtu { public: 68, private: 1500 };
    let mut world = World::new(Settings { mtu, ..Settings::replayable(0) });
    assert_eq!(world.ask("S", (7000, 0)), Some(Edge::Nic(world.vm).into()));
    let ask = datagram(end(CALLER), end(PUBLIC), b"?");
    assert_eq!(leaves(world.send(Edge::Internet, ask)), Some(Edge::Nic(world.vm).into()));
    let long = datagram(end(PRIVATE), end(CALLER), &[7; 100]);
    let vm = Edge::Nic(world.vm);
    assert_eq!(world.send(vm, long.clone()), Disposition::Drop(DropReason::TooLong));
    world.tunnel();
    assert_eq!(leaves(world.send(vm, long)), Some(Edge::Nic(world.fw).into()));
    world.made();
    let mut old = reply("SA", (1000, 7001));
    old[8] = 1;
    assert_eq!(
        world.send(vm, crate::packets::summed(old)),
        Disposition::Drop(DropReason::TtlExpired)
    );
    assert_eq!(world.made().len(), 1, "the machine is notified");
    // The rules that every group ends with let in nothing that goes on to the internet.
    let usual = SecurityGroup::default();
    let group = world.network.add_security_group("usual", usual).unwrap();
    world.network.guard_nic(world.fw, Some(group)).unwrap();
    world.apply();
    let denied = Disposition::Deny(DenyReason::SecurityGroup(RuleDirection::Inbound));
    assert_eq!(world.send(vm, reply("SA", (1000, 7001))), denied);
    // Their own groups let answers out without a rule (P-11).
    world.network.guard_nic(world.fw, None).unwrap();
    let mut shut = SecurityGroup::default();
    let rule = SecurityRule {
        name: "nothing".into(),
        priority: 100,
        direction: RuleDirection::Outbound,
        action: Action::Deny,
        protocol: RuleProtocol::Any,
        sources: vec![Selector::Any],
        source_ports: vec![PortRange::ANY],
        destinations: vec![Selector::Any],
        destination_ports: vec![PortRange::ANY],
    };
    shut.add_rule(rule).unwrap();
    let group = world.network.add_security_group("shut", shut).unwrap();
    world.network.guard_nic(world.vm, Some(group)).unwrap();
    world.apply();
    assert_eq!(world.answer("SA", (1000, 7001)), Some(Edge::Nic(world.fw).into()));
}

/// an appliance's address is private where the configuration says so, also in a peer's range.
#[test]
fn next_hop_may_be_in_peer() {
    let mut network = Network::new();
    let spoke = network.add_vnet("spoke", &[net("30.1.0.0/16")]).unwrap();
    let hub = network.add_vnet("hub", &[net("198.18.0.0/16")]).unwrap();
    let web = network.add_subnet(spoke, "web", net("30.1.0.0/24")).unwrap();
    let mid = network.add_subnet(hub, "mid", net("198.18.0.0/24")).unwrap();
    let fw = network.add_nic(mid, "fw", ip("198.18.0.4")).unwrap();
    let hop = NextHop::VirtualAppliance(ip("198.18.0.4"));
    assert!(network.set_route(web, net("0.0.0.0/0"), hop).is_err(), "nobody's neighbour");
    network.peer(spoke, hub).unwrap();
    network.set_route(web, net("0.0.0.0/0"), hop).unwrap();
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let mut ask = datagram(end("30.1.0.5:7"), end("8.8.8.8:53"), b"?");
    let disposition = process(&mut plane, Time(1), Edge::Subnet(web), &mut ask);
    assert_eq!(leaves(disposition), Some(Edge::Nic(fw).into()));
}
