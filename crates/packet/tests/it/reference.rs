//! Slow and obvious reference implementations of checksum, parser and rewrite.

use std::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{
    Fragment, Headers, Malformed, Protocol, Rewrite, TcpFlags, TcpSegment, Transport,
};

/// Adds up all parts, 16 bits at a time, each carry at once.
pub(crate) fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for word in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        if sum > 0xFFFF {
            sum -= 0xFFFF;
        }
    }
    u16::try_from(sum).unwrap()
}

/// Computes the checksum from scratch.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    !sum(parts)
}

pub(crate) fn word(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

pub(crate) fn put(bytes: &mut [u8], offset: usize, word: u16) {
    bytes[offset..offset + 2].copy_from_slice(&word.to_be_bytes());
}

/// Corrects the header checksum.
pub(crate) fn mend(packet: &mut [u8]) {
    let length = usize::from(packet[0] & 15) * 4;
    put(packet, 10, 0);
    let right = checksum(&[&packet[..length]]);
    put(packet, 10, right);
}

/// Gives addresses and the other fields that TCP and UDP put in front of the segment.
fn pseudo_header(packet: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = packet[12..20].to_vec();
    bytes.extend([0, packet[9]]);
    bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
    bytes
}

/// Adds up all words under the transport checksum, itself included: a right one gives 0xFFFF.
///
/// The packet must be whole TCP, UDP or ICMP without a trailer.
pub(crate) fn transport_sum(packet: &[u8]) -> u16 {
    let payload = &packet[usize::from(packet[0] & 15) * 4..];
    match packet[9] {
        1 => sum(&[payload]),
        17 => {
            // Bytes beyond a datagram's own length are ignored (RFC 768).
            let datagram = &payload[..usize::from(word(payload, 4)).min(payload.len())];
            sum(&[&pseudo_header(packet, datagram.len()), datagram])
        }
        _ => sum(&[&pseudo_header(packet, payload.len()), payload]),
    }
}

/// Gives the offset of the transport checksum in the transport header.
pub(crate) const fn checksum_offset(protocol: u8) -> Option<usize> {
    match protocol {
        1 => Some(2),
        6 => Some(16),
        17 => Some(6),
        _ => None,
    }
}

/// Writes new ends into a whole packet with right checksums and computes all checksums anew.
pub(crate) fn rewrite(packet: &[u8], to: Rewrite, ttl: u8) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let header = usize::from(bytes[0] & 15) * 4;
    bytes[8] = ttl;
    for (new, offset) in [(to.source, 0), (to.destination, 1)] {
        let Some(new) = new else { continue };
        bytes[12 + 4 * offset..16 + 4 * offset].copy_from_slice(&new.ip().octets());
        let place = match (bytes[9], bytes.get(header).copied().unwrap_or(0), offset) {
            (6 | 17, _, _) => Some(2 * offset),
            (1, 8 | 13 | 15 | 17, 0) | (1, 0 | 14 | 16 | 18, 1) => Some(4),
            _ => None,
        };
        if let Some(place) = place {
            put(&mut bytes, header + place, new.port());
        }
    }
    mend(&mut bytes);
    if let Some(offset) = checksum_offset(bytes[9]) {
        let udp = bytes[9] == 17;
        if !udp || word(&bytes, header + offset) != 0 {
            put(&mut bytes, header + offset, 0);
            let right = !transport_sum(&bytes);
            put(&mut bytes, header + offset, if udp && right == 0 { 0xFFFF } else { right });
        }
    }
    bytes
}

/// Says whether the visible part of a cut ICMP message is all zeros, except for its checksum.
///
/// Then only the missing part could tell whether the checksum is 0x0000 or 0xFFFF. Vnetem writes
/// 0xFFFF, which is right for both.
pub(crate) fn is_cut_to_zeros(packet: &[u8], end: usize) -> bool {
    let message = &packet[usize::from(packet[0] & 15) * 4..end.min(packet.len())];
    packet[9] == 1
        && message.iter().enumerate().all(|(offset, byte)| *byte == 0 || offset == 2 || offset == 3)
}

/// Keeps the contract of [`Rewrite`]: the port of an ICMP query that holds no identifier is 0.
pub(crate) fn keep_identifier_apart(to: Rewrite, packet: &[u8]) -> Rewrite {
    let clear = |end: SocketAddrV4| SocketAddrV4::new(*end.ip(), 0);
    match (packet[9], packet.get(usize::from(packet[0] & 15) * 4)) {
        (1, Some(8 | 13 | 15 | 17)) => Rewrite { destination: to.destination.map(clear), ..to },
        (1, Some(0 | 14 | 16 | 18)) => Rewrite { source: to.source.map(clear), ..to },
        _ => to,
    }
}

