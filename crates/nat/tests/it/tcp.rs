//! TCP tracking.

use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{Cause, FlowId, NewFlow, Settings, Side, State, Track};
use vnetem_packet::{Protocol, TcpFlags};

use crate::packets::{ACK, FIN, Packet, RST, SYN, Segment, at, segment};
use crate::world::{CLIENT, SERVER, World, ends, flow, open};

const C: u32 = CLIENT + 1;
const S: u32 = SERVER + 1;

fn strict() -> World {
    let settings = Settings { strict_windows: true, ..Settings::replayable(0) };
    World::new(settings, flow(Protocol::TCP))
}

/// The states follow a path that Linux was seen to take.
#[test]
fn states_follow_linux() {
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.state(), State::SynSent);
    let steps = [
        (Side::External, segment(SYN | ACK, SERVER, C, 0), State::SynReceived),
        (Side::Internal, segment(ACK, C, S, 0), State::Established),
        (Side::Internal, segment(ACK, C, S, 100), State::Established),
        (Side::Internal, segment(FIN | ACK, C + 100, S, 0), State::FinWait),
        (Side::External, segment(ACK, S, C + 101, 0), State::CloseWait),
        (Side::External, segment(FIN | ACK, S, C + 101, 0), State::LastAck),
        (Side::Internal, segment(ACK, C + 101, S + 1, 0), State::TimeWait),
    ];
    for (number, (side, segment, state)) in steps.into_iter().enumerate() {
        let packet = world.packet(side, segment);
        assert_eq!(world.send(side, &packet), Track::Pass, "step {number}");
        assert_eq!(world.state(), state, "step {number}");
    }
}

/// Every class of segment in every state follows the table of Linux, except for the differences
/// that `transition` names.
#[test]
fn every_segment_follows_the_state_table() {
    use State::{
        CloseWait, Established, FinWait, LastAck, SynReceived, SynSent, SynSent2, TimeWait,
    };
    type Prepare = fn(&mut World);
    let none = |_: &mut World| {};
    let reach: [(State, Prepare); 8] = [
        (SynSent, none),
        (SynSent2, |w| _ = w.external(segment(SYN, SERVER, 0, 0))),
        (SynReceived, |w| _ = w.external(segment(SYN | ACK, SERVER, C, 0))),
        (Established, |w| w.handshake()),
        (FinWait, |w| {
            w.handshake();
            _ = w.internal(segment(FIN | ACK, C, S, 0));
        }),
        (CloseWait, |w| {
            w.handshake();
            _ = w.internal(segment(FIN | ACK, C, S, 0));
            _ = w.external(segment(ACK, S, C + 1, 0));
        }),
        (LastAck, |w| {
            w.handshake();
            _ = w.internal(segment(FIN | ACK, C, S, 0));
            _ = w.external(segment(FIN | ACK, S, C + 1, 0));
        }),
        (TimeWait, |w| {
            w.handshake();
            _ = w.internal(segment(FIN | ACK, C, S, 0));
            _ = w.external(segment(FIN | ACK, S, C + 1, 0));
            _ = w.internal(segment(ACK, C + 1, S + 1, 0));
        }),
    ];
    // The columns are SYN, SYN+ACK, FIN+ACK, ACK from the internal side, then from the external
    // side. A cell is the next state, `=` for passing without effect, or `!` for invalid. All
    // numbers fit.
    let table = [
        (SynSent, ["SynSent", "!", "!", "!", "SynSent2", "SynReceived", "!", "="]),
        (SynSent2, ["SynSent2", "SynReceived", "!", "!", "SynSent2", "SynReceived", "!", "="]),
        (
            SynReceived,
            [
                "=",
                "SynReceived",
                "FinWait",
                "Established",
                "!",
                "SynReceived",
                "FinWait",
                "SynReceived",
            ],
        ),
        (Established, ["=", "!", "FinWait", "Established", "!", "=", "FinWait", "Established"]),
        (FinWait, ["=", "!", "FinWait", "CloseWait", "!", "=", "LastAck", "CloseWait"]),
        (CloseWait, ["=", "!", "CloseWait", "CloseWait", "!", "=", "LastAck", "CloseWait"]),
        (LastAck, ["=", "!", "LastAck", "TimeWait", "!", "=", "LastAck", "TimeWait"]),
        (TimeWait, ["=", "!", "TimeWait", "TimeWait", "=", "=", "TimeWait", "TimeWait"]),
    ];
    for ((state, prepare), (same, row)) in reach.into_iter().zip(table) {
        assert_eq!(state, same);
        for (column, expected) in row.into_iter().enumerate() {
            let mut world = World::opened(Protocol::TCP);
            prepare(&mut world);
            assert_eq!(world.state(), state);
            let side = if column < 4 { Side::Internal } else { Side::External };
            let flags = [SYN, SYN | ACK, FIN | ACK, ACK][column % 4];
            let (from, to) = match side {
                Side::Internal => (CLIENT, SERVER),
                Side::External => (SERVER, CLIENT),
            };
            let sequence = if flags & SYN == 0 { from + 1 } else { from };
            let packet = world.packet(side, segment(flags, sequence, to + 1, 0));
            let before = world.table.flow(world.id).unwrap();
            world.wait(Duration::from_secs(1));
            let track = world.send(side, &packet);
            let after = world.table.flow(world.id).unwrap();
            let found = match track {
                Track::Invalid => String::from("!"),
                Track::Pass if after.last == before.last => String::from("="),
                Track::Pass => format!("{:?}", after.state),
            };
            assert_eq!(found, expected, "{state:?} {side:?} {:?}", TcpFlags(flags));
            if found == "!" {
                assert_eq!(after, before, "an invalid segment changes nothing");
            }
        }
    }
}

