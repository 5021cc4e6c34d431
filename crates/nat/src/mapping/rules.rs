//! Rules of a pool: the choices that RFC 4787, 5382, 5508, 6888 and 7857 leave to an operator.

use core::net::Ipv4Addr;
use core::time::Duration;

use crate::TimerProfile;

/// How a pool translates.
///
/// The default is Azure's NAT gateway, as far as it can be compared. Every flow gets a random port,
/// which may serve several remotes (N-12, N-13). Nothing unsolicited is accepted, and refused
/// senders get no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolRules {
    /// The owner of an external port (T-01; RFC 4787 REQ-1, RFC 5382 REQ-1).
    pub mapping: Mapping,
    /// Whose packets a mapping accepts (T-03; RFC 4787 REQ-8, RFC 5382 REQ-3).
    ///
    /// Any value but the default needs [`Mapping::Independent`]. A port keeps its filtering until
    /// it is released.
    pub filtering: Filtering,
    /// Whether an internal socket keeps its external port towards a new remote, while that is free
    /// there (T-02). Default: no.
    pub keep_port: bool,
    /// Whether a flow gets its internal port if that is free, and otherwise one of the same class.
    /// Classes are 0 to 1023 and 1024 to 65535 (T-05; RFC 4787 REQ-3a). Default: no.
    pub preserve_port: bool,
    /// Whether external ports keep the parity of internal ones while the pool has such ports (T-06;
    /// RFC 4787 REQ-4). Default: no.
    pub keep_parity: bool,
    /// Which ports of the pool an internal address may have (T-09; RFC 6888 REQ-14, RFC 7422).
    /// Default: all.
    pub blocks: Blocks,
    /// How much one internal address may have (T-10; RFC 6888 REQ-4). Default: no limits.
    pub limits: Limits,
    /// The ICMP error for a packet that gets no port (T-34; RFC 5508 REQ-8, RFC 6888 REQ-11).
    /// Default: none.
    pub on_exhaustion: OnExhaustion,
    /// How to treat a TCP segment without a flow that is no SYN (T-19). Default: drop it (P-25).
    pub loose_pickup: LoosePickup,
    /// Whether to carry protocols other than TCP, UDP and ICMP, by address alone (T-35). Default:
    /// no.
    pub other_protocols: bool,
    /// The largest segment in bytes that a SYN of either side may announce (T-36, RFC 6691).
    /// Default: any.
    pub segment_size: Option<u16>,
    /// After how long ICMP port unreachable answers an unsolicited SYN, unless the internal side
    /// opens that flow meanwhile (T-16; RFC 5382 REQ-4: at least 6 s). Default: never.
    pub unsolicited_syn: Option<Duration>,
    /// Whether hosts behind the pool reach each other by its external addresses (hairpin). Each
    /// sees the other's external address (T-33; RFC 4787 REQ-9, RFC 5382 REQ-8).
    ///
    /// Filtering applies as for the internet. Default: no.
    pub hairpin: bool,
    /// How long its flows live without a packet (T-13, T-15, N-15). Default: as the flow table
    /// says. Open flows keep theirs.
    pub timers: TimerProfile,
}

/// The owner of an external port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// One flow for each remote. Other flows may use it towards other remotes (address- and
    /// port-dependent, N-12).
    #[default]
    Dependent,
    /// One internal socket towards all remotes, while it has a flow (endpoint-independent).
    Independent,
}

/// Whose packets a mapping accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtering {
    /// Those of ends to which the internal socket has a flow.
    #[default]
    AddressAndPort,
    /// Those of addresses to which the internal socket has a flow.
    Address,
    /// All.
    Independent,
}

/// Which ports of the pool an internal address may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocks {
    /// Any.
    #[default]
    None,
    /// Those of blocks of its own, which it gets when it needs them and releases with their last
    /// flow.
    Dynamic {
        /// Ports of a block.
        size: u16,
        /// The most blocks at one time, at most 4.
        most: u8,
    },
    /// Those of one block that follows from its address, so that nobody needs to log it (RFC 7422).
    Deterministic {
        /// The internal address of the first block. The next address has the next block.
        first: Ipv4Addr,
        /// Ports of a block.
        size: u16,
    },
}

/// How much one internal address may have at one time; 0 is no limit (T-10; RFC 6888 REQ-4, REQ-5).
///
/// Flows that the external side opens through the filtering count, and are never refused. A
/// finished flow counts until [`FlowTable::expire`](crate::FlowTable::expire) removes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limits {
    /// Flows.
    pub flows: u32,
    /// Internal sockets with an external port. A socket then has one port, and keeps it towards
    /// further remotes where it is free ([`PoolRules::keep_port`]).
    pub ports: u32,
    /// How often it may open a flow.
    pub rate: Option<Rate>,
}

/// A rate: `burst` times at once, and once more after every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Times at once.
    pub burst: u16,
    /// Time until one more.
    pub interval: Duration,
}

/// The ICMP error for a packet that gets no port. RFC 5508 REQ-8 and RFC 6888 REQ-11 contradict
/// each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnExhaustion {
    /// None.
    #[default]
    Silence,
    /// ICMP 3/13, administratively prohibited (RFC 5508 REQ-8).
    Prohibited,
    /// ICMP 3/1, host unreachable (RFC 6888 REQ-11).
    HostUnreachable,
}

/// How to treat a TCP segment without a flow that is no SYN. A tombstone always answers or drops
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoosePickup {
    /// Drop it.
    #[default]
    Drop,
    /// Answer it with a reset.
    Reset,
    /// Open a flow if it has ACK and neither FIN nor RST, as in Linux (loose pick-up).
    PickUp,
}

impl PoolRules {
    /// Azure's NAT gateway, the default.
    pub const AZURE: Self = Self {
        mapping: Mapping::Dependent,
        filtering: Filtering::AddressAndPort,
        keep_port: false,
        preserve_port: false,
        keep_parity: false,
        blocks: Blocks::None,
        limits: Limits { flows: 0, ports: 0, rate: None },
        on_exhaustion: OnExhaustion::Silence,
        loose_pickup: LoosePickup::Drop,
        other_protocols: false,
        segment_size: None,
        unsolicited_syn: None,
        hairpin: false,
        timers: TimerProfile::Table,
    };

    /// What the RFCs require and recommend.
    ///
    /// That is endpoint-independent mapping, address- and port-dependent filtering, ports preserved
    /// with class and parity, hairpin, and an ICMP error to every refused sender.
    pub const RFC: Self = Self {
        mapping: Mapping::Independent,
        preserve_port: true,
        keep_parity: true,
        on_exhaustion: OnExhaustion::Prohibited,
        unsolicited_syn: Some(Duration::from_secs(6)),
        hairpin: true,
        timers: TimerProfile::Rfc,
        ..Self::AZURE
    };

    /// What Linux does (nftables `masquerade`): the port of the same socket's other flows, else the
    /// internal port, else another of its class.
    pub const LINUX: Self = Self {
        keep_port: true,
        preserve_port: true,
        loose_pickup: LoosePickup::PickUp,
        other_protocols: true,
        timers: TimerProfile::Linux,
        ..Self::AZURE
    };

    /// Says whether an external port belongs to one internal socket alone.
    #[must_use]
    #[inline]
    pub fn is_independent(&self) -> bool {
        self.mapping == Mapping::Independent
    }
}

impl Default for PoolRules {
    fn default() -> Self {
        Self::AZURE
    }
}
