//! Builds the bytes of a packet field by field, with checksums from scratch.

use core::net::Ipv4Addr;

use bytes::{BufMut, Bytes, BytesMut};
use vnetem_packet::Protocol;

use super::{Content, Datagram, Echo, IcmpError, Packet, Part, Segment};

/// The most data that fits the longest packet with the longest headers.
pub(super) const LENGTH_LIMIT: u16 = 65_535 - 20 - 60;

/// Longest ICMP error (RFC 1812 4.3.2.3).
const ERROR_LIMIT: usize = 576;

impl Packet {
    /// Builds the bytes. Data beyond what a packet can hold is left out.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut payload = self.transport();
        if self.flaws.checksum {
            spoil(&mut payload, self.content.protocol());
        }
        let header = Header {
            source: self.source,
            destination: self.destination,
            protocol: self.content.protocol(),
            ttl: self.ttl,
            dont_fragment: self.dont_fragment,
            part: self.fragment.unwrap_or(Part { identification: 0, offset: 0, more: false }),
        };
        let mut packet = header.write(&payload);
        if self.flaws.header_checksum
            && let Some(byte) = packet.get_mut(11)
        {
            *byte ^= 1;
        }
        packet.freeze()
    }

    /// Builds the bytes behind the IPv4 header, with the right checksum.
    fn transport(&self) -> BytesMut {
        let ends = [self.source, self.destination];
        match &self.content {
            Content::Tcp(segment) => tcp(segment, ends),
            Content::Udp(datagram) => udp(datagram, ends),
            Content::Echo(echo) => icmp_echo(echo),
            Content::Error(icmp_error) => write_icmp_error(icmp_error),
            Content::Data { length, .. } => {
                let mut out = BytesMut::new();
                put_data(&mut out, *length);
                out
            }
        }
    }
}

/// Cuts a whole packet into fragments of at most `mtu` bytes each, as a router does, and clears the
/// don't-fragment bit (RFC 791 3.2).
///
/// A packet that fits stays whole. The result is empty if the header has options, or if `mtu`
/// leaves no room for eight bytes of data.
#[must_use]
pub fn fragments(packet: &[u8], mtu: u16, identification: u16) -> Vec<Bytes> {
    let room = usize::from(mtu).saturating_sub(20) & !7;
    let Some((fixed, payload)) = packet.split_first_chunk::<20>() else { return Vec::new() };
    if packet.len() <= usize::from(mtu) {
        return vec![Bytes::copy_from_slice(packet)];
    }
    if room == 0 || fixed[0] != 0x45 {
        return Vec::new();
    }
    let mut offset = 0;
    let mut parts = payload.chunks(room).peekable();
    let mut out = Vec::new();
    while let Some(part) = parts.next() {
        let header = Header {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            protocol: Protocol(fixed[9]),
            ttl: fixed[8],
            dont_fragment: false,
            part: Part { identification, offset, more: parts.peek().is_some() },
        };
        out.push(header.write(part).freeze());
        offset += u16::try_from(part.len()).unwrap_or(u16::MAX);
    }
    out
}

/// An IPv4 header without options.
struct Header {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: Protocol,
    ttl: u8,
    dont_fragment: bool,
    part: Part,
}

impl Header {
    fn write(&self, payload: &[u8]) -> BytesMut {
        let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
        let flags = (u16::from(self.dont_fragment) << 14) | (u16::from(self.part.more) << 13);
        let mut out = BytesMut::new();
        out.put_u8(0x45);
        out.put_u8(0);
        out.put_u16(length);
        out.put_u16(self.part.identification);
        out.put_u16(flags | (self.part.offset / 8));
        out.put_u8(self.ttl);
        out.put_u8(self.protocol.0);
        out.put_u16(0);
        out.put_slice(&self.source.octets());
        out.put_slice(&self.destination.octets());
        let sum = checksum(&out);
        put_at(&mut out, 10, sum);
        out.put_slice(payload);
        out
    }
}

