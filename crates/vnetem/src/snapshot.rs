//! The compiled configuration: everything that the data plane reads.

mod describe;
pub(crate) mod guard;
pub(crate) mod ingress;
mod invalidation_log;
pub(crate) mod lineage;
pub(crate) mod ranges;
pub(crate) mod routing;
pub(crate) mod stage;
pub(crate) mod tenant;
mod views;

use core::net::Ipv4Addr;
use std::sync::Arc;

use vnetem_authz::{Access, Arrival, DenyMode, Refusal, ServiceAnswer};
use vnetem_nat::{Generation, Tenant};
use vnetem_packet::{SiteId, SubnetId, VnetId};

pub(crate) use invalidation_log::{Invalidated, InvalidationLog, Services};
pub(crate) use views::{
    Attached, EndpointView, Method, NicView, OutboundView, PlaceView, PortPool,
    PrivateEndpointView, ResourceMap, ResourceView, RolloutStateView, ServiceMap, SiteView,
    SubnetView, Translator, VnetView,
};

use guard::Guards;
use ingress::IngressTable;
use lineage::Lineage;

use crate::edge::Place;
use crate::shared::{Map, Numbered, Set};
use crate::{EdgeId, NicId, PrivateEndpointId, ResourceId, ServiceId, TiePolicy};

/// An immutable configuration with its generation. Exactly one of them decides each packet
/// (INV-one-generation-decides). It shares all that a commit did not change with the one before.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) generation: Generation,
    pub(crate) vnets: Numbered<Arc<VnetView>>,
    /// Subnets and sites, by their shared number.
    pub(crate) places: Numbered<PlaceView>,
    pub(crate) ingress_table: IngressTable,
    pub(crate) nics: Numbered<Arc<NicView>>,
    /// The interface of each declared address of a virtual network.
    pub(crate) hosts: Map<(VnetId, Ipv4Addr), NicId>,
    pub(crate) private: Map<PrivateEndpointId, Arc<PrivateEndpointView>>,
    pub(crate) services: Arc<ServiceMap>,
    pub(crate) resources: Arc<ResourceMap>,
    pub(crate) guards: Arc<Guards>,
    pub(crate) policies: Attached,
    pub(crate) public: Map<Ipv4Addr, Translator>,
    /// The lowest and the highest public address of the network.
    pub(crate) public_bounds: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Whether some pool limits the size of segments, so that SYNs must be inspected (T-36).
    pub(crate) clamps: bool,
    /// All networks and sites, by number (docs/shares.md).
    pub(crate) tenants: Set<Tenant>,
    /// The configurations from which this one was committed.
    pub(crate) lineage: Lineage,
    /// The network of each subnet, and of the last removed ones.
    pub(crate) vnet_by_subnet: Numbered<VnetId>,
    pub(crate) tie_policy: TiePolicy,
    pub(crate) deny_mode: DenyMode,
    pub(crate) log: Arc<InvalidationLog>,
}

impl Snapshot {
    /// Returns the generation. Each [`Network::commit`](crate::Network::commit) that changes
    /// something raises it by one.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Decides a request to a resource, for front ends, which alone see the name that the client
    /// asked for. The endpoint policies of the caller's subnet are asked first (U-06), then the
    /// rules of the resource. Returns `None` if there is no such resource.
    #[must_use]
    pub fn judge(&self, resource: ResourceId, arrival: Arrival) -> Option<Access> {
        let resource = self.resources.by_id.get(&resource)?;
        let refused = match arrival {
            Arrival::Tunnel(identity) => self
                .policies
                .get(&(identity.subnet, resource.service))
                .and_then(|policies| policies.judge(&resource.path).refusal()),
            _ => None,
        };
        Some(refused.map_or_else(|| resource.rules.judge(arrival), Access::Refused))
    }

    /// Returns what the service answers to a request that the rules of a resource refused, for
    /// front ends. Returns `None` if there is no such resource.
    #[must_use]
    pub fn answer(
        &self,
        resource: ResourceId,
        refusal: Refusal,
        arrival: Arrival,
    ) -> Option<ServiceAnswer> {
        let resource = self.resources.by_id.get(&resource)?;
        Some(resource.rules.answer(refusal, arrival, &resource.name))
    }

