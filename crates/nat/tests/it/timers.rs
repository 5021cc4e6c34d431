//! Time: what keeps a flow alive, and the instant at which it ends.

use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    Cause, FlowTable, Generation, HoldDown, IdleMinutes, MappingPolicy, NewFlow, RevalidationKey,
    Settings, Side, State, Time, TimerProfile, Timers, Track,
};
use vnetem_packet::Protocol;

use crate::packets::{ACK, FIN, Packet, RST, SYN, at, segment};
use crate::world::{CLIENT, SERVER, World, ends, first, flow, open};

const C: u32 = CLIENT + 1;
const S: u32 = SERVER + 1;
const NANOSECOND: Duration = Duration::from_nanos(1);

/// Tries the instants around the deadline, for every state of every profile.
/// INV-deadline-exact, N-15, T-13, T-15, T-21.
#[test]
fn flow_expires_exactly_at_deadline() {
    type Prepare = fn(&mut World);
    type Timer = fn(&Timers) -> Duration;
    let cases: [(Protocol, Prepare, Timer, Cause); 12] = [
        (Protocol::TCP, |_| {}, |t| t.syn_sent, Cause::HalfOpen),
        (
            Protocol::TCP,
            |w| _ = w.external(segment(SYN | ACK, SERVER, C, 0)),
            |t| t.syn_received,
            Cause::HalfOpen,
        ),
        (Protocol::TCP, World::handshake, |t| t.established, Cause::Idle),
        (
            Protocol::TCP,
            |w| {
                w.handshake();
                _ = w.internal(segment(FIN | ACK, C, S, 0));
            },
            |t| t.fin_wait,
            Cause::Fin,
        ),
        (
            Protocol::TCP,
            |w| {
                w.handshake();
                _ = w.internal(segment(FIN | ACK, C, S, 0));
                _ = w.external(segment(ACK, S, C + 1, 0));
            },
            |t| t.close_wait,
            Cause::Fin,
        ),
        (
            Protocol::TCP,
            |w| {
                w.handshake();
                _ = w.internal(segment(FIN | ACK, C, S, 0));
                _ = w.external(segment(FIN | ACK, S, C + 1, 0));
            },
            |t| t.last_ack,
            Cause::Fin,
        ),
        (
            Protocol::TCP,
            |w| {
                w.handshake();
                _ = w.internal(segment(FIN | ACK, C, S, 0));
                _ = w.external(segment(FIN | ACK, S, C + 1, 0));
                _ = w.internal(segment(ACK, C + 1, S + 1, 0));
            },
            |t| t.time_wait,
            Cause::Fin,
        ),
        (
            Protocol::TCP,
            |w| {
                w.handshake();
                _ = w.internal(segment(RST, C, 0, 0));
            },
            |t| t.close,
            Cause::Reset,
        ),
        (
            Protocol::TCP,
            |w| _ = w.table.close(w.now, w.id, Cause::PathSwitched),
            |t| t.tombstone,
            Cause::PathSwitched,
        ),
        (Protocol::UDP, |_| {}, |t| t.udp_one_way, Cause::Idle),
        (
            Protocol::UDP,
            |w| {
                let (source, destination) = ends(&w.new, Side::External);
                _ = w.send(Side::External, &Packet::udp(source, destination));
                assert_eq!(w.state(), State::TwoWay);
            },
            |t| t.udp_two_way,
            Cause::Idle,
        ),
        (Protocol::ICMP, |_| {}, |t| t.icmp, Cause::Idle),
    ];
    let own = Timers { established: Duration::from_secs(77), ..Timers::AZURE };
    let idle = IdleMinutes::new(17).unwrap();
    for (profile, timers) in [
        (TimerProfile::Table, own),
        (TimerProfile::Linux, Timers::LINUX),
        (TimerProfile::Rfc, Timers::RFC),
        (TimerProfile::Azure(IdleMinutes::MIN), Timers::AZURE),
        (TimerProfile::Azure(idle), Timers::azure(idle)),
        (TimerProfile::Azure(IdleMinutes::MAX), Timers::azure(IdleMinutes::MAX)),
        (TimerProfile::Balancer(idle), Timers::balancer(idle)),
    ] {
        for (protocol, prepare, timer, cause) in cases {
            let mapping_policy = MappingPolicy::default().with_timers(profile);
            let settings = Settings { timers: own, ..Settings::replayable(0) };
            let mut world = World::new(settings, NewFlow { mapping_policy, ..flow(protocol) });
            prepare(&mut world);
            let state = world.state();
            let earliest = world.table.next_deadline().unwrap();
            assert!(earliest <= world.now + timer(&timers), "{state:?}");
            world.wait(timer(&timers) - NANOSECOND);
            assert!(world.is_found(), "{state:?}");
            assert!(world.expire().is_empty(), "{state:?}");
            world.wait(NANOSECOND);
            assert!(!world.is_found(), "{state:?}");
            assert_eq!(world.expire(), [cause], "{state:?}");
            assert!(world.table.flow(world.id).is_none());
            let end = world.now + Duration::from_secs(240);
            while let Some(next) = world.table.next_deadline() {
                assert!(next > world.now && next <= end, "only its tuple rests");
                world.now = next;
                assert!(world.expire().is_empty());
            }
        }
    }
}

