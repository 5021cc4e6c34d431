//! A peer that speaks the service tunnel behind a service's edge: what it reads from the bytes,
//! what it may send, and what is dropped.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::PacketBuilder;
use vnetem::packet::tunnel::{
    DoesNotFit, Encapsulated, Encapsulation, Fragments, Key, Layout, Overlay, Tag, Tunnel,
    Undecodable, Underlay, Untranslatable,
};
use vnetem::packet::{Checksums, TransportChecksum};
use vnetem::{
    DataPlane, Disposition, DropReason, Edge, Headers, Identity, Network, ServiceId, Settings,
    SubnetId, Time, VnetId,
    control::{Outbound, Scope},
    tunnel::{TunnelDrop, TunnelPort, TunnelSettings},
};

use crate::packets::{end, segment, summed};

const VM: &str = "10.0.0.4:50001";
const ACCOUNT: &str = "52.239.1.9:443";
const HOST: Ipv4Addr = Ipv4Addr::new(40, 1, 2, 1);

struct World {
    network: Network,
    plane: DataPlane,
    storage: ServiceId,
    subnets: [(VnetId, SubnetId); 2],
}

/// Two networks of one range, both with the endpoint.
fn world() -> World {
    let mut network = Network::new();
    let storage = network.add_service("storage", &["52.239.0.0/16".parse().unwrap()]).unwrap();
    let subnets = [("alpha", 1), ("beta", 2)].map(|(name, number)| {
        let vnet = network.add_vnet(name, &["10.0.0.0/16".parse().unwrap()]).unwrap();
        let web = network.add_subnet(vnet, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
        let outbound = Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, number)]);
        network.set_outbound(web, outbound).unwrap();
        network.enable_endpoint(web, storage, Scope::Worldwide).unwrap();
        (vnet, web)
    });
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    World { network, plane, storage, subnets }
}

impl World {
    /// What leaves for the peer when a host of a subnet sends a packet, and the packet as it was
    /// inside the data plane.
    fn send(&mut self, port: &mut TunnelPort, subnet: SubnetId, mut packet: Vec<u8>) -> Vec<u8> {
        let verdict = self.plane.process(Time(0), Edge::Subnet(subnet), &mut packet);
        let to = verdict.edge(self.plane.snapshot()).unwrap();
        wrapped(port, to, &packet).unwrap()
    }

    /// What becomes of bytes from the peer.
    fn receive(&mut self, port: &mut TunnelPort, bytes: &[u8]) -> (Disposition, Vec<u8>) {
        let mut buffer = vec![0; bytes.len()];
        let (edge, length) = port.decapsulate(bytes, &mut buffer).unwrap();
        buffer.truncate(length);
        (self.plane.process(Time(0), edge, &mut buffer).disposition, buffer)
    }
}

fn settings(encapsulation: Encapsulation) -> TunnelSettings {
    TunnelSettings {
        layout: Layout::default(),
        region: 5,
        destination: Overlay::prefix("2603:10e1:100:2::".parse().unwrap()),
        underlay: Underlay {
            source: HOST,
            destination: None,
            encapsulation,
            key: Key::SERVICE_TUNNEL,
            dscp: 0,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
        },
        fragments: Fragments::Carry,
    }
}

fn wrapped(port: &mut TunnelPort, to: Edge, packet: &[u8]) -> Result<Vec<u8>, TunnelDrop> {
    let mut buffer = vec![0; packet.len() + Tunnel::MAXIMUM_OVERHEAD];
    port.encapsulate(to, packet, &mut buffer).map(|length| {
        buffer.truncate(length);
        buffer
    })
}

/// The peer reads the packet with the published codec and answers by what it kept (W-05).
fn answered(wire: &[u8], flags: &str) -> Vec<u8> {
    let received = Encapsulated::parse(wire).unwrap();
    let mut plain = vec![0; wire.len()];
    let length = received.decapsulate(wire, received.embedded(), &mut plain).unwrap();
    let headers = Headers::parse(&plain[..length]).unwrap();
    assert_eq!(Checksums::of(&plain, &headers).transport, TransportChecksum::Right, "W-20");
    let tuple = headers.tuple().reversed();
    reply(&received, &tcp(tuple.source, tuple.destination, flags))
}

