//! Choice of external tuples, and hold-down.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    Cause, Ended, FlowTable, HoldDown, IdleMinutes, MappingPolicy, NewFlow, NoTuple, OpenError,
    Pool, PoolRules, Settings, Side, Tenant, Time, TimerProfile, Timers, Track, Wanted, Zone,
};
use vnetem_packet::Protocol;

use crate::packets::{ACK, FIN, RST, at, segment};
use crate::world::{CLIENT, SERVER, SUBNET, World, first, flow, open};

const PUBLIC: [Ipv4Addr; 3] =
    [Ipv4Addr::new(20, 1, 1, 1), Ipv4Addr::new(20, 1, 1, 2), Ipv4Addr::new(20, 1, 1, 3)];

fn pool(addresses: &[Ipv4Addr], first_port: u16, last_port: u16) -> Pool<'_> {
    Pool { addresses, first_port, last_port, rules: &PoolRules::AZURE }
}

fn choose(
    table: &FlowTable<u32>,
    now: Time,
    pool: Pool<'_>,
    new: &NewFlow<u32>,
) -> Result<SocketAddrV4, NoTuple> {
    let NewFlow { protocol, internal, internal_zone, remote, external_zone, .. } = *new;
    let wanted =
        Wanted { protocol, internal, internal_zone, remote, external_zone, suggestion: None };
    table.choose(now, pool, &wanted).map(|chosen| chosen.external)
}

/// Opens a flow of this internal port behind the pool.
fn open_behind(
    table: &mut FlowTable<u32>,
    pool: Pool<'_>,
    port: u16,
) -> Result<SocketAddrV4, NoTuple> {
    let mut new = flow(Protocol::UDP);
    new.internal = at([10, 0, 0, 4], port);
    new.external = choose(table, Time(0), pool, &new)?;
    open(table, Time(0), new).unwrap();
    Ok(new.external)
}

fn without_hold() -> FlowTable<u32> {
    FlowTable::new(Settings { hold: HoldDown::NONE, ..Settings::replayable(0) })
}

/// A suggested port is given if the pool has it and it is free, and never otherwise.
#[test]
fn free_suggested_port_is_taken() {
    let mut table = without_hold();
    let (pool, pool_ports) = (pool(&PUBLIC[..2], 5000, 5999), 5000..=5999);
    let NewFlow { protocol, internal, internal_zone, remote, external_zone, .. } =
        flow(Protocol::UDP);
    let mut open_with = |inside_port, suggestion| {
        let internal = SocketAddrV4::new(*internal.ip(), inside_port);
        let wanted =
            Wanted { protocol, internal, internal_zone, remote, external_zone, suggestion };
        let external = table.choose(Time(0), pool, &wanted).unwrap().external;
        open(&mut table, Time(0), NewFlow { internal, external, ..flow(Protocol::UDP) }).unwrap();
        external
    };
    let first = open_with(1, Some(5123));
    let second = open_with(2, Some(5123));
    assert_eq!(first.port(), 5123);
    assert_eq!(first.ip(), second.ip(), "taken at the paired address, which is not left for it");
    assert_ne!(first.port(), second.port());
    for (inside_port, suggestion) in (3..).zip([5123, 0, 4999, 6000, u16::MAX]) {
        let external = open_with(inside_port, Some(suggestion));
        assert!(pool_ports.contains(&external.port()) && external.port() != suggestion);
    }
}

