//! What happened to flows.

use vnetem_nat::{Cause, Flow, Time};
use vnetem_packet::FiveTuple;

use core::net::SocketAddrV4;

use crate::decision::Judgement;

/// Something that happened to a flow; events come in the order in which things happened (O6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    pub kind: EventKind,
    /// The flow's tuple as its opener sends it.
    pub tuple: FiveTuple,
    /// The source that the far side sees; the opener's own if it is preserved.
    pub external: SocketAddrV4,
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was opened.
    Opened,
    /// A change of the configuration closed it; TCP flows then stay for a while as tombstones, and their end is one more event.
    Closed(Cause),
    /// It is gone.
    Ended(Cause),
}

impl Event {
    pub(crate) fn of(at: Time, kind: EventKind, flow: &Flow<Judgement>) -> Self {
        Self { at, kind, tuple: flow.tuple(flow.opener), external: flow.external }
    }
}
