//! Measures what a flow costs: found, tracked and rewritten, opened, closed, expired, at 1,000 to
//! 1,000,000 flows.
//!
//! Packets are random over all flows and both directions, so a large table is cold. The whole path
//! is parse (header checksum included), look-up, cached decision, tracking, and the rewrite of
//! bytes and checksums. It has no route look-up and no input or output.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark may fail by panic"
)]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use vnetem_nat::{
    Cause, FlowId, FlowTable, Generation, MappingPolicy, NewFlow, Pool, PoolRules, RevalidationKey,
    Settings, Side, Tenant, Time, Track, Wanted, Zone,
};
use vnetem_packet::{FiveTuple, Headers, Protocol, rewrite};

const SUBNET: Zone = Zone(1);
const PUBLIC: [Ipv4Addr; 16] = {
    let mut addresses = [Ipv4Addr::UNSPECIFIED; 16];
    let mut last = 0;
    while last < 16 {
        addresses[last as usize] = Ipv4Addr::new(203, 0, 113, last);
        last += 1;
    }
    addresses
};
const POOL: Pool<'_> =
    Pool { addresses: &PUBLIC, first_port: 1024, last_port: 65_535, rules: &PoolRules::AZURE };
/// Packets of one measurement.
const RING: usize = 1024;
const BATCH: usize = 32;
const CELLS: u32 = 256;

/// A random generator, Xorshift. The choice of flows must cost nothing.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * u64::from(limit)) >> 32) as u32
    }
}

/// A table with flows in it, and their tuples.
struct Fixture {
    table: FlowTable<u64>,
    flows: Vec<NewFlow<u64>>,
    protocol: Protocol,
    random: Random,
    ring: Vec<[u8; 64]>,
    sides: Vec<Side>,
}

/// Returns the n-th internal end and its remote.
fn ends(n: u32) -> (SocketAddrV4, SocketAddrV4) {
    let internal = Ipv4Addr::from_bits(0x0A00_0000 | n >> 6);
    let remote = Ipv4Addr::from_bits(0x1400_0000 | n.wrapping_mul(0x9E37_79B1) >> 18);
    let port = 1024 + ((n & 63) << 4) as u16;
    (SocketAddrV4::new(internal, port), SocketAddrV4::new(remote, 443))
}

fn wanted(protocol: Protocol, internal: SocketAddrV4, remote: SocketAddrV4) -> Wanted {
    Wanted {
        protocol,
        internal,
        internal_zone: SUBNET,
        remote,
        external_zone: Zone::PUBLIC,
        suggestion: None,
    }
}

fn new_flow(table: &FlowTable<u64>, protocol: Protocol, n: u32) -> NewFlow<u64> {
    let (internal, remote) = ends(n);
    let external =
        table.choose(Time(0), POOL, &wanted(protocol, internal, remote)).unwrap().external;
    NewFlow {
        protocol,
        internal,
        internal_zone: SUBNET,
        external,
        external_zone: Zone::PUBLIC,
        remote,
        initiator: Side::Internal,
        revalidation_key: RevalidationKey(n % CELLS),
        tenant: Tenant::NOBODY,
        generation: Generation(1),
        cached: u64::from(n),
        mapping_policy: MappingPolicy::default(),
    }
}

/// Makes 46 bytes of IPv4 with right checksums. A TCP segment has these numbers, or is a SYN.
fn packet(tuple: FiveTuple, numbers: Option<(u32, u32)>) -> [u8; 64] {
    let mut packet = [0; 64];
    packet[..4].copy_from_slice(&[0x45, 0, 0, 46]);
    packet[8..10].copy_from_slice(&[64, tuple.protocol.0]);
    packet[12..16].copy_from_slice(&tuple.source.ip().octets());
    packet[16..20].copy_from_slice(&tuple.destination.ip().octets());
    packet[20..22].copy_from_slice(&tuple.source.port().to_be_bytes());
    packet[22..24].copy_from_slice(&tuple.destination.port().to_be_bytes());
    if tuple.protocol == Protocol::TCP {
        let (sequence, acknowledgement) = numbers.unwrap_or((1000, 0));
        packet[24..28].copy_from_slice(&sequence.to_be_bytes());
        packet[28..32].copy_from_slice(&acknowledgement.to_be_bytes());
        packet[32..34].copy_from_slice(&[0x50, if numbers.is_some() { 0x10 } else { 0x02 }]);
        packet[34..36].copy_from_slice(&60_000_u16.to_be_bytes());
    } else {
        packet[25] = 26;
    }
    let sum: u32 = packet[..20].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let sum = (sum & 0xFFFF) + (sum >> 16);
    let sum = (sum & 0xFFFF) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!sum as u16).to_be_bytes());
    packet
}

