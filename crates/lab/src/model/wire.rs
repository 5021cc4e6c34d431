//! Packets as the model sees them: read with etherparse, rewritten field by field, every sum computed from scratch.

use core::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, UdpHeaderSlice};
use vnetem::Malformed;

/// ICMP, TCP and UDP by number.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    pub(crate) identification: u16,
    /// Lengths in bytes of the IPv4 header and of all.
    pub(crate) header: usize,
    pub(crate) total: usize,
    pub(crate) part: Part,
    pub(crate) kind: Kind,
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    First,
    Later { offset: usize, last: bool },
}

/// What the transport header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp(Segment),
    Udp,
    IcmpRequest,
    IcmpReply,
    IcmpError,
    IcmpOther,
    Other,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Window scale option, if there is one.
    pub(crate) scale: Option<u8>,
    /// Sequence space taken: data, SYN and FIN.
    pub(crate) length: u32,
}

impl Segment {
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The sequence number behind the segment.
    pub(crate) const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }
}

impl Packet {
    /// Reads a packet, or says why it is none: the first cause in the order of the fields (P2, P4, P6, P7, F3).
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.first() {
            _ if bytes.len() < 20 => return Err(Malformed::Truncated),
            Some(first) if first >> 4 != 4 => return Err(Malformed::NotIpv4),
            _ => {}
        }
        let ip = Ipv4HeaderSlice::from_slice(bytes).map_err(|_| Malformed::HeaderLength)?;
        let (header, total) = (ip.slice().len(), usize::from(ip.total_len()));
        let Some(payload) = bytes.get(header..total) else {
            return Err(Malformed::TotalLength);
        };
        if !header_sum_is_right(ip.slice()) {
            return Err(Malformed::HeaderChecksum);
        }
        check_options(ip.options())?;
        let offset = usize::from(ip.fragments_offset().value()) * 8;
        let (more, protocol) = (ip.more_fragments(), ip.protocol().0);
        let part = match (offset, more) {
            (0, false) => Part::Whole,
            (0, true) => Part::First,
            _ => Part::Later { offset, last: !more },
        };
        if part != Part::Whole {
            if payload.is_empty() || more && payload.len() % 8 != 0 {
                return Err(Malformed::FragmentLength);
            }
            if header + offset + payload.len() > 65_535 {
                return Err(Malformed::FragmentEnd);
            }
            let tiny = part == Part::First && payload.len() < 20 || offset == 8;
            if protocol == TCP && tiny {
                return Err(Malformed::TinyFragment);
            }
        }
        let (kind, source_port, destination_port) = match part {
            Part::Later { .. } => (Kind::Other, 0, 0),
            _ => transport(protocol, payload, part == Part::First)?,
        };
        Ok(Self {
            source: SocketAddrV4::new(ip.source_addr(), source_port),
            destination: SocketAddrV4::new(ip.destination_addr(), destination_port),
            protocol,
            ttl: ip.ttl(),
            identification: ip.identification(),
            header,
            total,
            part,
            kind,
        })
    }

    /// The TCP segment, if it is one.
    pub(crate) const fn segment(&self) -> Option<Segment> {
        if let Kind::Tcp(segment) = self.kind { Some(segment) } else { None }
    }

    /// Addresses and ports, in the direction of travel.
    pub(crate) const fn ends(&self) -> (u8, SocketAddrV4, SocketAddrV4) {
        (self.protocol, self.source, self.destination)
    }
}