fn tcp(segment: &Segment, ends: [Ipv4Addr; 2]) -> BytesMut {
    let mut options = BytesMut::new();
    if let Some(size) = segment.maximum_segment_size {
        options.put_slice(&[2, 4]);
        options.put_u16(size);
    }
    if let Some(scale) = segment.window_scale {
        options.put_slice(&[3, 3, scale, 1]);
    }
    let words = u8::try_from((20 + options.len()) / 4).unwrap_or(5);
    let mut out = BytesMut::new();
    out.put_u16(segment.source_port);
    out.put_u16(segment.destination_port);
    out.put_u32(segment.sequence);
    out.put_u32(segment.acknowledgement);
    out.put_u8(words << 4);
    out.put_u8(segment.flags.0);
    out.put_u16(segment.window);
    out.put_u32(0);
    out.put_slice(&options);
    put_data(&mut out, segment.length);
    let sum = checksum_with_ends(&out, ends, Protocol::TCP);
    put_at(&mut out, 16, sum);
    out
}

fn udp(datagram: &Datagram, ends: [Ipv4Addr; 2]) -> BytesMut {
    let data = datagram.length.min(LENGTH_LIMIT);
    let mut out = BytesMut::new();
    out.put_u16(datagram.source_port);
    out.put_u16(datagram.destination_port);
    out.put_u16(8 + data);
    out.put_u16(0);
    put_data(&mut out, data);
    if datagram.checksum {
        let sum = checksum_with_ends(&out, ends, Protocol::UDP);
        // A computed 0 is sent as all ones (RFC 768, T-30).
        put_at(&mut out, 6, if sum == 0 { 0xffff } else { sum });
    }
    out
}

fn icmp_echo(echo: &Echo) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(if echo.reply { 0 } else { 8 });
    out.put_u8(0);
    out.put_u16(0);
    out.put_u16(echo.identifier);
    out.put_u16(echo.sequence);
    put_data(&mut out, echo.length);
    let sum = checksum(&out);
    put_at(&mut out, 2, sum);
    out
}

fn write_icmp_error(icmp_error: &IcmpError) -> BytesMut {
    let (kind, code) = icmp_error.problem.number();
    let mut out = BytesMut::new();
    out.put_u8(kind);
    out.put_u8(code);
    out.put_u32(0);
    out.put_u16(match icmp_error.problem {
        super::Problem::FragmentationNeeded { mtu } => mtu,
        _ => 0,
    });
    let quoted = icmp_error.about.build();
    let behind = icmp_error.quoted.map_or(usize::MAX, usize::from).saturating_add(20);
    let room = behind.min(ERROR_LIMIT - 28);
    out.put_slice(quoted.get(..room).unwrap_or(&quoted));
    let sum = checksum(&out);
    put_at(&mut out, 2, sum);
    out
}

fn put_data(out: &mut BytesMut, length: u16) {
    (0..length.min(LENGTH_LIMIT)).for_each(|index| out.put_u8(index.to_be_bytes()[1]));
}

fn put_at(out: &mut BytesMut, offset: usize, value: u16) {
    if let Some(field) = out.get_mut(offset..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value.to_be_bytes();
    }
}

/// Flips one bit of the checksum. The result is wrong, and never UDP's 0 for "none".
fn spoil(payload: &mut BytesMut, protocol: Protocol) {
    let offset = match protocol {
        Protocol::TCP => 16,
        Protocol::UDP => 6,
        _ => 2,
    };
    if let Some(field) = payload.get_mut(offset..).and_then(|rest| rest.first_chunk_mut()) {
        let wrong = u16::from_be_bytes(*field) ^ 1;
        *field = if wrong == 0 { 2 } else { wrong }.to_be_bytes();
    }
}

/// Computes the checksum of RFC 1071, word by word.
fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

fn checksum_with_ends(bytes: &[u8], ends: [Ipv4Addr; 2], protocol: Protocol) -> u16 {
    let ends: u64 = ends.iter().map(|end| sum(&end.octets())).sum();
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    !fold(sum(bytes) + ends + u64::from(protocol.0) + length)
}

fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>() + last
}

fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xffff) + (sum >> 16),
        }
    }
}
