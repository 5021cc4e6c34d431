//! Checks of headers, checksums and resets, packet by packet.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::checksum::update;
use vnetem_packet::{Headers, Malformed, Protocol, Reset, TcpFlags};
use vnetem_packet_text::{Content, Datagram, Packet, Segment};

use super::Extent;

/// Checks that a malformed header is refused for the first fault in it
/// (INV-malformed-headers-dropped).
pub(super) fn lengths(extent: Extent) -> u64 {
    let mut states = 0;
    let step = if extent == Extent::Whole { 1 } else { 257 };
    for first in 0..=u8::MAX {
        for total in (0..=u16::MAX).step_by(step).chain(if step == 1 { 0..0 } else { 1..100 }) {
            let mut bytes = [0; 64];
            bytes[0] = first;
            bytes[2..4].copy_from_slice(&total.to_be_bytes());
            // With another protocol nothing behind the header is read. Options are padding only.
            bytes[8..10].copy_from_slice(&[64, 47]);
            let header = usize::from(first & 15) * 4;
            bytes[20..header.clamp(20, 60)].fill(1);
            let mut sum: u32 = bytes[..header.clamp(20, 60)]
                .chunks(2)
                .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                .sum();
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            bytes[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
            for there in [0, 19, 20, 24, 59, 60, 63, 64] {
                let expected = match () {
                    () if there < 20 => Err(Malformed::Truncated),
                    () if first >> 4 != 4 => Err(Malformed::NotIpv4),
                    () if header < 20 || header > there => Err(Malformed::HeaderLength),
                    () if usize::from(total) < header || usize::from(total) > there => {
                        Err(Malformed::TotalLength)
                    }
                    () => Ok(total),
                };
                let parsed = Headers::parse(&bytes[..there]).map(|headers| headers.total_length);
                assert_eq!(parsed, expected, "first byte {first:#x}, total length {total}");
                states += 1;
            }
        }
    }
    states
}

/// Compares RFC 1624 with a full sum, for one word that changes and one for the rest
/// (INV-checksum-update-exact).
pub(super) fn updates(extent: Extent) -> u64 {
    let add = |left: u16, right: u16| {
        let sum = u32::from(left) + u32::from(right);
        ((sum & 0xffff) + (sum >> 16)) as u16
    };
    let old = 0x1234;
    let step = if extent == Extent::Whole { 1 } else { 61 };
    let mut states = 0;
    for rest in (0..=u16::MAX).step_by(step) {
        let checksum = !add(rest, old);
        // If only zeros are left, the sum has two representations (RFC 1624 3).
        let agrees = |new| update(checksum, old, new) == !add(rest, new) || rest | new == 0;
        let all = (0..=u16::MAX).fold(true, |all, new| all & agrees(new));
        assert!(all, "the rest sums to {rest:#06x}");
        states += 1 << 16;
    }
    states
}

/// Checks that a UDP checksum of 0 stays, a computed 0 is written as 0xFFFF, and TCP's may be 0
/// (INV-udp-zero-checksum). A port is chosen that causes each case.
pub(super) fn computed_zeros(extent: Extent) -> u64 {
    let ends = (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(8, 8, 8, 8));
    let datagram = |checksum| {
        let datagram = Datagram { source_port: 7, destination_port: 53, checksum, length: 3 };
        Packet::new(ends.0, ends.1, Content::Udp(datagram)).build().to_vec()
    };
    let segment = Segment::new(7, 443, TcpFlags::SYN);
    let segment = Packet::new(ends.0, ends.1, Content::Tcp(segment)).build().to_vec();
    let step = if extent == Extent::Whole { 1 } else { 16 };
    let mut states = 0;
    for (packet, at) in [(datagram(true), 26), (datagram(false), 26), (segment, 36)] {
        let headers = Headers::parse(&packet).unwrap_or_else(|cause| panic!("{cause}"));
        let none = packet[at..at + 2] == [0, 0];
        let mut zeros = 0;
        for fourth in (0..=u8::MAX).step_by(step) {
            for port in 0..=u16::MAX {
                let source = SocketAddrV4::new(Ipv4Addr::new(20, 1, 1, fourth), port);
                let mut after = packet.clone();
                let by = vnetem_packet::Rewrite { source: Some(source), destination: None };
                vnetem_packet::rewrite(&mut after, &headers, by, 63);
                let checksum = u16::from_be_bytes([after[at], after[at + 1]]);
                let right = vnetem_packet::Checksums::of(&after, &headers).none_wrong();
                assert!(right, "{headers} from {source}");
                let is_udp = headers.protocol == Protocol::UDP;
                assert_eq!(checksum == 0, none || checksum == 0 && !is_udp, "{headers} {source}");
                zeros += u64::from(checksum == 0 || is_udp && checksum == 0xffff);
                states += 1;
            }
        }
        assert!(zeros > 0, "no port made the sum 0: nothing was shown");
    }
    states
}

/// Checks RFC 9293 3.10.7.1 for every set of flags, with segments at the limits
/// (INV-reset-answers-segment).
pub(super) fn flags(_: Extent) -> u64 {
    let corners = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let mut states = 0;
    for bits in 0..=u8::MAX {
        for (sequence, acknowledgement) in corners.into_iter().flat_map(|a| corners.map(|b| (a, b)))
        {
            for length in [0, 1, 1460] {
                let segment = Segment {
                    sequence,
                    acknowledgement,
                    length,
                    ..Segment::new(50_001, 443, TcpFlags(bits))
                };
                let (host, service) = (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(52, 239, 1, 9));
                let packet = Packet::new(host, service, Content::Tcp(segment)).build();
                let headers = Headers::parse(&packet).unwrap_or_else(|cause| panic!("{cause}"));
                let has = |flag: TcpFlags| bits & flag.0 != 0;
                let end = sequence
                    .wrapping_add(u32::from(length))
                    .wrapping_add(u32::from(has(TcpFlags::SYN)))
                    .wrapping_add(u32::from(has(TcpFlags::FIN)));
                let expected = match () {
                    () if has(TcpFlags::RST) => None,
                    () if has(TcpFlags::ACK) => Some((acknowledgement, None)),
                    () => Some((0, Some(end))),
                };
                let reset = Reset::answering(&headers);
                let numbers = reset.map(|reset| (reset.sequence, reset.acknowledgement));
                assert_eq!(numbers, expected, "flags {bits:#04x}");
                if let Some(reset) = reset {
                    assert_eq!((reset.source, reset.destination), {
                        let tuple = headers.tuple();
                        (tuple.destination, tuple.source)
                    });
                    let written = reset.write(1, 64);
                    let read = Headers::parse(&written).unwrap_or_else(|cause| panic!("{cause}"));
                    assert!(
                        vnetem_packet::Checksums::of(&written, &read).none_wrong(),
                        "INV-generated-packets-valid"
                    );
                    assert_eq!(
                        Reset::answering(&read),
                        None,
                        "a reset is never answered (INV-resets-bounded)"
                    );
                }
                states += 1;
            }
        }
    }
    states
}