/// A pool takes exactly as many flows as it has tuples. After one ends, it takes exactly one more
/// (INV-refused-only-when-full, N-17).
#[test]
fn pool_is_exhausted_exactly() {
    for (addresses, ports) in [(1, 1), (1, 2), (2, 1), (3, 7), (1, 64)] {
        let pool = pool(&PUBLIC[..addresses], 5000, 5000 + ports - 1);
        let size = u16::try_from(addresses).unwrap() * ports;
        let mut table = without_hold();
        let given: BTreeSet<_> =
            (1..=size).map(|port| open_behind(&mut table, pool, port).unwrap()).collect();
        assert_eq!(given.len(), usize::from(size), "INV-mapping-unique: all different");
        assert!(
            given.iter().all(|end| (5000..5000 + ports).contains(&end.port())),
            "INV-port-in-range"
        );
        assert_eq!(open_behind(&mut table, pool, size + 1), Err(NoTuple::Exhausted));
        for (id, flow) in table.iter().collect::<Vec<_>>() {
            table.end(Time(0), id, Cause::Evicted);
            assert_eq!(open_behind(&mut table, pool, size + 1), Ok(flow.external), "the one left");
            let (id, _) = table.iter().find(|(_, other)| other.external == flow.external).unwrap();
            table.end(Time(0), id, Cause::Evicted);
            open(&mut table, Time(0), NewFlow { generation: flow.generation, ..of(&flow) })
                .unwrap();
        }
    }
}

fn of(flow: &vnetem_nat::Flow<u32>) -> NewFlow<u32> {
    NewFlow {
        protocol: flow.protocol,
        internal: flow.internal,
        internal_zone: flow.internal_zone,
        external: flow.external,
        external_zone: flow.external_zone,
        remote: flow.remote,
        initiator: flow.initiator,
        revalidation_key: flow.revalidation_key,
        tenant: Tenant::NOBODY,
        generation: flow.generation,
        cached: flow.cached,
        mapping_policy: MappingPolicy::default(),
    }
}

/// With all but one of 64,512 ports taken, the last is found (INV-refused-only-when-full, N-09).
#[test]
fn last_of_64512_ports_is_found() {
    let mut table = without_hold();
    let pool = pool(&PUBLIC[..1], 1024, 65_535);
    for port in 1..64_512 {
        open_behind(&mut table, pool, port).unwrap();
    }
    let taken: BTreeSet<_> = table.iter().map(|(_, flow)| flow.external.port()).collect();
    let left = (1024..=65_535).find(|port| !taken.contains(port)).unwrap();
    assert_eq!(open_behind(&mut table, pool, 64_513).unwrap().port(), left);
    assert_eq!(open_behind(&mut table, pool, 64_514), Err(NoTuple::Exhausted));
}

/// Towards a remote with a port bitmap the choice is exact under churn, swept or not, against a map
/// of ports (INV-refused-only-when-full, N-17, INV-hold-down-kept).
#[test]
fn promoted_remote_is_exhausted_exactly() {
    use std::collections::BTreeMap;
    let pool = pool(&PUBLIC[..1], 2000, 5999);
    let timers = Timers { udp_one_way: Duration::from_secs(86_400), ..Timers::AZURE };
    let mut table =
        FlowTable::new(Settings { capacity: 20_000, timers, ..Settings::replayable(0) });
    let mut live = BTreeMap::new();
    let mut resting: BTreeMap<u16, Time> = BTreeMap::new();
    let (mut now, mut host, mut random) = (Time(0), 0_u32, 1_u32);
    let (mut opened, mut exhausted) = (0, 0);
    for round in 0..400 {
        // As many as there are, and one more.
        loop {
            host += 1;
            let mut new = flow(Protocol::UDP);
            new.internal = SocketAddrV4::new(Ipv4Addr::from_bits(0x0A00_0000 | host), 1);
            let free = (2000..6000).find(|port| {
                !live.contains_key(port) && resting.get(port).is_none_or(|until| *until <= now)
            });
            match choose(&table, now, pool, &new) {
                Ok(external) => {
                    let port = external.port();
                    assert!(!live.contains_key(&port), "INV-mapping-unique");
                    assert!(
                        resting.get(&port).is_none_or(|until| *until <= now),
                        "INV-hold-down-kept"
                    );
                    resting.remove(&port);
                    live.insert(port, open(&mut table, now, NewFlow { external, ..new }).unwrap());
                    opened += 1;
                }
                Err(why) => {
                    assert_eq!(why, NoTuple::Exhausted);
                    assert_eq!(free, None, "INV-refused-only-when-full in round {round}");
                    exhausted += 1;
                    break;
                }
            }
        }
        // Some flows end, time goes on, and only sometimes is the table swept.
        for _ in 0..round % 7 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let port = 2000 + (random >> 16) as u16 % 4000;
            if let Some(id) = live.remove(&port) {
                assert!(table.end(now, id, Cause::Evicted));
                resting.insert(port, now + Duration::from_secs(65));
            }
        }
        now += Duration::from_millis(500) * (round % 5);
        if round % 3 == 0 {
            table.expire(now, 5, &mut |_| panic!("nothing is idle yet"));
        }
    }
    assert!(opened > 4500 && exhausted == 400, "{opened}");
}

