//! Services and their endpoints.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyString;
use vnetem_azure::{EndpointService, ServiceTags};

use crate::api::{EndpointFirst, Scope};
use crate::convert::{choose, words};
use crate::error::{argument, refused};
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[pymethods]
impl Network {
    /// Makes a service with prefixes. Without any it is a service of Azure's, such as
    /// ``Microsoft.Storage``, with the published prefixes, regions and habits.
    #[pyo3(signature = (name, prefixes = None))]
    fn add_service(&mut self, name: &str, prefixes: Option<Any<'_, '_>>) -> PyResult<()> {
        let Some(prefixes) = prefixes else {
            let known = EndpointService::named(name).ok_or_else(|| {
                let names: Vec<_> = EndpointService::ALL.iter().map(|known| known.name).collect();
                let names = names.join(", ");
                argument(format!("{name} needs prefixes: Azure's own services are {names}"))
            })?;
            let tags = ServiceTags::embedded();
            return known.add_to(&mut self.network, &tags).map_err(refused).map(drop);
        };
        let ranges = crate::convert::prefixes(prefixes)?;
        self.network.add_service(name, &ranges).map_err(refused).map(drop)
    }

    /// Gives a service a further name under which its endpoint can be enabled.
    fn add_service_name(&mut self, service: &str, name: &str) -> PyResult<()> {
        let id = names::service(&self.network, service)?;
        self.network.add_service_name(id, name).map_err(refused)
    }

    /// Replaces the prefixes of a service.
    #[pyo3(signature = (service, prefixes))]
    fn set_service_prefixes(&mut self, service: &str, prefixes: Any<'_, '_>) -> PyResult<()> {
        let id = names::service(&self.network, service)?;
        let ranges = crate::convert::prefixes(prefixes)?;
        self.network.set_service_prefixes(id, &ranges).map_err(refused)
    }

    /// Says in which region prefixes of a service lie: a ``dict`` from prefix to region.
    fn set_service_regions(
        &mut self,
        service: &str,
        regions: BTreeMap<String, String>,
    ) -> PyResult<()> {
        let id = names::service(&self.network, service)?;
        let read = |(range, region): (String, String)| {
            let range =
                range.parse().map_err(|_| argument(format!("{range} is no IPv4 prefix")))?;
            Ok((range, region))
        };
        let regions: Vec<_> = regions.into_iter().map(read).collect::<PyResult<_>>()?;
        self.network.set_service_regions(id, regions).map_err(refused)
    }

    /// Sets whether networks of a prefix's own region reach a service by private sources without an
    /// endpoint.
    fn set_same_region_path(&mut self, service: &str, on: bool) -> PyResult<()> {
        let id = names::service(&self.network, service)?;
        self.network.set_same_region_path(id, on).map_err(refused)
    }

    /// Sets whether a service requires the endpoint of a subnet before it takes a rule for it:
    /// ``not-asked``, ``unless-ignored`` or ``always``.
    fn set_endpoint_first(&mut self, service: &str, asks: &str) -> PyResult<()> {
        let id = names::service(&self.network, service)?;
        let words = [
            ("not-asked", EndpointFirst::NotAsked),
            ("unless-ignored", EndpointFirst::UnlessIgnored),
            ("always", EndpointFirst::Always),
        ];
        self.network.set_endpoint_first(id, choose("demand", asks, &words)?).map_err(refused)
    }

    /// Sets whether endpoint policies can be attached to the endpoints of a service.
    fn set_takes_policies(&mut self, service: &str, on: bool) -> PyResult<()> {
        let id = names::service(&self.network, service)?;
        self.network.set_takes_policies(id, on).map_err(refused)
    }

    /// Enables the endpoint of a service on a subnet. ``scope`` lists the regions for which it
    /// holds, ``"*"`` for all; without it Azure's own scope of the service is taken.
    #[pyo3(signature = (subnet, service, scope = None))]
    fn enable_endpoint(
        &mut self,
        subnet: &str,
        service: &str,
        scope: Option<Any<'_, '_>>,
    ) -> PyResult<()> {
        let Some(scope) = scope else {
            return vnetem_whatif::enable(&mut self.network, service, subnet).map_err(refused);
        };
        let id = names::subnet(&self.network, subnet)?;
        let service = names::service(&self.network, service)?;
        let is_all = scope.extract::<Bound<'_, PyString>>().is_ok_and(|text| text == "*");
        let scope = match is_all {
            true => Scope::Worldwide,
            false => Scope::Regions(words(scope)?.into_iter().collect()),
        };
        self.network.enable_endpoint(id, service, scope).map_err(refused)
    }

    /// Disables the endpoint of a service on a subnet.
    fn disable_endpoint(&mut self, subnet: &str, service: &str) -> PyResult<()> {
        vnetem_whatif::disable(&mut self.network, service, subnet).map_err(refused)
    }
}
