//! Which way a subnet's packets take: routes of all sources, what overrides what, and what an
//! engineer is told of it.

use std::net::Ipv4Addr;

use vnetem::{
    Ipv4Net, Network, ServiceId, SiteId, SubnetId, VnetId,
    control::{Choice, NextHop, NextHopType, Outbound, RouteSource, RouteState, Scope, TagLevel},
};

use crate::base;
use crate::packets::{ip, net};

const FIREWALL: NextHop = NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 9, 4));
const OTHER: NextHop = NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 9, 5));

struct World {
    network: Network,
    alpha: VnetId,
    gamma: VnetId,
    web: SubnetId,
    office: SiteId,
    storage: ServiceId,
}

/// A network with a subnet, a peer, a site and a service.
fn world() -> World {
    let base::World { mut network, alpha, web, storage } = base::world();
    let gamma = network.add_vnet("gamma", &[net("10.1.0.0/16")]).unwrap();
    network.peer(alpha, gamma).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    let office = network.add_site("office", &[net("192.168.1.0/24")], &[]).unwrap();
    World { network, alpha, gamma, web, office, storage }
}

impl World {
    fn announce(&mut self, prefixes: &[&str]) {
        let prefixes: Vec<_> = prefixes.iter().map(|text| net(text)).collect();
        self.network.connect(self.alpha, self.office, &prefixes).unwrap();
    }

    fn route(&mut self, prefix: &str, hop: NextHop) {
        self.network.set_route(self.web, net(prefix), hop).unwrap();
    }

    fn tag(&mut self, tag: &str, level: TagLevel, prefixes: &[&str], hop: NextHop) {
        let prefixes: Vec<_> = prefixes.iter().map(|text| net(text)).collect();
        self.network.set_tag_route(self.web, tag, level, &prefixes, hop).unwrap();
    }

    fn endpoint(&mut self) {
        self.network.enable_endpoint(self.web, self.storage, Scope::Worldwide).unwrap();
    }

    fn hop(&mut self, destination: &str) -> NextHopType {
        let choice = self.network.commit().next_hop(self.web, ip(destination)).unwrap();
        choice.next_hop_type()
    }

    fn route_to(&mut self, destination: &str) -> NextHop {
        match self.network.commit().next_hop(self.web, ip(destination)).unwrap() {
            Choice::Route(route) => route.next_hop,
            Choice::Endpoint { .. } => unreachable!("{destination} is nobody's"),
        }
    }

    /// The lines of one prefix in the effective routes.
    fn lines(&mut self, prefix: &str) -> Vec<(RouteSource, RouteState, Option<NextHop>)> {
        let routes = self.network.commit().effective_routes(self.web);
        let of_prefix = routes.into_iter().filter(|route| route.prefixes == [net(prefix)]);
        of_prefix.map(|route| (route.source, route.state, route.next_hop)).collect()
    }
}

/// the longest prefix decides.
#[test]
fn r_05_the_longest_prefix_decides() {
    let mut world = world();
    world.route("172.20.0.0/16", FIREWALL);
    world.route("172.20.0.0/24", OTHER);
    assert_eq!(world.route_to("172.20.0.5"), OTHER);
    assert_eq!(world.route_to("172.20.1.5"), FIREWALL);
}

/// between equal prefixes a user route, then BGP, then the system's.
#[test]
fn r_06_user_before_bgp_before_system() {
    let mut world = world();
    assert_eq!(world.hop("8.8.8.8"), NextHopType::Internet);
    world.announce(&["0.0.0.0/0"]);
    assert_eq!(world.hop("8.8.8.8"), NextHopType::VirtualNetworkGateway);
    world.route("0.0.0.0/0", FIREWALL);
    assert_eq!(world.hop("8.8.8.8"), NextHopType::VirtualAppliance);
}

/// no BGP route, however long, takes anything from the network, a peering or an endpoint.
#[test]
fn r_07_system_routes_beat_bgp() {
    let mut world = world();
    world.endpoint();
    world.announce(&["10.0.0.9/32", "10.1.0.9/32", "52.239.1.9/32", "52.240.0.0/16"]);
    assert_eq!(world.hop("10.0.0.9"), NextHopType::VnetLocal);
    assert_eq!(world.hop("10.1.0.9"), NextHopType::VnetPeering);
    assert_eq!(world.hop("52.239.1.9"), NextHopType::VirtualNetworkServiceEndpoint);
    assert_eq!(world.hop("52.240.0.1"), NextHopType::VirtualNetworkGateway);
}