/// The same tuple serves another remote, or another protocol (N-12, N-24, T-04).
#[test]
fn one_port_serves_several_remotes() {
    let one = pool(&PUBLIC[..1], 1024, 1024);
    let mut table = without_hold();
    let first = flow(Protocol::TCP);
    open(&mut table, Time(0), first).unwrap();
    for port in [444, 445] {
        let mut new = first;
        new.remote.set_port(port);
        new.external = choose(&table, Time(0), one, &new).unwrap();
        assert_eq!(new.external, first.external);
        open(&mut table, Time(0), new).unwrap();
    }
    let other = NewFlow { internal: at([10, 0, 0, 5], 50_001), ..first };
    assert_eq!(choose(&table, Time(0), one, &other), Err(NoTuple::Exhausted));
    assert_eq!(open(&mut table, Time(0), other), Err(OpenError::TupleInUse), "INV-mapping-unique");
    let datagrams = NewFlow { protocol: Protocol::UDP, ..other };
    assert!(choose(&table, Time(0), one, &datagrams).is_ok(), "N-09: TCP and UDP are apart");
}

/// Two networks behind one pool share its tuples and never get the same one
/// (INV-networks-isolated).
#[test]
fn overlapping_networks_never_share_a_tuple() {
    let two = pool(&PUBLIC[..1], 1024, 1025);
    let mut table = without_hold();
    let mut given = BTreeSet::new();
    for zone in [Zone(1), Zone(2)] {
        let mut new = NewFlow { internal_zone: zone, ..flow(Protocol::TCP) };
        new.external = choose(&table, Time(0), two, &new).unwrap();
        given.insert(new.external);
        open(&mut table, Time(0), new).unwrap();
    }
    assert_eq!(given.len(), 2);
    let third = NewFlow { internal_zone: Zone(3), ..flow(Protocol::TCP) };
    assert_eq!(choose(&table, Time(0), two, &third), Err(NoTuple::Exhausted));
}

/// Two hosts with one identifier get two (T-21).
#[test]
fn icmp_identifiers_are_chosen_like_ports() {
    let mut table = without_hold();
    let two = pool(&PUBLIC[..1], 1024, 1025);
    let mut given = BTreeSet::new();
    for host in [4, 5] {
        let mut new = flow(Protocol::ICMP);
        new.internal = at([10, 0, 0, host], 77);
        new.external = choose(&table, Time(0), two, &new).unwrap();
        open(&mut table, Time(0), new).unwrap();
        given.insert(new.external.port());
    }
    assert_eq!(given, BTreeSet::from([1024, 1025]));
}

/// A protocol without ports takes a whole address towards one remote.
#[test]
fn portless_protocol_takes_whole_address() {
    let mut table = without_hold();
    let mut given = BTreeSet::new();
    for host in 1..=4 {
        let mut new = flow(Protocol(47));
        (new.internal, new.remote) = (at([10, 0, 0, host], 0), at([52, 239, 1, 9], 0));
        match choose(&table, Time(0), pool(&PUBLIC, 1024, 65_535), &new) {
            Ok(external) => {
                assert_eq!(external.port(), 0);
                given.insert(external);
                open(&mut table, Time(0), NewFlow { external, ..new }).unwrap();
            }
            Err(why) => assert_eq!((why, host, given.len()), (NoTuple::Exhausted, 4, 3)),
        }
    }
    assert_eq!(given.len(), 3);
}

