//! The address pair of a packet, in the order of its bytes.

use core::net::{Ipv4Addr, SocketAddrV4};

/// Source and destination of a packet, kept as the words that the packet holds. They can be
/// compared, stored and written without conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressPair {
    /// Both addresses as eight bytes, source first, the first byte lowest.
    pub addresses: u64,
    /// Both ports as four bytes, in the same order.
    pub ports: u32,
}

impl AddressPair {
    /// Makes an address pair of a source and a destination.
    #[must_use]
    #[inline]
    pub const fn new(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        let [from, to] = [source.ip().octets(), destination.ip().octets()];
        let [sp, dp] = [source.port().to_be_bytes(), destination.port().to_be_bytes()];
        Self {
            addresses: u64::from_le_bytes([
                from[0], from[1], from[2], from[3], to[0], to[1], to[2], to[3],
            ]),
            ports: u32::from_le_bytes([sp[0], sp[1], dp[0], dp[1]]),
        }
    }

    /// Swaps source and destination, as a reply does.
    #[must_use]
    #[inline]
    pub const fn reversed(self) -> Self {
        Self { addresses: self.addresses.rotate_left(32), ports: self.ports.rotate_left(16) }
    }

    /// Gives the source.
    #[must_use]
    #[inline]
    pub const fn source(self) -> SocketAddrV4 {
        let [a, b, c, d, ..] = self.addresses.to_le_bytes();
        let [high, low, ..] = self.ports.to_le_bytes();
        SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))
    }

    /// Gives the destination.
    #[must_use]
    #[inline]
    pub const fn destination(self) -> SocketAddrV4 {
        self.reversed().source()
    }
}
