//! Load balancers: the outbound side.

use pyo3::prelude::*;

use crate::api::OutboundRule;
use crate::convert::{address, addresses, idle};
use crate::error::refused;
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[pymethods]
impl Network {
    /// Makes a load balancer with public addresses and no members.
    fn add_load_balancer(
        &mut self,
        vnet: &str,
        name: &str,
        frontends: Any<'_, '_>,
    ) -> PyResult<()> {
        let id = names::vnet(&self.network, vnet)?;
        let frontends = addresses(frontends)?;
        self.network.add_load_balancer(id, name, &frontends).map_err(refused).map(drop)
    }

    /// Removes a load balancer without members.
    fn remove_load_balancer(&mut self, name: &str) -> PyResult<()> {
        let id = names::balancer(&self.network, name)?;
        self.network.remove_load_balancer(id).map_err(refused)
    }

    /// Replaces the public addresses of a load balancer.
    fn set_frontends(&mut self, name: &str, frontends: Any<'_, '_>) -> PyResult<()> {
        let id = names::balancer(&self.network, name)?;
        self.network.set_frontends(id, &addresses(frontends)?).map_err(refused)
    }

    /// Replaces the outbound rule: ports for each member, a multiple of 8 or 0 for the table of
    /// Azure; whether idle flows end with resets; the idle timeout in minutes, 4 to 120.
    #[pyo3(signature = (name, *, ports = 0, resets = false, idle_minutes = None))]
    fn set_outbound_rule(
        &mut self,
        name: &str,
        ports: u16,
        resets: bool,
        idle_minutes: Option<u8>,
    ) -> PyResult<()> {
        let id = names::balancer(&self.network, name)?;
        let rule = OutboundRule { ports, resets, idle: idle(idle_minutes)? };
        self.network.set_outbound_rule(id, rule).map_err(refused)
    }

    /// Puts an interface into the pool of a load balancer.
    fn add_member(&mut self, name: &str, nic: &str) -> PyResult<()> {
        let (id, nic) = (names::balancer(&self.network, name)?, names::nic(&self.network, nic)?);
        self.network.add_member(id, nic).map_err(refused)
    }

    /// Takes an interface out of the pool of a load balancer, and ends its flows.
    fn remove_member(&mut self, name: &str, nic: &str) -> PyResult<()> {
        let (id, nic) = (names::balancer(&self.network, name)?, names::nic(&self.network, nic)?);
        self.network.remove_member(id, nic).map_err(refused)
    }

    /// Notes that a rule listens on a port of one of the addresses, which costs outbound flows the
    /// eight ports around it.
    fn add_inbound_rule(&mut self, name: &str, frontend: Any<'_, '_>, port: u16) -> PyResult<()> {
        let id = names::balancer(&self.network, name)?;
        self.network.add_inbound_rule(id, address(frontend)?, port).map_err(refused)
    }
}