#[test]
fn empty_pool_is_exhausted() {
    let table = without_hold();
    let new = flow(Protocol::TCP);
    assert_eq!(choose(&table, Time(0), pool(&[], 1024, 65_535), &new), Err(NoTuple::Exhausted));
    assert_eq!(choose(&table, Time(0), pool(&PUBLIC, 1025, 1024), &new), Err(NoTuple::Exhausted));
    assert!(choose(&table, Time(0), pool(&PUBLIC, 0, 65_535), &new).is_ok());
}

/// An internal address keeps one external address until that has no port left (T-08).
#[test]
fn internal_address_retains_its_external_address() {
    let mut table = without_hold();
    let pool = pool(&PUBLIC, 2000, 2009);
    let given: Vec<_> = (1..=30)
        .map(|port| open_behind(&mut table, pool, port).unwrap().ip().octets()[3])
        .collect();
    for ten in given.chunks(10) {
        assert!(ten.iter().all(|address| *address == ten[0]), "{given:?}");
    }
    let hosts: BTreeSet<_> = (0..50)
        .map(|host| {
            let new = NewFlow { internal: at([10, 0, 9, host], 1), ..flow(Protocol::UDP) };
            *choose(&without_hold(), Time(0), pool, &new).unwrap().ip()
        })
        .collect();
    assert_eq!(hosts.len(), 3, "and the hosts spread over all addresses");
}

/// Ports are not consecutive. Another seed gives another order, the same seed the same one (N-13,
/// T-07).
#[test]
fn ports_are_random_and_reproducible() {
    let given = |seed| {
        let mut table = FlowTable::new(Settings::replayable(seed));
        let pool = pool(&PUBLIC[..1], 1024, 65_535);
        (1..=200)
            .map(|port| open_behind(&mut table, pool, port).unwrap().port())
            .collect::<Vec<_>>()
    };
    let ports = given(1);
    assert_eq!(ports, given(1));
    assert_ne!(ports, given(2));
    let near = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 64).count();
    assert!(near < 5, "{near} of 199 neighbours are near each other");
    let upper = ports.iter().filter(|port| **port > 33_280).count();
    assert!((70..=130).contains(&upper), "{upper} of 200 in the upper half");
}

/// Every free port is as likely as any other, by chi-squared over 8 free ports of 16 and 4,000
/// draws (N-13).
#[test]
fn every_free_port_is_equally_likely() {
    let taken = [1, 2, 3, 4, 8, 9, 12, 15];
    let mut hits = [0_u32; 16];
    for seed in 0..4000 {
        let settings =
            Settings { capacity: 16, held: 1, revalidation_keys: 1, ..Settings::replayable(seed) };
        let mut table = FlowTable::new(settings);
        for port in taken {
            let mut new = flow(Protocol::UDP);
            new.internal = at([10, 0, 0, 9], port);
            new.external.set_port(1000 + port);
            open(&mut table, Time(0), new).unwrap();
        }
        let port = open_behind(&mut table, pool(&PUBLIC[..1], 1000, 1015), 5).unwrap().port();
        hits[usize::from(port - 1000)] += 1;
    }
    assert!(taken.iter().all(|port| hits[usize::from(*port)] == 0));
    let squares: f64 = hits
        .iter()
        .filter(|hits| **hits > 0)
        .map(|hits| (f64::from(*hits) - 500.0).powi(2) / 500.0)
        .sum();
    // With 7 degrees of freedom, fair draws exceed 24.3 once in 1,000.
    assert!(squares < 24.3, "{hits:?} {squares}");
}

/// The same packets at another time get another port, and only the seed tells which
/// (INV-ports-not-predictable, T-07).
#[test]
fn own_packets_do_not_predict_ports() {
    let pool = pool(&PUBLIC[..1], 1024, 65_535);
    let (table, new) = (without_hold(), flow(Protocol::TCP));
    let given = |now| choose(&table, Time(now), pool, &new).unwrap();
    assert_ne!(given(0), given(1));
    assert_ne!(given(0), given(1_000_000_000));
}

