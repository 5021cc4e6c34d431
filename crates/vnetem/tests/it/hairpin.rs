//! Hosts that reach each other by the public addresses of their own pool (T-33; RFC 4787 REQ-9, RFC
//! 5382 REQ-8, RFC 5508 REQ-7).

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem::packet::{Checksums, IcmpError, IcmpErrorKind, Quote, Rewrite, rewrite};
use vnetem::{
    BatchPacket, DataPlane, Disposition, DropReason, Edge, EventKind, Headers, Network, Settings,
    SourceMode, SubnetId, Time, Transmit,
    control::{NextHop, Outbound},
    nat::{Cause, Filtering, Mapping, PoolRules, State},
};

use crate::packets::{datagram, end, ip, net, process, segment};

const OPEN: PoolRules = PoolRules {
    mapping: Mapping::Independent,
    filtering: Filtering::Independent,
    hairpin: true,
    ..PoolRules::AZURE
};
const A: &str = "10.0.0.4:5000";
const B: &str = "10.0.1.5:6000";
const REMOTE: &str = "8.8.8.8:53";

/// Two subnets behind one pool: a host in each.
struct World {
    network: Network,
    plane: DataPlane,
    now: Time,
    a: Edge,
    b: Edge,
    subnets: [SubnetId; 2],
}

fn pool(rules: PoolRules) -> Outbound {
    let addresses = vec![ip("20.1.1.1"), ip("20.1.1.2")];
    Outbound::Pool { addresses, first_port: 1024, last_port: 65_535, rules }
}

fn pool_at(address: &str, rules: PoolRules) -> Outbound {
    let addresses = vec![ip(address)];
    Outbound::Pool { addresses, first_port: 1024, last_port: 65_535, rules }
}

impl World {
    fn new(rules: PoolRules) -> Self {
        Self::with(rules, Settings::replayable(0))
    }

    fn with(rules: PoolRules, settings: Settings) -> Self {
        let mut network = Network::new();
        let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
        let subnets = [0, 1].map(|third| {
            let prefix = net(&format!("10.0.{third}.0/24"));
            let subnet = network.add_subnet(alpha, &format!("s{third}"), prefix).unwrap();
            network.set_outbound(subnet, pool(rules)).unwrap();
            subnet
        });
        let plane = DataPlane::new(network.commit(), settings);
        let [a, b] = subnets.map(Edge::Subnet);
        Self { network, plane, now: Time(1), a, b, subnets }
    }

    fn process(&mut self, edge: Edge, packet: &mut [u8]) -> Disposition {
        process(&mut self.plane, self.now, edge, packet)
    }

    /// Where a packet leaves, and how it looks then.
    fn forward(&mut self, edge: Edge, mut packet: Vec<u8>) -> (Edge, Vec<u8>) {
        let Disposition::Forward(forward) = self.process(edge, &mut packet) else {
            panic!("not forwarded");
        };
        assert!(
            Checksums::of(&packet, &Headers::parse(&packet).unwrap()).none_wrong(),
            "INV-checksums-stay-right"
        );
        (forward.edge(self.plane.snapshot()), packet)
    }

    fn drop(&mut self, edge: Edge, mut packet: Vec<u8>) -> DropReason {
        match self.process(edge, &mut packet) {
            Disposition::Drop(reason) => reason,
            disposition => panic!("not dropped: {disposition:?}"),
        }
    }

    /// The public end of an inside socket, which sends a datagram to somewhere.
    fn public(&mut self, edge: Edge, internal: &str) -> SocketAddrV4 {
        let (_, packet) = self.forward(edge, datagram(end(internal), end(REMOTE), b"x"));
        Headers::parse(&packet).unwrap().tuple().source
    }

