//! Finds the path of a packet by scanning the intent: routes, endpoints, delivery (R-01 to R-15,
//! L-01 to L-03, L-07).

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem::{
    Edge, Identity, Network, ServiceId, SiteId, SubnetId, VnetId,
    control::{
        NextHop, PrivateEndpoint, PrivateEndpointState, Scope, Service, Subnet, TagLevel,
        TiePolicy, VnetEndpointPolicy,
    },
};

use super::address::{host_in, is_kept, is_ours, is_public};
use super::outbound::{Method, method_to};
use super::wire::{Packet, TCP};

/// Where a flow goes, and under which address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) to: Edge,
    /// Whether it is a hairpin to a public address of the network (T-33). `to` then has no meaning.
    pub(crate) hairpins: bool,
    /// The method that gives the public source, or why there is none; `None` if the private source
    /// is preserved.
    pub(crate) method: Option<Result<Method, NoPath>>,
}

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPath {
    Route,
    None,
    Host,
    NextHop,
    Outbound,
    Unsupported,
    Hairpin,
    Foreign,
    /// The private endpoint is not approved (L-07).
    Unapproved,
    /// A user route to the network itself carries nothing to the private endpoint (L-11).
    PrivateRoute,
}

/// What a subnet's routes decide for a destination.
enum Way {
    Endpoint(ServiceId),
    Hop(NextHop),
}

impl Path {
    fn preserved(to: Edge) -> Self {
        Self { to, hairpins: false, method: None }
    }
}

/// Returns the path of a packet from a host or an interface of a subnet. A packet of an appliance
/// is foreign if it has another host's address.
pub(crate) fn from_subnet(
    net: &Network,
    edge: Edge,
    id: SubnetId,
    packet: &Packet,
    foreign: bool,
) -> Result<Path, NoPath> {
    let subnet = net.subnet(id).map_err(|_| NoPath::Route)?;
    let destination = *packet.destination.ip();
    let preserved = |to| Ok(Path::preserved(to));
    // E-13: TCP only. S-37: only hosts of the network and its peers.
    let served = packet.protocol == TCP && (!foreign || is_at_home(net, subnet, packet));
    // no route applies to the platform's own addresses.
    if is_platform(destination) {
        return preserved(Edge::Platform(id));
    }
    let sender = match edge {
        Edge::Nic(nic) => net.nic(nic).map_or(*packet.source.ip(), |nic| nic.address),
        _ => *packet.source.ip(),
    };
    match way(net, id, destination, served.then_some(sender)).ok_or(NoPath::Route)? {
        Way::Endpoint(service) => {
            let identity = Identity { vnet: subnet.vnet, subnet: id, address: *packet.source.ip() };
            preserved(Edge::Service { service, identity: Some(identity) })
        }
        Way::Hop(NextHop::VnetLocal) if is_lost(net, subnet, destination) => {
            Err(NoPath::PrivateRoute)
        }
        Way::Hop(NextHop::VnetLocal) => delivered(net, subnet.vnet, destination),
        Way::Hop(NextHop::VnetPeering(peer)) => delivered(net, peer, destination),
        Way::Hop(NextHop::VirtualNetworkGateway(site)) => preserved(Edge::Site(site)),
        Way::Hop(NextHop::VirtualAppliance(address)) => {
            let peers =
                net.vnet(subnet.vnet).into_iter().flat_map(|vnet| vnet.peers.iter().copied());
            let mut reachable = core::iter::once(subnet.vnet).chain(peers);
            let found = reachable.find_map(|vnet| host(net, vnet, address));
            let is_machine = |edge: &Edge| !matches!(edge, Edge::PrivateEndpoint(_));
            let runs = |edge: &Edge| is_machine(edge) && !is_deallocated(net, *edge);
            preserved(found.filter(runs).ok_or(NoPath::NextHop)?)
        }
        // only the sender's own address is translated.
        Way::Hop(NextHop::Internet) if foreign => to_public(net, edge, packet)
            .map(|path| Path { method: Some(Err(NoPath::Foreign)), ..path }),
        Way::Hop(NextHop::Internet) => match same_region(net, subnet, packet) {
            Some(service) => preserved(Edge::SameRegion { service, subnet: id }),
            None => to_public(net, edge, packet),
        },
        Way::Hop(NextHop::InterfaceEndpoint(id)) => approved(net, Edge::PrivateEndpoint(id)),
        Way::Hop(NextHop::None) => Err(NoPath::None),
    }
}

