//! Route tables of subnets.

use pyo3::prelude::*;

use crate::api::{TagLevel, TiePolicy};
use crate::convert::{choose, prefix, prefixes};
use crate::error::refused;
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[pymethods]
impl Network {
    /// Sets the user-defined route of a subnet for a prefix. ``next_hop`` is the address of an
    /// appliance, ``Internet``, ``None`` (in quotes: packets are dropped), ``VnetLocal`` or
    /// ``site NAME``, a site with a VPN.
    fn set_route(
        &mut self,
        subnet: &str,
        prefix: Any<'_, '_>,
        next_hop: Any<'_, '_>,
    ) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        let hop = names::next_hop(&self.network, &next_hop.str()?.to_cow()?)?;
        self.network.set_route(id, crate::convert::prefix(prefix)?, hop).map_err(refused)
    }

    /// Removes the user-defined route of a subnet for a prefix.
    fn remove_route(&mut self, subnet: &str, prefix: Any<'_, '_>) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        self.network.remove_route(id, crate::convert::prefix(prefix)?).map_err(refused)
    }

    /// Sets whether a user-defined route overrides the BGP routes inside its prefix.
    fn set_bgp_override(&mut self, subnet: &str, route: Any<'_, '_>, on: bool) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        self.network.set_bgp_override(id, prefix(route)?, on).map_err(refused)
    }

    /// Sets the user-defined route of a subnet for the prefixes of a service tag. ``level`` is
    /// ``regional``, ``service``, ``cloud-region`` or ``cloud``. Between equal prefixes the first
    /// of these wins.
    fn set_tag_route(
        &mut self,
        subnet: &str,
        tag: &str,
        level: &str,
        prefixes: Any<'_, '_>,
        next_hop: Any<'_, '_>,
    ) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        let levels = [
            ("regional", TagLevel::Regional),
            ("service", TagLevel::Service),
            ("cloud-region", TagLevel::CloudRegion),
            ("cloud", TagLevel::Cloud),
        ];
        let level = choose("level of a tag", level, &levels)?;
        let hop = names::next_hop(&self.network, &next_hop.str()?.to_cow()?)?;
        let ranges = crate::convert::prefixes(prefixes)?;
        self.network.set_tag_route(id, tag, level, &ranges, hop).map_err(refused)
    }

    /// Removes the user-defined route of a subnet for a service tag.
    fn remove_tag_route(&mut self, subnet: &str, tag: &str) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        self.network.remove_tag_route(id, tag).map_err(refused)
    }

    /// Sets whether the table of a subnet takes the routes that gateways learn by BGP.
    fn set_bgp_propagation(&mut self, subnet: &str, on: bool) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        self.network.set_bgp_propagation(id, on).map_err(refused)
    }

    /// Chooses the ranges for which every table has a system route to None.
    fn set_reserved_ranges(&mut self, ranges: Any<'_, '_>) -> PyResult<()> {
        self.network.set_reserved_ranges(&prefixes(ranges)?).map_err(refused)
    }

    /// Chooses how equal prefixes of a user route and an endpoint are decided: ``documented`` (the
    /// endpoint wins) or ``observed`` (the route wins).
    fn set_tie_policy(&mut self, policy: &str) -> PyResult<()> {
        let policies = [("documented", TiePolicy::Documented), ("observed", TiePolicy::Observed)];
        self.network.set_tie_policy(choose("policy for ties", policy, &policies)?);
        Ok(())
    }
}
