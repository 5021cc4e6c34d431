//! Closing: exact resets, tombstones, and what may follow.

use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    Answers, Cause, Ended, FragmentKey, Fragments, Keys, NewFlow, OpenError, Resets, Settings,
    Side, Span, Standing, State, Tenant, Time, Track, Zone,
};
use vnetem_packet::{Fragment, Protocol, Reset};

use crate::packets::{ACK, FIN, Packet, RST, SYN, segment};
use crate::world::{CLIENT, SERVER, World, flow, open};

const C: u32 = CLIENT + 1;
const S: u32 = SERVER + 1;

fn close(world: &mut World) -> Resets {
    world.table.close(world.now, world.id, Cause::SourceSwitched)
}

/// Both resets have exact numbers, in the tuple that each end knows (INV-reset-number-exact,
/// INV-generated-packets-valid).
#[test]
fn both_ends_get_exact_resets() {
    let mut world = World::established();
    assert_eq!(world.internal(segment(ACK, C, S, 100)), Track::Pass);
    assert_eq!(world.external(segment(ACK, S, C + 100, 2000)), Track::Pass);
    let closing = close(&mut world);
    let NewFlow { internal, external, remote, .. } = world.new;
    assert_eq!(
        closing.to_internal,
        Some(Reset {
            source: remote,
            destination: internal,
            sequence: S + 2000,
            acknowledgement: Some(C + 100)
        })
    );
    assert_eq!(
        closing.to_external,
        Some(Reset {
            source: external,
            destination: remote,
            sequence: C + 100,
            acknowledgement: Some(S + 2000)
        })
    );
    assert_eq!(world.state(), State::Tombstone(Cause::SourceSwitched));
}

/// The highest end counts, not the last: repeated or late data lowers nothing
/// (INV-reset-number-exact).
#[test]
fn retransmission_does_not_lower_reset_number() {
    let mut world = World::established();
    assert_eq!(world.internal(segment(ACK, C, S, 1000)), Track::Pass);
    assert_eq!(world.internal(segment(ACK, C + 1000, S, 1000)), Track::Pass);
    assert_eq!(world.internal(segment(ACK, C, S, 1000)), Track::Pass);
    assert_eq!(world.external(segment(ACK, S, C + 2000, 700)), Track::Pass);
    assert_eq!(world.external(segment(ACK, S, C + 1000, 300)), Track::Pass);
    let closing = close(&mut world);
    assert_eq!(closing.to_external.unwrap().sequence, C + 2000);
    assert_eq!(closing.to_internal.unwrap().sequence, S + 700);
}

/// FIN takes one number, and so does SYN (INV-reset-number-exact).
#[test]
fn fin_counts_in_reset_number() {
    let mut world = World::established();
    assert_eq!(world.internal(segment(FIN | ACK, C, S, 7)), Track::Pass);
    assert_eq!(close(&mut world).to_external.unwrap().sequence, C + 8);
}

/// A client in SYN-SENT accepts only RST with ACK of its SYN. The service, which may have the SYN,
/// expects the next number (INV-reset-answers-segment).
#[test]
fn unanswered_syn_gets_acknowledging_reset() {
    let mut world = World::opened(Protocol::TCP);
    let closing = close(&mut world);
    let to_internal = closing.to_internal.unwrap();
    assert_eq!((to_internal.sequence, to_internal.acknowledgement), (0, Some(C)));
    let to_external = closing.to_external.unwrap();
    assert_eq!((to_external.sequence, to_external.acknowledgement), (C, None));
}

#[test]
fn latest_client_syn_is_refused() {
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.internal(segment(SYN, 5, 0, 0)), Track::Pass);
    assert_eq!(close(&mut world).to_internal.unwrap().acknowledgement, Some(6));
}

#[test]
fn half_open_connection_resets_both_ends() {
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.external(segment(SYN | ACK, SERVER, C, 0)), Track::Pass);
    let closing = close(&mut world);
    assert_eq!(closing.to_internal.unwrap().sequence, S);
    assert_eq!(closing.to_external.unwrap().sequence, C);
}

