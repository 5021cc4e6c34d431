//! Bodies of the fuzz targets. Each takes any bytes and panics if something that must always hold
//! does not.
//!
//! They also run on stable: the tests replay the corpora and every input that once failed.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a fuzz body says by a panic that it has found something; lists are constants, and indices are taken modulo their length"
)]

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::checksum::update;
use vnetem_packet::{
    Fragment, Headers, Protocol, Quote, Reset, Rewrite, Transport, rewrite, rewrite_quoting,
    tcp_options,
};

use vnetem_packet_text::Packet;

mod fib;
mod fragments;
mod import;
mod inner;
mod ports;
mod round_trip;
mod rules;

pub use crate::harness::{pipeline_bytes, pipeline_ops};
pub use fib::fib_ops;
pub(crate) use fragments::first_packet;
pub use fragments::frag_tracker;
pub use import::{import_file, import_flow_log};
pub use inner::icmp_inner;
pub use ports::port_pool_ops;
pub use round_trip::rewrite_roundtrip;
pub use rules::authz_rules;

/// Puts any bytes through the parser and through what may follow it: options, quotes and the packet
/// as text (INV-any-bytes-safe).
pub fn parse_ipv4(bytes: &[u8]) {
    let _ = Packet::read(bytes).map(|packet| {
        let line = packet.to_string();
        assert_eq!(line.parse(), Ok(packet), "a packet and its line differ: {line}");
    });
    let Ok(headers) = Headers::parse(bytes) else { return };
    let (header, total) = (usize::from(headers.header_length), usize::from(headers.total_length));
    assert!((20..=60).contains(&header) && header <= total && total <= bytes.len(), "{headers:?}");
    let whole = bytes.get(..total).unwrap_or_default();
    assert_eq!(
        Headers::parse(whole),
        Ok(headers),
        "bytes behind the packet changed it (INV-trailer-ignored)"
    );
    let needed = match headers.transport {
        Transport::Tcp(segment) => usize::from(segment.header_length),
        Transport::None => 0,
        Transport::Udp
        | Transport::IcmpRequest
        | Transport::IcmpReply
        | Transport::IcmpError
        | Transport::IcmpOther => 8,
    };
    assert!(
        header + needed <= total,
        "a transport header that is not all there (INV-malformed-transport-dropped): {headers:?}"
    );
    let (offset, last) = match headers.fragment {
        Fragment::Whole => (0, true),
        Fragment::First => (0, false),
        Fragment::Later { offset, last } => {
            assert_eq!(headers.transport, Transport::None, "{headers:?}");
            (usize::from(offset), last)
        }
    };
    assert!(
        last || (total - header) % 8 == 0,
        "a fragment that cannot be followed (INV-bad-fragments-dropped)"
    );
    assert!(
        header + offset + total - header <= 65_535,
        "an end past 65 535 (INV-bad-fragments-dropped)"
    );
    assert!(
        offset != 8 || headers.protocol != Protocol::TCP,
        "flags are overwritten (INV-bad-fragments-dropped)"
    );
    let _ = tcp_options(bytes, &headers);
    let _ = Reset::answering(&headers).map(|reset| reset.write(1, 64));
    if let Ok(quote) = Quote::parse(bytes, &headers) {
        assert!(quote.tuple().protocol == quote.headers.protocol, "{quote:?}");
    }
}

/// Rewrites any packet to any addresses and ports. Every checksum stays exactly as right or wrong
/// as it was, by sums from scratch (INV-checksums-stay-right). Only what was asked for changes
/// (INV-only-needed-bytes-change).
///
/// The first 13 bytes say what to rewrite and to what; the rest is the packet.
pub fn checksum_incremental(bytes: &[u8]) {
    let Some((choice, packet)) = bytes.split_first_chunk::<13>() else { return };
    let [which, a, b, c, d, e, f, g, h, i, j, k, l] = *choice;
    one_word([a, b], [c, d], [e, f]);
    let Ok(headers) = Headers::parse(packet) else { return };
    let packet = packet.get(..usize::from(headers.total_length)).unwrap_or_default();
    let source = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, f]));
    let destination = SocketAddrV4::new(Ipv4Addr::new(g, h, i, j), u16::from_be_bytes([k, l]));
    let ends = |headers: &Headers| {
        // The identifier of a query has one place, so the other port is 0.
        let query = matches!(headers.transport, Transport::IcmpRequest | Transport::IcmpReply);
        let port = |end: SocketAddrV4, old| if query && old == 0 { 0 } else { end.port() };
        let source = SocketAddrV4::new(*source.ip(), port(source, headers.source_port));
        let destination =
            SocketAddrV4::new(*destination.ip(), port(destination, headers.destination_port));
        Rewrite {
            source: (which & 1 != 0).then_some(source),
            destination: (which & 2 != 0).then_some(destination),
        }
    };
    let mut after = packet.to_vec();
    let mut may_change = vec![false; packet.len()];
    mark_rewritten(&headers, 0, &mut may_change);
    match Quote::parse(packet, &headers) {
        Ok(quote) => {
            let (outer, inner) = (ends(&headers), ends(&quote.headers));
            rewrite_quoting(&mut after, &headers, &quote, outer, inner, which);
            let start = usize::from(headers.header_length);
            may_change.iter_mut().skip(start + 2).take(2).for_each(|may| *may = true);
            mark_rewritten(&quote.headers, usize::from(quote.offset), &mut may_change);
            let start = usize::from(quote.offset);
            let header = start..start + usize::from(quote.headers.header_length);
            let sum = |bytes: &[u8]| residual(bytes.get(header.clone()).unwrap_or_default(), 0);
            assert_eq!(
                sum(packet),
                sum(&after),
                "the quoted header's checksum (INV-icmp-quote-translated)"
            );
        }
        Err(_) => rewrite(&mut after, &headers, ends(&headers), which),
    }
    assert_eq!(
        residuals(packet, &headers),
        residuals(&after, &headers),
        "{headers} (INV-checksums-stay-right, INV-wrong-checksum-stays-wrong)"
    );
    for (offset, (old, new)) in packet.iter().zip(&after).enumerate() {
        assert!(
            old == new || may_change.get(offset) == Some(&true),
            "byte {offset} of {headers} changed (INV-only-needed-bytes-change)"
        );
    }
    if headers.transport == Transport::Udp {
        let offset = usize::from(headers.header_length) + 6;
        let none = |bytes: &[u8]| bytes.get(offset..offset + 2) == Some(&[0, 0]);
        assert_eq!(
            none(packet),
            none(&after),
            "a UDP checksum came or went (INV-udp-zero-checksum)"
        );
    }
}

