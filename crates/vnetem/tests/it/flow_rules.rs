//! What a flow is in the pipeline: one decision for both directions, judged anew by what it would
//! be told today, ended by its packets.

use std::time::Duration;

use vnetem::packet::{IcmpError, IcmpErrorKind};
use vnetem::{
    DataPlane, Disposition, DropReason, Edge, EventKind, Headers, Network, ServiceId, Settings,
    SubnetId, Time, VnetId,
    authz::{
        Action, PortRange, RuleDirection, RuleProtocol, SecurityGroup, SecurityRule, Selector,
    },
    control::{NextHop, Outbound},
    nat::Cause,
};

use crate::base;
use crate::packets::{datagram, end, fragments, ip, net, process, segment, summed};

const VM: &str = "10.0.0.4:50001";
const FAR: &str = "8.8.8.8:443";

struct World {
    network: Network,
    plane: DataPlane,
    alpha: VnetId,
    web: SubnetId,
    now: Time,
}

fn world() -> World {
    let base::World { mut network, alpha, web, .. } = base::world();
    network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    World { network, plane, alpha, web, now: Time(0) }
}

impl World {
    fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
    }

    fn send(&mut self, edge: Edge, packet: &[u8]) -> (Disposition, String) {
        let mut packet = packet.to_vec();
        let disposition = self.plane.process(self.now, edge, &mut packet).disposition;
        (disposition, Headers::parse(&packet).unwrap().to_string())
    }

    fn out(&mut self, source: &str, destination: &str, flags: &str) -> (Disposition, String) {
        self.send(Edge::Subnet(self.web), &tcp(source, destination, flags))
    }

    fn back(&mut self, source: &str, destination: &str, flags: &str) -> (Disposition, String) {
        self.send(Edge::Internet, &tcp(source, destination, flags))
    }

    /// A connection that is open; the public tuple's end.
    fn open(&mut self, source: &str, destination: &str) -> String {
        let (_, leaves) = self.out(source, destination, "S");
        let external = leaves.split(' ').next().unwrap().to_owned();
        self.back(destination, &external, "SA");
        self.out(source, destination, "A");
        external
    }

    fn live(&self) -> u32 {
        self.plane.flow_counters().live
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.plane.handle_timeout(self.now);
    }
}

fn forwarded(disposition: Disposition) -> bool {
    matches!(disposition, Disposition::Forward(_))
}

/// P-22: a segment without a place in its connection is dropped, and its stale flow is renewed all
/// the same.
#[test]
fn an_invalid_segment_renews_its_flow() {
    let mut world = world();
    world.open(VM, FAR);
    world.network.set_route(world.web, net("9.9.9.9/32"), NextHop::None).unwrap();
    world.apply();
    let judged_by = |world: &World| world.plane.flows().next().unwrap().generation;
    let before = judged_by(&world);
    let (disposition, _) = world.out(VM, FAR, "SF");
    assert_eq!(judged_by(&world), world.plane.generation());
    assert_ne!(before, world.plane.generation(), "the flow was stale");
    assert_eq!(disposition, Disposition::Drop(DropReason::TcpInvalid));
}