/// A connection in TIME-WAIT, one that was reset, and one whose timer ran out get no reset (N-15).
#[test]
fn finished_connection_gets_no_reset() {
    let mut world = World::established();
    assert_eq!(world.internal(segment(FIN | ACK, C, S, 0)), Track::Pass);
    assert_eq!(world.external(segment(FIN | ACK, S, C + 1, 0)), Track::Pass);
    assert_eq!(world.internal(segment(ACK, C + 1, S + 1, 0)), Track::Pass);
    assert_eq!(world.state(), State::TimeWait);
    assert_eq!(close(&mut world), Resets::default());
    assert!(world.table.flow(world.id).is_none());

    let mut world = World::established();
    assert_eq!(world.internal(segment(RST, C, 0, 0)), Track::Pass);
    assert_eq!(close(&mut world), Resets::default());
    assert!(world.table.flow(world.id).is_none());

    let mut world = World::established();
    world.wait(Duration::from_secs(240));
    assert_eq!(close(&mut world), Resets::default());
    assert_eq!(world.table.counters().ended(Cause::Idle), 1);
}

/// INV-datagrams-not-reset.
#[test]
fn datagram_flows_close_without_notice() {
    for protocol in [Protocol::UDP, Protocol::ICMP, Protocol(47)] {
        let mut new = flow(protocol);
        if protocol == Protocol(47) {
            (new.internal, new.external) = (zero_port(new.internal), zero_port(new.external));
            new.remote = zero_port(new.remote);
        }
        let mut world = World::new(Settings::replayable(0), new);
        assert_eq!(close(&mut world), Resets::default());
        assert!(world.table.flow(world.id).is_none());
        assert_eq!(world.table.counters().ended(Cause::SourceSwitched), 1);
    }
}

fn zero_port(end: std::net::SocketAddrV4) -> std::net::SocketAddrV4 {
    std::net::SocketAddrV4::new(*end.ip(), 0)
}

/// A second close sends nothing (INV-resets-bounded).
#[test]
fn a_flow_is_reset_once() {
    let mut world = World::established();
    assert_ne!(close(&mut world), Resets::default());
    assert_eq!(close(&mut world), Resets::default());
    assert_eq!(world.table.counters().tombstones, 1);
}

/// A tombstone is found from both sides and carries nothing from the instant of closing
/// (INV-tombstone-answers, INV-both-halves-end, T-19).
#[test]
fn tombstone_blocks_both_sides() {
    let mut world = World::established();
    _ = close(&mut world);
    for (side, zone) in [(Side::Internal, world.new.internal_zone), (Side::External, Zone::PUBLIC)]
    {
        let packet = world.packet(side, segment(ACK, C, S, 1));
        let found = world.table.find(world.now, zone, &packet.headers.tuple()).unwrap();
        assert_eq!((found.side, found.standing), (side, Standing::Tombstone));
        assert_eq!(world.send(side, &packet), Track::Invalid);
    }
}

/// The answer is exact by construction, whoever sends (INV-reset-answers-segment,
/// INV-tombstone-answers).
#[test]
fn tombstone_answers_all_but_rst() {
    let mut world = World::established();
    _ = close(&mut world);
    let data = world.packet(Side::Internal, segment(ACK, C, S, 10));
    let reset = world.table.answer(world.now, world.id, Side::Internal, &data.headers).unwrap();
    assert_eq!((reset.source, reset.destination), (world.new.remote, world.new.internal));
    assert_eq!((reset.sequence, reset.acknowledgement), (S, None));
    let syn = world.packet(Side::External, segment(SYN, 5, 0, 0));
    let reset = world.table.answer(world.now, world.id, Side::External, &syn.headers).unwrap();
    assert_eq!((reset.source, reset.destination), (world.new.external, world.new.remote));
    assert_eq!((reset.sequence, reset.acknowledgement), (0, Some(6)));
    let rst = world.packet(Side::Internal, segment(RST | ACK, C, S, 0));
    assert_eq!(world.table.answer(world.now, world.id, Side::Internal, &rst.headers), None);
}