fn open(table: &mut FlowTable<u64>, new: NewFlow<u64>) -> FlowId {
    let (source, destination) = (new.internal, new.remote);
    let bytes = packet(FiveTuple { protocol: new.protocol, source, destination }, None);
    let headers = Headers::parse(&bytes[..46]).unwrap();
    table.open(Time(0), new, &headers, &bytes[..46]).unwrap()
}

impl Fixture {
    fn new(protocol: Protocol, count: u32) -> Self {
        let settings = Settings {
            capacity: count,
            held: 1,
            revalidation_keys: CELLS,
            ..Settings::replayable(0)
        };
        let mut table = FlowTable::new(settings);
        let mut flows = Vec::new();
        for n in 0..count {
            let new = new_flow(&table, protocol, n);
            let id = open(&mut table, new);
            flows.push(new);
            if protocol == Protocol::TCP {
                // The handshake, so that the connections are established.
                let mut answer = packet(tuple(&new, Side::External), Some((5000, 1007)));
                answer[33] = 0x12;
                let headers = Headers::parse(&answer[..46]).unwrap();
                assert_eq!(
                    table.track(Time(0), id, Side::External, &headers, &answer),
                    Track::Pass
                );
                let answer = packet(tuple(&new, Side::Internal), Some((1001, 5007)));
                let headers = Headers::parse(&answer[..46]).unwrap();
                assert_eq!(
                    table.track(Time(0), id, Side::Internal, &headers, &answer),
                    Track::Pass
                );
            }
        }
        let random = Random(0x1234_5678_9ABC_DEF1);
        let (ring, sides) = (vec![[0; 64]; RING], vec![Side::Internal; RING]);
        Self { table, flows, protocol, random, ring, sides }
    }

    /// Makes new packets of random flows in random directions.
    fn refill(&mut self) {
        for (slot, side) in self.ring.iter_mut().zip(&mut self.sides) {
            let new = &self.flows[self.random.below(self.flows.len() as u32) as usize];
            *side = if self.random.below(2) == 0 { Side::Internal } else { Side::External };
            let numbers = match side {
                Side::Internal => (1001, 5007),
                Side::External => (5007, 1007),
            };
            *slot = packet(tuple(new, *side), Some(numbers));
        }
    }

    /// Sends every packet of the ring through the whole path, one after the other.
    fn one_by_one(&mut self, now: Time) {
        for (bytes, side) in self.ring.iter_mut().zip(&self.sides) {
            let headers = Headers::parse(&bytes[..46]).unwrap();
            let zone = if *side == Side::Internal { SUBNET } else { Zone::PUBLIC };
            let found = self.table.find(now, zone, &headers.tuple()).unwrap();
            pass(&mut self.table, now, found.id, found.side, &headers, &mut bytes[..46]);
        }
    }

    /// Sends the packets in batches.
    fn batched(&mut self, now: Time) {
        for (chunk, sides) in self.ring.chunks_mut(BATCH).zip(self.sides.chunks(BATCH)) {
            let mut headers = [None; BATCH];
            let mut keys = [(SUBNET, EMPTY); BATCH];
            for (((bytes, side), headers), key) in
                chunk.iter().zip(sides).zip(&mut headers).zip(&mut keys)
            {
                let parsed = Headers::parse(&bytes[..46]).unwrap();
                let zone = if *side == Side::Internal { SUBNET } else { Zone::PUBLIC };
                (*headers, *key) = (Some(parsed), (zone, parsed.tuple()));
            }
            let mut found = [None; BATCH];
            self.table.find_batch(now, &keys, &mut found);
            for ((bytes, headers), found) in chunk.iter_mut().zip(headers).zip(found) {
                let (headers, found) = (headers.unwrap(), found.unwrap());
                pass(&mut self.table, now, found.id, found.side, &headers, &mut bytes[..46]);
            }
        }
    }
}

