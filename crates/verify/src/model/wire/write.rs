//! Rewrites packets, and makes resets and ICMP errors.

use super::*;

/// Rewrites addresses and ports. Nothing else changes but the TTL and the checksums
/// (INV-only-needed-bytes-change).
pub(crate) fn readdress(
    bytes: &[u8],
    packet: &Packet,
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: u8,
) -> Vec<u8> {
    let mut new = bytes.to_vec();
    put(&mut new, 8, &[ttl]);
    put_ends(&mut new, packet, source, destination);
    new
}

/// Rewrites an ICMP error and the packet that it quotes (T-22, T-23, INV-icmp-quote-translated).
pub(crate) fn readdress_error(
    bytes: &[u8],
    error: &Packet,
    (source, destination): (Ipv4Addr, Ipv4Addr),
    (inner_source, inner_destination): (SocketAddrV4, SocketAddrV4),
    ttl: u8,
) -> Option<Vec<u8>> {
    let (inner, at) = quoted(bytes, error).ok()?;
    let mut new = bytes.to_vec();
    put_ends(new.get_mut(at..error.total)?, &inner, inner_source, inner_destination);
    let (before, after) =
        (bytes.get(error.header..error.total)?, new.get(error.header..error.total)?);
    let sum = carried(before, after, 2, 0, 0);
    put(&mut new, error.header + 2, &sum.to_be_bytes());
    let ends = (SocketAddrV4::new(source, 0), SocketAddrV4::new(destination, 0));
    Some(readdress(&new, error, ends.0, ends.1, ttl))
}

/// Lowers the segment size that a SYN announces to a limit (T-36, RFC 6691). Other packets stay as
/// they are.
pub(crate) fn clamp(bytes: Vec<u8>, packet: &Packet, limit: u16) -> Vec<u8> {
    if !packet.segment().is_some_and(|segment| segment.has(SYN)) {
        return bytes;
    }
    let at = packet.header;
    let words = bytes.get(at + 12).map_or(0, |byte| usize::from(byte >> 4));
    let mut option = at + 20;
    let end = (at + words * 4).min(packet.total);
    while option < end {
        match bytes.get(option..end) {
            Some(&[1, ..]) => option += 1,
            Some(&[2, 4, high, low, ..]) if u16::from_be_bytes([high, low]) > limit => {
                let mut new = bytes.clone();
                put(&mut new, option + 2, &limit.to_be_bytes());
                let segment = at..end_of_segment(&bytes, packet);
                let (before, after) = (bytes.get(segment.clone()), new.get(segment.clone()));
                let ends = total(bytes.get(12..20).unwrap_or_default());
                let pseudo = ends + u64::from(TCP) + segment.len() as u64;
                let sum = before.zip(after).map(|(old, new)| carried(old, new, 16, pseudo, pseudo));
                put(&mut new, at + 16, &sum.unwrap_or_default().to_be_bytes());
                // The option may occur again.
                return clamp(new, packet, limit);
            }
            Some(&[kind, length, ..]) if kind != 0 && length >= 2 => option += usize::from(length),
            _ => return bytes,
        }
    }
    bytes
}

/// Writes addresses, ports and checksums into a packet that may be cut short.
fn put_ends(bytes: &mut [u8], packet: &Packet, source: SocketAddrV4, destination: SocketAddrV4) {
    let old = bytes.to_vec();
    put(bytes, 12, &source.ip().octets());
    put(bytes, 16, &destination.ip().octets());
    let at = packet.header;
    let sum_at = match (packet.part, packet.protocol) {
        (Part::Later { .. }, _) => None,
        (_, TCP) => Some(16),
        (_, UDP) => Some(6),
        (_, ICMP) => Some(2),
        _ => None,
    };
    match (packet.kind, packet.protocol) {
        (Kind::IcmpRequest, _) => put(bytes, at + 4, &source.port().to_be_bytes()),
        (Kind::IcmpReply, _) => put(bytes, at + 4, &destination.port().to_be_bytes()),
        (_, TCP | UDP) if sum_at.is_some() => {
            put(bytes, at, &source.port().to_be_bytes());
            put(bytes, at + 2, &destination.port().to_be_bytes());
        }
        _ => {}
    }
    let end = end_of_segment(bytes, packet);
    if let (Some(sum_at), Some(before), Some(after)) =
        (sum_at, old.get(at..end), bytes.get(at..end))
        && before.len() >= sum_at + 2
    {
        let length = end - at;
        let pseudo = |bytes: &[u8]| match packet.protocol {
            ICMP => 0,
            protocol => {
                total(bytes.get(12..20).unwrap_or_default()) + u64::from(protocol) + length as u64
            }
        };
        let given = word(before, sum_at);
        let mut sum = carried(before, after, sum_at, pseudo(&old), pseudo(bytes));
        if packet.protocol == UDP {
            sum = match (given, sum) {
                (0, _) => 0,
                (_, 0) => 0xffff,
                (_, sum) => sum,
            };
        }
        put(bytes, at + sum_at, &sum.to_be_bytes());
    }
    finish_header(bytes, at);
}

