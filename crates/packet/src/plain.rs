//! Packets of the plain kind, which nearly all are, read and rewritten in half the time.

use core::net::Ipv4Addr;

use crate::checksum::{fold, fold_wide, header_is_right};
use crate::{Ends, Protocol, TcpFlags, TcpSegment};

/// A whole TCP segment or UDP datagram behind an IPv4 header without options: exactly the packets of which
/// [`Headers::parse`](crate::Headers::parse) says that, with the same values. Every offset in them is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Where it comes from and where it goes.
    pub ends: Ends,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Time to live.
    pub ttl: u8,
    /// Length in bytes, as the header says.
    pub total_length: u16,
    /// The segment, if it is TCP.
    pub segment: Option<TcpSegment>,
}

/// Version 4 and a header of 20 bytes.
const PLAIN: u8 = 0x45;
/// More fragments, or an offset.
const FRAGMENT: u16 = 0x3FFF;

impl Plain {
    /// Reads a packet; `None` if it is not of this kind, or malformed.
    #[must_use]
    #[inline(always)]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<20>()?;
        let total_length = u16::from_be_bytes([header[2], header[3]]);
        let payload = bytes.get(20..usize::from(total_length))?;
        if header[0] != PLAIN
            || u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0
            || !header_is_right(header)
        {
            return None;
        }
        let fixed = payload.first_chunk::<8>()?;
        let protocol = Protocol(header[9]);
        let segment = match protocol {
            Protocol::UDP => {
                let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
                if length < 8 || length > payload.len() {
                    return None;
                }
                None
            }
            Protocol::TCP => Some(segment(payload, total_length)?),
            _ => return None,
        };
        let [_, _, _, _, _, _, _, _, _, _, _, _, addresses @ ..] = *header;
        let ends = Ends {
            addresses: u64::from_le_bytes(addresses),
            ports: u32::from_le_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]),
        };
        Some(Self { ends, protocol, ttl: header[8], total_length, segment })
    }

    /// Source address.
    #[must_use]
    #[inline]
    pub const fn source(&self) -> Ipv4Addr {
        *self.ends.source().ip()
    }

    /// Destination address.
    #[must_use]
    #[inline]
    pub const fn destination(&self) -> Ipv4Addr {
        *self.ends.destination().ip()
    }

    /// Gives the packet new ends and a new time to live, as [`rewrite`](crate::rewrite()) does.
    ///
    /// `self` must be what [`parse`](Self::parse) said of this packet.
    #[inline(always)]
    pub fn rewrite(&self, packet: &mut [u8], ends: Ends, ttl: u8) {
        let Some((header, payload)) = packet.split_first_chunk_mut::<20>() else { return };
        // Sums of words in the order of the bytes: ones' complement sums do not depend on it (RFC 1071 2 (B)).
        let growth = fold_wide(wide(ends.addresses).wrapping_add(wide(!self.ends.addresses)));
        let ports = wide(ends.ports.into()).wrapping_add((!self.ends.ports).into());
        let all = u32::from(growth).wrapping_add(fold_wide(ports).into());
        let lived = u32::from(ttl).wrapping_add((!u16::from(header[8])).into());
        header[8] = ttl;
        [header[10], header[11]] =
            grow([header[10], header[11]], u32::from(growth).wrapping_add(lived));
        if let Some(addresses) = header.last_chunk_mut::<8>() {
            *addresses = ends.addresses.to_le_bytes();
        }
        let ports = ends.ports.to_le_bytes();
        if self.protocol == Protocol::TCP {
            let Some(fixed) = payload.first_chunk_mut::<18>() else { return };
            [fixed[0], fixed[1], fixed[2], fixed[3]] = ports;
            [fixed[16], fixed[17]] = grow([fixed[16], fixed[17]], all);
        } else {
            let Some(fixed) = payload.first_chunk_mut::<8>() else { return };
            [fixed[0], fixed[1], fixed[2], fixed[3]] = ports;
            let old = [fixed[6], fixed[7]];
            if old != [0, 0] {
                let new = grow(old, all);
                [fixed[6], fixed[7]] = if new == [0, 0] { [0xFF, 0xFF] } else { new };
            }
        }
    }
}

#[inline(always)]
fn segment(payload: &[u8], total_length: u16) -> Option<TcpSegment> {
    let fixed = payload.first_chunk::<20>()?;
    let header_length = fixed[12] >> 4 << 2;
    if header_length < 20 || usize::from(header_length) > payload.len() {
        return None;
    }
    Some(TcpSegment {
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        window: u16::from_be_bytes([fixed[14], fixed[15]]),
        payload_length: total_length.wrapping_sub(20).wrapping_sub(header_length.into()),
        header_length,
        flags: TcpFlags(fixed[13]),
    })
}

/// The sum of both halves.
#[inline(always)]
const fn wide(words: u64) -> u64 {
    (words & 0xFFFF_FFFF).wrapping_add(words >> 32)
}

/// The checksum after the sum under it has grown: RFC 1624 equation 3, for many words at once.
#[inline(always)]
const fn grow(checksum: [u8; 2], growth: u32) -> [u8; 2] {
    (!fold(growth.wrapping_add(!u16::from_le_bytes(checksum) as u32))).to_le_bytes()
}
