//! On-premises sites and their connections.

use pyo3::prelude::*;

use crate::api::Peering;
use crate::convert::{addresses, prefixes};
use crate::error::{argument, refused};
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[pymethods]
impl Network {
    /// Makes an on-premises site, which reaches the internet behind the addresses of ``nat``.
    #[pyo3(signature = (name, ranges, nat = None))]
    fn add_site(
        &mut self,
        name: &str,
        ranges: Any<'_, '_>,
        nat: Option<Any<'_, '_>>,
    ) -> PyResult<()> {
        let nat = nat.map(addresses).transpose()?.unwrap_or_default();
        self.network.add_site(name, &prefixes(ranges)?, &nat).map_err(refused).map(drop)
    }

    /// Removes a site that no gateway connects.
    fn remove_site(&mut self, site: &str) -> PyResult<()> {
        let id = names::site(&self.network, site)?;
        self.network.remove_site(id).map_err(refused)
    }

    /// Connects a site through a VPN gateway. The site announces prefixes by BGP.
    fn connect(&mut self, vnet: &str, site: &str, announced: Any<'_, '_>) -> PyResult<()> {
        let (vnet, site) = (names::vnet(&self.network, vnet)?, names::site(&self.network, site)?);
        self.network.connect(vnet, site, &prefixes(announced)?).map_err(refused)
    }

    /// Connects a site through an ExpressRoute gateway, to which no user route may lead.
    fn connect_express_route(
        &mut self,
        vnet: &str,
        site: &str,
        announced: Any<'_, '_>,
    ) -> PyResult<()> {
        let (vnet, site) = (names::vnet(&self.network, vnet)?, names::site(&self.network, site)?);
        self.network.connect_express_route(vnet, site, &prefixes(announced)?).map_err(refused)
    }

    /// Ends the connection of a site to a virtual network.
    fn disconnect(&mut self, vnet: &str, site: &str) -> PyResult<()> {
        let (vnet, site) = (names::vnet(&self.network, vnet)?, names::site(&self.network, site)?);
        self.network.disconnect(vnet, site).map_err(refused)
    }

    /// Sets how the circuit of a site reaches services: ``microsoft`` (any addresses), ``public``
    /// (two) or ``None``.
    #[pyo3(signature = (site, kind, addresses = None))]
    fn set_peering(
        &mut self,
        site: &str,
        kind: Option<&str>,
        addresses: Option<Any<'_, '_>>,
    ) -> PyResult<()> {
        let id = names::site(&self.network, site)?;
        let given = addresses.map(crate::convert::addresses).transpose()?.unwrap_or_default();
        let peering = match (kind, given.as_slice()) {
            (None, []) => None,
            (Some("microsoft"), _) => Some(Peering::Microsoft(given)),
            (Some("public"), [one, other]) => Some(Peering::Public([*one, *other])),
            (Some("public"), _) => return Err(argument("public peering has two addresses")),
            _ => return Err(argument("expected \"microsoft\" or \"public\" with addresses")),
        };
        self.network.set_peering(id, peering).map_err(refused)
    }
}
