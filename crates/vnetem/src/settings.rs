//! Bounds and modes of a data plane.

use core::time::Duration;

use crate::Shard;

/// Bounds of a data plane. All memory is taken when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Settings of the flow table: capacity, seed, timers, hold-down.
    pub flows: vnetem_nat::Settings,
    /// First fragments that are remembered at once (default 1,024).
    pub fragments: usize,
    /// How long a first fragment speaks for the later ones (default 30 s, P-30).
    pub fragment_life: Duration,
    /// Packets of our own making that may wait to be taken (default 256); more are dropped and counted (T9).
    pub queue: usize,
    /// Events that may wait to be taken (default 1,024); more are dropped and counted.
    pub events: usize,
    /// How a change closes flows.
    pub closing: Closing,
    /// The longest packets that leave (default: any, T-27).
    pub mtu: Mtu,
    /// Whether a packet whose transport checksum is wrong is dropped, as Linux does (default: no, its receiver finds out; T-39).
    pub verify_checksums: bool,
    /// SYNs that nobody asked for that wait for their answer at once (default 64; T-16, RFC 5382 REQ-4).
    pub unsolicited: usize,
    /// Events of translations that may wait to be taken (default 0: none are kept; T-37, RFC 8158).
    pub translation_events: usize,
    /// Whether these say with whom an inside end talks (default: no; T-37, RFC 6888 REQ-12).
    pub log_remotes: bool,
    /// The shard that this data plane is of; `None` if it has all the traffic.
    pub shard: Option<Shard>,
}

/// The longest packet in bytes, IPv4 header included, that leaves by an edge. A longer one is dropped, and its sender is told the size if
/// it must not be fragmented (T-27, F7; RFC 1191); nothing is ever fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu {
    /// Of the internet, and of services without an endpoint.
    pub public: u16,
    /// Of everything else.
    pub private: u16,
}

impl Default for Mtu {
    fn default() -> Self {
        Self { public: u16::MAX, private: u16::MAX }
    }
}

/// Who is told when a change closes a TCP flow (U-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    /// Both ends get a reset at once, and an answer to each later segment.
    #[default]
    Both,
    /// Only the end that opened the flow.
    Opener,
    /// Nobody: later segments vanish.
    Silent,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flows: vnetem_nat::Settings::default(),
            fragments: 1024,
            fragment_life: Duration::from_secs(30),
            queue: 256,
            events: 1024,
            closing: Closing::Both,
            mtu: Mtu::default(),
            verify_checksums: false,
            unsolicited: 64,
            translation_events: 0,
            log_remotes: false,
            shard: None,
        }
    }
}