    /// Returns the resources that answer at an address.
    #[must_use]
    pub fn resources_at(&self, address: Ipv4Addr) -> &[ResourceId] {
        self.resources.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Returns the resource that a private endpoint leads to (L-05); `None` if there is no such
    /// endpoint.
    #[must_use]
    pub fn resource_behind(&self, id: PrivateEndpointId) -> Option<ResourceId> {
        self.private.get(&id).map(|view| view.resource)
    }

    /// Returns the source address of ICMP errors towards an edge. It is the default gateway where
    /// there is one, and on the public side the address that the packet was sent to (T-26).
    pub(crate) fn router_at(&self, edge: EdgeId, destination: Ipv4Addr) -> Ipv4Addr {
        let range = match edge.place() {
            Place::Subnet(id) => self.subnet(id).map(|view| view.prefix),
            Place::Nic(id) => {
                self.nic(id).and_then(|nic| self.subnet(nic.subnet)).map(|view| view.prefix)
            }
            Place::Site(id) => self.site(id).and_then(|view| view.ranges.first().copied()),
            Place::Internet
            | Place::Public(_)
            | Place::Endpoint(..)
            | Place::SameRegion(..)
            | Place::Platform(_)
            | Place::Private(_) => None,
        };
        range.map_or(destination, |range| Ipv4Addr::from_bits(range.network().to_bits() | 1))
    }

    /// Returns the network of a subnet, even of a removed one: late replies to its flows still
    /// carry its identity.
    pub(crate) fn vnet_of(&self, id: SubnetId) -> Option<VnetId> {
        self.vnet_by_subnet.get(id.0).copied()
    }

    /// Returns whether a public address is one of the network's own. The bounds are compared first,
    /// because every packet from the internet asks and few are near.
    #[inline]
    pub(crate) fn is_ours(&self, address: Ipv4Addr) -> bool {
        self.public_bounds.is_some_and(|(lowest, highest)| {
            (lowest..=highest).contains(&address) && self.public.contains_key(&address)
        })
    }

    pub(crate) fn subnet(&self, id: SubnetId) -> Option<&SubnetView> {
        match self.place(id.0) {
            Some(PlaceView::Subnet(view)) => Some(view),
            _ => None,
        }
    }

    /// Returns the service to which an address belongs.
    #[must_use]
    pub fn service_at(&self, address: Ipv4Addr) -> Option<ServiceId> {
        self.services.prefixes.lookup(address).map(|(_, &service)| service)
    }

    pub(crate) fn site(&self, id: SiteId) -> Option<&SiteView> {
        match self.place(id.0) {
            Some(PlaceView::Site(view)) => Some(view),
            _ => None,
        }
    }

    pub(crate) fn nic(&self, id: NicId) -> Option<&NicView> {
        self.nics.get(id.0).map(AsRef::as_ref)
    }

    pub(crate) fn place(&self, number: u32) -> Option<&PlaceView> {
        self.places.get(number)
    }

    #[inline]
    pub(crate) fn vnet(&self, id: VnetId) -> Option<&VnetView> {
        self.vnets.get(id.0).map(AsRef::as_ref)
    }

    /// Returns the declared interface of an address of a subnet.
    #[inline]
    pub(crate) fn nic_in(&self, subnet: &SubnetView, address: Ipv4Addr) -> Option<NicId> {
        if subnet.has_nics { self.nic_at(subnet.vnet, address) } else { None }
    }

    /// Returns the declared interface of an address of a virtual network.
    pub(crate) fn nic_at(&self, vnet: VnetId, address: Ipv4Addr) -> Option<NicId> {
        self.hosts.get(&(vnet, address)).copied()
    }

    /// Returns what was invalidated since `generation`; `None` if the log does not reach back so
    /// far.
    pub(crate) fn invalidated_since(
        &self,
        generation: Generation,
    ) -> Option<impl Iterator<Item = (Generation, &Invalidated)>> {
        self.log.since(generation)
    }
}
