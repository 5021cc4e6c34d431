//! States of flows.

use crate::Cause;

/// The state of a flow. TCP has the states of Linux's connection tracking, so that both can be
/// compared step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// TCP: the initiator sent a SYN.
    SynSent,
    /// TCP: both ends sent a SYN (simultaneous open).
    SynSent2,
    /// TCP: the SYN was answered by a SYN with ACK.
    SynReceived,
    /// TCP: the handshake is complete.
    Established,
    /// TCP: one end sent FIN.
    FinWait,
    /// TCP: an acknowledgement of the FIN followed.
    CloseWait,
    /// TCP: both ends sent FIN.
    LastAck,
    /// TCP: an acknowledgement of the second FIN followed.
    TimeWait,
    /// TCP: an exact RST passed (INV-inexact-reset-ignored, T-17).
    Close,
    /// TCP: an exact RST answered the SYN. The connection ends at that instant, as in Linux.
    Refused,
    /// UDP: only the initiator has sent.
    OneWay,
    /// UDP: both have sent.
    TwoWay,
    /// An ICMP query.
    Query,
    /// Another protocol.
    Opaque,
    /// TCP, closed by [`close`](crate::FlowTable::close). Nothing passes, and a reset answers late
    /// segments (T-19, INV-reset-answers-segment, INV-tombstone-answers).
    Tombstone(Cause),
}

impl State {
    /// Number of timers.
    pub(crate) const COUNT: usize = 15;

    /// Gives the index of the state's timer.
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

    /// Says whether the flow was closed and only answers.
    #[must_use]
    #[inline]
    pub const fn is_tombstone(self) -> bool {
        matches!(self, Self::Tombstone(_))
    }

    /// Gives the cause with which a timeout ends the flow in this state.
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
