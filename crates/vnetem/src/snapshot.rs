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

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_authz::{Access, Arrival, DenyMode, EndpointPolicies, Firewall, Refusal, ServiceAnswer};
use vnetem_fib::Table;
use vnetem_nat::{Generation, LoosePickup, PoolRules, Tenant};
use vnetem_packet::{Protocol, SiteId, SubnetId, VnetId};

pub(crate) use invalidation_log::{Invalidated, InvalidationLog, Services};

use guard::Guards;
use ingress::IngressTable;
use lineage::Lineage;
use ranges::Ranges;

use crate::edge::Place;
use crate::shared::{Map, Numbered, Set};
use crate::{
    EdgeId, NextHop, NicId, PrivateEndpointId, ResourceId, Route, RouteSource, ServiceId, TiePolicy,
};

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

/// The policies of endpoints that have any.
pub(crate) type Attached = Map<(SubnetId, ServiceId), EndpointPolicies>;

/// What delivery to a virtual network needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VnetView {
    pub(crate) name: String,
    pub(crate) ranges: Vec<Ipv4Net>,
    pub(crate) subnets: Table<SubnetId>,
    /// Networks whose appliances can be next hops.
    pub(crate) peers: Vec<VnetId>,
    /// Sites that a gateway connects.
    pub(crate) sites: Vec<SiteId>,
    /// The ranges behind its gateways: those of the sites, and the prefixes that these announce.
    pub(crate) learned: Ranges,
    /// Private endpoints by address.
    pub(crate) private: BTreeMap<Ipv4Addr, PrivateEndpointId>,
}

/// A private endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrivateEndpointView {
    pub(crate) name: String,
    pub(crate) subnet: SubnetId,
    pub(crate) address: Ipv4Addr,
    pub(crate) resource: ResourceId,
    /// Whether the owner of the resource approved it (L-07).
    pub(crate) approved: bool,
    /// Whether the subnet's security group applies to it (L-04).
    pub(crate) guarded: bool,
    /// Whether a user route to the network itself carries packets to it (L-11).
    pub(crate) by_vnet_routes: bool,
}

/// A subnet or a site.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PlaceView {
    Subnet(Arc<SubnetView>),
    Site(Arc<SiteView>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SubnetView {
    pub(crate) id: SubnetId,
    pub(crate) name: String,
    pub(crate) vnet: VnetId,
    pub(crate) prefix: Ipv4Net,
    /// Whether it has declared interfaces.
    pub(crate) has_nics: bool,
    /// Whether it has private endpoints.
    pub(crate) has_private: bool,
    /// Routes that are overridden, for the list of effective routes.
    pub(crate) overridden: Arc<Vec<(Route, RouteSource)>>,
    /// Routes in force, shared between subnets that have the same.
    pub(crate) routes: Table<(RouteSource, NextHop)>,
    pub(crate) endpoints: Vec<EndpointView>,
    /// Changes that have not reached every host.
    pub(crate) rollout_states: Vec<RolloutStateView>,
    pub(crate) outbound: Option<OutboundView>,
    /// The number of the network's region among the regions of services; none where no service has
    /// a prefix there.
    pub(crate) region: Option<u16>,
    /// Whether the network's region is known at all.
    pub(crate) is_placed: bool,
    /// Public addresses that live flows of the subnet may keep (N-07, N-08).
    pub(crate) retained: Vec<Ipv4Addr>,
}

/// An endpoint that is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointView {
    pub(crate) service: ServiceId,
    pub(crate) name: String,
    /// The regions in scope, or `None` for all.
    pub(crate) regions: Option<Vec<u16>>,
}

/// What hosts have that a change of an endpoint has not reached (U-13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolloutStateView {
    pub(crate) service: ServiceId,
    pub(crate) before: Option<EndpointView>,
    pub(crate) seed: u64,
    pub(crate) reached: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SiteView {
    pub(crate) id: SiteId,
    pub(crate) name: String,
    pub(crate) ranges: Vec<Ipv4Net>,
    /// Virtual networks that a gateway connects, by their ranges.
    pub(crate) vnets: Table<VnetId>,
    pub(crate) outbound: Option<OutboundView>,
    /// The method towards services, in place of `outbound` (S-38).
    pub(crate) peering: Option<OutboundView>,
}

/// A method that gives flows a public source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboundView {
    pub(crate) method: Method,
    /// Where ports are taken from, one pool after the other.
    pub(crate) pools: Vec<PortPool>,
    /// How ports are chosen, and the other rules of a plain pool.
    pub(crate) rules: PoolRules,
}

/// The same ports of several public addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortPool {
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) first_port: u16,
    pub(crate) last_port: u16,
}

/// Outbound methods that treat packets differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The platform's default outbound access: TCP and UDP, no fragments (N-18).
    Default,
    /// A NAT gateway: as the default, and the data plane answers segments of a lost flow by a reset
    /// (N-16).
    NatGateway,
    /// The public address of one interface: any port, and also protocols without ports (N-11).
    Instance,
    /// The outbound rule of a load balancer: TCP and UDP, no fragments (N-18).
    LoadBalancer,
    /// A plain pool: also ICMP queries and fragments.
    Pool,
}