/// Returns whether a user route overrides the route of a private endpoint and carries nothing to it
/// (L-11).
fn is_lost(net: &Network, subnet: &Subnet, to: Ipv4Addr) -> bool {
    let is_users = best(net, subnet, to).is_some_and(|(_, _, is_users)| is_users);
    let Some(Edge::PrivateEndpoint(id)) = host(net, subnet.vnet, to) else { return false };
    let policies = net.private_endpoint(id).map(|it| net.network_policies(it.subnet));
    let basic = net.vnet(subnet.vnet).map(|vnet| vnet.private_endpoint_policy);
    is_users
        && policies.is_ok_and(|policies| policies.routes)
        && basic != Ok(VnetEndpointPolicy::Basic)
}

/// Returns the service if it accepts its own region by private sources, and the network is in that
/// region (C-03). As over an endpoint, for TCP only.
fn same_region(net: &Network, subnet: &Subnet, packet: &Packet) -> Option<ServiceId> {
    let (id, _) = service_at(net, *packet.destination.ip())?;
    let service = net.service(id).ok()?;
    let here = spelled(&net.vnet(subnet.vnet).ok()?.placement.region);
    let there = region_of(service, *packet.destination.ip())?;
    (service.same_region_path == Some(true) && packet.protocol == TCP && spelled(there) == here)
        .then_some(id)
}

/// Returns a region's name in one common spelling.
fn spelled(region: &str) -> String {
    region.replace(' ', "").to_lowercase()
}

/// Returns the region of an address of a service, if it is known.
fn region_of(service: &Service, at: Ipv4Addr) -> Option<&String> {
    let covering = service.regions.iter().filter(|(prefix, _)| prefix.contains(&at));
    covering.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(_, region)| region)
}

/// Returns whether the source is an address of the subnet's network or of a peered one.
pub(crate) fn is_at_home(net: &Network, subnet: &Subnet, packet: &Packet) -> bool {
    let Ok(own) = net.vnet(subnet.vnet) else { return false };
    let peers = own.peers.iter().filter_map(|peer| net.vnet(*peer).ok());
    let mut ranges = core::iter::once(own).chain(peers).flat_map(|vnet| &vnet.ranges);
    ranges.any(|range| range.contains(packet.source.ip()))
}

/// Returns the path of a packet from an on-premises site: into a network whose gateway connects it,
/// or out by its own translation (S-36).
pub(crate) fn from_site(net: &Network, id: SiteId, packet: &Packet) -> Result<Path, NoPath> {
    let destination = *packet.destination.ip();
    let connected = net.vnets().find(|(_, vnet)| {
        vnet.gateways.contains_key(&id)
            && vnet.ranges.iter().any(|range| range.contains(&destination))
    });
    if let Some((vnet, _)) = connected {
        return delivered(net, vnet, destination);
    }
    to_public(net, Edge::Site(id), packet)
}

/// Returns the path of a packet from the platform: to a host of the subnet.
pub(crate) fn from_platform(net: &Network, id: SubnetId, packet: &Packet) -> Result<Path, NoPath> {
    let to = *packet.destination.ip();
    let subnet = net.subnet(id).map_err(|_| NoPath::Route)?;
    if !subnet.prefix.contains(&to) {
        return Err(NoPath::Route);
    }
    if is_kept(subnet, to) {
        return Err(NoPath::Host);
    }
    let host = host_in(net, id, to);
    if is_deallocated(net, host) { Err(NoPath::Host) } else { approved(net, host) }
}

/// Returns whether an address is one of the two at which the platform answers every host.
pub(crate) fn is_platform(at: Ipv4Addr) -> bool {
    matches!(at.octets(), [168, 63, 129, 16] | [169, 254, 169, 254])
}

/// Returns the path of a packet from the internet: to a service, and nowhere else (S-47,
/// INV-unsolicited-dropped).
pub(crate) fn from_internet(net: &Network, packet: &Packet) -> Result<Path, NoPath> {
    let service = service_at(net, *packet.destination.ip()).ok_or(NoPath::Route)?;
    Ok(Path::preserved(Edge::Service { service: service.0, identity: None }))
}

/// Returns the path to the public side by the first method of the sender (N-01, N-03, N-18), or the
/// hairpin to the host that has the public address (T-33).
fn to_public(net: &Network, edge: Edge, packet: &Packet) -> Result<Path, NoPath> {
    let at = *packet.destination.ip();
    if !is_public(at) {
        return Err(NoPath::Route);
    }
    let own = method_to(net, edge, at);
    let is_ours = is_ours(net, at);
    let hairpins = is_ours
        && own.as_ref().is_some_and(|own| match own.is_at(at) {
            true => own.rules(packet.protocol).hairpin,
            false => true,
        });
    let method = match own {
        None => Err(NoPath::Outbound),
        Some(_) if is_ours && !hairpins => Err(NoPath::Hairpin),
        Some(own) if !own.carries(packet) => Err(NoPath::Unsupported),
        Some(own) => Ok(own),
    };
    let to = match service_at(net, at) {
        Some((service, _)) => Edge::Service { service, identity: None },
        None => Edge::Internet,
    };
    Ok(Path { to, hairpins, method: Some(method) })
}

