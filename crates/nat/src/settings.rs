//! Sizes and timers of a flow table, with profiles of RFCs, Linux and Azure.

use core::time::Duration;

use crate::time::nanoseconds;
use crate::{Keys, State};

/// Sizes, timers and rules of a [`FlowTable`](crate::FlowTable): 65,536 flows with Azure's timers,
/// unless changed.
///
/// There is no default, since the caller must choose. [`Settings::secret`] is for programs that do
/// not trust each other, [`Settings::replayable`] for runs that must repeat exactly. See [`Keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most flows, tombstones included, up to [`Settings::MOST_FLOWS`]. The table allocates all
    /// memory at the start.
    pub capacity: u32,
    /// The most external tuples in hold-down, 32 bytes each and fewer than 2^24. Beyond that, one
    /// that is nearly over is released early and counted.
    pub held: u32,
    /// The most revalidation keys in use at one time, up to 2^24. A flow that needs one more finds
    /// the table full.
    pub revalidation_keys: u32,
    /// The keys of port choice and of the index hash.
    pub keys: Keys,
    /// How long a flow lives without a packet, if its pool does not say (N-15).
    pub timers: Timers,
    /// How long an external tuple is in hold-down, if its pool does not say (N-14).
    pub hold: HoldDown,
    /// How often a tombstone answers.
    pub answers: Answers,
    /// Whether a segment outside the windows is [`Track::Invalid`](crate::Track::Invalid).
    /// Otherwise it passes and changes nothing.
    pub strict_windows: bool,
    /// Whether packets from the external side refresh UDP and ICMP flows as internal ones do (T-13,
    /// N-15).
    pub inbound_refreshes: bool,
    /// Room for mapping state that flows of one pool share.
    pub shared: Shared,
}

/// Room for mapping state that [pool rules](crate::PoolRules) need. A flow without room cannot
/// open. Flows of other pools use none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Internal addresses with limits or blocks.
    pub hosts: u32,
    /// Internal sockets that keep a port, and as many permitted remotes if filtering is by address.
    pub sockets: u32,
    /// Blocks of ports.
    pub blocks: u32,
}

/// How long a flow lives without a packet, by state. It ends exactly when its timer runs out
/// (INV-deadline-exact).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// TCP, after SYN.
    pub syn_sent: Duration,
    /// TCP, after SYN and ACK.
    pub syn_received: Duration,
    /// TCP, open.
    pub established: Duration,
    /// TCP, after the first FIN.
    pub fin_wait: Duration,
    /// TCP, after the first FIN was acknowledged.
    pub close_wait: Duration,
    /// TCP, after both FINs.
    pub last_ack: Duration,
    /// TCP, after the last acknowledgement.
    pub time_wait: Duration,
    /// TCP, after an exact RST.
    pub close: Duration,
    /// UDP, while only the initiator has sent.
    pub udp_one_way: Duration,
    /// UDP, once both have sent.
    pub udp_two_way: Duration,
    /// ICMP queries.
    pub icmp: Duration,
    /// Other protocols.
    pub other: Duration,
    /// A tombstone, from its closing. Nothing prolongs it.
    pub tombstone: Duration,
}

/// How long an external tuple is in hold-down, counted from the end of its connection, by the cause
/// (N-14, T-11).
///
/// The end is the last segment that closed the connection, the reset, the close by a change, or the
/// last SYN of an unanswered one. So the timer of a closing state is part of the hold-down and adds
/// nothing. A silent flow ends when its timer runs out. Flows with a preserved source take no tuple
/// and have no hold-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldDown {
    /// TCP closed by FIN.
    pub fin: Duration,
    /// TCP closed by RST, or by a change of configuration (U-12).
    pub reset: Duration,
    /// TCP never opened.
    pub half_open: Duration,
    /// TCP idle, also after the FIN of one end alone.
    pub idle: Duration,
    /// UDP and everything else.
    pub datagram: Duration,
}

/// How often a tombstone answers: at most `burst` resets, and one more for every `interval` since
/// the close (INV-resets-bounded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Resets at once.
    pub burst: u8,
    /// Time until one more.
    pub interval: Duration,
}

impl Settings {
    /// The most flows of any table.
    pub const MOST_FLOWS: u32 = 1 << 29;

    /// Makes settings with which equal calls give equal bytes on any machine
    /// (INV-same-input-same-bytes).
    ///
    /// Who knows the seed can predict ports and craft keys that collide in the index. Such keys are
    /// slower to find, but never refused.
    #[must_use]
    pub const fn replayable(seed: u64) -> Self {
        Self::with_keys(Keys::replayable(seed))
    }

    /// Makes settings with which nobody outside can predict ports (T-07) or craft keys that collide
    /// in the index (INV-collisions-harmless).
    ///
    /// The caller draws 128 bits of entropy for each table and keeps them secret.
    #[must_use]
    pub const fn secret(entropy: [u8; 16]) -> Self {
        Self::with_keys(Keys::secret(entropy))
    }

