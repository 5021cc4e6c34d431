//! TCP resets that vnetem itself sends.

use core::net::SocketAddrV4;

use crate::checksum::{add, pseudo_header, sum};
use crate::{Fragment, Headers, Protocol, TcpFlags, Transport};

/// A TCP reset: RST, or RST and ACK if it acknowledges something.
///
/// A receiver accepts it only if `sequence` is exactly the number that it expects next
/// (INV-reset-number-exact, RFC 5961 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reset {
    /// The end in whose name the reset is sent.
    pub source: SocketAddrV4,
    /// The end that is to close.
    pub destination: SocketAddrV4,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number, which also sets ACK.
    pub acknowledgement: Option<u32>,
}

impl Reset {
    /// Length of the packet in bytes: two headers without options.
    pub const LENGTH: usize = 40;

    /// Makes the reset that answers a segment without a connection (INV-reset-answers-segment, RFC
    /// 9293 3.10.7.1).
    ///
    /// `None` if the packet is no TCP segment, a reset, or a later fragment. Resets are never
    /// answered (INV-resets-bounded). `None` also for a first fragment without ACK, since the
    /// length of its segment is unknown.
    #[must_use]
    pub fn answering(headers: &Headers) -> Option<Self> {
        let Transport::Tcp(segment) = headers.transport else { return None };
        if segment.flags.contains(TcpFlags::RST) {
            return None;
        }
        let (sequence, acknowledgement) = if segment.flags.contains(TcpFlags::ACK) {
            (segment.acknowledgement, None)
        } else if headers.fragment == Fragment::Whole {
            (0, Some(segment.end()))
        } else {
            return None;
        };
        let tuple = headers.tuple();
        Some(Self {
            source: tuple.destination,
            destination: tuple.source,
            sequence,
            acknowledgement,
        })
    }

    /// Writes the packet with right checksums, a window of 0 and the don't-fragment bit
    /// (INV-generated-packets-valid).
    #[must_use]
    pub fn write(&self, identification: u16, ttl: u8) -> [u8; Self::LENGTH] {
        let flags = match self.acknowledgement {
            Some(_) => TcpFlags::RST.0 | TcpFlags::ACK.0,
            None => TcpFlags::RST.0,
        };
        let mut packet = [0; Self::LENGTH];
        packet[0] = 0x45;
        packet[3] = 40;
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
        packet[6] = 0x40;
        packet[8] = ttl;
        packet[9] = Protocol::TCP.0;
        packet[12..16].copy_from_slice(&self.source.ip().octets());
        packet[16..20].copy_from_slice(&self.destination.ip().octets());
        packet[20..22].copy_from_slice(&self.source.port().to_be_bytes());
        packet[22..24].copy_from_slice(&self.destination.port().to_be_bytes());
        packet[24..28].copy_from_slice(&self.sequence.to_be_bytes());
        packet[28..32].copy_from_slice(&self.acknowledgement.unwrap_or(0).to_be_bytes());
        packet[32] = 0x50;
        packet[33] = flags;
        let header = !sum(&packet[..20]);
        let pseudo = pseudo_header(
            self.source.ip().octets(),
            self.destination.ip().octets(),
            Protocol::TCP.0,
            20,
        );
        let transport = !add(pseudo, sum(&packet[20..]));
        packet[10..12].copy_from_slice(&header.to_be_bytes());
        packet[36..38].copy_from_slice(&transport.to_be_bytes());
        packet
    }
}
