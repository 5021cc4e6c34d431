//! A packet as one line of words: text to bytes, and bytes to text.

mod build;
mod read;
#[cfg(any(test, feature = "proptest"))]
pub mod strategies;
mod text;

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{Protocol, TcpFlags};

pub use build::fragments;
pub use text::PacketError;

/// A packet as its fields, which parse from a line and print as one.
///
/// ```
/// use vnetem_packet_text::Packet;
/// use vnetem_packet::Headers;
///
/// let line = "10.0.0.4:50001 > 52.239.1.9:443 tcp S seq 1 mss 1460 ttl 9";
/// let bytes = line.parse::<Packet>()?.build();
/// assert_eq!(Headers::parse(&bytes)?.ttl, 9);
/// assert_eq!(Packet::read(&bytes)?.to_string(), line);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// After the ends comes the kind, then words in any order. Brackets hold the default, which is 0
/// unless shown.
///
/// - `tcp FLAGS`: `seq`, `ack`, `win` \[65535\], `mss`, `wscale`, `len`. Flags are letters of
///   `FSRPAUEC`, or `.` for none.
/// - `udp`: `no-checksum`, `len`.
/// - `icmp echo`, `icmp reply`: `id`, `seq`, `len`.
/// - An ICMP error: `quote N`, then last `about` and the quoted packet. `N` counts bytes behind the
///   quoted header \[as many as fit 576\].
///   - `icmp unreachable net`, or `host`, `protocol`, `port`, `prohibited`.
///   - `icmp unreachable fragmentation-needed mtu N`.
///   - `icmp time-exceeded`, `icmp time-exceeded reassembly`, `icmp parameter-problem`.
/// - `ip-47`, `tcp`, `udp`, `icmp` between addresses without ports: `len`. The data has no header,
///   as in a later fragment.
/// - Any kind: `ttl` \[64\], `df`, `frag id N offset N more`, `bad-checksum`, `bad-ip-checksum`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// The don't-fragment bit.
    pub dont_fragment: bool,
    /// Which fragment this is; `None` if the packet is whole.
    pub fragment: Option<Part>,
    /// What follows the IPv4 header.
    pub content: Content,
    /// Deliberate errors.
    pub flaws: Flaws,
}

/// Which fragment of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Identification, equal in all fragments of a datagram.
    pub identification: u16,
    /// Offset in bytes, a multiple of eight.
    pub offset: u16,
    /// Whether another fragment follows.
    pub more: bool,
}

/// What follows an IPv4 header. Data bytes count up from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram.
    Udp(Datagram),
    /// An ICMP echo request or reply.
    Echo(Echo),
    /// An ICMP error.
    Error(IcmpError),
    /// Bytes without a header.
    Data {
        /// Protocol number.
        protocol: Protocol,
        /// Number of bytes.
        length: u16,
    },
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Control bits.
    pub flags: TcpFlags,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Window, unscaled.
    pub window: u16,
    /// Maximum segment size option.
    pub maximum_segment_size: Option<u16>,
    /// Window scale option.
    pub window_scale: Option<u8>,
    /// Bytes of data.
    pub length: u16,
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Whether it carries a checksum; without one the field is 0.
    pub checksum: bool,
    /// Bytes of data.
    pub length: u16,
}

/// An ICMP echo message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Whether it is the reply.
    pub reply: bool,
    /// Identifier, which NAT treats as a port.
    pub identifier: u16,
    /// Sequence number.
    pub sequence: u16,
    /// Bytes of data.
    pub length: u16,
}

/// An ICMP error and the packet that it quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What went wrong.
    pub problem: Problem,
    /// The quoted packet.
    pub about: Box<Packet>,
    /// How many bytes behind the quoted IPv4 header are quoted. `None` quotes as many as fit 576
    /// bytes (T-25, T-26).
    pub quoted: Option<u16>,
}

/// What an ICMP error says (RFC 792).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Type 3, code 0.
    NetUnreachable,
    /// Type 3, code 1.
    HostUnreachable,
    /// Type 3, code 2.
    ProtocolUnreachable,
    /// Type 3, code 3.
    PortUnreachable,
    /// Type 3, code 4, with the next link's MTU (RFC 1191).
    FragmentationNeeded {
        /// MTU of the next link in bytes.
        mtu: u16,
    },
    /// Type 3, code 13.
    Prohibited,
    /// Type 11, code 0.
    TimeExceeded,
    /// Type 11, code 1.
    ReassemblyTimeExceeded,
    /// Type 12, code 0.
    ParameterProblem,
}