/// Checks RFC 1624 in its smallest case: two words, one of which is replaced
/// (INV-checksum-update-exact).
fn one_word(kept: [u8; 2], old: [u8; 2], new: [u8; 2]) {
    let full = |word: [u8; 2]| !residual(&[kept, word].concat(), 0);
    let [before, after] = [old, new].map(u16::from_be_bytes);
    // If only zeros are left, the sum has two representations (RFC 1624 3).
    if kept != [0; 2] {
        assert_eq!(
            update(full(old), before, after),
            full(new),
            "{kept:?} {old:?} {new:?} (INV-checksum-update-exact)"
        );
    }
}

/// Returns how far the IPv4 and the transport checksum are from right, summed from scratch 16 bits
/// at a time; 0xFFFF is right.
fn residuals(packet: &[u8], headers: &Headers) -> (u16, u16) {
    let (header, payload) =
        packet.split_at_checked(usize::from(headers.header_length)).unwrap_or_default();
    let pseudo = match headers.transport {
        // Without a checksum nothing can be wrong.
        Transport::Udp if payload.get(6..8) == Some(&[0, 0]) => return (residual(header, 0), 0),
        Transport::Tcp(_) | Transport::Udp => {
            let ends = header.get(12..20).unwrap_or_default();
            let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
            u64::from(residual(ends, u64::from(headers.protocol.0) + length))
        }
        _ => 0,
    };
    (residual(header, 0), residual(payload, pseudo))
}

/// Returns the ones' complement sum, with its two zeros made one.
fn residual(bytes: &[u8], start: u64) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        let word = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
        sum += u64::from(u16::from_be_bytes(word));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match u16::try_from(sum) {
        Ok(0) | Err(_) => 0xffff,
        Ok(sum) => sum,
    }
}

/// Marks what a rewrite of this packet, at `offset`, may change: TTL, addresses, ports or
/// identifier, checksums.
fn mark_rewritten(headers: &Headers, offset: usize, may_change: &mut [bool]) {
    let transport = offset + usize::from(headers.header_length);
    let fields: &[(usize, usize)] = match headers.transport {
        Transport::Tcp(_) => &[(transport, 4), (transport + 16, 2)],
        Transport::Udp => &[(transport, 4), (transport + 6, 2)],
        Transport::IcmpRequest | Transport::IcmpReply => &[(transport + 2, 4)],
        Transport::IcmpError | Transport::IcmpOther | Transport::None => &[],
    };
    for (start, length) in [&[(offset + 8, 1), (offset + 10, 10)], fields].concat() {
        may_change.iter_mut().skip(start).take(length).for_each(|may| *may = true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use vnetem_packet_text::strategies;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn nothing_is_found_in_generated_packets(
            choice: [u8; 13],
            bytes in prop_oneof![
                strategies::packet().prop_map(|packet| packet.build().to_vec()),
                strategies::adversarial(),
            ],
        ) {
            parse_ipv4(&bytes);
            let chosen = [&choice[..], &bytes].concat();
            checksum_incremental(&chosen);
            rewrite_roundtrip(&chosen);
            icmp_inner(&chosen);
        }

        #[test]
        fn nothing_is_found_in_generated_events(
            fragments in prop::collection::vec(any::<u8>(), 0..400),
            ports in prop::collection::vec(any::<u8>(), 0..260),
            kind in 0..4_u8,
            rules in prop::collection::vec(any::<u8>(), 0..500),
        ) {
            frag_tracker(&fragments);
            port_pool_ops(&ports);
            authz_rules(&[&[kind][..], &rules].concat());
        }
    }

    /// INV-udp-zero-checksum and the corner cases of RFC 1624: one of all ports makes the checksum
    /// 0.
    #[test]
    fn every_udp_port_preserves_checksum() {
        let packet: Packet = "10.0.0.4:5 > 8.8.8.8:53 udp len 3".parse().unwrap();
        let packet = packet.build();
        let mut bytes = [&[1, 20, 1, 1, 1][..], &[0; 8], &packet].concat();
        for port in 0..=u16::MAX {
            bytes[5..7].copy_from_slice(&port.to_be_bytes());
            checksum_incremental(&bytes);
        }
    }

    #[test]
    fn a_residual_tells_right_from_wrong() {
        assert_eq!(residual(&[0x12, 0x34, 0xed, 0xcb], 0), 0xffff);
        assert_eq!(residual(&[0x12, 0x34, 0xed, 0xca], 0), 0xfffe);
        assert_eq!(residual(&[0, 0], 0), 0xffff);
        assert_eq!(residual(&[1], 0), 0x0100);
    }
}
