//! Address arithmetic of the tunnel.

use core::net::{Ipv4Addr, Ipv6Addr};

/// Bits to lay over a 128-bit address. Bits under the mask are replaced, the others stay (W-08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Overlay {
    bits: u128,
    mask: u128,
}

impl Overlay {
    /// Replaces the bits under `mask` by those of `value`.
    #[must_use]
    pub const fn new(value: Ipv6Addr, mask: Ipv6Addr) -> Self {
        Self { bits: value.to_bits() & mask.to_bits(), mask: mask.to_bits() }
    }

    /// Replaces the upper 96 bits, so that the lower 32 remain the IPv4 address (W-02).
    #[must_use]
    pub const fn prefix(value: Ipv6Addr) -> Self {
        Self::new(value, Ipv6Addr::from_bits(!0 << 32))
    }

    /// Replaces all bits by a fixed address (W-15).
    #[must_use]
    pub const fn exactly(address: Ipv6Addr) -> Self {
        Self::new(address, Ipv6Addr::from_bits(!0))
    }

    /// Sets the bits that are set in `value`, as a private endpoint's extra prefix does (W-18).
    #[must_use]
    pub const fn ones(value: Ipv6Addr) -> Self {
        Self::new(value, value)
    }

    /// Lays another overlay over this one.
    #[must_use]
    pub const fn then(self, upper: Self) -> Self {
        Self { bits: self.bits & !upper.mask | upper.bits, mask: self.mask | upper.mask }
    }

    /// Widens an IPv4 address with zeros and lays this over it.
    #[must_use]
    pub fn over(self, address: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from(address.to_bits()) & !self.mask | self.bits)
    }
}
