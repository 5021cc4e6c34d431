//! Names edges and things for people.

use core::net::Ipv4Addr;

use vnetem_packet::{SubnetId, VnetId};

use super::{EndpointView, Snapshot};
use crate::{Edge, ResourceId, ServiceId};

impl Snapshot {
    /// Returns an edge in words, with the names of the model: `subnet web (vnet alpha)`,
    /// `service storage`.
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

    /// Returns the name of a subnet with that of its network, `alpha/web`, or its number if it was
    /// removed.
    #[must_use]
    pub fn subnet_name(&self, id: SubnetId) -> String {
        match self.subnet(id) {
            Some(view) => format!("{}/{}", self.vnet_name(view.vnet), view.name),
            None => id.to_string(),
        }
    }

    /// Returns the name of a service, or its number if there is none.
    #[must_use]
    pub fn service_name(&self, id: ServiceId) -> String {
        let name = self.services.names.get(usize::from(id.0)).cloned();
        name.unwrap_or_else(|| id.to_string())
    }

    /// Returns the name of a resource, or its number if it was removed.
    #[must_use]
    pub fn resource_name(&self, id: ResourceId) -> String {
        let view = self.resources.by_id.get(&id);
        view.map_or_else(|| id.to_string(), |view| view.name.clone())
    }

    /// Returns the name under which a subnet has the endpoint of a service, or the service's if it
    /// has none.
    pub(crate) fn endpoint_name(&self, subnet: SubnetId, service: ServiceId) -> String {
        let endpoint = self.endpoint_view(subnet, service);
        endpoint.map_or_else(|| self.service_name(service), |endpoint| endpoint.name.clone())
    }

    /// Returns the regions in the scope of an endpoint, or none if the scope is worldwide.
    pub(crate) fn scope_of(&self, subnet: SubnetId, service: ServiceId) -> Vec<&str> {
        let regions = self.endpoint_view(subnet, service).and_then(|it| it.regions.as_ref());
        let names = regions.into_iter().flatten();
        names.filter_map(|region| self.region_name(*region)).collect()
    }

    /// Returns the region of an address of a service, where it is known.
    pub(crate) fn region_of(&self, address: Ipv4Addr) -> Option<&str> {
        let (_, &region) = self.services.regions.lookup(address)?;
        self.region_name(region)
    }

    /// Returns the network of a subnet, as `vnet alpha`.
    pub(crate) fn network_name(&self, subnet: SubnetId) -> String {
        let vnet = self.vnet_of(subnet).map(|vnet| self.vnet_name(vnet));
        format!("vnet {}", vnet.unwrap_or_else(|| "?".into()))
    }

    fn endpoint_view(&self, subnet: SubnetId, service: ServiceId) -> Option<&EndpointView> {
        let subnet = self.subnet(subnet)?;
        let own = subnet.endpoints.iter().find(|endpoint| endpoint.service == service);
        let before =
            subnet.rollout_states.iter().filter(|rollout_state| rollout_state.service == service);
        own.or_else(|| before.filter_map(|rollout_state| rollout_state.before.as_ref()).next())
    }

    fn region_name(&self, number: u16) -> Option<&str> {
        self.services.region_names.get(usize::from(number)).map(String::as_str)
    }

    fn vnet_name(&self, id: VnetId) -> String {
        self.vnet(id).map_or_else(|| id.to_string(), |view| view.name.clone())
    }
}