/// Gives what [`Headers::parse`] must read, field by field in wide integers.
pub(crate) fn parse(bytes: &[u8]) -> Result<Headers, Malformed> {
    let byte = |offset: usize| u64::from(bytes[offset]);
    let field = |offset: usize, length: usize| {
        (offset..offset + length).fold(0, |value, at| value << 8 | byte(at))
    };
    let narrow = |value: u64| u16::try_from(value).unwrap();
    let length = bytes.len() as u64;
    if length < 20 {
        return Err(Malformed::Truncated);
    }
    if byte(0) / 16 != 4 {
        return Err(Malformed::NotIpv4);
    }
    let header = byte(0) % 16 * 4;
    if header < 20 || header > length {
        return Err(Malformed::HeaderLength);
    }
    let at = usize::try_from(header).unwrap();
    let total = field(2, 2);
    if total < header || total > length {
        return Err(Malformed::TotalLength);
    }
    if sum(&[&bytes[..at]]) != 0xFFFF {
        return Err(Malformed::HeaderChecksum);
    }
    check_header_options(&bytes[20..at])?;
    let (more, offset, payload) = (byte(6) / 32 % 2 == 1, field(6, 2) % 8192 * 8, total - header);
    if more || offset > 0 {
        if payload == 0 || (more && payload % 8 != 0) {
            return Err(Malformed::FragmentLength);
        }
        if header + offset + payload > 65_535 {
            return Err(Malformed::FragmentEnd);
        }
        if byte(9) == 6 && offset == 8 {
            return Err(Malformed::TinyFragment);
        }
    }
    let fragment = match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        (offset, more) => Fragment::Later { offset: narrow(offset), last: !more },
    };
    let (mut ports, mut transport) = ([0, 0], Transport::None);
    match (offset, byte(9)) {
        (0, 6) => {
            let cut = if more { Malformed::TinyFragment } else { Malformed::TcpHeader };
            if payload < 20 {
                return Err(cut);
            }
            let data_offset = byte(at + 12) / 16 * 4;
            if data_offset < 20 {
                return Err(Malformed::TcpHeader);
            }
            if data_offset > payload {
                return Err(cut);
            }
            ports = [field(at, 2), field(at + 2, 2)];
            transport = Transport::Tcp(TcpSegment {
                sequence: u32::try_from(field(at + 4, 4)).unwrap(),
                acknowledgement: u32::try_from(field(at + 8, 4)).unwrap(),
                window: narrow(field(at + 14, 2)),
                payload_length: narrow(payload - data_offset),
                header_length: u8::try_from(data_offset).unwrap(),
                flags: TcpFlags(bytes[at + 13]),
            });
        }
        (0, 17) => {
            if payload < 8 {
                return Err(Malformed::UdpLength);
            }
            let length = field(at + 4, 2);
            if length < 8 || (!more && length > payload) {
                return Err(Malformed::UdpLength);
            }
            ports = [field(at, 2), field(at + 2, 2)];
            transport = Transport::Udp;
        }
        (0, 1) => {
            if payload < 8 {
                return Err(Malformed::IcmpLength);
            }
            transport = match byte(at) {
                8 | 13 | 15 | 17 => {
                    ports = [field(at + 4, 2), 0];
                    Transport::IcmpRequest
                }
                0 | 14 | 16 | 18 => {
                    ports = [0, field(at + 4, 2)];
                    Transport::IcmpReply
                }
                3 | 4 | 5 | 11 | 12 => Transport::IcmpError,
                _ => Transport::IcmpOther,
            };
        }
        _ => {}
    }
    Ok(Headers {
        source: Ipv4Addr::from_bits(u32::try_from(field(12, 4)).unwrap()),
        destination: Ipv4Addr::from_bits(u32::try_from(field(16, 4)).unwrap()),
        source_port: narrow(ports[0]),
        destination_port: narrow(ports[1]),
        total_length: narrow(total),
        identification: narrow(field(4, 2)),
        header_length: u8::try_from(header).unwrap(),
        ttl: bytes[8],
        protocol: Protocol(bytes[9]),
        dont_fragment: byte(6) / 64 % 2 == 1,
        fragment,
        transport,
    })
}

fn check_header_options(mut list: &[u8]) -> Result<(), Malformed> {
    loop {
        list = match *list {
            [] | [0, ..] => return Ok(()),
            [1, ref rest @ ..] => rest,
            [_, length, ..] if length < 2 || usize::from(length) > list.len() => {
                return Err(Malformed::HeaderOptions);
            }
            [131 | 137, _, ..] => return Err(Malformed::SourceRoute),
            [_, length, ..] => &list[usize::from(length)..],
            [_] => return Err(Malformed::HeaderOptions),
        };
    }
}
