//! The header before each packet of a TUN device with offload (`struct virtio_net_hdr`), checksums
//! that are only begun, and packets that are many.

use tun_rs::{VirtioNetHdr, gso_split};
use vnetem_packet::checksum;

/// Bytes of the header.
pub(super) const HEADER: usize = 10;
/// A header of a whole packet with its checksum.
pub(super) const PLAIN: [u8; HEADER] = [0; HEADER];
const NEEDS_CHECKSUM: u8 = 1;

/// What the header of a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offload {
    flags: u8,
    kind: u8,
    segment: u16,
    start: u16,
    offset: u16,
}

impl Offload {
    pub(super) fn read(header: &[u8; HEADER]) -> Self {
        let [flags, kind, _, _, g0, g1, s0, s1, o0, o1] = *header;
        Self {
            flags,
            kind,
            segment: u16::from_ne_bytes([g0, g1]),
            start: u16::from_ne_bytes([s0, s1]),
            offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    /// Whether the checksum of the packet is only begun.
    pub(super) fn is_begun(self) -> bool {
        self.flags & NEEDS_CHECKSUM != 0
    }

    /// Whether the packet stands for several.
    pub(super) fn is_many(self) -> bool {
        self.kind != 0 && self.segment != 0
    }

    /// How many packets a packet of so many bytes stands for.
    pub(super) fn count(self, packet: usize) -> u64 {
        if !self.is_many() {
            return 1;
        }
        let header = usize::from(self.start) + 20;
        packet.saturating_sub(header).div_ceil(usize::from(self.segment)).max(1) as u64
    }

    fn field(self) -> usize {
        usize::from(self.start) + usize::from(self.offset)
    }

    /// Begins the checksum anew after the addresses were rewritten: the field is to hold the sum of
    /// the pseudo-header, not complemented. What the rewrite did to the field does not matter.
    pub(super) fn begin_checksum(self, packet: &mut [u8]) {
        if !self.is_begun() {
            return;
        }
        let Some(&[_, _, t0, t1, _, _, _, _, _, protocol, _, _, a0, a1, a2, a3, b0, b1, b2, b3]) =
            packet.first_chunk()
        else {
            return;
        };
        let length = u16::from_be_bytes([t0, t1]).saturating_sub(self.start);
        let sum = checksum::pseudo_header([a0, a1, a2, a3], [b0, b1, b2, b3], protocol, length);
        let field = self.field();
        if let Some(field) = packet.get_mut(field..field + 2) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// Computes the checksum of one whole packet where it is only begun.
    fn complete_checksum(self, packet: &mut [u8]) {
        if !self.is_begun() {
            return;
        }
        self.begin_checksum(packet);
        let sum = !checksum::sum(packet.get(usize::from(self.start)..).unwrap_or_default());
        // A UDP checksum of zero would say that there is none (RFC 768).
        let sum = if sum == 0 && packet.get(9) == Some(&17) { u16::MAX } else { sum };
        let field = self.field();
        if let Some(field) = packet.get_mut(field..field + 2) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// Gives the whole packets with right checksums that a packet stands for, for receivers that
    /// are not the kernel.
    pub(super) fn split(self, packet: &mut [u8], mut take: impl FnMut(&[u8])) {
        if !self.is_many() {
            self.complete_checksum(packet);
            return take(packet);
        }
        let behind = |at: usize| packet.get(at).map_or(20, |byte| usize::from(byte >> 4) * 4);
        // The length that the kernel writes is only a hint.
        let transport = match packet.get(9) {
            Some(6) => behind(usize::from(self.start) + 12),
            _ => 8,
        };
        let hdr_len = self.start.saturating_add(u16::try_from(transport).unwrap_or(20));
        let header = VirtioNetHdr {
            flags: self.flags,
            gso_type: self.kind,
            hdr_len,
            gso_size: self.segment,
            csum_start: self.start,
            csum_offset: self.offset,
        };
        let count = usize::try_from(self.count(packet.len())).unwrap_or(1) + 1;
        let longest = usize::from(hdr_len) + usize::from(self.segment);
        let mut parts = vec![vec![0; longest]; count];
        let mut sizes = vec![0; count];
        let made = gso_split(packet, header, &mut parts, &mut sizes, 0, false).unwrap_or(0);
        for (part, size) in parts.iter().zip(sizes).take(made) {
            take(part.get(..size).unwrap_or_default());
        }
    }
}
