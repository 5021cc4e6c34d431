//! Every kind of edge: what enters there goes on, its answer comes back by the edge that it left
//! by, and nobody else speaks for it.

use vnetem::{
    DataPlane, Disposition, DropReason, Edge, Headers, Identity, Network, PrivateEndpointId,
    ResourceId, Settings, SiteId, SubnetId, Time,
    authz::{Arrival, DefaultAction, Refusal, RuleLimits, RuleSet, ServiceAnswer},
    control::{
        NetworkPolicies, NextHop, Outbound, Peering, Placement, PrivateEndpointState, Scope,
        TiePolicy,
    },
};

use crate::base::{World, world};
use crate::packets::{datagram, end, fragments, ip, net, process, segment, summed};

const ACCOUNT: &str = "52.239.1.9:443";

fn syn(source: &str, destination: &str) -> Vec<u8> {
    segment(end(source), end(destination), "S", (1, 0), &[])
}

fn plane(network: &mut Network) -> DataPlane {
    DataPlane::new(network.commit(), Settings::replayable(0))
}

/// Where a packet leaves, and its source then.
#[track_caller]
fn forward(plane: &mut DataPlane, edge: Edge, mut packet: Vec<u8>) -> (Edge, String) {
    match process(plane, Time(0), edge, &mut packet) {
        Disposition::Forward(forward) => (
            forward.edge(plane.snapshot()),
            Headers::parse(&packet).unwrap().tuple().source.to_string(),
        ),
        disposition => panic!("{disposition:?}"),
    }
}

#[track_caller]
fn refused(plane: &mut DataPlane, edge: Edge, mut packet: Vec<u8>) -> DropReason {
    match process(plane, Time(0), edge, &mut packet) {
        Disposition::Drop(reason) => reason,
        disposition => panic!("{disposition:?}"),
    }
}

/// A SYN goes from one edge to another, and the answer back.
#[track_caller]
fn talk(plane: &mut DataPlane, from: Edge, client: &str, to: Edge, server: &str) -> String {
    let (left, source) = forward(plane, from, syn(client, server));
    assert_eq!(left, to);
    let answer = segment(end(server), end(&source), "SA", (9, 2), &[]);
    if matches!(to, Edge::Service { .. } | Edge::SameRegion { .. } | Edge::PrivateEndpoint(_)) {
        assert_eq!(plane.answer_edge(Time(0), &answer), Some(to.into()));
        let nobodys = segment(end(server), end("10.0.0.9:9"), "SA", (9, 2), &[]);
        assert_eq!(plane.answer_edge(Time(0), &nobodys), None);
    }
    assert_eq!(forward(plane, to, answer), (from, server.to_owned()));
    source
}

/// Who gets a reset by a change.
fn notified(plane: &mut DataPlane, network: &mut Network) -> Vec<Edge> {
    plane.apply(Time(0), network.commit());
    core::iter::from_fn(|| plane.poll_transmit(Time(0))).map(|reset| reset.to).collect()
}

fn open() -> RuleSet {
    RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow)
}

/// S-36, INV-spoofed-source-dropped: hosts of a site talk with the networks that it is connected to
/// and, behind its own address, with everybody else; another's address is nobody's there.
#[test]
fn site_reaches_networks_and_internet() {
    let World { mut network, alpha, web, storage, .. } = world();
    let office =
        network.add_site("office", &[net("192.168.1.0/24")], &[ip("203.0.113.50")]).unwrap();
    network.connect(alpha, office, &[net("192.168.1.0/24")]).unwrap();
    let mut plane = plane(&mut network);
    let (site, subnet) = (Edge::Site(office), Edge::Subnet(web));
    talk(&mut plane, site, "192.168.1.7:50001", subnet, "10.0.0.4:443");
    talk(&mut plane, subnet, "10.0.0.4:50001", site, "192.168.1.7:443");
    let source = talk(&mut plane, site, "192.168.1.7:50001", Edge::Internet, "8.8.8.8:443");
    assert_eq!(end(&source).ip(), &ip("203.0.113.50"));
    let service = Edge::Service { service: storage, identity: None };
    let source = talk(&mut plane, site, "192.168.1.7:50001", service, ACCOUNT);
    assert_eq!(end(&source).ip(), &ip("203.0.113.50"));
    let spoofed = refused(&mut plane, site, syn("192.168.2.7:50001", "10.0.0.4:443"));
    assert_eq!(spoofed, DropReason::SpoofedSource);
    let unknown = refused(&mut plane, Edge::Site(SiteId(99)), syn("192.168.1.7:1", "10.0.0.4:4"));
    assert_eq!(unknown, DropReason::UnknownEdge);
    for beyond in [Edge::Site(SiteId(u32::MAX)), Edge::Subnet(SubnetId(u32::MAX))] {
        let unknown = refused(&mut plane, beyond, syn("192.168.1.7:1", "10.0.0.4:4"));
        assert_eq!(unknown, DropReason::UnknownEdge);
    }
}

