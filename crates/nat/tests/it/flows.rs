//! Lookup, opening, and the view of flows.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    Cause, Direction, FlowTable, Generation, NewFlow, NoTuple, OpenError, RevalidationKey,
    Settings, Side, Standing, State, Time, Track, Zone, opens,
};
use vnetem_packet::{FiveTuple, Headers, Protocol, Rewrite};

use crate::packets::{ACK, FIN, Packet, RST, SYN, at, segment};
use crate::world::{SUBNET, World, ends, first, flow, open};

/// A packet leads from the internal end to the external tuple and back, and to nobody else.
/// INV-mapping-constant, INV-reply-reaches-initiator, INV-rewrite-reverses.
#[test]
fn both_directions_find_flow_and_rewrite() {
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP] {
        let world = World::opened(protocol);
        let new = world.new;
        let flow = world.table.flow(world.id).unwrap();
        for (side, zone) in [(Side::Internal, SUBNET), (Side::External, Zone::PUBLIC)] {
            let (source, destination) = ends(&new, side);
            let tuple = FiveTuple { protocol, source, destination };
            let found = world.table.find(world.now, zone, &tuple).unwrap();
            assert_eq!((found.id, found.side), (world.id, side));
            assert_eq!(found.standing, Standing::Live);
            assert_eq!(flow.tuple(side), tuple);
            assert_eq!(
                world.table.find(world.now, Zone(99), &tuple),
                None,
                "INV-keys-name-network"
            );
        }
        assert_eq!(
            flow.rewrite(Side::Internal),
            Rewrite { source: Some(new.external), destination: None }
        );
        assert_eq!(
            flow.rewrite(Side::External),
            Rewrite { source: None, destination: Some(new.internal) }
        );
    }
}

/// The parsed headers of a real reply have the external key. For ICMP the identifier returns in the
/// destination.
#[test]
fn ping_reply_is_found_by_identifier() {
    let world = World::opened(Protocol::ICMP);
    let reply = Packet::ping(world.new.remote, world.new.external);
    let found = world.table.find(world.now, Zone::PUBLIC, &reply.headers.tuple()).unwrap();
    assert_eq!(found.side, Side::External);
}

#[test]
fn a_preserved_source_is_not_rewritten() {
    let new = NewFlow { external: flow(Protocol::TCP).internal, ..flow(Protocol::TCP) };
    let world = World::new(Settings::replayable(0), new);
    let flow = world.table.flow(world.id).unwrap();
    assert!(!flow.is_translated());
    for side in [Side::Internal, Side::External] {
        assert_eq!(flow.rewrite(side), Rewrite::default());
    }
}

/// A packet that differs in any part finds nothing (INV-unsolicited-dropped,
/// INV-other-remote-dropped).
#[test]
fn key_differing_in_part_finds_nothing() {
    let world = World::opened(Protocol::TCP);
    let (source, destination) = ends(&world.new, Side::External);
    let tuple = FiveTuple { protocol: Protocol::TCP, source, destination };
    let port = |end: SocketAddrV4| SocketAddrV4::new(*end.ip(), end.port() + 1);
    let address =
        |end: SocketAddrV4| SocketAddrV4::new((end.ip().to_bits() + 1).into(), end.port());
    for other in [
        FiveTuple { protocol: Protocol::UDP, ..tuple },
        FiveTuple { source: port(source), ..tuple },
        FiveTuple { source: address(source), ..tuple },
        FiveTuple { destination: port(destination), ..tuple },
        FiveTuple { destination: address(destination), ..tuple },
        tuple.reversed(),
    ] {
        assert_eq!(world.table.find(world.now, Zone::PUBLIC, &other), None);
    }
    assert!(world.table.find(world.now, Zone::PUBLIC, &tuple).is_some());
}

/// No two live flows share a key on either side, and a refused flow leaves nothing behind
/// (INV-mapping-unique, INV-tuple-unique-per-side, T-04).
#[test]
fn a_key_belongs_to_one_flow() {
    let mut world = World::opened(Protocol::TCP);
    let new = world.new;
    let same_inside = NewFlow { external: at([20, 1, 1, 2], 5), ..new };
    let same_outside = NewFlow { internal: at([10, 0, 0, 5], 5), ..new };
    // A flow from the external side whose packets look like the other's replies.
    let crossed = NewFlow {
        internal: new.remote,
        external: new.remote,
        remote: new.internal,
        external_zone: SUBNET,
        internal_zone: Zone(8),
        ..new
    };
    for other in [new, same_inside, same_outside, crossed] {
        assert_eq!(world.table.may_open(world.now, other), Err(OpenError::TupleInUse));
        assert_eq!(open(&mut world.table, world.now, other), Err(OpenError::TupleInUse));
        assert_eq!(world.table.counters().opened, 1);
        assert_eq!(world.table.iter().count(), 1);
    }
    assert!(
        open(
            &mut world.table,
            world.now,
            NewFlow { internal_zone: Zone(8), external: at([20, 1, 1, 1], 1025), ..new }
        )
        .is_ok(),
        "INV-networks-isolated"
    );
}

