//! The one door for untrusted bytes: a packet is parsed once into [`Headers`].

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::{FiveTuple, Protocol};

/// What the rest of vnetem knows of a packet: a small value that borrows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Source port; the identifier of an ICMP request; 0 where there is none.
    pub source_port: u16,
    /// Destination port; the identifier of an ICMP reply; 0 where there is none.
    pub destination_port: u16,
    /// Length of header and payload in bytes, as the header says; bytes behind it are no part of the packet.
    pub total_length: u16,
    /// Identification field, the key of fragments.
    pub identification: u16,
    /// Length of the IPv4 header in bytes, 20 to 60.
    pub header_length: u8,
    /// Time to live.
    pub ttl: u8,
    /// Protocol number.
    pub protocol: Protocol,
    /// Whether the don't-fragment bit is set.
    pub dont_fragment: bool,
    /// Whether the packet is whole, and if not which part.
    pub fragment: Fragment,
    /// What the transport header says.
    pub transport: Transport,
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    Whole,
    /// The first part, with the transport header.
    First,
    /// A later part, without ports.
    Later {
        /// Offset of its first byte in the datagram's payload.
        offset: u16,
        /// Whether no part follows it.
        last: bool,
    },
}

/// The part of a transport header on which decisions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment.
    Tcp(TcpSegment),
    /// A UDP datagram.
    Udp,
    /// An ICMP request or reply with an identifier (echo, timestamp, information, address mask).
    IcmpQuery,
    /// An ICMP error, which quotes a packet (types 3, 4, 5, 11, 12).
    IcmpError,
    /// Any other ICMP message.
    IcmpOther,
    /// Another protocol, or a later fragment.
    None,
}

/// The fields of a TCP segment that connection tracking needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment {
    /// Sequence number of the first byte (or of SYN).
    pub sequence: u32,
    /// Acknowledgement number; meaningful if ACK is set.
    pub acknowledgement: u32,
    /// Window field, unscaled.
    pub window: u16,
    /// Bytes of data that the packet carries.
    pub payload_length: u16,
    /// Length of the TCP header in bytes, 20 to 60.
    pub header_length: u8,
    /// Control bits.
    pub flags: TcpFlags,
}

/// TCP control bits (RFC 9293 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpFlags(pub u8);

impl Headers {
    /// The five-tuple in the direction the packet travels.
    #[must_use]
    pub const fn tuple(&self) -> FiveTuple {
        FiveTuple {
            protocol: self.protocol,
            source: SocketAddrV4::new(self.source, self.source_port),
            destination: SocketAddrV4::new(self.destination, self.destination_port),
        }
    }
}

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number is meaningful.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is meaningful.
    pub const URG: Self = Self(0x20);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