const EMPTY: FiveTuple = FiveTuple {
    protocol: Protocol::UDP,
    source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
    destination: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
};

fn tuple(new: &NewFlow<u64>, side: Side) -> FiveTuple {
    let (source, destination) = match side {
        Side::Internal => (new.internal, new.remote),
        Side::External => (new.remote, new.external),
    };
    FiveTuple { protocol: new.protocol, source, destination }
}

#[inline]
fn pass(
    table: &mut FlowTable<u64>,
    now: Time,
    id: FlowId,
    side: Side,
    headers: &Headers,
    bytes: &mut [u8],
) {
    assert!(!table.is_stale(id));
    assert_eq!(table.track(now, id, side, headers, bytes), Track::Pass);
    black_box(table.cached(id));
    rewrite(bytes, headers, table.rewrite(id, side).unwrap(), headers.ttl - 1);
}

/// Times `work` over rings of packets that are made again between.
fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    fixture: &mut Fixture,
    mut work: impl FnMut(&mut Fixture, Time),
) {
    let mut now = 1;
    let name = format!("{name}/{}/{}", fixture.protocol, fixture.flows.len());
    group.throughput(Throughput::Elements(RING as u64)).bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                fixture.refill();
                now += 1;
                let start = Instant::now();
                work(fixture, Time(now));
                total += start.elapsed();
            }
            total
        });
    });
}

fn established(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nat/established");
    for protocol in [Protocol::UDP, Protocol::TCP] {
        for count in [1000, 100_000, 1_000_000] {
            let mut fixture = Fixture::new(protocol, count);
            time(&mut group, "one", &mut fixture, Fixture::one_by_one);
            time(&mut group, "batch", &mut fixture, Fixture::batched);
        }
    }
}

/// Measures new flows in a table that `count` of them fill: choice of the port, and both entries.
fn opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nat/open");
    group.sample_size(10);
    for count in [1000, 100_000, 1_000_000_u32] {
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(format!("udp/{count}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let settings = Settings {
                        capacity: count,
                        held: 1,
                        revalidation_keys: CELLS,
                        ..Settings::replayable(0)
                    };
                    let mut table = FlowTable::new(settings);
                    // The memory is touched before the clock runs.
                    for n in 0..count {
                        let new = new_flow(&table, Protocol::UDP, n);
                        open(&mut table, new);
                    }
                    table.expire(Time(1 << 50), usize::MAX, &mut |_| ());
                    let bytes = packet(EMPTY, None);
                    let headers = Headers::parse(&bytes[..46]).unwrap();
                    let start = Instant::now();
                    for n in 0..count {
                        let (internal, remote) = ends(n);
                        let now = Time(1 << 50);
                        let external = table
                            .choose(now, POOL, &wanted(Protocol::UDP, internal, remote))
                            .unwrap()
                            .external;
                        let new = NewFlow {
                            protocol: Protocol::UDP,
                            internal,
                            internal_zone: SUBNET,
                            external,
                            external_zone: Zone::PUBLIC,
                            remote,
                            initiator: Side::Internal,
                            revalidation_key: RevalidationKey(n % CELLS),
                            tenant: Tenant::NOBODY,
                            generation: Generation(1),
                            cached: 0,
                            mapping_policy: MappingPolicy::default(),
                        };
                        table.open(now, new, &headers, &bytes[..46]).unwrap();
                    }
                    total += start.elapsed();
                    black_box(&table);
                }
                total
            });
        });
    }
}

