//! What a packet says. [`Headers::parse`] is the only entry point for untrusted bytes.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};

use crate::{FiveTuple, Protocol};

/// All that the rest of vnetem knows of a packet: a small `Copy` value that borrows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Source port, or the identifier of an ICMP request; 0 if there is neither.
    pub source_port: u16,
    /// Destination port, or the identifier of an ICMP reply; 0 if there is neither.
    pub destination_port: u16,
    /// Length of header and payload in bytes, as the header says. Bytes behind it do not belong to
    /// the packet.
    pub total_length: u16,
    /// Identification field, by which fragments of one datagram are matched.
    pub identification: u16,
    /// Length of the IPv4 header in bytes, 20 to 60.
    pub header_length: u8,
    /// Time to live.
    pub ttl: u8,
    /// Protocol number.
    pub protocol: Protocol,
    /// Whether the don't-fragment bit is set.
    pub dont_fragment: bool,
    /// Whether the packet is whole, or which fragment it is.
    pub fragment: Fragment,
    /// What the transport header says.
    pub transport: Transport,
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The whole datagram.
    Whole,
    /// The first fragment, with the transport header.
    First,
    /// A later fragment, without ports.
    Later {
        /// Offset of its first byte in the datagram's payload.
        offset: u16,
        /// Whether it is the last fragment.
        last: bool,
    },
}

/// The part of a transport header on which decisions depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment.
    Tcp(TcpSegment),
    /// A UDP datagram.
    Udp,
    /// An ICMP request with an identifier (echo, timestamp, information, address mask).
    IcmpRequest,
    /// The reply to such a request.
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
    /// Sequence number of the first byte, or of the SYN.
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
    /// Gives the five-tuple in the direction in which the packet travels.
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
    /// Counts the sequence space of the segment: its data, and one each for SYN and FIN (RFC 9293
    /// 3.4).
    #[must_use]
    #[inline]
    pub fn length(&self) -> u32 {
        let [syn, fin] =
            [TcpFlags::SYN, TcpFlags::FIN].map(|flag| u32::from(self.flags.contains(flag)));
        u32::from(self.payload_length).wrapping_add(syn).wrapping_add(fin)
    }

    /// Gives the sequence number after the segment, which its receiver expects next.
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

    /// Says whether all bits of `other` are set.
    #[must_use]
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Prints `10.0.0.4:50001 > 52.239.1.9:443 tcp S`. A packet without ports is shown without.
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

/// Prints one letter per control bit, from the lowest up: `S`, `SA`, `A`, `RA`, `FA`; `.` for none.
impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str(".");
        }
        let set = "FSRPAUEC".char_indices().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        set.map(|(_, letter)| letter).try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}