/// INV-toggle-ends-exact-set: a change of a network touches the flows of the sites that it is
/// connected to, which close where their far end has another edge now.
#[test]
fn network_change_closes_connected_sites_flows() {
    let World { mut network, alpha, web, .. } = world();
    let office = network.add_site("office", &[net("192.168.1.0/24")], &[]).unwrap();
    network.connect(alpha, office, &[net("192.168.1.0/24")]).unwrap();
    let mut plane = plane(&mut network);
    let site = Edge::Site(office);
    talk(&mut plane, site, "192.168.1.7:50001", Edge::Subnet(web), "10.0.0.4:443");
    talk(&mut plane, site, "192.168.1.7:50001", Edge::Subnet(web), "10.0.0.5:443");
    let nic = network.add_nic(web, "vm", ip("10.0.0.4")).unwrap();
    assert_eq!(notified(&mut plane, &mut network), [site, Edge::Subnet(web)]);
    talk(&mut plane, site, "192.168.1.7:50002", Edge::Nic(nic), "10.0.0.4:443");
}

/// S-38, INV-toggle-ends-exact-set: a peering's addresses are for services, and what was open under
/// them ends with them; the rest of the site goes on.
#[test]
fn peering_flows_end_with_its_addresses() {
    let World { mut network, alpha, storage, .. } = world();
    let own = ip("203.0.113.50");
    let office = network.add_site("office", &[net("192.168.1.0/24")], &[own]).unwrap();
    network.connect_express_route(alpha, office, &[]).unwrap();
    let peer = |network: &mut Network, address| {
        network.set_peering(office, Some(Peering::Microsoft(vec![ip(address)]))).unwrap();
    };
    peer(&mut network, "203.0.113.60");
    let mut plane = plane(&mut network);
    let site = Edge::Site(office);
    let service = Edge::Service { service: storage, identity: None };
    let source = talk(&mut plane, site, "192.168.1.7:50001", service, ACCOUNT);
    assert_eq!(end(&source).ip(), &ip("203.0.113.60"));
    let source = talk(&mut plane, site, "192.168.1.7:50001", Edge::Internet, "8.8.8.8:443");
    assert_eq!(end(&source).ip(), &own);
    peer(&mut network, "203.0.113.61");
    assert_eq!(notified(&mut plane, &mut network), [site, service]);
    let source = talk(&mut plane, site, "192.168.1.7:50002", service, ACCOUNT);
    assert_eq!(end(&source).ip(), &ip("203.0.113.61"));
}

/// T-26: an error comes from the first address of where it goes, which of a range of one is that
/// one.
#[test]
fn error_source_is_ranges_first_address() {
    let World { mut network, alpha, web, .. } = world();
    let nic = network.add_nic(web, "vm", ip("10.0.0.4")).unwrap();
    let [office, host] = [("office", "192.168.1.0/24"), ("host", "192.168.9.9/32")].map(|site| {
        let site = network.add_site(site.0, &[net(site.1)], &[]).unwrap();
        network.connect(alpha, site, &[]).unwrap();
        site
    });
    let mut plane = plane(&mut network);
    for (edge, source, router) in [
        (Edge::Subnet(web), "10.0.0.5:7", "10.0.0.1"),
        (Edge::Nic(nic), "10.0.0.4:7", "10.0.0.1"),
        (Edge::Site(office), "192.168.1.7:7", "192.168.1.1"),
        (Edge::Site(host), "192.168.9.9:7", "192.168.9.9"),
    ] {
        let mut packet = datagram(end(source), end("10.0.0.77:9"), b"x");
        packet[8] = 1;
        assert_eq!(refused(&mut plane, edge, summed(packet)), DropReason::TtlExpired);
        let error = plane.poll_transmit(Time(0)).unwrap();
        assert_eq!((error.to, &error.packet[12..16]), (edge, &ip(router).octets()[..]));
    }
}

