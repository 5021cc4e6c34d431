//! ICMP errors that vnetem itself sends.

use core::net::Ipv4Addr;

use crate::checksum::sum;
use crate::{AddressClass, Fragment, Headers, Protocol, Transport};

/// An ICMP error about a packet that could not be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// What went wrong.
    pub kind: IcmpErrorKind,
    /// The router or host that sends the error.
    pub source: Ipv4Addr,
}

/// What an ICMP error says (RFC 792, RFC 1812 5.2.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpErrorKind {
    /// The TTL ran out on the way: type 11, code 0.
    TimeExceeded,
    /// The packet is too long and has the don't-fragment bit: type 3, code 4.
    FragmentationNeeded {
        /// The MTU of the next link in bytes (RFC 1191 4).
        mtu: u16,
    },
    /// No route leads to the host, or it is gone: type 3, code 1.
    HostUnreachable,
    /// Nothing listens on the port: type 3, code 3.
    PortUnreachable,
    /// Policy refuses the packet: type 3, code 13 (RFC 5508 REQ-8).
    AdministrativelyProhibited,
}

impl IcmpError {
    /// The longest packet in bytes that [`IcmpError::write`] makes (RFC 1812 4.3.2.3, T-26).
    pub const MAXIMUM_LENGTH: usize = 576;

    /// Says whether an error about this packet may be sent (INV-last-hop-ends, RFC 1122 3.2.2).
    ///
    /// None is sent about an ICMP error or a later fragment. None is sent if an end is 0/8,
    /// multicast or broadcast, or if the source is loopback or 240/4.
    #[must_use]
    pub fn may_answer(headers: &Headers) -> bool {
        use AddressClass::{Broadcast, Loopback, Multicast, Reserved, ThisNetwork};
        let (source, destination) =
            (AddressClass::of(headers.source), AddressClass::of(headers.destination));
        headers.transport != Transport::IcmpError
            && !matches!(headers.fragment, Fragment::Later { .. })
            && !matches!(source, ThisNetwork | Multicast | Broadcast | Loopback | Reserved)
            && !matches!(destination, ThisNetwork | Multicast | Broadcast)
    }

    /// Writes the error about the packet `about` into `buffer` and gives its length in bytes.
    ///
    /// `headers` must be the result of [`Headers::parse`] for `about`. The error quotes as much of
    /// it as fits. It carries the packet's identification, a TTL of 64 and the precedence of
    /// network control (RFC 1812 4.3.2.5).
    #[must_use]
    pub fn write(
        &self,
        about: &[u8],
        headers: &Headers,
        buffer: &mut [u8; Self::MAXIMUM_LENGTH],
    ) -> usize {
        let about = about.get(..usize::from(headers.total_length)).unwrap_or(about);
        let (message, code, rest) = self.kind.fields();
        let mut length: u16 = 28;
        for (to, from) in buffer[28..].iter_mut().zip(about) {
            *to = *from;
            length = length.wrapping_add(1);
        }
        buffer[..28].fill(0);
        buffer[0] = 0x45;
        buffer[1] = 0xC0;
        buffer[2..4].copy_from_slice(&length.to_be_bytes());
        buffer[4..6].copy_from_slice(&headers.identification.to_be_bytes());
        buffer[8] = 64;
        buffer[9] = Protocol::ICMP.0;
        buffer[12..16].copy_from_slice(&self.source.octets());
        buffer[16..20].copy_from_slice(&headers.source.octets());
        buffer[20] = message;
        buffer[21] = code;
        buffer[26..28].copy_from_slice(&rest.to_be_bytes());
        let header = !sum(&buffer[..20]);
        let message = !sum(buffer.get(20..usize::from(length)).unwrap_or_default());
        buffer[10..12].copy_from_slice(&header.to_be_bytes());
        buffer[22..24].copy_from_slice(&message.to_be_bytes());
        usize::from(length)
    }
}

impl IcmpErrorKind {
    /// Gives type, code and the last two bytes of the ICMP header.
    const fn fields(self) -> (u8, u8, u16) {
        match self {
            Self::TimeExceeded => (11, 0, 0),
            Self::FragmentationNeeded { mtu } => (3, 4, mtu),
            Self::HostUnreachable => (3, 1, 0),
            Self::PortUnreachable => (3, 3, 0),
            Self::AdministrativelyProhibited => (3, 13, 0),
        }
    }
}
