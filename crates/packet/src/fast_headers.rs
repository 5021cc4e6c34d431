//! A faster parser and rewrite for unfragmented TCP and UDP without IPv4 options.

use core::net::Ipv4Addr;

use crate::checksum::fixed_header_is_right;
use crate::{AddressPair, Protocol, TcpFlags, TcpSegment};

/// The headers of an unfragmented TCP segment or UDP datagram without IPv4 options.
///
/// Every offset is fixed, so parsing and rewriting take half the time.
/// [`Headers::parse`](crate::Headers::parse) accepts exactly the same packets of this kind and
/// gives the same values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastHeaders {
    /// Source and destination.
    pub ends: AddressPair,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Time to live.
    pub ttl: u8,
    /// Length in bytes, as the header says.
    pub total_length: u16,
}

/// Masks the first eight bytes: version, header length, and the fragment bits (more fragments,
/// offset).
const KIND: u64 = u64::from_le_bytes([0xFF, 0, 0, 0, 0, 0, 0x3F, 0xFF]);
/// Version 4, a header of 20 bytes, not a fragment.
const PLAIN: u64 = 0x45;

impl FastHeaders {
    /// Reads a packet; `None` if it is of another kind or malformed.
    #[must_use]
    #[inline(always)]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<20>()?;
        let total_length = u16::from_be_bytes([header[2], header[3]]);
        let payload = bytes.get(20..usize::from(total_length))?;
        let first = u64::from_le_bytes(*header.first_chunk()?);
        if first & KIND != PLAIN || !fixed_header_is_right(header) {
            return None;
        }
        let fixed = payload.first_chunk::<8>()?;
        let protocol = Protocol(header[9]);
        let (least, length) = match protocol {
            Protocol::UDP => (8, u16::from_be_bytes([fixed[4], fixed[5]])),
            Protocol::TCP => (20, u16::from(*payload.get(12)? >> 4 << 2)),
            _ => return None,
        };
        if length < least || usize::from(length) > payload.len() {
            return None;
        }
        let [_, _, _, _, _, _, _, _, _, _, _, _, addresses @ ..] = *header;
        let ends = AddressPair {
            addresses: u64::from_le_bytes(addresses),
            ports: u32::from_le_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]),
        };
        Some(Self { ends, protocol, ttl: header[8], total_length })
    }

    /// Gives the source address.
    #[must_use]
    #[inline]
    pub const fn source(&self) -> Ipv4Addr {
        *self.ends.source().ip()
    }

    /// Gives the destination address.
    #[must_use]
    #[inline]
    pub const fn destination(&self) -> Ipv4Addr {
        *self.ends.destination().ip()
    }

    /// Gives the length of a packet that [`parse`](Self::parse) has accepted.
    #[must_use]
    #[inline(always)]
    pub fn total_length(packet: &[u8]) -> u16 {
        packet.first_chunk().map_or(0, |&[_, _, high, low]| u16::from_be_bytes([high, low]))
    }

    /// Reads the TCP segment of a packet that [`parse`](Self::parse) has accepted; `None` for UDP.
    #[must_use]
    #[inline(always)]
    pub fn segment(packet: &[u8]) -> Option<TcpSegment> {
        let (header, payload) = packet.split_first_chunk::<20>()?;
        if Protocol(header[9]) != Protocol::TCP {
            return None;
        }
        let fixed = payload.first_chunk::<20>()?;
        let header_length = fixed[12] >> 4 << 2;
        let total_length = u16::from_be_bytes([header[2], header[3]]);
        Some(TcpSegment {
            sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            payload_length: total_length.wrapping_sub(20).wrapping_sub(header_length.into()),
            header_length,
            flags: TcpFlags(fixed[13]),
        })
    }

    /// Gives a packet that [`parse`](Self::parse) has accepted new ends and decrements its TTL. The
    /// result equals that of [`rewrite`](crate::rewrite()).
    #[inline(always)]
    pub fn forward(packet: &mut [u8], ends: AddressPair) {
        let Some((header, payload)) = packet.split_first_chunk_mut::<20>() else { return };
        let Some(fixed) = payload.first_chunk::<8>() else { return };
        let [_, _, _, _, _, _, _, _, ttl, protocol, _, _, addresses @ ..] = *header;
        let old = AddressPair {
            addresses: u64::from_le_bytes(addresses),
            ports: u32::from_le_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]),
        };
        // Sums are in the machine's byte order, on which ones' complement sums do not depend (RFC
        // 1071 2 (B)).
        let addresses = wide(ends.addresses).wrapping_add(wide(!old.addresses));
        let ports = u64::from(ends.ports).wrapping_add((!old.ports).into());
        let lived = u64::from(ttl.saturating_sub(1)).wrapping_add((!u16::from(ttl)).into());
        header[8] = ttl.saturating_sub(1);
        [header[10], header[11]] = grow([header[10], header[11]], addresses.wrapping_add(lived));
        if let Some(place) = header.last_chunk_mut::<8>() {
            *place = ends.addresses.to_le_bytes();
        }
        let (growth, ports) = (addresses.wrapping_add(ports), ends.ports.to_le_bytes());
        if Protocol(protocol) == Protocol::TCP {
            let Some(fixed) = payload.first_chunk_mut::<18>() else { return };
            [fixed[0], fixed[1], fixed[2], fixed[3]] = ports;
            let checksum = [fixed[16], fixed[17]];
            // Equation 3 would turn a checksum of 0xFFFF into 0. An unchanged packet must keep its
            // 0xFFFF.
            if checksum != [0xFF, 0xFF] || ends != old {
                [fixed[16], fixed[17]] = grow(checksum, growth);
            }
        } else {
            let Some(fixed) = payload.first_chunk_mut::<8>() else { return };
            [fixed[0], fixed[1], fixed[2], fixed[3]] = ports;
            let old = [fixed[6], fixed[7]];
            if old != [0, 0] {
                let new = grow(old, growth);
                [fixed[6], fixed[7]] = if new == [0, 0] { [0xFF, 0xFF] } else { new };
            }
        }
    }
}

/// Adds both halves.
#[inline(always)]
const fn wide(words: u64) -> u64 {
    (words & 0xFFFF_FFFF).wrapping_add(words >> 32)
}

/// Gives the checksum after its sum has grown, for many words at once (RFC 1624 equation 3). It is
/// exact below 2^40.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the third fold leaves 16 bits")]
const fn grow(checksum: [u8; 2], growth: u64) -> [u8; 2] {
    let sum = growth.wrapping_add(!u16::from_le_bytes(checksum) as u64);
    let sum = (sum & 0xFFFF_FFFF).wrapping_add(sum >> 32);
    let sum = (sum & 0xFFFF).wrapping_add(sum >> 16);
    let sum = (sum & 0xFFFF).wrapping_add(sum >> 16);
    (!(sum as u16)).to_le_bytes()
}
