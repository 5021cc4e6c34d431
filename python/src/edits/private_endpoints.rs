//! Private endpoints and the zones of their names.

use pyo3::prelude::*;

use crate::api::{NetworkPolicies, PrivateEndpointState, VnetEndpointPolicy, ZoneLink};
use crate::convert::choose;
use crate::error::refused;
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[pymethods]
impl Network {
    /// Makes a private endpoint of a subnet, which leads to one resource. It is pending until
    /// ``set_private_endpoint_state``.
    fn add_private_endpoint(
        &mut self,
        subnet: &str,
        name: &str,
        address: Any<'_, '_>,
        resource: &str,
    ) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        let resource = names::resource(&self.network, resource)?;
        let at = crate::convert::address(address)?;
        self.network.add_private_endpoint(id, name, at, resource).map_err(refused).map(drop)
    }

    /// Removes a private endpoint.
    fn remove_private_endpoint(&mut self, name: &str) -> PyResult<()> {
        let id = names::private_endpoint(&self.network, name)?;
        self.network.remove_private_endpoint(id).map_err(refused)
    }

    /// Sets what the owner of the resource says: ``pending``, ``approved``, ``rejected`` or
    /// ``disconnected``. Only an approved one carries traffic.
    fn set_private_endpoint_state(&mut self, name: &str, state: &str) -> PyResult<()> {
        let id = names::private_endpoint(&self.network, name)?;
        let states = [
            ("pending", PrivateEndpointState::Pending),
            ("approved", PrivateEndpointState::Approved),
            ("rejected", PrivateEndpointState::Rejected),
            ("disconnected", PrivateEndpointState::Disconnected),
        ];
        let state = choose("state", state, &states)?;
        self.network.set_private_endpoint_state(id, state).map_err(refused)
    }

    /// Sets whether the name of the resource has the address of the private endpoint in a network.
    fn link_names(&mut self, name: &str, vnet: &str, on: bool) -> PyResult<()> {
        let id = names::private_endpoint(&self.network, name)?;
        let vnet = names::vnet(&self.network, vnet)?;
        self.network.link_names(id, vnet, on).map_err(refused)
    }

    /// Sets which policies of a subnet apply to its private endpoints.
    #[pyo3(signature = (subnet, *, routes = false, security_groups = false))]
    fn set_network_policies(
        &mut self,
        subnet: &str,
        routes: bool,
        security_groups: bool,
    ) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        let policies = NetworkPolicies { routes, security_groups };
        self.network.set_network_policies(id, policies).map_err(refused)
    }

    /// Sets whether user routes to the network itself carry packets to private endpoints that they
    /// cover: ``disabled`` or ``basic``.
    fn set_private_endpoint_policy(&mut self, vnet: &str, policy: &str) -> PyResult<()> {
        let id = names::vnet(&self.network, vnet)?;
        let policies =
            [("disabled", VnetEndpointPolicy::Disabled), ("basic", VnetEndpointPolicy::Basic)];
        let policy = choose("policy", policy, &policies)?;
        self.network.set_private_endpoint_policy(id, policy).map_err(refused)
    }

    /// Links the zone of a service's private names to a network. ``fallback`` asks the internet for
    /// a name that the zone does not have.
    #[pyo3(signature = (service, vnet, *, fallback = false))]
    fn link_zone(&mut self, service: &str, vnet: &str, fallback: bool) -> PyResult<()> {
        let service = names::service(&self.network, service)?;
        let vnet = names::vnet(&self.network, vnet)?;
        self.network.link_zone(service, vnet, ZoneLink { fallback }).map_err(refused)
    }

    /// Removes the link of a zone.
    fn unlink_zone(&mut self, service: &str, vnet: &str) -> PyResult<()> {
        let service = names::service(&self.network, service)?;
        let vnet = names::vnet(&self.network, vnet)?;
        self.network.unlink_zone(service, vnet).map_err(refused)
    }
}