/// A flow from an end to itself would have one key twice (INV-special-addresses-refused).
#[test]
fn a_flow_to_itself_is_refused() {
    let end = at([10, 0, 0, 4], 5);
    let new = NewFlow {
        internal: end,
        external: end,
        remote: end,
        external_zone: SUBNET,
        ..flow(Protocol::UDP)
    };
    let mut table = FlowTable::new(Settings::replayable(0));
    assert_eq!(open(&mut table, Time(0), new), Err(OpenError::TupleInUse));
}

/// At the limit new flows are refused and live ones continue (INV-memory-bounded).
#[test]
fn full_table_refuses_and_changes_nothing() {
    let mut table = FlowTable::new(Settings { capacity: 3, ..Settings::replayable(0) });
    let nth = |port| NewFlow {
        internal: at([10, 0, 0, 4], port),
        external: at([20, 1, 1, 1], port),
        ..flow(Protocol::UDP)
    };
    let ids: Vec<_> = (1..=3).map(|port| open(&mut table, Time(0), nth(port)).unwrap()).collect();
    let before: Vec<_> = table.iter().collect();
    assert_eq!(table.may_open(Time(0), nth(4)), Err(OpenError::TableFull));
    assert_eq!(open(&mut table, Time(0), nth(4)), Err(OpenError::TableFull));
    assert_eq!(table.iter().collect::<Vec<_>>(), before);
    assert!(table.end(Time(0), ids[1], Cause::Evicted));
    assert!(open(&mut table, Time(0), nth(4)).is_ok());
}

/// The same holds for revalidation keys (INV-memory-bounded).
#[test]
fn full_revalidation_keys_refuse_flow() {
    let mut table = FlowTable::new(Settings { revalidation_keys: 2, ..Settings::replayable(0) });
    let nth = |port, revalidation_key| NewFlow {
        internal: at([10, 0, 0, 4], port),
        external: at([20, 1, 1, 1], port),
        revalidation_key: RevalidationKey(revalidation_key),
        ..flow(Protocol::UDP)
    };
    let first = open(&mut table, Time(0), nth(1, 1)).unwrap();
    open(&mut table, Time(0), nth(2, 2)).unwrap();
    assert_eq!(open(&mut table, Time(0), nth(3, 3)), Err(OpenError::CellsFull));
    open(&mut table, Time(0), nth(4, 2)).unwrap();
    table.end(Time(0), first, Cause::Evicted);
    assert!(open(&mut table, Time(0), nth(3, 3)).is_ok(), "a cell goes with its last flow");
}

/// Stale handles find nothing, even when the slot is used again.
#[test]
fn an_old_id_finds_nothing() {
    let mut world = World::opened(Protocol::TCP);
    world.table.end(world.now, world.id, Cause::Evicted);
    let new =
        NewFlow { internal: at([10, 0, 0, 5], 1), external: at([20, 1, 1, 1], 9), ..world.new };
    let other = open(&mut world.table, world.now, new).unwrap();
    assert_ne!(other, world.id);
    let packet = first(&new);
    let id = world.id;
    assert_eq!(world.table.flow(id), None);
    assert_eq!(world.table.cached(id), None);
    assert_eq!(world.send(Side::Internal, &packet), Track::Invalid);
    assert!(!world.table.end(world.now, id, Cause::Evicted));
    assert!(!world.table.refresh(id, RevalidationKey(1), new.generation, 1));
    assert!(!world.table.is_stale(id));
    assert!(!world.table.may_reopen(id, Side::Internal, &packet.headers));
    assert_eq!(world.table.close(world.now, id, Cause::Idle), Default::default());
    assert_eq!(world.table.answer(world.now, id, Side::Internal, &packet.headers), None);
    assert!(world.table.flow(other).is_some());
}