    fn made(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.plane.poll_transmit(self.now)).collect()
    }

    fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
    }

    /// An established connection from A to B, which listens; A's and B's public ends.
    fn connection(&mut self) -> (SocketAddrV4, SocketAddrV4) {
        let (a, b) = (self.a, self.b);
        let (_, syn) = self.forward(b, segment(end(B), end("8.8.8.8:80"), "S", (1, 0), &[]));
        let public_b = Headers::parse(&syn).unwrap().tuple().source;
        let (to, syn) = self.forward(a, segment(end(A), public_b, "S", (1000, 0), &[]));
        let tuple = Headers::parse(&syn).unwrap().tuple();
        assert_eq!((to, tuple.destination), (b, end(B)));
        let public_a = tuple.source;
        let answer = segment(end(B), public_a, "SA", (5000, 1001), &[]);
        assert_eq!(self.forward(b, answer).0, a);
        self.forward(a, segment(end(A), public_b, "A", (1001, 5001), &[]));
        (public_a, public_b)
    }
}

/// T-33, INV-checksums-stay-right, INV-trace-equals-verdict: both ends are rewritten at once, the
/// sender is seen under its public end, and the time to live falls by one.
#[test]
fn t_33_datagram_and_answer_hairpin() {
    let mut world = World::new(OPEN);
    let (a, b) = (world.a, world.b);
    let (public_a, public_b) = (world.public(a, A), world.public(b, B));
    for round in 0..3 {
        let mut packet = datagram(end(A), public_b, b"hello");
        let Disposition::Forward(forward) = world.process(a, &mut packet) else { panic!() };
        assert_eq!(
            (forward.to(), forward.source()),
            (b.into(), SourceMode::Translated(public_a)),
            "{round}"
        );
        let headers = Headers::parse(&packet).unwrap();
        assert!(Checksums::of(&packet, &headers).none_wrong(), "INV-checksums-stay-right");
        assert_eq!((headers.tuple().source, headers.tuple().destination), (public_a, end(B)));
        assert_eq!((headers.ttl, &packet[28..]), (63, &b"hello"[..]));
        let (to, packet) = world.forward(b, datagram(end(B), public_a, b"and you"));
        let headers = Headers::parse(&packet).unwrap();
        assert_eq!((headers.tuple().source, headers.tuple().destination), (public_b, end(A)));
        assert_eq!((to, headers.ttl), (a, 63));
    }
    let two_way = world.plane.flows().filter(|flow| flow.state == State::TwoWay).count();
    assert_eq!(two_way, 2, "one flow for each of the two");
}

/// T-33: a packet to an address of its own pool turns round if the pool says so, one to another's
/// always.
#[test]
fn t_33_own_pool_needs_the_rule() {
    let plain = PoolRules { hairpin: false, ..OPEN };
    let mut world = World::new(plain);
    let (a, b) = (world.a, world.b);
    let public = world.public(b, B);
    assert_eq!(world.drop(a, datagram(end(A), public, b"x")), DropReason::Hairpin);
    assert_eq!(world.plane.flows().count(), 1, "B's alone");
    world.network.set_outbound(world.subnets[1], pool_at("20.1.1.9", plain)).unwrap();
    world.apply();
    world.made();
    let public = world.public(b, B);
    assert_eq!(*public.ip(), ip("20.1.1.9"));
    assert_eq!(world.forward(a, datagram(end(A), public, b"x")).0, b);
}

/// T-33, N-07: an open flow goes on as it began when its far end's address becomes ours, or is no
/// longer.
#[test]
fn t_33_flows_keep_their_way() {
    let mut world = World::new(OPEN);
    let a = world.a;
    let (ours, elsewhere) = (end("20.1.1.9:7"), end("20.1.1.10:7"));
    world.network.set_outbound(world.subnets[1], pool_at("20.1.1.9", OPEN)).unwrap();
    world.apply();
    // Nobody has a mapping there, but the caller has a flow.
    assert_eq!(world.drop(a, datagram(end(A), ours, b"x")), DropReason::Unsolicited);
    assert_eq!(world.forward(a, datagram(end(A), elsewhere, b"x")).0, Edge::Internet);
    world.network.set_outbound(world.subnets[1], pool_at("20.1.1.10", OPEN)).unwrap();
    // Whatever else changes about the caller's network.
    world.network.set_route(world.subnets[0], net("8.0.0.0/8"), NextHop::None).unwrap();
    world.apply();
    world.made();
    assert_eq!(world.drop(a, datagram(end(A), ours, b"x")), DropReason::NoRoute);
    assert_eq!(world.forward(a, datagram(end(A), elsewhere, b"x")).0, Edge::Internet);
    // What opens takes the way of today.
    let opens = "10.0.0.4:5001";
    assert_eq!(world.forward(a, datagram(end(opens), ours, b"x")).0, Edge::Internet);
    let unknown = datagram(end(opens), elsewhere, b"x");
    assert_eq!(world.drop(a, unknown), DropReason::Unsolicited);
}