fn transport(protocol: u8, payload: &[u8], first: bool) -> Result<(Kind, u16, u16), Malformed> {
    match protocol {
        TCP => {
            let tcp = TcpHeaderSlice::from_slice(payload).map_err(|_| {
                // A fragment that holds less than its header claims is the tiny fragment of RFC 1858.
                let claimed = payload.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
                if first && claimed > payload.len() {
                    Malformed::TinyFragment
                } else {
                    Malformed::TcpHeader
                }
            })?;
            let flags = payload.get(13).copied().unwrap_or_default();
            let data = payload.len() - tcp.slice().len();
            let segment = Segment {
                sequence: tcp.sequence_number(),
                acknowledgement: tcp.acknowledgment_number(),
                flags,
                window: tcp.window_size(),
                scale: window_scale(tcp.options()),
                length: u32::try_from(data).unwrap_or_default()
                    + u32::from(tcp.syn())
                    + u32::from(tcp.fin()),
            };
            Ok((Kind::Tcp(segment), tcp.source_port(), tcp.destination_port()))
        }
        UDP => {
            let udp = UdpHeaderSlice::from_slice(payload).map_err(|_| Malformed::UdpLength)?;
            let claimed = usize::from(udp.length());
            if claimed < 8 || !first && claimed > payload.len() {
                return Err(Malformed::UdpLength);
            }
            Ok((Kind::Udp, udp.source_port(), udp.destination_port()))
        }
        ICMP => {
            let &[kind, _, _, _, high, low, _, _, ..] = payload else {
                return Err(Malformed::IcmpLength);
            };
            let identifier = u16::from_be_bytes([high, low]);
            Ok(match kind {
                8 | 13 | 15 | 17 => (Kind::IcmpRequest, identifier, 0),
                0 | 14 | 16 | 18 => (Kind::IcmpReply, 0, identifier),
                3 | 4 | 5 | 11 | 12 => (Kind::IcmpError, 0, 0),
                _ => (Kind::IcmpOther, 0, 0),
            })
        }
        _ => Ok((Kind::Other, 0, 0)),
    }
}

/// Source routes and lists that hide what they hold are refused (P7).
fn check_options(mut options: &[u8]) -> Result<(), Malformed> {
    loop {
        options = match *options {
            [] | [0, ..] => return Ok(()),
            [1, ref rest @ ..] => rest,
            [131 | 137, length, ..] if (2..=options.len()).contains(&usize::from(length)) => {
                return Err(Malformed::SourceRoute);
            }
            [_, length, ..] if length >= 2 => {
                options.get(usize::from(length)..).ok_or(Malformed::HeaderOptions)?
            }
            _ => return Err(Malformed::HeaderOptions),
        }
    }
}

fn window_scale(mut options: &[u8]) -> Option<u8> {
    let mut scale = None;
    loop {
        options = match *options {
            [1, ref rest @ ..] => rest,
            [3, 3, shift, ref rest @ ..] => {
                scale = Some(shift.min(14));
                rest
            }
            [kind, length, ..] if kind != 0 && length >= 2 => {
                match options.get(usize::from(length)..) {
                    Some(rest) => rest,
                    None => return scale,
                }
            }
            _ => return scale,
        }
    }
}