/// Flags that no connection combines are invalid (T-20).
#[test]
fn impossible_flags_are_invalid() {
    for flags in 0..=0x3F {
        let mut world = World::established();
        let valid = [SYN, SYN | ACK, FIN | ACK, ACK, RST, RST | ACK];
        let expected = match flags & 0x17 {
            classes if !valid.contains(&classes) => Track::Invalid,
            // From the initiator of an established connection.
            classes if classes == SYN | ACK => Track::Invalid,
            _ => Track::Pass,
        };
        assert_eq!(world.internal(segment(flags, C, S, 0)), expected, "{:?}", TcpFlags(flags));
    }
}

/// T-14.
#[test]
fn simultaneous_open_reaches_established() {
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.external(segment(SYN, SERVER, 0, 0)), Track::Pass);
    assert_eq!(world.state(), State::SynSent2);
    assert_eq!(world.internal(segment(SYN | ACK, CLIENT, S, 0)), Track::Pass);
    assert_eq!(world.external(segment(SYN | ACK, SERVER, C, 0)), Track::Pass);
    assert_eq!(world.state(), State::SynReceived);
    assert_eq!(world.internal(segment(ACK, C, S, 10)), Track::Pass);
    assert_eq!(world.state(), State::Established);
}

/// A reply to a SYN that acknowledges something else is invalid (RFC 9293 3.10.7.3).
#[test]
fn syn_ack_must_acknowledge_syn() {
    for acknowledgement in [CLIENT, C + 1, 0, C.wrapping_add(1 << 31)] {
        let mut world = World::opened(Protocol::TCP);
        assert_eq!(world.external(segment(SYN | ACK, SERVER, acknowledgement, 0)), Track::Pass);
        assert_eq!(world.state(), State::SynSent, "{acknowledgement}");
        let closing = world.table.close(world.now, world.id, Cause::SourceSwitched);
        assert_eq!(closing.to_internal.unwrap().sequence, 0, "nothing of the server counts");
    }
}

/// A repeated FIN is not the other end's.
#[test]
fn repeated_fin_leaves_connection_half_closed() {
    let mut world = World::established();
    for _ in 0..3 {
        assert_eq!(world.internal(segment(FIN | ACK, C, S, 0)), Track::Pass);
    }
    assert_eq!(world.state(), State::FinWait);
    assert_eq!(world.external(segment(ACK, S, C + 1, 500)), Track::Pass);
    assert_eq!(world.internal(segment(FIN | ACK, C, S + 500, 0)), Track::Pass);
    assert_eq!(world.state(), State::CloseWait);
    // So a change still closes it (INV-toggle-ends-exact-set).
    let closing = world.table.close(world.now, world.id, Cause::SourceSwitched);
    assert_eq!(closing.to_internal.unwrap().sequence, S + 500);
}

