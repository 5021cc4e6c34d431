//! Exhaustive checks of small state spaces. Each counts the states that it has checked, and panics
//! at the first that fails.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a check says by a panic that it has found something; its numbers are small"
)]

mod packets;

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem_nat::{
    FlowId, FlowTable, Generation, HoldDown, Keys, NewFlow, NoTuple, Pool, PoolRules,
    RevalidationKey, Settings, Shared, Side, Tenant, Time, Timers, Wanted, Zone,
};
use vnetem_packet::{FiveTuple, Headers, Protocol};

use crate::fuzz::{first_packet, frag_tracker, port_pool_ops};

/// How much of a state space is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A part of the large ones, for every day.
    Share,
    /// Everything.
    Whole,
}

/// A state space: its invariant and the function that enumerates it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The invariant that it checks.
    pub invariant: &'static str,
    /// What is enumerated.
    pub what: &'static str,
    /// Enumerates it, and returns the number of states.
    pub run: fn(Extent) -> u64,
}

/// All state spaces.
pub const CHECKS: [Check; 8] = [
    Check {
        invariant: "INV-malformed-headers-dropped",
        what: "every first byte, total length and number of bytes up to 64",
        run: packets::lengths,
    },
    Check {
        invariant: "INV-checksum-update-exact",
        what: "every checksum and every change of a word under it",
        run: packets::updates,
    },
    Check {
        invariant: "INV-udp-zero-checksum",
        what: "every UDP and TCP checksum, every port that moves it",
        run: packets::computed_zeros,
    },
    Check {
        invariant: "INV-mapping-unique",
        what: "every history of up to 7 events: 2 hosts, 2 remotes, 2 ports, both mappings",
        run: histories,
    },
    Check {
        invariant: "INV-refused-only-when-full",
        what: "every pool of up to 64 ports, full, and with each one port free",
        run: pools,
    },
    Check {
        invariant: "INV-reset-answers-segment",
        what: "every set of TCP flags at the corners of sequence space",
        run: packets::flags,
    },
    Check {
        invariant: "INV-bad-fragments-dropped",
        what: "every short history of fragments near the first",
        run: fragments,
    },
    Check {
        invariant: "INV-deadline-exact",
        what: "every timer around its deadline, from around every power of two",
        run: deadlines,
    },
];

/// Runs all histories through the body of the fuzz target, whose list says what must happen
/// (INV-mapping-unique, INV-tuple-unique-per-side, INV-reply-reaches-initiator,
/// INV-refused-only-when-full, INV-hold-down-kept, INV-flows-conserved).
fn histories(extent: Extent) -> u64 {
    // Host and port are in the low bits, and the remote in the next. The first byte is the event,
    // the last one the wait.
    let open = |host: u8, remote: u8| [0, 0x40 | remote << 4 | host, 0, 0];
    let events = [
        open(0, 0),
        open(1, 0),
        open(0, 1),
        open(1, 1),
        [5, 0, 0, 0],   // the oldest flow ends
        [7, 0, 0, 228], // seven seconds: flows are over, ports still in hold-down
        [7, 0, 0, 255], // nearly fourteen: nothing is in hold-down
    ];
    let depth = if extent == Extent::Whole { 7 } else { 4 };
    let mut states = 0;
    for mapping in [0, 4] {
        // Two ports. Every shorter history is the beginning of one of these.
        each_sequence(&events, depth, &mut |sequence| {
            let mut bytes = vec![mapping, 1];
            bytes.extend(sequence.iter().flat_map(|at| events[*at]));
            port_pool_ops(&bytes);
            states += sequence.len() as u64;
        });
    }
    states
}

/// Runs all histories around a first fragment of 8 or 16 bytes (INV-bad-fragments-dropped,
/// INV-fragment-state-bounded).
fn fragments(extent: Extent) -> u64 {
    let mut events = vec![[0x80, 0, 0, 0, 1, 0], [0x80, 0, 0, 0, 2, 0], [0, 0, 0, 0, 1, 190]];
    for offset in 1..5 {
        for length in 1..3 {
            events.push([0, 0, 0, offset, length, 0]);
            events.push([0x40, 0, 0, offset, length, 0]);
        }
    }
    let depth = if extent == Extent::Whole { 5 } else { 3 };
    let mut states = 0;
    each_sequence(&events, depth, &mut |sequence| {
        let bytes: Vec<u8> = sequence.iter().flat_map(|at| events[*at]).collect();
        frag_tracker(&bytes);
        states += sequence.len() as u64;
    });
    states
}

/// Visits all sequences of this many events, as places in the list.
fn each_sequence<T>(events: &[T], depth: usize, visit: &mut dyn FnMut(&[usize])) {
    let mut sequence = vec![0; depth];
    loop {
        visit(&sequence);
        let Some(place) = sequence.iter().rposition(|at| at + 1 < events.len()) else { return };
        sequence[place] += 1;
        sequence[place + 1..].fill(0);
    }
}

/// Checks that a pool gives each of its ports once and then refuses, and with one port free gives
/// that one (INV-port-in-range, INV-refused-only-when-full).
fn pools(extent: Extent) -> u64 {
    let step = if extent == Extent::Whole { 1 } else { 7 };
    let mut states = 0;
    for size in (1..=64_u16).step_by(step) {
        for (preserve_port, keep_parity) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            for first in [1, 1000, 65_535 - 63] {
                let rules = PoolRules { preserve_port, keep_parity, ..PoolRules::AZURE };
                states += pool(&rules, first, size);
            }
        }
    }
    states
}

