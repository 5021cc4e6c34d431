//! What is to be done with a packet, whole: [`Pipeline::decide`](super::Pipeline::decide) makes the
//! plan, [`DataPlane`](crate::DataPlane) carries it out, and a trace prints it.

use core::time::Duration;

use vnetem_nat::{
    Cause, FlowId, Followed, FragmentKey, NoTuple, OpenError, Opening, Side, State, Tenant,
};
use vnetem_packet::{
    Headers, IcmpError, IcmpErrorKind, Quote, Reset, Rewrite, TcpFlags, Transport,
};

use crate::pipeline::decision::{CachedDecision, Hit, Renewal};
use crate::pipeline::origin::FlowEnds;
use crate::{DenyReason, Disposition, DropReason, Forward};

/// All that will happen because of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The final word on the packet. The counters count it.
    pub(crate) disposition: Disposition,
    /// What becomes of the flow of the packet.
    pub(crate) flow: FlowChange,
    /// What becomes of the second flow of a packet that turns round (hairpin).
    pub(crate) second: FlowChange,
    /// What becomes of the packet's bytes.
    pub(crate) bytes: ByteChange,
    /// The packet of our own that it is answered with.
    pub(crate) response: Response,
    /// Why there is no public port for it, which becomes an event.
    pub(crate) no_port: Option<NoTuple>,
}

/// What becomes of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FlowChange {
    /// Nothing.
    None,
    /// It opens.
    Open(Opening<CachedDecision>, Option<FragmentNote>),
    /// It carries the packet.
    Follow(Follow),
    /// Its cached decision is renewed. The packet itself has no place in it.
    Renew(FlowId, Renewal),
    /// It closes, because the new configuration would not carry it as it is.
    Close(FlowId, Cause),
    /// It is a tombstone, and answers a late segment from this side.
    Answer(FlowId, Side),
}

/// A flow that carries a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow {
    pub(crate) hit: Hit,
    /// The new cached decision, if a change made the old one stale.
    pub(crate) renewal: Option<Renewal>,
    /// What tracking made of the packet; `None` for a later fragment and an ICMP error.
    pub(crate) tracked: Option<Followed>,
    pub(crate) fragment: Option<FragmentNote>,
    /// Whether the flow ends by the packet: an RST that refuses its opening.
    pub(crate) ends: bool,
}

/// A fragment that goes on, as later ones of its datagram will look it up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FragmentNote {
    pub(crate) key: FragmentKey,
    pub(crate) tenant: Tenant,
}

/// What becomes of a packet's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ByteChange {
    /// They stay as they came.
    None,
    /// The ends and the TTL change, and the segment size that a SYN announces is lowered to this.
    Forward(Rewrite, Option<u16>),
    /// An ICMP error: the ends and the TTL of the outer packet change, and those of the quote.
    Quoting { quote: Quote, outer: Rewrite, inner: Rewrite },
}

/// A packet of our own in answer to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    None,
    Reset(Reset),
    IcmpError(IcmpErrorKind),
    /// None yet: the packet is a SYN that is held this long, and then answered by an ICMP error
    /// unless a flow for it opens (T-16).
    HoldSyn(Duration),
}

/// How a packet goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// By a flow, as a packet from this side.
    Through(FlowEnds, Side),
    /// With the ends that it has. If the receiver asked by another flow, the packet is a reply of
    /// that flow too.
    AsItIs(Forward, Option<Hit>),
}

/// Why a packet does not go on, and who hears of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) disposition: Disposition,
    pub(crate) response: Response,
    pub(crate) no_port: Option<NoTuple>,
}

impl Plan {
    /// A plan in which nothing happens yet.
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            disposition: Disposition::Drop(DropReason::NoFlow),
            flow: FlowChange::None,
            second: FlowChange::None,
            bytes: ByteChange::None,
            response: Response::None,
            no_port: None,
        }
    }
}

impl FlowChange {
    /// The flow that opens.
    pub(crate) const fn opening(&self) -> Option<&Opening<CachedDecision>> {
        match self {
            Self::Open(opening, _) => Some(opening),
            _ => None,
        }
    }
}

impl Follow {
    /// A flow that carries a packet, by what tracking made of it.
    pub(crate) fn new(
        hit: Hit,
        renewal: Option<Renewal>,
        tracked: Option<Followed>,
        fragment: Option<FragmentNote>,
        headers: &Headers,
    ) -> Self {
        let is_reset = matches!(
            headers.transport,
            Transport::Tcp(segment) if segment.flags.contains(TcpFlags::RST)
        );
        let ends = is_reset && tracked.is_some_and(|it| it.state() == State::Refused);
        Self { hit, renewal, tracked, fragment, ends }
    }
}

impl Response {
    /// An ICMP error about a packet, unless it is one that no error may be sent about
    /// (INV-last-hop-ends).
    pub(crate) fn icmp_error(kind: IcmpErrorKind, about: &Headers) -> Self {
        if IcmpError::may_answer(about) { Self::IcmpError(kind) } else { Self::None }
    }
}

impl Stop {
    /// A packet that goes no further, without a word to its sender.
    pub(crate) const fn silent(disposition: Disposition) -> Self {
        Self { disposition, response: Response::None, no_port: None }
    }

    /// A packet that goes no further and is answered with a reset, if it may be.
    pub(crate) fn with_reset(disposition: Disposition, headers: &Headers) -> Self {
        let response = Reset::answering(headers).map_or(Response::None, Response::Reset);
        Self { disposition, response, no_port: None }
    }

    /// A packet that goes no further, which its sender hears by an ICMP error.
    pub(crate) fn with_error(reason: DropReason, kind: IcmpErrorKind, about: &Headers) -> Self {
        let disposition = Disposition::Drop(reason);
        Self { disposition, response: Response::icmp_error(kind, about), no_port: None }
    }
}

impl From<DropReason> for Stop {
    fn from(reason: DropReason) -> Self {
        Self::silent(Disposition::Drop(reason))
    }
}

impl From<DenyReason> for Stop {
    fn from(reason: DenyReason) -> Self {
        Self::silent(Disposition::Deny(reason))
    }
}

impl From<OpenError> for Stop {
    fn from(why: OpenError) -> Self {
        Self::from(DropReason::from(why))
    }
}