/// Returns the path to the host with an address of a network.
fn delivered(net: &Network, vnet: VnetId, at: Ipv4Addr) -> Result<Path, NoPath> {
    let to = host(net, vnet, at).filter(|edge| !is_deallocated(net, *edge));
    approved(net, to.ok_or(NoPath::Host)?)
}

/// Returns whether a machine is stopped and deallocated (N-29).
pub(crate) fn is_deallocated(net: &Network, edge: Edge) -> bool {
    match edge {
        Edge::Nic(id) => net.nic(id).is_ok_and(|nic| nic.deallocated),
        _ => false,
    }
}

/// Returns the path through a private endpoint, which must be approved (L-07).
fn approved(net: &Network, to: Edge) -> Result<Path, NoPath> {
    match to {
        Edge::PrivateEndpoint(id)
            if net.private_endpoint(id).ok().map(|it| it.state)
                != Some(PrivateEndpointState::Approved) =>
        {
            Err(NoPath::Unapproved)
        }
        _ => Ok(Path::preserved(to)),
    }
}

/// Chooses between the subnet's best route and the prefix of an endpoint, for a host that an
/// endpoint may serve.
fn way(net: &Network, id: SubnetId, to: Ipv4Addr, served: Option<Ipv4Addr>) -> Option<Way> {
    let subnet = net.subnet(id).ok()?;
    let own = best(net, subnet, to);
    let endpoint = service_at(net, to)
        .filter(|(service, _)| served.is_some_and(|host| in_scope(net, id, *service, (host, to))));
    let Some((service, prefix)) = endpoint else {
        return own.map(|(_, hop, _)| Way::Hop(hop));
    };
    match own {
        Some((route, hop, true)) if hop != NextHop::Internet => {
            let wins = match route.prefix_len().cmp(&prefix.prefix_len()) {
                core::cmp::Ordering::Less => false,
                core::cmp::Ordering::Equal => net.tie_policy() == TiePolicy::Observed,
                core::cmp::Ordering::Greater => true,
            };
            Some(if wins { Way::Hop(hop) } else { Way::Endpoint(service) })
        }
        _ => Some(Way::Endpoint(service)),
    }
}

/// Returns where TCP to an address goes from a subnet after every change has reached it: a next
/// hop, or the endpoint of a service.
pub fn next_hop(net: &Network, id: SubnetId, to: Ipv4Addr) -> Option<Result<NextHop, ServiceId>> {
    // Any host of the subnet. The host matters only while a change is reaching hosts.
    let host = net.subnet(id).ok()?.prefix.addr();
    Some(match way(net, id, to, Some(host))? {
        Way::Hop(hop) => Ok(hop),
        Way::Endpoint(service) => Err(service),
    })
}

/// The rank of explicit user routes among all routes.
const USER: u8 = 6;

