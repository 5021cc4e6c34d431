use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// An address to look up: an [`Ipv4Addr`], its four octets, or a number in host order.
pub trait Address: Copy {
    /// Gives the address as a number, the first octet in the highest byte.
    fn number(self) -> u32;
}

impl Address for u32 {
    #[inline(always)]
    fn number(self) -> u32 {
        self
    }
}

impl Address for Ipv4Addr {
    #[inline(always)]
    fn number(self) -> u32 {
        self.to_bits()
    }
}

impl Address for [u8; 4] {
    #[inline(always)]
    fn number(self) -> u32 {
        u32::from_be_bytes(self)
    }
}

/// Gives the mask of this prefix length; lengths beyond 32 count as 32.
#[inline]
pub(crate) fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
}

/// Gives the prefix of this length that contains the address.
#[inline]
pub(crate) fn prefix_of(address: u32, length: u8) -> Ipv4Net {
    let length = length.min(32);
    let network = Ipv4Addr::from_bits(address & mask(length));
    // The length is at most 32, so the default (0.0.0.0/0) is never used.
    Ipv4Net::new(network, length).unwrap_or_default()
}
