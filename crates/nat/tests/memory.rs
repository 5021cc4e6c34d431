//! Counts all memory of its process. So it has a process of its own, without a test harness.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem_nat::{
    Cause, FlowTable, FragmentKey, Fragments, Generation, Keys, MappingPolicy, NewFlow, Pool,
    PoolRules, RevalidationKey, Settings, Shared, Side, Span, Tenant, Time, Wanted, Zone,
};
use vnetem_packet::{Headers, Protocol};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A SYN from 10.0.0.4 to 52.239.1.9.
fn syn(port: u16) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[..4].copy_from_slice(&[0x45, 0, 0, 40]);
    packet[8..10].copy_from_slice(&[64, 6]);
    packet[12..20].copy_from_slice(&[10, 0, 0, 4, 52, 239, 1, 9]);
    packet[20..22].copy_from_slice(&port.to_be_bytes());
    packet[22..24].copy_from_slice(&443_u16.to_be_bytes());
    packet[32..34].copy_from_slice(&[0x50, 0x02]);
    let sum: u32 = packet[..20].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let sum = u16::try_from((sum & 0xFFFF) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    packet
}

fn new_flow(headers: &Headers, external: SocketAddrV4) -> NewFlow<u64> {
    NewFlow {
        protocol: headers.protocol,
        internal: headers.tuple().source,
        internal_zone: Zone(1),
        external,
        external_zone: Zone::PUBLIC,
        remote: headers.tuple().destination,
        initiator: Side::Internal,
        revalidation_key: RevalidationKey(u32::from(headers.source_port % 7)),
        tenant: Tenant::NOBODY,
        generation: Generation(1),
        cached: 0,
        mapping_policy: MappingPolicy::default(),
    }
}

fn main() {
    all_memory_is_taken_by_new();
    flow_takes_172_bytes_tuple_47();
    println!("memory: ok");
}

/// No call allocates in any state, at the limit either (INV-packets-allocate-nothing).
fn all_memory_is_taken_by_new() {
    let profiler = dhat::Profiler::builder().testing().build();
    let start = dhat::HeapStats::get();
    let settings =
        Settings { capacity: 200, held: 50, revalidation_keys: 10, ..Settings::replayable(0) };
    let mut table = FlowTable::new(settings);
    let mut fragments = Fragments::new(16, Duration::from_secs(1), Keys::replayable(1));
    let packets: Vec<_> = (1..=300).map(syn).collect();
    let headers: Vec<_> = packets.iter().map(|packet| Headers::parse(packet).unwrap()).collect();
    let keys: Vec<_> = headers.iter().map(|headers| (Zone(1), headers.tuple())).collect();
    let mut found = vec![None; keys.len()];
    let public = [Ipv4Addr::new(20, 1, 1, 1)];
    let pool =
        Pool { addresses: &public, first_port: 1024, last_port: 1300, rules: &PoolRules::AZURE };
    let before = dhat::HeapStats::get();
    let (mut opened, mut refused, mut resets) = (0_u32, 0_u32, 0_u32);
    for round in 0..20_u32 {
        let now = Time(u64::from(round) * 61_000_000_000);
        for (packet, headers) in packets.iter().zip(&headers) {
            let tuple = headers.tuple();
            if let Some(found) = table.find(now, Zone(1), &tuple) {
                if table.track(now, found.id, found.side, headers, packet)
                    == vnetem_nat::Track::Invalid
                {
                    resets += u32::from(table.answer(now, found.id, found.side, headers).is_some());
                }
                continue;
            }
            let wanted = Wanted {
                protocol: Protocol::TCP,
                internal: tuple.source,
                internal_zone: Zone(1),
                remote: tuple.destination,
                external_zone: Zone::PUBLIC,
                suggestion: None,
            };
            let external = table.choose(now, pool, &wanted).map(|chosen| chosen.external);
            let new = external.map(|external| new_flow(headers, external));
            match new.ok().filter(|new| table.may_open(now, *new).is_ok()) {
                Some(new) => {
                    let id = table.open(now, new, headers, packet).unwrap();
                    opened += 1;
                    fragments.note(
                        now,
                        key(headers),
                        Span::of(headers),
                        id,
                        Side::Internal,
                        Tenant::NOBODY,
                    );
                }
                None => refused += 1,
            }
        }
        table.find_batch(now, &keys, &mut found);
        assert_eq!(found.iter().flatten().count(), 200, "the table is full");
        table.invalidate(RevalidationKey(round % 7), Generation(round + 2));
        while let Some(id) = table.next_stale() {
            if round % 2 == 0 {
                table.refresh(id, RevalidationKey(8), Generation(round + 2), 1);
            } else {
                resets +=
                    u32::from(table.close(now, id, Cause::SourceSwitched).to_internal.is_some());
            }
        }
        if let Some(found) = found.iter().flatten().next() {
            table.end(now, found.id, Cause::Evicted);
        }
        table.expire(now, 1000, &mut |_| ());
    }
    let after = dhat::HeapStats::get();
    assert_eq!(after.total_blocks - before.total_blocks, 0, "nothing is allocated");
    assert!(opened > 500 && refused > 500 && resets > 100, "{opened} {refused} {resets}");
    drop((table, fragments, packets, headers, keys, found));
    assert_eq!(
        dhat::HeapStats::get().curr_bytes,
        start.curr_bytes,
        "INV-memory-returns: and all is given back"
    );
    drop(profiler);
}

/// A flow takes its record, two index entries, a cached decision of 8 bytes, and the entry for a
/// pending reopen.
fn flow_takes_172_bytes_tuple_47() {
    let profiler = dhat::Profiler::builder().testing().build();
    let settings = Settings {
        capacity: 100_000,
        held: 0,
        revalidation_keys: 0,
        shared: Shared::NONE,
        ..Settings::replayable(0)
    };
    let before = dhat::HeapStats::get().curr_bytes;
    let table = FlowTable::<u64>::new(settings);
    let flow = (dhat::HeapStats::get().curr_bytes - before) / 100_000;
    assert!(flow <= 172, "{flow} bytes for each flow");
    drop(table);
    let settings = Settings {
        capacity: 0,
        held: 100_000,
        revalidation_keys: 0,
        shared: Shared::NONE,
        ..Settings::replayable(0)
    };
    let before = dhat::HeapStats::get().curr_bytes;
    let _table = FlowTable::<u64>::new(settings);
    let held = (dhat::HeapStats::get().curr_bytes - before) / 100_000;
    assert!(held <= 47, "{held} bytes for each tuple in hold-down");
    drop(profiler);
}

fn key(headers: &Headers) -> FragmentKey {
    FragmentKey {
        zone: Zone(1),
        source: headers.source,
        destination: headers.destination,
        protocol: headers.protocol,
        identification: headers.source_port,
    }
}