/// An RST ends a connection only by its exact number, from either side, in every synchronised state
/// (INV-inexact-reset-ignored, T-17).
#[test]
fn only_exact_rst_ends_connection() {
    let states: [fn(&mut World); 3] = [
        |_| {},
        |world| _ = world.internal(segment(FIN | ACK, C, S, 0)),
        |world| {
            _ = world.internal(segment(FIN | ACK, C, S, 0));
            _ = world.external(segment(FIN | ACK, S, C + 1, 0));
        },
    ];
    for prepare in states {
        for side in [Side::Internal, Side::External] {
            for offset in [0_u32, 1, u32::MAX, 500, 1 << 20, 1 << 31] {
                let mut world = World::established();
                prepare(&mut world);
                let before = world.table.flow(world.id).unwrap();
                let ends = world.table.close(world.now, world.id, Cause::Evicted);
                let exact = match side {
                    Side::Internal => ends.to_external.unwrap().sequence,
                    Side::External => ends.to_internal.unwrap().sequence,
                };
                let mut world = World::established();
                prepare(&mut world);
                world.wait(Duration::from_secs(1));
                let packet = world.packet(side, segment(RST, exact.wrapping_add(offset), 0, 0));
                assert_eq!(world.send(side, &packet), Track::Pass);
                let after = world.table.flow(world.id).unwrap();
                if offset == 0 {
                    assert_eq!(after.state, State::Close);
                    assert_eq!(world.table.flow(world.id).unwrap().last, world.now);
                } else if after.state == State::Close {
                    // The other exact number is the last that the receiver acknowledged.
                    let unacknowledged = matches!(before.state, State::FinWait | State::LastAck);
                    assert!(unacknowledged && offset == u32::MAX);
                } else {
                    assert_eq!((after.state, after.last), (before.state, before.last));
                }
            }
        }
    }
}

/// The number that the receiver acknowledged last is exact too, since an end that forgot the
/// connection answers with it (INV-inexact-reset-ignored).
#[test]
fn rst_answering_acknowledgement_is_exact() {
    let mut world = World::established();
    assert_eq!(world.external(segment(ACK, S, C, 300)), Track::Pass);
    assert_eq!(world.external(segment(ACK, S + 300, C, 300)), Track::Pass);
    // The second segment is lost behind the NAT: the client acknowledges only the first.
    assert_eq!(world.internal(segment(ACK, C, S + 300, 0)), Track::Pass);
    assert_eq!(world.external(segment(RST, S + 299, 0, 0)), Track::Pass);
    assert_eq!(world.state(), State::Established);
    assert_eq!(world.external(segment(RST, S + 300, 0, 0)), Track::Pass);
    assert_eq!(world.state(), State::Close);
}

/// Only an RST that acknowledges the SYN refuses a handshake (INV-reset-answers-segment,
/// INV-inexact-reset-ignored).
#[test]
fn only_acknowledging_rst_refuses_syn() {
    let cases = [
        (segment(RST, 0, 0, 0), State::SynSent),
        (segment(RST | ACK, 0, CLIENT, 0), State::SynSent),
        (segment(RST | ACK, 0, C + 1, 0), State::SynSent),
        (segment(RST | ACK, 77, C, 0), State::Refused),
    ];
    for (segment, state) in cases {
        let mut world = World::opened(Protocol::TCP);
        assert_eq!(world.external(segment), Track::Pass);
        assert_eq!(world.state(), state, "{segment:?}");
    }
}

/// A refused connection is gone at that instant. Its port has the hold-down of an RST (N-14, T-17).
#[test]
fn refused_connection_ends_immediately() {
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.external(segment(RST | ACK, 0, C, 0)), Track::Pass);
    assert!(!world.is_found());
    assert_eq!(world.table.next_deadline().map(|next| next <= world.now), Some(true));
    assert_eq!(world.expire(), [Cause::Reset]);
    let mut again = world.new;
    again.generation = vnetem_nat::Generation(2);
    let same = crate::world::open(&mut world.table, world.now, again);
    assert_eq!(same, Err(vnetem_nat::OpenError::TupleHeld), "its port rests");
    world.wait(Duration::from_secs(16));
    assert!(crate::world::open(&mut world.table, world.now, again).is_ok());
}

