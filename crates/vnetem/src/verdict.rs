//! The verdict on a packet.

use core::net::SocketAddrV4;

use vnetem_authz::Refusal;
use vnetem_nat::{Direction, Generation};

use crate::{DenyReason, DropReason, Edge, EdgeId, Snapshot};

/// The verdict on a packet, and the configuration that gave it (INV-one-generation-decides).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Verdict {
    /// The generation of the snapshot that decided.
    pub generation: Generation,
    /// What becomes of the packet.
    pub disposition: Disposition,
}

/// What becomes of a packet. The counters add up over these three, so there will be no fourth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The packet was rewritten in place and leaves.
    Forward(Forward),
    /// Policy denied the packet. Its bytes are unchanged.
    Deny(DenyReason),
    /// The network could not carry the packet. Its bytes are unchanged.
    Drop(DropReason),
}

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The edge by which it leaves; marked if answers leave there another way.
    to: EdgeId,
    /// What the far side sees as the source of the flow.
    seen: SocketAddrV4,
    way: Way,
    access: AccessVerdict,
}

/// The direction of a packet, and whether the source of its flow is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Original,
    OriginalTranslated,
    Reply,
    ReplyTranslated,
}

/// What the far side sees as the source of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMode {
    /// The initiator's own address.
    Preserved,
    /// A public address and port in place of it.
    Translated(SocketAddrV4),
}

/// What the rules of a resource said when the flow was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AccessVerdict {
    /// No rules were asked, because no single resource is known at the far side.
    #[default]
    Unjudged,
    /// The rules allow the caller.
    Allowed,
    /// The rules refuse the caller. The packet is delivered so that the service can answer with its
    /// own error (F-16, P-32).
    Refused(Refusal),
}

impl Verdict {
    /// Returns the edge by which the packet leaves, if it does. An answer to the packet enters
    /// there: hand this edge to [`process`](crate::DataPlane::process) with the answer.
    #[must_use]
    #[inline]
    pub const fn forwarded_to(&self) -> Option<EdgeId> {
        match self.disposition {
            Disposition::Forward(forward) => Some(forward.to()),
            Disposition::Deny(_) | Disposition::Drop(_) => None,
        }
    }

    /// Names the edge by which the packet leaves, if it does, as [`Forward::edge`] does.
    #[must_use]
    pub fn edge(&self, snapshot: &Snapshot) -> Option<Edge> {
        match self.disposition {
            Disposition::Forward(forward) => Some(forward.edge(snapshot)),
            Disposition::Deny(_) | Disposition::Drop(_) => None,
        }
    }
}

impl Forward {
    /// Makes the verdict of a flow with these ends. `seen` is the external end if `translated`, and
    /// else the internal one.
    #[inline(always)]
    pub(crate) fn new(
        to: EdgeId,
        direction: Direction,
        translated: bool,
        seen: SocketAddrV4,
        access: AccessVerdict,
    ) -> Self {
        let way = match (direction, translated) {
            (Direction::Original, false) => Way::Original,
            (Direction::Original, true) => Way::OriginalTranslated,
            (Direction::Reply, false) => Way::Reply,
            (Direction::Reply, true) => Way::ReplyTranslated,
        };
        Self { to, seen, way, access }
    }

    /// Returns the same with another edge.
    pub(crate) const fn with_edge(self, to: EdgeId) -> Self {
        Self { to, ..self }
    }

    /// Returns the same for a sender whose own address the far side sees.
    pub(crate) const fn sent_by(self, seen: SocketAddrV4) -> Self {
        let way = match self.direction() {
            Direction::Original => Way::Original,
            Direction::Reply => Way::Reply,
        };
        Self { seen, way, ..self }
    }

    /// Returns the edge by which the packet leaves. An answer to the packet enters there.
    #[must_use]
    #[inline]
    pub const fn to(&self) -> EdgeId {
        self.to.plain()
    }

    /// Names the edge by which the packet leaves, with the identity of the caller if it is reached
    /// over an endpoint. The data plane's [`snapshot`](crate::DataPlane::snapshot) knows the
    /// network of the caller's subnet.
    #[must_use]
    pub fn edge(&self, snapshot: &Snapshot) -> Edge {
        snapshot.edge(self.to, *self.seen.ip())
    }

    /// Returns whether the packet travels in the original direction of its flow or in the reply
    /// direction.
    #[must_use]
    #[inline]
    pub const fn direction(&self) -> Direction {
        match self.way {
            Way::Original | Way::OriginalTranslated => Direction::Original,
            Way::Reply | Way::ReplyTranslated => Direction::Reply,
        }
    }

    /// Returns what the far side sees as the source of the flow.
    #[must_use]
    #[inline]
    pub const fn source(&self) -> SourceMode {
        match self.way {
            Way::Original | Way::Reply => SourceMode::Preserved,
            Way::OriginalTranslated | Way::ReplyTranslated => SourceMode::Translated(self.seen),
        }
    }

    /// Returns what the rules of the resource at the far side said, if they were asked.
    #[must_use]
    #[inline]
    pub const fn access(&self) -> AccessVerdict {
        self.access
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two registers hold a verdict, so no packet writes one to memory.
    #[test]
    fn verdict_has_sixteen_bytes() {
        assert_eq!(size_of::<Verdict>(), 16);
        assert_eq!(size_of::<Option<Verdict>>(), 16);
    }
}
