//! The control plane: each wrong edit is refused with both parts named and changes nothing; routes
//! stand as the statements say.

use std::net::Ipv4Addr;
use std::sync::Arc;

use vnetem::{
    EditError, Ipv4Net, Network, ServiceId, SiteId, SubnetId, VnetId,
    authz::{DefaultAction, RuleLimits, RuleSet},
    control::{EffectiveRoute, NextHop, Outbound, RouteSource, RouteState, Scope},
    nat::PoolRules,
};

use crate::base;
use crate::packets::{ip, net};

fn open_rules() -> RuleSet {
    RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow)
}

struct World {
    network: Network,
    alpha: VnetId,
    beta: VnetId,
    web: SubnetId,
    office: SiteId,
    storage: ServiceId,
}

/// Two networks with the same range, a subnet behind a gateway, a site and a service.
fn world() -> World {
    let base::World { mut network, alpha, web, storage } = base::world();
    let beta = network.add_vnet("beta", &[net("10.0.0.0/16")]).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    network.add_nic(web, "vm", ip("10.0.0.4")).unwrap();
    let office =
        network.add_site("office", &[net("192.168.1.0/24")], &[ip("203.0.113.50")]).unwrap();
    network.add_resource(storage, "acct", ip("52.239.1.9"), open_rules()).unwrap();
    network.commit();
    World { network, alpha, beta, web, office, storage }
}

