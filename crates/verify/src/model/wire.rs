//! Packets as the model sees them: read with etherparse, rewritten field by field, with every
//! checksum computed from scratch.

mod write;

use core::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, UdpHeaderSlice};
use vnetem::packet::Malformed;

pub(crate) use write::{
    clamp, error_about, finish, finish_header, readdress, readdress_error, reset, reset_answering,
    time_exceeded, too_long,
};

/// ICMP, TCP and UDP by number.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// The fields of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    pub(crate) identification: u16,
    pub(crate) dont_fragment: bool,
    /// Lengths in bytes of the IPv4 header and of the whole packet.
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

/// The transport header.
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
    /// Bytes of the packet that contains it.
    pub(crate) packet: u64,
    /// Whether it is only the first fragment, so that none of its data counts yet.
    pub(crate) partial: bool,
}

impl Segment {
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns the sequence number after the segment.
    pub(crate) const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }
}

impl Packet {
    /// Reads a packet, or returns the first fault in the order of the fields
    /// (INV-malformed-headers-dropped, INV-malformed-transport-dropped,
    /// INV-header-checksum-checked, INV-options-kept-or-refused, INV-bad-fragments-dropped).
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
            _ => transport(protocol, payload, part == Part::First, total)?,
        };
        Ok(Self {
            source: SocketAddrV4::new(ip.source_addr(), source_port),
            destination: SocketAddrV4::new(ip.destination_addr(), destination_port),
            protocol,
            ttl: ip.ttl(),
            identification: ip.identification(),
            dont_fragment: ip.dont_fragment(),
            header,
            total,
            part,
            kind,
        })
    }

    /// Returns the TCP segment, if it is one.
    pub(crate) const fn segment(&self) -> Option<Segment> {
        if let Kind::Tcp(segment) = self.kind { Some(segment) } else { None }
    }

    /// Returns protocol, addresses and ports, in the direction of travel.
    pub(crate) const fn ends(&self) -> (u8, SocketAddrV4, SocketAddrV4) {
        (self.protocol, self.source, self.destination)
    }
}

fn transport(
    protocol: u8,
    payload: &[u8],
    first: bool,
    total: usize,
) -> Result<(Kind, u16, u16), Malformed> {
    match protocol {
        TCP => {
            let tcp = TcpHeaderSlice::from_slice(payload).map_err(|_| {
                // A fragment that holds less than its header claims is the tiny fragment of RFC
                // 1858.
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
                length: if first { 0 } else { u32::try_from(data).unwrap_or_default() }
                    + u32::from(tcp.syn())
                    + u32::from(tcp.fin()),
                packet: total as u64,
                partial: first && !tcp.syn(),
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

/// Refuses source routes, and options whose length hides others (INV-options-kept-or-refused).
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

/// Returns the packet that an ICMP error quotes, and where the quote begins (T-22, T-25, RFC 5508).
pub(crate) fn quoted(bytes: &[u8], error: &Packet) -> Result<(Packet, usize), Malformed> {
    let at = error.header + 8;
    let inner = bytes.get(at..error.total).unwrap_or_default();
    if inner.len() < 20 {
        return Err(Malformed::QuoteTruncated);
    }
    let first = inner.first().copied().unwrap_or_default();
    if (0x45..0x50).contains(&first) && inner.len() < usize::from(first & 15) * 4 {
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
        (ICMP, _) => transport(ICMP, payload, false, total)?,
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
        dont_fragment: ip.dont_fragment(),
        header,
        total,
        part,
        kind,
    };
    Ok((packet, at))
}

/// Returns the sequence number of the TCP segment that an ICMP error quotes from this byte on.
pub(crate) fn quoted_sequence(bytes: &[u8], begin: usize) -> u32 {
    let at = begin + bytes.get(begin).map_or(0, |first| usize::from(first & 15) * 4) + 4;
    bytes
        .get(at..at + 4)
        .map_or(0, |four| four.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Returns the end of what the transport checksum covers. A UDP datagram ends by its own length, if
/// it is whole (RFC 768).
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

/// Returns the plain sum of all words, with an odd last byte padded by zero.
pub(crate) fn total(bytes: &[u8]) -> u64 {
    let pair = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    bytes.chunks(2).map(pair).sum()
}

pub(crate) fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or_default()
}

/// Returns whether every checksum that can be verified is right: IPv4, and TCP, UDP or ICMP of
/// whole datagrams (INV-checksums-stay-right, INV-generated-packets-valid).
pub(crate) fn sums_are_right(bytes: &[u8]) -> bool {
    Packet::read(bytes).is_ok_and(|packet| transport_sum_is_right(bytes, &packet) != Some(false))
}

/// Returns whether the transport checksum is right; `None` where there is none or it cannot be
/// verified.
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
