//! What the compiled configuration says of networks, places, interfaces, services and resources.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_authz::{EndpointPolicies, Firewall};
use vnetem_fib::Table;
use vnetem_nat::{LoosePickup, PoolRules, Tenant};
use vnetem_packet::{Protocol, SiteId, SubnetId, VnetId};

use super::ranges::Ranges;
use crate::shared::Map;
use crate::{NextHop, NicId, PrivateEndpointId, ResourceId, Route, RouteSource, ServiceId};

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
