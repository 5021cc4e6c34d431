//! The headers around the IPv6 packet: outer IPv4, NVGRE or VXLAN, and Ethernet.

use core::net::Ipv4Addr;

use super::Untranslatable;
use super::translate::{IPV4_LENGTH, put};
use crate::checksum::{add, sum};
use crate::{Headers, Protocol};

pub(super) const GRE: Protocol = Protocol(47);
/// Flags with only the key bit, and the protocol type Ethernet (RFC 7637 3.2).
pub(super) const NVGRE: [u8; 4] = [0x20, 0x00, 0x65, 0x58];
pub(super) const GRE_LENGTH: usize = 8;
pub(super) const UDP_LENGTH: usize = 8;
/// Port of VXLAN (RFC 7348 5).
pub(super) const VXLAN_PORT: u16 = 4789;
pub(super) const VXLAN_FLAG: u8 = 0x08;
pub(super) const VXLAN_LENGTH: usize = 8;
pub(super) const ETHERNET_LENGTH: usize = 14;
pub(super) const IPV6_TYPE: [u8; 2] = [0x86, 0xDD];

/// The headers around an IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Underlay {
    /// Outer source: the host's, or the tunnel gateway's for SQL and cross-region storage (W-03,
    /// W-04).
    pub source: Ipv4Addr,
    /// Outer destination; `None` takes the packet's own (W-03).
    pub destination: Option<Ipv4Addr>,
    /// The header between the outer header and the frame (W-12).
    pub encapsulation: Encapsulation,
    /// Which tunnel it is.
    pub key: Key,
    /// The DSCP of the outer header, 6 bits. It is never copied from the customer's packet (W-11).
    pub dscp: u8,
    /// Source address of the inner frame.
    pub source_mac: [u8; 6],
    /// Destination address of the inner frame.
    pub destination_mac: [u8; 6],
}

/// The header between the outer header and the frame (W-12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// GRE with a key (RFC 7637).
    #[default]
    Nvgre,
    /// UDP to port 4789 without a checksum, from a source port that depends on the flow (RFC 7348
    /// 5).
    Vxlan,
}

/// The 24 bits that name a tunnel: NVGRE's virtual subnet ID or VXLAN's network identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 3]);

impl Key {
    /// The key of every published service tunnel, 100 (W-03).
    pub const SERVICE_TUNNEL: Self = Self([0, 0, 100]);

    /// Makes a key; `None` if the number is wider than 24 bits.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match number.to_be_bytes() {
            [0, a, b, c] => Some(Self([a, b, c])),
            _ => None,
        }
    }

    /// Gives its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        let Self([a, b, c]) = self;
        u32::from_be_bytes([0, a, b, c])
    }

    pub(super) const fn from_bytes(bytes: [u8; 3]) -> Self {
        Self(bytes)
    }
}

impl Underlay {
    /// Counts the bytes in front of the IPv6 packet (W-19).
    pub(super) const fn overhead(&self) -> usize {
        match self.encapsulation {
            Encapsulation::Nvgre => IPV4_LENGTH + GRE_LENGTH + ETHERNET_LENGTH,
            Encapsulation::Vxlan => IPV4_LENGTH + UDP_LENGTH + VXLAN_LENGTH + ETHERNET_LENGTH,
        }
    }

    /// Writes all headers in front of the IPv6 packet; `length` is the length of the whole in
    /// bytes.
    pub(super) fn write(
        &self,
        headers: &Headers,
        length: usize,
        buffer: &mut [u8],
    ) -> Result<(), Untranslatable> {
        let total = u16::try_from(length).map_err(|_| Untranslatable::TooLong)?;
        let (_, rest) = put(buffer, &self.outer(headers, total))?;
        let Key([a, b, c]) = self.key;
        let (_, rest) = match self.encapsulation {
            Encapsulation::Nvgre => {
                let (_, rest) = put(rest, &NVGRE)?;
                put(rest, &[a, b, c, 0])?
            }
            Encapsulation::Vxlan => {
                let length = total.saturating_sub(20);
                let udp = [flow_port(headers), VXLAN_PORT, length, 0].map(u16::to_be_bytes);
                let (_, rest) = put(rest, udp.as_flattened())?;
                put(rest, &[VXLAN_FLAG, 0, 0, 0, a, b, c, 0])?
            }
        };
        let (_, rest) = put(rest, &self.destination_mac)?;
        let (_, rest) = put(rest, &self.source_mac)?;
        put(rest, &IPV6_TYPE)?;
        Ok(())
    }

    /// Makes the outer header. As published, the TTL is 64, the identification 1 and no flag is set
    /// (W-11).
    fn outer(&self, headers: &Headers, total: u16) -> [u8; IPV4_LENGTH] {
        let mut outer = [0; IPV4_LENGTH];
        outer[0] = 0x45;
        outer[1] = (self.dscp & 0x3F) << 2;
        [outer[2], outer[3]] = total.to_be_bytes();
        outer[5] = 1;
        outer[8] = 64;
        outer[9] = match self.encapsulation {
            Encapsulation::Nvgre => GRE.0,
            Encapsulation::Vxlan => Protocol::UDP.0,
        };
        outer[12..16].copy_from_slice(&self.source.octets());
        let destination = self.destination.unwrap_or(headers.destination);
        outer[16..].copy_from_slice(&destination.octets());
        [outer[10], outer[11]] = (!sum(&outer)).to_be_bytes();
        outer
    }
}

/// Gives a port from 49,152 to 65,535 that is the same for all packets of a flow. Routers can then
/// spread flows over paths (RFC 7348 5).
fn flow_port(headers: &Headers) -> u16 {
    let addresses = add(sum(&headers.source.octets()), sum(&headers.destination.octets()));
    0xC000 | add(addresses, add(headers.source_port, headers.destination_port))
}
