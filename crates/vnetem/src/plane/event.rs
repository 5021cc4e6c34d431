//! What happened to flows.

use vnetem_nat::{Cause, Flow, State, Time};
use vnetem_packet::FiveTuple;

use core::net::SocketAddrV4;

use crate::pipeline::decision::CachedDecision;

/// Something that happened to a flow; events come in the order in which things happened
/// (INV-events-in-order).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    pub kind: EventKind,
    /// The flow's tuple as its initiator sends it.
    pub tuple: FiveTuple,
    /// The source that the far side sees; the initiator's own if it is preserved.
    pub external: SocketAddrV4,
    /// How far the flow had come: for TCP the state of its connection before it closed or ended.
    pub state: State,
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It was opened.
    Opened,
    /// A change of the configuration closed it. A connection that is not over then stays for a
    /// while as a tombstone; its end is one more event, as that of every flow.
    Closed(Cause),
    /// It is gone: the last event of every flow that was opened.
    Ended(Cause),
}

impl EventKind {
    /// Returns why a flow was closed or is gone; `None` of one that was opened.
    #[must_use]
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::Opened => None,
            Self::Closed(cause) | Self::Ended(cause) => Some(cause),
        }
    }
}

impl Event {
    pub(crate) fn of(at: Time, kind: EventKind, flow: &Flow<CachedDecision>) -> Self {
        let (tuple, external, state) = (flow.tuple(flow.initiator), flow.external, flow.state);
        Self { at, kind, tuple, external, state }
    }
}