/// The remote, the source and the time each change the draw (N-13, T-07).
#[test]
fn draw_depends_on_ends_and_time() {
    let pool = pool(&PUBLIC[..1], 1024, 65_535);
    let (table, new) = (without_hold(), flow(Protocol::TCP));
    let of = |remote, internal, now| {
        choose(&table, Time(now), pool, &NewFlow { remote, internal, ..new }).unwrap().port()
    };
    let (remote, internal) = (at([52, 239, 1, 9], 443), at([10, 0, 0, 4], 50_001));
    let drawn = [
        of(remote, internal, 0),
        of(at([52, 239, 1, 8], 443), internal, 0),
        of(at([53, 239, 1, 9], 443), internal, 0),
        of(at([52, 239, 1, 9], 444), internal, 0),
        of(at([52, 239, 1, 9], 443 ^ 1 << 15), internal, 0),
        of(remote, at([10, 0, 0, 4], 50_002), 0),
        of(remote, at([10, 0, 0, 5], 50_001), 0),
        of(remote, internal, 1),
    ];
    assert_eq!(BTreeSet::from(drawn).len(), drawn.len(), "{drawn:?}");
}

/// Flows of others behind other addresses do not change what a host gets (INV-networks-isolated).
#[test]
fn others_flows_do_not_change_ports() {
    let pool = pool(&PUBLIC[..1], 1024, 65_535);
    let mut quiet = FlowTable::new(Settings::replayable(0));
    let mut busy = FlowTable::new(Settings::replayable(0));
    let other = NewFlow { internal: at([10, 0, 0, 9], 9), ..flow(Protocol::TCP) };
    open(&mut busy, Time(0), other).unwrap();
    assert_eq!(open_behind(&mut quiet, pool, 1), open_behind(&mut busy, pool, 1));
}

/// Choosing changes nothing: the second answer is the first.
#[test]
fn choosing_is_pure() {
    let table = without_hold();
    let new = flow(Protocol::TCP);
    let pool = pool(&PUBLIC, 1024, 65_535);
    assert_eq!(choose(&table, Time(0), pool, &new), choose(&table, Time(0), pool, &new));
}

const C: u32 = CLIENT + 1;
const S: u32 = SERVER + 1;

/// Closes a connection by the FIN of both ends.
fn finish(world: &mut World) {
    world.handshake();
    _ = world.internal(segment(FIN | ACK, C, S, 0));
    _ = world.external(segment(FIN | ACK, S, C + 1, 0));
    _ = world.internal(segment(ACK, C + 1, S + 1, 0));
}

/// Makes a flow of another host for the one port left.
fn other_of(world: &World) -> NewFlow<u32> {
    NewFlow { internal: at([10, 0, 0, 5], 1), ..world.new }
}

/// Checks that another host gets the tuple of an ended flow exactly after `rest`, to the
/// nanosecond, swept or not.
fn is_given_after(mut world: World, rest: Duration, swept: bool, name: &str) {
    let (nanosecond, tick) = (Duration::from_nanos(1), rest / 16);
    let mut left = rest - nanosecond;
    while swept && left > tick && !tick.is_zero() {
        world.wait(tick);
        world.expire();
        left -= tick;
    }
    world.wait(left);
    let (other, one) = (other_of(&world), pool(&PUBLIC[..1], 1024, 1024));
    assert_eq!(choose(&world.table, world.now, one, &other), Err(NoTuple::Exhausted), "{name}");
    let kept = world.table.may_open(world.now, other);
    assert!(matches!(kept, Err(OpenError::TupleHeld | OpenError::TupleInUse)), "{name}: {kept:?}");
    let elsewhere = NewFlow { remote: at([52, 239, 1, 10], 443), ..other };
    assert!(choose(&world.table, world.now, one, &elsewhere).is_ok(), "N-12 {name}");
    world.wait(nanosecond);
    assert_eq!(choose(&world.table, world.now, one, &other), Ok(other.external), "{name}");
    assert!(open(&mut world.table, world.now, other).is_ok(), "{name}");
    world.expire();
    assert_eq!(world.table.counters().held, 0, "{name}");
}

