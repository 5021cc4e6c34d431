//! The intent: plain values that edits set. The control plane holds them, and the data plane never
//! sees them.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use vnetem_authz::Firewall;
use vnetem_nat::{IdleMinutes, PoolRules};
use vnetem_packet::{SiteId, SubnetId, VnetId};

use super::{Endpoint, RolloutState};
use crate::{NextHop, ServiceId};

/// A virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vnet {
    /// Its name, unique among virtual networks.
    pub name: String,
    /// Where it is placed.
    pub placement: Placement,
    /// Whether it is of the classic model, which has no endpoints (S-09).
    pub classic: bool,
    /// Its address ranges, disjoint.
    pub ranges: Vec<Ipv4Net>,
    /// Virtual networks it is peered with.
    pub peers: BTreeSet<VnetId>,
    /// On-premises sites that its gateways connect.
    pub gateways: BTreeMap<SiteId, Connection>,
    /// Whether a user route to the network itself carries packets to private endpoints that it
    /// covers (L-11).
    pub private_endpoint_policy: VnetEndpointPolicy,
}

/// The policy of a virtual network for its private endpoints, as in Azure's
/// `privateEndpointVNetPolicies` (L-11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VnetEndpointPolicy {
    /// A user route to the network itself overrides an endpoint's own route and carries nothing to
    /// it. One detailed report observes this; no text of Azure's says it.
    #[default]
    Disabled,
    /// Such a route carries packets to the endpoint.
    Basic,
}

/// The tenant, subscription and region of a network or a resource. By default all three are empty,
/// and all such placements are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// The directory tenant (S-11).
    pub tenant: String,
    /// The subscription (S-10, S-13).
    pub subscription: String,
    /// The region, `westeurope` for example.
    pub region: String,
}

/// A subnet of a virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its name, unique within the virtual network.
    pub name: String,
    /// The virtual network.
    pub vnet: VnetId,
    /// Its range, inside one of the network's.
    pub prefix: Ipv4Net,
    /// Its route table.
    pub table: RouteTable,
    /// The endpoints that are enabled, by service.
    pub endpoints: BTreeMap<ServiceId, Endpoint>,
    /// Changes of endpoints that have not reached every host yet (S-28).
    pub rollout_states: BTreeMap<ServiceId, RolloutState>,
    /// How flows to public addresses get a public source.
    pub outbound: Outbound,
    /// The idle timeout of its NAT gateway, if it differs from the data plane's (N-15).
    pub idle: Option<IdleMinutes>,
    /// Former platform addresses, from before an explicit method was set. Live flows keep them
    /// until they end (N-07).
    pub former: BTreeSet<Ipv4Addr>,
}

/// The user-defined part of a subnet's routes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteTable {
    /// Routes for explicit prefixes.
    pub routes: BTreeMap<Ipv4Net, UserRoute>,
    /// Routes for service tags, by the tag's name.
    pub tags: BTreeMap<String, TagRoute>,
    /// Whether the table takes routes that gateways learn by BGP (the default).
    pub bgp_propagation: bool,
}

/// A user-defined route for an explicit prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserRoute {
    /// Where it leads.
    pub next_hop: NextHop,
    /// Whether it overrides the BGP routes inside its prefix, whatever their length.
    pub overrides_bgp: bool,
}

/// A user-defined route for all prefixes of a service tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagRoute {
    /// How specific the tag is.
    pub level: TagLevel,
    /// The tag's prefixes.
    pub prefixes: Vec<Ipv4Net>,
    /// Where it leads.
    pub next_hop: NextHop,
}

/// How specific a service tag is. Between tags with equal prefixes the lower one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagLevel {
    /// A service in one region, `Storage.WestEurope`.
    Regional,
    /// A service, `Storage`.
    Service,
    /// The whole cloud in one region, `AzureCloud.westeurope`.
    CloudRegion,
    /// The whole cloud, `AzureCloud`.
    Cloud,
}

/// How a subnet's flows to public addresses get a public source (N-01).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outbound {
    /// None: a private subnet (N-03). An endpoint still works.
    #[default]
    Private,
    /// A platform address: TCP and UDP only, no fragments (N-18).
    Default(Ipv4Addr),
    /// A NAT gateway with up to 16 addresses and ports 1024 to 65535 of each (N-09). It carries TCP
    /// and UDP only, and no fragments (N-18).
    NatGateway(Vec<Ipv4Addr>),
    /// A plain pool, which also carries ICMP queries and fragments (T-21, T-28).
    Pool {
        /// Its addresses.
        addresses: Vec<Ipv4Addr>,
        /// First port of each.
        first_port: u16,
        /// Last port of each.
        last_port: u16,
        /// How it translates.
        rules: PoolRules,
    },
}

/// A declared network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its name, unique among interfaces.
    pub name: String,
    /// The subnet it stands in.
    pub subnet: SubnetId,
    /// Its private address.
    pub address: Ipv4Addr,
    /// Whether it may send packets with other hosts' sources.
    pub ip_forwarding: bool,
    /// Its own public address (N-11).
    pub public: Option<Ipv4Addr>,
    /// The idle timeout of the public address, if it differs from the data plane's.
    pub idle: Option<IdleMinutes>,
    /// The platform's address, which it keeps until it is deallocated although its subnet has lost
    /// default outbound access (N-29).
    pub kept: Option<Ipv4Addr>,
    /// Whether its machine is stopped and deallocated, so that it neither sends nor receives.
    pub deallocated: bool,
}