#[test]
fn a_live_flow_answers_nothing() {
    let mut world = World::established();
    let data = world.packet(Side::Internal, segment(ACK, C, S, 10));
    assert_eq!(world.table.answer(world.now, world.id, Side::Internal, &data.headers), None);
}

/// A tombstone answers a burst, then a fixed number a second (INV-resets-bounded).
#[test]
fn tombstone_answers_are_rate_limited() {
    let answers = Answers { burst: 3, interval: Duration::from_secs(1) };
    let settings = Settings { answers, ..Settings::replayable(0) };
    let mut world = World::new(settings, flow(Protocol::TCP));
    _ = close(&mut world);
    let data = world.packet(Side::Internal, segment(ACK, C, S, 10));
    let mut given = Vec::new();
    for _ in 0..4 {
        let answered = (0..5)
            .filter(|_| {
                world.table.answer(world.now, world.id, Side::Internal, &data.headers).is_some()
            })
            .count();
        given.push(answered);
        world.wait(Duration::from_secs(1));
    }
    assert_eq!(given, [3, 1, 1, 1]);
}

/// Nothing prolongs a tombstone's own timer. By then the hold-down of its tuple is over, as after
/// RST (U-12).
#[test]
fn tombstone_lives_exactly_its_timer() {
    let mut world = World::established();
    _ = close(&mut world);
    world.wait(Duration::from_secs(60) - Duration::from_nanos(1));
    let data = world.packet(Side::Internal, segment(ACK, C, S, 10));
    assert!(world.table.answer(world.now, world.id, Side::Internal, &data.headers).is_some());
    assert!(world.is_found());
    assert!(world.expire().is_empty());
    world.wait(Duration::from_nanos(1));
    assert_eq!(world.table.answer(world.now, world.id, Side::Internal, &data.headers), None);
    assert!(!world.is_found());
    assert_eq!(world.expire(), [Cause::SourceSwitched]);
    assert_eq!(world.table.counters().held, 0);
}

/// Only a SYN of the same initiator opens a new flow, over TIME-WAIT only with a higher number
/// (INV-syn-opens-anew, T-18).
#[test]
fn new_syn_reopens_closed_connection() {
    let syn = |world: &World, side, sequence| {
        let packet = world.packet(side, segment(SYN, sequence, 0, 0));
        world.table.may_reopen(world.id, side, &packet.headers)
    };
    let mut world = World::established();
    assert!(!syn(&world, Side::Internal, 1 << 20), "a live connection is not reopened");
    assert_eq!(world.internal(segment(FIN | ACK, C, S, 0)), Track::Pass);
    assert_eq!(world.external(segment(FIN | ACK, S, C + 1, 0)), Track::Pass);
    assert!(!syn(&world, Side::Internal, 1 << 20), "nor one that is not quite over");
    assert_eq!(world.internal(segment(ACK, C + 1, S + 1, 0)), Track::Pass);
    assert!(syn(&world, Side::Internal, C + 2));
    assert!(!syn(&world, Side::Internal, C + 1));
    assert!(!syn(&world, Side::External, 1 << 20), "the other end did not open it");
    let stray = world.packet(Side::Internal, segment(ACK, 1 << 20, S, 0));
    assert!(!world.table.may_reopen(world.id, Side::Internal, &stray.headers));

    let mut world = World::established();
    assert_eq!(world.external(segment(RST, S, 0, 0)), Track::Pass);
    assert!(syn(&world, Side::Internal, 1), "whatever the number");
    let mut world = World::established();
    _ = close(&mut world);
    assert!(syn(&world, Side::Internal, 1));
}