fn reply(received: &Encapsulated, answer: &[u8]) -> Vec<u8> {
    let mut wire = vec![0; answer.len() + Tunnel::MAXIMUM_OVERHEAD];
    let headers = Headers::parse(answer).unwrap();
    let length = received.reply().encapsulate(answer, &headers, &mut wire).unwrap();
    wire.truncate(length);
    wire
}

/// W-01, W-02, W-06, W-12, W-20, C-18: through either encapsulation the peer learns the identity
/// from the bytes alone, and the caller gets an answer that cannot be told from one without a
/// tunnel.
#[test]
fn identity_is_carried_answer_is_plain() {
    for encapsulation in [Encapsulation::Nvgre, Encapsulation::Vxlan] {
        let mut w = world();
        let mut port = TunnelPort::new(w.storage, settings(encapsulation));
        let (vnet, web) = w.subnets[1];
        let wire = w.send(&mut port, web, tcp(end(VM), end(ACCOUNT), "S"));
        let outer = Headers::parse(&wire).unwrap();
        assert_eq!((outer.source, outer.destination), (HOST, Ipv4Addr::new(52, 239, 1, 9)));
        let received = Encapsulated::parse(&wire).unwrap();
        let tag = Layout::default().decode(received.source);
        assert_eq!((tag.kind, tag.region), (Tag::SERVICE_TUNNEL, 5));
        let address = Ipv4Addr::new(10, 0, 0, 4);
        assert_eq!(tag.identity(address), Some(Identity { vnet, subnet: web, address }));

        let (disposition, plain) = w.receive(&mut port, &answered(&wire, "SA"));
        assert!(matches!(disposition, Disposition::Forward(on) if on.to() == Edge::Subnet(web)));
        let headers = Headers::parse(&plain).unwrap();
        assert_eq!(headers.to_string(), "52.239.1.9:443 > 10.0.0.4:50001 tcp SA");
        let checksums = Checksums::of(&plain, &headers);
        assert_eq!(checksums.transport, TransportChecksum::Right, "W-20");
        let counters = port.counters();
        assert_eq!((counters.encapsulated.packets, counters.decapsulated.packets), (1, 1));
        assert_eq!(counters.dropped(), 0);
    }
}

/// W-07, P-25: what the peer sends without having been asked is unwrapped and goes no further.
#[test]
fn inbound_without_a_flow_is_dropped() {
    let mut w = world();
    let mut port = TunnelPort::new(w.storage, settings(Encapsulation::Nvgre));
    let (_, web) = w.subnets[0];
    let wire = w.send(&mut port, web, tcp(end(VM), end(ACCOUNT), "S"));
    let received = Encapsulated::parse(&wire).unwrap();
    for (answer, disposition) in [
        (tcp(end("52.239.1.9:80"), end(VM), "SA"), Disposition::Drop(DropReason::NoFlow)),
        (tcp(end(ACCOUNT), end("10.0.0.4:50002"), "S"), Disposition::Drop(DropReason::NoFlow)),
        (tcp(end(ACCOUNT), end("10.0.0.5:50001"), "SA"), Disposition::Drop(DropReason::NoFlow)),
    ] {
        // The tunnel back carries any address of the caller's subnet and of the service.
        let mut tunnel = received.reply();
        let service = Overlay::prefix("2603:10e1:100:2::".parse().unwrap());
        tunnel.source = service;
        tunnel.destination = Overlay::prefix(received.source);
        let mut bytes = vec![0; answer.len() + Tunnel::MAXIMUM_OVERHEAD];
        let headers = Headers::parse(&answer).unwrap();
        let length = tunnel.encapsulate(&answer, &headers, &mut bytes).unwrap();
        assert_eq!(w.receive(&mut port, &bytes[..length]).0, disposition);
    }
    assert_eq!(w.plane.counters().drops(DropReason::NoFlow), 3);
}

/// S-05, W-01: two networks with one range call from the same address and port; each answer finds
/// its own caller.
#[test]
fn overlapping_networks_answers_stay_apart() {
    let mut w = world();
    let mut port = TunnelPort::new(w.storage, settings(Encapsulation::Nvgre));
    let [(_, of_alpha), (_, of_beta)] = w.subnets;
    let wires = [of_alpha, of_beta]
        .map(|subnet| w.send(&mut port, subnet, tcp(end(VM), end(ACCOUNT), "S")));
    assert_ne!(wires[0], wires[1]);
    for (wire, subnet) in wires.iter().zip([of_alpha, of_beta]).rev() {
        let (disposition, _) = w.receive(&mut port, &answered(wire, "SA"));
        assert!(matches!(disposition, Disposition::Forward(on) if on.to() == Edge::Subnet(subnet)));
    }
}