/// hosts ask the platform under its addresses, and its probes ask them; nobody else's address
/// comes from there.
#[test]
fn platform_talks_under_its_own_addresses() {
    let World { mut network, web, .. } = world();
    let mut plane = plane(&mut network);
    let (subnet, platform) = (Edge::Subnet(web), Edge::Platform(web));
    talk(&mut plane, subnet, "10.0.0.4:50001", platform, "168.63.129.16:53");
    talk(&mut plane, subnet, "10.0.0.4:50001", platform, "169.254.169.254:80");
    talk(&mut plane, platform, "168.63.129.16:50001", subnet, "10.0.0.4:80");
    let spoofed = refused(&mut plane, platform, syn("168.63.129.17:50001", "10.0.0.4:80"));
    assert_eq!(spoofed, DropReason::SpoofedSource);
    let nowhere = Edge::Platform(SubnetId(99));
    let unknown = refused(&mut plane, nowhere, syn("168.63.129.16:50001", "10.0.0.4:80"));
    assert_eq!(unknown, DropReason::UnknownEdge);
}

/// C-03: with the switch on, a service of the own region is reached under the private source, and
/// its answer by that path.
#[test]
fn same_region_service_sees_private_source() {
    let World { mut network, alpha, web, storage } = world();
    let placement = Placement { region: "westeurope".into(), ..Placement::default() };
    network.place_vnet(alpha, placement).unwrap();
    let regions = [("52.239.1.0/24", "westeurope"), ("52.239.2.0/24", "eastus")];
    let regions = regions.map(|(prefix, region)| (net(prefix), region.to_owned()));
    network.set_service_regions(storage, regions).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    let mut plane = plane(&mut network);
    let internal = Edge::SameRegion { service: storage, subnet: web };
    let external = Edge::Service { service: storage, identity: None };
    let subnet = Edge::Subnet(web);
    talk(&mut plane, subnet, "10.0.0.4:50001", external, ACCOUNT);
    network.set_same_region_path(storage, true).unwrap();
    assert_eq!(
        notified(&mut plane, &mut network),
        [subnet, external],
        "INV-toggle-ends-exact-set: what was open"
    );
    let source = talk(&mut plane, subnet, "10.0.0.4:50001", internal, ACCOUNT);
    assert_eq!(source, "10.0.0.4:50001");
    let source = talk(&mut plane, subnet, "10.0.0.4:50001", external, "52.239.2.9:443");
    assert_eq!(end(&source).ip(), &ip("20.1.1.1"));
    let question = datagram(end("10.0.0.4:50001"), end(ACCOUNT), b"x");
    assert_eq!(forward(&mut plane, subnet, question).0, external, "TCP alone");
    let spoofed = refused(&mut plane, internal, syn("8.8.8.8:443", "10.0.0.4:50001"));
    assert_eq!(spoofed, DropReason::SpoofedSource);
}

/// L-05, L-07: an approved private endpoint leads to its resource, which front ends ask for by its
/// edge.
#[test]
fn private_endpoint_leads_to_its_resource() {
    let World { mut network, alpha, web, storage } = world();
    let resource = network.add_resource(storage, "acct", ip("52.239.1.9"), open()).unwrap();
    let links = network.add_subnet(alpha, "links", net("10.0.1.0/24")).unwrap();
    let id = network.add_private_endpoint(links, "pe", ip("10.0.1.5"), resource).unwrap();
    network.set_private_endpoint_state(id, PrivateEndpointState::Approved).unwrap();
    let snapshot = network.commit();
    assert_eq!(snapshot.resource_behind(id), Some(resource));
    assert_eq!(snapshot.resource_behind(PrivateEndpointId(99)), None);
    let mut plane = DataPlane::new(snapshot, Settings::replayable(0));
    let private = Edge::PrivateEndpoint(id);
    talk(&mut plane, Edge::Subnet(web), "10.0.0.4:50001", private, "10.0.1.5:443");
    let spoofed = refused(&mut plane, private, syn("10.0.1.6:443", "10.0.0.4:50001"));
    assert_eq!(spoofed, DropReason::SpoofedSource);
    let spoofed = refused(&mut plane, Edge::Subnet(links), syn("10.0.1.5:443", "10.0.0.4:50001"));
    assert_eq!(spoofed, DropReason::SpoofedSource);
    let nowhere = Edge::PrivateEndpoint(PrivateEndpointId(99));
    let unknown = refused(&mut plane, nowhere, syn("10.0.1.5:443", "10.0.0.4:50001"));
    assert_eq!(unknown, DropReason::UnknownEdge);
}