/// The hold-down depends on how the flow ended, and counts from the end of the connection (N-14,
/// INV-hold-down-kept, U-12, T-11).
#[test]
fn hold_down_depends_on_flow_end() {
    type End = fn(&mut World);
    let tcp = Protocol::TCP;
    let cases: [(&str, Protocol, End, u64); 11] = [
        ("fin", tcp, finish, 65),
        (
            "last fin sent again",
            tcp,
            |world| {
                finish(world);
                world.wait(Duration::from_secs(20));
                _ = world.external(segment(FIN | ACK, S, C + 1, 0));
                _ = world.internal(segment(ACK, C + 1, S + 1, 0));
            },
            65,
        ),
        (
            "last fin never acknowledged",
            tcp,
            |world| {
                world.handshake();
                _ = world.internal(segment(FIN | ACK, C, S, 0));
                _ = world.external(segment(FIN | ACK, S, C + 1, 0));
            },
            65,
        ),
        (
            "fin of one end",
            tcp,
            |world| {
                world.handshake();
                _ = world.internal(segment(FIN | ACK, C, S, 0));
            },
            240 + 65,
        ),
        (
            "reset",
            tcp,
            |world| {
                world.handshake();
                assert_eq!(world.internal(segment(RST, C, 0, 0)), Track::Pass);
            },
            16,
        ),
        ("half open", tcp, |_| {}, 30),
        ("idle", tcp, World::handshake, 240 + 65),
        ("udp", Protocol::UDP, |_| {}, 240 + 65),
        (
            "toggle",
            tcp,
            |world| {
                world.handshake();
                _ = world.table.close(world.now, world.id, Cause::SourceSwitched);
            },
            16,
        ),
        (
            "toggle of a finished one",
            tcp,
            |world| {
                finish(world);
                _ = world.table.close(world.now, world.id, Cause::SourceSwitched);
            },
            65,
        ),
        (
            "withdrawn",
            tcp,
            |world| {
                world.handshake();
                world.table.end(world.now, world.id, Cause::Withdrawn);
            },
            16,
        ),
    ];
    for swept in [true, false] {
        for (name, protocol, end, seconds) in cases {
            let mut world = World::opened(protocol);
            end(&mut world);
            is_given_after(world, Duration::from_secs(seconds), swept, name);
        }
    }
}

/// Each profile has its hold-down after FIN, after RST, after an unanswered SYN, after silence, and
/// for UDP (N-14, N-23, T-11, T-15).
#[test]
fn profile_has_its_hold_down_times() {
    let idle = IdleMinutes::new(30).unwrap();
    let profiles = [
        (TimerProfile::Table, [65, 16, 30, 240 + 65, 240 + 65]),
        (TimerProfile::Azure(idle), [65, 16, 30, 1800 + 65, 240 + 65]),
        (TimerProfile::Balancer(idle), [240, 15, 30, 1800, 240]),
        (TimerProfile::Rfc, [240, 240, 240, 7440 + 120, 300 + 120]),
        (TimerProfile::Linux, [120, 10, 120, 432_000, 30]),
    ];
    type End = fn(&mut World);
    let ends: [(Protocol, End); 5] = [
        (Protocol::TCP, finish),
        (Protocol::TCP, |world| {
            world.handshake();
            assert_eq!(world.external(segment(RST, S, 0, 0)), Track::Pass);
        }),
        (Protocol::TCP, |_| {}),
        (Protocol::TCP, World::handshake),
        (Protocol::UDP, |_| {}),
    ];
    for (profile, hold_down_times) in profiles {
        for ((protocol, end), seconds) in ends.into_iter().zip(hold_down_times) {
            let mapping_policy = MappingPolicy::default().with_timers(profile);
            let mut world =
                World::new(Settings::replayable(0), NewFlow { mapping_policy, ..flow(protocol) });
            end(&mut world);
            let name = format!("{profile:?} {protocol:?} {:?}", world.state());
            is_given_after(world, Duration::from_secs(seconds), true, &name);
        }
    }
}