/// S-17, W-06: the reset that a switch sends to the service's end goes through the tunnel too.
#[test]
fn toggle_resets_peer_through_tunnel() {
    let mut w = world();
    let mut port = TunnelPort::new(w.storage, settings(Encapsulation::Nvgre));
    let (_, web) = w.subnets[0];
    let wire = w.send(&mut port, web, tcp(end(VM), end(ACCOUNT), "S"));
    w.receive(&mut port, &answered(&wire, "SA"));
    w.network.disable_endpoint(web, w.storage).unwrap();
    w.plane.apply(Time(0), w.network.commit());
    let mut seen = Vec::new();
    while let Some(made) = w.plane.poll_transmit(Time(0)) {
        if let Ok(wire) = wrapped(&mut port, made.to, &made.packet) {
            let received = Encapsulated::parse(&wire).unwrap();
            let mut plain = vec![0; wire.len()];
            received.decapsulate(&wire, received.embedded(), &mut plain).unwrap();
            seen.push(Headers::parse(&plain).unwrap().to_string());
        }
    }
    assert_eq!(seen, ["10.0.0.4:50001 > 52.239.1.9:443 tcp RA"]);
    // The other reset leaves to the caller, which is no edge of this port.
    assert_eq!(port.counters().drops(TunnelDrop::OtherEdge), 1);
}

/// U-15, U-16, U-14: options do not enter and are counted; fragments are carried or refused as it
/// is set; a packet that may not be fragmented enters whole however long it grows.
#[test]
fn what_does_not_enter_is_counted() {
    let w = world();
    let (vnet, subnet) = w.subnets[0];
    let address = Ipv4Addr::new(10, 0, 0, 4);
    let identity = Some(Identity { vnet, subnet, address });
    let to = Edge::Service { service: w.storage, identity };
    let mut port = TunnelPort::new(w.storage, settings(Encapsulation::Vxlan));
    let plain = tcp(end(VM), end(ACCOUNT), "S");

    let mut with_options = plain.clone();
    with_options[0] = 0x46;
    with_options.splice(20..20, [1, 1, 1, 1]);
    with_options[3] += 4;
    let with_options = summed(with_options);
    let options = TunnelDrop::Untranslatable(Untranslatable::Options);
    assert_eq!(wrapped(&mut port, to, &with_options), Err(options));
    assert_eq!(port.counters().drops(options), 1);

    let mut first = Vec::new();
    let builder = PacketBuilder::ipv4(address.octets(), [52, 239, 1, 9], 64);
    builder.tcp(50_001, 443, 1, 4096).syn().write(&mut first, b"data").unwrap();
    first[6] = 0x20;
    let first = summed(first);
    assert!(wrapped(&mut port, to, &first).is_ok());
    let refusing =
        TunnelSettings { fragments: Fragments::Refuse, ..settings(Encapsulation::Nvgre) };
    let mut refusing = TunnelPort::new(w.storage, refusing);
    let fragment = TunnelDrop::Untranslatable(Untranslatable::Fragment);
    assert_eq!(wrapped(&mut refusing, to, &first), Err(fragment));
    assert_eq!(refusing.counters().drops(fragment), 1);

    let mut long = Vec::new();
    let builder = PacketBuilder::ipv4(address.octets(), [52, 239, 1, 9], 64);
    builder.tcp(50_001, 443, 1, 4096).ack(1).write(&mut long, &[7; 1460]).unwrap();
    assert_eq!((long.len(), long[6] & 0x40), (1500, 0x40), "it may not be fragmented");
    // 20 bytes of IPv6 for IPv4, and 50 for VXLAN.
    assert_eq!(wrapped(&mut port, to, &long).unwrap().len(), 1500 + 20 + 50);

    let public = Edge::Service { service: w.storage, identity: None };
    let elsewhere = Edge::Service { service: ServiceId(9), identity };
    for other in [Edge::Internet, public, elsewhere] {
        assert_eq!(wrapped(&mut port, other, &plain), Err(TunnelDrop::OtherEdge));
    }
    let wide = Identity { vnet, subnet: SubnetId(0x1_0000), address };
    let to_wide = Edge::Service { service: w.storage, identity: Some(wide) };
    let does_not_fit = DoesNotFit { field: "subnet", value: 0x1_0000, width: 16 };
    let does_not_fit = TunnelDrop::Identity(does_not_fit);
    assert_eq!(wrapped(&mut port, to_wide, &plain), Err(does_not_fit));
    let counters = port.counters();
    assert_eq!(counters.encapsulated.packets, 2);
    assert_eq!((counters.dropped(), counters.drops(TunnelDrop::OtherEdge)), (5, 3));
}