/// Returns the subnet's best route without endpoints, and whether it is a user's. The longest
/// prefix wins, then user before BGP before system. No BGP route overrides the virtual
/// network or a peering.
pub(crate) fn best(
    net: &Network,
    subnet: &Subnet,
    to: Ipv4Addr,
) -> Option<(Ipv4Net, NextHop, bool)> {
    let vnet = net.vnet(subnet.vnet).ok()?;
    let peers =
        vnet.peers.iter().filter_map(|peer| net.vnet(*peer).ok().map(|other| (*peer, other)));
    let mut system: Vec<(Ipv4Net, NextHop)> =
        vnet.ranges.iter().map(|range| (*range, NextHop::VnetLocal)).collect();
    system.extend(peers.flat_map(|(peer, other)| {
        other.ranges.iter().map(move |range| (*range, NextHop::VnetPeering(peer)))
    }));
    let internal = system.iter().any(|(range, _)| range.contains(&to));
    // L-01: private endpoints of the network and its peers.
    system.extend(net.private_endpoints().filter_map(|(id, endpoint)| {
        let there = net.subnet(endpoint.subnet).ok()?.vnet;
        let is_near = there == subnet.vnet || vnet.peers.contains(&there);
        let stands = is_near && !is_overridden(net, endpoint, subnet);
        stands.then_some((Ipv4Net::from(endpoint.address), NextHop::InterfaceEndpoint(id)))
    }));
    let default = Ipv4Net::default();
    system.push((default, NextHop::Internet));
    for reserved in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] {
        let reserved: Ipv4Net = reserved.parse().unwrap_or_default();
        // a range that contains a reserved one replaces it. R-04: so does a user's
        // default route.
        if !vnet.ranges.iter().any(|range| range.contains(&reserved))
            && !subnet.table.routes.contains_key(&default)
        {
            system.push((reserved, NextHop::None));
        }
    }
    let table = &subnet.table;
    // a user route can override all BGP routes inside its prefix.
    let beaten = |prefix: &Ipv4Net| {
        table.routes.iter().any(|(own, route)| route.overrides_bgp && own.contains(prefix))
    };
    let learns = table.bgp_propagation && !internal;
    let bgp = vnet.gateways.iter().filter(|_| learns).flat_map(|(site, connection)| {
        let prefixes = connection.announced.iter();
        prefixes.map(|prefix| (*prefix, NextHop::VirtualNetworkGateway(*site)))
    });
    let bgp = bgp.filter(|(prefix, _)| !beaten(prefix));
    let user = table.routes.iter().map(|(prefix, route)| ((*prefix, route.next_hop), USER));
    // explicit routes before tags, and among tags the more specific kind.
    let tags = table.tags.values().flat_map(|route| {
        let rank = match route.level {
            TagLevel::Regional => 5,
            TagLevel::Service => 4,
            TagLevel::CloudRegion => 3,
            TagLevel::Cloud => 2,
        };
        route.prefixes.iter().map(move |prefix| ((*prefix, route.next_hop), rank))
    });
    let ranked = system.into_iter().map(|route| (route, 0));
    let ranked = ranked.chain(bgp.map(|route| (route, 1))).chain(tags).chain(user);
    let covering = ranked.filter(|((prefix, _), _)| prefix.contains(&to));
    let ((prefix, hop), rank) =
        covering.max_by_key(|((prefix, _), rank)| (prefix.prefix_len(), *rank))?;
    Some((prefix, hop, rank >= 2))
}

/// Returns whether a user route overrides a private endpoint's own (L-03). The policies of the
/// endpoint's subnet must allow it, and the route must cover it and be as long as the network's
/// range.
fn is_overridden(net: &Network, endpoint: &PrivateEndpoint, from: &Subnet) -> bool {
    let home = net.subnet(endpoint.subnet).and_then(|subnet| net.vnet(subnet.vnet));
    let Ok(home) = home else { return false };
    let mut around = home.ranges.iter().filter(|range| range.contains(&endpoint.address));
    let Some(around) = around.next() else { return false };
    let tags = from.table.tags.values().flat_map(|route| &route.prefixes);
    let takes = |prefix: &Ipv4Net| {
        prefix.contains(&endpoint.address) && prefix.prefix_len() >= around.prefix_len()
    };
    net.network_policies(endpoint.subnet).routes && from.table.routes.keys().chain(tags).any(takes)
}

/// Returns whether a destination is in an endpoint's scope (E-06 to E-09, C-06): its region is, or
/// it has no known region. With a policy the scope is worldwide (E-11). A host that a change has
/// not reached has the former endpoint (S-28, U-13).
pub(crate) fn in_scope(
    net: &Network,
    id: SubnetId,
    service: ServiceId,
    (host, to): (Ipv4Addr, Ipv4Addr),
) -> bool {
    let Ok(subnet) = net.subnet(id) else { return false };
    let late = subnet
        .rollout_states
        .get(&service)
        .filter(|rollout_state| !rollout_state.has_reached(id, host));
    let endpoint = match late {
        Some(rollout_state) => rollout_state.before.as_ref(),
        None => subnet.endpoints.get(&service),
    };
    match endpoint.map(|endpoint| &endpoint.scope) {
        None => false,
        Some(Scope::Worldwide) => true,
        Some(_) if net.policies_of(id, service).next().is_some() => true,
        Some(Scope::Regions(regions)) => {
            let service = net.service(service).ok();
            let known = service.and_then(|service| region_of(service, to));
            let names = |region: &String| regions.iter().any(|it| spelled(it) == spelled(region));
            known.is_none_or(names)
        }
    }
}

/// Returns the service of an address, and the prefix.
pub(crate) fn service_at(net: &Network, at: Ipv4Addr) -> Option<(ServiceId, Ipv4Net)> {
    let all =
        net.services().flat_map(|(id, service)| service.prefixes.iter().map(move |p| (id, *p)));
    all.into_iter().find(|(_, prefix)| prefix.contains(&at))
}

/// Returns the edge of a private address of a network: a private endpoint, a declared interface, or
/// any host of a subnet.
fn host(net: &Network, vnet: VnetId, at: Ipv4Addr) -> Option<Edge> {
    let (id, subnet) =
        net.subnets().find(|(_, subnet)| subnet.vnet == vnet && subnet.prefix.contains(&at))?;
    (!is_kept(subnet, at)).then(|| host_in(net, id, at))
}
