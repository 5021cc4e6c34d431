//! How the rules of a pool change the choice of ports (T-01 to T-11).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    Blocks, Cause, Chosen, Filtering, FlowId, FlowTable, HoldDown, Limits, Mapping, NewFlow,
    NoTuple, OpenError, Pool, PoolRules, Rate, Settings, Shared, Side, Time, Wanted, Zone,
};
use vnetem_packet::{FiveTuple, Protocol};

use crate::packets::at;
use crate::world::{flow, open};

const PUBLIC: [Ipv4Addr; 3] =
    [Ipv4Addr::new(20, 1, 1, 1), Ipv4Addr::new(20, 1, 1, 2), Ipv4Addr::new(20, 1, 1, 3)];
const INDEPENDENT: PoolRules = PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE };
const SECOND: Duration = Duration::from_secs(1);

/// A table and a pool of one protocol.
struct Nat<'a> {
    table: FlowTable<u32>,
    pool: Pool<'a>,
    protocol: Protocol,
    now: Time,
}

impl<'a> Nat<'a> {
    fn new(addresses: &'a [Ipv4Addr], ports: [u16; 2], rules: &'a PoolRules) -> Self {
        let settings = Settings { hold: HoldDown::NONE, ..Settings::replayable(0) };
        let [first_port, last_port] = ports;
        let pool = Pool { addresses, first_port, last_port, rules };
        Self { table: FlowTable::new(settings), pool, protocol: Protocol::UDP, now: Time(0) }
    }

    fn wanted(&self, internal: SocketAddrV4, remote: SocketAddrV4) -> Wanted {
        let NewFlow { internal_zone, external_zone, .. } = flow(self.protocol);
        let protocol = self.protocol;
        Wanted { protocol, internal, internal_zone, remote, external_zone, suggestion: None }
    }

    fn choose(&self, internal: SocketAddrV4, remote: SocketAddrV4) -> Result<Chosen, NoTuple> {
        self.table.choose(self.now, self.pool, &self.wanted(internal, remote))
    }

    fn open(
        &mut self,
        internal: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Result<(SocketAddrV4, FlowId), NoTuple> {
        let Chosen { external, mapping_policy } = self.choose(internal, remote)?;
        assert!(self.pool.has(external), "INV-port-in-range: {external}");
        let new = NewFlow { internal, remote, external, mapping_policy, ..flow(self.protocol) };
        Ok((external, open(&mut self.table, self.now, new).unwrap()))
    }

    fn external(&mut self, internal: SocketAddrV4, remote: SocketAddrV4) -> SocketAddrV4 {
        self.open(internal, remote).unwrap().0
    }

    /// Says whether a packet of this tuple may enter without a flow.
    fn lets_in(&self, source: SocketAddrV4, destination: SocketAddrV4) -> bool {
        let tuple = FiveTuple { protocol: self.protocol, source, destination };
        self.table.inbound(Zone::PUBLIC, &tuple).is_some()
    }
}

fn vm(host: u8, port: u16) -> SocketAddrV4 {
    at([10, 0, 0, host], port)
}

fn server(number: u8, port: u16) -> SocketAddrV4 {
    at([52, 239, 1, number], port)
}

/// T-01, RFC 4787 REQ-1, RFC 5382 REQ-1.
#[test]
fn t_01_independent_mapping_is_one_port() {
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5003], &INDEPENDENT);
    let first = nat.external(vm(4, 1), server(1, 443));
    for remote in [server(1, 444), server(2, 443), server(3, 9)] {
        assert_eq!(nat.external(vm(4, 1), remote), first);
    }
    let others =
        [vm(4, 2), vm(5, 1), vm(5, 2)].map(|internal| nat.external(internal, server(9, 9)));
    assert_eq!(BTreeSet::from(others).len(), 3);
    assert!(!others.contains(&first), "though no flow has it towards this remote");
    assert_eq!(
        nat.choose(vm(6, 1), server(7, 7)),
        Err(NoTuple::Exhausted),
        "INV-refused-only-when-full"
    );
    // The ports of UDP and TCP are separate.
    nat.protocol = Protocol::TCP;
    assert!(nat.open(vm(6, 1), server(7, 7)).is_ok());
}