/// The packet that an ICMP error quotes: what it says, and where it begins (T-22, T-25, RFC 5508).
pub(crate) fn quoted(bytes: &[u8], error: &Packet) -> Result<(Packet, usize), Malformed> {
    let at = error.header + 8;
    let inner = bytes.get(at..error.total).unwrap_or_default();
    if inner.len() < 20 {
        return Err(Malformed::QuoteTruncated);
    }
    let ip = Ipv4HeaderSlice::from_slice(inner).map_err(|_| Malformed::QuoteHeader)?;
    let header = ip.slice().len();
    if !header_sum_is_right(ip.slice()) || usize::from(ip.total_len()) < header {
        return Err(Malformed::QuoteHeader);
    }
    let total = inner.len().min(usize::from(ip.total_len()));
    let payload = inner.get(header..total).unwrap_or_default();
    let protocol = ip.protocol().0;
    let offset = usize::from(ip.fragments_offset().value()) * 8;
    let part = match (offset, ip.more_fragments()) {
        (0, false) => Part::Whole,
        (0, true) => Part::First,
        (_, more) => Part::Later { offset, last: !more },
    };
    let later = matches!(part, Part::Later { .. });
    let (kind, source, destination) = match (protocol, payload) {
        _ if later => (Kind::Other, 0, 0),
        (ICMP | TCP | UDP, payload) if payload.len() < 8 => return Err(Malformed::QuoteTruncated),
        (TCP | UDP, &[a, b, c, d, ..]) => {
            (Kind::Udp, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        }
        (ICMP, _) => transport(ICMP, payload, false)?,
        _ => (Kind::Other, 0, 0),
    };
    if kind == Kind::IcmpError {
        return Err(Malformed::QuoteOfError);
    }
    let packet = Packet {
        source: SocketAddrV4::new(ip.source_addr(), source),
        destination: SocketAddrV4::new(ip.destination_addr(), destination),
        protocol,
        ttl: ip.ttl(),
        identification: ip.identification(),
        header,
        total,
        part,
        kind,
    };
    Ok((packet, at))
}

/// The same bytes between other ends: nothing else changes but the time to live and the sums (W1 to W5).
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

/// An ICMP error between other ends, about a packet between other ends (T-22, T-23, W9).
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

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Writes ends and sums into a packet that may be cut short.
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

/// The checksum after a change: right stays right, and wrong stays wrong by the same amount (W3), which is also how the first
/// fragment of a datagram keeps the sum of all of it (F6).
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

/// Where that ends which the transport checksum covers: a UDP datagram by its own length, if it is whole (RFC 768).
fn end_of_segment(bytes: &[u8], packet: &Packet) -> usize {
    match (packet.part, packet.protocol) {
        (Part::Whole, UDP) => {
            let claimed = usize::from(word(bytes, packet.header + 4));
            if claimed >= 8 { packet.total.min(packet.header + claimed) } else { packet.total }
        }
        _ => packet.total,
    }
}

fn header_sum_is_right(header: &[u8]) -> bool {
    folded(total(header)) == 0xffff
}

fn word(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

/// The plain sum of all words, an odd last byte padded with zero.
fn total(bytes: &[u8]) -> u64 {
    let pair = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    bytes.chunks(2).map(pair).sum()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or_default()
}

/// Whether every sum that can be told is right: IPv4, and TCP, UDP or ICMP of whole datagrams (W1, R11).
pub(crate) fn sums_are_right(bytes: &[u8]) -> bool {
    Packet::read(bytes).is_ok_and(|packet| transport_sum_is_right(bytes, &packet) != Some(false))
}

/// Whether the transport checksum is right; `None` where there is none or it cannot be told.
pub(crate) fn transport_sum_is_right(bytes: &[u8], packet: &Packet) -> Option<bool> {
    let sum_at = match (packet.part, packet.protocol) {
        (Part::Whole, TCP) => 16,
        (Part::Whole, UDP) => 6,
        (Part::Whole, ICMP) => 2,
        _ => return None,
    };
    let segment = bytes.get(packet.header..end_of_segment(bytes, packet))?;
    if packet.protocol == UDP && word(segment, sum_at) == 0 {
        return None;
    }
    let pseudo = match packet.protocol {
        ICMP => 0,
        protocol => total(bytes.get(12..20)?) + u64::from(protocol) + segment.len() as u64,
    };
    Some(folded(total(segment) + pseudo) == 0xffff)
}

/// A TCP reset: RST, or RST and ACK, with a window of 0 and the don't-fragment bit (R11).
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

/// The reset that answers a segment of no connection (R4, RFC 9293 3.10.7.1); never one for a reset.
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

/// ICMP time exceeded about a packet (P10, T-26): 576 bytes at most, with the packet's own identification.
pub(crate) fn time_exceeded(from: Ipv4Addr, about: &[u8], packet: &Packet) -> Vec<u8> {
    let quote = about.get(..packet.total.min(576 - 28)).unwrap_or_default();
    let mut bytes = header(ICMP, from, *packet.source.ip(), 28 + quote.len());
    put(&mut bytes, 4, &packet.identification.to_be_bytes());
    put(&mut bytes, 20, &[11, 0]);
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

/// Fills in the sum of an IPv4 header of some length.
pub(crate) fn finish_header(bytes: &mut [u8], length: usize) {
    put(bytes, 10, &[0, 0]);
    let sum = !folded(total(bytes.get(..length).unwrap_or_default()));
    put(bytes, 10, &sum.to_be_bytes());
}

/// Fills in both sums of a packet whose header has 20 bytes.
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