/// T-33, INV-toggle-ends-exact-set: of an address that becomes its own the rules of the caller's
/// pool decide, for open flows too.
#[test]
fn t_33_own_rules_take_over() {
    let plain = PoolRules::AZURE;
    let mut world = World::new(plain);
    let (a, there) = (world.a, end("20.1.1.9:7"));
    let [own, other] = world.subnets;
    world.network.set_outbound(own, pool_at("20.1.1.1", plain)).unwrap();
    world.network.set_outbound(other, pool_at("20.1.1.9", plain)).unwrap();
    world.apply();
    assert_eq!(world.drop(a, datagram(end(A), there, b"x")), DropReason::Unsolicited);
    let addresses = vec![ip("20.1.1.1"), ip("20.1.1.9")];
    let both = Outbound::Pool { addresses, first_port: 1024, last_port: 65_535, rules: plain };
    world.network.set_outbound(own, both).unwrap();
    world.apply();
    world.made();
    assert_eq!(world.plane.flows().count(), 0, "what turned round is closed");
    assert_eq!(world.drop(a, datagram(end(A), there, b"x")), DropReason::Hairpin);
}

/// T-33, T-03, RFC 5128 3.3: what is let in is asked as of the internet, and two hosts open the way
/// for each other.
#[test]
fn t_33_filters_hold_until_both_open() {
    let mut world = World::new(PoolRules { filtering: Filtering::AddressAndPort, ..OPEN });
    let (a, b) = (world.a, world.b);
    let (public_a, public_b) = (world.public(a, A), world.public(b, B));
    assert_eq!(world.drop(a, datagram(end(A), public_b, b"x")), DropReason::Unsolicited);
    let (to, packet) = world.forward(b, datagram(end(B), public_a, b"x"));
    assert_eq!(to, a);
    assert_eq!(Headers::parse(&packet).unwrap().tuple().source, public_b);
    assert_eq!(world.forward(a, datagram(end(A), public_b, b"x")).0, b);
    let nobody = SocketAddrV4::new(*public_b.ip(), public_b.port() ^ 1);
    assert_eq!(world.drop(a, datagram(end(A), nobody, b"x")), DropReason::Unsolicited);
    assert_eq!(world.drop(a, datagram(end(A), public_a, b"x")), DropReason::MartianDestination);
}

/// T-33, RFC 5382 REQ-8: a whole connection, tracked on both sides of the turn.
#[test]
fn t_33_whole_connection_can_hairpin() {
    let mut world = World::new(OPEN);
    let (public_a, public_b) = world.connection();
    let (a, b) = (world.a, world.b);
    let states = |world: &World| -> Vec<_> {
        let of_turn =
            |flow: &&vnetem::nat::Flow| flow.remote == public_a || flow.remote == public_b;
        world.plane.flows().collect::<Vec<_>>().iter().filter(of_turn).map(|it| it.state).collect()
    };
    assert_eq!(states(&world), [State::Established; 2]);
    world.forward(a, segment(end(A), public_b, "FA", (1001, 5001), &[]));
    world.forward(b, segment(end(B), public_a, "FA", (5001, 1002), &[]));
    world.forward(a, segment(end(A), public_b, "A", (1002, 5002), &[]));
    assert_eq!(states(&world), [State::TimeWait; 2]);
}

