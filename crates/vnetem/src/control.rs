//! The control plane: takes edits and compiles snapshots. It holds no flows and never sees a
//! packet. [`Network`] is all of it; the other types are what its edits take and what it lists.

mod balancers;
mod check;
mod compile;
mod compile_routes;
mod endpoints;
mod intent;
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

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};
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

use crate::{EditError, LoadBalancerId, NicId, ResourceId, SecurityGroupId, ServiceId, Snapshot};
use check::PublicOwner;
use compile_routes::Reserved;
use policies::Policies;
use security::Security;

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
#[derive(Clone, Debug, Default)]
pub struct Network {
    vnets: BTreeMap<VnetId, Vnet>,
    subnets: BTreeMap<SubnetId, Subnet>,
    nics: BTreeMap<NicId, Nic>,
    sites: BTreeMap<SiteId, Site>,
    services: Vec<Service>,
    resources: BTreeMap<ResourceId, Resource>,
    security: Security,
    balancers: BTreeMap<LoadBalancerId, LoadBalancer>,
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

    /// The network of every subnet that ever existed, by number.
    vnet_by_subnet: Vec<Option<VnetId>>,
    /// The interface of each declared address of a virtual network.
    hosts: BTreeMap<(VnetId, Ipv4Addr), NicId>,
    /// The owner of each public address, and how many uses it has.
    public: BTreeMap<Ipv4Addr, (PublicOwner, u32)>,
    /// Every service prefix by its first address.
    service_prefixes: BTreeMap<Ipv4Addr, (Ipv4Net, ServiceId)>,

    dirty: Dirty,
    compiled: Arc<Snapshot>,
}

/// What the next commit compiles again.
#[derive(Clone, Debug, Default)]
struct Dirty {
    vnets: BTreeSet<VnetId>,
    places: BTreeSet<u32>,
    services: bool,
    resources: bool,
    policies: bool,
    /// Endpoints whose policies, attached ones or their content, have changed.
    policed: BTreeSet<(SubnetId, ServiceId)>,
    /// Security groups whose rules, or guarded places, have changed.
    security: BTreeSet<SecurityGroupId>,
    tags: bool,
}

/// Compares the intent and its numbers, without what was compiled from it.
impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.intent() == other.intent()
    }
}

impl Eq for Network {}

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
            && self.places.is_empty()
            && !self.services
            && !self.resources
            && !self.policies
            && self.policed.is_empty()
            && self.security.is_empty()
            && !self.tags
    }
}