#[test]
fn t_01_dependent_mapping_shares_one_port() {
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5000], &PoolRules::AZURE);
    let externals = [1, 2, 3].map(|n| nat.external(vm(n, 1), server(n, 443)));
    assert_eq!(externals, [at([20, 1, 1, 1], 5000); 3], "N-12");
    assert_eq!(
        nat.choose(vm(9, 1), server(1, 443)),
        Err(NoTuple::Exhausted),
        "T-04, INV-mapping-unique"
    );
}

/// The port of an endpoint-independent mapping enters hold-down towards all remotes when its last
/// flow has ended (INV-hold-down-kept, T-11).
#[test]
fn independent_port_is_held_for_everybody() {
    let rules = INDEPENDENT;
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5000], &rules);
    let hold = HoldDown { datagram: SECOND * 60, ..HoldDown::NONE };
    nat.table = FlowTable::new(Settings { hold, ..Settings::replayable(0) });
    let (external, first) = nat.open(vm(4, 1), server(1, 443)).unwrap();
    let (_, second) = nat.open(vm(4, 1), server(2, 443)).unwrap();
    assert!(nat.table.end(nat.now, first, Cause::Evicted));
    assert_eq!(nat.choose(vm(4, 1), server(1, 443)).unwrap().external, external, "its own socket");
    assert!(nat.table.end(nat.now, second, Cause::Evicted));
    assert_eq!(nat.choose(vm(5, 1), server(3, 9)), Err(NoTuple::Exhausted));
    nat.pool.rules = &PoolRules::AZURE;
    assert_eq!(nat.choose(vm(5, 1), server(3, 9)), Err(NoTuple::Exhausted), "nor for one flow");
    nat.now += SECOND * 60;
    assert!(nat.choose(vm(5, 1), server(3, 9)).is_ok());
}

/// The replaced flow may be the last of its mapping, and the mapping continues.
#[test]
fn independent_mapping_survives_reopening() {
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5999], &INDEPENDENT);
    nat.table = FlowTable::new(Settings::replayable(0));
    nat.protocol = Protocol::TCP;
    let (external, id) = nat.open(vm(4, 1), server(1, 443)).unwrap();
    let _ = nat.table.close(nat.now, id, Cause::SourceSwitched);
    assert_eq!(nat.external(vm(4, 1), server(1, 443)), external);
    assert_eq!(nat.external(vm(4, 1), server(2, 443)), external);
    assert_eq!(nat.table.counters().held, 0);
}

/// A port is kept as in Linux (T-02).
#[test]
fn t_02_kept_port_serves_new_remotes() {
    let rules = PoolRules { keep_port: true, ..PoolRules::AZURE };
    let mut nat = Nat::new(&PUBLIC, [5000, 5999], &rules);
    let first = nat.external(vm(4, 1), server(1, 443));
    assert_eq!(nat.external(vm(4, 1), server(2, 443)), first);
    // Another socket takes it towards a third remote, since no socket owns it.
    let wanted = Wanted { suggestion: Some(first.port()), ..nat.wanted(vm(5, 1), server(3, 443)) };
    let chosen = nat.table.choose(nat.now, Pool { addresses: &[*first.ip()], ..nat.pool }, &wanted);
    let Chosen { external, mapping_policy } = chosen.unwrap();
    assert_eq!(external, first);
    let internal = vm(5, 1);
    let new = NewFlow {
        internal,
        external,
        mapping_policy,
        remote: server(3, 443),
        ..flow(Protocol::UDP)
    };
    open(&mut nat.table, nat.now, new).unwrap();
    assert_ne!(nat.external(vm(4, 1), server(3, 443)), first, "T-04");
    assert_eq!(nat.external(vm(4, 1), server(4, 443)), first, "the first one is kept");
}

/// T-03, RFC 4787 REQ-8, RFC 5382 REQ-3.
#[test]
fn t_03_each_filter_admits_its_remotes() {
    for (filtering, from_address, from_anywhere) in [
        (Filtering::AddressAndPort, false, false),
        (Filtering::Address, true, false),
        (Filtering::Independent, true, true),
    ] {
        let rules = PoolRules { filtering, ..INDEPENDENT };
        let mut nat = Nat::new(&PUBLIC[..1], [5000, 5999], &rules);
        let (external, id) = nat.open(vm(4, 1), server(1, 443)).unwrap();
        assert_eq!(nat.lets_in(server(1, 9), external), from_address, "{filtering:?}");
        assert_eq!(nat.lets_in(server(2, 9), external), from_anywhere, "{filtering:?}");
        let elsewhere = SocketAddrV4::new(*external.ip(), external.port() ^ 1);
        assert!(!nat.lets_in(server(1, 443), elsewhere), "another port is nobody's");
        nat.table.end(nat.now, id, Cause::Idle);
        assert!(!nat.lets_in(server(1, 9), external), "the mapping has ended with its last flow");
    }
}