/// The new flow follows the new decision. Both halves of the old one are gone, and its tuple is in
/// hold-down (INV-syn-opens-anew).
#[test]
fn flow_over_tombstone_replaces_the_pair() {
    let mut world = World::established();
    _ = close(&mut world);
    let preserved = NewFlow { external: world.new.internal, external_zone: Zone(8), ..world.new };
    let id = open(&mut world.table, world.now, preserved).unwrap();
    assert!(world.table.flow(world.id).is_none(), "the old handle finds nothing");
    assert_eq!(world.table.flow(id).unwrap().external, world.new.internal);
    let late = world.packet(Side::External, segment(ACK, S, C, 1));
    assert_eq!(world.table.find(world.now, Zone::PUBLIC, &late.headers.tuple()), None);
    let counters = world.table.counters();
    assert_eq!((counters.live, counters.tombstones, counters.held), (1, 0, 1));
    assert_eq!(counters.ended(Cause::SourceSwitched), 1);
}

/// Only the initiator's side replaces: the far end cannot take a tuple still in use.
#[test]
fn tombstone_yields_to_initiator_only() {
    let mut world = World::new(
        Settings::replayable(0),
        NewFlow {
            external: flow(Protocol::TCP).internal,
            external_zone: Zone(8),
            ..flow(Protocol::TCP)
        },
    );
    _ = close(&mut world);
    let back = NewFlow { initiator: Side::External, ..world.new };
    assert_eq!(open(&mut world.table, world.now, back), Err(OpenError::TupleInUse));
    assert!(open(&mut world.table, world.now, world.new).is_ok());
}

/// INV-both-halves-end.
#[test]
fn both_halves_end_together() {
    let mut world = World::established();
    assert!(world.table.end(world.now, world.id, Cause::Evicted));
    assert!(!world.table.end(world.now, world.id, Cause::Evicted));
    for (side, zone) in [(Side::Internal, world.new.internal_zone), (Side::External, Zone::PUBLIC)]
    {
        let packet = world.packet(side, segment(ACK, C, S, 1));
        assert_eq!(world.table.find(world.now, zone, &packet.headers.tuple()), None);
    }
}

/// An end of a connection, as far as sequence numbers go.
#[derive(Clone, Copy, Debug)]
struct End {
    next: u32,
    expects: u32,
}

proptest! {
    /// Compares with a reference implementation of two well-behaved ends, at any starting numbers,
    /// across the wrap, with repeats.
    ///
    /// The resets have exactly the number that each end expects (INV-reset-number-exact).
    #[test]
    fn resets_are_exact_for_every_exchange(
        starts in any::<(u32, u32)>(),
        moves in proptest::collection::vec((any::<bool>(), 0_u16..3000, any::<bool>()), 0..40),
    ) {
        let new = flow(Protocol::TCP);
        let first = Packet::tcp(new.internal, new.remote, segment(SYN, starts.0, 0, 0));
        let mut table = vnetem_nat::FlowTable::new(Settings::replayable(0));
        let now = Time(0);
        let id = table.open(now, new, &first.headers, &first.bytes).unwrap();
        let mut world = World { table, now, new, id };
        let mut client = End { next: starts.0.wrapping_add(1), expects: starts.1.wrapping_add(1) };
        let mut server = End { next: client.expects, expects: client.next };
        prop_assert_eq!(world.external(segment(SYN | ACK, starts.1, client.next, 0)), Track::Pass);
        prop_assert_eq!(world.internal(segment(ACK, client.next, server.next, 0)), Track::Pass);
        for (from_client, length, repeat) in moves {
            let (from, to) = if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let data = segment(ACK, from.next, from.expects, length);
            from.next = from.next.wrapping_add(length.into());
            to.expects = from.next;
            for _ in 0..=u8::from(repeat) {
                let track = if from_client { world.internal(data) } else { world.external(data) };
                prop_assert_eq!(track, Track::Pass);
            }
        }
        let closing = world.table.close(now, id, Cause::SourceSwitched);
        prop_assert_eq!(closing.to_internal.unwrap().sequence, client.expects);
        prop_assert_eq!(closing.to_internal.unwrap().acknowledgement, Some(client.next));
        prop_assert_eq!(closing.to_external.unwrap().sequence, server.expects);
        prop_assert_eq!(closing.to_external.unwrap().acknowledgement, Some(server.next));
    }
}

