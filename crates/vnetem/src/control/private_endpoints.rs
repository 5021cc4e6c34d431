//! Private endpoints: an address of a subnet that leads to one resource (L-01 to L-09), for
//! contrast with service endpoints.

use core::net::Ipv4Addr;
use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_packet::{SubnetId, VnetId};

use super::{Network, RouteTable, VnetEndpointPolicy, ZoneLink, check};
use crate::edge::MAX_PLACES;
use crate::shared::{Map, Set};
use crate::snapshot::PrivateEndpointView;
use crate::{EditError, PrivateEndpointId, ResourceId, ServiceId};

/// A private endpoint. Packets to its address go to its resource, whose firewall does not apply
/// (L-05, F-13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateEndpoint {
    /// Its name, unique among private endpoints.
    pub name: String,
    /// The subnet it stands in.
    pub subnet: SubnetId,
    /// Its private address.
    pub address: Ipv4Addr,
    /// The resource that it leads to.
    pub resource: ResourceId,
    /// Whether the owner of the resource approved it.
    pub state: PrivateEndpointState,
    /// Virtual networks in which the name of the resource has this address (S-50). At first it is
    /// its own network.
    pub names_in: BTreeSet<VnetId>,
}

/// Whether the owner of a resource approved a private endpoint. Only an approved one carries
/// traffic (L-07).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrivateEndpointState {
    /// The owner has not decided.
    #[default]
    Pending,
    /// The owner approved it.
    Approved,
    /// The owner rejected it.
    Rejected,
    /// The owner withdrew the approval.
    Disconnected,
}

/// Which policies of a subnet apply to its private endpoints: none by default (L-03, L-04).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkPolicies {
    /// User routes at least as long as the network's range override the endpoints' own routes
    /// (L-03).
    pub routes: bool,
    /// The subnet's security group applies to the endpoints (L-04).
    pub security_groups: bool,
}

/// Edits of private endpoints.
impl Network {
    /// Makes a private endpoint, which is pending until [`Network::set_private_endpoint_state`].
    ///
    /// # Errors
    ///
    /// - The subnet or the resource does not exist, or the name or the address is taken.
    /// - The address is outside of the subnet, or one of the five that the platform keeps there.
    /// - Too many private endpoints were made.
    pub fn add_private_endpoint(
        &mut self,
        subnet: SubnetId,
        name: &str,
        address: Ipv4Addr,
        resource: ResourceId,
    ) -> Result<PrivateEndpointId, EditError> {
        let place = self.subnet(subnet)?;
        self.resource(resource)?;
        if self.index.private.contains_key(name) {
            return Err(EditError::NameTaken { kind: "private endpoint", name: name.into() });
        }
        let owner = format!("private endpoint {name}");
        let container = || format!("subnet {}", place.name);
        check::internal(Ipv4Net::from(address), &owner, &[place.prefix], container)?;
        check::free(address, &owner, place)?;
        let vnet = place.vnet;
        self.check_host(vnet, address, &owner)?;
        if self.private.next >= MAX_PLACES {
            return Err(EditError::Limit { what: "private endpoints", limit: MAX_PLACES as usize });
        }
        self.private.next += 1;
        let id = PrivateEndpointId(self.private.next);
        let endpoint = PrivateEndpoint {
            name: name.into(),
            subnet,
            address,
            resource,
            state: PrivateEndpointState::Pending,
            names_in: BTreeSet::from([vnet]),
        };
        self.private.endpoints.insert(id, Arc::new(endpoint));
        self.private.named.add((vnet, id));
        self.index.private.insert(name.into(), id);
        self.index.private_hosts.insert((vnet, address), id);
        self.mark_private(id, vnet);
        Ok(id)
    }