/// a user route, being longer, takes from each of the three.
#[test]
fn r_08_longer_user_route_wins() {
    let mut world = world();
    world.endpoint();
    for prefix in ["10.0.0.9/32", "10.1.0.9/32", "52.239.1.9/32"] {
        world.route(prefix, FIREWALL);
        assert_eq!(world.route_to(&prefix.replace("/32", "")), FIREWALL);
    }
}

/// a user route with the flag beats BGP routes inside its prefix, of any length, and only
/// those.
#[test]
fn r_09_override_route_beats_longer_bgp() {
    let mut world = world();
    world.announce(&["172.20.1.0/24", "172.21.1.0/24", "172.20.0.0/15"]);
    world.route("172.20.0.0/16", FIREWALL);
    assert_eq!(world.hop("172.20.1.7"), NextHopType::VirtualNetworkGateway);
    let (web, prefix) = (world.web, net("172.20.0.0/16"));
    world.network.set_bgp_override(web, prefix, true).unwrap();
    assert_eq!(world.hop("172.20.1.7"), NextHopType::VirtualAppliance);
    assert_eq!(world.hop("172.21.1.7"), NextHopType::VirtualNetworkGateway);
    assert_eq!(world.hop("172.21.9.9"), NextHopType::VirtualNetworkGateway);
    let gateway = Some(NextHop::VirtualNetworkGateway(world.office));
    assert_eq!(
        world.lines("172.20.1.0/24"),
        [(RouteSource::VirtualNetworkGateway, RouteState::Invalid(RouteSource::User), gateway)]
    );
    assert_eq!(
        world.lines("172.21.1.0/24"),
        [(RouteSource::VirtualNetworkGateway, RouteState::Active, gateway)],
        "outside of the prefix, and inside of another that leads to the gateway too"
    );
    world.network.set_bgp_override(web, prefix, false).unwrap();
    assert_eq!(world.hop("172.20.1.7"), NextHopType::VirtualNetworkGateway);
    let unknown = world.network.set_bgp_override(web, net("9.0.0.0/8"), true).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no route 9.0.0.0/8");
}

/// of equal prefixes one is Active, and each other Invalid by the source of that one.
#[test]
fn r_10_overridden_routes_are_listed_as_invalid() {
    let mut world = world();
    world.announce(&["0.0.0.0/0"]);
    world.route("0.0.0.0/0", FIREWALL);
    let by_user = RouteState::Invalid(RouteSource::User);
    assert_eq!(
        world.lines("0.0.0.0/0"),
        [
            (RouteSource::User, RouteState::Active, Some(FIREWALL)),
            (
                RouteSource::VirtualNetworkGateway,
                by_user,
                Some(NextHop::VirtualNetworkGateway(world.office))
            ),
            (RouteSource::Default, by_user, Some(NextHop::Internet)),
        ]
    );
}

/// a user route may lead to each of these, and to none of those.
#[test]
fn r_12_next_hops_of_user_routes() {
    let mut world = world();
    let (alpha, gamma, web, office) = (world.alpha, world.gamma, world.web, world.office);
    let set = |network: &mut Network, hop| {
        network.set_route(web, net("9.0.0.0/8"), hop).map_err(|error| error.to_string())
    };
    let network = &mut world.network;
    let gateway = NextHop::VirtualNetworkGateway(office);
    assert_eq!(set(network, gateway).unwrap_err(), "there is no VPN connection to site#2");
    network.connect_express_route(alpha, office, &[]).unwrap();
    assert_eq!(set(network, gateway).unwrap_err(), "there is no VPN connection to site#2");
    network.connect(alpha, office, &[]).unwrap();
    for hop in [FIREWALL, gateway, NextHop::VnetLocal, NextHop::Internet, NextHop::None] {
        assert_eq!(set(network, hop), Ok(()), "{hop}");
    }
    let peering = set(network, NextHop::VnetPeering(gamma)).unwrap_err();
    assert_eq!(peering, "user route by peering to vnet#1 is not supported");
    let public = set(network, NextHop::VirtualAppliance(ip("8.8.8.8"))).unwrap_err();
    assert_eq!(public, "next hop 8.8.8.8: an appliance needs a private address");
    // What a route leads to cannot be taken away under it (INV-used-object-kept).
    assert_eq!(set(network, gateway), Ok(()));
    let used = "the connection to site office is used by a route of subnet web";
    assert_eq!(network.disconnect(alpha, office).unwrap_err().to_string(), used);
    assert_eq!(network.connect_express_route(alpha, office, &[]).unwrap_err().to_string(), used);
    network.remove_route(web, net("9.0.0.0/8")).unwrap();
    let connected = "site office is used by vnet alpha";
    assert_eq!(network.remove_site(office).unwrap_err().to_string(), connected);
    network.disconnect(alpha, office).unwrap();
    network.remove_site(office).unwrap();
}

