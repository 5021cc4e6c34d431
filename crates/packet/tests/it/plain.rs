//! The twin of [`Plain`]: [`Headers::parse`] and [`rewrite`].

use std::net::SocketAddrV4;

use proptest::prelude::*;
use vnetem_packet::{Ends, Fragment, Headers, Plain, Rewrite, TcpSegment, Transport, rewrite};

use crate::packets::{Body, Packet, cases, packet, words};

/// What [`Headers::parse`] says of a packet that is plain, in the words of [`Plain`].
fn by_headers(bytes: &[u8]) -> Option<(Plain, Option<TcpSegment>)> {
    let headers = Headers::parse(bytes).ok()?;
    let segment = match headers.transport {
        Transport::Tcp(segment) => Some(segment),
        Transport::Udp => None,
        _ => return None,
    };
    if headers.fragment != Fragment::Whole || headers.header_length != 20 {
        return None;
    }
    let tuple = headers.tuple();
    let plain = Plain {
        ends: Ends::new(tuple.source, tuple.destination),
        protocol: headers.protocol,
        ttl: headers.ttl,
        total_length: headers.total_length,
    };
    Some((plain, segment))
}

fn rewritten(bytes: &[u8], source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    let headers = Headers::parse(bytes).unwrap();
    let ttl = headers.ttl.saturating_sub(1);
    let mut bytes = bytes.to_vec();
    let to = Rewrite { source: Some(source), destination: Some(destination) };
    rewrite(&mut bytes, &headers, to, ttl);
    bytes
}

proptest! {
    #![proptest_config(cases(20_000))]

    /// Exactly the packets that are plain are read as such, and with the same values, whatever is flipped or cut.
    #[test]
    fn plain_packets_are_those_that_headers_say_are(
        packet in packet(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        right in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = packet.bytes();
        for (at, value) in flips {
            let at = at.index(bytes.len().min(44));
            bytes[at] = value;
        }
        if right && bytes.len() >= 20 {
            bytes[10..12].fill(0);
            let length = (usize::from(bytes[0] & 15) * 4).clamp(20, bytes.len());
            let sum = !vnetem_packet::checksum::sum(&bytes[..length]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let plain = Plain::parse(&bytes).map(|plain| (plain, Plain::segment(&bytes)));
        prop_assert_eq!(plain, by_headers(&bytes));
        if let (Some(_), Ok(headers)) = (plain, Headers::parse(&bytes)) {
            prop_assert_eq!(Plain::total_length(&bytes), headers.total_length);
        }
    }

    /// INV-checksums-stay-right, INV-wrong-checksum-stays-wrong, INV-udp-zero-checksum: the same
    /// bytes as the rewrite that knows every kind of packet.
    #[test]
    fn a_plain_packet_is_rewritten_as_any(
        packet in packet(),
        source in any::<(u32, u16)>(),
        destination in any::<(u32, u16)>(),
        keeps in any::<(bool, bool)>(),
    ) {
        let bytes = packet.bytes();
        let Some(plain) = Plain::parse(&bytes) else { return Ok(()) };
        let end = |(address, port): (u32, u16), keeps, own| {
            if keeps { own } else { SocketAddrV4::new(address.into(), port) }
        };
        let source = end(source, keeps.0, plain.ends.source());
        let destination = end(destination, keeps.1, plain.ends.destination());
        let mut mine = bytes.clone();
        Plain::forward(&mut mine, Ends::new(source, destination));
        prop_assert_eq!(mine, rewritten(&bytes, source, destination));
    }

    #[test]
    fn ends_give_back_what_they_were_made_of(a in any::<(u32, u16)>(), b in any::<(u32, u16)>()) {
        let [a, b] = [a, b].map(|(address, port)| SocketAddrV4::new(address.into(), port));
        let ends = Ends::new(a, b);
        prop_assert_eq!((ends.source(), ends.destination()), (a, b));
        prop_assert_eq!(ends.reversed(), Ends::new(b, a));
    }
}

/// INV-udp-zero-checksum, T-30: a UDP checksum that becomes zero is written 0xFFFF, and one that is
/// absent stays so; all values that a new port can have.
#[test]
fn every_port_gives_the_checksum_that_any_rewrite_gives() {
    for with_checksum in [true, false] {
        let body = Body::Udp { ports: [4000, 53], with_checksum, data: vec![7; 5] };
        let bytes = Packet::new("10.0.0.4", "52.239.1.9", body).bytes();
        let plain = Plain::parse(&bytes).unwrap();
        for port in words() {
            let source = SocketAddrV4::new([20, 1, 1, 1].into(), port);
            let mut mine = bytes.clone();
            Plain::forward(&mut mine, Ends::new(source, plain.ends.destination()));
            assert_eq!(mine, rewritten(&bytes, source, plain.ends.destination()), "{port}");
        }
    }
}
