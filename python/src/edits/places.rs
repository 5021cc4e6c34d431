//! Virtual networks, subnets and interfaces.

use pyo3::prelude::*;

use crate::api::{Outbound, Placement, PoolRules};
use crate::convert::{idle, prefixes};
use crate::error::{argument, refused};
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[pymethods]
impl Network {
    /// Makes a virtual network with address ranges.
    fn add_vnet(&mut self, name: &str, ranges: Any<'_, '_>) -> PyResult<()> {
        self.network.add_vnet(name, &prefixes(ranges)?).map_err(refused).map(drop)
    }

    /// Makes a virtual network of the classic model, which has no endpoints.
    fn add_classic_vnet(&mut self, name: &str, ranges: Any<'_, '_>) -> PyResult<()> {
        self.network.add_classic_vnet(name, &prefixes(ranges)?).map_err(refused).map(drop)
    }

    /// Removes a virtual network without subnets, peerings and gateways.
    fn remove_vnet(&mut self, vnet: &str) -> PyResult<()> {
        let id = names::vnet(&self.network, vnet)?;
        self.network.remove_vnet(id).map_err(refused)
    }

    /// Says where a virtual network is placed. What is not given is unknown.
    #[pyo3(signature = (vnet, region = "", subscription = "", tenant = ""))]
    fn place_vnet(
        &mut self,
        vnet: &str,
        region: &str,
        subscription: &str,
        tenant: &str,
    ) -> PyResult<()> {
        let id = names::vnet(&self.network, vnet)?;
        self.network.place_vnet(id, placement(region, subscription, tenant)).map_err(refused)
    }

    /// Peers two virtual networks with each other.
    fn peer(&mut self, vnet: &str, other: &str) -> PyResult<()> {
        let (one, other) = (names::vnet(&self.network, vnet)?, names::vnet(&self.network, other)?);
        self.network.peer(one, other).map_err(refused)
    }

    /// Ends the peering of two virtual networks.
    fn unpeer(&mut self, vnet: &str, other: &str) -> PyResult<()> {
        let (one, other) = (names::vnet(&self.network, vnet)?, names::vnet(&self.network, other)?);
        self.network.unpeer(one, other).map_err(refused)
    }

    /// Makes a subnet of a virtual network. It is private until ``set_outbound``.
    #[pyo3(signature = (vnet, name, prefix))]
    fn add_subnet(&mut self, vnet: &str, name: &str, prefix: Any<'_, '_>) -> PyResult<()> {
        let id = names::vnet(&self.network, vnet)?;
        let range = crate::convert::prefix(prefix)?;
        self.network.add_subnet(id, name, range).map_err(refused).map(drop)
    }

    /// Removes a subnet without interfaces and private endpoints.
    fn remove_subnet(&mut self, subnet: &str) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        self.network.remove_subnet(id).map_err(refused)
    }

    /// Chooses how flows of a subnet to public addresses leave: ``private`` (not at all),
    /// ``default`` (one platform address), ``nat-gateway`` (up to 16 addresses) or ``pool``
    /// (addresses with ``ports``, first and last, without it 1024 to 65535).
    #[pyo3(signature = (subnet, method, addresses = None, *, ports = None))]
    fn set_outbound(
        &mut self,
        subnet: &str,
        method: &str,
        addresses: Option<Any<'_, '_>>,
        ports: Option<(u16, u16)>,
    ) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        let given = addresses.map(crate::convert::addresses).transpose()?.unwrap_or_default();
        let outbound = match (method, given.as_slice()) {
            ("private", []) => Outbound::Private,
            ("private", _) => return Err(argument("a private subnet has no public address")),
            ("default", [address]) => Outbound::Default(*address),
            ("default", _) => return Err(argument("default outbound access has one address")),
            ("nat-gateway", _) => Outbound::NatGateway(given),
            ("pool", _) => {
                let (first_port, last_port) = ports.unwrap_or((1024, u16::MAX));
                let rules = PoolRules::default();
                Outbound::Pool { addresses: given, first_port, last_port, rules }
            }
            _ => {
                return Err(argument(format!(
                    "{method:?} is no outbound method: expected \"private\", \"default\", \
                     \"nat-gateway\" or \"pool\""
                )));
            }
        };
        self.network.set_outbound(id, outbound).map_err(refused)
    }

    /// Sets the idle timeout of TCP flows behind the NAT gateway of a subnet: 4 to 120 minutes, or
    /// ``None`` for the default.
    #[pyo3(signature = (subnet, minutes))]
    fn set_gateway_idle(&mut self, subnet: &str, minutes: Option<u8>) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        self.network.set_gateway_idle(id, idle(minutes)?).map_err(refused)
    }

    /// Declares an interface, which may send under its own address only, unless it forwards.
    #[pyo3(signature = (subnet, name, address))]
    fn add_nic(&mut self, subnet: &str, name: &str, address: Any<'_, '_>) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        let at = crate::convert::address(address)?;
        self.network.add_nic(id, name, at).map_err(refused).map(drop)
    }

    /// Removes an interface.
    fn remove_nic(&mut self, nic: &str) -> PyResult<()> {
        let id = names::nic(&self.network, nic)?;
        self.network.remove_nic(id).map_err(refused)
    }

    /// Gives an interface a public address of its own, or takes it with ``None``.
    #[pyo3(signature = (nic, address))]
    fn set_public_address(&mut self, nic: &str, address: Option<Any<'_, '_>>) -> PyResult<()> {
        let id = names::nic(&self.network, nic)?;
        let at = address.map(crate::convert::address).transpose()?;
        self.network.set_public_address(id, at).map_err(refused)
    }

    /// Sets the idle timeout of flows behind the public address of an interface: 4 to 120 minutes,
    /// or ``None`` for the default.
    #[pyo3(signature = (nic, minutes))]
    fn set_address_idle(&mut self, nic: &str, minutes: Option<u8>) -> PyResult<()> {
        let id = names::nic(&self.network, nic)?;
        self.network.set_address_idle(id, idle(minutes)?).map_err(refused)
    }

    /// Sets whether an interface may send packets with other hosts' sources.
    fn set_ip_forwarding(&mut self, nic: &str, on: bool) -> PyResult<()> {
        let id = names::nic(&self.network, nic)?;
        self.network.set_ip_forwarding(id, on).map_err(refused)
    }

    /// Stops and deallocates the machine of an interface, which then neither sends nor receives.
    fn deallocate(&mut self, nic: &str) -> PyResult<()> {
        let id = names::nic(&self.network, nic)?;
        self.network.deallocate(id).map_err(refused)
    }

    /// Starts the machine of an interface.
    fn start(&mut self, nic: &str) -> PyResult<()> {
        let id = names::nic(&self.network, nic)?;
        self.network.start(id).map_err(refused)
    }
}

pub(super) fn placement(region: &str, subscription: &str, tenant: &str) -> Placement {
    Placement {
        tenant: tenant.to_owned(),
        subscription: subscription.to_owned(),
        region: region.to_owned(),
    }
}
