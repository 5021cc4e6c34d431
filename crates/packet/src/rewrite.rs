//! New addresses and ports in place, with every checksum that covers them kept right by RFC 1624.

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::checksum::{fold, shift};
use crate::{Headers, Transport};

/// The ends that a packet shall have; `None` keeps what it has.
///
/// For ICMP queries the identifier stands in the port as in [`FiveTuple`](crate::FiveTuple), and the other port is 0. Where a
/// packet has no ports, the ports here are not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// The new source.
    pub source: Option<SocketAddrV4>,
    /// The new destination.
    pub destination: Option<SocketAddrV4>,
}

/// By how much a rewrite moves the sums under the checksums: equal for all packets of one flow in one direction, so it can be
/// stored with the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delta {
    /// Growth of the sum under the IPv4 header checksum, the time to live left aside.
    pub ip: u16,
    /// Growth of the sum under the transport checksum.
    pub transport: u16,
}

impl Rewrite {
    /// The difference that this rewrite makes to packets with these addresses and ports.
    #[must_use]
    #[inline]
    pub fn delta(self, headers: &Headers) -> Delta {
        let (source, destination) = self.ends(headers);
        let addresses = words(!headers.source.to_bits())
            .wrapping_add(words(!headers.destination.to_bits()))
            .wrapping_add(words(source.ip().to_bits()))
            .wrapping_add(words(destination.ip().to_bits()));
        let transport = match headers.transport {
            Transport::Tcp(_) | Transport::Udp => addresses
                .wrapping_add(u32::from(!headers.source_port))
                .wrapping_add(u32::from(!headers.destination_port))
                .wrapping_add(u32::from(source.port()))
                .wrapping_add(u32::from(destination.port())),
            // No pseudo-header (RFC 792); one of the two ports is 0.
            Transport::IcmpQuery => u32::from(!(headers.source_port | headers.destination_port))
                .wrapping_add(u32::from(source.port() | destination.port())),
            Transport::IcmpError | Transport::IcmpOther | Transport::None => 0,
        };
        Delta { ip: fold(addresses), transport: fold(transport) }
    }

    /// Both ends after the rewrite.
    #[inline]
    fn ends(self, headers: &Headers) -> (SocketAddrV4, SocketAddrV4) {
        (
            self.source.unwrap_or(SocketAddrV4::new(headers.source, headers.source_port)),
            self.destination
                .unwrap_or(SocketAddrV4::new(headers.destination, headers.destination_port)),
        )
    }
}

/// Gives a packet new ends and a new time to live, and updates the checksums of IPv4, TCP, UDP and ICMP (W1, N-26).
///
/// `headers` must be what [`Headers::parse`] said of this packet. Of a later fragment only the IPv4 header changes. A wrong
/// transport checksum stays wrong by the same amount (W3); a UDP checksum of 0 stays 0, and one that becomes 0 is written
/// 0xFFFF (W4, T-30). Other protocols get new addresses and nothing else (T-35).
#[inline]
pub fn rewrite(packet: &mut [u8], headers: &Headers, rewrite: Rewrite, ttl: u8) {
    rewrite_by(packet, headers, rewrite, rewrite.delta(headers), ttl);
}

/// [`rewrite`] with a difference that [`Rewrite::delta`] gave for an earlier packet with the same addresses and ports.
#[inline]
pub fn rewrite_by(packet: &mut [u8], headers: &Headers, rewrite: Rewrite, delta: Delta, ttl: u8) {
    let Some(packet) = packet.get_mut(..usize::from(headers.total_length)) else { return };
    let Some((header, payload)) = packet.split_at_mut_checked(usize::from(headers.header_length))
    else {
        return;
    };
    let Some(header) = header.first_chunk_mut::<20>() else { return };
    let (source, destination) = rewrite.ends(headers);
    write_header(header, *source.ip(), *destination.ip(), ttl, delta.ip);
    match headers.transport {
        Transport::Tcp(_) => write_tcp(payload, source.port(), destination.port(), delta.transport),
        Transport::Udp => write_udp(payload, source.port(), destination.port(), delta.transport),
        Transport::IcmpQuery => {
            write_query(payload, source.port() | destination.port(), delta.transport)
        }
        Transport::IcmpError | Transport::IcmpOther | Transport::None => {}
    }
}

/// Writes both addresses and the time to live, and updates the header checksum; `delta` is what the addresses make.
#[inline]
fn write_header(
    header: &mut [u8; 20],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    delta: u16,
) {
    let checksum = !u16::from_be_bytes([header[10], header[11]]);
    let (old, new) =
        (u16::from_be_bytes([header[8], header[9]]), u16::from_be_bytes([ttl, header[9]]));
    let sum = u32::from(checksum)
        .wrapping_add(u32::from(delta))
        .wrapping_add(u32::from(!old))
        .wrapping_add(u32::from(new));
    header[8] = ttl;
    [header[10], header[11]] = (!fold(sum)).to_be_bytes();
    [header[12], header[13], header[14], header[15]] = source.octets();
    [header[16], header[17], header[18], header[19]] = destination.octets();
}

#[inline]
fn write_tcp(segment: &mut [u8], source_port: u16, destination_port: u16, delta: u16) {
    let Some(fixed) = segment.first_chunk_mut::<18>() else {
        // An ICMP error may quote a segment that ends before its checksum.
        return write_ports(segment, source_port, destination_port);
    };
    [fixed[0], fixed[1]] = source_port.to_be_bytes();
    [fixed[2], fixed[3]] = destination_port.to_be_bytes();
    let checksum = shift(u16::from_be_bytes([fixed[16], fixed[17]]), delta);
    [fixed[16], fixed[17]] = checksum.to_be_bytes();
}

#[cold]
fn write_ports(segment: &mut [u8], source_port: u16, destination_port: u16) {
    let Some(fixed) = segment.first_chunk_mut::<4>() else { return };
    [fixed[0], fixed[1]] = source_port.to_be_bytes();
    [fixed[2], fixed[3]] = destination_port.to_be_bytes();
}

#[inline]
fn write_udp(datagram: &mut [u8], source_port: u16, destination_port: u16, delta: u16) {
    let Some(fixed) = datagram.first_chunk_mut::<8>() else { return };
    [fixed[0], fixed[1]] = source_port.to_be_bytes();
    [fixed[2], fixed[3]] = destination_port.to_be_bytes();
    let checksum = match u16::from_be_bytes([fixed[6], fixed[7]]) {
        0 => 0,
        checksum => match shift(checksum, delta) {
            0 => 0xFFFF,
            checksum => checksum,
        },
    };
    [fixed[6], fixed[7]] = checksum.to_be_bytes();
}

#[inline]
fn write_query(message: &mut [u8], identifier: u16, delta: u16) {
    let Some(fixed) = message.first_chunk_mut::<8>() else { return };
    [fixed[4], fixed[5]] = identifier.to_be_bytes();
    let checksum = shift(u16::from_be_bytes([fixed[2], fixed[3]]), delta);
    [fixed[2], fixed[3]] = checksum.to_be_bytes();
    if checksum == 0 {
        complete_zero_message(message);
    }
}

/// The checksum of nothing but zeros is 0xFFFF, which equation 3 of RFC 1624 cannot give: an echo reply may be such a message.
#[cold]
fn complete_zero_message(message: &mut [u8]) {
    if message.iter().all(|byte| *byte == 0)
        && let Some(checksum) = message.get_mut(2..4)
    {
        checksum.fill(0xFF);
    }
}

/// The two words of an address, added.
#[inline]
const fn words(address: u32) -> u32 {
    (address >> 16).wrapping_add(address & 0xFFFF)
}