/// INV-spoofed-source-dropped, R-24: no host has an address that the platform or a private endpoint
/// has. An undeclared appliance may be asked for one, and still does not answer under it.
#[test]
fn nobody_answers_under_kept_addresses() {
    for (has_endpoint, kept) in [
        (false, vec!["10.0.1.1", "10.0.1.255"]),
        (true, vec!["10.0.1.1", "10.0.1.255", "10.0.1.5"]),
    ] {
        let World { mut network, alpha, web, storage } = world();
        let db = network.add_subnet(alpha, "db", net("10.0.1.0/24")).unwrap();
        if has_endpoint {
            let resource = network.add_resource(storage, "acct", ip("52.239.1.9"), open()).unwrap();
            let id = network.add_private_endpoint(db, "pe", ip("10.0.1.5"), resource).unwrap();
            network.set_private_endpoint_state(id, PrivateEndpointState::Approved).unwrap();
            let policies = NetworkPolicies { routes: true, ..NetworkPolicies::default() };
            network.set_network_policies(db, policies).unwrap();
        }
        let appliance = NextHop::VirtualAppliance(ip("10.0.1.9"));
        network.set_route(web, net("10.0.1.0/24"), appliance).unwrap();
        let mut plane = plane(&mut network);
        let [near, far] = [Edge::Subnet(web), Edge::Subnet(db)];
        for address in kept.into_iter().chain(["10.0.1.77"]) {
            let [client, server] = [end("10.0.0.4:50001"), end(&format!("{address}:53"))];
            let question = datagram(client, server, b"?");
            assert_eq!(forward(&mut plane, near, question).0, far, "{address}");
            let answer = datagram(server, client, b"!");
            if address == "10.0.1.77" {
                assert_eq!(forward(&mut plane, far, answer).0, near);
            } else {
                assert_eq!(refused(&mut plane, far, answer), DropReason::SpoofedSource);
            }
        }
    }
}

/// F-16: a front end gets the words of the very resource, and none of one that there is not.
#[test]
fn front_end_answers_in_resources_words() {
    let World { mut network, storage, .. } = world();
    let closed = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    let id = network.add_resource(storage, "acct", ip("52.239.1.9"), closed).unwrap();
    let snapshot = network.commit();
    let client = Arrival::Public(ip("198.51.100.7"));
    let answer = snapshot.answer(id, Refusal::AddressNotListed, client).unwrap();
    assert!(matches!(answer, ServiceAnswer::Http { status: 403, .. }), "{answer:?}");
    assert_eq!(snapshot.answer(ResourceId(99), Refusal::AddressNotListed, client), None);
}

/// INV-spoofed-source-dropped: an address between the lowest and the highest of ours is anybody's.
#[test]
fn address_between_internal_ones_is_external() {
    let World { mut network, web, .. } = world();
    let addresses = vec![ip("20.1.1.1"), ip("20.1.1.9")];
    network.set_outbound(web, Outbound::NatGateway(addresses)).unwrap();
    let mut plane = plane(&mut network);
    for (source, reason) in [
        ("20.1.1.0:7", DropReason::Unsolicited),
        ("20.1.1.1:7", DropReason::SpoofedSource),
        ("20.1.1.5:7", DropReason::Unsolicited),
        ("20.1.1.9:7", DropReason::SpoofedSource),
        ("20.1.1.10:7", DropReason::Unsolicited),
    ] {
        let destination =
            if source.starts_with("20.1.1.1:") { "20.1.1.9:80" } else { "20.1.1.1:80" };
        assert_eq!(
            refused(&mut plane, Edge::Internet, syn(source, destination)),
            reason,
            "{source}"
        );
    }
}

/// S-37, R-25: the endpoint of an appliance's subnet serves what it forwards for hosts of the
/// network, and nobody from outside of it.
#[test]
fn endpoint_serves_no_outside_source() {
    let World { mut network, alpha, web, storage } = world();
    let router = network.add_nic(web, "router", ip("10.0.0.10")).unwrap();
    network.set_ip_forwarding(router, true).unwrap();
    network.enable_endpoint(web, storage, Scope::Worldwide).unwrap();
    let mut plane = plane(&mut network);
    let address = ip("10.0.7.7");
    let identity = Some(Identity { vnet: alpha, subnet: web, address });
    let endpoint = Edge::Service { service: storage, identity };
    talk(&mut plane, Edge::Nic(router), "10.0.7.7:50001", endpoint, ACCOUNT);
    let reason = refused(&mut plane, Edge::Nic(router), syn("172.16.0.1:50001", ACCOUNT));
    assert_eq!(reason, DropReason::ForeignSource);
}

