//! Every checksum of a packet computed from scratch: for tests, oracles and the one check that NAT
//! owes (T-22).

use crate::checksum::{add, fold, sum};
use crate::{Fragment, Headers, Transport};

/// What a checksum from scratch says of a transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportChecksum {
    /// It covers what is there.
    Right,
    /// It does not.
    Wrong,
    /// There is none: UDP with a checksum of 0, or a protocol whose checksum, if it has one, is not
    /// known here.
    Absent,
    /// It cannot be told, since a fragment holds only a part of what it covers.
    Unknown,
}

/// All checksums of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksums {
    /// Whether the IPv4 header checksum is right.
    pub header: bool,
    /// What the transport checksum is.
    pub transport: TransportChecksum,
}

impl Checksums {
    /// Computes the checksums of `packet`, whose lengths are those in `headers`; addresses are read
    /// from the bytes, so that a packet may be looked at with the headers that it had before it was
    /// rewritten.
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

    /// Whether nothing that can be told is wrong.
    #[must_use]
    pub fn none_wrong(self) -> bool {
        self.header && self.transport != TransportChecksum::Wrong
    }
}

/// Whether the checksum of an ICMP message is not known to be wrong: the check that RFC 5508 REQ-3
/// asks for before an error is translated (T-22). A fragment passes, since only its receiver can
/// tell.
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

/// What the checksum covers: of a UDP datagram only as much as its own length says (RFC 768).
fn covered(payload: &[u8], transport: Transport) -> &[u8] {
    let length = match (transport, payload) {
        (Transport::Udp, &[_, _, _, _, high, low, ..]) => u16::from_be_bytes([high, low]).into(),
        _ => payload.len(),
    };
    payload.get(..length).unwrap_or(payload)
}
