//! The control plane: takes edits and compiles snapshots. It holds no flows and never sees a
//! packet. [`Network`] is all of it; the other types are what its edits take and what it lists.

mod balancers;
mod check;
mod compile;
mod compile_routes;
mod endpoints;
mod index;
mod intent;
mod interfaces;
mod invalidate;
mod names;
mod places;
mod policies;
mod private_endpoints;
mod propagation;
mod resources;
mod rollout;
mod routes;
mod security;
mod services;
mod sites;
#[cfg(test)]
mod stepwise;

use core::net::Ipv4Addr;
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_authz::DenyMode;
use vnetem_nat::Generation;
use vnetem_packet::{SiteId, SubnetId, VnetId};

pub use balancers::{LoadBalancer, OutboundRule, PortBlock};
pub use endpoints::{Endpoint, ProvisioningState, Scope};
pub use intent::{
    Circuit, Connection, EndpointFirst, MissingEndpoint, Nic, Outbound, Peering, Placement,
    Resource, RouteTable, Service, Site, Subnet, TagLevel, TagRoute, UserRoute, Vnet,
    VnetEndpointPolicy,
};
pub use names::ZoneLink;
pub use private_endpoints::{NetworkPolicies, PrivateEndpoint, PrivateEndpointState};
pub use propagation::RolloutState;
pub use resources::Permissions;
pub use rollout::Rollout;

pub use crate::edge::{MAX_PLACES, MAX_SERVICES};
pub use crate::route::{
    Choice, EffectiveRoute, NextHop, NextHopType, PassedOver, Route, RouteRemark, RouteSource,
    RouteState, TiePolicy, choose, is_tie,
};

use crate::shared::{Map, Numbered, Set};
use crate::{
    EditError, LoadBalancerId, NicId, PrivateEndpointId, ResourceId, SecurityGroupId, ServiceId,
    Snapshot,
};
use check::PublicOwner;
use compile_routes::Reserved;
use index::Index;
use policies::Policies;
use security::{Guarded, Security};

/// The model of a cloud network, and the only place where it is edited.
///
/// - An edit is checked against the whole model. It is done completely, or refused with an
///   [`EditError`] that names both parts (INV-failed-edit-changes-nothing,
///   INV-contradiction-refused).
/// - [`Network::edit`] makes several edits one.
/// - No edit reaches packets before [`Network::commit`] compiles a [`Snapshot`] and
///   [`DataPlane::apply`](crate::DataPlane::apply) takes it.
/// - What is in use cannot be deleted, and nothing is deleted implicitly (INV-used-object-kept).
/// - Numbers are never used again, so a recreated subnet inherits no rule (E-17).
/// - Edits are grouped by what they edit. Each takes that first, then where, then what.
///
/// An edit and its commit cost as much as what they change, whatever the size of the network. A
/// clone shares everything with the original until one of them is edited.
#[derive(Clone, Debug, Default)]
pub struct Network {
    vnets: Map<VnetId, Arc<Vnet>>,
    subnets: Map<SubnetId, Arc<Subnet>>,
    nics: Map<NicId, Arc<Nic>>,
    sites: Map<SiteId, Arc<Site>>,
    services: Arc<Vec<Service>>,
    resources: Map<ResourceId, Arc<Resource>>,
    security: Security,
    balancers: Map<LoadBalancerId, Arc<LoadBalancer>>,
    policies: Policies,
    tie_policy: TiePolicy,
    deny_mode: DenyMode,
    /// Ranges for which every table has a system route to None.
    reserved: Reserved,

    private: private_endpoints::Private,

    next_vnet: u32,
    /// The next place number. Subnets and sites share one sequence, which their revalidation keys
    /// use too; 0 is the internet.
    next_place: u32,
    next_nic: u32,
    next_resource: u32,
    next_balancer: u32,

    /// The network of each subnet, and of the last removed ones.
    vnet_by_subnet: Numbered<VnetId>,
    /// The interface of each declared address of a virtual network.
    hosts: Map<(VnetId, Ipv4Addr), NicId>,
    /// The owner of each public address, and how many uses it has.
    public: Map<Ipv4Addr, (PublicOwner, u32)>,
    /// Every service prefix by its first address.
    service_prefixes: Arc<BTreeMap<Ipv4Addr, (Ipv4Net, ServiceId)>>,
    index: Index,

