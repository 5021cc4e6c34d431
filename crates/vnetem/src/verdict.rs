//! The verdict on a packet.

use core::net::SocketAddrV4;

use vnetem_authz::Refusal;
use vnetem_nat::{Direction, Generation};

use crate::{DenyReason, DropReason, Edge};

/// The verdict on a packet, and the configuration that gave it (INV-one-generation-decides).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    /// The generation of the snapshot that decided.
    pub generation: Generation,
    /// What becomes of the packet.
    pub disposition: Disposition,
}

/// What becomes of a packet.
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
    /// The edge by which it leaves.
    pub to: Edge,
    /// Whether the packet travels in the original direction of its flow or in the reply direction.
    pub direction: Direction,
    /// What the far side sees as the source of the flow.
    pub source: SourceMode,
    /// What the rules of the resource at the far side said, if they were asked.
    pub access: AccessVerdict,
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
    /// Returns the edge by which the packet leaves, if it does.
    #[must_use]
    pub const fn forwarded_to(&self) -> Option<Edge> {
        match self.disposition {
            Disposition::Forward(forward) => Some(forward.to),
            Disposition::Deny(_) | Disposition::Drop(_) => None,
        }
    }
}