fn pool(rules: &PoolRules, first_port: u16, size: u16) -> u64 {
    let last_port = first_port + (size - 1);
    let addresses = [Ipv4Addr::new(20, 1, 1, 1)];
    let pool = Pool { addresses: &addresses, first_port, last_port, rules };
    let settings = Settings {
        capacity: 128,
        held: 128,
        revalidation_keys: 1,
        shared: Shared::NONE,
        hold: HoldDown::NONE,
        keys: Keys::replayable(u64::from(size)),
        ..Settings::replayable(0)
    };
    let mut table: FlowTable<()> = FlowTable::new(settings);
    let remote = SocketAddrV4::new(Ipv4Addr::new(52, 239, 1, 9), 53);
    let mut flows: Vec<(SocketAddrV4, FlowId)> = Vec::new();
    let choose = |table: &FlowTable<()>, number: u16| {
        let internal = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 4), 2000 + number);
        let wanted = Wanted {
            protocol: Protocol::UDP,
            internal,
            internal_zone: Zone(7),
            remote,
            external_zone: Zone::PUBLIC,
            suggestion: None,
        };
        (internal, table.choose(Time(1), pool, &wanted))
    };
    let give = |table: &mut FlowTable<()>, number: u16| {
        let (internal, chosen) = choose(table, number);
        let chosen = chosen
            .unwrap_or_else(|why| panic!("{why:?} of {size} ports (INV-refused-only-when-full)"));
        let id = open(table, Time(1), Protocol::UDP, [internal, chosen.external, remote]);
        (chosen.external, id)
    };
    for number in 0..size {
        let (external, id) = give(&mut table, number);
        assert!((first_port..=last_port).contains(&external.port()), "INV-port-in-range");
        assert!(flows.iter().all(|(other, _)| *other != external), "INV-mapping-unique");
        flows.push((external, id));
    }
    assert_eq!(
        choose(&table, size).1.map(drop),
        Err(NoTuple::Exhausted),
        "INV-refused-only-when-full"
    );
    for (place, (freed, id)) in (0..size).zip(flows) {
        assert!(table.end(Time(1), id, vnetem_nat::Cause::Evicted));
        let (external, id) = give(&mut table, 64 + size);
        assert_eq!(external, freed, "the only free one of {size} (INV-refused-only-when-full)");
        // The port goes back to the internal socket that had it, so the next one is again the only
        // free one.
        assert!(table.end(Time(1), id, vnetem_nat::Cause::Evicted));
        assert_eq!(give(&mut table, place).0, freed);
    }
    u64::from(size) * 2 + 1
}

/// Checks that a flow is found up to its deadline, never at it, and that the first look after that
/// removes it (INV-deadline-exact).
fn deadlines(extent: Extent) -> u64 {
    let timers = [1, 2, 63, 64, 65, 1000, 1_000_000_000, 30_000_000_000, 7_440_000_000_000];
    let last = if extent == Extent::Whole { 62 } else { 44 };
    let mut states = 0;
    let ends = |port| {
        let internal = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 4), port);
        [internal, internal, SocketAddrV4::new(Ipv4Addr::new(52, 239, 1, 9), 53)]
    };
    for start in (0..=last).flat_map(|bit| {
        let power = 1_u64 << bit;
        [power.saturating_sub(1), power, power + 1]
    }) {
        for timer in timers {
            let life = Duration::from_nanos(timer);
            let settings = Settings {
                capacity: 2,
                held: 2,
                revalidation_keys: 1,
                shared: Shared::NONE,
                timers: Timers { udp_one_way: life, udp_two_way: life, ..Timers::AZURE },
                ..Settings::replayable(0)
            };
            let mut table: FlowTable<()> = FlowTable::new(settings);
            let id = open(&mut table, Time(start), Protocol::UDP, ends(5));
            let [internal, _, remote] = ends(5);
            let tuple =
                FiveTuple { protocol: Protocol::UDP, source: internal, destination: remote };
            let deadline = start + timer;
            for (at, lives) in
                [(start, true), (deadline - 1, true), (deadline, false), (deadline + 1, false)]
            {
                let found = table.find(Time(at), Zone(7), &tuple);
                assert_eq!(found.map(|found| found.id), lives.then_some(id), "{at} of {deadline}");
                states += 1;
            }
            let mut ended = 0;
            table.expire(Time(deadline - 1), usize::MAX, &mut |_| ended += 1);
            assert_eq!((ended, table.flow(id).is_some()), (0, true), "ended before {deadline}");
            let next = table.next_deadline();
            assert!(next.is_some_and(|next| next.0 <= deadline), "{next:?} is behind {deadline}");
            table.expire(Time(deadline), usize::MAX, &mut |_| ended += 1);
            assert_eq!((ended, table.flow(id).is_some()), (1, false), "not ended at {deadline}");
            states += 2;
        }
    }
    states
}

/// Opens a flow between an internal end, its external form and a remote.
fn open(
    table: &mut FlowTable<()>,
    now: Time,
    protocol: Protocol,
    [internal, external, remote]: [SocketAddrV4; 3],
) -> FlowId {
    let new = NewFlow {
        protocol,
        internal,
        internal_zone: Zone(7),
        external,
        external_zone: if internal == external { Zone(9) } else { Zone::PUBLIC },
        remote,
        initiator: Side::Internal,
        revalidation_key: RevalidationKey(0),
        tenant: Tenant::NOBODY,
        generation: Generation(1),
        cached: (),
        mapping_policy: vnetem_nat::MappingPolicy::default(),
    };
    let packet = first_packet(&FiveTuple { protocol, source: internal, destination: remote });
    let headers = Headers::parse(&packet).unwrap_or_else(|cause| panic!("{cause}"));
    let id = table.open(now, new, &headers, &packet);
    id.unwrap_or_else(|error| panic!("{error:?}: {internal} to {remote}"))
}