/// What translates to a public address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Translator {
    /// The tenant charged for packets to it and for their answers.
    pub(crate) tenant: Tenant,
    /// Whether the data plane answers a TCP segment without a flow by a reset (N-16).
    pub(crate) resets: bool,
    /// Whether both ends of an established connection get a reset when it idles out (N-23).
    pub(crate) resets_when_idle: bool,
    /// The interface that has the address for itself, and gets what arrives there without a flow
    /// (N-11).
    pub(crate) instance: Option<NicId>,
    /// The time after which an unsolicited SYN is answered (T-16).
    pub(crate) unsolicited_syn: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NicView {
    pub(crate) name: String,
    pub(crate) subnet: SubnetId,
    pub(crate) address: Ipv4Addr,
    pub(crate) ip_forwarding: bool,
    /// Its own public address.
    pub(crate) instance: Option<OutboundView>,
    /// The ports that a load balancer gives it.
    pub(crate) balanced: Option<OutboundView>,
    /// The addresses of that load balancer.
    pub(crate) frontends: Vec<Ipv4Addr>,
    /// The platform's address that it retains (N-29).
    pub(crate) kept: Option<OutboundView>,
    pub(crate) deallocated: bool,
}

/// The prefixes of all services, shared by all subnets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceMap {
    pub(crate) names: Vec<String>,
    pub(crate) prefixes: Table<ServiceId>,
    pub(crate) regions: Table<u16>,
    /// Names of regions as the first service spells them, in the order of `region_keys`.
    pub(crate) region_names: Vec<String>,
    /// The same names without differences of spelling, ascending.
    pub(crate) region_keys: Vec<String>,
    /// Whether networks of a service's own region reach it by private sources, for the services
    /// where that is known (C-03).
    pub(crate) same_region: BTreeMap<ServiceId, bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceMap {
    pub(crate) by_address: Map<Ipv4Addr, Vec<ResourceId>>,
    pub(crate) by_id: Map<ResourceId, Arc<ResourceView>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResourceView {
    pub(crate) name: String,
    pub(crate) service: ServiceId,
    pub(crate) address: Ipv4Addr,
    pub(crate) secondary: Option<Ipv4Addr>,
    pub(crate) path: String,
    pub(crate) rules: Firewall,
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

impl OutboundView {
    /// Returns whether the method carries a protocol, or fragments of it.
    pub(crate) fn carries(&self, protocol: Protocol, fragment: bool) -> bool {
        let known = matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP);
        self.method.carries(protocol, fragment) || self.rules.other_protocols && !known
    }

    /// Returns what the method does with a TCP segment that belongs to no flow and is no SYN (N-16,
    /// T-19).
    pub(crate) fn loose_pickup(&self) -> LoosePickup {
        match self.method {
            Method::NatGateway => LoosePickup::Reset,
            _ => self.rules.loose_pickup,
        }
    }

    /// Returns whether a public address is one of the method's.
    pub(crate) fn is_at(&self, address: Ipv4Addr) -> bool {
        self.pools.iter().any(|pool| pool.addresses.contains(&address))
    }

    /// Returns whether a public address and port is one of the method's.
    pub(crate) fn has(&self, external: SocketAddrV4) -> bool {
        self.pools.iter().any(|pool| pool.has(external))
    }
}

impl PortPool {
    /// Returns whether a public address and port is one of the pool's.
    pub(crate) fn has(&self, external: SocketAddrV4) -> bool {
        (self.first_port..=self.last_port).contains(&external.port())
            && self.addresses.contains(external.ip())
    }
}

impl ResourceView {
    /// Returns the public addresses at which it answers.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        [Some(self.address), self.secondary].into_iter().flatten()
    }
}

impl ResourceView {
    /// Returns what decisions about flows depend on.
    pub(crate) fn said(&self) -> (ServiceId, Option<Ipv4Addr>, &str, &Firewall) {
        (self.service, self.secondary, &self.path, &self.rules)
    }
}

impl ResourceMap {
    /// Sets whether a resource answers at an address.
    pub(crate) fn answers(&mut self, address: Ipv4Addr, id: ResourceId, on: bool) {
        let mut there = self.by_address.get(&address).cloned().unwrap_or_default();
        match there.binary_search(&id) {
            Ok(at) if !on => _ = there.remove(at),
            Err(at) if on => there.insert(at, id),
            _ => return,
        }
        self.by_address.set(address, (!there.is_empty()).then_some(there));
    }
}

impl ServiceMap {
    pub(crate) fn prefixes_of(&self, service: ServiceId) -> impl Iterator<Item = Ipv4Net> {
        self.prefixes.iter().filter(move |(_, owner)| **owner == service).map(|(prefix, _)| prefix)
    }
}