/// The highest end forwarded counts, even when a SYN and ACK is repeated after data
/// (INV-reset-number-exact).
#[test]
fn repeated_syn_ack_preserves_reset_number() {
    let mut world = World::opened(Protocol::TCP);
    let syn_ack = Segment { window: 1000, ..segment(SYN | ACK, SERVER, C, 0) };
    assert_eq!(world.external(syn_ack), Track::Pass);
    // The client's acknowledgement took another path.
    assert_eq!(world.external(segment(ACK, S, C, 300)), Track::Pass);
    assert_eq!(world.state(), State::SynReceived);
    assert_eq!(world.external(syn_ack), Track::Pass);
    assert_eq!(world.state(), State::SynReceived);
    let closing = world.table.close(world.now, world.id, Cause::SourceSwitched);
    assert_eq!(closing.to_internal.unwrap().sequence, S + 300);
    // A higher number is another attempt.
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.external(syn_ack), Track::Pass);
    assert_eq!(world.external(segment(SYN | ACK, SERVER + 7000, C, 0)), Track::Pass);
    let closing = world.table.close(world.now, world.id, Cause::SourceSwitched);
    assert_eq!(closing.to_internal.unwrap().sequence, S + 7000);
}

/// After a simultaneous open the acknowledgement of either end establishes; otherwise only the
/// initiator's does (T-14, RFC 9293 3.5).
#[test]
fn simultaneous_open_needs_both_acknowledgements() {
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.external(segment(SYN, SERVER, 0, 0)), Track::Pass);
    assert_eq!(world.internal(segment(SYN | ACK, CLIENT, S, 0)), Track::Pass);
    assert_eq!(world.external(segment(SYN | ACK, SERVER, C, 0)), Track::Pass);
    assert_eq!(world.state(), State::SynReceived);
    assert_eq!(world.external(segment(ACK, S, C, 0)), Track::Pass);
    assert_eq!(world.state(), State::Established);
    let mut world = World::opened(Protocol::TCP);
    assert_eq!(world.external(segment(SYN | ACK, SERVER, C, 0)), Track::Pass);
    assert_eq!(world.external(segment(ACK, S, C, 0)), Track::Pass);
    assert_eq!(world.state(), State::SynReceived, "the initiator has acknowledged nothing");
}

/// New data shows that an RST was not accepted. A stray acknowledgement or old data shows nothing
/// (T-17, INV-syn-opens-anew).
#[test]
fn only_data_revives_reset_connection() {
    let mut world = World::established();
    assert_eq!(world.external(segment(ACK, S, C, 100)), Track::Pass);
    assert_eq!(world.external(segment(RST, S + 100, 0, 0)), Track::Pass);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.internal(segment(ACK, C, S + 100, 0)), Track::Pass);
    assert_eq!(world.external(segment(ACK, S, C, 100)), Track::Pass);
    assert_eq!(world.state(), State::Close);
    assert_ne!(world.table.flow(world.id).unwrap().last, world.now);
    assert_eq!(world.internal(segment(ACK, C, S + 100, 10)), Track::Pass);
    assert_eq!(world.state(), State::Established);
    world.wait(Duration::from_secs(200));
    assert!(world.is_found(), "with the timer of an established connection");
}

/// Window scaling counts only if both ends offer it (RFC 7323).
#[test]
fn window_scaling_needs_both_ends() {
    for (client, server, reach) in
        [(Some(3), Some(4), 1000 << 4), (Some(3), None, 1000), (None, Some(4), 1000)]
    {
        let mut new = flow(Protocol::TCP);
        new.cached = 1;
        let settings = Settings { strict_windows: true, ..Settings::replayable(0) };
        let mut table = vnetem_nat::FlowTable::new(settings);
        let syn = Segment { scale: client, ..segment(SYN, CLIENT, 0, 0) };
        let packet = Packet::tcp(new.internal, new.remote, syn);
        let now = vnetem_nat::Time(0);
        let id = table.open(now, new, &packet.headers, &packet.bytes).unwrap();
        let mut world = World { table, now, new, id };
        let answer = Segment { scale: server, window: 1000, ..segment(SYN | ACK, SERVER, C, 0) };
        assert_eq!(world.external(answer), Track::Pass);
        assert_eq!(world.internal(segment(ACK, C, S, 0)), Track::Pass);
        let update = Segment { window: 1000, ..segment(ACK, S, C, 0) };
        assert_eq!(world.external(update), Track::Pass);
        assert_eq!(world.internal(segment(ACK, C + reach, S, 1)), Track::Invalid, "{reach}");
        assert_eq!(world.internal(segment(ACK, C + reach - 1, S, 1)), Track::Pass, "{reach}");
    }
}