    dirty: Dirty,
    compiled: Arc<Snapshot>,
}

/// What the next commit compiles again.
#[derive(Clone, Debug, Default)]
struct Dirty {
    /// Networks of which more than a host has changed. Their neighbours are compiled again too.
    vnets: Set<VnetId>,
    /// Networks with a host that has changed. Flows near them are revalidated.
    hosts: Set<VnetId>,
    nics: Set<NicId>,
    private: Set<PrivateEndpointId>,
    /// Subnets and sites.
    places: Set<u32>,
    /// Subnets whose route table has changed.
    tables: Set<u32>,
    public: Set<Ipv4Addr>,
    services: Set<ServiceId>,
    /// Whether regions of services have changed, which concern all services.
    regions: bool,
    resources: Set<ResourceId>,
    policies: bool,
    /// Endpoints whose policies, attached ones or their content, have changed.
    policed: Set<(SubnetId, ServiceId)>,
    /// Security groups that were made, changed or removed.
    security: Set<SecurityGroupId>,
    /// Places that another group, or none, guards by now.
    guarded: Set<Guarded>,
    tags: bool,
}

/// Compares the intent and its numbers, without what was compiled from it.
impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.intent() == other.intent()
    }
}

impl Eq for Network {}

/// Transactions, commits, and choices for the whole network.
impl Network {
    /// Makes an empty network, which has the internet and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes several edits one: all are done, or none.
    ///
    /// # Errors
    ///
    /// Whatever `edits` returns. The network is then as it was.
    pub fn edit<R, E>(&mut self, edits: impl FnOnce(&mut Self) -> Result<R, E>) -> Result<R, E> {
        let mut draft = self.clone();
        let done = edits(&mut draft)?;
        *self = draft;
        Ok(done)
    }

    /// Compiles what has changed into a snapshot of the next generation. Returns the previous
    /// snapshot if nothing has changed.
    pub fn commit(&mut self) -> Arc<Snapshot> {
        if !self.dirty.is_clean() {
            let generation = Generation(self.compiled.generation().0.wrapping_add(1));
            self.compiled = Arc::new(self.compile(generation));
            self.dirty = Dirty::default();
        }
        Arc::clone(&self.compiled)
    }

    /// Chooses how equal prefixes of a user route and an endpoint are decided (C-01).
    pub fn set_tie_policy(&mut self, policy: TiePolicy) {
        self.tie_policy = policy;
        self.dirty.policies = true;
    }

    /// Chooses what the data plane does with packets that a resource refuses.
    pub fn set_deny_mode(&mut self, mode: DenyMode) {
        self.deny_mode = mode;
        self.dirty.policies = true;
    }

    /// Returns the whole intent, without what was compiled from it.
    fn intent(&self) -> impl PartialEq + '_ {
        let Self {
            vnets,
            subnets,
            nics,
            sites,
            services,
            resources,
            security,
            balancers,
            policies,
            tie_policy,
            deny_mode,
            reserved,
            private,
            next_vnet,
            next_place,
            next_nic,
            next_resource,
            next_balancer,
            vnet_by_subnet,
            hosts,
            public,
            service_prefixes,
            index: _,
            dirty: _,
            compiled: _,
        } = self;
        (
            (vnets, subnets, nics, sites, services, resources, security),
            (balancers, policies, tie_policy, deny_mode, reserved, private),
            (next_vnet, next_place, next_nic, next_resource, next_balancer),
            (vnet_by_subnet, hosts, public, service_prefixes),
        )
    }

    fn take_place(&mut self) -> Result<u32, EditError> {
        if self.next_place >= MAX_PLACES {
            return Err(EditError::Limit { what: "subnets and sites", limit: MAX_PLACES as usize });
        }
        self.next_place += 1;
        Ok(self.next_place)
    }
}

impl Dirty {
    fn is_clean(&self) -> bool {
        self.vnets.is_empty()
            && self.hosts.is_empty()
            && self.nics.is_empty()
            && self.private.is_empty()
            && self.places.is_empty()
            && self.tables.is_empty()
            && self.public.is_empty()
            && self.services.is_empty()
            && !self.regions
            && self.resources.is_empty()
            && !self.policies
            && self.policed.is_empty()
            && self.security.is_empty()
            && self.guarded.is_empty()
            && !self.tags
    }
}
