//! Packets for tests: bytes and their headers.

use std::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{FiveTuple, Headers, Protocol, TcpFlags};

pub(crate) const FIN: u8 = TcpFlags::FIN.0;
pub(crate) const SYN: u8 = TcpFlags::SYN.0;
pub(crate) const RST: u8 = TcpFlags::RST.0;
pub(crate) const ACK: u8 = TcpFlags::ACK.0;

/// A packet with its parsed headers.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) headers: Headers,
}

/// The fields of a TCP segment that tests set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) window: u16,
    pub(crate) payload: u16,
    /// Window scale option.
    pub(crate) scale: Option<u8>,
}

pub(crate) fn at(address: [u8; 4], port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(address), port)
}

pub(crate) fn segment(flags: u8, sequence: u32, acknowledgement: u32, payload: u16) -> Segment {
    Segment { flags, sequence, acknowledgement, window: 65_535, payload, scale: None }
}

impl Packet {
    pub(crate) fn tcp(source: SocketAddrV4, destination: SocketAddrV4, segment: Segment) -> Self {
        let mut tcp = vec![0; 20];
        tcp[0..2].copy_from_slice(&source.port().to_be_bytes());
        tcp[2..4].copy_from_slice(&destination.port().to_be_bytes());
        tcp[4..8].copy_from_slice(&segment.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&segment.acknowledgement.to_be_bytes());
        tcp[13] = segment.flags;
        tcp[14..16].copy_from_slice(&segment.window.to_be_bytes());
        if let Some(scale) = segment.scale {
            tcp.extend([3, 3, scale, 0]);
        }
        tcp[12] = u8::try_from(tcp.len() / 4).unwrap() << 4;
        tcp.resize(tcp.len() + usize::from(segment.payload), 0xAA);
        Self::ipv4(Protocol::TCP, source, destination, &tcp)
    }

    pub(crate) fn udp(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        let mut udp = vec![0; 12];
        udp[0..2].copy_from_slice(&source.port().to_be_bytes());
        udp[2..4].copy_from_slice(&destination.port().to_be_bytes());
        udp[5] = 12;
        Self::ipv4(Protocol::UDP, source, destination, &udp)
    }

    /// Makes an echo request if the source has the identifier, and a reply otherwise.
    pub(crate) fn ping(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        Self::echo(if destination.port() == 0 { 8 } else { 0 }, source, destination)
    }

    /// Makes an echo reply, even with identifier 0.
    pub(crate) fn pong(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        Self::echo(0, source, destination)
    }

    fn echo(message: u8, source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        let mut icmp = vec![message, 0, 0, 0, 0, 0, 0, 1];
        icmp[4..6].copy_from_slice(&(source.port() | destination.port()).to_be_bytes());
        Self::ipv4(Protocol::ICMP, source, destination, &icmp)
    }

    /// Makes the packet of a tuple: a SYN, a datagram, an echo, or four bytes of another protocol.
    pub(crate) fn of(tuple: FiveTuple) -> Self {
        match tuple.protocol {
            Protocol::TCP => Self::tcp(tuple.source, tuple.destination, segment(SYN, 1000, 0, 0)),
            Protocol::UDP => Self::udp(tuple.source, tuple.destination),
            Protocol::ICMP => Self::ping(tuple.source, tuple.destination),
            other => Self::ipv4(other, tuple.source, tuple.destination, &[1, 2, 3, 4]),
        }
    }

    fn ipv4(
        protocol: Protocol,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
    ) -> Self {
        let mut bytes = vec![0; 20];
        bytes[0] = 0x45;
        let length = u16::try_from(20 + payload.len()).unwrap();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes[8] = 64;
        bytes[9] = protocol.0;
        bytes[12..16].copy_from_slice(&source.ip().octets());
        bytes[16..20].copy_from_slice(&destination.ip().octets());
        let sum =
            bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum::<u32>();
        let sum = (sum & 0xFFFF) + (sum >> 16);
        let sum = u16::try_from((sum & 0xFFFF) + (sum >> 16)).unwrap();
        bytes[10..12].copy_from_slice(&(!sum).to_be_bytes());
        bytes.extend(payload);
        let headers = Headers::parse(&bytes).unwrap();
        Self { bytes, headers }
    }
}
