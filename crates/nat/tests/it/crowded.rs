//! Choices towards a remote with nearly all ports of a pool, whose port bitmap knows which are
//! free.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem_nat::{
    Cause, Chosen, FlowId, FlowTable, HoldDown, Mapping, NewFlow, NoTuple, Pool, PoolRules,
    Settings, Time, Timers, Wanted,
};
use vnetem_packet::Protocol;

use crate::packets::at;
use crate::world::{flow, open};

const PUBLIC: [Ipv4Addr; 1] = [Ipv4Addr::new(20, 1, 1, 1)];
const SECOND: Duration = Duration::from_secs(1);

/// A table large enough for port bitmaps, and its choices towards one remote.
struct PortBitmap {
    table: FlowTable<u32>,
    protocol: Protocol,
    rules: PoolRules,
    ports: [u16; 2],
    hosts: u32,
}

impl PortBitmap {
    fn new(protocol: Protocol, rules: PoolRules, hold: HoldDown) -> Self {
        let timers = Timers { udp_one_way: SECOND * 100, ..Timers::AZURE };
        let settings = Settings { capacity: 20_000, timers, hold, ..Settings::replayable(0) };
        let table = FlowTable::new(settings);
        Self { table, protocol, rules, ports: [2000, 5999], hosts: 0 }
    }

    fn choose(
        &self,
        now: Time,
        internal: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Result<Chosen, NoTuple> {
        let [first_port, last_port] = self.ports;
        let pool = Pool { addresses: &PUBLIC, first_port, last_port, rules: &self.rules };
        let NewFlow { internal_zone, external_zone, .. } = flow(self.protocol);
        let protocol = self.protocol;
        let suggestion = None;
        let wanted =
            Wanted { protocol, internal, internal_zone, remote, external_zone, suggestion };
        self.table.choose(now, pool, &wanted)
    }

    /// Opens a flow from this port, for a host without flows.
    fn open(
        &mut self,
        now: Time,
        port: u16,
    ) -> Result<(SocketAddrV4, NewFlow<u32>, FlowId), NoTuple> {
        self.hosts += 1;
        let internal = SocketAddrV4::new(Ipv4Addr::from_bits(0x0A00_0000 | self.hosts), port);
        let new = NewFlow { internal, ..flow(self.protocol) };
        let Chosen { external, mapping_policy } = self.choose(now, internal, new.remote)?;
        let new = NewFlow { external, mapping_policy, ..new };
        let id = open(&mut self.table, now, new).unwrap();
        Ok((external, new, id))
    }

    /// Opens flows until no port is left for one more.
    fn fill(&mut self, port: u16) -> Vec<(SocketAddrV4, NewFlow<u32>, FlowId)> {
        let opened: Vec<_> = core::iter::from_fn(|| self.open(Time(0), port).ok()).collect();
        assert_eq!(self.open(Time(0), port).map(|_| ()), Err(NoTuple::Exhausted));
        opened
    }
}

/// A port is free at the nanosecond at which its hold-down ends, and not before, swept or not
/// (INV-refused-only-when-full, INV-hold-down-kept, N-14).
#[test]
fn full_bitmap_frees_port_on_time() {
    let rest = SECOND * 5;
    let hold = HoldDown { fin: rest, reset: rest, half_open: rest, idle: rest, datagram: rest };
    let mut port_bitmap = PortBitmap::new(Protocol::UDP, PoolRules::AZURE, hold);
    let opened = port_bitmap.fill(1);
    assert_eq!(opened.len(), 4000);
    let is_free = |port_bitmap: &PortBitmap, now| {
        let new = flow(Protocol::UDP);
        port_bitmap.choose(now, new.internal, new.remote).map(|chosen| chosen.external)
    };
    let (external, _, id) = opened[1234];
    let ended = Time(0) + SECOND;
    assert!(port_bitmap.table.end(ended, id, Cause::Evicted));
    assert_eq!(is_free(&port_bitmap, Time((ended + rest).0 - 1)), Err(NoTuple::Exhausted));
    assert_eq!(is_free(&port_bitmap, ended + rest), Ok(external));

    // One runs out long before all others.
    let mut port_bitmap = PortBitmap::new(Protocol::UDP, PoolRules::AZURE, hold);
    let (external, ..) = port_bitmap.open(Time(0), 1).unwrap();
    while port_bitmap.open(Time(0) + SECOND * 50, 1).is_ok() {}
    let over = Time(0) + SECOND * 100 + rest;
    assert_eq!(is_free(&port_bitmap, Time(over.0 - 1)), Err(NoTuple::Exhausted));
    for now in [over, over + SECOND] {
        assert_eq!(is_free(&port_bitmap, now), Ok(external));
    }
}

/// A flow gets a port of its parity while one is left, though the port bitmap knows all ports by
/// then (T-06, INV-refused-only-when-full).
#[test]
fn bitmap_preserves_parity_to_last_port() {
    let rules = PoolRules { keep_parity: true, ..PoolRules::AZURE };
    for internal in [40_000, 40_001] {
        let mut port_bitmap = PortBitmap::new(Protocol::UDP, rules, HoldDown::NONE);
        port_bitmap.ports = [2000, 9999];
        for _ in 0..4000 {
            assert_eq!(port_bitmap.open(Time(0), internal).unwrap().0.port() % 2, internal % 2);
        }
        assert_ne!(port_bitmap.open(Time(0), internal).unwrap().0.port() % 2, internal % 2);
    }
}

/// An endpoint-independent mapping takes its port towards every remote, even one that it has no
/// flow to (T-01, INV-mapping-unique).
#[test]
fn bitmap_leaves_mapped_ports_alone() {
    let independent = PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE };
    let mut port_bitmap = PortBitmap::new(Protocol::UDP, independent, HoldDown::NONE);
    let (internal, remote) = (at([10, 0, 9, 9], 1), at([52, 239, 1, 8], 443));
    let Chosen { external, mapping_policy } =
        port_bitmap.choose(Time(0), internal, remote).unwrap();
    let new = NewFlow { internal, remote, external, mapping_policy, ..flow(Protocol::UDP) };
    open(&mut port_bitmap.table, Time(0), new).unwrap();
    port_bitmap.rules = PoolRules::AZURE;
    let given: BTreeSet<_> = port_bitmap.fill(1).iter().map(|opened| opened.0).collect();
    assert_eq!(given.len(), 3999);
    assert!(!given.contains(&external));
}

/// A finished connection gives its port to the same connection, even if no other port is left
/// (T-18, T-05).
#[test]
fn connection_reopens_in_full_bitmap() {
    let mut port_bitmap = PortBitmap::new(Protocol::TCP, PoolRules::AZURE, HoldDown::NONE);
    let opened = port_bitmap.fill(1);
    let (external, new, id) = opened[777];
    // At another time, so that other ports are tried than at the first opening.
    let now = Time(0) + SECOND;
    let again = |port_bitmap: &PortBitmap| port_bitmap.choose(now, new.internal, new.remote);
    assert_eq!(again(&port_bitmap), Err(NoTuple::Exhausted));
    let _ = port_bitmap.table.close(now, id, Cause::SourceSwitched);
    assert_eq!(again(&port_bitmap).map(|chosen| chosen.external), Ok(external));
    // But not if the pool no longer has that port (INV-port-in-range).
    let others = [[2000, external.port() - 1], [external.port() + 1, 5999]];
    for ports in others {
        port_bitmap.ports = ports;
        assert_eq!(again(&port_bitmap), Err(NoTuple::Exhausted));
    }
}