/// An on-premises site with private addresses and a translation to public ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name, unique among sites.
    pub name: String,
    /// Its address ranges.
    pub ranges: Vec<Ipv4Net>,
    /// The public addresses behind which it reaches the internet (S-36). If empty, it does not.
    pub nat: Vec<Ipv4Addr>,
    /// How its circuit reaches services. Without one the site uses the internet.
    pub peering: Option<Peering>,
}

/// A site's connection to a virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// What carries the connection.
    pub circuit: Circuit,
    /// The prefixes that the site announces by BGP.
    pub announced: Vec<Ipv4Net>,
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Circuit {
    /// A VPN. User routes may lead to its gateway.
    #[default]
    Vpn,
    /// ExpressRoute. User routes may not lead to its gateway.
    ExpressRoute,
}

/// How an ExpressRoute circuit reaches services, and under which addresses (S-38).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peering {
    /// Public peering: two addresses per circuit, applied by the platform.
    Public([Ipv4Addr; 2]),
    /// Microsoft peering: addresses of the customer or the carrier.
    Microsoft(Vec<Ipv4Addr>),
}

/// A service that endpoints can be enabled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, `Microsoft.Storage` for example.
    pub name: String,
    /// Further names under which its endpoint can be enabled, `Microsoft.Storage.Global` for
    /// example.
    pub further_names: BTreeSet<String>,
    /// Its prefixes, disjoint from those of every other service (R-21, U-17).
    pub prefixes: Vec<Ipv4Net>,
    /// Prefixes whose region is known (regional tags).
    pub regions: BTreeMap<Ipv4Net, String>,
    /// Whether networks of a prefix's own region reach it by private sources without an endpoint
    /// (C-03). `None` means unknown, and has the effect of `false`.
    pub same_region_path: Option<bool>,
    /// Whether it requires the subnet's endpoint before it takes a rule for the subnet (E-14).
    pub endpoint_first: EndpointFirst,
    /// Whether endpoint policies can be attached to its endpoints (P-33).
    pub takes_policies: bool,
}

/// Whether a service requires the subnet's endpoint before a resource takes a rule for the subnet
/// (E-14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointFirst {
    /// Not required: the rule may come before the endpoint. This is the default.
    #[default]
    NotAsked,
    /// Required, unless the rule is set to ignore that the endpoint is missing.
    UnlessIgnored,
    /// Always required.
    Always,
}

/// What to do with a rule for a subnet without the service's endpoint (E-14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissingEndpoint {
    /// Refuse it, if the service requires the endpoint.
    #[default]
    Refuse,
    /// Accept it, where the service knows such a flag. The rule matches nothing until the endpoint
    /// exists.
    Ignore,
}

/// A resource of a service: one account, one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name, unique among resources.
    pub name: String,
    /// The service.
    pub service: ServiceId,
    /// The public address at which it answers.
    pub address: Ipv4Addr,
    /// The address of its read-only copy in the paired region, under the same rules (E-10).
    pub secondary: Option<Ipv4Addr>,
    /// Where it is placed.
    pub placement: Placement,
    /// The id by which endpoint policies know it. If empty, they do not know it.
    pub path: String,
    /// The access rules, of its kind of service.
    pub rules: Firewall,
}

impl Service {
    /// Returns whether endpoints of the service can be enabled under a name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.further_names.contains(name)
    }
}

impl Resource {
    /// Returns the public addresses at which it answers.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        [Some(self.address), self.secondary].into_iter().flatten()
    }
}

impl Outbound {
    /// Returns the default method of a new subnet, by the API version with which its network is
    /// made, such as `2025-07-01`. Up to 2026-03-31 that is the platform's default access with this
    /// address, and later it is none (N-05).
    #[must_use]
    pub fn of_new_subnet(api_version: &str, platform: Ipv4Addr) -> Self {
        // Dates of this form sort as text.
        let day = api_version.get(..10).unwrap_or(api_version);
        if day > "2026-03-31" { Self::Private } else { Self::Default(platform) }
    }

    /// Returns the public addresses of the method.
    #[must_use]
    pub fn addresses(&self) -> &[Ipv4Addr] {
        match self {
            Self::Private => &[],
            Self::Default(address) => core::slice::from_ref(address),
            Self::NatGateway(addresses) | Self::Pool { addresses, .. } => addresses,
        }
    }
}

impl Default for RouteTable {
    fn default() -> Self {
        Self { routes: BTreeMap::new(), tags: BTreeMap::new(), bgp_propagation: true }
    }
}

impl RouteTable {
    /// Returns where its routes lead, in any order.
    pub(super) fn next_hops(&self) -> impl Iterator<Item = NextHop> {
        let tags = self.tags.values().map(|route| route.next_hop);
        self.routes.values().map(|route| route.next_hop).chain(tags)
    }
}

impl Site {
    /// Returns every public address of the site.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let peering = self.peering.as_ref().map_or(&[][..], Peering::addresses);
        self.nat.iter().chain(peering).copied()
    }
}

impl Peering {
    /// Returns the public addresses of the peering.
    #[must_use]
    pub fn addresses(&self) -> &[Ipv4Addr] {
        match self {
            Self::Public(addresses) => addresses,
            Self::Microsoft(addresses) => addresses,
        }
    }
}
