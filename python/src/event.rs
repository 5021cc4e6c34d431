//! What the data plane says and sends by itself.

use core::net::Ipv4Addr;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::api::{self as vnetem, EventKind, Network, State};
use crate::convert::{seconds, socket};
use crate::edge::Edge;

/// A packet that the data plane made: a reset or an ICMP error.
#[pyclass(frozen, module = "vnetem", get_all)]
pub(crate) struct Transmit {
    /// The edge by which it leaves.
    to: Py<Edge>,
    /// The whole packet.
    packet: Py<PyBytes>,
}

impl Transmit {
    pub(crate) fn new(
        py: Python<'_>,
        network: &Network,
        made: &vnetem::Transmit,
    ) -> PyResult<Self> {
        let to = Py::new(py, Edge::new(network, made.to))?;
        Ok(Self { to, packet: PyBytes::new(py, &made.packet).unbind() })
    }
}

#[pymethods]
impl Transmit {
    fn __repr__(&self, py: Python<'_>) -> String {
        let length = self.packet.as_bytes(py).len();
        format!("<Transmit {length} bytes to {}>", self.to.get().name())
    }
}

/// Something that happened to a flow.
#[pyclass(frozen, module = "vnetem")]
pub(crate) struct Event(pub(crate) vnetem::Event);

#[pymethods]
impl Event {
    /// When, in seconds.
    #[getter]
    fn at(&self) -> f64 {
        seconds(self.0.at)
    }

    /// What: ``opened``, ``closed`` (by a change) or ``ended``, the last event of every flow.
    #[getter]
    fn kind(&self) -> &'static str {
        match self.0.kind {
            EventKind::Opened => "opened",
            EventKind::Closed(_) => "closed",
            EventKind::Ended(_) => "ended",
            _ => "other",
        }
    }

    /// Why it was closed or ended, as a name that never changes.
    #[getter]
    fn cause(&self) -> Option<&'static str> {
        self.0.kind.cause().map(|cause| cause.name())
    }

    /// The protocol: ``tcp``, ``udp``, ``icmp`` or ``ip-NUMBER``.
    #[getter]
    fn protocol(&self) -> String {
        self.0.tuple.protocol.to_string()
    }

    /// Address and port of the initiator.
    #[getter]
    fn source(&self) -> (Ipv4Addr, u16) {
        socket(self.0.tuple.source)
    }

    /// Address and port of the other end.
    #[getter]
    fn destination(&self) -> (Ipv4Addr, u16) {
        socket(self.0.tuple.destination)
    }

    /// The source that the far side sees.
    #[getter]
    fn external(&self) -> (Ipv4Addr, u16) {
        socket(self.0.external)
    }

    /// How far the flow had come, such as ``established``.
    #[getter]
    fn state(&self) -> &'static str {
        state(self.0.state)
    }

    fn __repr__(&self) -> String {
        let cause = self.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
        format!("<Event {}{cause} {} at {} s>", self.kind(), self.0.tuple, self.at())
    }
}

/// Returns the name of a state.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::SynSent => "syn-sent",
        State::SynSent2 => "syn-sent-2",
        State::SynReceived => "syn-received",
        State::Established => "established",
        State::FinWait => "fin-wait",
        State::CloseWait => "close-wait",
        State::LastAck => "last-ack",
        State::TimeWait => "time-wait",
        State::Close => "close",
        State::Refused => "refused",
        State::OneWay => "one-way",
        State::TwoWay => "two-way",
        State::Query => "query",
        State::Opaque => "opaque",
        State::Tombstone(_) => "tombstone",
    }
}
