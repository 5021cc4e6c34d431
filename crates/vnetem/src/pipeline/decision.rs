//! What a flow keeps of the decision that opened it, and what is derived from its addresses.

use core::hint::select_unpredictable;
use core::net::SocketAddrV4;

use vnetem_nat::{Flow, FlowId, FragmentKey, RevalidationKey, Side, Zone};
use vnetem_packet::{Headers, Rewrite};

use crate::AccessVerdict;
use crate::edge::EdgeId;

/// The decision on a flow's first packet, kept with the flow, which has room for ten bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CachedDecision {
    /// The edge of the initiator.
    pub(crate) near: EdgeId,
    /// The edge to which its packets go; marked if answers leave there another way.
    pub(crate) far: EdgeId,
    pub(crate) access: AccessVerdict,
}

impl CachedDecision {
    /// Returns the edge of the initiator, or else of the other end. There is no branch, because no
    /// processor guesses in which direction the next packet goes.
    #[inline(always)]
    pub(crate) fn of(&self, initiator: bool) -> EdgeId {
        select_unpredictable(initiator, self.near, self.far)
    }
}

/// The new revalidation key and cached decision of a flow that a change made stale.
pub(crate) type Renewal = (RevalidationKey, CachedDecision);

/// A packet's flow and the side it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) id: FlowId,
    pub(crate) side: Side,
}

/// Says how the two halves of an ICMP error from a side of a flow are rewritten: the outer packet
/// like any of that side, the quoted one, which travelled the other way, at its other end (T-22,
/// T-23).
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

/// Returns the key by which the fragments of a datagram find each other.
pub(crate) fn fragment_key(zone: Zone, headers: &Headers) -> FragmentKey {
    FragmentKey {
        zone,
        source: headers.source,
        destination: headers.destination,
        protocol: headers.protocol,
        identification: headers.identification,
    }
}