/// the types of next hops in Azure's spelling, and which of them an address has.
#[test]
fn r_13_next_hop_types_are_azures() {
    let names: Vec<_> = NextHopType::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(
        names,
        [
            "Internet",
            "VirtualAppliance",
            "VirtualNetworkGateway",
            "VnetLocal",
            "VNetPeering",
            "VirtualNetworkServiceEndpoint",
            "InterfaceEndpoint",
            "MicrosoftEdge",
            "None",
        ]
    );
    let mut world = world();
    world.endpoint();
    world.announce(&["192.168.1.0/24"]);
    world.route("9.0.0.0/8", FIREWALL);
    for (destination, kind) in [
        ("8.8.8.8", "Internet"),
        ("9.9.9.9", "VirtualAppliance"),
        ("192.168.1.1", "VirtualNetworkGateway"),
        ("10.0.0.9", "VnetLocal"),
        ("10.1.0.9", "VNetPeering"),
        ("52.239.1.9", "VirtualNetworkServiceEndpoint"),
        ("172.16.0.1", "None"),
    ] {
        assert_eq!(world.hop(destination).name(), kind, "{destination}");
    }
}

/// R-15, S-23, S-24: a default route takes the service's traffic without the endpoint, and not with
/// it.
#[test]
fn r_15_default_route_yields_to_endpoint() {
    for hop in [FIREWALL, NextHop::None] {
        let mut world = world();
        world.route("0.0.0.0/0", hop);
        assert_eq!(world.route_to("52.239.1.9"), hop);
        world.endpoint();
        assert_eq!(world.hop("52.239.1.9"), NextHopType::VirtualNetworkServiceEndpoint);
        assert_eq!(world.route_to("8.8.8.8"), hop);
    }
}

/// a route for a tag stands for all its prefixes; 25 such routes fit a table, 400 routes of
/// both kinds.
#[test]
fn r_16_tag_route_has_limits() {
    let mut world = world();
    world.tag("Sql", TagLevel::Service, &["40.1.0.0/16", "40.7.7.0/24"], FIREWALL);
    assert_eq!(world.route_to("40.1.2.3"), FIREWALL);
    assert_eq!(world.route_to("40.7.7.7"), FIREWALL);
    // A new list of the tag replaces the old one.
    world.tag("Sql", TagLevel::Service, &["40.2.0.0/16"], FIREWALL);
    assert_eq!(world.route_to("40.1.2.3"), NextHop::Internet);
    assert_eq!(world.route_to("40.2.2.3"), FIREWALL);
    world.network.remove_tag_route(world.web, "Sql").unwrap();
    assert_eq!(world.route_to("40.2.2.3"), NextHop::Internet);

    let (network, web) = (&mut world.network, world.web);
    let mut tag = |number: usize| {
        let name = format!("tag{number}");
        network.set_tag_route(web, &name, TagLevel::Service, &[], NextHop::None)
    };
    (0..25).for_each(|number| tag(number).unwrap());
    assert_eq!(
        tag(25).unwrap_err().to_string(),
        "there can be at most 25 routes of a table whose prefix is a service tag"
    );
    tag(24).unwrap();
    let mut route = |number: usize| {
        let [.., a, b] = number.to_be_bytes();
        let prefix = Ipv4Net::new(Ipv4Addr::new(172, 16, a, b), 32).unwrap();
        network.set_route(web, prefix, NextHop::None)
    };
    (0..375).for_each(|number| route(number).unwrap());
    assert_eq!(route(375).unwrap_err().to_string(), "there can be at most 400 routes of one table");
    route(374).unwrap();
}

