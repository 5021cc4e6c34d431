//! Why a flow ended.

use core::fmt;

/// Why a flow ended. [`FlowCounters`](crate::FlowCounters) counts each cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Both ends sent FIN, or one did and nothing more came.
    Fin,
    /// One end reset the connection with the exact sequence number (INV-inexact-reset-ignored).
    Reset,
    /// The TCP handshake was never completed.
    HalfOpen,
    /// The idle timer ran out.
    Idle,
    /// A configuration change gave it another source (S-17).
    SourceSwitched,
    /// A configuration change gave it another path.
    PathSwitched,
    /// A public address, subnet or network that it needs is gone (N-08,
    /// INV-withdrawn-address-ends-flows).
    Withdrawn,
    /// Its port was taken from its machine. It is lost without a reset (N-28).
    PortReclaimed,
    /// A machine at one end was deallocated. It is lost without a reset (N-29).
    Deallocated,
    /// The caller evicted it.
    Evicted,
}

impl Cause {
    /// All causes in the order of their counters.
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

    /// Gives the stable name in kebab-case.
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
