//! How a pool translates: the choices that RFC 4787, 5382, 5508, 6888 and 7857 leave to an
//! operator, as data.

use core::net::Ipv4Addr;
use core::time::Duration;

use crate::TimerProfile;

/// How a pool translates. The default is what Azure's NAT gateway does as far as the two can be
/// compared: a random port for every flow, which may serve several remotes (N-12, N-13), nothing
/// let in that no flow asked for, and no word to whom is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolRules {
    /// What a public port belongs to (T-01; RFC 4787 REQ-1, RFC 5382 REQ-1).
    pub mapping: Mapping,
    /// From whom a mapping lets packets in (T-03; RFC 4787 REQ-8, RFC 5382 REQ-3). Anything but the
    /// default needs [`Mapping::Independent`]. A port keeps the filter with which it was given
    /// until it is given back.
    pub filtering: Filtering,
    /// Whether an inside socket keeps its public port towards a new remote, while that is free
    /// there (T-02). Default: no.
    pub keep_port: bool,
    /// Whether a flow gets the port that its inside end has, if that is free, and else one of the
    /// same class, 0 to 1023 or 1024 to 65535 (T-05; RFC 4787 REQ-3a). Default: no.
    pub preserve_port: bool,
    /// Whether even ports stay even and odd ones odd while the pool has such (T-06; RFC 4787
    /// REQ-4). Default: no.
    pub keep_parity: bool,
    /// Which ports of the pool an inside address may have (T-09; RFC 6888 REQ-14, RFC 7422).
    /// Default: all.
    pub blocks: Blocks,
    /// How much one inside address may have (T-10; RFC 6888 REQ-4). Default: no limits.
    pub limits: Limits,
    /// What the sender of a packet hears for which no port is left or allowed (T-34; RFC 5508
    /// REQ-8, RFC 6888 REQ-11). Default: nothing.
    pub on_exhaustion: OnExhaustion,
    /// What becomes of a TCP segment without a flow that is no SYN (T-19). Default: it is dropped
    /// (P-25).
    pub loose_pickup: LoosePickup,
    /// Whether protocols other than TCP, UDP and ICMP are carried, by address alone (T-35).
    /// Default: no.
    pub other_protocols: bool,
    /// The largest segment in bytes that a SYN of either side may announce (T-36, RFC 6691).
    /// Default: any.
    pub segment_size: Option<u16>,
    /// After how long a SYN that no flow asked for is answered with ICMP port unreachable, unless a
    /// SYN from the inside opened that very flow meanwhile (T-16; RFC 5382 REQ-4: at least 6 s).
    /// Default: never.
    pub unsolicited_syn: Option<Duration>,
    /// Whether hosts behind the pool reach each other by its public addresses, each seen under its
    /// own (T-33; RFC 4787 REQ-9, RFC 5382 REQ-8). What comes so is let in as from the internet.
    /// Default: no.
    pub hairpin: bool,
    /// How long its flows live without a packet (T-13, T-15, N-15). Default: as the flow table
    /// says. Flows that are open keep theirs.
    pub timers: TimerProfile,
}

/// What a public port belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// To one flow towards each remote: the same port may serve others towards other remotes
    /// (address- and port-dependent, N-12).
    #[default]
    Dependent,
    /// To one inside socket towards all remotes, as long as it has a flow (endpoint-independent).
    Independent,
}

/// From whom a mapping lets packets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtering {
    /// From ends that the inside socket has a flow to.
    #[default]
    AddressAndPort,
    /// From addresses that the inside socket has a flow to.
    Address,
    /// From anywhere.
    Independent,
}

/// Which ports of the pool an inside address may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocks {
    /// Any.
    #[default]
    None,
    /// Those of blocks that it gets for itself when it needs them, and gives back with their last
    /// flow.
    Dynamic {
        /// Ports of a block.
        size: u16,
        /// Blocks that it may have at one time, at most 4.
        most: u8,
    },
    /// Those of the one block that follows from its address, so that nobody needs to write down who
    /// had it (RFC 7422).
    Deterministic {
        /// The inside address that has the first block; the next one has the next.
        first: Ipv4Addr,
        /// Ports of a block.
        size: u16,
    },
}

/// How much one inside address may have at one time; 0 is no limit (T-10; RFC 6888 REQ-4, REQ-5).
///
/// What the outside opens by a filter that lets it in counts, and is refused by none of these. A
/// flow that is over counts until it is swept, which
/// [`FlowTable::expire`](crate::FlowTable::expire) does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limits {
    /// Flows.
    pub flows: u32,
    /// Inside sockets with a public port. As with [`PoolRules::keep_port`] a socket then has one
    /// port and keeps it towards further remotes where that is free.
    pub ports: u32,
    /// How often it may open a flow.
    pub rate: Option<Rate>,
}

/// How often something may happen: `burst` times at once, and once more for every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Times at once.
    pub burst: u16,
    /// Time that earns one more.
    pub interval: Duration,
}

/// What the sender of a packet hears for which no port is left or allowed. RFC 5508 REQ-8 and RFC
/// 6888 REQ-11 contradict each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnExhaustion {
    /// Nothing.
    #[default]
    Silence,
    /// ICMP 3/13, administratively prohibited (RFC 5508 REQ-8).
    Prohibited,
    /// ICMP 3/1, host unreachable (RFC 6888 REQ-11).
    HostUnreachable,
}

/// What becomes of a TCP segment without a flow that is no SYN. Where a tombstone stands it is
/// always answered or dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoosePickup {
    /// It is dropped.
    #[default]
    Drop,
    /// It is answered with a reset.
    Reset,
    /// With ACK and neither FIN nor RST it opens a flow, as in Linux ("loose").
    PickUp,
}

impl PoolRules {
    /// The default.
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

    /// What the RFCs require and recommend: endpoint-independent mapping, address- and
    /// port-dependent filtering, ports preserved with class and parity, hairpin, and a word to
    /// everybody who is refused.
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

    /// What Linux does (nftables `masquerade`): the port of the same socket's other flows, else its
    /// own, else another of its class.
    pub const LINUX: Self = Self {
        keep_port: true,
        preserve_port: true,
        loose_pickup: LoosePickup::PickUp,
        other_protocols: true,
        timers: TimerProfile::Linux,
        ..Self::AZURE
    };

    /// Whether a public port belongs to one inside socket alone.
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