/// Profiles have the published figures and the RFCs' minimum (N-15, T-13, T-15, T-21).
#[test]
fn profiles_hold_the_published_figures() {
    let seconds = Duration::from_secs;
    let azure = Timers::AZURE;
    assert_eq!([azure.established, azure.udp_one_way, azure.udp_two_way], [seconds(240); 3]);
    let rfc = Timers::RFC;
    assert!(rfc.established >= seconds(7440));
    for transitory in [
        rfc.syn_sent,
        rfc.syn_received,
        rfc.fin_wait,
        rfc.close_wait,
        rfc.last_ack,
        rfc.time_wait,
        rfc.close,
    ] {
        assert!(transitory >= seconds(240));
    }
    assert!(
        rfc.udp_one_way >= seconds(120) && rfc.icmp >= seconds(60) && azure.icmp >= seconds(60)
    );
    assert_eq!(Timers::LINUX.established, seconds(432_000));
    let hold = HoldDown::AZURE;
    assert_eq!(
        [hold.fin, hold.reset, hold.half_open, hold.datagram],
        [seconds(65), seconds(16), seconds(30), seconds(65)]
    );
}

/// A later decision does not change the timers of a flow (N-15).
#[test]
fn revalidated_flow_retains_its_timers() {
    let idle = IdleMinutes::new(9).unwrap();
    let mapping_policy = MappingPolicy::default().with_timers(TimerProfile::Azure(idle));
    let mut world =
        World::new(Settings::replayable(0), NewFlow { mapping_policy, ..flow(Protocol::TCP) });
    world.handshake();
    world.table.invalidate(RevalidationKey(1), Generation(2));
    assert!(world.table.refresh(world.id, RevalidationKey(2), Generation(2), 7));
    assert_eq!(world.table.flow(world.id).unwrap().revalidation_key, RevalidationKey(2));
    world.wait(Duration::from_secs(9 * 60) - NANOSECOND);
    assert!(world.is_found());
    world.wait(NANOSECOND);
    assert_eq!(world.expire(), [Cause::Idle]);
}

/// Traffic restarts the timer (N-15), from the external side only if configured (T-13).
#[test]
fn inbound_datagrams_refresh_only_if_set() {
    for inbound_refreshes in [true, false] {
        let settings = Settings { inbound_refreshes, ..Settings::replayable(0) };
        let mut world = World::new(settings, flow(Protocol::UDP));
        for side in [Side::Internal, Side::External] {
            world.wait(Duration::from_secs(100));
            let (source, destination) = ends(&world.new, side);
            assert_eq!(world.send(side, &Packet::udp(source, destination)), Track::Pass);
            let refreshed = world.table.flow(world.id).unwrap().last == world.now;
            assert_eq!(refreshed, side == Side::Internal || inbound_refreshes);
        }
    }
}

/// An RST that does not count refreshes nothing (T-13), and neither does a segment that does not
/// fit (INV-clock-steps-harmless).
#[test]
fn an_rst_refreshes_nothing() {
    let mut world = World::established();
    let before = world.table.flow(world.id).unwrap().last;
    world.wait(Duration::from_secs(100));
    for sequence in [C + 1, C - 1, C + (1 << 20)] {
        assert_eq!(world.internal(segment(RST, sequence, 0, 0)), Track::Pass);
        assert_eq!(world.external(segment(ACK, sequence + (1 << 30), C, 0)), Track::Pass);
    }
    assert_eq!(world.table.flow(world.id).unwrap().last, before);
}

/// A flow past its deadline has no effect, swept or not (INV-deadline-exact).
#[test]
fn expired_flow_carries_nothing() {
    let mut world = World::established();
    world.wait(Duration::from_secs(240));
    assert_eq!(world.internal(segment(ACK, C, S, 1)), Track::Invalid);
    assert!(world.table.flow(world.id).is_some(), "it was not swept yet");
    assert_eq!(world.expire(), [Cause::Idle]);
}

/// A timer that becomes shorter takes effect at once: five days of an established connection become
/// ten seconds after a reset.
#[test]
fn shorter_timer_takes_effect_immediately() {
    let settings = Settings { timers: Timers::LINUX, ..Settings::replayable(0) };
    let mut world = World::new(settings, flow(Protocol::TCP));
    world.handshake();
    assert_eq!(world.internal(segment(RST, C, 0, 0)), Track::Pass);
    assert!(world.table.next_deadline().unwrap() <= world.now + Duration::from_secs(10));
    world.wait(Duration::from_secs(10));
    assert_eq!(world.expire(), [Cause::Reset]);
}

