//! Translates between IPv4 and IPv6 headers and updates the transport checksum for the new
//! pseudo-header.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Encapsulated, Untranslatable};
use crate::checksum::{add, difference, shift, sum};
use crate::{Fragment, Headers, Protocol, Transport};

pub(super) const IPV4_LENGTH: usize = 20;
pub(super) const IPV6_LENGTH: usize = 40;
pub(super) const FRAGMENT_LENGTH: usize = 8;
/// The next-header number of the fragment header (RFC 8200 4.5).
pub(super) const FRAGMENT_HEADER: u8 = 44;
/// Protocol numbers that IPv6 uses for further headers (RFC 8200 4, RFC 7045 2).
///
/// They are hop-by-hop options, routing, fragment, destination options, mobility, host identity,
/// shim.
pub(super) const EXTENSION_HEADERS: [u8; 7] = [0, 43, FRAGMENT_HEADER, 60, 135, 139, 140];

/// Writes an IPv4 packet as IPv6 between `ends` and gives its length in bytes (W-09, RFC 7915 4.1).
pub(super) fn to_ipv6(
    packet: &[u8],
    headers: &Headers,
    ends: [Ipv6Addr; 2],
    buffer: &mut [u8],
) -> Result<usize, Untranslatable> {
    if usize::from(headers.header_length) != IPV4_LENGTH {
        return Err(Untranslatable::Options);
    }
    if EXTENSION_HEADERS.contains(&headers.protocol.0) {
        return Err(Untranslatable::Protocol);
    }
    let payload = packet
        .get(IPV4_LENGTH..usize::from(headers.total_length))
        .ok_or(Untranslatable::Truncated)?;
    let fragment = fragment_header(headers);
    let extension = fragment.as_ref().map_or(&[][..], |header| header);
    let length = u16::try_from(payload.len().saturating_add(extension.len()))
        .map_err(|_| Untranslatable::TooLong)?;
    let mut header = [0; IPV6_LENGTH];
    header[0] = 0x60;
    [header[4], header[5]] = length.to_be_bytes();
    header[6] = fragment.map_or(headers.protocol.0, |_| FRAGMENT_HEADER);
    header[7] = headers.ttl;
    header[8..24].copy_from_slice(&ends[0].octets());
    header[24..].copy_from_slice(&ends[1].octets());
    let (_, rest) = put(buffer, &header)?;
    let (_, rest) = put(rest, extension)?;
    let (body, _) = put(rest, payload)?;
    let new = sum(&header[8..]);
    let old = add(sum(&headers.source.octets()), sum(&headers.destination.octets()));
    match headers.transport {
        Transport::Udp if body.get(6..8) == Some(&[0, 0]) => complete_udp(body, headers, new)?,
        Transport::Tcp(_) | Transport::Udp => update(body, headers.protocol, difference(old, new)),
        _ => {}
    }
    Ok(usize::from(length).saturating_add(IPV6_LENGTH))
}

/// Writes the IPv6 packet with this payload as IPv4 between `ends` and gives its length in bytes
/// (W-10, RFC 7915 5.1).
pub(super) fn to_ipv4(
    packet: &Encapsulated,
    payload: &[u8],
    ends: [Ipv4Addr; 2],
    buffer: &mut [u8],
) -> Result<usize, Untranslatable> {
    let length = payload.len().saturating_add(IPV4_LENGTH);
    let total = u16::try_from(length).map_err(|_| Untranslatable::TooLong)?;
    let (identification, place) = packet.fragment.unwrap_or((1, 0));
    let mut header = [0; IPV4_LENGTH];
    header[0] = 0x45;
    [header[2], header[3]] = total.to_be_bytes();
    [header[4], header[5]] = identification.to_be_bytes();
    // Both offsets count eight bytes. IPv6 puts it above three bits, the last of which means more
    // fragments; IPv4 puts it below three.
    [header[6], header[7]] = (place >> 3 | (place & 1) << 13).to_be_bytes();
    header[8] = packet.hop_limit;
    header[9] = packet.protocol.0;
    header[12..16].copy_from_slice(&ends[0].octets());
    header[16..].copy_from_slice(&ends[1].octets());
    let new = sum(&header[12..]);
    [header[10], header[11]] = (!sum(&header)).to_be_bytes();
    let (_, rest) = put(buffer, &header)?;
    let (body, _) = put(rest, payload)?;
    if place >> 3 == 0 {
        let old = add(sum(&packet.source.octets()), sum(&packet.destination.octets()));
        update(body, packet.protocol, difference(old, new));
    }
    Ok(length)
}

/// Copies bytes to the front of a buffer. Gives the copy and the rest.
pub(super) fn put<'a>(
    buffer: &'a mut [u8],
    bytes: &[u8],
) -> Result<(&'a mut [u8], &'a mut [u8]), Untranslatable> {
    let (front, rest) =
        buffer.split_at_mut_checked(bytes.len()).ok_or(Untranslatable::BufferTooShort)?;
    front.copy_from_slice(bytes);
    Ok((front, rest))
}

/// Makes the extension header of a fragment (RFC 8200 4.5).
fn fragment_header(headers: &Headers) -> Option<[u8; FRAGMENT_LENGTH]> {
    let (offset, more) = match headers.fragment {
        Fragment::Whole => return None,
        Fragment::First => (0, true),
        Fragment::Later { offset, last } => (offset, !last),
    };
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    let [a, b] = headers.identification.to_be_bytes();
    Some([headers.protocol.0, 0, high, low, 0, 0, a, b])
}

/// Updates the checksum for a growth of the address sum. The rest of the pseudo-header is the same
/// in both versions.
fn update(body: &mut [u8], protocol: Protocol, growth: u16) {
    let field = match protocol {
        Protocol::TCP => body.get_mut(16..18),
        Protocol::UDP => body.get_mut(6..8),
        _ => None,
    };
    let Some([high, low]) = field else { return };
    let old = u16::from_be_bytes([*high, *low]);
    if protocol != Protocol::UDP || old != 0 {
        [*high, *low] = written(protocol, shift(old, growth));
    }
}

/// Computes the checksum of a UDP datagram that has none; `addresses` is the sum of its addresses.
fn complete_udp(body: &mut [u8], headers: &Headers, addresses: u16) -> Result<(), Untranslatable> {
    if headers.fragment != Fragment::Whole {
        return Err(Untranslatable::UncheckedFragment);
    }
    let length = u16::try_from(body.len()).map_err(|_| Untranslatable::TooLong)?;
    let above = add(addresses, add(length, u16::from(headers.protocol.0)));
    let checksum = written(headers.protocol, !add(above, sum(body)));
    if let Some(field) = body.get_mut(6..8) {
        field.copy_from_slice(&checksum);
    }
    Ok(())
}

/// Gives the bytes of a computed checksum. In UDP, 0 would mean that there is none
/// (INV-udp-zero-checksum).
fn written(protocol: Protocol, checksum: u16) -> [u8; 2] {
    match checksum {
        0 if protocol == Protocol::UDP => [0xFF, 0xFF],
        checksum => checksum.to_be_bytes(),
    }
}