/// P-20: later packets take what was composed for the first one, without a rule, a route or a port
/// being looked for.
#[test]
fn later_packets_reuse_first_decision() {
    let mut w = world();
    let steps = |w: &World| {
        let packet = tcp(VM, FAR, "S");
        let trace = w.plane.trace(w.now, Edge::Subnet(w.web), &packet).to_string();
        let words =
            trace.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(steps(&w), ["flow", "route", "source", "verdict"]);
    let external = w.open(VM, FAR);
    assert_eq!(steps(&w), ["flow", "given", "given", "verdict"]);
    for _ in 0..3 {
        assert_eq!(w.out(VM, FAR, "A").1, format!("{external} > {FAR} tcp A"));
    }
    assert_eq!(w.plane.flow_counters().opened, 1);
}

/// P-26: both directions of a flow come together, the one the inverse of the other, and go
/// together.
#[test]
fn both_directions_open_and_close_together() {
    let mut w = world();
    let external = {
        let (disposition, leaves) = w.out(VM, FAR, "S");
        assert!(forwarded(disposition));
        leaves.split(' ').next().unwrap().to_owned()
    };
    // No packet of the other direction was needed to make it.
    let (disposition, arrives) = w.back(FAR, &external, "SA");
    assert!(forwarded(disposition));
    assert_eq!(arrives, format!("{FAR} > {VM} tcp SA"));
    w.network.set_route(w.web, net("8.8.8.8/32"), NextHop::None).unwrap();
    w.apply();
    assert_eq!(w.out(VM, FAR, "A").0, Disposition::Drop(DropReason::PathSwitched));
    assert!(!forwarded(w.back(FAR, &external, "A").0));
    assert_eq!(w.live(), 0);
}

/// P-27, P-11, P-13: a change of rules that would have deleted the pair does not: the answers to an
/// allowed flow still come in, although nothing would let them in by themselves.
#[test]
fn replies_survive_a_rule_change() {
    let mut w = world();
    let external = w.open(VM, FAR);
    let mut closed = SecurityGroup::default();
    for (name, direction) in [("in", RuleDirection::Inbound), ("out", RuleDirection::Outbound)] {
        let rule = SecurityRule {
            name: name.into(),
            priority: 100,
            direction,
            action: Action::Deny,
            protocol: RuleProtocol::Any,
            sources: vec![Selector::Any],
            source_ports: vec![PortRange::ANY],
            destinations: vec![Selector::Any],
            destination_ports: vec![PortRange::ANY],
        };
        closed.add_rule(rule).unwrap();
    }
    let group = w.network.add_security_group("closed", closed).unwrap();
    w.network.guard_subnet(w.web, Some(group)).unwrap();
    w.apply();
    assert!(w.plane.poll_transmit(w.now).is_none(), "nobody is reset");
    assert!(forwarded(w.back(FAR, &external, "A").0));
    assert!(forwarded(w.out(VM, FAR, "A").0));
    assert!(matches!(w.out("10.0.0.4:50002", FAR, "S").0, Disposition::Deny(_)));
}

/// P-22: whichever packet comes first after a change, what is judged is the flow as its initiator
/// would open it; an answer neither widens nor narrows that.
#[test]
fn revalidation_decides_for_the_initiator() {
    let mut w = world();
    let stays = w.open(VM, FAR);
    let leaves = w.open("10.0.0.4:50002", "9.9.9.9:443");
    // One route to the remote of one flow, and one to the public address of the initiator. No
    // answer is decided by the second.
    w.network.set_route(w.web, net("9.9.9.9/32"), NextHop::None).unwrap();
    w.network.set_route(w.web, net("20.1.1.1/32"), NextHop::None).unwrap();
    w.apply();
    assert!(forwarded(w.back(FAR, &stays, "A").0));
    assert_eq!(w.back("9.9.9.9:443", &leaves, "A").0, Disposition::Drop(DropReason::PathSwitched));
    assert_eq!(w.live(), 1);
}

/// P-23, P-24: a longer user route captures the live flows inside its prefix, which break since the
/// kind of their route changes, and leaves all others of the subnet alone.
#[test]
fn longer_route_captures_its_prefix_only() {
    let mut w = world();
    w.open(VM, FAR);
    w.open("10.0.0.4:50002", "8.8.4.4:443");
    w.open("10.0.0.5:50001", "9.9.9.9:443");
    while w.plane.poll_event().is_some() {}
    w.network.set_route(w.web, net("8.8.0.0/16"), NextHop::None).unwrap();
    w.apply();
    while w.plane.poll_transmit(w.now).is_some() {}
    let mut closed = Vec::new();
    while let Some(event) = w.plane.poll_event() {
        assert_eq!(event.kind, EventKind::Closed(Cause::PathSwitched));
        closed.push(event.tuple.destination.to_string());
    }
    closed.sort();
    assert_eq!(closed, ["8.8.4.4:443", FAR]);
    assert_eq!(w.live(), 1);
    assert!(forwarded(w.out("10.0.0.5:50001", "9.9.9.9:443", "A").0));
}

/// INV-fragment-state-bounded, INV-tombstone-answers: what is left of a datagram does not follow
/// its first fragment once the flow is closed, although its tombstone stands.
#[test]
fn later_fragment_ends_with_its_flow() {
    let mut w = world();
    let db = w.network.add_subnet(w.alpha, "db", net("10.0.1.0/24")).unwrap();
    w.apply();
    let server = "10.0.1.4:443";
    assert!(forwarded(w.out(VM, server, "S").0));
    assert!(forwarded(w.send(Edge::Subnet(db), &tcp(server, VM, "SA")).0));
    let whole = [tcp(VM, server, "A"), vec![7; 40]].concat();
    let datagrams = [1, 2].map(|identification| fragments(&whole, 40, identification));
    assert!(datagrams.iter().all(|[first, _]| forwarded(w.send(Edge::Subnet(w.web), first).0)));
    assert!(forwarded(w.send(Edge::Subnet(w.web), &datagrams[0][1]).0));

    w.network.set_route(w.web, net("10.0.1.4/32"), NextHop::None).unwrap();
    w.apply();
    while w.plane.poll_transmit(w.now).is_some() {}
    assert_eq!(w.plane.flow_counters().tombstones, 1);
    let late = w.send(Edge::Subnet(w.web), &datagrams[1][1]).0;
    assert_eq!(late, Disposition::Drop(DropReason::FragmentWithoutFirst));
}

/// P-30: a later fragment follows the first one of its own datagram, which is known by
/// identification, both ends and protocol together.
#[test]
fn later_fragment_follows_own_datagram_only() {
    let mut w = world();
    w.network.add_subnet(w.alpha, "db", net("10.0.1.0/24")).unwrap();
    w.apply();
    let vm = Edge::Subnet(w.web);
    let server = "10.0.1.4:443";
    let of = |source: &str, destination: &str, identification| {
        let whole = datagram(end(source), end(destination), &[7; 40]);
        fragments(&whole, 24, identification)
    };
    let [first, later] = of(VM, server, 1);
    assert!(forwarded(w.send(vm, &first).0));
    let segment = fragments(&[tcp(VM, server, "A"), vec![7; 40]].concat(), 24, 1);
    let others =
        [of(VM, server, 2), of("10.0.0.5:50001", server, 1), of(VM, "10.0.1.5:443", 1), segment];
    for [_, later] in others {
        assert_eq!(w.send(vm, &later).0, Disposition::Drop(DropReason::FragmentWithoutFirst));
    }
    assert!(forwarded(w.send(vm, &later).0));
}

/// INV-icmp-quote-translated, T-22: an ICMP error goes to the sender of the packet that it quotes,
/// whoever else it names as its own destination.
#[test]
fn icmp_error_reaches_quoted_sender_only() {
    let mut w = world();
    let external = w.open(VM, FAR);
    let mut error = unreachable(&tcp(&external, FAR, "A"));
    assert!(forwarded(w.send(Edge::Internet, &error).0));
    error[16..20].copy_from_slice(&ip("20.1.1.2").octets());
    let disposition = w.send(Edge::Internet, &summed(error)).0;
    assert_eq!(disposition, Disposition::Drop(DropReason::QuoteUnknown));
}

/// INV-tombstone-answers: an ICMP error about a closed flow goes nowhere, although its tombstone
/// stands.
#[test]
fn icmp_error_ends_with_its_flow() {
    let mut w = world();
    let external = w.open(VM, FAR);
    let error = unreachable(&tcp(&external, FAR, "A"));
    w.network.set_route(w.web, net("8.8.8.8/32"), NextHop::None).unwrap();
    w.apply();
    while w.plane.poll_transmit(w.now).is_some() {}
    assert_eq!(w.plane.flow_counters().tombstones, 1);
    assert_eq!(w.send(Edge::Internet, &error).0, Disposition::Drop(DropReason::QuoteUnknown));
}

/// INV-reply-needs-flow: numbers that no subnet and no service has are nobody's, however near they
/// are to those of others.
#[test]
fn unassigned_edge_carries_no_packets() {
    let mut w = world();
    let external = w.open(VM, FAR);
    let (answer, own) = (tcp(FAR, &external, "SA"), tcp(VM, FAR, "A"));
    let service = |number| Edge::Service { service: ServiceId(number), identity: None };
    let subnet = u8::try_from(w.web.0).unwrap();
    for (edge, packet) in [
        (Edge::Subnet(SubnetId(0)), &answer),
        (Edge::Subnet(SubnetId(u32::MAX)), &answer),
        (service(31), &answer),
        (service(31 + subnet), &own),
        (service(u8::MAX), &own),
    ] {
        let disposition = process(&mut w.plane, w.now, edge, &mut packet.clone());
        assert!(matches!(disposition, Disposition::Drop(_)), "{edge:?}: {disposition:?}");
    }
    assert!(forwarded(w.send(Edge::Internet, &answer).0));
}

/// P-29: one FIN ends nothing, the other side may go on; both end the flow after a while; a reset
/// ends it too, and not at once.
#[test]
fn flow_ends_by_fins_or_reset() {
    let minute = Duration::from_secs(60);
    let mut w = world();
    let external = w.open(VM, FAR);
    assert!(forwarded(w.out(VM, FAR, "FA").0));
    w.wait(minute * 2);
    assert!(forwarded(w.back(FAR, &external, "A").0), "half closed and alive");
    assert!(forwarded(w.back(FAR, &external, "FA").0));
    assert!(forwarded(w.out(VM, FAR, "A").0));
    assert_eq!(w.live(), 1, "due, not gone");
    w.wait(minute * 2);
    assert_eq!(w.live(), 0);

    let external = w.open("10.0.0.4:50002", FAR);
    assert!(forwarded(w.back(FAR, &external, "R").0));
    w.wait(Duration::from_millis(200));
    assert_eq!(w.live(), 1, "a round trip later it is still known");
    w.wait(minute);
    assert_eq!(w.live(), 0);
}

/// One step further with every segment, so that all of them are in order.
fn tcp(source: &str, destination: &str, flags: &str) -> Vec<u8> {
    let sequence = if flags == "S" || flags == "SA" { 1000 } else { 1001 };
    segment(end(source), end(destination), flags, (sequence, 1001), &[])
}

/// What a router says of a packet that it cannot deliver.
fn unreachable(about: &[u8]) -> Vec<u8> {
    let error = IcmpError { kind: IcmpErrorKind::HostUnreachable, source: ip("8.8.8.1") };
    let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
    let length = error.write(about, &Headers::parse(about).unwrap(), &mut buffer);
    buffer[..length].to_vec()
}