/// Tries the four edges of the windows, by one byte.
#[test]
fn strict_window_edges_are_exact() {
    let cases: [(Segment, Track); 8] = [
        // The client's data, up to the server's window of 65,535 bytes.
        (segment(ACK, C + 65_535 - 10, S, 10), Track::Pass),
        (segment(ACK, C + 65_535 - 9, S, 10), Track::Invalid),
        // Old data, no further back than the server's window or 66,000 bytes, whichever is less.
        (segment(ACK, C.wrapping_sub(66_001), S, 0), Track::Pass),
        (segment(ACK, C.wrapping_sub(66_002), S, 0), Track::Invalid),
        // Acknowledgements of what the server sent, and of no more.
        (segment(ACK, C, S, 0), Track::Pass),
        (segment(ACK, C, S + 1, 0), Track::Invalid),
        (segment(ACK, C, S.wrapping_sub(66_000), 0), Track::Pass),
        (segment(ACK, C, S.wrapping_sub(66_001), 0), Track::Invalid),
    ];
    for (segment, expected) in cases {
        let mut world = strict();
        world.handshake();
        assert_eq!(world.internal(segment), expected, "{segment:?}");
        // By default the same segments pass, and those outside change nothing.
        let mut world = World::established();
        let before = world.table.flow(world.id).unwrap();
        world.wait(Duration::from_secs(1));
        assert_eq!(world.internal(segment), Track::Pass);
        let after = world.table.flow(world.id).unwrap();
        assert_eq!(after.last != before.last, expected == Track::Pass, "{segment:?}");
        assert_eq!(after.packets.internal, before.packets.internal + 1);
    }
}

#[test]
fn strict_windows_check_rst() {
    for (sequence, expected) in [
        (S + 1, Track::Pass),
        (S + 65_535, Track::Pass),
        (S + 65_536, Track::Invalid),
        (S - 1, Track::Invalid),
    ] {
        let mut world = strict();
        world.handshake();
        assert_eq!(world.external(segment(RST, sequence, 0, 0)), expected, "{sequence}");
        assert_eq!(world.state(), State::Established);
    }
}

proptest! {
    /// Segments outside the windows pass, but move no number on which a reset or timer depends. Nor
    /// do RSTs and SYNs that pass (INV-reset-number-exact).
    #[test]
    fn out_of_window_segments_keep_resets(
        wild in proptest::collection::vec(
            (any::<bool>(), any::<u8>(), 70_000_u32..u32::MAX - 70_000, 70_000_u32..u32::MAX - 70_000, any::<u16>(), 0_u16..1000),
            1..20,
        ),
    ) {
        let mut calm = World::established();
        let mut world = World::established();
        world.wait(Duration::from_secs(1));
        calm.now = world.now;
        for (internal, flags, sequence, acknowledgement, window, payload) in wild {
            let side = if internal { Side::Internal } else { Side::External };
            let (next, expects) = if internal { (C, S) } else { (S, C) };
            let segment = Segment {
                window,
                ..segment(flags, next.wrapping_add(sequence), expects.wrapping_add(acknowledgement), payload)
            };
            let packet = world.packet(side, segment);
            _ = world.send(side, &packet);
        }
        let (flow, calm_flow) = (world.table.flow(world.id).unwrap(), calm.table.flow(calm.id).unwrap());
        prop_assert_eq!((flow.state, flow.last), (calm_flow.state, calm_flow.last));
        let resets = world.table.close(world.now, world.id, Cause::SourceSwitched);
        prop_assert_eq!(resets, calm.table.close(calm.now, calm.id, Cause::SourceSwitched));
    }
}

