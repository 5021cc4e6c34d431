//! Edges and things by their names.

use vnetem_packet::{SubnetId, VnetId};

use super::Snapshot;
use crate::{Edge, ResourceId, ServiceId};

impl Snapshot {
    /// An edge in words, with the names of the model: `subnet web (vnet alpha)`, `service storage`.
    #[must_use]
    pub fn describe(&self, edge: Edge) -> String {
        let in_subnet = |id: SubnetId| match self.subnet(id) {
            Some(view) => format!("subnet {} (vnet {})", view.name, self.vnet_name(view.vnet)),
            None => id.to_string(),
        };
        match edge {
            Edge::Internet => "internet".into(),
            Edge::Subnet(id) => in_subnet(id),
            Edge::Nic(id) => match self.nic(id) {
                Some(nic) => format!("nic {} {}, {}", nic.name, nic.address, in_subnet(nic.subnet)),
                None => id.to_string(),
            },
            Edge::SameRegion { service, subnet } => format!(
                "service {} inside the region of {}",
                self.service_name(service),
                self.subnet_name(subnet)
            ),
            Edge::Platform(id) => format!("platform for {}", in_subnet(id)),
            Edge::Site(id) => {
                self.site(id).map_or_else(|| id.to_string(), |view| format!("site {}", view.name))
            }
            Edge::PrivateEndpoint(id) => self
                .private
                .get(&id)
                .map_or_else(|| id.to_string(), |view| format!("private endpoint {}", view.name)),
            Edge::Service { service, identity: None } => {
                format!("service {}", self.service_name(service))
            }
            Edge::Service { service, identity: Some(identity) } => format!(
                "service {} as {} {}",
                self.service_name(service),
                self.subnet_name(identity.subnet),
                identity.address
            ),
        }
    }

    /// The name of a subnet with that of its network, `alpha/web`; its number if it is gone.
    #[must_use]
    pub fn subnet_name(&self, id: SubnetId) -> String {
        match self.subnet(id) {
            Some(view) => format!("{}/{}", self.vnet_name(view.vnet), view.name),
            None => id.to_string(),
        }
    }

    /// The name of a service; its number if there is none.
    #[must_use]
    pub fn service_name(&self, id: ServiceId) -> String {
        let name = self.services.names.get(usize::from(id.0)).cloned();
        name.unwrap_or_else(|| id.to_string())
    }

    /// The name of a resource; its number if it is gone.
    #[must_use]
    pub fn resource_name(&self, id: ResourceId) -> String {
        let view = self.resources.by_id.get(&id);
        view.map_or_else(|| id.to_string(), |view| view.name.clone())
    }

    fn vnet_name(&self, id: VnetId) -> String {
        self.vnets.get(&id).map_or_else(|| id.to_string(), |view| view.name.clone())
    }
}