/// Tries every combination of flags (T-20, P-25).
#[test]
fn only_pure_syn_opens_tcp_flow() {
    for flags in 0..=u8::MAX {
        let packet = Packet::tcp(at([1, 1, 1, 1], 1), at([2, 2, 2, 2], 2), segment(flags, 1, 1, 0));
        let expected = flags & SYN != 0 && flags & (ACK | RST | FIN) == 0;
        assert_eq!(opens(&packet.headers), expected, "{flags:#x}");
    }
}

/// T-21.
#[test]
fn only_requests_open_icmp_flows() {
    let (a, b) = (at([1, 1, 1, 1], 7), at([2, 2, 2, 2], 0));
    assert!(opens(&Packet::udp(a, b).headers));
    assert!(opens(&Packet::ping(a, b).headers));
    assert!(!opens(&Packet::ping(b, a).headers));
    // A reply with identifier 0, which has the tuple of a request, opens no flow either (T-21).
    let none = [a, b].map(|end| SocketAddrV4::new(*end.ip(), 0));
    assert!(opens(&Packet::ping(none[0], none[1]).headers));
    assert!(!opens(&Packet::pong(none[0], none[1]).headers));
    let later = |bytes: &mut Vec<u8>| {
        bytes[6..8].copy_from_slice(&[0x00, 0x03]);
        bytes[10..12].copy_from_slice(&[0, 0]);
        let sum =
            bytes[..20].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum::<u32>();
        let sum = (sum & 0xFFFF) + (sum >> 16);
        bytes[10..12].copy_from_slice(&(!((sum & 0xFFFF) + (sum >> 16)) as u16).to_be_bytes());
        Headers::parse(bytes).unwrap()
    };
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol(47)] {
        let tuple = FiveTuple { protocol, source: a, destination: b };
        let mut packet = Packet::of(tuple);
        assert!(opens(&packet.headers));
        assert!(!opens(&later(&mut packet.bytes)), "a later fragment opens nothing");
    }
}

/// Packets and bytes are counted by the side that sends them, the first packet included.
#[test]
fn counters_are_kept_per_side() {
    let mut world = World::established();
    assert_eq!(world.external(segment(ACK, 9001, 1001, 100)), Track::Pass);
    let flow = world.table.flow(world.id).unwrap();
    assert_eq!((flow.packets.internal, flow.packets.external), (2, 2));
    assert_eq!((flow.bytes.internal, flow.bytes.external), (80, 40 + 140));
    assert_eq!(flow.opened, world.now);
}

#[test]
fn direction_is_seen_from_initiator() {
    assert_eq!(Side::Internal.direction(Side::Internal), Direction::Original);
    assert_eq!(Side::Internal.direction(Side::External), Direction::Reply);
}

/// A flow to a preserved address may be opened from the external side, with the same result.
#[test]
fn flow_can_open_from_outside() {
    let internal = at([10, 0, 0, 4], 22);
    let new = NewFlow {
        internal,
        external: internal,
        remote: at([10, 9, 0, 1], 999),
        initiator: Side::External,
        ..flow(Protocol::TCP)
    };
    let mut world = World::new(Settings::replayable(0), new);
    assert_eq!(world.internal(segment(SYN | ACK, 5, 1001, 0)), Track::Pass);
    assert_eq!(world.external(segment(ACK, 1001, 6, 0)), Track::Pass);
    assert_eq!(world.state(), State::Established);
    let flow = world.table.flow(world.id).unwrap();
    assert_eq!((flow.packets.external, flow.packets.internal), (2, 1));
}

/// A flow past its deadline is replaced, and counts as ended by its timer.
#[test]
fn flow_past_deadline_is_replaced() {
    let mut world = World::opened(Protocol::UDP);
    world.wait(Duration::from_secs(240));
    let new = NewFlow { external: at([20, 1, 1, 1], 2000), ..world.new };
    let id = open(&mut world.table, world.now, new).unwrap();
    assert_eq!(world.table.flow(world.id), None);
    assert_eq!(world.table.flow(id).unwrap().external.port(), 2000);
    let counters = world.table.counters();
    assert_eq!((counters.opened, counters.live, counters.ended(Cause::Idle)), (2, 1, 1));
}

#[test]
fn flows_are_listed_by_slot() {
    let mut table = FlowTable::new(Settings::replayable(0));
    let nth = |port| NewFlow {
        internal: at([10, 0, 0, 4], port),
        external: at([20, 1, 1, 1], port),
        ..flow(Protocol::UDP)
    };
    let ids: Vec<_> = (1..=5).map(|port| open(&mut table, Time(0), nth(port)).unwrap()).collect();
    table.end(Time(0), ids[1], Cause::Evicted);
    table.end(Time(0), ids[3], Cause::Evicted);
    open(&mut table, Time(0), nth(9)).unwrap();
    let ports: Vec<_> = table.iter().map(|(_, flow)| flow.internal.port()).collect();
    assert_eq!(ports, [1, 3, 9, 5]);
}

