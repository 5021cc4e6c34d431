//! Protocol numbers and five-tuples.

use core::fmt;
use core::net::SocketAddrV4;

/// An IPv4 protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet Control Message Protocol (RFC 792).
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol (RFC 9293).
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol (RFC 768).
    pub const UDP: Self = Self(17);
    /// Encapsulating Security Payload (RFC 4303).
    pub const ESP: Self = Self(50);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.write_str("icmp"),
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self(number) => write!(f, "ip-{number}"),
        }
    }
}

/// Addresses, protocol and ports of one packet, in the direction in which it travels.
///
/// An ICMP query has its identifier in the place of the asking side's port. That is the source of a
/// request and the destination of a reply; the other port is 0. So the tuple of a reply is the
/// reversed tuple of its request. A packet without ports has ports of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    /// The protocol above IPv4.
    pub protocol: Protocol,
    /// The source as the packet states it.
    pub source: SocketAddrV4,
    /// The destination.
    pub destination: SocketAddrV4,
}

impl FiveTuple {
    /// Gives the tuple of a reply to this packet.
    #[must_use]
    #[inline]
    pub const fn reversed(self) -> Self {
        Self { protocol: self.protocol, source: self.destination, destination: self.source }
    }
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {}", self.source, self.destination, self.protocol)
    }
}
