//! Parses bytes into [`Headers`]. Lengths are checked here and nowhere else.

use etherparse::err::{ipv4, tcp};
use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice};

use crate::checksum::header_is_right;
use crate::icmp::IcmpKind;
use crate::options::options;
use crate::{Fragment, Headers, Malformed, Protocol, TcpFlags, TcpSegment, Transport};

/// Loose and strict source route (RFC 791 3.1).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

/// Source and destination port, or the identifier of an ICMP query and a zero.
pub(crate) type Ports = (u16, u16);

impl Headers {
    /// Reads a packet. Bytes behind its total length are ignored (INV-trailer-ignored).
    ///
    /// The parser checks neither transport checksums, which the receiver checks, nor addresses.
    ///
    /// # Errors
    ///
    /// The first cause in the order of [`Malformed`] for which the packet may not be forwarded.
    #[inline(always)] // a call would cost half as much again (bench `packet`)
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = match Ipv4HeaderSlice::from_slice(bytes) {
            Ok(header) => header,
            Err(error) => return Err(cause_in_header(&error)),
        };
        let range = header.slice().len()..usize::from(header.total_len());
        let Some(payload) = bytes.get(range) else { return Err(Malformed::TotalLength) };
        if !header_is_right(header.slice()) {
            return Err(Malformed::HeaderChecksum);
        }
        if header.slice().len() > 20 {
            check_options(header.options())?;
        }
        let fragment = Fragment::of(&header);
        if fragment != Fragment::Whole {
            check_fragment(&header, fragment, payload.len())?;
        }
        let (ports, transport) = parse_transport(&header, fragment, payload)?;
        Ok(Self::assemble(&header, header.total_len(), fragment, ports, transport))
    }

    /// Joins the fields of the IPv4 header with what was read behind it.
    #[inline(always)]
    pub(crate) fn assemble(
        header: &Ipv4HeaderSlice<'_>,
        total_length: u16,
        fragment: Fragment,
        (source_port, destination_port): Ports,
        transport: Transport,
    ) -> Self {
        Self {
            source: header.source_addr(),
            destination: header.destination_addr(),
            source_port,
            destination_port,
            total_length,
            identification: header.identification(),
            header_length: header.ihl() << 2,
            ttl: header.ttl(),
            protocol: Protocol(header.protocol().0),
            dont_fragment: header.dont_fragment(),
            fragment,
            transport,
        }
    }
}

impl Fragment {
    /// Says which fragment a header describes (RFC 791 3.2).
    #[inline(always)]
    pub(crate) fn of(header: &Ipv4HeaderSlice<'_>) -> Self {
        match (header.fragments_offset().value(), header.more_fragments()) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            (units, more) => Self::Later { offset: units << 3, last: !more },
        }
    }
}

/// Names what is wrong with an IPv4 header.
#[cold]
fn cause_in_header(error: &ipv4::HeaderSliceError) -> Malformed {
    match error {
        ipv4::HeaderSliceError::Len(length) if length.len < 20 => Malformed::Truncated,
        ipv4::HeaderSliceError::Content(ipv4::HeaderError::UnexpectedVersion { .. }) => {
            Malformed::NotIpv4
        }
        _ => Malformed::HeaderLength,
    }
}

/// Refuses source routes and lists of unknown end; all other options pass unchanged
/// (INV-options-kept-or-refused).
#[cold]
fn check_options(list: &[u8]) -> Result<(), Malformed> {
    options(list).try_for_each(|option| match option {
        Ok(option) if SOURCE_ROUTES.contains(&option.kind) => Err(Malformed::SourceRoute),
        Ok(_) => Ok(()),
        Err(_) => Err(Malformed::HeaderOptions),
    })
}

/// Checks length and end of a fragment (RFC 791 3.2, INV-bad-fragments-dropped).
#[cold]
fn check_fragment(
    header: &Ipv4HeaderSlice<'_>,
    fragment: Fragment,
    length: usize,
) -> Result<(), Malformed> {
    let (offset, last) = match fragment {
        Fragment::Later { offset, last } => (offset, last),
        _ => (0, false),
    };
    let end = header.slice().len().saturating_add(usize::from(offset)).saturating_add(length);
    if length == 0 || (!last && length & 7 != 0) {
        Err(Malformed::FragmentLength)
    } else if end > usize::from(u16::MAX) {
        Err(Malformed::FragmentEnd)
    } else if offset == 8 && header.protocol().0 == Protocol::TCP.0 {
        Err(Malformed::TinyFragment)
    } else {
        Ok(())
    }
}

#[inline]
fn parse_transport(
    header: &Ipv4HeaderSlice<'_>,
    fragment: Fragment,
    payload: &[u8],
) -> Result<(Ports, Transport), Malformed> {
    if let Fragment::Later { .. } = fragment {
        return Ok(((0, 0), Transport::None));
    }
    match Protocol(header.protocol().0) {
        Protocol::TCP => parse_tcp(fragment, payload),
        Protocol::UDP => parse_udp(fragment, payload),
        Protocol::ICMP => parse_icmp(payload),
        _ => Ok(((0, 0), Transport::None)),
    }
}

#[inline]
fn parse_tcp(fragment: Fragment, payload: &[u8]) -> Result<(Ports, Transport), Malformed> {
    let header = match TcpHeaderSlice::from_slice(payload) {
        Ok(header) => header,
        Err(error) => return Err(cause_in_segment(fragment, &error)),
    };
    let data = payload.len().saturating_sub(header.slice().len());
    let segment = TcpSegment {
        sequence: header.sequence_number(),
        acknowledgement: header.acknowledgment_number(),
        window: header.window_size(),
        payload_length: u16::try_from(data).unwrap_or(u16::MAX),
        header_length: header.data_offset() << 2,
        flags: TcpFlags(header.slice().get(13).copied().unwrap_or_default()),
    };
    Ok(((header.source_port(), header.destination_port()), Transport::Tcp(segment)))
}

/// Names what is wrong with a TCP header. A header that a first fragment cuts off has its own
/// cause.
#[cold]
fn cause_in_segment(fragment: Fragment, error: &tcp::HeaderSliceError) -> Malformed {
    match (fragment, error) {
        (Fragment::First, tcp::HeaderSliceError::Len(_)) => Malformed::TinyFragment,
        _ => Malformed::TcpHeader,
    }
}

#[inline]
fn parse_udp(fragment: Fragment, datagram: &[u8]) -> Result<(Ports, Transport), Malformed> {
    let Some(fixed) = datagram.first_chunk::<8>() else { return Err(Malformed::UdpLength) };
    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    // A UDP length may leave out bytes at the end, as in Linux. That of a fragment may exceed it.
    if length < 8 || (length > datagram.len() && fragment == Fragment::Whole) {
        return Err(Malformed::UdpLength);
    }
    let ports =
        (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[2], fixed[3]]));
    Ok((ports, Transport::Udp))
}

#[inline]
fn parse_icmp(message: &[u8]) -> Result<(Ports, Transport), Malformed> {
    let Some(fixed) = message.first_chunk::<8>() else { return Err(Malformed::IcmpLength) };
    let kind = IcmpKind::of(fixed[0]);
    let transport = match kind {
        IcmpKind::Request => Transport::IcmpRequest,
        IcmpKind::Reply => Transport::IcmpReply,
        IcmpKind::Error => Transport::IcmpError,
        IcmpKind::Other => Transport::IcmpOther,
    };
    Ok((kind.ports(u16::from_be_bytes([fixed[4], fixed[5]])), transport))
}
