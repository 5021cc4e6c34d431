//! What the name of a resource means to a client.

use vnetem::{
    EditError, Network, ServiceId, VnetId,
    authz::{Firewall, RuleLimits, RuleSet},
    control::{PrivateEndpointState, ZoneLink},
};

struct Named {
    network: Network,
    storage: ServiceId,
    /// A network with a private endpoint for `mine`, one for `theirs`, and one without any.
    vnets: [VnetId; 3],
}

fn world() -> Named {
    let mut network = Network::new();
    let storage = network.add_service("storage", &["52.239.0.0/16".parse().unwrap()]).unwrap();
    let open = || {
        let rules = RuleSet::new(RuleLimits::STORAGE, vnetem::authz::DefaultAction::Allow);
        Firewall::Storage(rules)
    };
    let mut vnets = Vec::new();
    for (n, name) in (1..).zip(["mine", "theirs", "nobodys"]) {
        let address = std::net::Ipv4Addr::new(52, 239, 1, n);
        let resource = network.add_resource(storage, name, address, open()).unwrap();
        let range = |length| vnetem::Ipv4Net::new([10, n, 0, 0].into(), length).unwrap();
        let vnet = network.add_vnet(name, &[range(16)]).unwrap();
        let subnet = network.add_subnet(vnet, "link", range(24)).unwrap();
        if name != "nobodys" {
            let at = std::net::Ipv4Addr::new(10, n, 0, 5);
            let id = network.add_private_endpoint(subnet, name, at, resource).unwrap();
            network.set_private_endpoint_state(id, PrivateEndpointState::Approved).unwrap();
        }
        vnets.push(vnet);
    }
    Named { network, storage, vnets: [vnets[0], vnets[1], vnets[2]] }
}

impl Named {
    fn says(&self, name: &str, client: Option<VnetId>) -> String {
        let resource = self.network.resource_named(name).unwrap();
        let address = self.network.resolve(resource, client).unwrap();
        address.map_or("no such name".to_owned(), |address| address.to_string())
    }
}

/// S-08, S-50, L-10: own zone, another's, no zone, and from outside.
#[test]
fn names_follow_the_networks_zone() {
    let named = world();
    let [mine, theirs, plain] = named.vnets;
    for (name, [in_mine, in_theirs]) in [
        ("mine", ["10.1.0.5", "no such name"]),
        ("theirs", ["no such name", "10.2.0.5"]),
        ("nobodys", ["52.239.1.3", "52.239.1.3"]),
    ] {
        let public = named.says(name, None);
        assert!(public.starts_with("52.239.1."), "{name}");
        assert_eq!(named.says(name, Some(mine)), in_mine, "{name}");
        assert_eq!(named.says(name, Some(theirs)), in_theirs, "{name}");
        assert_eq!(named.says(name, Some(plain)), public, "{name}");
    }
}

/// L-10: the link of the zone decides what becomes of names that it lacks.
#[test]
fn zone_links_fall_back_where_configured() {
    let mut named = world();
    let ([mine, _, plain], storage) = (named.vnets, named.storage);
    assert_eq!(named.network.zone_link(storage, mine), Some(ZoneLink { fallback: false }));
    assert_eq!(named.network.zone_link(storage, plain), None);
    named.network.link_zone(storage, mine, ZoneLink { fallback: true }).unwrap();
    assert_eq!(named.says("theirs", Some(mine)), "52.239.1.2");
    assert_eq!(named.says("mine", Some(mine)), "10.1.0.5");
    named.network.link_zone(storage, plain, ZoneLink::default()).unwrap();
    assert_eq!(named.says("theirs", Some(plain)), "no such name");
    named.network.unlink_zone(storage, plain).unwrap();
    assert_eq!(named.says("theirs", Some(plain)), "52.239.1.2");
    let gone = named.network.unlink_zone(storage, plain);
    assert!(matches!(gone, Err(EditError::Unknown { .. })), "{gone:?}");
    let used = named.network.unlink_zone(storage, mine);
    assert!(matches!(used, Err(EditError::InUse { .. })), "{used:?}");
}

/// L-07, L-10: only an approved private endpoint makes a name private.
#[test]
fn unapproved_endpoints_hide_no_name() {
    let mut named = world();
    let [mine, ..] = named.vnets;
    let id = named.network.private_endpoints().find(|(_, it)| it.name == "theirs").unwrap().0;
    for state in [
        PrivateEndpointState::Pending,
        PrivateEndpointState::Rejected,
        PrivateEndpointState::Disconnected,
    ] {
        named.network.set_private_endpoint_state(id, state).unwrap();
        assert_eq!(named.says("theirs", Some(mine)), "52.239.1.2", "{state:?}");
    }
}
