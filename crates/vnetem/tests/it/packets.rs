//! Addresses from words, and packets of them.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::PacketBuilder;
use vnetem::Ipv4Net;

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
