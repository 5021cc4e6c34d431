//! Bounds and modes of a data plane.

use core::time::Duration;

use crate::{EditError, Shard};

/// Bounds of a data plane. All memory is taken when it is made. What each tenant has of them for
/// certain is in `docs/shares.md`.
///
/// There is no default, since somebody has to choose between [`Settings::secret`] and
/// [`Settings::replayable`].
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Settings of the flow table: capacity, keys, timers, hold-down.
    pub flows: vnetem_nat::Settings,
    /// First fragments that are remembered at once (default 1,024).
    pub fragments: usize,
    /// How long a first fragment speaks for the later ones (default 30 s, P-30).
    pub fragment_life: Duration,
    /// Packets of our own making that may wait to be taken (default 256); more are dropped and
    /// counted (INV-untaken-output-bounded).
    pub queue: usize,
    /// Events that may wait to be taken (default 1,024); more are dropped and counted.
    pub events: usize,
    /// How a change closes flows.
    pub closing: CloseMode,
    /// The longest packets that leave (default: any, T-27).
    pub mtu: Mtu,
    /// Whether a packet whose transport checksum is wrong is dropped, as Linux does (default: no,
    /// its receiver finds out; T-39).
    pub verify_checksums: bool,
    /// SYNs that nobody asked for that wait for their answer at once (default 64; T-16, RFC 5382
    /// REQ-4).
    pub unsolicited: usize,
    /// Events of translations that may wait to be taken (default 0: none are kept; T-37, RFC 8158).
    pub translation_events: usize,
    /// Whether these say with whom an inside end talks (default: no; T-37, RFC 6888 REQ-12).
    pub log_remotes: bool,
    /// The shard that this data plane is of; `None` if it has all the traffic.
    pub shard: Option<Shard>,
}

/// The longest packet in bytes, IPv4 header included, that leaves by an edge. A longer one is
/// dropped, and its sender is told the size if it must not be fragmented (T-27,
/// INV-never-fragments; RFC 1191); nothing is ever fragmented. At least [`Mtu::LEAST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu {
    /// Of the internet, and of services without an endpoint.
    pub public: u16,
    /// Of everything else.
    pub private: u16,
}

impl Mtu {
    /// The longest packet that every link must take whole (RFC 791 3.2).
    pub const LEAST: u16 = 68;

    /// The same, with no link narrower than there may be.
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

/// Who is told when a change closes a TCP flow (U-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseMode {
    /// Both ends get a reset at once, and an answer to each later segment.
    #[default]
    Both,
    /// Only the end that opened the flow.
    Opener,
    /// Nobody: later segments vanish.
    Silent,
}

impl Settings {
    /// Settings under which the same calls give the same bytes, on any machine
    /// (INV-same-input-same-bytes): for tests, scenarios and recorded runs. Whoever knows the seed
    /// can say which public port comes next, and choose tuples that are slow to find, though none
    /// is refused for it.
    #[must_use]
    pub fn replayable(seed: u64) -> Self {
        Self::of(vnetem_nat::Settings::replayable(seed))
    }

    /// Settings for traffic of programs that do not trust each other: nobody outside can say which
    /// public port comes next (T-07) nor choose tuples that meet in the index
    /// (INV-collisions-harmless). By 128 bits of entropy, which the caller draws anew for each data
    /// plane and tells nobody.
    #[must_use]
    pub fn secret(entropy: [u8; 16]) -> Self {
        Self::of(vnetem_nat::Settings::secret(entropy))
    }

    /// The most of anything that waits in a queue, or of first fragments: what is asked for beyond
    /// is not given.
    pub const MOST_WAITING: usize = 1 << 20;

    /// Says what is asked for beyond what a data plane gives, or below, for settings that come from
    /// a user. A data plane takes its memory when it is made, so less than this may be more than
    /// the machine has.
    ///
    /// # Errors
    ///
    /// [`EditError::Limit`] with what there would be too many of, [`EditError::TooSmall`] with the
    /// link that would be too narrow.
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

    /// The same, with no more of anything than is given, and no less than is of use.
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
