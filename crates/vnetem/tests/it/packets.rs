//! Addresses from words, packets of them, and what becomes of a packet.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::PacketBuilder;
use vnetem::{DataPlane, Disposition, Edge, Ipv4Net, Time};

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(crate) fn end(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

/// A TCP segment without data, with the flags that letters stand for; a point stands for none.
pub(crate) fn segment(
    source: SocketAddrV4,
    destination: SocketAddrV4,
    flags: &str,
    numbers: (u32, u32),
    options: &[u8],
) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), 64);
    let mut builder = builder.tcp(source.port(), destination.port(), numbers.0, 4096);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'A' => builder.ack(numbers.1),
            'F' => builder.fin(),
            'R' => builder.rst(),
            '.' => builder,
            other => panic!("no flag {other}"),
        };
    }
    let mut packet = Vec::new();
    builder.options_raw(options).unwrap().write(&mut packet, &[]).unwrap();
    packet
}

/// A UDP datagram.
pub(crate) fn datagram(source: SocketAddrV4, destination: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), 64)
        .udp(source.port(), destination.port())
        .write(&mut packet, data)
        .unwrap();
    packet
}

/// The packet with the header checksum that its header wants.
pub(crate) fn summed(mut packet: Vec<u8>) -> Vec<u8> {
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 0xF) * 4;
    let checksum = !vnetem::packet::checksum::sum(&packet[..header]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// A packet without options in two fragments, the first with so many bytes of the payload, a
/// multiple of eight.
pub(crate) fn fragments(whole: &[u8], first: usize, identification: u16) -> [Vec<u8>; 2] {
    let (header, payload) = whole.split_at(20);
    let (first, later) = payload.split_at(first);
    let word = u16::try_from(first.len() / 8).unwrap();
    [(first, 0x2000), (later, word)].map(|(part, word): (&[u8], u16)| {
        let mut packet = [header, part].concat();
        let length = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
        packet[6..8].copy_from_slice(&word.to_be_bytes());
        summed(packet)
    })
}

/// What becomes of a packet, which is what its trace says (INV-trace-equals-verdict) and is counted
/// once (INV-packets-conserved); unless it goes on, its bytes stay as they are.
pub(crate) fn process(
    plane: &mut DataPlane,
    now: Time,
    edge: Edge,
    packet: &mut [u8],
) -> Disposition {
    let before = packet.to_vec();
    let traced = plane.trace(now, edge, packet).verdict;
    let verdict = plane.process(now, edge, packet);
    assert_eq!(traced, verdict, "INV-trace-equals-verdict: the trace is what happens");
    if !matches!(verdict.disposition, Disposition::Forward(_)) {
        assert_eq!(before, packet, "only a forwarded packet's bytes change");
    }
    let counters = plane.counters();
    let ends = counters.forwarded.packets + counters.transmitted.packets;
    let ends = ends + counters.denied.packets + counters.dropped.packets;
    let queued = plane.queued().0 as u64;
    assert_eq!(
        counters.received.packets + counters.generated.packets,
        ends + queued,
        "INV-packets-conserved"
    );
    verdict.disposition
}