/// A segment that is picked up in the middle tells all that is known of its connection (T-19).
#[test]
fn picked_up_connection_closes_exactly() {
    let new = flow(Protocol::TCP);
    let packet = Packet::tcp(new.internal, new.remote, segment(ACK, 70, 90, 30));
    let mut table = vnetem_nat::FlowTable::new(Settings::replayable(0));
    let now = vnetem_nat::Time(0);
    let id = table.open(now, new, &packet.headers, &packet.bytes).unwrap();
    let mut world = World { table, now, new, id };
    assert_eq!(world.state(), State::Established);
    assert_eq!(world.external(segment(ACK, 90, 100, 60_000)), Track::Pass);
    let closing = world.table.close(now, id, Cause::PathSwitched);
    assert_eq!(closing.to_internal.unwrap().sequence, 60_090);
    assert_eq!(closing.to_external.unwrap().sequence, 100);
}

/// If both ends restart a forgotten connection, the flow follows, as in Linux. Later resets are
/// exact (INV-reset-number-exact, T-18).
#[test]
fn connection_restarted_by_both_is_followed() {
    for mut world in [World::opened(Protocol::TCP), strict()] {
        world.handshake();
        assert_eq!(world.internal(segment(ACK, C, S, 100)), Track::Pass);
        let again = [
            (Side::Internal, segment(SYN, C - 1000, 0, 0), State::Established),
            (Side::External, segment(SYN | ACK, 70_000, C - 999, 0), State::SynReceived),
            (Side::Internal, segment(ACK, C - 999, 70_001, 0), State::Established),
            (Side::External, segment(ACK, 70_001, C - 999, 50), State::Established),
        ];
        let answer_again = segment(SYN | ACK, 70_000, C - 999, 0);
        for (side, segment, state) in again {
            let packet = world.packet(side, segment);
            assert_eq!(world.send(side, &packet), Track::Pass);
            assert_eq!(world.state(), state);
        }
        _ = world.external(answer_again);
        assert_eq!(world.state(), State::Established, "once");
        let closing = world.table.close(world.now, world.id, Cause::SourceSwitched);
        assert_eq!(closing.to_internal.map(|reset| reset.sequence), Some(70_051));
        assert_eq!(closing.to_external.map(|reset| reset.sequence), Some(C - 999));
    }
}

/// The same holds for an end that restarts once more before the far end replies
/// (INV-reset-number-exact).
#[test]
fn second_restart_is_followed() {
    for mut world in [World::opened(Protocol::TCP), strict()] {
        world.handshake();
        assert_eq!(world.internal(segment(ACK, C, S, 100)), Track::Pass);
        for (client, server) in [(2_000_000_000, 70_000), (3_000_000_000, 2_500_000_000)] {
            assert_eq!(world.internal(segment(SYN, client, 0, 0)), Track::Pass);
            assert_eq!(world.external(segment(SYN | ACK, server, client + 1, 0)), Track::Pass);
            assert_eq!(world.state(), State::SynReceived);
        }
        let closing = world.table.close(world.now, world.id, Cause::SourceSwitched);
        assert_eq!(closing.to_internal.map(|reset| reset.sequence), Some(2_500_000_001));
        assert_eq!(closing.to_external.map(|reset| reset.sequence), Some(3_000_000_001));
    }
}

/// A repeated handshake changes no number, and neither does a reply to a SYN that nobody sent
/// (INV-reset-number-exact, T-18).
#[test]
fn repeated_handshake_is_not_new() {
    for (syn, answer) in [(CLIENT, C), (C + 99, C + 100), (C + 5000, C + 5002)] {
        let mut world = World::opened(Protocol::TCP);
        world.handshake();
        assert_eq!(world.internal(segment(ACK, C, S, 100)), Track::Pass);
        assert_eq!(world.internal(segment(SYN, syn, 0, 0)), Track::Pass);
        assert_eq!(world.external(segment(SYN | ACK, 70_000, answer, 0)), Track::Pass);
        assert_eq!(world.state(), State::Established, "{syn}");
        let closing = world.table.close(world.now, world.id, Cause::SourceSwitched);
        assert_eq!(closing.to_internal.map(|reset| reset.sequence), Some(S));
        assert_eq!(closing.to_external.map(|reset| reset.sequence), Some(C + 100));
    }
}