/// Behind a load balancer the FIN of one end suffices (N-23).
#[test]
fn one_fin_frees_a_balancers_port() {
    let balancer = TimerProfile::Balancer(IdleMinutes::new(30).unwrap());
    for side in [Side::Internal, Side::External] {
        let mapping_policy = MappingPolicy::default().with_timers(balancer);
        let new = NewFlow { mapping_policy, ..flow(Protocol::TCP) };
        let mut world = World::new(Settings::replayable(0), new);
        world.handshake();
        let track = match side {
            Side::Internal => world.internal(segment(FIN | ACK, C, S, 0)),
            Side::External => world.external(segment(FIN | ACK, S, C, 0)),
        };
        assert_eq!(track, Track::Pass);
        is_given_after(world, Duration::from_secs(240), true, "one fin");
    }
}

/// A tombstone keeps its tuple for 16 s. Then it still answers both ends, until a flow takes the
/// tuple (N-14, U-12, INV-tombstone-answers).
#[test]
fn a_tombstone_gives_its_tuple_way() {
    for swept in [true, false] {
        let mut world = World::established();
        _ = world.table.close(world.now, world.id, Cause::SourceSwitched);
        let (other, one) = (other_of(&world), pool(&PUBLIC[..1], 1024, 1024));
        assert_eq!(choose(&world.table, world.now, one, &other), Err(NoTuple::Exhausted));
        assert_eq!(world.table.may_open(world.now, other), Err(OpenError::TupleInUse));
        world.wait(Duration::from_secs(16));
        if swept {
            assert!(world.expire().is_empty(), "the tombstone stands");
        }
        assert!(world.is_found());
        let opening = world.table.may_open(world.now, other).unwrap();
        let (packet, mut gone) = (first(&other), Vec::new());
        let mut sink = |ended: Ended<u32>| gone.push((ended.flow.internal, ended.cause));
        world.table.enter(world.now, &opening, &packet.headers, &packet.bytes, &mut sink).unwrap();
        assert_eq!(gone, [(world.new.internal, Cause::SourceSwitched)]);
        assert!(world.table.flow(world.id).is_none());
        assert_eq!(world.table.counters().tombstones, 0);
    }
}

/// A port bitmap also gives the port of a tombstone (INV-refused-only-when-full, N-14).
#[test]
fn released_tombstone_is_found_when_dense() {
    let pool = pool(&PUBLIC[..1], 2000, 5999);
    let mut table = FlowTable::new(Settings { capacity: 20_000, ..Settings::replayable(0) });
    let mut host = 0_u32;
    let mut next = || {
        host += 1;
        NewFlow {
            internal: SocketAddrV4::new(Ipv4Addr::from_bits(0x0A00_0000 | host), 1),
            ..flow(Protocol::TCP)
        }
    };
    let mut opened = Vec::new();
    let (start, mut new) = (Time(0), next());
    while let Ok(external) = choose(&table, start, pool, &new) {
        opened.push((open(&mut table, start, NewFlow { external, ..new }).unwrap(), external));
        new = next();
    }
    let (id, external) = opened[1234];
    _ = table.close(start, id, Cause::PathSwitched);
    let rested = start + Duration::from_secs(16);
    assert_eq!(choose(&table, Time(rested.0 - 1), pool, &new), Err(NoTuple::Exhausted));
    assert_eq!(choose(&table, rested, pool, &new), Ok(external), "not swept");
    table.expire(rested, usize::MAX, &mut |_| panic!("nothing ends"));
    assert_eq!(choose(&table, rested, pool, &new), Ok(external), "swept");
    open(&mut table, rested, NewFlow { external, ..new }).unwrap();
    assert_eq!(choose(&table, rested, pool, &next()), Err(NoTuple::Exhausted));
}

