//! Where a packet enters or leaves.

use core::net::Ipv4Addr;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::api::{self as vnetem, EdgeId, Network};
use crate::names;

/// A point at which packets enter and leave.
///
/// Make one with ``Network.edge`` and keep it, or pass its name. Edges of one name are equal, and
/// an edge equals its name.
#[pyclass(frozen, module = "vnetem")]
pub(crate) struct Edge {
    pub(crate) id: EdgeId,
    edge: vnetem::Edge,
    name: String,
}

impl Edge {
    pub(crate) fn new(network: &Network, edge: vnetem::Edge) -> Self {
        Self { id: EdgeId::new(edge), edge, name: names::edge_name(network, edge) }
    }
}

#[pymethods]
impl Edge {
    /// The name, such as ``alpha/web``, ``internet`` or ``service Microsoft.Storage as alpha/web``.
    #[getter]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The kind: ``subnet``, ``nic``, ``internet``, ``service``, ``site``, ``platform`` or
    /// ``private-endpoint``.
    #[getter]
    fn kind(&self) -> &'static str {
        match self.edge {
            vnetem::Edge::Subnet(_) => "subnet",
            vnetem::Edge::Nic(_) => "nic",
            vnetem::Edge::Internet => "internet",
            vnetem::Edge::Service { .. } | vnetem::Edge::SameRegion { .. } => "service",
            vnetem::Edge::Site(_) => "site",
            vnetem::Edge::Platform(_) => "platform",
            vnetem::Edge::PrivateEndpoint(_) => "private-endpoint",
        }
    }

    /// The private address that a service learns of a caller over an endpoint.
    #[getter]
    fn caller(&self) -> Option<Ipv4Addr> {
        match self.edge {
            vnetem::Edge::Service { identity: Some(identity), .. } => {
                Some(identity.address).filter(|address| !address.is_unspecified())
            }
            _ => None,
        }
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        if let Ok(other) = other.cast_exact::<Self>() {
            return other.get().name == self.name;
        }
        other.extract::<Bound<'_, PyString>>().is_ok_and(|other| other == self.name.as_str())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, &self.name).hash()
    }

    fn __str__(&self) -> &str {
        &self.name
    }

    fn __repr__(&self) -> String {
        format!("<Edge {}>", self.name)
    }
}