/// A flow opened from the external side has the same mapping, and keeps it alive.
#[test]
fn t_03_inbound_flow_belongs_to_mapping() {
    let rules = PoolRules { filtering: Filtering::Independent, ..INDEPENDENT };
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5999], &rules);
    let (external, id) = nat.open(vm(4, 1), server(1, 443)).unwrap();
    let tuple = FiveTuple { protocol: Protocol::UDP, source: server(2, 9), destination: external };
    let inbound = nat.table.inbound(Zone::PUBLIC, &tuple).unwrap();
    assert_eq!((inbound.internal, inbound.zone), (vm(4, 1), flow(Protocol::UDP).internal_zone));
    let new = NewFlow {
        internal: inbound.internal,
        internal_zone: inbound.zone,
        remote: server(2, 9),
        external,
        mapping_policy: inbound.mapping_policy,
        initiator: Side::External,
        ..flow(Protocol::UDP)
    };
    open(&mut nat.table, nat.now, new).unwrap();
    nat.table.end(nat.now, id, Cause::Idle);
    assert_eq!(nat.external(vm(4, 1), server(3, 3)), external);
}

/// `open` checks a mapping policy that was made by hand (T-04, INV-mapping-unique).
#[test]
fn t_04_socket_port_is_never_shared() {
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5999], &INDEPENDENT);
    let (external, _) = nat.open(vm(4, 1), server(1, 443)).unwrap();
    let mapping_policy = nat.choose(vm(5, 1), server(2, 443)).unwrap().mapping_policy;
    let (internal, remote) = (vm(5, 1), server(2, 443));
    let stolen = NewFlow { internal, remote, external, mapping_policy, ..flow(Protocol::UDP) };
    assert_eq!(nat.table.may_open(nat.now, stolen), Err(OpenError::TupleInUse));
    assert_eq!(open(&mut nat.table, nat.now, stolen), Err(OpenError::TupleInUse));
}

/// A flow gets its own port, else one of the class, else any, so that INV-refused-only-when-full
/// holds (T-05, RFC 4787 REQ-3a).
#[test]
fn t_05_port_or_its_class_preserved() {
    let rules = PoolRules { preserve_port: true, ..PoolRules::AZURE };
    let mut nat = Nat::new(&PUBLIC[..1], [1022, 1025], &rules);
    let remote = server(1, 443);
    assert_eq!(nat.external(vm(4, 1024), remote).port(), 1024);
    assert_eq!(nat.external(vm(5, 1024), remote).port(), 1025, "the other of its class");
    let low = [5, 6].map(|host| nat.external(vm(host, 999), remote).port());
    assert_eq!(BTreeSet::from(low), BTreeSet::from([1022, 1023]));
    assert_eq!(nat.choose(vm(7, 999), remote), Err(NoTuple::Exhausted));
    assert_eq!(nat.choose(vm(7, 1023), server(2, 443)).unwrap().external.port(), 1023);
    let mut high = Nat::new(&PUBLIC[..1], [2000, 2003], &rules);
    assert!(high.external(vm(4, 80), remote).port() >= 2000, "a pool without its class");
}

