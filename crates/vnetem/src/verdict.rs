//! The final word on a packet.

use core::net::SocketAddrV4;

use vnetem_authz::Refusal;
use vnetem_nat::{Direction, Generation};

use crate::{DenyReason, DropReason, Edge};

/// The final word on a packet, and the configuration that spoke it (INV-one-generation-decides).
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
    /// It was rewritten in place and leaves.
    Forward(Forward),
    /// Policy said no; its bytes are as they came.
    Deny(DenyReason),
    /// The network could not; its bytes are as they came.
    Drop(DropReason),
}

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The edge by which it leaves.
    pub to: Edge,
    /// Whether it travels as the flow's opener does, or answers it.
    pub direction: Direction,
    /// What the far side sees as the source of the flow.
    pub source: SourceMode,
    /// Whether the rules of the resource at the far side were asked, and what they said.
    pub access: AccessVerdict,
}

/// What the far side sees as the source of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMode {
    /// The address that the opener has.
    Preserved,
    /// A public address and port that stand for it.
    Translated(SocketAddrV4),
}

/// What the rules of a resource said when the flow was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AccessVerdict {
    /// They were not asked: no single resource is known at the far side.
    #[default]
    Unjudged,
    /// They let the caller in.
    Allowed,
    /// They refuse the caller; the packet is delivered all the same so that the service can say so
    /// (F-16, P-32).
    Refused(Refusal),
}

impl Verdict {
    /// The edge by which the packet leaves, if it does.
    #[must_use]
    pub const fn forwarded_to(&self) -> Option<Edge> {
        match self.disposition {
            Disposition::Forward(forward) => Some(forward.to),
            Disposition::Deny(_) | Disposition::Drop(_) => None,
        }
    }
}
