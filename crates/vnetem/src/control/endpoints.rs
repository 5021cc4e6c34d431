//! Service endpoints of subnets: what one is, and the edits that enable and disable it.

use std::collections::BTreeSet;

use vnetem_packet::SubnetId;

use super::Network;
use crate::{EditError, ServiceId};

/// The endpoint of a service on a subnet, as the subnet shows it (E-05).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name under which it was enabled: one of the service's.
    pub name: String,
    /// For which places it holds.
    pub scope: Scope,
    /// A reference that is kept and given back, and means nothing here (U-18).
    pub network_identifier: Option<String>,
}

/// For which places an endpoint holds (E-06 to E-09).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Resources of the service anywhere.
    #[default]
    Worldwide,
    /// Resources whose address lies in one of these regions, or in none that is known (C-06).
    Regions(BTreeSet<String>),
}

/// How far an endpoint has come (E-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProvisioningState {
    /// It was edited, and no snapshot has it yet, or not every host (S-28).
    Updating,
    /// The last snapshot has it.
    Succeeded,
}

impl Network {
    /// Enables the endpoint of a service on a subnet, under the service's own name; enabling it
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

    /// Enables the endpoint of a service on a subnet, under one of the service's names; the one
    /// that stands is replaced.
    ///
    /// # Errors
    ///
    /// The subnet or the service does not exist, the network is of the classic model (S-09), or the
    /// service has no such name. It is enabled under another of its names: two endpoints for the
    /// same addresses cannot stand on one subnet (E-07, U-17). Or all addresses of the service lie
    /// in regions outside the scope, so that the endpoint would catch nothing.
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
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Disables the endpoint of a service on a subnet; if it is not enabled nothing changes
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
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// How far the endpoints of a subnet have come (E-05).
    ///
    /// # Errors
    ///
    /// The subnet does not exist.
    pub fn provisioning_state(&self, id: SubnetId) -> Result<ProvisioningState, EditError> {
        let subnet = self.subnet(id)?;
        Ok(if self.dirty.places.contains(&id.0) || !subnet.rollout_states.is_empty() {
            ProvisioningState::Updating
        } else {
            ProvisioningState::Succeeded
        })
    }
}

impl Scope {
    /// The locations as an endpoint shows them: names of regions, or `*` for all (E-05, E-06).
    pub fn locations(&self) -> impl Iterator<Item = &str> {
        let (all, regions) = match self {
            Self::Worldwide => (Some("*"), None),
            Self::Regions(regions) => (None, Some(regions)),
        };
        all.into_iter().chain(regions.into_iter().flatten().map(String::as_str))
    }
}