/// A reopened connection gets its earlier port, unless that is in hold-down (T-05, T-18, N-14).
#[test]
fn t_05_reopened_connection_reuses_its_port() {
    let preserve = PoolRules { preserve_port: true, ..PoolRules::AZURE };
    let keep = PoolRules { keep_port: true, ..PoolRules::AZURE };
    for (rules, ports) in
        [(preserve, [1024, 65_535]), (keep, [1024, 65_535]), (PoolRules::AZURE, [5000, 5000])]
    {
        for (hold, expected) in [(HoldDown::NONE, true), (HoldDown::AZURE, false)] {
            let mut nat = Nat::new(&PUBLIC[..1], ports, &rules);
            nat.table = FlowTable::new(Settings { hold, ..Settings::replayable(0) });
            nat.protocol = Protocol::TCP;
            let (internal, remote) = (vm(4, 5000), server(1, 443));
            let (before, id) = nat.open(internal, remote).unwrap();
            let _ = nat.table.close(nat.now, id, Cause::SourceSwitched);
            let others = nat.choose(vm(5, 5000), remote).map(|chosen| chosen.external);
            assert_ne!(others, Ok(before), "another host does not get it");
            let after = nat.choose(internal, remote).map(|chosen| chosen.external);
            assert_eq!(after == Ok(before), expected, "{rules:?} {hold:?}");
            if expected {
                assert_eq!(nat.external(internal, remote), before);
            }
        }
    }
}

/// A host at its limit may reopen its own finished flow and no other (T-10, T-18).
#[test]
fn t_10_reopened_flow_counts_once() {
    let limits = Limits { flows: 2, ..Limits::default() };
    let rules = PoolRules { limits, ..PoolRules::AZURE };
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5009], &rules);
    nat.protocol = Protocol::TCP;
    let remote = server(1, 443);
    let (_, over) = nat.open(vm(4, 1), remote).unwrap();
    nat.open(vm(4, 2), remote).unwrap();
    assert_eq!(nat.choose(vm(4, 1), remote), Err(NoTuple::Quota), "it is not over");
    let _ = nat.table.close(nat.now, over, Cause::SourceSwitched);
    assert_eq!(nat.choose(vm(4, 3), remote), Err(NoTuple::Quota));
    for _ in 0..3 {
        let (_, id) = nat.open(vm(4, 1), remote).unwrap();
        assert_eq!(nat.choose(vm(4, 3), remote), Err(NoTuple::Quota));
        let _ = nat.table.close(nat.now, id, Cause::SourceSwitched);
    }
    nat.external(vm(5, 1), remote);
}

/// A host above a lowered limit reopens nothing (T-10).
#[test]
fn t_10_lowered_limit_binds_reopened_flows() {
    let limits =
        |flows| PoolRules { limits: Limits { flows, ..Limits::default() }, ..PoolRules::AZURE };
    let (many, few) = (limits(3), limits(1));
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5009], &many);
    nat.protocol = Protocol::TCP;
    let remote = server(1, 443);
    let (_, over) = nat.open(vm(4, 1), remote).unwrap();
    nat.open(vm(4, 2), remote).unwrap();
    let _ = nat.table.close(nat.now, over, Cause::SourceSwitched);
    assert!(nat.choose(vm(4, 1), remote).is_ok());
    nat.pool.rules = &few;
    assert_eq!(nat.choose(vm(4, 1), remote), Err(NoTuple::Quota));
}

/// A flow opened from the external side counts for its internal address (T-10, T-03).
#[test]
fn t_10_a_flow_from_the_outside_counts() {
    let limits = Limits { flows: 2, ..Limits::default() };
    let rules = PoolRules { limits, filtering: Filtering::Independent, ..INDEPENDENT };
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5009], &rules);
    let external = nat.external(vm(4, 1), server(1, 443));
    assert!(nat.choose(vm(4, 2), server(1, 443)).is_ok());
    let tuple = FiveTuple { protocol: nat.protocol, source: server(9, 9), destination: external };
    let inbound = nat.table.inbound(Zone::PUBLIC, &tuple).unwrap();
    let new = NewFlow {
        internal: inbound.internal,
        internal_zone: inbound.zone,
        remote: server(9, 9),
        external,
        initiator: Side::External,
        mapping_policy: inbound.mapping_policy,
        ..flow(nat.protocol)
    };
    open(&mut nat.table, nat.now, new).unwrap();
    assert_eq!(nat.choose(vm(4, 2), server(1, 443)), Err(NoTuple::Quota));
}

