//! What becomes of a packet, with all edges named: what the model says, and how a data plane's
//! verdict is read.

use vnetem::{AccessVerdict, DenyReason, DropReason, Edge, Snapshot, SourceMode, nat::Direction};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It leaves.
    Forward(Forward),
    /// Policy denied it.
    Deny(DenyReason),
    /// The network could not carry it.
    Drop(DropReason),
}

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The edge by which it leaves, with the identity of the caller.
    pub to: Edge,
    /// The direction in its flow.
    pub direction: Direction,
    /// What the far side sees as the source of the flow.
    pub source: SourceMode,
    /// What the rules of the resource said.
    pub access: AccessVerdict,
}

impl Disposition {
    /// Reads a data plane's verdict by the names of its snapshot.
    #[must_use]
    pub fn of(disposition: vnetem::Disposition, snapshot: &Snapshot) -> Self {
        match disposition {
            vnetem::Disposition::Forward(forward) => Self::Forward(Forward {
                to: forward.edge(snapshot),
                direction: forward.direction(),
                source: forward.source(),
                access: forward.access(),
            }),
            vnetem::Disposition::Deny(reason) => Self::Deny(reason),
            vnetem::Disposition::Drop(reason) => Self::Drop(reason),
        }
    }
}
