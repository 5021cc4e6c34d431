//! Sizes and timers of a flow table, with the profiles of RFCs, Linux and Azure as data.

use core::time::Duration;

use crate::time::nanoseconds;
use crate::{Keys, State};

/// Sizes, timers and rules of a [`FlowTable`](crate::FlowTable): of 65,536 flows with Azure's
/// timers, unless said otherwise.
///
/// There is no default, since somebody has to choose: [`Settings::secret`] between programs that do
/// not trust each other, [`Settings::replayable`] for what must come out the same again. See
/// [`Keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Flows that fit, tombstones included; at most [`Settings::MOST_FLOWS`]. All memory is taken
    /// when the table is made.
    pub capacity: u32,
    /// External tuples in hold-down that fit, 32 bytes each and fewer than 2^24. When all are
    /// taken, one of those whose time is nearest is given free early, and counted.
    pub held: u32,
    /// Different cells that flows of the table may have at one time, at most 2^24; a flow with one
    /// more finds the table full.
    pub revalidation_keys: u32,
    /// Where the choice of ports and the hash of the index start from.
    pub keys: Keys,
    /// How long a flow lives without a packet, where its pool does not say (N-15).
    pub timers: Timers,
    /// How long an external tuple rests after its flow, where its pool does not say (N-14).
    pub hold: HoldDown,
    /// How often a tombstone answers.
    pub answers: Answers,
    /// Whether a segment that does not fit the windows is
    /// [`Track::Invalid`](crate::Track::Invalid). Else it passes, and changes nothing.
    pub strict_windows: bool,
    /// Whether packets from the outside restart the timer of UDP and ICMP flows as those from the
    /// inside do (T-13, N-15).
    pub inbound_refreshes: bool,
    /// Room for what flows of one pool share.
    pub shared: Shared,
}

/// Room for what flows share where the [rules of their pool](crate::PoolRules) want it; a flow that
/// finds none cannot open. None of it is touched by flows of other pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Inside addresses that are limited or have blocks.
    pub hosts: u32,
    /// Inside sockets that keep a port, and as many remote addresses of them where filtering is by
    /// address.
    pub sockets: u32,
    /// Blocks of ports.
    pub blocks: u32,
}

/// How long a flow lives without a packet, by state. A flow whose timer runs out is gone at that
/// very instant (INV-deadline-exact).
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
    /// UDP, while only the opener has sent.
    pub udp_one_way: Duration,
    /// UDP, once both have sent.
    pub udp_two_way: Duration,
    /// ICMP queries.
    pub icmp: Duration,
    /// Other protocols.
    pub other: Duration,
    /// A tombstone, from the moment of closing; nothing prolongs it.
    pub tombstone: Duration,
}

/// How long an external tuple may not be given again, counted from the end of its connection, by
/// how that ended (N-14, T-11).
///
/// The end is the last segment that closed the connection, the reset, the closing by a change, or
/// the last SYN of one that was never opened. So the timer of such a state is a part of the rest,
/// and adds nothing to it. A flow that goes silent ends when its timer runs out. Flows that keep
/// their source take no tuple from a pool, and theirs do not rest.
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
/// it was closed (INV-resets-bounded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Resets that may go at once.
    pub burst: u8,
    /// Time that earns one more.
    pub interval: Duration,
}

impl Settings {
    /// The most flows that a table holds, whatever is asked for.
    pub const MOST_FLOWS: u32 = 1 << 29;

    /// Settings under which the same calls give the same bytes, on any machine
    /// (INV-same-input-same-bytes). Whoever knows the seed can say which port comes next and choose
    /// tuples that meet in the index: they are slower to find, but none is ever refused for it.
    #[must_use]
    pub const fn replayable(seed: u64) -> Self {
        Self::with_keys(Keys::replayable(seed))
    }

    /// Settings under which nobody outside can say which port comes next (T-07) nor choose tuples
    /// that meet in the index (INV-collisions-harmless): by 128 bits of entropy, which the caller
    /// draws anew for each table and tells nobody.
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

    /// The floors of RFC 5382 REQ-5 (established 2 h 4 min, transitory 4 min), RFC 5508 REQ-2 (60
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

    /// The timer of every state in nanoseconds, by [`State::index`].
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
    /// None, for tables whose pools have no rules that share anything; 16 bytes for each flow less.
    pub const NONE: Self = Self { hosts: 0, sockets: 0, blocks: 0 };
}

impl HoldDown {
    /// Azure's NAT gateway (N-14), and as long as after FIN for a connection that went silent.
    pub const AZURE: Self = Self {
        fin: Duration::from_secs(65),
        reset: Duration::from_secs(16),
        half_open: Duration::from_secs(30),
        idle: Duration::from_secs(65),
        datagram: Duration::from_secs(65),
    };

    /// Azure's load balancer: 240 s after a FIN and 15 s after an RST; what idles out is free at
    /// once, UDP too (N-14).
    pub const BALANCER: Self = Self {
        fin: Duration::from_secs(240),
        reset: Duration::from_secs(15),
        half_open: Duration::from_secs(30),
        idle: Duration::ZERO,
        datagram: Duration::ZERO,
    };

    /// The transitory timeout of RFC 5382 REQ-5 and RFC 7857 2.2 for TCP that was closed; 120 s for
    /// what went silent (RFC 6888 REQ-8).
    pub const RFC: Self = Self {
        fin: Duration::from_secs(240),
        reset: Duration::from_secs(240),
        half_open: Duration::from_secs(240),
        idle: Duration::from_secs(120),
        datagram: Duration::from_secs(120),
    };

    /// A port may be given again once its flow is gone, as in Linux. A tombstone keeps its port.
    pub const NONE: Self = Self {
        fin: Duration::ZERO,
        reset: Duration::ZERO,
        half_open: Duration::ZERO,
        idle: Duration::ZERO,
        datagram: Duration::ZERO,
    };
}