/// Room for shared state is released with its last flow. That of a host is released once its next
/// flow need not wait (INV-memory-bounded).
#[test]
fn shared_state_is_released() {
    let block = PoolRules { blocks: Blocks::Dynamic { size: 10, most: 1 }, ..PoolRules::AZURE };
    let rate = Limits { rate: Some(Rate { burst: 1, interval: SECOND }), ..Limits::default() };
    let rate = PoolRules { limits: rate, ..PoolRules::AZURE };
    for (rules, wait) in [(INDEPENDENT, 0), (block, 0), (rate, 1)] {
        let mut nat = Nat::new(&PUBLIC, [5000, 5999], &rules);
        let shared = Shared { hosts: 1, sockets: 1, blocks: 1 };
        nat.table =
            FlowTable::new(Settings { shared, hold: HoldDown::NONE, ..Settings::replayable(0) });
        for host in 4..9 {
            let (_, id) = nat.open(vm(host, 1), server(1, 443)).unwrap();
            assert!(nat.table.end(nat.now, id, Cause::Idle));
            nat.now += SECOND * wait;
        }
    }
}

/// A socket that filters by address needs room for each permitted remote (T-03,
/// INV-memory-bounded).
#[test]
fn t_03_full_permitted_remotes_refuse() {
    let rules = PoolRules { filtering: Filtering::Address, ..INDEPENDENT };
    let mut nat = Nat::new(&PUBLIC[..1], [5000, 5999], &rules);
    let shared = Shared { hosts: 1, sockets: 1, blocks: 1 };
    nat.table = FlowTable::new(Settings { shared, ..Settings::replayable(0) });
    nat.open(vm(4, 1), server(1, 443)).unwrap();
    nat.open(vm(4, 1), server(1, 444)).unwrap();
    let (internal, remote) = (vm(4, 1), server(2, 443));
    let Chosen { external, mapping_policy } = nat.choose(internal, remote).unwrap();
    let new = NewFlow { internal, remote, external, mapping_policy, ..flow(Protocol::UDP) };
    assert_eq!(nat.table.may_open(nat.now, new), Err(OpenError::MappingsFull));
}

/// T-06, RFC 4787 REQ-4.
#[test]
fn t_06_parity_is_kept_while_available() {
    let rules = PoolRules { keep_parity: true, ..PoolRules::AZURE };
    let mut nat = Nat::new(&PUBLIC[..1], [5001, 5007], &rules);
    let remote = server(1, 443);
    for host in 1..=3 {
        assert_eq!(nat.external(vm(host, 40_000), remote).port() % 2, 0);
    }
    for host in 4..=7 {
        assert_eq!(nat.external(vm(host, 40_000), remote).port() % 2, 1, "no even one is left");
    }
    assert_eq!(
        nat.choose(vm(8, 40_000), remote),
        Err(NoTuple::Exhausted),
        "INV-refused-only-when-full"
    );
}

/// T-08, RFC 4787 REQ-2, RFC 6888 REQ-2.
#[test]
fn t_08_internal_address_has_one_external() {
    for rules in [PoolRules::AZURE, PoolRules::RFC, PoolRules::LINUX] {
        let mut nat = Nat::new(&PUBLIC, [5000, 5099], &rules);
        for host in 4..20 {
            let externals: BTreeSet<_> = (0..2_u8)
                .map(|n| *nat.external(vm(host, n.into()), server(host, n.into())).ip())
                .collect();
            assert_eq!(externals.len(), 1, "{host}");
        }
    }
}

/// T-09, RFC 6888 REQ-14, REQ-15.
#[test]
fn t_09_host_has_its_port_block() {
    let rules = PoolRules { blocks: Blocks::Dynamic { size: 4, most: 2 }, ..PoolRules::AZURE };
    let mut nat = Nat::new(&PUBLIC[..2], [5001, 5012], &rules);
    let remote = server(1, 443);
    let first: Vec<_> = (1..=8).map(|port| nat.open(vm(4, port), remote).unwrap()).collect();
    let blocks: BTreeSet<_> =
        first.iter().map(|(external, _)| nat.pool.block_at(*external).unwrap()).collect();
    assert_eq!(blocks.len(), 2);
    assert!(
        blocks.iter().all(|block| block.last - block.first == 3 && (block.first - 5001) % 4 == 0)
    );
    assert_eq!(nat.choose(vm(4, 9), remote), Err(NoTuple::Quota), "it may have no third block");
    // Others never get a port of these blocks, even if it is free towards their remote.
    for host in 5..=8 {
        let external = nat.external(vm(host, 1), server(host, 1));
        assert!(!blocks.contains(&nat.pool.block_at(external).unwrap()), "{external}");
    }
    assert_eq!(nat.choose(vm(9, 1), server(9, 1)), Err(NoTuple::Exhausted), "all six are taken");
    assert_eq!(nat.table.block_of(first[0].1).unwrap().1, 4);
    for (_, id) in first {
        nat.table.end(nat.now, id, Cause::Idle);
    }
    assert!(nat.choose(vm(9, 1), server(9, 1)).is_ok(), "a block goes back with its last flow");
}

