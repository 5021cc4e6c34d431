//! Resolves names: which address the name of a resource has for a client (S-08, S-50, L-10).

use core::net::Ipv4Addr;

use vnetem_packet::VnetId;

use super::{Network, PrivateEndpoint, PrivateEndpointState};
use crate::{EditError, ResourceId, ServiceId};

/// A private DNS zone for the private names of a service, linked to a virtual network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneLink {
    /// Whether the internet is asked for a name that the zone does not have. Otherwise such a name
    /// does not exist (L-10).
    pub fallback: bool,
}

/// Edits of the names of private endpoints.
impl Network {
    /// Links the zone of a service's private names to a virtual network, or changes whether an
    /// existing link falls back to the internet.
    ///
    /// Without a link, a network has the zone without a fallback as soon as it has names of a
    /// private endpoint.
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn link_zone(
        &mut self,
        service: ServiceId,
        vnet: VnetId,
        link: ZoneLink,
    ) -> Result<(), EditError> {
        self.service(service)?;
        self.vnet(vnet)?;
        self.private.zones.insert((vnet, service), link);
        Ok(())
    }

    /// Removes the link of a zone.
    ///
    /// # Errors
    ///
    /// One does not exist, there is no such link, or the network has names of a private endpoint,
    /// which need the zone.
    pub fn unlink_zone(&mut self, service: ServiceId, vnet: VnetId) -> Result<(), EditError> {
        let name = format!("{} in vnet {}", self.service(service)?.name, self.vnet(vnet)?.name);
        if let Some(endpoint) = self.named_in(service, vnet).next() {
            let by = format!("private endpoint {}", endpoint.name);
            return Err(EditError::InUse { name: format!("the zone of {name}"), by });
        }
        match self.private.zones.remove(&(vnet, service)) {
            Some(_) => Ok(()),
            None => Err(EditError::Unknown { kind: "zone of", name }),
        }
    }

    /// Removes the names of a virtual network that is removed.
    pub(super) fn forget_names(&mut self, gone: VnetId) {
        let all = (gone, ServiceId(0))..=(gone, ServiceId(u8::MAX));
        for zone in self.private.zones.range(all).map(|(key, _)| *key).collect::<Vec<_>>() {
            self.private.zones.remove(&zone);
        }
        self.private.forget(gone);
    }

    /// Returns the zone of a service's private names as a virtual network has it. It was linked, or
    /// a private endpoint with names in the network made it.
    #[must_use]
    pub fn zone_link(&self, service: ServiceId, vnet: VnetId) -> Option<ZoneLink> {
        let linked = self.private.zones.get(&(vnet, service)).copied();
        linked.or_else(|| self.named_in(service, vnet).next().map(|_| ZoneLink::default()))
    }

    /// Returns the address that the name of a resource has for a client in a virtual network, or
    /// elsewhere with `None`. Returns nothing if the name does not exist for that client.
    ///
    /// - A private endpoint with names in the network gives its own address once it is approved
    ///   (S-50).
    /// - In a network that has the zone of the service, a resource whose private endpoint is
    ///   elsewhere has no name, unless the zone falls back to the internet (L-10).
    /// - Everybody else learns the public address, with and without service endpoints (S-08).
    ///
    /// # Errors
    ///
    /// The resource does not exist.
    pub fn resolve(
        &self,
        resource: ResourceId,
        client: Option<VnetId>,
    ) -> Result<Option<Ipv4Addr>, EditError> {
        let found = self.resource(resource)?;
        let Some(vnet) = client else { return Ok(Some(found.address)) };
        let approved: Vec<&PrivateEndpoint> = self
            .private_endpoints()
            .map(|(_, endpoint)| endpoint)
            .filter(|endpoint| {
                endpoint.resource == resource && endpoint.state == PrivateEndpointState::Approved
            })
            .collect();
        if let Some(private) = approved.iter().find(|endpoint| endpoint.names_in.contains(&vnet)) {
            return Ok(Some(private.address));
        }
        let elsewhere = !approved.is_empty();
        let zone = self.zone_link(found.service, vnet);
        let hidden = elsewhere && zone.is_some_and(|zone| !zone.fallback);
        Ok((!hidden).then_some(found.address))
    }

    /// Returns the private endpoints of a service that have names in a virtual network.
    fn named_in(&self, service: ServiceId, vnet: VnetId) -> impl Iterator<Item = &PrivateEndpoint> {
        self.private_endpoints().map(|(_, endpoint)| endpoint).filter(move |endpoint| {
            let of = self.resource(endpoint.resource).is_ok_and(|it| it.service == service);
            of && endpoint.names_in.contains(&vnet)
        })
    }
}
