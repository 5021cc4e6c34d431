//! Endpoint policies.

use pyo3::prelude::*;

use crate::api::{EndpointPolicy, PolicyDefinition, PolicyService};
use crate::convert::words;
use crate::error::refused;
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[pymethods]
impl Network {
    /// Makes an endpoint policy that allows resources: ids of subscriptions, resource groups and
    /// storage accounts, and aliases such as ``/services/Azure``.
    #[pyo3(signature = (name, region, resources, subscription = ""))]
    fn add_endpoint_policy(
        &mut self,
        name: &str,
        region: &str,
        resources: Any<'_, '_>,
        subscription: &str,
    ) -> PyResult<()> {
        let is_alias = |id: &String| id.to_ascii_lowercase().starts_with("/services/");
        let (aliases, others): (Vec<_>, Vec<_>) = words(resources)?.into_iter().partition(is_alias);
        let mut definitions = Vec::new();
        for (service, ids) in [(PolicyService::Storage, others), (PolicyService::Global, aliases)] {
            if !ids.is_empty() {
                let ids = ids.iter().map(|id| id.parse().map_err(refused));
                let ids = ids.collect::<PyResult<Vec<_>>>()?;
                definitions.push(PolicyDefinition::new(service, ids).map_err(refused)?);
            }
        }
        let policy =
            EndpointPolicy { name: name.to_owned(), region: region.to_owned(), definitions };
        self.network.add_endpoint_policy(subscription, policy).map_err(refused).map(drop)
    }

    /// Removes an endpoint policy that is not attached.
    fn remove_endpoint_policy(&mut self, policy: &str) -> PyResult<()> {
        let id = names::policy(&self.network, policy)?;
        self.network.remove_endpoint_policy(id).map_err(refused)
    }

    /// Attaches an endpoint policy to the endpoint of a service on a subnet.
    fn attach_policy(&mut self, subnet: &str, service: &str, policy: &str) -> PyResult<()> {
        let id = names::policy(&self.network, policy)?;
        let subnet = names::subnet(&self.network, subnet)?;
        let service = names::service(&self.network, service)?;
        self.network.attach_policy(subnet, service, id).map_err(refused)
    }

    /// Detaches an endpoint policy.
    fn detach_policy(&mut self, subnet: &str, service: &str, policy: &str) -> PyResult<()> {
        let id = names::policy(&self.network, policy)?;
        let subnet = names::subnet(&self.network, subnet)?;
        let service = names::service(&self.network, service)?;
        self.network.detach_policy(subnet, service, id).map_err(refused)
    }
}