/// Measures a toggle that invalidates every 256th flow, for each such flow: found, closed with two
/// resets, left as a tombstone.
fn toggle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nat/toggle");
    group.sample_size(10);
    for count in [100_000, 1_000_000_u32] {
        let mut fixture = Fixture::new(Protocol::TCP, count);
        let mut revalidation_key = 0;
        let invalidated = count / CELLS;
        group.throughput(Throughput::Elements(u64::from(invalidated)));
        group.bench_function(format!("tcp/{count}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let start = Instant::now();
                    fixture.table.invalidate(RevalidationKey(revalidation_key), Generation(2));
                    let mut closed = Vec::with_capacity(invalidated as usize + 1);
                    while let Some(id) = fixture.table.next_stale() {
                        let closing = fixture.table.close(Time(1), id, Cause::SourceSwitched);
                        closed.push((id, closing));
                    }
                    total += start.elapsed();
                    assert!(closed.len() >= invalidated as usize);
                    // Opens the flows again.
                    for (id, _) in closed {
                        let flow = fixture.table.flow(id).unwrap();
                        fixture.table.end(Time(1), id, Cause::Evicted);
                        let new = NewFlow {
                            protocol: flow.protocol,
                            internal: flow.internal,
                            internal_zone: flow.internal_zone,
                            external: flow.external,
                            external_zone: flow.external_zone,
                            remote: flow.remote,
                            initiator: flow.initiator,
                            revalidation_key: flow.revalidation_key,
                            tenant: Tenant::NOBODY,
                            generation: Generation(1),
                            cached: 0,
                            mapping_policy: MappingPolicy::default(),
                        };
                        // The tuple may be in hold-down: then another port.
                        let external = fixture
                            .table
                            .choose(Time(1), POOL, &wanted(Protocol::TCP, new.internal, new.remote))
                            .unwrap()
                            .external;
                        open(&mut fixture.table, NewFlow { external, ..new });
                    }
                    revalidation_key = (revalidation_key + 1) % CELLS;
                }
                total
            });
        });
    }
}

/// Measures idle flows, for each: through the slots of the wheel, out of the index, into hold-down.
fn expiry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nat/expire");
    group.sample_size(10);
    for count in [1000, 100_000_u32] {
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(format!("udp/{count}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let mut table = FlowTable::new(Settings {
                        capacity: count,
                        held: count,
                        revalidation_keys: CELLS,
                        ..Settings::replayable(0)
                    });
                    for n in 0..count {
                        let new = new_flow(&table, Protocol::UDP, n);
                        open(&mut table, new);
                    }
                    let start = Instant::now();
                    let end = Time(240_000_000_000);
                    while table.expire(end, 1000, &mut |ended| _ = black_box(ended)) >= 1000 {}
                    total += start.elapsed();
                    assert_eq!(table.counters().live, 0);
                }
                total
            });
        });
    }
}

/// Measures a pool of one address in which all ports towards one remote are taken, except `free`.
fn exhaustion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nat/choose");
    let pool = Pool { addresses: &PUBLIC[..1], ..POOL };
    for free in [0, 1, 64, 6451, 64_512_u32] {
        let settings =
            Settings { capacity: 64_512, held: 1, revalidation_keys: 1, ..Settings::replayable(0) };
        let mut table = FlowTable::new(settings);
        let remote = ends(0).1;
        for n in 0..64_512 - free {
            let internal = SocketAddrV4::new(Ipv4Addr::from_bits(0x0A00_0000 | n), 1);
            let external = SocketAddrV4::new(PUBLIC[0], 1024 + n as u16);
            let new = NewFlow {
                internal,
                external,
                remote,
                revalidation_key: RevalidationKey(0),
                ..new_flow(&table, Protocol::UDP, 0)
            };
            open(&mut table, new);
        }
        let mut host = 0;
        group.throughput(Throughput::Elements(1)).bench_function(
            format!("free/{free}"),
            |bencher| {
                bencher.iter(|| {
                    host += 1;
                    let internal = SocketAddrV4::new(Ipv4Addr::from_bits(0x0B00_0000 | host), 1);
                    let chosen =
                        table.choose(Time(0), pool, &wanted(Protocol::UDP, internal, remote));
                    assert_eq!(chosen.is_err(), free == 0);
                    chosen
                });
            },
        );
    }
}

criterion_group!(benches, established, opening, toggle, expiry, exhaustion);
criterion_main!(benches);
