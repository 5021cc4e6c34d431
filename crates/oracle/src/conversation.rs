//! What the ends of a flow know of it, so that they can continue it.

use core::net::Ipv4Addr;

use vnetem_nat::Side;

use crate::packet::{TCP, byte, double, header, source_port, word};

/// A flow as its ends see it.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) protocol: u8,
    pub(crate) internal: (Ipv4Addr, u16),
    pub(crate) remote: (Ipv4Addr, u16),
    /// The external port in place of the internal one, or the identifier.
    pub(crate) external: u16,
    /// The number of the next byte from the internal and the external side, where there is one.
    pub(crate) next: [Option<u32>; 2],
    /// The sequence number of each side's SYN.
    pub(crate) first: [u32; 2],
    /// Which sides have sent a FIN.
    finished: [bool; 2],
    /// The last packet that arrived at the internal and at the external side.
    pub(crate) arrived: [Option<Vec<u8>>; 2],
}

/// The key of a flow.
pub(crate) type Key = (u8, (Ipv4Addr, u16), (Ipv4Addr, u16));

impl Conversation {
    /// Begins a flow with its first packet: as it was sent, and as it arrived.
    pub(crate) fn opened(sent: &[u8], arrived: &[u8]) -> Self {
        let (protocol, internal, remote) = key(sent);
        let external = source_port(arrived);
        let (next, finished, arrived) = ([None; 2], [false; 2], [None, None]);
        Self { protocol, internal, remote, external, next, first: [0; 2], finished, arrived }
    }

    /// Records a packet of the flow that was sent from a side and arrived at the other.
    pub(crate) fn passed(&mut self, from: Side, sent: &[u8], arrived: &[u8]) {
        if let Some(last) = self.arrived.get_mut(index(from.other())) {
            *last = Some(arrived.to_vec());
        }
        if from == Side::Internal {
            self.external = source_port(arrived);
        }
        if self.protocol == TCP {
            self.segment(index(from), sent);
        }
    }

    /// Returns whether a side has sent a FIN.
    pub(crate) fn has_finished(&self, side: Side) -> bool {
        self.finished.get(index(side)) == Some(&true)
    }

    /// Returns whether both sides have sent a FIN, so that the next acknowledgement ends the
    /// connection.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished == [true; 2]
    }

    fn segment(&mut self, from: usize, sent: &[u8]) {
        let at = header(sent);
        let (flags, end) = (byte(sent, at + 13), segment_end(sent));
        let [own, other] = if from == 0 { self.next } else { [self.next[1], self.next[0]] };
        let fits = match (own, other) {
            // A SYN on a connection that both have begun has no effect.
            (Some(_), Some(_)) if flags & SYN != 0 => false,
            _ if flags & SYN != 0 => true,
            (Some(own), Some(other)) => {
                is_near(double(sent, at + 4), own) && is_near(double(sent, at + 8), other)
            }
            _ => false,
        };
        if flags & RST != 0 || fits && self.is_finished() {
            (self.next, self.finished) = ([None; 2], [false; 2]);
            return;
        }
        if let Some(first) = self.first.get_mut(from)
            && fits
            && flags & SYN != 0
        {
            *first = double(sent, at + 4);
        }
        if let (Some(next), Some(finished)) = (self.next.get_mut(from), self.finished.get_mut(from))
            && fits
        {
            if flags & SYN != 0 || end.wrapping_sub(next.unwrap_or(end)) < 1 << 31 {
                *next = Some(end);
            }
            *finished |= flags & FIN != 0;
        }
    }
}

/// Returns whether a number is so near to the next one that no window excludes it.
fn is_near(number: u32, next: u32) -> bool {
    number.wrapping_sub(next).wrapping_add(500) < 1000
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
const URG: u8 = 32;

/// Removes URG from flags where it is rare. Linux takes an RST, or a SYN with ACK, that has it as
/// invalid; in vnetem it has no meaning.
pub(crate) const fn without_odd_urgency(flags: u8) -> u8 {
    if flags & (RST | SYN) == 0 { flags } else { flags & !URG }
}

/// Returns the flow key of a packet from the internal side.
pub(crate) fn key(packet: &[u8]) -> Key {
    let address = |at| Ipv4Addr::from_bits(double(packet, at));
    let protocol = byte(packet, 9);
    let port = if protocol == crate::packet::ICMP { 0 } else { word(packet, header(packet) + 2) };
    (protocol, (address(12), source_port(packet)), (address(16), port))
}

pub(crate) const fn index(side: Side) -> usize {
    match side {
        Side::Internal => 0,
        Side::External => 1,
    }
}

/// Returns the number after a segment's last byte. SYN and FIN count as one each.
fn segment_end(packet: &[u8]) -> u32 {
    let at = header(packet);
    let data = usize::from(word(packet, 2))
        .saturating_sub(at)
        .saturating_sub(usize::from(byte(packet, at + 12) >> 4) * 4);
    let flags = byte(packet, at + 13);
    double(packet, at + 4)
        .wrapping_add(u32::try_from(data).unwrap_or(0))
        .wrapping_add(u32::from(flags & 1))
        .wrapping_add(u32::from(flags >> 1 & 1))
}
