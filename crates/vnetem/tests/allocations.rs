//! INV-packets-allocate-nothing: no packet makes the data plane allocate, whether it hits a flow,
//! opens one, is refused, dropped or answered. By a counting allocator, so alone in its process and
//! without a test harness, since all that the process does counts.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panic"
)]

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::PacketBuilder;
use vnetem::packet::tunnel::{
    Encapsulated, Encapsulation, Fragments, Key, Layout, Overlay, Underlay,
};
use vnetem::{
    DataPlane, DropReason, Edge, Identity, Network, Settings, Time,
    authz::{
        Action, DefaultAction, PortRange, RuleDirection, RuleLimits, RuleProtocol, RuleSet,
        SecurityGroup, SecurityRule, Selector,
    },
    control::{NextHop, Outbound, OutboundRule, Scope},
    tunnel::{TunnelPort, TunnelSettings},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn packet(tcp: bool, port: u16, remote: &str, ttl: u8, syn: bool) -> Vec<u8> {
    let remote: SocketAddrV4 = remote.parse().unwrap();
    let ip = PacketBuilder::ipv4([10, 0, 0, 4], remote.ip().octets(), ttl);
    let mut packet = Vec::new();
    if tcp {
        let tcp = ip.tcp(port, remote.port(), 1000, 4096);
        let tcp = if syn { tcp.syn() } else { tcp.ack(1) };
        tcp.write(&mut packet, b"").unwrap();
    } else {
        ip.udp(port, remote.port()).write(&mut packet, b"data").unwrap();
    }
    packet
}

/// Interfaces that leave by their own address and by a load balancer, one that forwards, and the
/// platform; with packets for each.
fn methods() -> (DataPlane, Vec<(Edge, Vec<u8>)>) {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let [(web, own), (_, balanced), (dmz, router)] = [3, 4, 12].map(|at: u8| {
        let (name, prefix) = (format!("net{at}"), format!("10.0.{at}.0/24"));
        let subnet = network.add_subnet(alpha, &name, prefix.parse().unwrap()).unwrap();
        let address = Ipv4Addr::new(10, 0, at, 4);
        (subnet, network.add_nic(subnet, &format!("nic{at}"), address).unwrap())
    });
    network.set_public_address(own, Some(Ipv4Addr::new(20, 1, 1, 4))).unwrap();
    let balancer = network.add_load_balancer(alpha, "lb", &[Ipv4Addr::new(20, 1, 1, 8)]).unwrap();
    network.add_member(balancer, balanced).unwrap();
    network
        .set_outbound_rule(balancer, OutboundRule { ports: 64, resets: true, idle: None })
        .unwrap();
    network.set_ip_forwarding(router, true).unwrap();
    let round = NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 12, 4));
    for subnet in [web, dmz] {
        network.set_route(subnet, "99.0.0.0/8".parse().unwrap(), round).unwrap();
    }
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));

    let mut packets = Vec::new();
    for port in 1..=100_u16 {
        for (edge, source, destination) in [
            (Edge::Nic(own), [10, 0, 3, 4], [8, 8, 8, 8]),
            (Edge::Nic(own), [10, 0, 3, 4], [168, 63, 129, 16]),
            (Edge::Nic(own), [10, 0, 3, 4], [99, 1, 1, 1]),
            (Edge::Nic(router), [10, 0, 3, 4], [99, 1, 1, 1]),
            (Edge::Nic(router), [10, 0, 3, 4], [8, 8, 8, 8]),
            (Edge::Nic(balanced), [10, 0, 4, 4], [8, 8, 8, 8]),
            (Edge::Internet, [8, 8, 8, 8], [20, 1, 1, 4]),
        ] {
            for tcp in [true, false] {
                let mut packet = Vec::new();
                let ip = PacketBuilder::ipv4(source, destination, 64);
                if tcp {
                    ip.tcp(port, 80, 1000, 4096).syn().write(&mut packet, b"").unwrap();
                } else {
                    ip.udp(port, 80).write(&mut packet, b"data").unwrap();
                }
                packets.push((edge, packet));
            }
        }
        // The rest of the handshake of those behind the load balancer.
        let mut packet = Vec::new();
        let answer = PacketBuilder::ipv4([8, 8, 8, 8], [20, 1, 1, 8], 64);
        let answer = answer.tcp(80, 1023 + port, 5000, 4096).syn().ack(1001);
        answer.write(&mut packet, b"").unwrap();
        packets.push((Edge::Internet, packet));
        let mut packet = Vec::new();
        let last = PacketBuilder::ipv4([10, 0, 4, 4], [8, 8, 8, 8], 64);
        last.tcp(port, 80, 1001, 4096).ack(5001).write(&mut packet, b"").unwrap();
        packets.push((Edge::Nic(balanced), packet));
    }
    (plane, packets)
}