/// Returns the checksum after a change. A right one stays right, and a wrong one stays wrong by the
/// same amount (INV-wrong-checksum-stays-wrong). So the first fragment of a datagram keeps the
/// checksum of the whole (INV-fragment-checksum-right).
fn carried(
    before: &[u8],
    after: &[u8],
    sum_at: usize,
    pseudo_before: u64,
    pseudo_after: u64,
) -> u16 {
    let given = word(before, sum_at);
    let scratch =
        |bytes: &[u8], pseudo: u64| !folded(total(bytes) - u64::from(word(bytes, sum_at)) + pseudo);
    let (old, new) = (scratch(before, pseudo_before), scratch(after, pseudo_after));
    let unchanged = pseudo_before == pseudo_after
        && before.iter().zip(after).enumerate().all(|(at, (a, b))| a == b || at / 2 * 2 == sum_at);
    if unchanged {
        given
    } else if given == old {
        new
    } else {
        let carried = (u32::from(given) + u32::from(new) + 2 * 65_535 - u32::from(old)) % 65_535;
        u16::try_from(carried).unwrap_or_default()
    }
}

/// Makes a TCP reset: RST, or RST and ACK, with a window of 0 and the don't-fragment bit
/// (INV-generated-packets-valid).
pub(crate) fn reset(
    (source, destination): (SocketAddrV4, SocketAddrV4),
    sequence: u32,
    acknowledgement: Option<u32>,
) -> Vec<u8> {
    let mut bytes = header(TCP, *source.ip(), *destination.ip(), 40);
    put(&mut bytes, 20, &source.port().to_be_bytes());
    put(&mut bytes, 22, &destination.port().to_be_bytes());
    put(&mut bytes, 24, &sequence.to_be_bytes());
    put(&mut bytes, 28, &acknowledgement.unwrap_or_default().to_be_bytes());
    put(&mut bytes, 32, &[0x50, RST | if acknowledgement.is_some() { ACK } else { 0 }]);
    finish(&mut bytes, 16);
    bytes
}

/// Makes the reset that answers a segment without a connection (INV-reset-answers-segment, RFC 9293
/// 3.10.7.1). A reset is never answered.
pub(crate) fn reset_answering(packet: &Packet) -> Option<Vec<u8>> {
    let segment = packet.segment().filter(|segment| !segment.has(RST))?;
    let ends = (packet.destination, packet.source);
    if segment.has(ACK) {
        Some(reset(ends, segment.acknowledgement, None))
    } else if packet.part == Part::Whole {
        Some(reset(ends, 0, Some(segment.end())))
    } else {
        None
    }
}

/// Makes an ICMP time exceeded error about a packet (INV-last-hop-ends, T-26).
pub(crate) fn time_exceeded(from: Ipv4Addr, about: &[u8], packet: &Packet) -> Vec<u8> {
    error_about(from, (11, 0), about, packet)
}

/// Makes an ICMP fragmentation needed error, with the MTU of the next link (T-27, RFC 1191 4).
pub(crate) fn too_long(from: Ipv4Addr, size: u16, about: &[u8], packet: &Packet) -> Vec<u8> {
    let mut bytes = error_about(from, (3, 4), about, packet);
    put(&mut bytes, 26, &size.to_be_bytes());
    finish(&mut bytes, 2);
    bytes
}

/// Makes an ICMP error about a packet: at most 576 bytes, with the packet's own identification.
pub(crate) fn error_about(
    from: Ipv4Addr,
    (kind, code): (u8, u8),
    about: &[u8],
    packet: &Packet,
) -> Vec<u8> {
    let quote = about.get(..packet.total.min(576 - 28)).unwrap_or_default();
    let mut bytes = header(ICMP, from, *packet.source.ip(), 28 + quote.len());
    put(&mut bytes, 4, &packet.identification.to_be_bytes());
    put(&mut bytes, 20, &[kind, code]);
    put(&mut bytes, 28, quote);
    put(&mut bytes, 1, &[0xc0]);
    put(&mut bytes, 6, &[0, 0]);
    finish(&mut bytes, 2);
    bytes
}

fn header(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    put(&mut bytes, 0, &[0x45]);
    put(&mut bytes, 2, &u16::try_from(length).unwrap_or_default().to_be_bytes());
    put(&mut bytes, 6, &[0x40, 0, 64, protocol]);
    put(&mut bytes, 12, &source.octets());
    put(&mut bytes, 16, &destination.octets());
    bytes
}

/// Fills in the checksum of an IPv4 header of this length.
pub(crate) fn finish_header(bytes: &mut [u8], length: usize) {
    put(bytes, 10, &[0, 0]);
    let sum = !folded(total(bytes.get(..length).unwrap_or_default()));
    put(bytes, 10, &sum.to_be_bytes());
}

/// Fills in both checksums of a packet whose header has 20 bytes.
pub(crate) fn finish(bytes: &mut [u8], sum_at: usize) {
    finish_header(bytes, 20);
    put(bytes, 20 + sum_at, &[0, 0]);
    let segment = bytes.get(20..).unwrap_or_default();
    let pseudo = match bytes.get(9) {
        Some(&protocol @ (TCP | UDP)) => {
            total(bytes.get(12..20).unwrap_or_default())
                + u64::from(protocol)
                + segment.len() as u64
        }
        _ => 0,
    };
    let sum = !folded(total(segment) + pseudo);
    put(bytes, 20 + sum_at, &sum.to_be_bytes());
}