/// A side that sends much uses up only its own answers (INV-resets-bounded).
#[test]
fn a_tombstone_answers_each_side_alike() {
    let mut world = World::established();
    _ = close(&mut world);
    let answers = |world: &mut World, side, made| {
        let late = world.packet(side, made);
        let (now, id) = (world.now, world.id);
        (0..20).filter(|_| world.table.answer(now, id, side, &late.headers).is_some()).count()
    };
    assert_eq!(answers(&mut world, Side::External, segment(ACK, S, C, 10)), 16);
    assert_eq!(answers(&mut world, Side::Internal, segment(ACK, C, S, 10)), 16);
}

/// Of a fragmented segment, the receiver expects the beginning until it has all fragments, then the
/// end (INV-reset-number-exact).
#[test]
fn a_reset_counts_all_fragments() {
    for (later, expected) in [(None, C), (Some((1024, 60, true)), C + 1064)] {
        let mut world = World::established();
        let mut fragments = Fragments::new(4, Duration::from_secs(30), Keys::replayable(0));
        let mut first = world.packet(Side::Internal, segment(ACK, C, S, 1004));
        first.headers.fragment = Fragment::First;
        let (now, id, side) = (world.now, world.id, Side::Internal);
        let track = world.table.track(now, id, side, &first.headers, &first.bytes);
        assert_eq!(track, Track::Pass);
        let key = FragmentKey {
            zone: world.new.internal_zone,
            source: first.headers.source,
            destination: first.headers.destination,
            protocol: Protocol::TCP,
            identification: 7,
        };
        fragments.note_first(now, key, &first.headers, id, side, Tenant::NOBODY);
        if let Some((offset, length, last)) = later {
            let span = Span { offset, length, last };
            let endpoint_independent = fragments.pass(now, &key, span);
            assert_eq!(endpoint_independent, Some((id, side, expected)));
            let (id, side, end) = endpoint_independent.unwrap();
            world.table.reach(now, id, side, end);
        }
        assert_eq!(close(&mut world).to_external.unwrap().sequence, expected);
    }
}

/// Later fragments may come in any order, and a FIN takes a number (INV-reset-number-exact).
#[test]
fn last_missing_fragment_completes_segment() {
    let world = World::established();
    let mut fragments = Fragments::new(4, Duration::from_secs(30), Keys::replayable(0));
    let mut first = world.packet(Side::Internal, segment(FIN | ACK, C, S, 28));
    first.headers.fragment = Fragment::First;
    let key = FragmentKey {
        zone: world.new.internal_zone,
        source: first.headers.source,
        destination: first.headers.destination,
        protocol: Protocol::TCP,
        identification: 7,
    };
    fragments.note_first(world.now, key, &first.headers, world.id, Side::Internal, Tenant::NOBODY);
    let span = |offset, length, last| Span { offset, length, last };
    assert_eq!(fragments.pass(world.now, &key, span(64, 5, true)), None);
    let endpoint_independent = fragments.pass(world.now, &key, span(48, 16, false));
    assert_eq!(endpoint_independent, Some((world.id, Side::Internal, C + 28 + 16 + 5 + 1)));
}

/// The timer ends a due flow even if others are due before it (INV-deadline-exact).
#[test]
fn a_single_flow_runs_out() {
    let mut world = World::established();
    let mut gone = Vec::new();
    assert!(!world.table.expire_flow(world.now, world.id, &mut |_| panic!("too early")));
    world.wait(Duration::from_secs(240));
    let mut sink = |ended: Ended<u32>| gone.push((ended.cause, ended.resets.to_internal.is_some()));
    assert!(world.table.expire_flow(world.now, world.id, &mut sink));
    assert!(!world.table.expire_flow(world.now, world.id, &mut |_| panic!("twice")));
    assert_eq!(gone, [(Cause::Idle, true)]);
    assert_eq!(world.table.counters().ended(Cause::Idle), 1);
}
