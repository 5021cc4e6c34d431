//! What the files hold, in types: networks, routes, rules, addresses and resources.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::security::SecurityGroup;
use super::{Assumption, Contradiction, Id, Place, Resource, Unresolved};

/// Everything that the files hold and vnetem uses, and what they leave open.
///
/// Each element names the place in the file that has it. A link leads to an element by its id; what
/// it leads to may be in no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inventory {
    /// Virtual networks.
    pub vnets: Vec<VirtualNetwork>,
    /// Subnets.
    pub subnets: Vec<Subnet>,
    /// Route tables with their routes.
    pub route_tables: Vec<RouteTable>,
    /// Network security groups.
    pub security_groups: Vec<SecurityGroup>,
    /// Network interfaces.
    pub nics: Vec<NetworkInterface>,
    /// Public addresses.
    pub public_ips: Vec<PublicIp>,
    /// Ranges of public addresses.
    pub public_ip_prefixes: Vec<PublicIpPrefix>,
    /// NAT gateways.
    pub nat_gateways: Vec<NatGateway>,
    /// Load balancers, as far as they give an outbound path.
    pub load_balancers: Vec<LoadBalancer>,
    /// Gateways to other sites.
    pub gateways: Vec<Gateway>,
    /// Azure Firewalls, to which routes lead.
    pub firewalls: Vec<AzureFirewall>,
    /// Private endpoints.
    pub private_endpoints: Vec<PrivateEndpoint>,
    /// Private DNS zones.
    pub private_zones: Vec<PrivateZone>,
    /// Service endpoint policies.
    pub endpoint_policies: Vec<EndpointPolicy>,
    /// Accounts, servers, vaults: what the services' own firewalls protect.
    pub resources: Vec<Resource>,
    /// What was needed and could not be had.
    pub unresolved: Vec<Unresolved>,
    /// Types that are not used, with how many there are of each.
    pub ignored: BTreeMap<String, usize>,
    /// What is taken for granted.
    pub assumptions: Vec<Assumption>,
    /// Statements that cannot both hold.
    pub contradictions: Vec<Contradiction>,
}

/// A link to another element.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// There is none.
    #[default]
    None,
    /// To the element of this id.
    To(Id),
    /// There is one, and the file does not say where to.
    Unresolved,
}

/// A virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualNetwork {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its region, as resources name it; empty if the file does not say it.
    pub region: String,
    /// Its IPv4 ranges.
    pub ranges: Vec<Ipv4Net>,
    /// Its peerings.
    pub peerings: Vec<Peering>,
    /// The minutes after which it forgets flows, if it says so.
    pub flow_timeout: Option<u32>,
    /// Where the file has it.
    pub place: Place,
}

/// One side of a peering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peering {
    /// Its name.
    pub name: String,
    /// The network on the other side.
    pub remote: Link,
    /// Whether traffic may pass, the default.
    pub allows_access: bool,
    /// `Connected`, `Initiated` or `Disconnected`; empty where the file does not say it.
    pub state: String,
    /// Where the file has it.
    pub place: Place,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The virtual network.
    pub vnet: Link,
    /// Its IPv4 ranges; none if the file does not say them.
    pub prefixes: Vec<Ipv4Net>,
    /// Its service endpoints.
    pub endpoints: Vec<ServiceEndpoint>,
    /// Its service endpoint policies.
    pub policies: Vec<Link>,
    /// Its route table.
    pub route_table: Link,
    /// Its NAT gateway.
    pub nat_gateway: Link,
    /// Its network security group.
    pub security_group: Link,
    /// Whether the platform gives it an outbound address, where that is said.
    pub default_outbound: Option<bool>,
    /// `Enabled`, `Disabled` or another word, for private endpoints; empty where it is not said.
    pub private_endpoint_policies: String,
    /// Services to which it is delegated.
    pub delegations: Vec<String>,
    /// Where the file has it.
    pub place: Place,
}

/// The endpoint of a service on a subnet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceEndpoint {
    /// The service, `Microsoft.Storage`.
    pub service: String,
    /// For which regions; `*` for all, none where the file does not say it.
    pub locations: Vec<String>,
    /// The public address by which it identifies the network, if there is one.
    pub network_identifier: Option<Id>,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its routes.
    pub routes: Vec<Route>,
    /// Whether routes that gateways learn come into it.
    pub bgp_propagation: bool,
    /// Where the file has it.
    pub place: Place,
}

/// A user-defined route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub prefix: RoutePrefix,
    /// Where it leads.
    pub next_hop: RouteTarget,
    /// Where the file has it.
    pub place: Place,
}

