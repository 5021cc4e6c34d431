//! The control plane: a network and questions about it. Its edits are in `edits`.

use core::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use pyo3::prelude::*;
use vnetem_whatif::Estate;

use crate::api::{self as vnetem, NextHop, ProvisioningState};
use crate::edge::Edge;
use crate::error::refused;
use crate::names;
use crate::verdict::InForce;

/// A cloud network, changed by edits and read by a ``DataPlane``.
///
/// Everything has a name. A subnet is named ``vnet/subnet``, or ``subnet`` alone where one network
/// has it. Addresses and prefixes are ``str`` or of ``ipaddress``. Where a method takes several,
/// one alone will do.
///
/// An edit that is refused raises ``EditError`` and changes nothing. Edits have no effect on a data
/// plane until ``DataPlane.apply``.
#[pyclass(module = "vnetem")]
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) network: vnetem::Network,
    /// What the files say beside the network, if files made it.
    pub(crate) estate: Option<Arc<Estate>>,
    pub(crate) notes: Vec<String>,
}

impl Network {
    pub(crate) fn of(network: vnetem::Network) -> Self {
        Self { network, estate: None, notes: Vec::new() }
    }

    pub(crate) fn in_force(&mut self) -> Arc<InForce> {
        let snapshot = self.network.commit();
        Arc::new(InForce { snapshot, network: self.network.clone() })
    }
}

#[pymethods]
impl Network {
    /// Makes an empty network, which has the internet and nothing else.
    #[new]
    fn new() -> Self {
        Self::of(vnetem::Network::new())
    }

    /// Returns a copy. A data plane of this network can apply the copy after edits of it, and
    /// ``what_if`` can compare both.
    fn copy(&mut self) -> Self {
        self.network.commit();
        self.clone()
    }

    /// Returns the edge of a name: a subnet, ``internet``, ``nic NAME``, ``site NAME``,
    /// ``service NAME``, ``service NAME as SUBNET``, ``service NAME in the region of SUBNET``,
    /// ``platform of SUBNET`` or ``private-endpoint NAME``.
    fn edge(&self, name: &str) -> PyResult<Edge> {
        Ok(Edge::new(&self.network, names::edge(&self.network, name)?))
    }

    /// What the files leave open, a line each: what could not be read, and what is assumed.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// The names of the virtual networks.
    #[getter]
    fn vnets(&self) -> Vec<String> {
        self.network.vnets().map(|(_, vnet)| vnet.name.clone()).collect()
    }

    /// The names of the subnets, ``vnet/subnet``.
    #[getter]
    fn subnets(&self) -> Vec<String> {
        self.network.subnets().map(|(id, _)| names::subnet_name(&self.network, id)).collect()
    }

    /// The names of the declared interfaces.
    #[getter]
    fn nics(&self) -> Vec<String> {
        self.network.nics().map(|(_, nic)| nic.name.clone()).collect()
    }

    /// The names of the sites.
    #[getter]
    fn sites(&self) -> Vec<String> {
        self.network.sites().map(|(_, site)| site.name.clone()).collect()
    }

    /// The names of the services.
    #[getter]
    fn services(&self) -> Vec<String> {
        self.network.services().map(|(_, service)| service.name.clone()).collect()
    }

    /// The names of the resources.
    #[getter]
    fn resources(&self) -> Vec<String> {
        self.network.resources().map(|(_, resource)| resource.name.clone()).collect()
    }

    /// Returns the prefix of a subnet.
    fn prefix<'py>(&self, py: Python<'py>, subnet: &str) -> PyResult<Bound<'py, PyAny>> {
        let id = names::subnet(&self.network, subnet)?;
        ip_network(py, self.network.subnet(id).map_err(refused)?.prefix)
    }

    /// Returns the services whose endpoint is enabled on a subnet, by the names of the endpoints.
    fn endpoints(&self, subnet: &str) -> PyResult<Vec<String>> {
        let id = names::subnet(&self.network, subnet)?;
        let endpoints = &self.network.subnet(id).map_err(refused)?.endpoints;
        Ok(endpoints.values().map(|endpoint| endpoint.name.clone()).collect())
    }

    /// Returns whether the last edit of a subnet's endpoints is in a configuration: ``Updating`` or
    /// ``Succeeded``.
    fn provisioning_state(&self, subnet: &str) -> PyResult<&'static str> {
        let id = names::subnet(&self.network, subnet)?;
        Ok(match self.network.provisioning_state(id).map_err(refused)? {
            ProvisioningState::Updating => "Updating",
            ProvisioningState::Succeeded => "Succeeded",
        })
    }

    /// Returns the user-defined routes of a subnet: pairs of prefix, or tag, and next hop.
    fn routes(&self, subnet: &str) -> PyResult<Vec<(String, String)>> {
        let id = names::subnet(&self.network, subnet)?;
        let table = &self.network.subnet(id).map_err(refused)?.table;
        let hop = |hop: NextHop| match hop {
            NextHop::VirtualNetworkGateway(site) => {
                let site = self.network.site(site).map(|site| site.name.clone());
                site.map_or_else(|_| hop.to_string(), |name| format!("site {name}"))
            }
            NextHop::VirtualAppliance(address) => address.to_string(),
            other => other.to_string(),
        };
        let plain = table.routes.iter().map(|(at, it)| (at.to_string(), hop(it.next_hop)));
        let tags = table.tags.iter().map(|(tag, it)| (tag.clone(), hop(it.next_hop)));
        Ok(plain.chain(tags).collect())
    }

    /// Returns the address that the name of a resource has for a client in a virtual network, or
    /// elsewhere without one; ``None`` if the name does not exist there.
    #[pyo3(signature = (resource, vnet = None))]
    fn resolve(&self, resource: &str, vnet: Option<&str>) -> PyResult<Option<Ipv4Addr>> {
        let id = names::resource(&self.network, resource)?;
        let client = vnet.map(|vnet| names::vnet(&self.network, vnet)).transpose()?;
        self.network.resolve(id, client).map_err(refused)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast_exact::<Self>().is_ok_and(|other| match other.try_borrow() {
            Ok(other) => other.network == self.network,
            Err(_) => true, // it is this one
        })
    }

    fn __repr__(&self) -> String {
        format!(
            "<Network: {} vnets, {} subnets, {} services, {} resources>",
            self.network.vnets().count(),
            self.network.subnets().count(),
            self.network.services().count(),
            self.network.resources().count()
        )
    }
}

/// Makes a network of `ipaddress`.
fn ip_network(py: Python<'_>, prefix: Ipv4Net) -> PyResult<Bound<'_, PyAny>> {
    py.import("ipaddress")?.getattr("IPv4Network")?.call1((prefix.to_string(),))
}