/// INV-failed-edit-changes-nothing, INV-contradiction-refused, R-21: every kind of wrong edit, the
/// words in which it is refused, and that nothing has changed afterwards; among them that an
/// address would be of two services.
#[test]
fn refused_edit_names_parts_changes_nothing() {
    type Edit = fn(&mut World) -> Result<(), EditError>;
    let edits: &[(Edit, &str)] = &[
        (
            |w| w.network.add_vnet("alpha", &[net("10.9.0.0/16")]).map(drop),
            "there is a vnet alpha already",
        ),
        (|w| w.network.add_vnet("gamma", &[]).map(drop), "vnet gamma needs at least one range"),
        (
            |w| w.network.add_vnet("gamma", &[net("10.0.0.1/16")]).map(drop),
            "10.0.0.1/16 has host bits set; did you mean 10.0.0.0/16?",
        ),
        (
            |w| w.network.add_vnet("gamma", &[net("10.0.0.0/16"), net("10.0.1.0/24")]).map(drop),
            "10.0.0.0/16 of vnet gamma overlaps 10.0.1.0/24 of vnet gamma",
        ),
        (|w| w.network.remove_vnet(w.alpha), "vnet alpha is used by subnet web"),
        (|w| w.network.remove_vnet(VnetId(9)), "there is no vnet vnet#9"),
        (
            |w| w.network.peer(w.alpha, w.beta),
            "10.0.0.0/16 of vnet alpha overlaps 10.0.0.0/16 of vnet beta",
        ),
        (
            |w| w.network.add_subnet(w.alpha, "web", net("10.0.7.0/24")).map(drop),
            "there is a subnet web already",
        ),
        (
            |w| w.network.add_subnet(w.alpha, "db", net("10.1.0.0/24")).map(drop),
            "10.1.0.0/24 of subnet db is not inside vnet alpha",
        ),
        (
            |w| w.network.add_subnet(w.alpha, "db", net("10.0.0.128/25")).map(drop),
            "10.0.0.128/25 of subnet db overlaps 10.0.0.0/24 of subnet web",
        ),
        (|w| w.network.remove_subnet(w.web), "subnet web is used by nic vm"),
        (|w| w.network.remove_subnet(SubnetId(99)), "there is no subnet subnet#99"),
        (|w| w.network.add_nic(w.web, "vm", ip("10.0.0.5")).map(drop), "there is a nic vm already"),
        (
            |w| w.network.add_nic(w.web, "vm2", ip("10.0.0.4")).map(drop),
            "10.0.0.4 cannot be given to nic vm2: it belongs to nic vm",
        ),
        (
            |w| w.network.add_nic(w.web, "vm2", ip("10.0.1.4")).map(drop),
            "10.0.1.4/32 of nic vm2 is not inside subnet web",
        ),
        (
            |w| w.network.set_outbound(w.web, Outbound::NatGateway(vec![])),
            "the outbound method of subnet web needs at least one range",
        ),
        (
            |w| {
                w.network.set_outbound(
                    w.web,
                    Outbound::NatGateway((0..17).map(|n| Ipv4Addr::new(20, 2, 2, n)).collect()),
                )
            },
            "there can be at most 16 addresses of an outbound method",
        ),
        (
            |w| w.network.set_outbound(w.web, Outbound::Default(ip("10.0.0.9"))),
            "10.0.0.9 of subnet web is not a public address",
        ),
        (
            |w| w.network.set_outbound(w.web, Outbound::Default(ip("203.0.113.50"))),
            "203.0.113.50 cannot be given to subnet web: it belongs to site office",
        ),
        (
            |w| w.network.set_outbound(w.web, Outbound::Default(ip("52.239.1.1"))),
            "52.239.1.1 cannot be given to subnet web: it belongs to 52.239.0.0/16 of service storage",
        ),
        (
            |w| {
                let addresses = vec![ip("20.3.3.3")];
                w.network.set_outbound(
                    w.web,
                    Outbound::Pool {
                        addresses,
                        first_port: 9,
                        last_port: 8,
                        rules: PoolRules::AZURE,
                    },
                )
            },
            "9-8 is no range of ports",
        ),
        (
            |w| {
                w.network.set_route(
                    w.web,
                    net("0.0.0.0/0"),
                    NextHop::VirtualAppliance(ip("8.8.8.8")),
                )
            },
            "next hop 8.8.8.8: an appliance needs a private address",
        ),
        (
            |w| {
                w.network.set_route(
                    w.web,
                    net("0.0.0.0/0"),
                    NextHop::VirtualNetworkGateway(w.office),
                )
            },
            "there is no VPN connection to site#2",
        ),
        (
            |w| w.network.set_route(w.web, net("0.0.0.0/0"), NextHop::VnetPeering(w.beta)),
            "user route by peering to vnet#1 is not supported",
        ),
        (
            |w| w.network.set_route(w.web, net("10.0.0.1/8"), NextHop::None),
            "10.0.0.1/8 has host bits set; did you mean 10.0.0.0/8?",
        ),
        (
            |w| w.network.enable_endpoint(w.web, ServiceId(7), Scope::Worldwide),
            "there is no service service#7",
        ),
        (|w| w.network.add_service("storage", &[]).map(drop), "there is a service storage already"),
        (
            |w| w.network.add_service("sql", &[net("52.239.4.0/24")]).map(drop),
            "52.239.4.0/24 of service sql overlaps 52.239.0.0/16 of service storage",
        ),
        (
            |w| w.network.add_service("sql", &[net("52.0.0.0/8")]).map(drop),
            "52.0.0.0/8 of service sql overlaps 52.239.0.0/16 of service storage",
        ),
        (
            |w| w.network.add_service("sql", &[net("20.0.0.0/8")]).map(drop),
            "20.1.1.1 cannot be given to service sql: it belongs to vnet alpha",
        ),
        (
            |w| w.network.add_service("sql", &[net("40.0.0.0/24"), net("40.0.0.0/25")]).map(drop),
            "40.0.0.0/25 of service sql overlaps 40.0.0.0/24 of service sql",
        ),
        (
            |w| w.network.set_service_prefixes(w.storage, &[net("40.0.0.0/24")]),
            "52.239.1.9/32 of resource acct is not inside service storage",
        ),
        (
            |w| {
                w.network.add_resource(w.storage, "acct", ip("52.239.1.10"), open_rules()).map(drop)
            },
            "there is a resource acct already",
        ),
        (
            |w| w.network.add_resource(w.storage, "other", ip("52.1.1.10"), open_rules()).map(drop),
            "52.1.1.10/32 of resource other is not inside service storage",
        ),
        (
            |w| w.network.add_site("office", &[net("192.168.9.0/24")], &[]).map(drop),
            "there is a site office already",
        ),
        (
            |w| w.network.add_site("plant", &[net("192.168.9.0/24")], &[ip("20.1.1.1")]).map(drop),
            "20.1.1.1 cannot be given to site plant: it belongs to vnet alpha",
        ),
    ];
    for (edit, words) in edits {
        let mut world = world();
        let before = world.network.commit();
        let error = edit(&mut world).expect_err(words);
        assert_eq!(&error.to_string(), words);
        assert!(Arc::ptr_eq(&before, &world.network.commit()), "changed by: {words}");
    }
}

/// INV-failed-edit-changes-nothing: a bulk edit that fails at its k-th item has done none of the
/// others.
#[test]
fn bulk_edit_is_atomic() {
    for failing in 0..4 {
        let mut world = world();
        let (before, untouched) = (world.network.commit(), world.network.clone());
        let result = world.network.edit(|network| {
            for item in 0..4 {
                let name = if item == failing { "alpha".into() } else { format!("vnet-{item}") };
                network.add_vnet(&name, &[net("10.5.0.0/16")])?;
            }
            Ok::<_, EditError>(())
        });
        assert!(result.is_err());
        assert!(Arc::ptr_eq(&before, &world.network.commit()));
        assert_eq!(world.network, untouched);
    }
}

