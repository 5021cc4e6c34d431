//! Rewrites addresses and ports in place and updates every checksum that covers them (RFC 1624).
//!
//! Words and sums in this file are in the machine's byte order. Ones' complement sums do not depend
//! on it, so nothing is swapped (RFC 1071 2 (B)).

use core::net::SocketAddrV4;

use crate::checksum::{fold, fold_wide};
use crate::{Headers, Transport};

/// The new ends of a packet; `None` keeps the old one.
///
/// The identifier of an ICMP query stands in a port as in [`FiveTuple`](crate::FiveTuple), and the
/// other port is 0. A packet without ports ignores the ports here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// The new source.
    pub source: Option<SocketAddrV4>,
    /// The new destination.
    pub destination: Option<SocketAddrV4>,
}

/// By how much a rewrite changes the sums under the checksums. It is the same for all packets of a
/// flow in one direction, so the flow can store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delta {
    /// Ones' complement difference of the addresses.
    pub addresses: u16,
    /// Ones' complement difference of the ports, or of the identifier of an ICMP query.
    pub ports: u16,
}

impl Rewrite {
    /// Computes the difference that this rewrite makes to packets with these addresses and ports.
    #[must_use]
    #[inline]
    pub fn delta(self, headers: &Headers) -> Delta {
        let (source, destination) = self.ends(headers);
        let new = [source.ip().octets(), destination.ip().octets()].map(u32::from_ne_bytes);
        let old = [headers.source.octets(), headers.destination.octets()].map(u32::from_ne_bytes);
        let addresses = u64::from(new[0])
            .wrapping_add(u64::from(new[1]))
            .wrapping_add(u64::from(!old[0]))
            .wrapping_add(u64::from(!old[1]));
        let ports = u32::from(source.port())
            .wrapping_add(u32::from(destination.port()))
            .wrapping_add(u32::from(!headers.source_port))
            .wrapping_add(u32::from(!headers.destination_port));
        Delta { addresses: u16::from_be(fold_wide(addresses)), ports: fold(ports) }
    }

    /// Gives the headers of a packet as they are after the rewrite.
    #[must_use]
    pub fn applied(self, headers: &Headers) -> Headers {
        let (source, destination) = self.ends(headers);
        let mut new = Headers { source: *source.ip(), destination: *destination.ip(), ..*headers };
        if matches!(
            headers.transport,
            Transport::Tcp(_) | Transport::Udp | Transport::IcmpRequest | Transport::IcmpReply
        ) {
            (new.source_port, new.destination_port) = (source.port(), destination.port());
        }
        new
    }

    /// Joins this rewrite with the one that follows it.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self {
            source: next.source.or(self.source),
            destination: next.destination.or(self.destination),
        }
    }

    /// Gives both ends after the rewrite.
    #[inline]
    fn ends(self, headers: &Headers) -> (SocketAddrV4, SocketAddrV4) {
        let source = SocketAddrV4::new(headers.source, headers.source_port);
        let destination = SocketAddrV4::new(headers.destination, headers.destination_port);
        (self.source.unwrap_or(source), self.destination.unwrap_or(destination))
    }
}

/// Gives a packet new ends and a new TTL, and updates the checksums of IPv4, TCP, UDP and ICMP
/// (INV-checksums-stay-right, N-26).
///
/// `headers` must be the result of [`Headers::parse`] for this packet.
///
/// - Of a later fragment only the IPv4 header changes.
/// - A wrong transport checksum stays wrong by the same amount (INV-wrong-checksum-stays-wrong).
/// - A packet that keeps its ends keeps its transport checksum (INV-only-needed-bytes-change).
/// - A UDP checksum of 0 stays 0; one that becomes 0 is written 0xFFFF (INV-udp-zero-checksum,
///   T-30).
/// - Packets of other protocols get new addresses only (T-35).
#[inline(always)]
pub fn rewrite(packet: &mut [u8], headers: &Headers, rewrite: Rewrite, ttl: u8) {
    rewrite_by(packet, headers, rewrite, rewrite.delta(headers), ttl);
}