/// between equal prefixes an explicit one, then the regional tag, the top-level tag, the
/// cloud's region, the cloud.
#[test]
fn r_17_explicit_then_regional_then_global_tag() {
    let order = [
        ("AzureCloud", Some(TagLevel::Cloud)),
        ("AzureCloud.westeurope", Some(TagLevel::CloudRegion)),
        ("Storage", Some(TagLevel::Service)),
        ("Storage.WestEurope", Some(TagLevel::Regional)),
        ("explicit", None),
    ];
    // Whatever the order in which they are set.
    for reversed in [false, true] {
        for (at, _) in order.iter().enumerate() {
            let mut world = world();
            let mut present: Vec<_> = order.iter().take(at + 1).zip(1_u8..).collect();
            if reversed {
                present.reverse();
            }
            for ((tag, level), number) in present {
                let hop = NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 9, number));
                match level {
                    Some(level) => world.tag(tag, *level, &["40.1.0.0/16"], hop),
                    None => world.route("40.1.0.0/16", hop),
                }
            }
            let last = u8::try_from(at + 1).unwrap();
            let winner = NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 9, last));
            assert_eq!(world.route_to("40.1.2.3"), winner);
            let overridden = world.lines("40.1.0.0/16").len() - 1;
            assert_eq!(overridden, at, "each loser is listed");
        }
    }
}

/// the tag of a region, being finer than the endpoint's worldwide one, takes its
/// addresses from it.
#[test]
fn r_18_regional_tag_takes_own_addresses() {
    let mut world = world();
    world.endpoint();
    world.tag("Storage.WestEurope", TagLevel::Regional, &["52.239.203.0/28"], FIREWALL);
    assert_eq!(world.hop("52.239.203.1"), NextHopType::VirtualAppliance);
    assert_eq!(world.hop("52.239.255.192"), NextHopType::VirtualNetworkServiceEndpoint);
}

/// R-19, U-19: the same tag, or an explicit prefix, to the internet takes nothing from the
/// endpoint.
#[test]
fn r_19_internet_route_leaves_endpoint_alone() {
    let mut world = world();
    world.endpoint();
    world.tag("Storage.WestEurope", TagLevel::Regional, &["52.239.203.0/28"], NextHop::Internet);
    world.route("52.239.204.0/28", NextHop::Internet);
    for destination in ["52.239.203.1", "52.239.204.1", "52.239.255.192"] {
        assert_eq!(world.hop(destination), NextHopType::VirtualNetworkServiceEndpoint);
    }
}

/// A table may keep out what gateways learn; its user routes to a gateway stay.
#[test]
fn disabled_propagation_hides_gateway_routes() {
    let mut world = world();
    world.announce(&["172.20.0.0/16"]);
    assert_eq!(world.hop("172.20.0.1"), NextHopType::VirtualNetworkGateway);
    world.network.set_bgp_propagation(world.web, false).unwrap();
    assert_eq!(world.hop("172.20.0.1"), NextHopType::None);
    assert_eq!(world.lines("172.20.0.0/16"), []);
    world.route("172.21.0.0/16", NextHop::VirtualNetworkGateway(world.office));
    assert_eq!(world.hop("172.21.0.1"), NextHopType::VirtualNetworkGateway);
}

/// C-15: the ranges that lead to None are those of R-01 unless one says otherwise.
#[test]
fn c_15_further_ranges_can_lead_to_none() {
    let mut world = world();
    assert_eq!(world.hop("25.33.80.1"), NextHopType::Internet);
    assert_eq!(world.hop("172.16.0.1"), NextHopType::None);
    world.network.set_reserved_ranges(&[net("25.33.80.0/20"), net("25.41.3.0/25")]).unwrap();
    assert_eq!(world.hop("25.33.80.1"), NextHopType::None);
    assert_eq!(world.hop("172.16.0.1"), NextHopType::Internet);
}

/// with a user's default route the reserved ranges are gone, and what they held follows it.
#[test]
fn r_04_default_route_removes_reserved_ranges() {
    let mut world = world();
    assert_eq!(world.hop("10.7.0.1"), NextHopType::None);
    world.route("0.0.0.0/0", FIREWALL);
    assert_eq!(world.route_to("10.7.0.1"), FIREWALL);
    assert_eq!(world.lines("10.0.0.0/8"), []);
    // One that BGP brings does not remove them.
    world.network.remove_route(world.web, net("0.0.0.0/0")).unwrap();
    world.announce(&["0.0.0.0/0"]);
    assert_eq!(world.hop("10.7.0.1"), NextHopType::None);
}

/// None ends the search; no shorter route is tried.
#[test]
fn r_11_none_is_not_passed_over() {
    let mut world = world();
    world.route("0.0.0.0/0", FIREWALL);
    world.route("9.9.0.0/16", NextHop::None);
    assert_eq!(world.hop("9.9.9.9"), NextHopType::None);
    assert_eq!(world.hop("9.8.9.9"), NextHopType::VirtualAppliance);
}