/// T-33: many at once come to the same as one by one; what turns round is no plain hit.
#[test]
fn t_33_batch_equals_single_packets() {
    let mut worlds = [World::new(OPEN), World::new(OPEN)];
    let mut out = Vec::new();
    for (number, world) in worlds.iter_mut().enumerate() {
        let (a, b) = (world.a, world.b);
        let (public_a, public_b) = (world.public(a, A), world.public(b, B));
        let mut packets: Vec<_> = (0..8)
            .map(|n| match n % 2 {
                0 => (a, datagram(end(A), public_b, &[n])),
                _ => (b, datagram(end(B), public_a, &[n])),
            })
            .collect();
        let verdicts: Vec<_> = if number == 0 {
            packets
                .iter_mut()
                .map(|(edge, packet)| Some(world.plane.process(world.now, *edge, packet)))
                .collect()
        } else {
            let mut slots: Vec<_> =
                packets.iter_mut().map(|(edge, packet)| BatchPacket::new(*edge, packet)).collect();
            world.plane.process_batch(world.now, &mut slots);
            slots.iter().map(|slot| slot.verdict).collect()
        };
        assert!(
            verdicts.iter().flatten().all(|it| matches!(it.disposition, Disposition::Forward(_)))
        );
        out.push((verdicts, packets));
    }
    assert_eq!(out[0], out[1]);
}

/// T-33: from outside nobody comes in by a flow that turns round.
#[test]
fn t_33_internet_cannot_use_hairpin_flows() {
    let mut world = World::new(PoolRules { filtering: Filtering::AddressAndPort, ..OPEN });
    let (a, b) = (world.a, world.b);
    let (public_a, public_b) = (world.public(a, A), world.public(b, B));
    world.drop(a, datagram(end(A), public_b, b"x"));
    world.forward(b, datagram(end(B), public_a, b"x"));
    let reason = world.drop(Edge::Internet, datagram(public_b, public_a, b"x"));
    assert_eq!(reason, DropReason::SpoofedSource);
}

/// RFC 5508 REQ-7: an error about what turned round turns round itself: each end sees it from the
/// other's public address, about its own packet.
#[test]
fn t_33_error_about_hairpin_flow_hairpins() {
    let mut world = World::new(OPEN);
    let (a, b) = (world.a, world.b);
    let (public_a, public_b) = (world.public(a, A), world.public(b, B));
    let sent = datagram(end(A), public_b, b"hello");
    let (_, arrived) = world.forward(a, sent.clone());
    let headers = Headers::parse(&arrived).unwrap();
    let error = IcmpError { kind: IcmpErrorKind::PortUnreachable, source: *end(B).ip() };
    let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
    let length = error.write(&arrived, &headers, &mut buffer);
    let (to, packet) = world.forward(b, buffer[..length].to_vec());
    let headers = Headers::parse(&packet).unwrap();
    assert_eq!(to, a);
    assert_eq!((headers.source, headers.destination), (*public_b.ip(), *end(A).ip()));
    assert_eq!((packet[20], packet[21]), (3, 3));
    let quote = Quote::parse(&packet, &headers).unwrap();
    assert_eq!((quote.tuple().source, quote.tuple().destination), (end(A), public_b));
    // The quote is what A sent, but for the time to live.
    let mut quoted = packet[28..].to_vec();
    let of_quote = Headers::parse(&quoted).unwrap();
    rewrite(&mut quoted, &of_quote, Rewrite::default(), 64);
    assert_eq!(quoted, sent);
    // A host that the packet never reached knows nothing of it.
    let other = IcmpError { source: Ipv4Addr::new(10, 0, 1, 9), ..error };
    let headers = Headers::parse(&arrived).unwrap();
    let length = other.write(&sent, &Headers::parse(&sent).unwrap(), &mut buffer);
    assert_eq!(world.drop(b, buffer[..length].to_vec()), DropReason::QuoteUnknown);
    assert_eq!(headers.destination, *end(B).ip());
    let _ = public_a;
}