    /// Removes a private endpoint. Flows through it end.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn remove_private_endpoint(&mut self, id: PrivateEndpointId) -> Result<(), EditError> {
        let vnet = self.subnet(self.private_endpoint(id)?.subnet)?.vnet;
        if let Some(endpoint) = self.private.endpoints.remove(&id) {
            endpoint.names_in.iter().for_each(|of| self.private.named.has((*of, id), false));
            self.index.private.remove(endpoint.name.as_str());
            self.index.private_hosts.remove(&(vnet, endpoint.address));
        }
        self.mark_private(id, vnet);
        Ok(())
    }

    /// Sets whether the owner of the resource approves a private endpoint. Flows end if it is not
    /// approved any more (L-07).
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn set_private_endpoint_state(
        &mut self,
        id: PrivateEndpointId,
        state: PrivateEndpointState,
    ) -> Result<(), EditError> {
        let vnet = self.subnet(self.private_endpoint(id)?.subnet)?.vnet;
        if let Some(endpoint) = self.private.endpoints.get_mut(&id) {
            endpoint.state = state;
        }
        self.mark_private(id, vnet);
        Ok(())
    }

    /// Lets the name of the resource have the private endpoint's address in a virtual network, as a
    /// linked zone does, or ends that.
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn link_names(
        &mut self,
        id: PrivateEndpointId,
        vnet: VnetId,
        on: bool,
    ) -> Result<(), EditError> {
        self.private_endpoint(id)?;
        self.vnet(vnet)?;
        if let Some(endpoint) = self.private.endpoints.get_mut(&id) {
            if on {
                endpoint.names_in.insert(vnet)
            } else {
                endpoint.names_in.remove(&vnet)
            };
        }
        self.private.named.has((vnet, id), on);
        Ok(())
    }

    /// Sets which policies of a subnet apply to its private endpoints.
    ///
    /// # Errors
    ///
    /// The subnet does not exist.
    pub fn set_network_policies(
        &mut self,
        id: SubnetId,
        policies: NetworkPolicies,
    ) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        let (vnet, prefix) = (subnet.vnet, subnet.prefix);
        self.private.policies.insert(id, policies);
        let concerned: Vec<_> = self.private_between(vnet, prefix).map(|(id, _)| id).collect();
        concerned.into_iter().for_each(|id| self.dirty.private.add(id));
        self.dirty.vnets.add(vnet);
        Ok(())
    }

    /// Sets whether user routes to the network itself carry packets to private endpoints that they
    /// cover (L-11). It matters where the policies of the endpoint's subnet let user routes
    /// override its own (L-03).
    ///
    /// # Errors
    ///
    /// The network does not exist.
    pub fn set_private_endpoint_policy(
        &mut self,
        id: VnetId,
        policy: VnetEndpointPolicy,
    ) -> Result<(), EditError> {
        self.vnet(id)?;
        if let Some(vnet) = self.vnets.get_mut(&id) {
            vnet.private_endpoint_policy = policy;
        }
        let concerned: Vec<_> = self.private_in(id).map(|(id, _)| id).collect();
        concerned.into_iter().for_each(|id| self.dirty.private.add(id));
        self.dirty.vnets.add(id);
        Ok(())
    }

    /// Returns a private endpoint.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn private_endpoint(&self, id: PrivateEndpointId) -> Result<&PrivateEndpoint, EditError> {
        let found = self.private.endpoints.get(&id).map(AsRef::as_ref);
        found.ok_or_else(|| EditError::Unknown { kind: "private endpoint", name: id.to_string() })
    }

    /// Iterates over all private endpoints, by number.
    pub fn private_endpoints(&self) -> impl Iterator<Item = (PrivateEndpointId, &PrivateEndpoint)> {
        self.private.endpoints.iter().map(|(&id, endpoint)| (id, &**endpoint))
    }

    /// Returns which policies of a subnet apply to its private endpoints.
    #[must_use]
    pub fn network_policies(&self, id: SubnetId) -> NetworkPolicies {
        self.private.policies.get(&id).copied().unwrap_or_default()
    }

    /// Checks that an address of a virtual network has one holder.
    pub(super) fn check_host(
        &self,
        vnet: VnetId,
        address: Ipv4Addr,
        owner: &str,
    ) -> Result<(), EditError> {
        let nic = self.hosts.get(&(vnet, address)).and_then(|nic| self.nics.get(nic));
        let private = self.private_between(vnet, address.into()).next();
        let holder = match (nic, private) {
            (Some(nic), _) => format!("nic {}", nic.name),
            (None, Some((_, endpoint))) => format!("private endpoint {}", endpoint.name),
            (None, None) => return Ok(()),
        };
        Err(EditError::AddressTaken { address, owner: owner.into(), holder })
    }

    /// Returns the private endpoints of a virtual network, by address.
    pub(super) fn private_in(
        &self,
        vnet: VnetId,
    ) -> impl Iterator<Item = (PrivateEndpointId, &PrivateEndpoint)> {
        self.private_between(vnet, Ipv4Net::default())
    }

    /// Returns the private endpoints of a virtual network in a range, by address.
    pub(super) fn private_between(
        &self,
        vnet: VnetId,
        range: Ipv4Net,
    ) -> impl Iterator<Item = (PrivateEndpointId, &PrivateEndpoint)> {
        let (first, last) = ((vnet, range.network()), (vnet, range.broadcast()));
        let found = self.index.private_hosts.range(first..=last);
        found.filter_map(|(_, &id)| Some((id, self.private_endpoint(id).ok()?)))
    }

    fn mark_private(&mut self, id: PrivateEndpointId, vnet: VnetId) {
        self.dirty.private.add(id);
        self.dirty.vnets.add(vnet);
    }

    pub(super) fn forget_private_policies(&mut self, subnet: SubnetId) {
        self.private.policies.remove(&subnet);
    }

    /// Returns whether a user route overrides a private endpoint's own. The policies of its subnet
    /// must allow it, and the route must cover the endpoint and be at least as long as the
    /// network's range. A default route never does (L-03).
    pub(super) fn is_overridden(&self, endpoint: &PrivateEndpoint, by: &RouteTable) -> bool {
        let vnet = self.subnets.get(&endpoint.subnet).and_then(|it| self.vnets.get(&it.vnet));
        let range = vnet.and_then(|vnet| {
            vnet.ranges.iter().find(|range| range.contains(&endpoint.address)).copied()
        });
        let overrides = |prefix: &Ipv4Net| {
            prefix.contains(&endpoint.address)
                && range.is_some_and(|range| prefix.prefix_len() >= range.prefix_len())
        };
        let tagged = by.tags.values().flat_map(|tag| &tag.prefixes);
        self.network_policies(endpoint.subnet).routes
            && by.routes.keys().chain(tagged).any(overrides)
    }

    /// Returns whether a user route to the network itself carries packets to an endpoint. Where
    /// user routes override its own, the policy of its network decides (L-11).
    fn is_reached_by_vnet_routes(&self, endpoint: &PrivateEndpoint) -> bool {
        let home = self.subnets.get(&endpoint.subnet).and_then(|it| self.vnets.get(&it.vnet));
        let is_basic =
            home.is_some_and(|it| it.private_endpoint_policy == VnetEndpointPolicy::Basic);
        !self.network_policies(endpoint.subnet).routes || is_basic
    }

    pub(super) fn compile_private(&self, endpoint: &PrivateEndpoint) -> PrivateEndpointView {
        PrivateEndpointView {
            name: endpoint.name.clone(),
            subnet: endpoint.subnet,
            address: endpoint.address,
            resource: endpoint.resource,
            approved: endpoint.state == PrivateEndpointState::Approved,
            guarded: self.network_policies(endpoint.subnet).security_groups,
            by_vnet_routes: self.is_reached_by_vnet_routes(endpoint),
        }
    }
}

/// All private endpoints, and the policies of their subnets that apply to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Private {
    /// Zones of private names that edits linked to virtual networks.
    pub(super) zones: Map<(VnetId, ServiceId), ZoneLink>,
    endpoints: Map<PrivateEndpointId, Arc<PrivateEndpoint>>,
    /// The private endpoints that have names in a network.
    pub(super) named: Set<(VnetId, PrivateEndpointId)>,
    policies: Map<SubnetId, NetworkPolicies>,
    next: u32,
}

impl Private {
    /// Removes all names of a removed virtual network.
    pub(super) fn forget(&mut self, gone: VnetId) {
        let all = (gone, PrivateEndpointId(0))..=(gone, PrivateEndpointId(u32::MAX));
        for id in self.named.range(all).map(|(&(_, id), ())| id).collect::<Vec<_>>() {
            self.named.remove(&(gone, id));
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.names_in.remove(&gone);
            }
        }
    }
}
