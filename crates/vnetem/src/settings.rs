//! Limits and modes of a data plane.

use core::time::Duration;

use crate::{EditError, Shard};

/// Limits and modes of a data plane. It allocates all memory when it is made. `docs/shares.md` says
/// how much of each limit is guaranteed to each tenant.
///
/// There is no default, because the caller must choose between [`Settings::secret`] and
/// [`Settings::replayable`].
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Settings of the flow table: capacity, keys, timers, hold-down.
    pub flows: vnetem_nat::Settings,
    /// The most first fragments that are remembered at once (default 1,024).
    pub fragments: usize,
    /// How long a first fragment decides for the later ones (default 30 s, P-30).
    pub fragment_life: Duration,
    /// The most packets that may wait in the transmit queue (default 256). Further ones are dropped
    /// and counted (INV-untaken-output-bounded).
    pub queue: usize,
    /// The most events that may wait (default 1,024). Further ones are dropped and counted.
    pub events: usize,
    /// Which ends are notified when a change closes a flow.
    pub closing: CloseMode,
    /// The longest packets that leave (default: any length, T-27).
    pub mtu: Mtu,
    /// Whether the data plane drops packets whose transport checksum is wrong, as Linux does. By
    /// default the receiver finds out (T-39).
    pub verify_checksums: bool,
    /// The most unsolicited SYNs that wait for their answer at once (default 64; T-16, RFC 5382
    /// REQ-4).
    pub unsolicited: usize,
    /// The most translation events that may wait (default 0: none are kept; T-37, RFC 8158).
    pub translation_events: usize,
    /// Whether translation events name the remote end (default: no; T-37, RFC 6888 REQ-12).
    pub log_remotes: bool,
    /// The shard that this data plane serves; `None` if it takes all the traffic.
    pub shard: Option<Shard>,
}

/// The longest packet in bytes, IPv4 header included, that leaves by an edge, at least
/// [`Mtu::LEAST`]. The data plane drops a longer one and never fragments it (INV-never-fragments).
/// If the packet must not be fragmented, its sender gets an ICMP error with the size (T-27, RFC
/// 1191).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu {
    /// For the internet, and services without an endpoint.
    pub public: u16,
    /// For everything else.
    pub private: u16,
}

impl Mtu {
    /// The longest packet that every link must carry without fragmenting it (RFC 791 3.2).
    pub const LEAST: u16 = 68;

    /// Raises each link to the lower limit.
    fn bounded(self) -> Self {
        let Self { public, private } = self;
        Self { public: public.max(Self::LEAST), private: private.max(Self::LEAST) }
    }
}

impl Default for Mtu {
    fn default() -> Self {
        Self { public: u16::MAX, private: u16::MAX }
    }
}

/// Which ends are notified when a change closes a TCP flow (U-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseMode {
    /// Both ends get a reset at once, and a reset for each later segment.
    #[default]
    Both,
    /// Only the initiator of the flow.
    Initiator,
    /// Neither end: later segments are dropped silently.
    Silent,
}

impl Settings {
    /// Returns settings under which the same calls give the same bytes, on any machine
    /// (INV-same-input-same-bytes). Use them for tests, scenarios and recorded runs.
    ///
    /// Anyone who knows the seed can predict public ports and choose tuples that are slow to look
    /// up. No such tuple is refused.
    #[must_use]
    pub fn replayable(seed: u64) -> Self {
        Self::of(vnetem_nat::Settings::replayable(seed))
    }

    /// Returns settings for traffic between programs that do not trust each other. Nobody outside
    /// can predict public ports (T-07) or choose tuples that collide in the index
    /// (INV-collisions-harmless). Draw 128 new bits of entropy for each data plane, and keep them
    /// secret.
    #[must_use]
    pub fn secret(entropy: [u8; 16]) -> Self {
        Self::of(vnetem_nat::Settings::secret(entropy))
    }

    /// The upper limit of each queue and of the table of first fragments. A larger setting is
    /// lowered to this.
    pub const MOST_WAITING: usize = 1 << 20;

    /// Checks that no setting is beyond its limits, for settings that come from a user. Settings
    /// that pass may still need more memory than the machine has, since a data plane allocates
    /// everything when it is made.
    ///
    /// # Errors
    ///
    /// [`EditError::Limit`] names the setting that is too large, and [`EditError::TooSmall`] the
    /// MTU that is too small.
    pub fn check(&self) -> Result<(), EditError> {
        let flows = vnetem_nat::Settings::MOST_FLOWS as usize;
        let limits = [
            ("flows", self.flows.capacity as usize, flows),
            ("first fragments", self.fragments, Self::MOST_WAITING),
            ("packets in the queue", self.queue, Self::MOST_WAITING),
            ("events", self.events, Self::MOST_WAITING),
            ("events of translations", self.translation_events, Self::MOST_WAITING),
            ("unsolicited SYNs", self.unsolicited, Self::MOST_WAITING),
        ];
        let beyond = limits.into_iter().find(|(_, wanted, limit)| wanted > limit);
        if let Some((what, _, limit)) = beyond {
            return Err(EditError::Limit { what, limit });
        }
        let links = [
            ("the MTU of public links", self.mtu.public),
            ("the MTU of private links", self.mtu.private),
        ];
        let narrow = links.into_iter().find(|(_, mtu)| *mtu < Mtu::LEAST);
        narrow.map_or(Ok(()), |(what, _)| {
            Err(EditError::TooSmall { what, least: usize::from(Mtu::LEAST) })
        })
    }

    /// Brings each setting within its limits.
    pub(crate) fn bounded(self) -> Self {
        let most = |wanted: usize| wanted.min(Self::MOST_WAITING);
        Self {
            fragments: most(self.fragments),
            queue: most(self.queue),
            events: most(self.events),
            translation_events: most(self.translation_events),
            unsolicited: most(self.unsolicited),
            mtu: self.mtu.bounded(),
            ..self
        }
    }

    fn of(flows: vnetem_nat::Settings) -> Self {
        Self {
            flows,
            fragments: 1024,
            fragment_life: Duration::from_secs(30),
            queue: 256,
            events: 1024,
            closing: CloseMode::Both,
            mtu: Mtu::default(),
            verify_checksums: false,
            unsolicited: 64,
            translation_events: 0,
            log_remotes: false,
            shard: None,
        }
    }
}