/// Blocks are found by arithmetic alone, both ways. The reference implementation counts (T-09, RFC
/// 7422).
#[test]
fn t_09_deterministic_block_resolves_both_ways() {
    let base = Ipv4Addr::new(10, 0, 0, 4);
    for (size, [first_port, last_port]) in [(1, [7, 9]), (4, [5001, 5013]), (64, [1024, 1279])] {
        let rules =
            PoolRules { blocks: Blocks::Deterministic { first: base, size }, ..PoolRules::AZURE };
        let pool = Pool { addresses: &PUBLIC, first_port, last_port, rules: &rules };
        let mut internal = base;
        let mut owners = BTreeMap::new();
        for address in PUBLIC {
            let mut next = first_port;
            while next + size - 1 <= last_port {
                let block = pool.block_of(internal).unwrap();
                assert_eq!(
                    (block.address, block.first, block.last),
                    (address, next, next + size - 1)
                );
                owners.extend(
                    (next..next + size).map(|port| (SocketAddrV4::new(address, port), internal)),
                );
                (next, internal) = (next + size, Ipv4Addr::from_bits(internal.to_bits() + 1));
            }
        }
        assert_eq!(pool.block_of(internal), None, "no block is left for it");
        assert_eq!(pool.block_of(Ipv4Addr::new(10, 0, 0, 3)), None);
        for address in PUBLIC {
            for port in first_port - 1..=last_port + 1 {
                let external = SocketAddrV4::new(address, port);
                assert_eq!(pool.inside_of(external), owners.get(&external).copied());
            }
        }
        let mut nat = Nat::new(&PUBLIC, [first_port, last_port], &rules);
        for port in 1..=size {
            let external = nat.external(vm(5, port), server(1, 443));
            assert_eq!(owners[&external], *vm(5, 0).ip());
        }
        assert_eq!(nat.choose(vm(5, 0), server(1, 443)), Err(NoTuple::Exhausted));
        assert_eq!(nat.choose(vm(3, 1), server(1, 443)), Err(NoTuple::Exhausted));
    }
}

/// A block belongs to a host while any flow has a port of it, whichever flow of the socket it is
/// (T-09, T-01).
#[test]
fn t_09_block_stays_with_every_flow() {
    let blocks = Blocks::Dynamic { size: 10, most: 1 };
    for rules in [
        PoolRules { blocks, ..INDEPENDENT },
        PoolRules { blocks, keep_port: true, ..PoolRules::AZURE },
    ] {
        let mut nat = Nat::new(&PUBLIC[..1], [5000, 5009], &rules);
        let (external, first) = nat.open(vm(4, 1), server(1, 443)).unwrap();
        assert_eq!(nat.external(vm(4, 1), server(2, 443)), external);
        nat.table.end(nat.now, first, Cause::Idle);
        assert_eq!(nat.choose(vm(5, 1), server(1, 443)), Err(NoTuple::Exhausted), "{rules:?}");
    }
}

/// A protocol without ports takes no block.
#[test]
fn t_09_portless_protocol_has_no_block() {
    for blocks in [
        Blocks::Dynamic { size: 10, most: 1 },
        Blocks::Deterministic { first: Ipv4Addr::new(10, 0, 0, 4), size: 10 },
    ] {
        let rules = PoolRules { blocks, ..PoolRules::AZURE };
        let mut nat = Nat::new(&PUBLIC[..1], [5000, 5009], &rules);
        nat.protocol = Protocol(47);
        let Chosen { external, .. } = nat.choose(vm(4, 0), server(1, 0)).unwrap();
        assert_eq!(external, SocketAddrV4::new(PUBLIC[0], 0));
    }
}

