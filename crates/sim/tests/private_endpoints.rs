//! What stands behind a private endpoint.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::net::{Ipv4Addr, SocketAddrV4};

use vnetem::{
    Disposition, DropReason, Edge, Network, Settings, Time,
    authz::{DefaultAction, RuleLimits, RuleSet},
    control::PrivateEndpointState,
};
use vnetem_packet::TcpFlags;
use vnetem_packet_text::Packet;
use vnetem_sim::world::Served;
use vnetem_sim::{App, World, http};

const ACCOUNTS: Ipv4Addr = Ipv4Addr::new(52, 239, 1, 9);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);
const VM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);

/// L-05: two accounts share a public address; by it both are reached, and by the private endpoint
/// of one only that one, whatever name the caller asks for.
#[test]
fn private_endpoint_serves_one_name_only() {
    let mut network = Network::new();
    let storage = network.add_service("storage", &["52.239.0.0/16".parse().unwrap()]).unwrap();
    let open = || RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
    let acct = network.add_resource(storage, "acct", ACCOUNTS, open()).unwrap();
    let other = network.add_resource(storage, "other", ACCOUNTS, open()).unwrap();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    let links = network.add_subnet(alpha, "links", "10.0.1.0/24".parse().unwrap()).unwrap();
    let outbound = vnetem::control::Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, 1)]);
    network.set_outbound(web, outbound).unwrap();
    let nic = network.add_nic(web, "vm", VM).unwrap();
    let endpoint = network.add_private_endpoint(links, "pe", PRIVATE, acct).unwrap();
    network.set_private_endpoint_state(endpoint, PrivateEndpointState::Approved).unwrap();

    let mut world = World::new(network.commit(), Settings::replayable(0), 1);
    let vm = world.add_host("vm", Edge::Nic(nic), VM);
    for (name, resource) in [("acct", acct), ("other", other)] {
        let served = Served { resource, service: storage, address: ACCOUNTS, app: App::Http };
        world.serve(name, served);
    }
    let mut status_of = |address, name| {
        let request = http::Request::get(&format!("{name}.blob.core.windows.net"), "/a").write();
        let connection = world.call(vm, SocketAddrV4::new(address, 80), request).unwrap();
        let over = |world: &World<'_>| world.connection(vm, connection).unwrap().status.is_over();
        world.run_while(Time(world.now().0 + 5_000_000_000), |world| !over(world));
        let head = &world.connection(vm, connection).unwrap().head;
        http::Response::parse(head).unwrap().unwrap().status
    };
    assert_eq!(status_of(PRIVATE, "acct"), 200);
    assert_eq!(status_of(PRIVATE, "other"), 404);
    assert_eq!((status_of(ACCOUNTS, "acct"), status_of(ACCOUNTS, "other")), (200, 200));

    // What a resource sends by a private endpoint bears its address and answers an open flow.
    let sent = |source, destination| {
        let ends = [(source, 80), (destination, 50_001)];
        let [source, destination] = ends.map(|(address, port)| SocketAddrV4::new(address, port));
        Packet::tcp(source, destination, TcpFlags::SYN).build()
    };
    let edge = Edge::PrivateEndpoint(endpoint);
    for (packet, reason) in
        [(sent(PRIVATE, VM), DropReason::NoFlow), (sent(ACCOUNTS, VM), DropReason::SpoofedSource)]
    {
        assert_eq!(world.inject(edge, packet).verdict.disposition, Disposition::Drop(reason));
    }
}