/// W-12, W-07: the reply uses the same encapsulation and key, comes from the service and goes to a
/// caller as the port itself would write it.
#[test]
fn packet_of_other_tunnel_is_refused() {
    let mut w = world();
    let mut port = TunnelPort::new(w.storage, settings(Encapsulation::Nvgre));
    let (_, web) = w.subnets[0];
    let wire = w.send(&mut port, web, tcp(end(VM), end(ACCOUNT), "S"));
    let received = Encapsulated::parse(&wire).unwrap();
    let answer = tcp(end(ACCOUNT), end(VM), "SA");
    let right = received.reply();
    let mut wrong = [right; 4];
    wrong[0].underlay.encapsulation = Encapsulation::Vxlan;
    wrong[1].underlay.key = Key::new(101).unwrap();
    wrong[2].source = Overlay::exactly("2603:10e1:100:3::34ef:109".parse().unwrap());
    wrong[3].destination = Overlay::exactly("fd00:6:0:0:1:1:a00:4".parse().unwrap());
    let mut buffer = [0; 200];
    for (at, tunnel) in [right].iter().chain(&wrong).enumerate() {
        let mut bytes = [0; 200];
        let length =
            tunnel.encapsulate(&answer, &Headers::parse(&answer).unwrap(), &mut bytes).unwrap();
        let taken = port.decapsulate(&bytes[..length], &mut buffer);
        let expected = if at == 0 { None } else { Some(TunnelDrop::OtherTunnel) };
        assert_eq!(taken.err(), expected, "{at}");
    }
    assert_eq!(
        port.decapsulate(&answer, &mut buffer),
        Err(TunnelDrop::Undecodable(Undecodable::NotTunnel))
    );
    assert_eq!(port.counters().drops(TunnelDrop::OtherTunnel), 4);
    assert_eq!(port.counters().dropped(), 5);
}

/// W-15, W-04: behind a fixed address the outer pair says which address of the service was called;
/// a gateway's address may stand outside.
#[test]
fn fixed_destination_restored_by_outer_address() {
    let mut w = world();
    let mut fixed = settings(Encapsulation::Nvgre);
    fixed.destination = Overlay::exactly("2603:10e1:100:2::4601:203".parse().unwrap());
    fixed.underlay.source = Ipv4Addr::new(34, 1, 2, 1);
    let mut port = TunnelPort::new(w.storage, fixed);
    let (_, web) = w.subnets[0];
    let wire = w.send(&mut port, web, tcp(end(VM), end(ACCOUNT), "S"));
    let received = Encapsulated::parse(&wire).unwrap();
    assert_eq!(
        received.destination,
        "2603:10e1:100:2::4601:203".parse::<std::net::Ipv6Addr>().unwrap()
    );
    let bytes = reply(&received, &tcp(end(ACCOUNT), end(VM), "SA"));
    let (disposition, plain) = w.receive(&mut port, &bytes);
    assert!(matches!(disposition, Disposition::Forward(_)), "{disposition:?}");
    let headers = Headers::parse(&plain).unwrap();
    assert_eq!(headers.to_string(), "52.239.1.9:443 > 10.0.0.4:50001 tcp SA");
    assert_eq!(Checksums::of(&plain, &headers).transport, TransportChecksum::Right);
}

fn tcp(source: SocketAddrV4, destination: SocketAddrV4, flags: &str) -> Vec<u8> {
    segment(source, destination, flags, (1000, 1001), &[])
}