/// A socket's external tuple is found by the rules under which it was given (T-01).
#[test]
fn t_01_mapping_is_found_while_alive() {
    let mut nat = Nat::new(&PUBLIC, [5000, 5999], &INDEPENDENT);
    let mapped =
        |nat: &Nat<'_>, rules| nat.table.mapped(rules, &nat.wanted(vm(4, 1), server(2, 443)));
    assert_eq!(mapped(&nat, &INDEPENDENT), None);
    let (external, id) = nat.open(vm(4, 1), server(1, 443)).unwrap();
    assert_eq!(mapped(&nat, &INDEPENDENT), Some(external));
    assert_eq!(mapped(&nat, &PoolRules::AZURE), None);
    nat.table.end(nat.now, id, Cause::Idle);
    assert_eq!(mapped(&nat, &INDEPENDENT), None);
}

/// Quotas of flows and ports bind one internal address and no other (T-10, RFC 6888 REQ-4).
#[test]
fn t_10_quotas_are_per_internal_address() {
    for (limits, remotes) in [
        (Limits { flows: 3, ..Limits::default() }, [1, 1, 1, 1]),
        (Limits { ports: 3, ..Limits::default() }, [1, 2, 3, 4]),
    ] {
        for mapping in [Mapping::Dependent, Mapping::Independent] {
            let rules = PoolRules { limits, mapping, ..PoolRules::AZURE };
            let mut nat = Nat::new(&PUBLIC, [5000, 5999], &rules);
            let [a, b, c, d] = remotes.map(|number| server(number, 443));
            let (_, id) = nat.open(vm(4, 1), a).unwrap();
            for (port, remote) in [(2, b), (3, c)] {
                nat.open(vm(4, port), remote).unwrap();
            }
            assert_eq!(nat.choose(vm(4, 4), d), Err(NoTuple::Quota));
            assert_eq!(nat.choose(vm(4, 1), server(9, 9)).is_ok(), limits.flows == 0, "its port");
            assert!(nat.open(vm(5, 4), d).is_ok(), "INV-exhaustion-stays-local");
            nat.table.end(nat.now, id, Cause::Idle);
            assert!(nat.open(vm(4, 4), d).is_ok());
        }
    }
}

/// The rate of a host is remembered even if it has no flow (T-10).
#[test]
fn t_10_flow_rate_has_a_burst() {
    let limits = Limits { rate: Some(Rate { burst: 3, interval: SECOND }), ..Limits::default() };
    let rules = PoolRules { limits, ..PoolRules::AZURE };
    let mut nat = Nat::new(&PUBLIC, [5000, 5999], &rules);
    let opens = |nat: &mut Nat<'_>, port| match nat.open(vm(4, port), server(1, 443)) {
        Ok((_, id)) => nat.table.end(nat.now, id, Cause::Idle),
        Err(why) => {
            assert_eq!(why, NoTuple::Rate);
            false
        }
    };
    let first: Vec<_> = (1..=5).map(|port| opens(&mut nat, port)).collect();
    assert_eq!(first, [true, true, true, false, false]);
    nat.now += SECOND - Duration::from_nanos(1);
    assert!(!opens(&mut nat, 6));
    nat.now += Duration::from_nanos(1);
    assert!(opens(&mut nat, 6) && !opens(&mut nat, 7));
    nat.now += SECOND * 100;
    assert_eq!((1..=5).filter(|port| opens(&mut nat, *port)).count(), 3, "no more than the burst");
}

/// Shared state has its own room, and a flow without room changes nothing (INV-memory-bounded).
#[test]
fn full_shared_state_refuses_flow() {
    let block = PoolRules { blocks: Blocks::Dynamic { size: 10, most: 1 }, ..PoolRules::AZURE };
    let limit = PoolRules { limits: Limits { flows: 9, ..Limits::default() }, ..PoolRules::AZURE };
    for rules in [INDEPENDENT, block, limit] {
        let mut nat = Nat::new(&PUBLIC, [5000, 5999], &rules);
        let shared = Shared { hosts: 1, sockets: 1, blocks: 1 };
        nat.table = FlowTable::new(Settings { shared, ..Settings::replayable(0) });
        nat.open(vm(4, 1), server(1, 443)).unwrap();
        let Chosen { external, mapping_policy } = nat.choose(vm(5, 1), server(2, 443)).unwrap();
        let (internal, remote) = (vm(5, 1), server(2, 443));
        let new = NewFlow { internal, remote, external, mapping_policy, ..flow(Protocol::UDP) };
        assert_eq!(nat.table.may_open(nat.now, new), Err(OpenError::MappingsFull));
        assert_eq!(open(&mut nat.table, nat.now, new), Err(OpenError::MappingsFull));
        assert!(nat.open(vm(4, 1), server(2, 443)).is_ok(), "the one that has room goes on");
    }
}