/// S-04, R-30: the service sees the host that answers over an endpoint, also if an appliance asked
/// that host in the name of a service's address.
#[test]
fn answering_host_is_the_caller() {
    let World { mut network, alpha, web, storage } = world();
    let edge = network.add_subnet(alpha, "edge", net("10.0.9.0/24")).unwrap();
    let router = network.add_nic(edge, "router", ip("10.0.9.10")).unwrap();
    network.set_ip_forwarding(router, true).unwrap();
    let vm = network.add_nic(web, "vm", ip("10.0.0.4")).unwrap();
    network.enable_endpoint(web, storage, Scope::Worldwide).unwrap();
    let mut plane = plane(&mut network);
    let question = syn(ACCOUNT, "10.0.0.4:8080");
    assert_eq!(forward(&mut plane, Edge::Nic(router), question).0, Edge::Nic(vm));
    let answer = segment(end("10.0.0.4:8080"), end(ACCOUNT), "SA", (9, 2), &[]);
    let identity = Some(Identity { vnet: alpha, subnet: web, address: ip("10.0.0.4") });
    let endpoint = Edge::Service { service: storage, identity };
    assert_eq!(forward(&mut plane, Edge::Nic(vm), answer).0, endpoint);
}

/// only what goes round between appliances goes on without a flow of its own; what one
/// repeats of a host's connection does not.
#[test]
fn repeated_host_connection_needs_a_flow() {
    let World { mut network, web, .. } = world();
    let router = network.add_nic(web, "router", ip("10.0.0.10")).unwrap();
    network.set_ip_forwarding(router, true).unwrap();
    let mut plane = plane(&mut network);
    let subnet = Edge::Subnet(web);
    talk(&mut plane, subnet, "10.0.0.4:50001", subnet, "10.0.0.77:443");
    let repeated = syn("10.0.0.4:50001", "10.0.0.77:443");
    assert_eq!(refused(&mut plane, Edge::Nic(router), repeated), DropReason::TupleInUse);
}

/// N-18: nor does a gateway carry a fragment of a flow that whole packets have opened.
#[test]
fn gateway_carries_no_live_flows_fragment() {
    let World { mut network, web, .. } = world();
    network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    let mut plane = plane(&mut network);
    let whole = datagram(end("10.0.0.4:50001"), end("8.8.8.8:53"), &[7; 40]);
    assert_eq!(forward(&mut plane, Edge::Subnet(web), whole.clone()).0, Edge::Internet);
    let [first, _] = fragments(&whole, 24, 9);
    let reason = refused(&mut plane, Edge::Subnet(web), first);
    assert_eq!(reason, DropReason::OutboundUnsupported);
}

/// N-16, P-25: a segment of a flow that is lost is answered by a reset where a NAT gateway stands,
/// from either side, and by no other method; a SYN from outside never.
#[test]
fn n_16_gateway_resets_unknown_flows() {
    let address = ip("20.1.1.1");
    for (outbound, flags, answered) in [
        (Outbound::NatGateway(vec![address]), "A", [true, true]),
        (Outbound::NatGateway(vec![address]), "SA", [false, true]),
        (Outbound::Default(address), "A", [false, false]),
    ] {
        let World { mut network, web, .. } = world();
        network.set_outbound(web, outbound).unwrap();
        let mut plane = plane(&mut network);
        let external = (Edge::Internet, "8.8.8.8:443", "20.1.1.1:5000");
        let internal = (Edge::Subnet(web), "10.0.0.4:50001", "8.8.8.8:443");
        for ((edge, source, destination), answered) in
            [external, internal].into_iter().zip(answered)
        {
            refused(&mut plane, edge, segment(end(source), end(destination), flags, (5, 7), &[]));
            let reset = plane.poll_transmit(Time(0));
            assert_eq!(reset.map(|reset| reset.to), answered.then_some(edge), "{flags} {edge:?}");
        }
    }
}

/// C-01: equal prefixes of a user's route and an endpoint are decided as the network was last told.
#[test]
fn tie_policy_decides_equal_prefixes() {
    let World { mut network, web, storage, alpha } = world();
    network.set_route(web, net("52.239.0.0/16"), NextHop::None).unwrap();
    network.enable_endpoint(web, storage, Scope::Worldwide).unwrap();
    let mut plane = plane(&mut network);
    let subnet = Edge::Subnet(web);
    let identity = Some(Identity { vnet: alpha, subnet: web, address: ip("10.0.0.4") });
    let endpoint = Edge::Service { service: storage, identity };
    talk(&mut plane, subnet, "10.0.0.4:50001", endpoint, ACCOUNT);
    network.set_tie_policy(TiePolicy::Observed);
    plane.apply(Time(0), network.commit());
    let reason = refused(&mut plane, subnet, syn("10.0.0.4:50002", ACCOUNT));
    assert_eq!(reason, DropReason::RouteNone);
    network.set_tie_policy(TiePolicy::Documented);
    plane.apply(Time(0), network.commit());
    talk(&mut plane, subnet, "10.0.0.4:50003", endpoint, ACCOUNT);
}