#[test]
fn only_31_services_fit() {
    let mut network = Network::new();
    for number in 0..31 {
        let prefix = Ipv4Net::new(Ipv4Addr::new(40, number, 0, 0), 16).unwrap();
        network.add_service(&format!("service-{number}"), &[prefix]).unwrap();
    }
    let error = network.add_service("one too many", &[]).unwrap_err();
    assert_eq!(error.to_string(), "there can be at most 31 services");
}

/// INV-edits-idempotent, INV-toggle-idempotent: doing a thing twice is doing it once; undoing what
/// is not there is no error.
#[test]
fn adding_and_deleting_are_idempotent() {
    let mut world = world();
    let enabled = |world: &mut World| {
        world.network.enable_endpoint(world.web, world.storage, Scope::Worldwide).unwrap();
        world.network.commit().effective_routes(world.web)
    };
    let once = enabled(&mut world);
    assert_eq!(enabled(&mut world), once);
    for _ in 0..2 {
        world.network.disable_endpoint(world.web, world.storage).unwrap();
        world.network.remove_route(world.web, net("1.2.3.0/24")).unwrap();
        world.network.unpeer(world.alpha, world.beta).unwrap();
    }
}

/// E-05, E-06: an endpoint shows the regions for which it holds, or a star for all.
#[test]
fn an_endpoint_shows_its_locations() {
    let regions = Scope::Regions(["north".to_owned(), "south".to_owned()].into());
    assert_eq!(Scope::Worldwide.locations().collect::<Vec<_>>(), ["*"]);
    assert_eq!(regions.locations().collect::<Vec<_>>(), ["north", "south"]);
}

/// E-17, U-04: a number is never used again, so a recreated subnet is another one.
#[test]
fn a_recreated_subnet_is_another_one() {
    let mut world = world();
    let db = world.network.add_subnet(world.alpha, "db", net("10.0.5.0/24")).unwrap();
    world.network.remove_subnet(db).unwrap();
    assert_ne!(world.network.add_subnet(world.alpha, "db", net("10.0.5.0/24")).unwrap(), db);
}

fn lines(routes: &[EffectiveRoute]) -> Vec<String> {
    let line = |route: &EffectiveRoute| {
        let state = match route.state {
            RouteState::OutOfScope => "OutOfScope".to_owned(),
            RouteState::Active => "Active".to_string(),
            RouteState::Invalid(by) => format!("Invalid by {by}"),
        };
        let hop = route.next_hop.map_or(route.next_hop_type().to_string(), |hop| hop.to_string());
        format!("{} {state} {} {hop}", route.source, route.prefixes.first().unwrap())
    };
    routes.iter().map(line).collect()
}

/// the worked table of the route article.
#[test]
fn effective_routes_match_worked_table() {
    let mut network = Network::new();
    let storage = network
        .add_service("Microsoft.Storage", &[net("52.239.0.0/16"), net("20.60.0.0/16")])
        .unwrap();
    let one = network.add_vnet("VNet1", &[net("10.0.0.0/16")]).unwrap();
    let two = network.add_vnet("VNet2", &[net("10.1.0.0/16"), net("10.2.0.0/16")]).unwrap();
    network.peer(one, two).unwrap();
    let site = network.add_site("onpremises", &[net("10.10.0.0/16")], &[]).unwrap();
    network.connect(one, site, &[net("10.10.0.0/16")]).unwrap();
    let subnet = network.add_subnet(one, "Subnet1", net("10.0.0.0/24")).unwrap();
    let plain = network.add_subnet(one, "Subnet2", net("10.0.1.0/24")).unwrap();
    network.enable_endpoint(subnet, storage, Scope::Worldwide).unwrap();
    let appliance = NextHop::VirtualAppliance(ip("10.0.100.4"));
    for (prefix, hop) in [
        ("10.0.0.0/16", appliance),
        ("10.0.0.0/24", NextHop::VnetLocal),
        ("10.1.0.0/16", NextHop::None),
        ("10.2.0.0/16", NextHop::None),
        ("10.10.0.0/16", appliance),
        ("0.0.0.0/0", appliance),
    ] {
        network.set_route(subnet, net(prefix), hop).unwrap();
    }
    let snapshot = network.commit();
    let routes = snapshot.effective_routes(subnet);
    assert_eq!(
        lines(&routes),
        [
            "User Active 0.0.0.0/0 VirtualAppliance 10.0.100.4",
            "Default Invalid by User 0.0.0.0/0 Internet",
            "User Active 10.0.0.0/16 VirtualAppliance 10.0.100.4",
            "Default Invalid by User 10.0.0.0/16 VnetLocal",
            "User Active 10.0.0.0/24 VnetLocal",
            "User Active 10.1.0.0/16 None",
            "Default Invalid by User 10.1.0.0/16 VNetPeering",
            "User Active 10.2.0.0/16 None",
            "Default Invalid by User 10.2.0.0/16 VNetPeering",
            "User Active 10.10.0.0/16 VirtualAppliance 10.0.100.4",
            "VirtualNetworkGateway Invalid by User 10.10.0.0/16 VirtualNetworkGateway",
            "Default Active 20.60.0.0/16 VirtualNetworkServiceEndpoint",
        ]
    );
    // One entry per service, with all its prefixes (S-22, R-29).
    assert_eq!(routes.last().unwrap().prefixes, [net("20.60.0.0/16"), net("52.239.0.0/16")]);
    assert_eq!(routes.last().unwrap().service.as_deref(), Some("Microsoft.Storage"));
    // R-01 for the other subnet, which has no routes of its own.
    assert_eq!(
        lines(&snapshot.effective_routes(plain)),
        [
            "Default Active 0.0.0.0/0 Internet",
            "Default Active 10.0.0.0/8 None",
            "Default Active 10.0.0.0/16 VnetLocal",
            "Default Active 10.1.0.0/16 VNetPeering",
            "Default Active 10.2.0.0/16 VNetPeering",
            "VirtualNetworkGateway Active 10.10.0.0/16 VirtualNetworkGateway",
            "Default Active 100.64.0.0/10 None",
            "Default Active 172.16.0.0/12 None",
            "Default Active 192.168.0.0/16 None",
        ]
    );
}