/// An operation of the property below.
#[derive(Clone, Copy, Debug)]
enum Op {
    Open { host: u8, port: u16, remote: u8 },
    End { nth: usize },
    Wait { seconds: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0_u8..3, 0_u16..3, 0_u8..3).prop_map(|(host, port, remote)| Op::Open { host, port, remote }),
        3 => (0_usize..8).prop_map(|nth| Op::End { nth }),
        1 => (1_u64..4).prop_map(|seconds| Op::Wait { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Compares with lists of flows and of tuples in hold-down.
    /// INV-mapping-unique, INV-refused-only-when-full, INV-hold-down-kept, T-01, T-05, T-06.
    #[test]
    fn independent_mappings_agree_with_a_list(
        ops in proptest::collection::vec(op(), 1..60),
        preserve_port: bool,
        keep_parity: bool,
        ports in 1_u16..5,
    ) {
        let rules = PoolRules { preserve_port, keep_parity, ..INDEPENDENT };
        let mut nat = Nat::new(&PUBLIC[..1], [1022, 1021 + ports], &rules);
        let hold = HoldDown { datagram: SECOND * 2, ..HoldDown::NONE };
        nat.table = FlowTable::new(Settings { hold, ..Settings::replayable(0) });
        let mut flows: Vec<(SocketAddrV4, SocketAddrV4, SocketAddrV4, FlowId)> = Vec::new();
        let mut hold_down_times: Vec<(SocketAddrV4, Time)> = Vec::new();
        for op in ops {
            match op {
                Op::Wait { seconds } => {
                    nat.now += SECOND * u32::try_from(seconds).unwrap();
                    nat.table.expire(nat.now, usize::MAX, &mut |_| ());
                }
                Op::End { nth } => {
                    let nth = nth % flows.len().max(1);
                    if nth >= flows.len() { continue }
                    let (internal, external, _, id) = flows.remove(nth);
                    prop_assert!(nat.table.end(nat.now, id, Cause::Idle));
                    if !flows.iter().any(|flow| flow.0 == internal) {
                        hold_down_times.push((external, nat.now + SECOND * 2));
                    }
                }
                Op::Open { host, port, remote } => {
                    let (internal, remote) = (vm(host, 1023 + port), server(remote, 443));
                    if flows.iter().any(|flow| flow.0 == internal && flow.2 == remote) { continue }
                    let hold_down_times = |external: &SocketAddrV4| {
                        hold_down_times.iter().any(|(end, until)| end == external && *until > nat.now)
                    };
                    let free: Vec<_> = (1022..1022 + ports)
                        .map(|port| SocketAddrV4::new(PUBLIC[0], port))
                        .filter(|end| !hold_down_times(end) && !flows.iter().any(|flow| flow.1 == *end))
                        .collect();
                    let own = flows.iter().find(|flow| flow.0 == internal).map(|flow| flow.1);
                    match (nat.open(internal, remote), own) {
                        (Ok((external, id)), own) => {
                            match own {
                                Some(own) => prop_assert_eq!(external, own),
                                None => {
                                    prop_assert!(free.contains(&external));
                                    let is_own = |end: &SocketAddrV4| end.port() == internal.port();
                                    let in_class = |end: &SocketAddrV4| (end.port() < 1024) == (internal.port() < 1024);
                                    let is_even = |end: &SocketAddrV4| end.port() & 1 == internal.port() & 1;
                                    if preserve_port {
                                        prop_assert!(is_own(&external) || !free.iter().any(is_own));
                                        prop_assert!(in_class(&external) || !free.iter().any(in_class));
                                    } else if keep_parity {
                                        prop_assert!(is_even(&external) || !free.iter().any(is_even));
                                    }
                                }
                            }
                            flows.push((internal, external, remote, id));
                        }
                        (Err(why), own) => {
                            prop_assert_eq!((why, own), (NoTuple::Exhausted, None));
                            prop_assert!(free.is_empty(), "INV-refused-only-when-full: {free:?}");
                        }
                    }
                }
            }
        }
    }
}
