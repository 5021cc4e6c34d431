//! Computes every checksum of a packet from scratch, for tests and for the one check that NAT must
//! make (T-22).

use crate::checksum::{add, fold, sum};
use crate::{Fragment, Headers, Transport};

/// The result of checking a transport checksum from scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportChecksum {
    /// The checksum is right.
    Right,
    /// The checksum is wrong.
    Wrong,
    /// There is none: UDP with a checksum of 0, or a protocol whose checksum is not known here.
    Absent,
    /// A fragment holds only a part of what the checksum covers.
    Unknown,
}

/// The results for all checksums of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksums {
    /// Whether the IPv4 header checksum is right.
    pub header: bool,
    /// The result for the transport checksum.
    pub transport: TransportChecksum,
}

impl Checksums {
    /// Computes the checksums of `packet`, with the lengths in `headers`.
    ///
    /// Addresses are read from the bytes. So a rewritten packet may be checked with its earlier
    /// headers.
    #[must_use]
    pub fn of(packet: &[u8], headers: &Headers) -> Self {
        let (length, total) =
            (usize::from(headers.header_length), usize::from(headers.total_length));
        let parts = packet.get(..total).and_then(|packet| packet.split_at_checked(length));
        let Some((header, payload)) = parts else {
            return Self { header: false, transport: TransportChecksum::Unknown };
        };
        Self { header: sum(header) == 0xFFFF, transport: of_transport(header, payload, headers) }
    }

    /// Says whether no checksum is known to be wrong.
    #[must_use]
    pub fn none_wrong(self) -> bool {
        self.header && self.transport != TransportChecksum::Wrong
    }
}

/// Says whether the checksum of an ICMP message is not known to be wrong. A NAT checks this before
/// it translates an error (T-22, RFC 5508 REQ-3).
///
/// A fragment passes, since only its receiver can check it.
#[must_use]
pub fn verify_icmp_checksum(packet: &[u8], headers: &Headers) -> bool {
    Checksums::of(packet, headers).transport != TransportChecksum::Wrong
}

fn of_transport(header: &[u8], payload: &[u8], headers: &Headers) -> TransportChecksum {
    let covered = covered(payload, headers.transport);
    let pseudo = match headers.transport {
        Transport::None if headers.fragment == Fragment::Whole => return TransportChecksum::Absent,
        Transport::Udp if payload.get(6..8) == Some(&[0, 0]) => return TransportChecksum::Absent,
        _ if headers.fragment != Fragment::Whole => return TransportChecksum::Unknown,
        Transport::Tcp(_) | Transport::Udp => {
            let length = u32::try_from(covered.len()).unwrap_or(u32::MAX);
            let rest = fold(length.wrapping_add(u32::from(headers.protocol.0)));
            add(sum(header.get(12..20).unwrap_or_default()), rest)
        }
        _ => 0,
    };
    match add(pseudo, sum(covered)) {
        0xFFFF => TransportChecksum::Right,
        _ => TransportChecksum::Wrong,
    }
}

/// Gives the bytes that the checksum covers. Of a UDP datagram they end at its own length (RFC
/// 768).
fn covered(payload: &[u8], transport: Transport) -> &[u8] {
    let length = match (transport, payload) {
        (Transport::Udp, &[_, _, _, _, high, low, ..]) => u16::from_be_bytes([high, low]).into(),
        _ => payload.len(),
    };
    payload.get(..length).unwrap_or(payload)
}