/// a range equal to a reserved one takes its place, one that contains it removes it,
/// one inside it leaves it.
#[test]
fn reserved_ranges_yield_to_own_ranges() {
    for (range, reserved_left) in [
        ("10.0.0.0/8", false),
        ("10.0.0.0/7", false),
        ("10.0.0.0/9", true),
        ("172.16.0.0/12", true),
    ] {
        let mut network = Network::new();
        let vnet = network.add_vnet("v", &[net(range)]).unwrap();
        let prefix = Ipv4Net::new(net(range).network(), 24).unwrap();
        let subnet = network.add_subnet(vnet, "s", prefix).unwrap();
        let routes = network.commit().effective_routes(subnet);
        let ten = routes.iter().find(|route| {
            route.prefixes == [net("10.0.0.0/8")] && route.next_hop == Some(NextHop::None)
        });
        assert_eq!(ten.is_some(), reserved_left, "{range}");
        assert!(
            routes
                .iter()
                .any(|r| r.prefixes == [net(range)] && r.next_hop == Some(NextHop::VnetLocal))
        );
    }
}

/// a BGP route inside the network's own range, or a peer's, is overridden whatever its
/// length.
#[test]
fn system_routes_override_longer_bgp_routes() {
    let mut world = world();
    world
        .network
        .connect(world.alpha, world.office, &[net("10.0.0.0/25"), net("10.9.0.0/24")])
        .unwrap();
    let routes = world.network.commit().effective_routes(world.web);
    let bgp: Vec<_> = routes
        .iter()
        .filter(|route| route.source == RouteSource::VirtualNetworkGateway)
        .map(|route| (route.prefixes[0], route.state))
        .collect();
    assert_eq!(
        bgp,
        [
            (net("10.0.0.0/25"), RouteState::Invalid(RouteSource::Default)),
            (net("10.9.0.0/24"), RouteState::Active)
        ]
    );
}

/// INV-accepted-edit-in-force: a call that returned success is in the very next snapshot, and
/// nothing else makes a new one.
#[test]
fn unchanged_commit_makes_no_generation() {
    let mut world = world();
    let first = world.network.commit();
    assert!(Arc::ptr_eq(&first, &world.network.commit()));
    world.network.set_route(world.web, net("1.0.0.0/8"), NextHop::None).unwrap();
    let second = world.network.commit();
    assert_eq!(second.generation().0, first.generation().0 + 1);
}

/// Two networks are equal if the same has been asked of them, whether it is compiled or not.
#[test]
fn networks_are_equal_by_their_intent() {
    let [mut one, mut other] = [world(), world()];
    assert_eq!(one.network, other.network);
    one.network.set_route(one.web, net("1.0.0.0/8"), NextHop::None).unwrap();
    assert_ne!(one.network, other.network);
    other.network.set_route(other.web, net("1.0.0.0/8"), NextHop::None).unwrap();
    one.network.commit();
    assert_eq!(one.network, other.network);
}
