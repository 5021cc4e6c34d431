//! The one door for untrusted bytes: a packet is parsed once into [`Headers`].

use core::fmt;
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
    /// Length of header and payload in bytes, as the header says; bytes behind it are no part of
    /// the packet.
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
    /// An ICMP request with an identifier (echo, timestamp, information, address mask).
    IcmpRequest,
    /// The reply to one.
    IcmpReply,
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
    #[inline]
    pub const fn tuple(&self) -> FiveTuple {
        FiveTuple {
            protocol: self.protocol,
            source: SocketAddrV4::new(self.source, self.source_port),
            destination: SocketAddrV4::new(self.destination, self.destination_port),
        }
    }
}

impl TcpSegment {
    /// How much sequence space the segment takes: its data, and one each for SYN and FIN (RFC 9293
    /// 3.4).
    #[must_use]
    #[inline]
    pub fn length(&self) -> u32 {
        let [syn, fin] =
            [TcpFlags::SYN, TcpFlags::FIN].map(|flag| u32::from(self.flags.contains(flag)));
        u32::from(self.payload_length).wrapping_add(syn).wrapping_add(fin)
    }

    /// The sequence number behind the segment: what its receiver expects next once it has it.
    #[must_use]
    #[inline]
    pub fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length())
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
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// As in `10.0.0.4:50001 > 52.239.1.9:443 tcp S`; what has no ports is shown without.
impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Tcp(segment) => write!(f, "{} {}", self.tuple(), segment.flags),
            Transport::Udp => write!(f, "{}", self.tuple()),
            Transport::IcmpRequest => write!(f, "{} request", self.tuple()),
            Transport::IcmpReply => write!(f, "{} reply", self.tuple()),
            Transport::IcmpError => {
                write!(f, "{} > {} {} error", self.source, self.destination, self.protocol)
            }
            Transport::IcmpOther | Transport::None => {
                write!(f, "{} > {} {}", self.source, self.destination, self.protocol)
            }
        }?;
        match self.fragment {
            Fragment::Whole => Ok(()),
            Fragment::First => f.write_str(" fragment 0"),
            Fragment::Later { offset, .. } => write!(f, " fragment {offset}"),
        }
    }
}

/// One letter per control bit from the lowest up, so `S`, `SA`, `A`, `RA`, `FA`, and `.` for none.
impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str(".");
        }
        let set = "FSRPAUEC".char_indices().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        set.map(|(_, letter)| letter).try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}
