//! Reads the packet that an ICMP error quotes, and translates both together (RFC 5508 4,
//! INV-icmp-quote-translated).

use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::HeaderSliceError;

use crate::checksum::{add, header_is_right, shift, sum};
use crate::icmp::IcmpKind;
use crate::parse::Ports;
use crate::{
    FiveTuple, Fragment, Headers, Malformed, Protocol, Rewrite, TcpFlags, TcpSegment, Transport,
    rewrite,
};

/// The packet that caused an ICMP error, as far as the error quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The quoted headers, in the direction in which the quoted packet travelled.
    ///
    /// The total length is that of the quoted part. Eight bytes suffice, so only ports and sequence
    /// number of a TCP segment are read; other fields are 0. A quoted later fragment has addresses
    /// and no ports (T-25).
    pub headers: Headers,
    /// Offset of the quoted IPv4 header in the error packet.
    pub offset: u16,
}

impl Quote {
    /// Reads the packet that the ICMP error `packet` quotes. `headers` must be the result of
    /// [`Headers::parse`] for `packet`.
    ///
    /// # Errors
    ///
    /// - The packet is no ICMP error, or quotes an ICMP error (RFC 1122 3.2.2).
    /// - The quoted header is invalid or its checksum is wrong (T-22, RFC 5508 REQ-3).
    /// - Fewer than eight bytes of the transport header are quoted.
    pub fn parse(packet: &[u8], headers: &Headers) -> Result<Self, Malformed> {
        if headers.transport != Transport::IcmpError {
            return Err(Malformed::NoQuote);
        }
        let offset = u16::from(headers.header_length).saturating_add(8);
        let quoted = packet.get(usize::from(offset)..usize::from(headers.total_length));
        Ok(Self { headers: parse_quoted(quoted.ok_or(Malformed::QuoteTruncated)?)?, offset })
    }

    /// Gives the tuple of the quoted packet, in the direction in which it travelled.
    #[must_use]
    #[inline]
    pub const fn tuple(&self) -> FiveTuple {
        self.headers.tuple()
    }

    /// Says whether the quote includes the checksum of its transport header.
    #[must_use]
    pub fn has_transport_checksum(&self) -> bool {
        match self.headers.transport {
            Transport::Tcp(_) => {
                self.headers.total_length
                    >= u16::from(self.headers.header_length).saturating_add(18)
            }
            Transport::Udp | Transport::IcmpRequest | Transport::IcmpReply => true,
            Transport::IcmpError | Transport::IcmpOther | Transport::None => false,
        }
    }
}

/// Rewrites an ICMP error by `outer` and the quoted packet by `inner`, and sets the error's TTL.
///
/// The function updates both IPv4 checksums, the ICMP checksum, and the quoted transport checksum
/// if it is quoted. Type, code and all other bytes stay (T-22, T-23).
pub fn rewrite_quoting(
    packet: &mut [u8],
    headers: &Headers,
    quote: &Quote,
    outer: Rewrite,
    inner: Rewrite,
    ttl: u8,
) {
    rewrite(packet, headers, outer, ttl);
    let message =
        packet.get_mut(usize::from(headers.header_length)..usize::from(headers.total_length));
    let Some((fixed, quoted)) = message.and_then(<[u8]>::split_first_chunk_mut::<8>) else {
        return;
    };
    // The TCP checksum is the last field that can change.
    let reach = usize::from(quote.headers.header_length).saturating_add(18);
    let reach = reach.min(usize::from(quote.headers.total_length));
    let before = sum(quoted.get(..reach).unwrap_or_default());
    rewrite(quoted, &quote.headers, inner, quote.headers.ttl);
    let after = sum(quoted.get(..reach).unwrap_or_default());
    let checksum = shift(u16::from_be_bytes([fixed[2], fixed[3]]), add(!before, after));
    [fixed[2], fixed[3]] = checksum.to_be_bytes();
}

/// Parses like [`Headers::parse`], but accepts a packet that is cut short, and any options (T-25).
fn parse_quoted(bytes: &[u8]) -> Result<Headers, Malformed> {
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(_) => Malformed::QuoteTruncated,
        HeaderSliceError::Content(_) => Malformed::QuoteHeader,
    })?;
    let length = header.slice().len();
    if !header_is_right(header.slice()) || usize::from(header.total_len()) < length {
        return Err(Malformed::QuoteHeader);
    }
    let total_length = header.total_len().min(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    let payload = bytes.get(length..usize::from(total_length)).unwrap_or_default();
    let fragment = Fragment::of(&header);
    let (ports, transport) = match fragment {
        Fragment::Later { .. } => ((0, 0), Transport::None),
        _ => parse_start(Protocol(header.protocol().0), payload)?,
    };
    Ok(Headers::assemble(&header, total_length, fragment, ports, transport))
}

/// Reads the first eight bytes of a transport header.
fn parse_start(protocol: Protocol, payload: &[u8]) -> Result<(Ports, Transport), Malformed> {
    if !matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP) {
        return Ok(((0, 0), Transport::None));
    }
    let start = payload.first_chunk::<8>().ok_or(Malformed::QuoteTruncated)?;
    let ports =
        (u16::from_be_bytes([start[0], start[1]]), u16::from_be_bytes([start[2], start[3]]));
    if protocol == Protocol::UDP {
        return Ok((ports, Transport::Udp));
    }
    if protocol == Protocol::TCP {
        let segment = TcpSegment {
            sequence: u32::from_be_bytes([start[4], start[5], start[6], start[7]]),
            acknowledgement: 0,
            window: 0,
            payload_length: 0,
            header_length: 0,
            flags: TcpFlags(0),
        };
        return Ok((ports, Transport::Tcp(segment)));
    }
    let kind = IcmpKind::of(start[0]);
    let transport = match kind {
        IcmpKind::Request => Transport::IcmpRequest,
        IcmpKind::Reply => Transport::IcmpReply,
        IcmpKind::Error => return Err(Malformed::QuoteOfError),
        IcmpKind::Other => Transport::IcmpOther,
    };
    Ok((kind.ports(u16::from_be_bytes([start[4], start[5]])), transport))
}
