//! Bytes to [`Headers`]: the only place where lengths are checked.

use core::net::Ipv4Addr;

use crate::checksum::header_is_right;
use crate::icmp::IcmpKind;
use crate::options::options;
use crate::{Fragment, Headers, Malformed, Protocol, TcpFlags, TcpSegment, Transport};

/// Loose and strict source route (RFC 791 3.1).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

impl Headers {
    /// Reads a packet; bytes behind its total length are no part of it (P3).
    ///
    /// Transport checksums are not looked at: whoever receives the packet does that. Addresses are not judged either.
    ///
    /// # Errors
    ///
    /// The first cause, in the order in which the fields are met, why the bytes are no packet that may be forwarded.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some(fixed) = bytes.first_chunk::<20>() else { return Err(Malformed::Truncated) };
        if fixed[0] >> 4 != 4 {
            return Err(Malformed::NotIpv4);
        }
        let header_length = (fixed[0] & 0x0F) << 2;
        let total_length = u16::from_be_bytes([fixed[2], fixed[3]]);
        if header_length < 20 || usize::from(header_length) > bytes.len() {
            return Err(Malformed::HeaderLength);
        }
        let Some(payload) = bytes.get(usize::from(header_length)..usize::from(total_length)) else {
            return Err(Malformed::TotalLength);
        };
        let list = bytes.get(20..usize::from(header_length)).unwrap_or_default();
        if !header_is_right(fixed, list) {
            return Err(Malformed::HeaderChecksum);
        }
        if !list.is_empty() {
            check_options(list)?;
        }
        let protocol = Protocol(fixed[9]);
        let fragmentation = u16::from_be_bytes([fixed[6], fixed[7]]);
        let fragment = match fragmentation & 0x3FFF {
            0 => Fragment::Whole,
            _ => check_fragment(fragmentation, header_length, payload.len(), protocol)?,
        };
        let (ports, transport) = parse_transport(protocol, fragment, payload)?;
        Ok(Self {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            source_port: ports.0,
            destination_port: ports.1,
            total_length,
            identification: u16::from_be_bytes([fixed[4], fixed[5]]),
            header_length,
            ttl: fixed[8],
            protocol,
            dont_fragment: fragmentation & 0x4000 != 0,
            fragment,
            transport,
        })
    }
}

/// Options are carried as they are, but source routes and lists that hide what they hold are refused (P7).
#[cold]
fn check_options(list: &[u8]) -> Result<(), Malformed> {
    options(list).try_for_each(|option| match option {
        Ok(option) if SOURCE_ROUTES.contains(&option.kind) => Err(Malformed::SourceRoute),
        Ok(_) => Ok(()),
        Err(_) => Err(Malformed::HeaderOptions),
    })
}

/// Which part of its datagram a fragment is (RFC 791 3.2), and that it is a sound one (F3).
#[cold]
fn check_fragment(
    fragmentation: u16,
    header_length: u8,
    payload_length: usize,
    protocol: Protocol,
) -> Result<Fragment, Malformed> {
    let last = fragmentation & 0x2000 == 0;
    let offset = (fragmentation & 0x1FFF) << 3;
    if payload_length == 0 || (!last && payload_length & 7 != 0) {
        return Err(Malformed::FragmentLength);
    }
    let end = usize::from(offset)
        .saturating_add(payload_length)
        .saturating_add(usize::from(header_length));
    if end > usize::from(u16::MAX) {
        return Err(Malformed::FragmentEnd);
    }
    match offset {
        0 => Ok(Fragment::First),
        8 if protocol == Protocol::TCP => Err(Malformed::TinyFragment),
        _ => Ok(Fragment::Later { offset, last }),
    }
}

/// The ports, or the identifier in the place of one, and what else the transport header says.
#[inline]
fn parse_transport(
    protocol: Protocol,
    fragment: Fragment,
    payload: &[u8],
) -> Result<((u16, u16), Transport), Malformed> {
    if let Fragment::Later { .. } = fragment {
        return Ok(((0, 0), Transport::None));
    }
    match protocol {
        Protocol::TCP => parse_tcp(payload).map_err(|cause| match fragment {
            Fragment::Whole => cause,
            _ => Malformed::TinyFragment,
        }),
        Protocol::UDP => parse_udp(fragment, payload),
        Protocol::ICMP => parse_icmp(payload),
        _ => Ok(((0, 0), Transport::None)),
    }
}

#[inline]
fn parse_tcp(segment: &[u8]) -> Result<((u16, u16), Transport), Malformed> {
    let Some(fixed) = segment.first_chunk::<20>() else { return Err(Malformed::TcpHeader) };
    let header_length = (fixed[12] >> 4) << 2;
    let data = match segment.get(usize::from(header_length)..) {
        Some(data) if header_length >= 20 => data,
        _ => return Err(Malformed::TcpHeader),
    };
    let ports =
        (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[2], fixed[3]]));
    let segment = TcpSegment {
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        window: u16::from_be_bytes([fixed[14], fixed[15]]),
        payload_length: u16::try_from(data.len()).unwrap_or(u16::MAX),
        header_length,
        flags: TcpFlags(fixed[13]),
    };
    Ok((ports, Transport::Tcp(segment)))
}

#[inline]
fn parse_udp(fragment: Fragment, datagram: &[u8]) -> Result<((u16, u16), Transport), Malformed> {
    let Some(fixed) = datagram.first_chunk::<8>() else { return Err(Malformed::UdpLength) };
    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let fits = match fragment {
        Fragment::Whole => length == datagram.len(),
        _ => length >= datagram.len(),
    };
    if !fits {
        return Err(Malformed::UdpLength);
    }
    let ports =
        (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[2], fixed[3]]));
    Ok((ports, Transport::Udp))
}

#[inline]
fn parse_icmp(message: &[u8]) -> Result<((u16, u16), Transport), Malformed> {
    let Some(fixed) = message.first_chunk::<8>() else { return Err(Malformed::IcmpLength) };
    let kind = IcmpKind::of(fixed[0]);
    let transport = match kind {
        IcmpKind::Request | IcmpKind::Reply => Transport::IcmpQuery,
        IcmpKind::Error => Transport::IcmpError,
        IcmpKind::Other => Transport::IcmpOther,
    };
    Ok((kind.ports(u16::from_be_bytes([fixed[4], fixed[5]])), transport))
}