/// A preserved source takes no tuple of a pool and leaves no hold-down (INV-endpoint-takes-no-port,
/// T-12).
#[test]
fn a_preserved_source_leaves_no_hold() {
    let new = NewFlow { external: flow(Protocol::TCP).internal, ..flow(Protocol::TCP) };
    let mut world = World::new(Settings::replayable(0), new);
    world.table.end(world.now, world.id, Cause::Evicted);
    assert_eq!(world.table.counters().held, 0);
    assert!(open(&mut world.table, world.now, new).is_ok());
}

/// The same host may have its tuple again at once, since hold-down protects against others.
#[test]
fn reopening_host_reuses_its_tuple() {
    let mut world = World::established();
    _ = world.table.close(world.now, world.id, Cause::SourceSwitched);
    assert!(open(&mut world.table, world.now, world.new).is_ok());
    assert_eq!(world.table.counters().held, 0);
}

/// If hold-down is full, the tuple nearest to its time is released and counted.
#[test]
fn full_hold_down_frees_nearest_tuple() {
    let settings = Settings { held: 2, ..Settings::replayable(0) };
    let mut table = FlowTable::new(settings);
    let tuple = |port| {
        let mut new = flow(Protocol::TCP);
        new.internal.set_port(port);
        new.external.set_port(port);
        new
    };
    // The first is in hold-down for 65 s (idle), the others for 16 s.
    for (port, cause) in [(1, Cause::Idle), (2, Cause::Reset), (3, Cause::Reset)] {
        let id = open(&mut table, Time(u64::from(port)), tuple(port)).unwrap();
        table.end(Time(u64::from(port)), id, cause);
    }
    let counters = table.counters();
    assert_eq!((counters.held, counters.released_early), (2, 1));
    let free = |port| table.may_open(Time(4), tuple(port)).is_ok();
    assert!(!free(1) && (free(2) || free(3)));
}

/// A tuple that is reused again and again enters hold-down each time, even if nobody sweeps
/// (INV-hold-down-kept, N-14).
#[test]
fn reused_tuple_is_held_each_time() {
    let mut table = FlowTable::new(Settings::replayable(0));
    let new = flow(Protocol::TCP);
    for minute in 0..100 {
        let now = Time(minute * 60_000_000_000);
        let id = open(&mut table, now, new).unwrap();
        table.end(now, id, Cause::Reset);
        assert!(table.may_open(now, new).is_err(), "at rest since {now:?}");
        assert_eq!(table.counters().released_early, 0);
    }
}

proptest! {
    /// The search visits every tuple of a pool once: with all but a random one taken, it finds that
    /// one.
    #[test]
    fn the_only_free_tuple_is_found(
        addresses in 1_usize..=3,
        ports in 1_u16..=40,
        seed in any::<u64>(),
        free in any::<prop::sample::Index>(),
    ) {
        let pool = pool(&PUBLIC[..addresses], 3000, 3000 + ports - 1);
        let mut table = FlowTable::new(Settings::replayable(seed));
        let all: Vec<_> = PUBLIC[..addresses]
            .iter()
            .flat_map(|address| (3000..3000 + ports).map(|port| SocketAddrV4::new(*address, port)))
            .collect();
        let free = *free.get(&all);
        for (number, external) in (1..).zip(all.iter().filter(|end| **end != free)) {
            let internal = at([10, 0, 0, 9], number);
            let new = NewFlow { internal, external: *external, ..flow(Protocol::UDP) };
            open(&mut table, Time(0), new).unwrap();
        }
        let new = NewFlow { internal_zone: SUBNET, initiator: Side::Internal, ..flow(Protocol::UDP) };
        prop_assert_eq!(choose(&table, Time(0), pool, &new), Ok(free));
    }
}

/// Both address and port decide, so that a socket with a port of another pool gets one of this
/// (N-08).
#[test]
fn tuple_belongs_to_its_address_pool() {
    let pool = pool(&PUBLIC, 1024, 2047);
    for (last, port, is_in) in [
        (1, 1024, true),
        (3, 2047, true),
        (2, 1023, false),
        (2, 2048, false),
        (4, 1024, false),
        (4, 1, false),
    ] {
        assert_eq!(pool.has(at([20, 1, 1, last], port)), is_in, "20.1.1.{last}:{port}");
    }
}
