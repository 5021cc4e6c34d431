//! Why a flow ended.

use core::fmt;

/// Why a flow ended. Each cause has a counter in [`FlowCounters`](crate::FlowCounters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Both ends finished, or one did and nothing more was heard.
    Fin,
    /// One end reset it with the exact sequence number (INV-inexact-reset-ignored).
    Reset,
    /// The TCP handshake was never completed.
    HalfOpen,
    /// Nothing was heard for as long as its timer.
    Idle,
    /// A change of configuration gave it another source (S-17).
    SourceSwitched,
    /// A change of configuration gave it another path.
    PathSwitched,
    /// What it stood on is gone: a public address, a subnet, a network (N-08,
    /// INV-withdrawn-address-ends-flows).
    Withdrawn,
    /// Its port was taken back from its machine: it is lost without a word (N-28).
    PortReclaimed,
    /// A machine at one of its ends was deallocated: it is lost without a word (N-29).
    Deallocated,
    /// Somebody took it out by hand.
    Evicted,
}

impl Cause {
    /// All causes, in the order of the counters.
    pub const ALL: [Self; 10] = [
        Self::Fin,
        Self::Reset,
        Self::HalfOpen,
        Self::Idle,
        Self::SourceSwitched,
        Self::PathSwitched,
        Self::Withdrawn,
        Self::PortReclaimed,
        Self::Deallocated,
        Self::Evicted,
    ];

    /// The stable name, in kebab-case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::HalfOpen => "half-open",
            Self::Idle => "idle",
            Self::SourceSwitched => "source-switched",
            Self::PathSwitched => "path-switched",
            Self::Withdrawn => "withdrawn",
            Self::PortReclaimed => "port-reclaimed",
            Self::Deallocated => "deallocated",
            Self::Evicted => "evicted",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