    const fn with_keys(keys: Keys) -> Self {
        Self {
            capacity: 65_536,
            held: 65_536,
            revalidation_keys: 65_536,
            keys,
            timers: Timers::AZURE,
            hold: HoldDown::AZURE,
            answers: Answers { burst: 16, interval: Duration::from_millis(100) },
            strict_windows: false,
            inbound_refreshes: true,
            shared: Shared { hosts: 4096, sockets: 16_384, blocks: 4096 },
        }
    }
}

impl Timers {
    /// Azure's NAT gateway: 4 minutes idle for TCP and UDP (N-15).
    pub const AZURE: Self = Self {
        syn_sent: Duration::from_secs(30),
        syn_received: Duration::from_secs(30),
        established: Duration::from_secs(240),
        fin_wait: Duration::from_secs(240),
        close_wait: Duration::from_secs(240),
        last_ack: Duration::from_secs(30),
        time_wait: Duration::from_secs(60),
        close: Duration::from_secs(10),
        udp_one_way: Duration::from_secs(240),
        udp_two_way: Duration::from_secs(240),
        icmp: Duration::from_secs(60),
        other: Duration::from_secs(240),
        tombstone: Duration::from_secs(60),
    };

    /// Linux's defaults as measured.
    pub const LINUX: Self = Self {
        syn_sent: Duration::from_secs(120),
        syn_received: Duration::from_secs(60),
        established: Duration::from_secs(432_000),
        fin_wait: Duration::from_secs(120),
        close_wait: Duration::from_secs(60),
        last_ack: Duration::from_secs(30),
        time_wait: Duration::from_secs(120),
        close: Duration::from_secs(10),
        udp_one_way: Duration::from_secs(30),
        udp_two_way: Duration::from_secs(120),
        icmp: Duration::from_secs(30),
        other: Duration::from_secs(600),
        tombstone: Duration::from_secs(60),
    };

    /// The minimum of RFC 5382 REQ-5 (established 2 h 4 min, transitory 4 min), RFC 5508 REQ-2 (60
    /// s) and RFC 7857 2.2, and the UDP default of RFC 4787 REQ-5.
    pub const RFC: Self = Self {
        syn_sent: Duration::from_secs(240),
        syn_received: Duration::from_secs(240),
        established: Duration::from_secs(7_440),
        fin_wait: Duration::from_secs(240),
        close_wait: Duration::from_secs(240),
        last_ack: Duration::from_secs(240),
        time_wait: Duration::from_secs(240),
        close: Duration::from_secs(240),
        udp_one_way: Duration::from_secs(300),
        udp_two_way: Duration::from_secs(300),
        icmp: Duration::from_secs(60),
        other: Duration::from_secs(300),
        tombstone: Duration::from_secs(240),
    };

    /// Gives the timer of every state in nanoseconds, by [`State::index`].
    pub(crate) fn by_state(&self) -> [u64; State::COUNT] {
        [
            self.syn_sent,
            self.syn_sent,
            self.syn_received,
            self.established,
            self.fin_wait,
            self.close_wait,
            self.last_ack,
            self.time_wait,
            self.close,
            self.udp_one_way,
            self.udp_two_way,
            self.icmp,
            self.other,
            self.tombstone,
            Duration::ZERO,
        ]
        .map(nanoseconds)
    }
}

impl Shared {
    /// No room, for tables whose pools share nothing. It saves 16 bytes for each flow.
    pub const NONE: Self = Self { hosts: 0, sockets: 0, blocks: 0 };
}

impl HoldDown {
    /// Azure's NAT gateway (N-14). A silent connection has the hold-down of FIN.
    pub const AZURE: Self = Self {
        fin: Duration::from_secs(65),
        reset: Duration::from_secs(16),
        half_open: Duration::from_secs(30),
        idle: Duration::from_secs(65),
        datagram: Duration::from_secs(65),
    };

    /// Azure's load balancer: 240 s after a FIN and 15 s after an RST. An idle flow's tuple is free
    /// at once, UDP too (N-14).
    pub const BALANCER: Self = Self {
        fin: Duration::from_secs(240),
        reset: Duration::from_secs(15),
        half_open: Duration::from_secs(30),
        idle: Duration::ZERO,
        datagram: Duration::ZERO,
    };

    /// The transitory timeout of RFC 5382 REQ-5 and RFC 7857 2.2 for closed TCP; 120 s for silent
    /// flows (RFC 6888 REQ-8).
    pub const RFC: Self = Self {
        fin: Duration::from_secs(240),
        reset: Duration::from_secs(240),
        half_open: Duration::from_secs(240),
        idle: Duration::from_secs(120),
        datagram: Duration::from_secs(120),
    };

    /// No hold-down, as in Linux: a port is free once its flow is gone. A tombstone keeps its port.
    pub const NONE: Self = Self {
        fin: Duration::ZERO,
        reset: Duration::ZERO,
        half_open: Duration::ZERO,
        idle: Duration::ZERO,
        datagram: Duration::ZERO,
    };
}