/// One of two pieces of a datagram: 16 bytes of it from this place on.
fn piece(whole: &[u8], offset: usize, more: bool) -> Vec<u8> {
    let mut packet = whole[..20].to_vec();
    packet.extend(whole[20 + offset..].iter().take(16));
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[4..6].copy_from_slice(&77_u16.to_be_bytes());
    let field = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    packet[10..12].fill(0);
    let sum: u32 = packet[..20].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let sum = !((sum & 0xFFFF) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// T-33, T-28: fragments turn round as their first one does.
#[test]
fn t_33_fragments_hairpin() {
    let mut world = World::new(OPEN);
    let (a, b) = (world.a, world.b);
    let (public_a, public_b) = (world.public(a, A), world.public(b, B));
    let whole = datagram(end(A), public_b, &[7; 24]);
    let (first, later) = (piece(&whole, 0, true), piece(&whole, 16, false));
    assert_eq!(world.drop(a, later.clone()), DropReason::FragmentWithoutFirst);
    let (mut straight, _) = (whole.clone(), ());
    straight[4..6].copy_from_slice(&77_u16.to_be_bytes());
    let mut joined = Vec::new();
    for fragment in [first, later] {
        let mut fragment = fragment;
        let Disposition::Forward(forward) = world.process(a, &mut fragment) else { panic!() };
        assert_eq!(forward.to(), b);
        let headers = Headers::parse(&fragment).unwrap();
        assert_eq!((headers.source, headers.destination), (*public_a.ip(), *end(B).ip()));
        joined.extend_from_slice(&fragment[20..]);
    }
    let (_, expected) = world.forward(a, whole);
    assert_eq!(joined, expected[20..], "joined they are what the whole datagram is");
}

/// T-33, INV-reset-number-exact, INV-both-halves-end, S-17: what closes one of the two flows closes
/// both, and each host hears of it once, with the number that it expects.
#[test]
fn t_33_change_closes_both_flows_once() {
    for which in [0, 1] {
        let mut world = World::new(OPEN);
        let (public_a, public_b) = world.connection();
        let (a, b) = (world.a, world.b);
        while world.plane.poll_event().is_some() {}
        // For who was called, a route concerns its answers alone: its pool is taken away,
        // and with that ends what it opened itself.
        let is_own = |end: SocketAddrV4| *end.ip() == ip("8.8.8.8");
        if which == 0 {
            let there = net("20.1.1.0/24");
            world.network.set_route(world.subnets[0], there, NextHop::None).unwrap();
        } else {
            world.network.set_outbound(world.subnets[1], Outbound::Private).unwrap();
        }
        world.apply();
        let mut resets: Vec<_> = world
            .made()
            .iter()
            .map(|made| {
                let headers = Headers::parse(&made.packet).unwrap();
                let vnetem::packet::Transport::Tcp(segment) = headers.transport else { panic!() };
                (made.to, headers.tuple().source, headers.tuple().destination, segment.sequence)
            })
            .filter(|(_, source, destination, _)| !is_own(*source) && !is_own(*destination))
            .collect();
        resets.sort_unstable_by_key(|reset| reset.0 == b);
        assert_eq!(resets, [(a, public_b, end(A), 5001), (b, public_a, end(B), 1001)], "{which}");
        let closed = std::iter::from_fn(|| world.plane.poll_event())
            .filter(|event| !is_own(event.tuple.destination))
            .filter(|event| {
                matches!(event.kind, EventKind::Closed(Cause::PathSwitched | Cause::Withdrawn))
            })
            .count();
        assert_eq!(closed, 2);
        assert_eq!(world.made(), []);
    }
}

/// T-33: the rule taken away ends what turned round, and datagrams are dropped as `hairpin`.
#[test]
fn t_33_removing_rule_ends_hairpin_flows() {
    let mut world = World::new(OPEN);
    let (a, b) = (world.a, world.b);
    let (_, public_b) = (world.public(a, A), world.public(b, B));
    world.forward(a, datagram(end(A), public_b, b"x"));
    assert_eq!(world.plane.flows().count(), 4);
    for subnet in world.subnets {
        let rules = PoolRules { hairpin: false, ..OPEN };
        world.network.set_outbound(subnet, pool(rules)).unwrap();
    }
    world.apply();
    world.made();
    assert_eq!(world.plane.flows().count(), 2, "those to the internet");
    assert_eq!(world.drop(a, datagram(end(A), public_b, b"x")), DropReason::Hairpin);
}

/// T-33, INV-memory-bounded: with room for one flow the first stands and the second does not.
#[test]
fn t_33_full_table_refuses_hairpin() {
    let mut settings = Settings::replayable(0);
    settings.flows.capacity = 3;
    let mut world = World::with(OPEN, settings);
    let (a, b) = (world.a, world.b);
    let (_, public_b) = (world.public(a, A), world.public(b, B));
    assert_eq!(world.drop(a, datagram(end(A), public_b, b"x")), DropReason::FlowTableFull);
    world.now += Duration::from_secs(300);
    world.plane.handle_timeout(world.now);
    let public_b = world.public(b, B);
    assert_eq!(world.forward(a, datagram(end(A), public_b, b"x")).0, b);
}

/// T-33, T-28: also between hosts behind one public address, whose later fragments have the same
/// address at both ends.
#[test]
fn t_33_fragments_hairpin_behind_one_address() {
    let mut world = World::new(OPEN);
    let one = Outbound::Pool {
        addresses: vec![ip("20.1.1.1")],
        first_port: 1024,
        last_port: 65_535,
        rules: OPEN,
    };
    for subnet in world.subnets {
        world.network.set_outbound(subnet, one.clone()).unwrap();
    }
    world.apply();
    let (a, b) = (world.a, world.b);
    let public_b = world.public(b, B);
    let whole = datagram(end(A), public_b, &[7; 24]);
    for fragment in [piece(&whole, 0, true), piece(&whole, 16, false)] {
        assert_eq!(world.forward(a, fragment).0, b);
    }
}

/// T-33, INV-events-in-order: what a host sends to its own public end turns round into nothing, and
/// its one flow closes once.
#[test]
fn t_33_flow_to_itself_closes_once() {
    let mut world = World::new(OPEN);
    let a = world.a;
    let public = world.public(a, A);
    assert_eq!(world.drop(a, datagram(end(A), public, b"x")), DropReason::MartianDestination);
    let (_, syn) = world.forward(a, segment(end(A), end("8.8.8.8:80"), "S", (1, 0), &[]));
    let public = Headers::parse(&syn).unwrap().tuple().source;
    let to_itself = segment(end(A), public, "S", (1000, 0), &[]);
    assert_eq!(world.drop(a, to_itself), DropReason::MartianDestination);
    while world.plane.poll_event().is_some() {}
    world.network.set_route(world.subnets[0], net("20.1.1.0/24"), NextHop::None).unwrap();
    world.apply();
    assert_eq!(world.made().len(), 1, "its sender hears of it");
    let closed: Vec<_> = std::iter::from_fn(|| world.plane.poll_event())
        .filter(|event| matches!(event.kind, EventKind::Closed(_)))
        .map(|event| event.tuple.protocol.0)
        .collect();
    assert_eq!(closed.len(), 2, "{closed:?}: the datagrams and the connection, each once");
}

/// T-33, INV-trace-equals-verdict, INV-syn-opens-anew: a trace of a full table knows that closed
/// flows give way.
#[test]
fn t_33_trace_knows_closed_flows_yield() {
    let mut settings = Settings::replayable(0);
    settings.flows.capacity = 5;
    let mut world = World::with(OPEN, settings);
    let (_, public_b) = world.connection();
    let (a, b) = (world.a, world.b);
    let away = net("20.1.1.0/24");
    world.network.set_route(world.subnets[0], away, NextHop::None).unwrap();
    world.apply();
    world.made();
    world.network.remove_route(world.subnets[0], away).unwrap();
    world.apply();
    world.made();
    for remote in ["8.8.8.8:81", "8.8.8.8:82"] {
        world.forward(b, segment(end(B), end(remote), "S", (1, 0), &[]));
    }
    assert_eq!(world.plane.flow_counters().live + world.plane.flow_counters().tombstones, 5);
    let mut syn = segment(end(A), public_b, "S", (9000, 0), &[]);
    let traced = world.plane.trace(world.now, a, &syn).verdict;
    let verdict = world.plane.process(world.now, a, &mut syn);
    assert!(matches!(verdict.disposition, Disposition::Forward(_)));
    assert_eq!(traced, verdict);
}
