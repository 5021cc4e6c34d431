//! Service endpoints of subnets: what one is, and the edits that enable and disable it.

use std::collections::BTreeSet;

use vnetem_packet::SubnetId;

use super::Network;
use crate::{EditError, ServiceId};

/// The endpoint of a service on a subnet, with the properties that Azure shows (E-05).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name under which it was enabled, which is one of the service's.
    pub name: String,
    /// The regions for which it holds.
    pub scope: Scope,
    /// A reference that is stored and returned, and has no effect (U-18).
    pub network_identifier: Option<String>,
}

/// The regions for which an endpoint holds (E-06 to E-09).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Resources of the service anywhere.
    #[default]
    Worldwide,
    /// Resources whose address lies in one of these regions, or in no known region (C-06).
    Regions(BTreeSet<String>),
}

/// Whether an edit of the endpoints has reached every host (E-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProvisioningState {
    /// An edit is in no snapshot yet, or has not reached every host (S-28).
    Updating,
    /// The last snapshot has it.
    Succeeded,
}

/// Edits of service endpoints.
impl Network {
    /// Enables the endpoint of a service on a subnet, under the service's own name. Enabling it
    /// again replaces its scope (INV-toggle-idempotent, S-03).
    ///
    /// # Errors
    ///
    /// As for [`Network::set_endpoint`].
    pub fn enable_endpoint(
        &mut self,
        id: SubnetId,
        service: ServiceId,
        scope: Scope,
    ) -> Result<(), EditError> {
        let name = self.service(service)?.name.clone();
        self.set_endpoint(id, service, Endpoint { name, scope, network_identifier: None })
    }

    /// Enables the endpoint of a service on a subnet, under one of the service's names. It replaces
    /// the existing endpoint of that name.
    ///
    /// # Errors
    ///
    /// - The subnet or the service does not exist, or the service has no such name.
    /// - The network is of the classic model (S-09).
    /// - The endpoint is enabled under another name of the service: a subnet can have one endpoint
    ///   for the same addresses (E-07, U-17).
    /// - All addresses of the service lie in regions outside the scope.
    pub fn set_endpoint(
        &mut self,
        id: SubnetId,
        service: ServiceId,
        endpoint: Endpoint,
    ) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        let vnet = self.vnet(subnet.vnet)?;
        if vnet.classic {
            return Err(EditError::Classic { vnet: vnet.name.clone() });
        }
        if !self.service(service)?.is_named(&endpoint.name) {
            return Err(EditError::Unknown { kind: "endpoint name", name: endpoint.name });
        }
        if let Some(standing) = subnet.endpoints.get(&service)
            && standing.name != endpoint.name
        {
            return Err(EditError::Excluded {
                new: endpoint.name,
                standing: standing.name.clone(),
                on: format!("subnet {}", subnet.name),
            });
        }
        if let Scope::Regions(regions) = &endpoint.scope
            && !self.has_policies(id, service)
            && self.service(service)?.is_outside(regions)
        {
            let scope = regions.iter().cloned().collect();
            let on = format!("subnet {}", subnet.name);
            return Err(EditError::CatchesNothing { endpoint: endpoint.name, scope, on });
        }
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.endpoints.insert(service, endpoint);
            subnet.rollout_states.remove(&service);
        }
        self.dirty.places.add(id.0);
        Ok(())
    }

    /// Disables the endpoint of a service on a subnet. If it is not enabled, nothing changes
    /// (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// The subnet or the service does not exist, or an endpoint policy is attached to the endpoint
    /// (INV-used-object-kept).
    pub fn disable_endpoint(&mut self, id: SubnetId, service: ServiceId) -> Result<(), EditError> {
        self.subnet(id)?;
        self.service(service)?;
        self.check_no_policies(id, service)?;
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.endpoints.remove(&service);
            subnet.rollout_states.remove(&service);
        }
        self.dirty.places.add(id.0);
        Ok(())
    }

    /// Returns whether the last edit of a subnet's endpoints has reached every host (E-05).
    ///
    /// # Errors
    ///
    /// The subnet does not exist.
    pub fn provisioning_state(&self, id: SubnetId) -> Result<ProvisioningState, EditError> {
        let subnet = self.subnet(id)?;
        Ok(if self.dirty.places.contains_key(&id.0) || !subnet.rollout_states.is_empty() {
            ProvisioningState::Updating
        } else {
            ProvisioningState::Succeeded
        })
    }
}

impl Scope {
    /// Iterates over the locations that Azure shows for an endpoint: names of regions, or `*` for
    /// all (E-05, E-06).
    pub fn locations(&self) -> impl Iterator<Item = &str> {
        let (all, regions) = match self {
            Self::Worldwide => (Some("*"), None),
            Self::Regions(regions) => (None, Some(regions)),
        };
        all.into_iter().chain(regions.into_iter().flatten().map(String::as_str))
    }
}