/// Each flow's latest SYN is remembered, however many other flows have one
/// (INV-reset-number-exact).
#[test]
fn every_flows_new_syn_is_remembered() {
    let state_after = |others: u16| {
        let mut world = World::established();
        assert_eq!(world.internal(segment(SYN, 900_000, 0, 0)), Track::Pass);
        for port in 1..=others {
            let internal = at([10, 0, 0, 5], port);
            let new = NewFlow { internal, external: at([20, 1, 1, 2], port), ..world.new };
            let id = open(&mut world.table, world.now, new).unwrap();
            for made in [segment(SYN | ACK, SERVER, C, 0), segment(ACK, C, S, 0)] {
                let side = if made.flags & SYN == 0 { Side::Internal } else { Side::External };
                track(&mut world, id, &new, side, made);
            }
            for number in [700_000, 800_000] {
                track(&mut world, id, &new, Side::Internal, segment(SYN, number, 0, 0));
            }
        }
        assert_eq!(world.external(segment(SYN | ACK, 70_000, 900_001, 0)), Track::Pass);
        world.state()
    };
    for others in [0, 256, 1000] {
        assert_eq!(state_after(others), State::SynReceived, "{others}");
    }
}

fn track(world: &mut World, id: FlowId, new: &NewFlow<u32>, side: Side, made: Segment) {
    let (source, destination) = ends(new, side);
    let packet = Packet::tcp(source, destination, made);
    let track = world.table.track(world.now, id, side, &packet.headers, &packet.bytes);
    assert_eq!(track, Track::Pass);
}

/// The window of a SYN, and of a SYN with ACK, is never scaled (RFC 7323 2.2).
#[test]
fn syn_ack_window_is_unscaled() {
    let mut new = flow(Protocol::TCP);
    new.cached = 1;
    for (reach, expected) in [(1000, Track::Pass), (1001, Track::Invalid)] {
        let settings = Settings { strict_windows: true, ..Settings::replayable(0) };
        let mut table = vnetem_nat::FlowTable::new(settings);
        let syn = Segment { scale: Some(7), ..segment(SYN, CLIENT, 0, 0) };
        let packet = Packet::tcp(new.internal, new.remote, syn);
        let now = vnetem_nat::Time(0);
        let id = table.open(now, new, &packet.headers, &packet.bytes).unwrap();
        let mut world = World { table, now, new, id };
        let answer = Segment { scale: Some(7), window: 1000, ..segment(SYN | ACK, SERVER, C, 0) };
        assert_eq!(world.external(answer), Track::Pass);
        assert_eq!(world.internal(segment(ACK, C, S, reach)), expected, "{reach} bytes");
    }
}

/// A quoted number must lie between the oldest unacknowledged one and the next one, on either side
/// (RFC 5927 4.1).
#[test]
fn quoted_number_must_be_in_flight() {
    let mut world = World::opened(Protocol::TCP);
    let is = |world: &World, side, sequence| world.table.is_under_way(world.id, side, sequence);
    let window = |world: &World, side, first: u32, last: u32| {
        assert!(is(world, side, first) && is(world, side, last), "{first} to {last}");
        assert!(!is(world, side, first.wrapping_sub(1)) && !is(world, side, last.wrapping_add(1)));
    };
    window(&world, Side::Internal, CLIENT, C);
    assert!(!is(&world, Side::External, SERVER), "it has sent nothing");
    assert_eq!(world.external(segment(SYN | ACK, SERVER, C, 0)), Track::Pass);
    window(&world, Side::Internal, C, C);
    window(&world, Side::External, SERVER, S);
    assert_eq!(world.internal(segment(ACK, C, S, 100)), Track::Pass);
    window(&world, Side::Internal, C, C + 100);
    window(&world, Side::External, S, S);
    assert_eq!(world.external(segment(ACK, S, C + 40, 10)), Track::Pass);
    window(&world, Side::Internal, C + 40, C + 100);
    window(&world, Side::External, S, S + 10);
}
