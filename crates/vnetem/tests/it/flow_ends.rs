//! How flows end and who hears of it: events, unsolicited SYNs, errors about what was never sent.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use vnetem::packet::{IcmpError, IcmpErrorKind};
use vnetem::{
    DataPlane, Disposition, DropReason, Edge, Event, EventKind, Headers, Network, Settings,
    SubnetId, Time,
    control::Outbound,
    nat::{Cause, PoolRules, State},
};

use crate::packets::{datagram, end, ip, net, process, segment};

const REMOTE: &str = "203.0.113.80:443";

/// A subnet behind a pool, and another behind one that answers unsolicited SYNs later.
struct World {
    network: Network,
    plane: DataPlane,
    now: Time,
    web: SubnetId,
}

fn pool(last: u8, patience: Duration) -> Outbound {
    let rules = PoolRules { unsolicited_syn: Some(patience), ..PoolRules::AZURE };
    let addresses = vec![ip(&format!("20.1.1.{last}"))];
    Outbound::Pool { addresses, first_port: 1024, last_port: 65_535, rules }
}

impl World {
    fn new() -> Self {
        let mut network = Network::new();
        let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
        let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
        let slow = network.add_subnet(alpha, "slow", net("10.0.1.0/24")).unwrap();
        network.set_outbound(web, pool(1, Duration::from_secs(6))).unwrap();
        network.set_outbound(slow, pool(2, Duration::from_secs(3600))).unwrap();
        let plane = DataPlane::new(network.commit(), Settings::replayable(0));
        Self { network, plane, now: Time(0), web }
    }

    fn send(&mut self, edge: Edge, packet: &mut [u8]) -> Disposition {
        process(&mut self.plane, self.now, edge, packet)
    }

    /// Sends a packet from the subnet, and says under which public source it left.
    fn out(&mut self, mut packet: Vec<u8>) -> SocketAddrV4 {
        let disposition = self.send(Edge::Subnet(self.web), &mut packet);
        assert!(matches!(disposition, Disposition::Forward(_)), "{disposition:?}");
        Headers::parse(&packet).unwrap().tuple().source
    }

    fn back(&mut self, mut packet: Vec<u8>) {
        let disposition = self.send(Edge::Internet, &mut packet);
        assert!(matches!(disposition, Disposition::Forward(_)), "{disposition:?}");
    }

    /// A connection on which both ends have sent their first byte's number.
    fn connect(&mut self, internal: &str) -> SocketAddrV4 {
        let (internal, remote) = (end(internal), end(REMOTE));
        let public = self.out(segment(internal, remote, "S", (1000, 0), &[]));
        self.back(segment(remote, public, "SA", (5000, 1001), &[]));
        self.out(segment(internal, remote, "A", (1001, 5001), &[]));
        public
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.plane.poll_event()).collect()
    }
}

/// T-16, RFC 5382 REQ-4: SYNs to pools of unlike patience are answered when each is due.
#[test]
fn unsolicited_syns_wait_by_due_time() {
    let mut world = World::new();
    for public in ["20.1.1.2:7", "20.1.1.1:7"] {
        let mut syn = segment(end(REMOTE), end(public), "S", (1, 0), &[]);
        let disposition = world.send(Edge::Internet, &mut syn);
        assert_eq!(disposition, Disposition::Drop(DropReason::Unsolicited));
    }
    let seconds = |seconds| Time(0) + Duration::from_secs(seconds);
    for (due, answered) in [(6, "20.1.1.1:7"), (3600, "20.1.1.2:7")] {
        assert_eq!(world.plane.poll_timeout(), Some(seconds(due)));
        world.now = seconds(due);
        world.plane.handle_timeout(world.now);
        let made = world.plane.poll_transmit(world.now).unwrap().packet;
        let quoted = Headers::parse(&made[28..]).unwrap().tuple().destination;
        assert_eq!(quoted, end(answered));
        assert!(world.plane.poll_transmit(world.now).is_none());
    }
    assert_eq!(world.plane.poll_timeout(), None);
}

/// INV-events-in-order: whatever ends a flow, its last event says so once, with the state that it
/// had.
#[test]
fn every_flow_ends_once_in_events() {
    let mut world = World::new();
    let remote = end(REMOTE);
    // Of many SYNs that nobody answers, the change comes before the sweep.
    for port in 1..=20 {
        let internal = SocketAddrV4::new(ip("10.0.0.9"), port);
        world.out(segment(internal, remote, "S", (1000, 0), &[]));
    }
    world.now = Time(0) + Duration::from_secs(29);
    world.connect("10.0.0.4:1");
    let public = world.connect("10.0.0.4:2");
    world.out(segment(end("10.0.0.4:2"), remote, "FA", (1001, 5001), &[]));
    world.back(segment(remote, public, "FA", (5001, 1002), &[]));
    world.out(segment(end("10.0.0.4:2"), remote, "A", (1002, 5002), &[]));
    world.out(datagram(end("10.0.0.4:3"), remote, b"x"));
    let public = world.connect("10.0.0.4:4");
    world.back(segment(remote, public, "R", (5001, 0), &[]));
    world.now += Duration::from_secs(1);
    world.network.set_outbound(world.web, Outbound::Private).unwrap();
    world.plane.apply(world.now, world.network.commit());
    while world.plane.poll_transmit(world.now).is_some() {}
    world.now += Duration::from_secs(600);
    while world.plane.poll_timeout().is_some_and(|due| due <= world.now) {
        world.plane.handle_timeout(world.now);
    }
    let mut of: BTreeMap<SocketAddrV4, Vec<(EventKind, State)>> = BTreeMap::new();
    for event in world.events() {
        of.entry(event.tuple.source).or_default().push((event.kind, event.state));
    }
    let withdrawn = Cause::Withdrawn;
    let closed = |state| (EventKind::Closed(withdrawn), state);
    let ended = |state| (EventKind::Ended(withdrawn), state);
    let opened = |state| (EventKind::Opened, state);
    let expected = [
        ("10.0.0.4:1", [closed(State::Established), ended(State::Tombstone(withdrawn))]),
        ("10.0.0.4:2", [closed(State::TimeWait), ended(State::TimeWait)]),
        ("10.0.0.4:3", [closed(State::OneWay), ended(State::OneWay)]),
        ("10.0.0.4:4", [closed(State::Close), ended(State::Close)]),
    ];
    for (internal, [second, third]) in expected {
        let first = opened(if internal.ends_with('3') { State::OneWay } else { State::SynSent });
        assert_eq!(of[&end(internal)], [first, second, third], "{internal}");
    }
    for port in 1..=20 {
        let half_open = (EventKind::Ended(Cause::HalfOpen), State::SynSent);
        let internal = SocketAddrV4::new(ip("10.0.0.9"), port);
        assert_eq!(of[&internal], [opened(State::SynSent), half_open], "{internal}");
    }
    let counters = world.plane.flow_counters();
    assert_eq!((counters.opened, counters.total_ended()), (24, 24), "INV-flows-conserved");
}

