//! Makes packets that no well-behaved host sends: errors, strays and malformed ones.

use super::*;

impl Traffic {
    /// Makes an ICMP error about a packet that arrived somewhere.
    pub(super) fn error(&mut self) -> (Side, Vec<u8>) {
        let known = self.known();
        let from = self.side();
        let Some(mut quoted) = known.arrived[index(from)].clone() else {
            return (Side::Internal, self.opening());
        };
        let length = match self.below(4) {
            0 => header(&quoted) + 8,
            1 => header(&quoted) + 8 + self.below(20) as usize,
            _ => quoted.len(),
        };
        quoted.truncate(length.min(QUOTE));
        match self.below(30) {
            // A packet of no flow.
            0 => {
                let of_port = header(&quoted) + if byte(&quoted, 9) == ICMP { 4 } else { 0 };
                self.spoil(&mut quoted, of_port);
            }
            // A wrong header checksum in the quote (T-22).
            1 => self.spoil(&mut quoted, 10),
            _ => {}
        }
        let kind = match self.below(12) {
            0..6 => (3, self.one_of(&[0, 1, 2, 3, 4, 13])),
            6..9 => (11, self.one_of(&[0, 1])),
            9 => (12, 0),
            10 => (4, 0),
            _ => (5, 1),
        };
        let rest = if kind == (3, 4) { 1300 } else { 0 };
        let ends = match from {
            Side::Internal if self.below(5) == 0 => (self.host(), known.remote.0),
            Side::Internal => (known.internal.0, known.remote.0),
            Side::External if self.below(3) == 0 => (known.remote.0, place::EXTERNAL),
            Side::External => (place::TRANSIT, place::EXTERNAL),
        };
        let mut draft = Draft::icmp(ends, kind, rest, &quoted);
        if self.below(30) == 0 {
            draft.put(2, 0xBAD1);
        }
        let packet = self.finish(draft);
        (from, packet)
    }

    /// Makes an unsolicited packet from the external side: to a port that no flow has, or from a
    /// remote that no flow has called (T-03).
    pub(super) fn unsolicited(&mut self) -> Vec<u8> {
        let ends = (self.remote(), place::EXTERNAL);
        // Linux may have given any port to a flow.
        let has = |port| self.conversations.values().any(|known| known.external == port);
        let nobodys = (20_000..u16::MAX).find(|port| !has(*port)).unwrap_or(u16::MAX);
        let ports = if self.below(2) == 0 {
            (self.one_of(&SERVER_PORTS), nobodys)
        } else {
            (9, self.one_of(&SOURCE_PORTS))
        };
        let data = self.data();
        let draft = match self.below(3) {
            0 => Draft::udp(ends, ports, &data, true),
            1 => {
                let flags = self.one_of(&[SYN, SYN | ACK, ACK, RST, FIN | ACK]);
                Draft::tcp(ends, &Segment { ports, flags, ..Segment::default() })
            }
            _ => {
                // A request, or a reply without one.
                let kind = self.one_of(&[0, 8]);
                let identifier = if kind == 0 { nobodys } else { ports.1 };
                Draft::icmp(ends, (kind, 0), u32::from(identifier) << 16, &data)
            }
        };
        self.finish(draft)
    }

    /// Makes a segment from the internal side that belongs to no connection and can open none: any
    /// flags but those of a SYN (T-20).
    pub(super) fn stray(&mut self) -> Vec<u8> {
        let ends = (self.host(), self.remote());
        let ports = (45_000, self.one_of(&SERVER_PORTS));
        let flags =
            self.one_of(&[ACK, RST, RST | ACK, FIN | ACK, SYN | ACK, SYN | FIN, 0, FIN, PSH | ACK]);
        let (sequence, acknowledgement) = (self.random.next_u32(), self.random.next_u32());
        let segment = Segment { ports, sequence, acknowledgement, flags, ..Segment::default() };
        self.finish(Draft::tcp(ends, &segment))
    }

    /// Makes a malformed packet.
    pub(super) fn flawed(&mut self) -> (Side, Vec<u8>) {
        let (from, mut packet) =
            if self.below(2) == 0 { (Side::Internal, self.opening()) } else { self.continuing() };
        match self.below(4) {
            // The header checksum.
            0 => self.spoil(&mut packet, 10),
            // The transport checksum, by the last byte of what it covers.
            1 => {
                let last = packet.len().saturating_sub(1);
                if last >= 28 {
                    self.spoil(&mut packet, last);
                }
            }
            // Cut short.
            2 => {
                let length = 20 + self.below(20) as usize;
                packet.truncate(length.min(packet.len() - 1));
            }
            // The length of the header.
            _ => self.spoil(&mut packet, 0),
        }
        // The kernel's device takes IP only.
        if byte(&packet, 0) >> 4 != 4 { (from, self.opening()) } else { (from, packet) }
    }
}

/// Makes what the receiver of a packet would send, with both ends exchanged.
pub(super) fn reversed(packet: &[u8]) -> Vec<u8> {
    let mut back = packet.to_vec();
    for (at, from) in [(12, 16), (14, 18), (16, 12), (18, 14)] {
        put(&mut back, at, word(packet, from));
    }
    if byte(packet, 9) != ICMP {
        let ports = header(packet);
        put(&mut back, ports, word(packet, ports + 2));
        put(&mut back, ports + 2, word(packet, ports));
    }
    back
}

/// Gives a packet in its last hop another TTL and the right header checksum.
pub(super) fn live_longer(packet: &mut [u8]) {
    if byte(packet, 8) <= 1 {
        put(packet, 8, 64 << 8 | word(packet, 8) & 0xFF);
        put(packet, 10, 0);
        let checksum = !sum(packet.get(..header(packet)).unwrap_or_default());
        put(packet, 10, checksum);
    }
}
