//! Flows as the data plane lists them.

use core::net::SocketAddrV4;

use vnetem_nat::{Generation, Side, State, Time};
use vnetem_packet::FiveTuple;

use crate::pipeline::decision::CachedDecision;
use crate::{AccessVerdict, EdgeId, TrafficCount};

/// A flow of a data plane, or the tombstone of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// The tuple of its packets as the initiator sends them.
    pub tuple: FiveTuple,
    /// The tuple of its replies as the far end sends them.
    pub reply: FiveTuple,
    /// The internal end, as the internal side knows it.
    pub internal: SocketAddrV4,
    /// The internal end, as the external side knows it. It differs from `internal` if the flow is
    /// translated.
    pub external: SocketAddrV4,
    /// The external end, which both sides know by the same address.
    pub remote: SocketAddrV4,
    /// The edge of the initiator.
    pub from: EdgeId,
    /// The edge of the far end, by which replies enter.
    pub to: EdgeId,
    /// How far the flow has come.
    pub state: State,
    /// What the rules of the resource at the far end said.
    pub access: AccessVerdict,
    /// The configuration on which the latest decision was based.
    pub generation: Generation,
    /// When it was opened.
    pub opened: Time,
    /// When its timer was last restarted.
    pub last: Time,
    /// Packets of the initiator.
    pub sent: TrafficCount,
    /// Packets of the far end.
    pub received: TrafficCount,
}

impl Flow {
    pub(crate) fn new(flow: &vnetem_nat::Flow<CachedDecision>) -> Self {
        let from = |side| match side {
            Side::Internal => {
                TrafficCount { packets: flow.packets.internal, bytes: flow.bytes.internal }
            }
            Side::External => {
                TrafficCount { packets: flow.packets.external, bytes: flow.bytes.external }
            }
        };
        let (near, far) = (flow.initiator, flow.initiator.other());
        Self {
            tuple: flow.tuple(near),
            reply: flow.tuple(far),
            internal: flow.internal,
            external: flow.external,
            remote: flow.remote,
            from: flow.cached.near,
            to: flow.cached.far.plain(),
            state: flow.state,
            access: flow.cached.access,
            generation: flow.generation,
            opened: flow.opened,
            last: flow.last,
            sent: from(near),
            received: from(far),
        }
    }

    /// Returns whether a source or a destination is translated.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.internal != self.external
    }
}
