//! What became of a packet.

use core::net::Ipv4Addr;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::api::{
    self as vnetem, AccessVerdict, Direction, Disposition, Network, Snapshot, SourceMode,
};
use crate::convert::socket;
use crate::edge::Edge;

/// The configuration in force, and the network with the names of it.
pub(crate) struct InForce {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) network: Network,
}

/// What became of a packet.
#[pyclass(frozen, module = "vnetem")]
pub(crate) struct Verdict {
    pub(crate) verdict: vnetem::Verdict,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) packet: Option<Py<PyBytes>>,
}

impl Verdict {
    fn forward(&self) -> Option<vnetem::Forward> {
        match self.verdict.disposition {
            Disposition::Forward(forward) => Some(forward),
            Disposition::Deny(_) | Disposition::Drop(_) => None,
        }
    }
}

/// Returns the reason of a packet that is not forwarded.
pub(crate) fn reason(verdict: &vnetem::Verdict) -> Option<&'static str> {
    match verdict.disposition {
        Disposition::Forward(_) => None,
        Disposition::Deny(reason) => Some(reason.name()),
        Disposition::Drop(reason) => Some(reason.name()),
    }
}

#[pymethods]
impl Verdict {
    /// What becomes of the packet: ``forward``, ``deny`` or ``drop``.
    #[getter]
    fn disposition(&self) -> &'static str {
        match self.verdict.disposition {
            Disposition::Forward(_) => "forward",
            Disposition::Deny(_) => "deny",
            Disposition::Drop(_) => "drop",
        }
    }

    /// Whether the packet leaves.
    #[getter]
    fn forwarded(&self) -> bool {
        self.forward().is_some()
    }

    /// Why the packet is denied or dropped, as a name that never changes.
    #[getter]
    fn reason(&self) -> Option<&'static str> {
        reason(&self.verdict)
    }

    /// The edge by which the packet leaves. An answer to it enters there.
    #[getter]
    fn to(&self) -> Option<Edge> {
        let edge = self.verdict.edge(&self.in_force.snapshot)?;
        Some(Edge::new(&self.in_force.network, edge))
    }

    /// The packet as it leaves, rewritten; ``None`` if it does not.
    #[getter]
    fn packet(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.packet.as_ref().map(|packet| packet.clone_ref(py))
    }

    /// The public address and port that the far side sees as the source of the flow; ``None`` if
    /// the source is preserved.
    #[getter]
    fn translated(&self) -> Option<(Ipv4Addr, u16)> {
        match self.forward()?.source() {
            SourceMode::Translated(external) => Some(socket(external)),
            SourceMode::Preserved => None,
        }
    }

    /// Which way the packet travels: ``original``, as the initiator of the flow sends, or
    /// ``reply``.
    #[getter]
    fn direction(&self) -> Option<&'static str> {
        Some(match self.forward()?.direction() {
            Direction::Original => "original",
            Direction::Reply => "reply",
        })
    }

    /// What the rules of the resource at the far side say: ``allowed``, ``refused``, or
    /// ``unjudged`` if no rules were asked.
    #[getter]
    fn access(&self) -> Option<&'static str> {
        Some(match self.forward()?.access() {
            AccessVerdict::Unjudged => "unjudged",
            AccessVerdict::Allowed => "allowed",
            AccessVerdict::Refused(_) => "refused",
        })
    }

    /// Why the resource refuses the caller, as a name that never changes.
    #[getter]
    fn refusal(&self) -> Option<&'static str> {
        match self.forward()?.access() {
            AccessVerdict::Refused(refusal) => Some(refusal.name()),
            AccessVerdict::Unjudged | AccessVerdict::Allowed => None,
        }
    }

    /// The number of the configuration that decided.
    #[getter]
    fn generation(&self) -> u32 {
        self.verdict.generation.0
    }

    fn __repr__(&self) -> String {
        let mut text = format!("<Verdict {}", self.disposition());
        if let Some(to) = self.to() {
            text = format!("{text} to {}", to.name());
        }
        if let Some((address, port)) = self.translated() {
            text = format!("{text}, source {address}:{port}");
        }
        if let Some(refusal) = self.refusal() {
            text = format!("{text}, refused: {refusal}");
        }
        if let Some(reason) = self.reason() {
            text = format!("{text}: {reason}");
        }
        text + ">"
    }
}