/// Deliberate errors in a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Whether the TCP, UDP or ICMP checksum is wrong.
    pub checksum: bool,
    /// Whether the IPv4 header checksum is wrong.
    pub header_checksum: bool,
}

impl Packet {
    /// Default TTL.
    pub const TTL: u8 = 64;

    /// Makes a whole packet with that content and no flaws.
    #[must_use]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, content: Content) -> Self {
        Self {
            source,
            destination,
            ttl: Self::TTL,
            dont_fragment: false,
            fragment: None,
            content,
            flaws: Flaws::default(),
        }
    }

    /// Makes a TCP segment without data, with sequence and acknowledgement number 0.
    #[must_use]
    pub fn tcp(source: SocketAddrV4, destination: SocketAddrV4, flags: TcpFlags) -> Self {
        let segment = Segment::new(source.port(), destination.port(), flags);
        Self::new(*source.ip(), *destination.ip(), Content::Tcp(segment))
    }

    /// Makes a UDP datagram with that many bytes of data.
    #[must_use]
    pub fn udp(source: SocketAddrV4, destination: SocketAddrV4, length: u16) -> Self {
        let (source_port, destination_port) = (source.port(), destination.port());
        let datagram = Datagram { source_port, destination_port, checksum: true, length };
        Self::new(*source.ip(), *destination.ip(), Content::Udp(datagram))
    }

    /// Makes an ICMP echo request.
    #[must_use]
    pub fn echo(source: Ipv4Addr, destination: Ipv4Addr, identifier: u16) -> Self {
        let echo = Echo { reply: false, identifier, sequence: 0, length: 0 };
        Self::new(source, destination, Content::Echo(echo))
    }

    /// Makes the ICMP error that `source` sends to the sender of a packet.
    #[must_use]
    pub fn error(source: Ipv4Addr, problem: Problem, about: Self) -> Self {
        let destination = about.source;
        let icmp_error = IcmpError { problem, about: Box::new(about), quoted: None };
        Self::new(source, destination, Content::Error(icmp_error))
    }
}

impl Segment {
    /// Default window.
    pub const WINDOW: u16 = 65535;

    /// Makes a segment without data and options.
    #[must_use]
    pub const fn new(source_port: u16, destination_port: u16, flags: TcpFlags) -> Self {
        Self {
            source_port,
            destination_port,
            flags,
            sequence: 0,
            acknowledgement: 0,
            window: Self::WINDOW,
            maximum_segment_size: None,
            window_scale: None,
            length: 0,
        }
    }
}

impl Content {
    /// Gives the protocol number for the IPv4 header.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Tcp(_) => Protocol::TCP,
            Self::Udp(_) => Protocol::UDP,
            Self::Echo(_) | Self::Error(_) => Protocol::ICMP,
            Self::Data { protocol, .. } => *protocol,
        }
    }

    /// Gives both ports, if the kind has ports.
    const fn ports(&self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(segment) => Some((segment.source_port, segment.destination_port)),
            Self::Udp(datagram) => Some((datagram.source_port, datagram.destination_port)),
            Self::Echo(_) | Self::Error(_) | Self::Data { .. } => None,
        }
    }
}

impl Problem {
    /// All problems, each once.
    pub const ALL: [Self; 9] = [
        Self::NetUnreachable,
        Self::HostUnreachable,
        Self::ProtocolUnreachable,
        Self::PortUnreachable,
        Self::FragmentationNeeded { mtu: 1400 },
        Self::Prohibited,
        Self::TimeExceeded,
        Self::ReassemblyTimeExceeded,
        Self::ParameterProblem,
    ];

    /// Gives type and code.
    #[must_use]
    pub const fn number(self) -> (u8, u8) {
        match self {
            Self::NetUnreachable => (3, 0),
            Self::HostUnreachable => (3, 1),
            Self::ProtocolUnreachable => (3, 2),
            Self::PortUnreachable => (3, 3),
            Self::FragmentationNeeded { .. } => (3, 4),
            Self::Prohibited => (3, 13),
            Self::TimeExceeded => (11, 0),
            Self::ReassemblyTimeExceeded => (11, 1),
            Self::ParameterProblem => (12, 0),
        }
    }

    /// Gives the problem of a type and code. `mtu` is the last two bytes of the ICMP header.
    #[must_use]
    pub fn of(number: (u8, u8), mtu: u16) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|problem| problem.number() == number)?;
        Some(match found {
            Self::FragmentationNeeded { .. } => Self::FragmentationNeeded { mtu },
            other => other,
        })
    }
}

#[cfg(test)]
mod tests;
