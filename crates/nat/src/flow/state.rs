//! How far a flow has come.

use crate::Cause;

/// How far a flow has come. TCP has the states of Linux's connection tracking, so that they can be
/// compared step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// TCP: the opener sent a SYN.
    SynSent,
    /// TCP: both ends sent a SYN (simultaneous open).
    SynSent2,
    /// TCP: the SYN was answered by a SYN with ACK.
    SynReceived,
    /// TCP: the handshake is complete.
    Established,
    /// TCP: one end sent FIN.
    FinWait,
    /// TCP: and an acknowledgement followed.
    CloseWait,
    /// TCP: both ends sent FIN.
    LastAck,
    /// TCP: and an acknowledgement followed.
    TimeWait,
    /// TCP: an exact RST passed (INV-inexact-reset-ignored, T-17).
    Close,
    /// TCP: the SYN was answered by an exact RST. Linux forgets such a connection at once, and here
    /// it is over at that very instant.
    Refused,
    /// UDP: only the opener has sent.
    OneWay,
    /// UDP: both have sent.
    TwoWay,
    /// An ICMP query.
    Query,
    /// Another protocol.
    Opaque,
    /// TCP, closed by [`close`](crate::FlowTable::close): nothing passes, late segments are
    /// answered by a reset (T-19, INV-reset-answers-segment, INV-tombstone-answers).
    Tombstone(Cause),
}

impl State {
    /// Number of timers.
    pub(crate) const COUNT: usize = 15;

    /// Which timer runs in this state.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::SynSent => 0,
            Self::SynSent2 => 1,
            Self::SynReceived => 2,
            Self::Established => 3,
            Self::FinWait => 4,
            Self::CloseWait => 5,
            Self::LastAck => 6,
            Self::TimeWait => 7,
            Self::Close => 8,
            Self::OneWay => 9,
            Self::TwoWay => 10,
            Self::Query => 11,
            Self::Opaque => 12,
            Self::Tombstone(_) => 13,
            Self::Refused => 14,
        }
    }

    /// Whether the flow was closed by us and only answers.
    #[must_use]
    #[inline]
    pub const fn is_tombstone(self) -> bool {
        matches!(self, Self::Tombstone(_))
    }

    /// Why a flow ends whose timer runs out in this state.
    pub(crate) const fn cause_of_expiry(self) -> Cause {
        match self {
            Self::SynSent | Self::SynSent2 | Self::SynReceived => Cause::HalfOpen,
            Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait => Cause::Fin,
            Self::Close | Self::Refused => Cause::Reset,
            Self::Tombstone(cause) => cause,
            Self::Established | Self::OneWay | Self::TwoWay | Self::Query | Self::Opaque => {
                Cause::Idle
            }
        }
    }
}
