//! Compares [`FastHeaders`] with [`Headers::parse`] and [`rewrite`].

use std::net::SocketAddrV4;

use proptest::prelude::*;
use vnetem_packet::{
    AddressPair, FastHeaders, Fragment, Headers, Rewrite, TcpSegment, Transport, rewrite,
};

use crate::packets::{Body, Packet, cases, packet, words};

/// Gives what [`Headers::parse`] reads of a packet of this kind, as [`FastHeaders`].
fn by_headers(bytes: &[u8]) -> Option<(FastHeaders, Option<TcpSegment>)> {
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
    let fast_headers = FastHeaders {
        ends: AddressPair::new(tuple.source, tuple.destination),
        protocol: headers.protocol,
        ttl: headers.ttl,
        total_length: headers.total_length,
    };
    Some((fast_headers, segment))
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

    /// Exactly the packets of this kind are read, and with the same values, whatever is flipped or
    /// cut.
    #[test]
    fn fast_headers_agree_with_full_headers(
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
        let fast_headers = FastHeaders::parse(&bytes).map(|fast_headers| (fast_headers, FastHeaders::segment(&bytes)));
        prop_assert_eq!(fast_headers, by_headers(&bytes));
        if let (Some(_), Ok(headers)) = (fast_headers, Headers::parse(&bytes)) {
            prop_assert_eq!(FastHeaders::total_length(&bytes), headers.total_length);
        }
    }

    /// The fast rewrite gives the same bytes as the general one.
    /// INV-checksums-stay-right, INV-wrong-checksum-stays-wrong, INV-udp-zero-checksum.
    #[test]
    fn fast_rewrite_equals_full_rewrite(
        packet in packet(),
        source in any::<(u32, u16)>(),
        destination in any::<(u32, u16)>(),
        kept in any::<(bool, bool)>(),
    ) {
        let bytes = packet.bytes();
        let Some(fast_headers) = FastHeaders::parse(&bytes) else { return Ok(()) };
        let end = |(address, port): (u32, u16), kept, own| {
            if kept { own } else { SocketAddrV4::new(address.into(), port) }
        };
        let source = end(source, kept.0, fast_headers.ends.source());
        let destination = end(destination, kept.1, fast_headers.ends.destination());
        let mut mine = bytes.clone();
        FastHeaders::forward(&mut mine, AddressPair::new(source, destination));
        prop_assert_eq!(mine, rewritten(&bytes, source, destination));
    }

    #[test]
    fn address_pair_returns_its_parts(a in any::<(u32, u16)>(), b in any::<(u32, u16)>()) {
        let [a, b] = [a, b].map(|(address, port)| SocketAddrV4::new(address.into(), port));
        let ends = AddressPair::new(a, b);
        prop_assert_eq!((ends.source(), ends.destination()), (a, b));
        prop_assert_eq!(ends.reversed(), AddressPair::new(b, a));
    }
}

/// For every new port, a UDP checksum that becomes 0 is written 0xFFFF and an absent one stays
/// absent (INV-udp-zero-checksum, T-30).
#[test]
fn fast_checksums_agree_for_every_port() {
    for with_checksum in [true, false] {
        let body = Body::Udp { ports: [4000, 53], with_checksum, data: vec![7; 5] };
        let bytes = Packet::new("10.0.0.4", "52.239.1.9", body).bytes();
        let fast_headers = FastHeaders::parse(&bytes).unwrap();
        for port in words() {
            let source = SocketAddrV4::new([20, 1, 1, 1].into(), port);
            let mut mine = bytes.clone();
            FastHeaders::forward(
                &mut mine,
                AddressPair::new(source, fast_headers.ends.destination()),
            );
            assert_eq!(mine, rewritten(&bytes, source, fast_headers.ends.destination()), "{port}");
        }
    }
}