/// Does what [`rewrite`] does, with a difference that [`Rewrite::delta`] computed for the same
/// addresses and ports.
#[inline(always)] // a call would cost half as much again (bench `packet`)
pub fn rewrite_by(packet: &mut [u8], headers: &Headers, rewrite: Rewrite, delta: Delta, ttl: u8) {
    let Some(packet) = packet.get_mut(..usize::from(headers.total_length)) else { return };
    let Some((header, payload)) = packet.split_at_mut_checked(usize::from(headers.header_length))
    else {
        return;
    };
    let Some(header) = header.first_chunk_mut::<20>() else { return };
    let (source, destination) = rewrite.ends(headers);
    let (addresses, ports) = (u32::from(delta.addresses.to_be()), u32::from(delta.ports.to_be()));
    write_header(header, [source, destination], addresses, ttl);
    // Equation 3 would turn a checksum of 0xFFFF into 0.
    if (source, destination) == Rewrite::default().ends(headers) {
        return;
    }
    let all = addresses.wrapping_add(ports);
    let new = [source.port(), destination.port()].map(u16::to_be_bytes);
    match headers.transport {
        Transport::Tcp(_) => write_tcp(payload, new, all),
        Transport::Udp => write_udp(payload, new, all),
        // The ICMP checksum covers no pseudo-header (RFC 792), and one of the two ports is 0.
        Transport::IcmpRequest | Transport::IcmpReply => {
            write_query(payload, source.port() | destination.port(), ports);
        }
        Transport::IcmpError | Transport::IcmpOther | Transport::None => {}
    }
}

#[inline]
fn write_header(header: &mut [u8; 20], ends: [SocketAddrV4; 2], growth: u32, ttl: u8) {
    let old = u32::from(!u16::from_ne_bytes([header[8], 0]));
    let new = u32::from(u16::from_ne_bytes([ttl, 0]));
    header[8] = ttl;
    let growth = growth.wrapping_add(old).wrapping_add(new);
    [header[10], header[11]] = grow([header[10], header[11]], growth);
    [header[12], header[13], header[14], header[15]] = ends[0].ip().octets();
    [header[16], header[17], header[18], header[19]] = ends[1].ip().octets();
}

#[inline]
fn write_tcp(segment: &mut [u8], ports: [[u8; 2]; 2], growth: u32) {
    let Some(fixed) = segment.first_chunk_mut::<18>() else {
        // An ICMP error may quote a segment that ends before its checksum.
        return write_ports(segment, ports);
    };
    [[fixed[0], fixed[1]], [fixed[2], fixed[3]]] = ports;
    [fixed[16], fixed[17]] = grow([fixed[16], fixed[17]], growth);
}

#[cold]
fn write_ports(segment: &mut [u8], ports: [[u8; 2]; 2]) {
    let Some(fixed) = segment.first_chunk_mut::<4>() else { return };
    [[fixed[0], fixed[1]], [fixed[2], fixed[3]]] = ports;
}

#[inline]
fn write_udp(datagram: &mut [u8], ports: [[u8; 2]; 2], growth: u32) {
    let Some(fixed) = datagram.first_chunk_mut::<8>() else { return };
    [[fixed[0], fixed[1]], [fixed[2], fixed[3]]] = ports;
    let old = [fixed[6], fixed[7]];
    if old != [0, 0] {
        let new = grow(old, growth);
        [fixed[6], fixed[7]] = if new == [0, 0] { [0xFF, 0xFF] } else { new };
    }
}

#[inline]
fn write_query(message: &mut [u8], identifier: u16, growth: u32) {
    let Some(fixed) = message.first_chunk_mut::<8>() else { return };
    [fixed[4], fixed[5]] = identifier.to_be_bytes();
    [fixed[2], fixed[3]] = grow([fixed[2], fixed[3]], growth);
    if [fixed[2], fixed[3]] == [0, 0] {
        complete_zero_message(message);
    }
}

/// Writes 0xFFFF as the checksum of a message of zeros, such as an echo reply. Equation 3 of RFC
/// 1624 cannot give it.
///
/// If only a part of the message is here and the rest is not zero, 0xFFFF is as right as 0.
#[cold]
fn complete_zero_message(message: &mut [u8]) {
    if message.iter().all(|byte| *byte == 0)
        && let Some(checksum) = message.get_mut(2..4)
    {
        checksum.fill(0xFF);
    }
}

/// Gives the checksum after its sum has grown, for many words at once (RFC 1624 equation 3).
#[inline]
const fn grow(checksum: [u8; 2], growth: u32) -> [u8; 2] {
    (!fold(growth.wrapping_add(!u16::from_ne_bytes(checksum) as u32))).to_ne_bytes()
}