/// An ICMP error about a packet from the public side, as the far end or a router there writes it.
fn error_about(packet: &[u8]) -> Vec<u8> {
    let headers = Headers::parse(packet).unwrap();
    let error = IcmpError { kind: IcmpErrorKind::PortUnreachable, source: headers.destination };
    let mut bytes = [0; IcmpError::MAXIMUM_LENGTH];
    let length = error.write(packet, &headers, &mut bytes);
    bytes[..length].to_vec()
}

/// T-22, RFC 5927 4.1: an error about a TCP segment that is not under way goes no further; of UDP
/// nothing is asked.
#[test]
fn icmp_error_must_quote_sent_segment() {
    let mut world = World::new();
    let remote = end(REMOTE);
    let public = world.connect("10.0.0.4:1");
    let stale = Disposition::Drop(DropReason::QuoteOutOfWindow);
    for (sequence, passes) in [(1001, true), (1000, false), (1002, false), (77, false)] {
        let quoted = segment(public, remote, "A", (sequence, 5001), &[]);
        let disposition = world.send(Edge::Internet, &mut error_about(&quoted));
        assert_eq!(
            matches!(disposition, Disposition::Forward(_)),
            passes,
            "{sequence} {disposition:?}"
        );
        assert!(passes || disposition == stale, "{disposition:?}");
    }
    // Towards the outside, about what the far end has sent.
    for (sequence, passes) in [(5001, true), (4999, false), (5002, false)] {
        let quoted = segment(remote, end("10.0.0.4:1"), "A", (sequence, 1001), &[]);
        let disposition = world.send(Edge::Subnet(world.web), &mut error_about(&quoted));
        assert_eq!(
            matches!(disposition, Disposition::Forward(_)),
            passes,
            "{sequence} {disposition:?}"
        );
    }
    let public = world.out(datagram(end("10.0.0.4:2"), remote, b"x"));
    let disposition = world.send(Edge::Internet, &mut error_about(&datagram(public, remote, b"x")));
    assert!(matches!(disposition, Disposition::Forward(_)), "{disposition:?}");
}

/// N-29: the platform's address is the machine's until it is deallocated, and then anybody's.
#[test]
fn deallocation_frees_the_kept_address() {
    let mut network = Network::new();
    let [alpha, beta] = ["alpha", "beta"].map(|name| {
        let vnet = network.add_vnet(name, &[net("10.0.0.0/16")]).unwrap();
        network.add_subnet(vnet, "web", net("10.0.0.0/24")).unwrap()
    });
    let nic = network.add_nic(alpha, "vm", ip("10.0.0.4")).unwrap();
    let address = ip("20.1.1.9");
    network.set_outbound(alpha, Outbound::Default(address)).unwrap();
    network.set_outbound(alpha, Outbound::Private).unwrap();
    assert_eq!(network.nic(nic).unwrap().kept, Some(address));
    let take = |network: &mut Network| network.set_outbound(beta, Outbound::Default(address));
    assert!(take(&mut network).is_err(), "the machine has it");
    let before = network.commit();
    network.start(nic).unwrap();
    assert_eq!(network.commit().generation(), before.generation(), "it runs");
    network.deallocate(nic).unwrap();
    assert_eq!(network.nic(nic).unwrap().kept, None);
    let gone = network.commit();
    assert_ne!(gone.generation(), before.generation());
    network.deallocate(nic).unwrap();
    assert_eq!(network.commit().generation(), gone.generation(), "it is gone already");
    take(&mut network).unwrap();
    // Taken away before and after an explicit method, it is kept once.
    network.start(nic).unwrap();
    network.set_outbound(alpha, Outbound::Default(ip("20.1.1.8"))).unwrap();
    network.set_outbound(alpha, Outbound::NatGateway(vec![ip("20.1.1.7")])).unwrap();
    network.set_outbound(alpha, Outbound::Private).unwrap();
    assert_eq!(network.nic(nic).unwrap().kept, Some(ip("20.1.1.8")));
    network.remove_nic(nic).unwrap();
    network.remove_subnet(alpha).unwrap();
    network.set_outbound(beta, Outbound::Default(ip("20.1.1.8"))).unwrap();
}