fn main() {
    let mut network = Network::new();
    let storage = network.add_service("storage", &["52.239.0.0/16".parse().unwrap()]).unwrap();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, 1)])).unwrap();
    network.set_route(web, "99.0.0.0/8".parse().unwrap(), NextHop::None).unwrap();
    let closed = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    network.add_resource(storage, "acct", Ipv4Addr::new(52, 239, 1, 9), closed).unwrap();
    let mut guard = SecurityGroup::default();
    guard
        .add_rule(SecurityRule {
            name: "no-secrets".into(),
            priority: 100,
            direction: RuleDirection::Outbound,
            action: Action::Deny,
            protocol: RuleProtocol::Any,
            sources: vec![Selector::Any],
            source_ports: vec![PortRange::ANY],
            destinations: vec!["7.0.0.0/8".parse().unwrap()],
            destination_ports: vec![PortRange::ANY],
        })
        .unwrap();
    let guard = network.add_security_group("web", guard).unwrap();
    network.guard_subnet(web, Some(guard)).unwrap();
    let before = network.commit();
    network.enable_endpoint(web, storage, Scope::Worldwide).unwrap();
    let after = network.commit();

    let mut settings = Settings::replayable(0);
    settings.flows.capacity = 1000;
    let mut plane = DataPlane::new(before, settings);
    let mut packets = Vec::new();
    for port in 1..=400 {
        for (tcp, remote) in
            [(true, "52.239.1.9:443"), (true, "8.8.8.8:443"), (false, "52.239.1.9:53")]
        {
            packets.push(packet(tcp, port, remote, 64, true));
            packets.push(packet(tcp, port, remote, 64, false));
        }
        packets.push(packet(true, port, "99.1.1.1:80", 64, true));
        packets.push(packet(true, port, "9.9.9.9:80", 64, false));
        packets.push(packet(true, port, "7.7.7.7:80", 64, true));
        packets.push(packet(true, port, "9.9.9.9:80", 1, true));
        packets.push(vec![0x45; 33]);
    }

    // A service tunnel, a packet into it, and the same one with its ends exchanged back out of it.
    let settings = TunnelSettings {
        layout: Layout::default(),
        region: 1,
        destination: Overlay::prefix("2603:10e1:100:2::".parse().unwrap()),
        underlay: Underlay {
            source: Ipv4Addr::new(40, 1, 2, 1),
            destination: None,
            encapsulation: Encapsulation::Vxlan,
            key: Key::SERVICE_TUNNEL,
            dscp: 0,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
        },
        fragments: Fragments::Carry,
    };
    let mut port = TunnelPort::new(storage, settings);
    let identity = Some(Identity { vnet: alpha, subnet: web, address: Ipv4Addr::new(10, 0, 0, 4) });
    let (to, plain) =
        (Edge::Service { service: storage, identity }, packet(true, 1, "52.239.1.9:443", 64, true));
    let mut wire = [0; 256];
    let length = port.encapsulate(to, &plain, &mut wire).unwrap();
    let reply = Encapsulated::parse(&wire[..length]).unwrap().reply();
    let mut answer = Vec::new();
    let builder = PacketBuilder::ipv4([52, 239, 1, 9], [10, 0, 0, 4], 64);
    builder.tcp(443, 1, 1, 4096).ack(1).write(&mut answer, b"").unwrap();
    let mut back = [0; 256];
    let headers = vnetem::Headers::parse(&answer).unwrap();
    let back_length = reply.encapsulate(&answer, &headers, &mut back).unwrap();

    let (mut outbound, calls) = methods();

    let profiler = dhat::Profiler::builder().testing().build();
    let start = dhat::HeapStats::get();
    let mut buffer = [0; 64];
    for round in 0..3_u64 {
        for (packet, step) in packets.iter().zip(0..) {
            let buffer = buffer.get_mut(..packet.len()).unwrap();
            buffer.copy_from_slice(packet);
            let _ = plane.process(Time(round * 1_000_000_000 + step), Edge::Subnet(web), buffer);
        }
        if round == 0 {
            plane.apply(Time(1_000_000), after.clone());
        }
    }
    for round in 0..3_u64 {
        let now = Time(round * 300_000_000_000);
        outbound.handle_timeout(now);
        for (edge, packet) in &calls {
            let buffer = buffer.get_mut(..packet.len()).unwrap();
            buffer.copy_from_slice(packet);
            let _ = outbound.process(now, *edge, buffer);
        }
    }
    for _ in 0..100 {
        port.encapsulate(to, &plain, &mut wire).unwrap();
        port.decapsulate(&back[..back_length], &mut wire).unwrap();
        assert!(port.encapsulate(Edge::Internet, &plain, &mut wire).is_err());
        assert!(port.decapsulate(&plain, &mut wire).is_err());
    }
    let allocated = dhat::HeapStats::get().total_blocks - start.total_blocks;
    // Taking a snapshot is a control call and may allocate; it does not.
    assert_eq!(
        allocated,
        0,
        "{allocated} allocations for {} packets",
        plane.counters().received.packets
    );
    drop(profiler);

    // The run met what it is about: every kind of end, a full table, closings and answers that
    // found the queue full.
    let counters = plane.counters();
    for reason in [
        DropReason::RouteNone,
        DropReason::NoFlow,
        DropReason::TtlExpired,
        DropReason::FlowTableFull,
        DropReason::SourceSwitched,
        DropReason::FlowClosed,
        DropReason::Malformed(vnetem::packet::Malformed::TotalLength),
    ] {
        assert!(counters.drops(reason) > 0, "no packet was dropped for {reason}");
    }
    assert!(
        counters.forwarded.packets > 1000
            && counters.denied.packets > 0
            && counters.refused.packets > 0
            && counters.queue_full.packets > 0
    );
    let counters = outbound.counters();
    assert!(
        counters.drops(DropReason::SnatExhausted) > 0
            && counters.drops(DropReason::ForeignSource) > 0
    );
    assert!(counters.generated.packets > 0, "nothing idled out");
    assert!(counters.forwarded.packets > 2000, "{}", counters.forwarded.packets);
    println!("allocations: ok");
}