#[test]
fn causes_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> =
        Cause::ALL.iter().map(|cause| cause.name()).collect();
    assert_eq!(names.len(), Cause::ALL.len());
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    for (place, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, place, "counters are kept by place");
    }
}

proptest! {
    /// A batch finds what single lookups find.
    #[test]
    fn a_batch_finds_the_same(
        flows in proptest::collection::vec((0_u8..20, 0_u16..20), 0..200),
        asked in proptest::collection::vec((0_u8..25, 0_u16..25, any::<bool>()), 0..150),
    ) {
        let mut table = FlowTable::new(Settings::replayable(0));
        let nth = |host, port| NewFlow {
            internal: at([10, 0, 0, host], port),
            external: at([20, 1, 1, host], port),
            ..flow(Protocol::UDP)
        };
        for (host, port) in flows {
            _ = open(&mut table, Time(0), nth(host, port));
        }
        let keys: Vec<_> = asked
            .into_iter()
            .map(|(host, port, external_side)| {
                let side = if external_side { Side::External } else { Side::Internal };
                let (source, destination) = ends(&nth(host, port), side);
                let zone = if external_side { Zone::PUBLIC } else { SUBNET };
                (zone, FiveTuple { protocol: Protocol::UDP, source, destination })
            })
            .collect();
        for now in [Time(1), Time(u64::MAX)] {
            let mut found = vec![None; keys.len()];
            table.find_batch(now, &keys, &mut found);
            let one_by_one: Vec<_> =
                keys.iter().map(|(zone, tuple)| table.find(now, *zone, tuple)).collect();
            prop_assert_eq!(&found, &one_by_one);
        }
    }
}

/// An earlier answer is not reused if another flow has come between, or if time has freed one.
#[test]
fn opening_is_rechecked_after_change() {
    let new = flow(Protocol::TCP);
    let rival = NewFlow { internal: at([10, 0, 0, 9], 9), ..new };
    let mut table = FlowTable::new(Settings::replayable(0));
    let now = Time(1_000_000_000);
    let openings = [new, rival].map(|new| (table.may_open(now, new).unwrap(), first(&new)));
    let mut results = Vec::new();
    for (opening, packet) in openings.iter().chain(&openings) {
        let opened = table.enter(now, opening, &packet.headers, &packet.bytes, &mut |_| {});
        results.push(opened.map(|_| ()));
    }
    let refused = Err(OpenError::TupleInUse);
    assert_eq!(results, [Ok(()), refused, refused, refused]);
}

/// With all revalidation keys taken, a flow of another key finds room if the flow that it replaces
/// is the last of its key. No change may be waiting for that key (INV-memory-bounded).
#[test]
fn last_flow_leaves_its_revalidation_key() {
    let settings = Settings { revalidation_keys: 1, ..Settings::replayable(0) };
    let later = Time(u64::MAX / 2);
    let old = flow(Protocol::UDP);
    let sibling =
        NewFlow { internal: at([10, 0, 0, 4], 50_002), external: at([20, 1, 1, 1], 1025), ..old };
    let successor = NewFlow { revalidation_key: RevalidationKey(2), ..old };
    let full = Err(OpenError::CellsFull);
    for (others, invalidated, expected) in [(0, false, Ok(())), (1, false, full), (0, true, full)] {
        let mut table = FlowTable::new(settings);
        for new in [old, sibling].into_iter().take(1 + others) {
            open(&mut table, Time(1), new).unwrap();
        }
        if invalidated {
            table.invalidate(old.revalidation_key, Generation(2));
        }
        let may_open = table.may_open(later, successor).map(|_| ());
        assert_eq!(may_open, expected, "{others} others, touched: {invalidated}");
        assert_eq!(open(&mut table, later, successor).map(|_| ()), expected);
        assert_eq!(table.iter().count(), 1 + others, "nobody has gone for nothing");
    }
}

/// Every reason why a flow is refused has its own text.
#[test]
fn refusals_have_distinct_texts() {
    let open = OpenError::ALL.iter().map(ToString::to_string);
    let choose = [NoTuple::Exhausted, NoTuple::Quota, NoTuple::Rate].map(|why| why.to_string());
    let texts: BTreeSet<String> = open.chain(choose).collect();
    assert_eq!(texts.len(), OpenError::ALL.len() + 3);
}