/// What a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePrefix {
    /// An IPv4 range.
    Net(Ipv4Net),
    /// A service tag, by name.
    Tag(String),
    /// The file does not say it.
    Unresolved,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// An appliance; without addresses if they are not known.
    VirtualAppliance(Vec<Ipv4Addr>),
    /// The gateway of the network.
    VirtualNetworkGateway,
    /// Inside the virtual network.
    VnetLocal,
    /// The internet.
    Internet,
    /// Nowhere: packets are dropped.
    None,
    /// A type that no reader knows, as written; empty if the file does not say it.
    Other(String),
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInterface {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its IPv4 configurations, the primary one first.
    pub configurations: Vec<IpConfiguration>,
    /// Whether it may send packets of others.
    pub forwarding: bool,
    /// Its network security group.
    pub security_group: Link,
    /// Where the file has it.
    pub place: Place,
}

/// One address of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpConfiguration {
    /// Its name.
    pub name: String,
    /// The private address; none if it is given at run time.
    pub address: Option<Ipv4Addr>,
    /// The subnet.
    pub subnet: Link,
    /// The public address.
    pub public: Link,
    /// Backend pools of load balancers that it is in.
    pub backend_pools: Vec<Link>,
    /// Application security groups that it is in.
    pub application_groups: Vec<Link>,
}

/// A public address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicIp {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The address; none if it is given at run time.
    pub address: Option<Ipv4Addr>,
    /// `Basic`, `Standard` or `StandardV2`; empty where it is not said.
    pub sku: String,
    /// Its idle timeout in minutes, if it has its own.
    pub idle_minutes: Option<u32>,
    /// Where the file has it.
    pub place: Place,
}

/// A range of public addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicIpPrefix {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The range; none if it is given at run time.
    pub prefix: Option<Ipv4Net>,
    /// Its length, where that is said.
    pub length: Option<u8>,
    /// Where the file has it.
    pub place: Place,
}

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatGateway {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its public addresses.
    pub public_ips: Vec<Link>,
    /// Its ranges of public addresses.
    pub public_ip_prefixes: Vec<Link>,
    /// Its idle timeout in minutes, if it has its own.
    pub idle_minutes: Option<u32>,
    /// `Standard` or `StandardV2`; empty where it is not said.
    pub sku: String,
    /// Where the file has it.
    pub place: Place,
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its public frontends.
    pub frontends: Vec<Link>,
    /// Its backend pools.
    pub pools: Vec<Id>,
    /// Whether its load-balancing rules give members an outbound path where no outbound rule does.
    pub implicit_outbound: bool,
    /// Its outbound rules.
    pub outbound_rules: Vec<OutboundRule>,
    /// Where the file has it.
    pub place: Place,
}

/// An outbound rule of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRule {
    /// Its name.
    pub name: String,
    /// The backend pool that it serves.
    pub backend_pool: Link,
    /// Ports for each member; none if the platform reckons them.
    pub ports: Option<u32>,
    /// Its idle timeout in minutes, if it has its own.
    pub idle_minutes: Option<u32>,
}

/// A gateway to other sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// `Vpn` or `ExpressRoute`; empty where it is not said.
    pub kind: String,
    /// The subnet that it stands in.
    pub subnet: Link,
    /// Where the file has it.
    pub place: Place,
}

/// An Azure Firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureFirewall {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its subnet.
    pub subnet: Link,
    /// Its private address; none if it is given at run time.
    pub address: Option<Ipv4Addr>,
    /// Its public addresses.
    pub public_ips: Vec<Link>,
    /// Where the file has it.
    pub place: Place,
}

/// A private endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateEndpoint {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The subnet that it stands in.
    pub subnet: Link,
    /// What it leads to.
    pub target: Link,
    /// Parts of the target, `blob`.
    pub groups: Vec<String>,
    /// `Approved`, `Pending` or another word; empty where it is not said.
    pub state: String,
    /// Its private addresses; none if they are given at run time.
    pub addresses: Vec<Ipv4Addr>,
    /// Private DNS zones that it registers in.
    pub zones: Vec<Link>,
    /// Where the file has it.
    pub place: Place,
}

/// A private DNS zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateZone {
    /// Its id.
    pub id: Id,
    /// Its name, `privatelink.blob.core.windows.net`.
    pub name: String,
    /// Virtual networks that ask it.
    pub vnets: Vec<Link>,
    /// Addresses by name.
    pub addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Where the file has it.
    pub place: Place,
}

/// A service endpoint policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// What it lets through.
    pub definitions: Vec<PolicyDefinition>,
    /// Where the file has it.
    pub place: Place,
}

/// A definition of a service endpoint policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDefinition {
    /// Its name.
    pub name: String,
    /// The service, `Microsoft.Storage` or `Global`.
    pub service: String,
    /// Ids of subscriptions, groups and accounts, or `/services/Azure/...` names.
    pub resources: Vec<String>,
}

impl Link {
    /// Returns the id to which it leads, if that is known.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        if let Self::To(id) = self { Some(id) } else { None }
    }
}
