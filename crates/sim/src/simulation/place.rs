//! Where hosts stand.

use core::net::Ipv4Addr;

use vnetem::{
    Edge, EditError, Network, NicId, PrivateEndpointId, ResourceId, ServiceId, SiteId, SubnetId,
    VnetId,
};

/// Where a host stands in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a subnet, at one of its addresses; at its interface if one is declared with that address.
    Subnet(SubnetId, Ipv4Addr),
    /// At a declared interface.
    Nic(NicId),
    /// Anywhere on the internet.
    Internet(Ipv4Addr),
    /// On a site.
    Site(SiteId, Ipv4Addr),
    /// At one address of a service. The host answers all who call there: by public addresses, over
    /// service endpoints, over the path inside the region, and over private endpoints of the
    /// resources at that address.
    Service(ServiceId, Ipv4Addr),
    /// Where a resource answers: as [`Service`](Self::Service), with the resource's own service and
    /// address.
    Resource(ResourceId),
    /// Behind one private endpoint, in the place of whoever stands at the resource.
    PrivateEndpoint(PrivateEndpointId),
}

/// A place as the world knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) edge: Edge,
    pub(super) address: Ipv4Addr,
    /// Whether all of a service's packets to the address arrive there.
    pub(super) front: bool,
    /// Whether the host answers at other addresses, too.
    pub(super) any_address: bool,
    /// The virtual network whose names hold there.
    pub(super) vnet: Option<VnetId>,
}

impl Place {
    /// Returns the place of that name in a network: a declared interface, a resource or a private
    /// endpoint.
    #[must_use]
    pub fn named(network: &Network, name: &str) -> Option<Self> {
        let nic = network.nics().find(|(_, nic)| nic.name == name).map(|(id, _)| Self::Nic(id));
        let resource = || network.resource_named(name).map(Self::Resource);
        let endpoint = || {
            let mut endpoints = network.private_endpoints();
            endpoints.find(|(_, it)| it.name == name).map(|(id, _)| Self::PrivateEndpoint(id))
        };
        nic.or_else(resource).or_else(endpoint)
    }

    pub(super) fn find(self, network: &Network) -> Result<Spot, EditError> {
        let spot =
            |edge, address| Spot { edge, address, front: false, any_address: false, vnet: None };
        let front = |service, address| {
            let edge = Edge::Service { service, identity: None };
            Spot { front: true, any_address: true, ..spot(edge, address) }
        };
        Ok(match self {
            Self::Subnet(subnet, address) => {
                let vnet = Some(network.subnet(subnet)?.vnet);
                let mut nics = network.nics();
                let nic = nics.find(|(_, nic)| nic.subnet == subnet && nic.address == address);
                let edge = nic.map_or(Edge::Subnet(subnet), |(id, _)| Edge::Nic(id));
                Spot { vnet, ..spot(edge, address) }
            }
            Self::Nic(id) => {
                let nic = network.nic(id)?;
                let vnet = Some(network.subnet(nic.subnet)?.vnet);
                Spot { vnet, ..spot(Edge::Nic(id), nic.address) }
            }
            Self::Internet(address) => spot(Edge::Internet, address),
            Self::Site(site, address) => {
                network.site(site)?;
                spot(Edge::Site(site), address)
            }
            Self::Service(service, address) => {
                network.service(service)?;
                front(service, address)
            }
            Self::Resource(id) => {
                let resource = network.resource(id)?;
                front(resource.service, resource.address)
            }
            Self::PrivateEndpoint(id) => {
                let endpoint = network.private_endpoint(id)?;
                Spot { any_address: true, ..spot(Edge::PrivateEndpoint(id), endpoint.address) }
            }
        })
    }
}