/// A clock that steps back ends nothing early, keeps nothing longer, and changes no order
/// (INV-clock-steps-harmless).
#[test]
fn backward_clock_counts_as_latest() {
    let mut world = World::established();
    world.wait(Duration::from_secs(200));
    assert_eq!(world.internal(segment(ACK, C, S, 1)), Track::Pass);
    let latest = world.now;
    world.now = Time(0);
    assert!(world.is_found());
    assert_eq!(world.internal(segment(ACK, C + 1, S, 1)), Track::Pass);
    assert_eq!(world.table.flow(world.id).unwrap().last, latest);
    assert!(world.expire().is_empty());
    world.now = latest + Duration::from_secs(240);
    assert_eq!(world.expire(), [Cause::Idle]);
}

/// A leap of 2^62 ns, the end of time, and all at once (faults 23 to 26).
#[test]
fn time_leap_expires_everything_at_once() {
    for leap in [1 << 62, u64::MAX] {
        let mut table = FlowTable::new(Settings::replayable(0));
        for port in 1..=500 {
            let mut new = flow(Protocol::UDP);
            (new.internal, new.external) = (at([10, 0, 0, 1], port), at([20, 1, 1, 1], port));
            open(&mut table, Time(u64::from(port)), new).unwrap();
        }
        let mut ended = 0;
        table.expire(Time(leap), usize::MAX, &mut |_| ended += 1);
        assert_eq!((ended, table.counters().live), (500, 0));
        assert_eq!(table.next_deadline(), None);
        // The table still works.
        let new = NewFlow { internal: at([10, 0, 0, 1], 9), ..flow(Protocol::UDP) };
        let id = open(&mut table, Time(leap), new).unwrap();
        let found = table.find(Time(leap), new.internal_zone, &first(&new).headers.tuple());
        assert_eq!(found.is_some(), leap != u64::MAX, "at the end of time every timer has run out");
        assert!(table.end(Time(leap), id, Cause::Evicted));
    }
}

/// A sweep keeps to its budget, and the next one continues, earliest first (INV-work-bounded).
#[test]
fn sweep_respects_budget_and_order() {
    let mut table = FlowTable::new(Settings::replayable(0));
    for port in 1..=100 {
        let mut new = flow(Protocol::UDP);
        (new.internal, new.external) = (at([10, 0, 0, 1], port), at([20, 1, 1, 1], port));
        open(&mut table, Time(1_000_000 * u64::from(port)), new).unwrap();
    }
    let mut order = Vec::new();
    let end = Time(1 << 40);
    let mut sweeps = 0;
    loop {
        let before = order.len();
        let work = table.expire(end, 10, &mut |ended| order.push(ended.flow.internal.port()));
        assert!(work <= 10 && order.len() - before <= 10);
        sweeps += 1;
        if work < 10 {
            break;
        }
    }
    assert!(sweeps > 10);
    assert_eq!(order, (1..=100).collect::<Vec<_>>());
}

proptest! {
    /// Exactly the due flows are removed, in the order of their deadlines, and `next_deadline` is
    /// never late. The test tries any instants and timers, with and without refreshes.
    #[test]
    fn exactly_what_is_due_is_removed(
        timer in (0_u64..1 << 50).prop_map(Duration::from_nanos),
        starts in proptest::collection::vec((0_u64..1 << 52, any::<bool>()), 1..40),
        instants in proptest::collection::vec(0_u64..1 << 53, 1..20),
    ) {
        let timers = Timers { udp_one_way: timer, ..Timers::AZURE };
        let mut table = FlowTable::new(Settings { timers, ..Settings::replayable(0) });
        let mut starts = starts;
        starts.sort_unstable();
        let mut instants = instants;
        instants.sort_unstable();
        let mut due = Vec::new();
        let mut opened = (1..).zip(starts).peekable();
        let mut ids = Vec::new();
        for instant in instants {
            while let Some(&(port, (start, refresh))) = opened.peek() && start <= instant {
                opened.next();
                let mut new = flow(Protocol::UDP);
                (new.internal, new.external) = (at([10, 0, 0, 1], port), at([20, 1, 1, 1], port));
                let id = open(&mut table, Time(start), new).unwrap();
                ids.push((port, id, new));
                due.push((Time(start) + timer, port));
                if refresh && let Some((port, id, new)) = ids.first().copied() {
                    let packet = first(&new);
                    let pass = table.track(Time(start), id, Side::Internal, &packet.headers, &packet.bytes);
                    if pass == Track::Pass {
                        due.retain(|(_, other)| *other != port);
                        due.push((Time(start) + timer, port));
                    }
                }
            }
            due.sort_unstable();
            if let Some((deadline, _)) = due.first() {
                prop_assert!(table.next_deadline().is_some_and(|next| next <= *deadline));
            }
            let count = due.iter().filter(|(deadline, _)| deadline.0 <= instant).count();
            let expected: Vec<_> = due.drain(..count).collect();
            let mut ended = Vec::new();
            table.expire(Time(instant), usize::MAX, &mut |gone| {
                ended.push((gone.flow.last + timer, gone.flow.internal.port()));
            });
            prop_assert!(ended.is_sorted_by_key(|(deadline, _)| *deadline));
            ended.sort_unstable();
            prop_assert_eq!(ended, expected);
            prop_assert!(table.next_deadline().is_none_or(|next| next.0 > instant));
        }
    }
}
