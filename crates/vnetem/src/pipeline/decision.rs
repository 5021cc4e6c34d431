//! What is to be done with a packet, as the pipeline says it and the data plane does it.

use core::hint::select_unpredictable;
use core::net::SocketAddrV4;
use core::time::Duration;

use vnetem_nat::{Cause, Flow, FlowId, FragmentKey, NoTuple, Opening, RevalidationKey, Side, Zone};
use vnetem_packet::{Headers, IcmpErrorKind, Quote, Reset, Rewrite};

use crate::edge::EdgeCode;
use crate::{AccessVerdict, DenyReason, DropReason};

/// What a flow's opening packet was told, kept with the flow, which has room for ten bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CachedDecision {
    /// Where the opener is.
    pub(crate) near: EdgeCode,
    /// Where its packets go; marked if answers leave there another way.
    pub(crate) far: EdgeCode,
    pub(crate) access: AccessVerdict,
}

impl CachedDecision {
    /// Where the opener is, or else the other end. No branch: packets go both ways as they like.
    #[inline(always)]
    pub(crate) fn of(&self, initiator: bool) -> EdgeCode {
        select_unpredictable(initiator, self.near, self.far)
    }
}

/// What a flow gets whose judgement was renewed.
pub(crate) type Renewal = (RevalidationKey, CachedDecision);

/// What is to be done with a packet. Nothing has been done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It belongs to a live flow.
    Hit(Hit),
    /// It belongs to a live flow whose judgement was renewed and came out the same but for details.
    Renew(Hit, RevalidationKey, CachedDecision),
    /// It belongs to a live flow and leaves as it is by this edge, since its sender's routes do not
    /// lead back to where the question came from.
    Answer(Hit, Option<Renewal>, EdgeCode),
    /// It belongs to a flow that a new configuration closes.
    Close(FlowId, Cause, DropReason),
    /// It is a late segment of a closed flow.
    Late(FlowId, Side),
    /// It opens a flow.
    Open(Opening<CachedDecision>),
    /// It comes round again to an appliance that has it in a flow already, and goes on there
    /// without one.
    ForwardUntracked(EdgeCode),
    /// It is an ICMP error about a packet of a live flow.
    Error(Hit, Quote),
    /// Policy says no, and perhaps answers with a reset.
    Deny(DenyReason, Option<Reset>),
    /// It goes no further, and perhaps is answered with a reset.
    Drop(DropReason, Option<Reset>),
    /// It gets no public port, and its sender may hear of it (T-34).
    Refused(NoTuple, Option<IcmpErrorKind>),
    /// A SYN that nobody asked for: its sender is told after a while (T-16).
    Hold(Duration),
    /// It is longer than this, which is all that the next link takes (T-27).
    TooLong(u16),
    /// Its time to live is over; the sender is told.
    Expired,
}

/// A packet's flow and the side it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) id: FlowId,
    pub(crate) side: Side,
}

/// How the two halves of an ICMP error from a side of a flow are rewritten: the outer packet like
/// any of that side, the quoted one, which travelled the other way, at its other end (T-22, T-23).
pub(crate) fn rewrite_error(flow: &Flow<CachedDecision>, side: Side) -> (Rewrite, Rewrite) {
    if !flow.is_translated() {
        return (Rewrite::default(), Rewrite::default());
    }
    let address = |end: SocketAddrV4| Some(SocketAddrV4::new(*end.ip(), 0));
    match side {
        Side::Internal => (
            Rewrite { source: address(flow.external), destination: None },
            Rewrite { source: None, destination: Some(flow.external) },
        ),
        Side::External => (
            Rewrite { source: None, destination: address(flow.internal) },
            Rewrite { source: Some(flow.internal), destination: None },
        ),
    }
}

pub(crate) fn fragment_key(zone: Zone, headers: &Headers) -> FragmentKey {
    FragmentKey {
        zone,
        source: headers.source,
        destination: headers.destination,
        protocol: headers.protocol,
        identification: headers.identification,
    }
}
