//! Makes packets for the harness, byte by byte.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem::Edge;

use super::step::Twist;
use crate::model::wire::{ACK, FIN, ICMP, RST, SYN, TCP, UDP, finish, finish_header};

/// A conversation: its two ends and its progress.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) protocol: u8,
    pub(crate) edges: [Option<Edge>; 2],
    /// The initiator as it sees itself, and as the remote end sees it.
    pub(crate) initiator: [SocketAddrV4; 2],
    /// The remote end as the initiator sees it, and as it sees itself.
    pub(crate) remote: [SocketAddrV4; 2],
    /// The edge of the host whose public address was called.
    pub(crate) callee: Option<Edge>,
    /// The next sequence number of each end.
    pub(crate) next: [u32; 2],
    /// The progress of a regular connection.
    pub(crate) stage: u8,
    /// Added to the identification of its fragments, plus 512 for those from the remote end. Used
    /// where no two may be the same.
    pub(crate) datagrams: Option<u16>,
}

/// A TCP segment to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Make {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) window: u16,
    pub(crate) scaled: bool,
    pub(crate) data: usize,
}

impl Conversation {
    /// Returns source and destination of packets from an end, as that end writes them.
    pub(crate) fn ends(&self, far: bool) -> (SocketAddrV4, SocketAddrV4) {
        let ([near, external], [remote, internal]) = (self.initiator, self.remote);
        if far { (internal, external) } else { (near, remote) }
    }

    /// Returns the same conversation, but with the public end of another one's initiator as the
    /// remote.
    pub(crate) fn calling(self, known: &Self) -> Self {
        Self { remote: [known.initiator[1]; 2], callee: known.edges[0], ..self }
    }

    /// Returns the next segment of a regular connection, or another one, and the offset of its
    /// sequence number.
    pub(crate) fn segment(&self, far: bool, says: u8, off: u8) -> Make {
        let me = usize::from(far);
        let [mine, theirs] = if far { [self.next[1], self.next[0]] } else { self.next };
        let (flags, data) = match says {
            0..=127 => match (self.stage, far) {
                (0, false) => (SYN, 0),
                (0, true) => (SYN | ACK, 0),
                (1, false) => (ACK, 0),
                (2, _) => (ACK, usize::from(says % 3) * 40),
                (3, _) => (FIN | ACK, 0),
                _ => (ACK, 0),
            },
            128..=143 => (ACK, 1 + usize::from(says % 16) * 90),
            144..=167 => (FIN | ACK, usize::from(says % 2)),
            168..=183 => (RST, 0),
            184..=199 => (RST | ACK, 0),
            200..=215 => (SYN, 0),
            216..=223 => (SYN | ACK, 0),
            224..=239 => (ACK, 0),
            _ => (says, 3),
        };
        let wrong = match off {
            0..=215 => 0,
            216..=223 => 1,
            224..=231 => u32::MAX,
            232..=239 => 1000,
            240..=247 => 200_000,
            _ => 1 << 31,
        };
        let _ = me;
        // Some ends acknowledge late, and some acknowledge what was never sent.
        let acknowledgement = match off % 16 {
            3 => theirs.wrapping_sub(1),
            7 => theirs.wrapping_add(100_000),
            _ => theirs,
        };
        let sequence = mine.wrapping_add(wrong);
        let acknowledgement = if flags & ACK == 0 { 0 } else { acknowledgement };
        let window = [65_535, 65_535, 65_535, 0, 1000][usize::from(says % 5)];
        Make { flags, sequence, acknowledgement, window, scaled: says % 2 == 1, data }
    }

    /// Makes a packet of the conversation.
    pub(crate) fn packet(&self, far: bool, make: Make) -> Vec<u8> {
        let (source, destination) = self.ends(far);
        let body = self.message(far, source, destination, make);
        let dont_fragment = if make.scaled { 0x4000 } else { 0 };
        ip(self.protocol, *source.ip(), *destination.ip(), 0x1234, dont_fragment, &body)
    }

    fn message(&self, far: bool, from: SocketAddrV4, to: SocketAddrV4, make: Make) -> Vec<u8> {
        match self.protocol {
            TCP => tcp(from, to, make),
            UDP => udp(from, to, make.data),
            ICMP => echo(far, from.port() | to.port(), make.data),
            _ => vec![0xab; 12],
        }
    }

    /// Makes one part of a datagram: 0 is the first 24 bytes, 1 the next, 2 the last. Then come an
    /// overlap and a part far away.
    pub(crate) fn fragment(&self, far: bool, part: u8, make: Make) -> Vec<u8> {
        let (source, destination) = self.ends(far);
        let make = Make { data: 60, ..make };
        let whole = ip(
            self.protocol,
            *source.ip(),
            *destination.ip(),
            0,
            0,
            &self.message(far, source, destination, make),
        );
        let body = whole.get(20..).unwrap_or_default();
        let (from, to, more) = match part % 8 {
            0 | 1 => (0, 24, true),
            2 | 3 => (24, 48, true),
            4 | 5 => (48, body.len(), false),
            6 => (16, 32, true),
            _ => (1600, 1608, false),
        };
        let cut = body.get(from..to.min(body.len())).map_or_else(|| vec![7; 8], <[u8]>::to_vec);
        let field = u16::try_from(from / 8).unwrap_or_default() | if more { 0x2000 } else { 0 };
        let apart = self.datagrams.map_or(0, |own| own + 512 * u16::from(far));
        let id = 1 + apart + u16::from(part / 64);
        ip(self.protocol, *source.ip(), *destination.ip(), id, field, &cut)
    }

    /// Makes an ICMP error from an end about a packet that it received.
    pub(crate) fn error(&self, far: bool, how: u8) -> Vec<u8> {
        let (me, other) = self.ends(far);
        let make = self.segment(!far, 128, 0);
        let quoted = {
            let body = self.message(!far, other, me, make);
            ip(self.protocol, *other.ip(), *me.ip(), 0x1234, 0, &body)
        };
        let length = if how & 1 == 0 { 28 } else { quoted.len() };
        let mut quote = quoted.get(..length).unwrap_or(&quoted).to_vec();
        if how & 0x30 == 0x30
            && let Some(port) = quote.get_mut(21)
        {
            *port ^= 1;
        }
        // About a segment that was never sent, or that was acknowledged long ago.
        if self.protocol == TCP
            && how & 0xC0 == 0xC0
            && let Some(byte) = quote.get_mut(if how & 8 == 8 { 24 } else { 27 })
        {
            *byte ^= 0x40;
        }
        let reporter =
            if far && how & 2 == 2 { Ipv4Addr::new(198, 51, 100, 254) } else { *me.ip() };
        let mut body = vec![[3, 11, 12, 4][usize::from(how / 4 % 4)], 1, 0, 0, 0, 0, 0, 0];
        body.extend(quote);
        ip(ICMP, reporter, *other.ip(), 0x4321, 0, &body)
    }
}

fn ip(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, id: u16, fragment: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x45, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([63, protocol, 0, 0]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(body);
    let sum_at = match (protocol, fragment) {
        (TCP, 0) => 16,
        (UDP, 0) => 6,
        (ICMP, 0) => 2,
        // Without a transport checksum: bytes past the end are left alone.
        _ => usize::from(u16::MAX),
    };
    if sum_at == 6 && body.get(6..8) == Some(&[0xff, 0xff]) {
        // A UDP sender that wants no checksum writes 0.
        let mut copy = bytes.clone();
        finish(&mut copy, usize::from(u16::MAX));
        for at in [26, 27] {
            if let Some(byte) = copy.get_mut(at) {
                *byte = 0;
            }
        }
        return copy;
    }
    finish(&mut bytes, sum_at);
    bytes
}

fn tcp(from: SocketAddrV4, to: SocketAddrV4, make: Make) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(make.sequence.to_be_bytes());
    bytes.extend(make.acknowledgement.to_be_bytes());
    let options: &[u8] = match (make.flags & SYN, make.scaled, make.window) {
        (0, ..) => &[],
        (_, true, _) => &[1, 3, 3, 7],
        (_, _, 65_535) => &[2, 4, 5, 180],
        // At an odd offset.
        (_, _, 1000) => &[1, 2, 4, 5, 180, 1, 1, 0],
        _ => &[],
    };
    let words = 5 + options.len() as u8 / 4;
    bytes.extend([words << 4, make.flags]);
    bytes.extend(make.window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes.extend((0..make.data).map(|at| (at & 0xff) as u8));
    bytes
}

fn udp(from: SocketAddrV4, to: SocketAddrV4, data: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(u16::try_from(8 + data).unwrap_or_default().to_be_bytes());
    bytes.extend(if data % 3 == 1 { [0xff, 0xff] } else { [0, 0] });
    bytes.extend((0..data).map(|at| (at & 0xff) as u8));
    bytes
}

fn echo(reply: bool, identifier: u16, data: usize) -> Vec<u8> {
    let mut bytes = vec![if reply { 0 } else { 8 }, 0, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend([0, 9]);
    bytes.extend((0..data).map(|at| (at & 0xff) as u8));
    bytes
}

/// Applies a twist to a packet.
pub(crate) fn twisted(mut bytes: Vec<u8>, twist: Twist) -> Vec<u8> {
    let Some(number) = twist.number() else { return bytes };
    let at = usize::from(twist.at);
    let repair = |mut bytes: Vec<u8>| {
        let header = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
        finish_header(&mut bytes, header);
        bytes
    };
    let xor = |bytes: &mut Vec<u8>, at: usize, mask: u8| {
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= mask;
        }
    };
    match number {
        // The last hop, or past it.
        0..=5 => {
            if let Some(ttl) = bytes.get_mut(8) {
                *ttl = u8::from(number != 0);
            }
            repair(bytes)
        }
        // Bytes behind the packet (INV-trailer-ignored).
        6..=9 => {
            bytes.extend([0xee; 7]);
            bytes
        }
        // A wrong transport checksum (INV-wrong-checksum-stays-wrong).
        10..=13 => {
            let sum_at = match bytes.get(9) {
                Some(&TCP) => 36,
                Some(&UDP) => 26,
                _ => 22,
            };
            xor(&mut bytes, sum_at, twist.at | 1);
            bytes
        }
        // A wrong header checksum (INV-header-checksum-checked).
        14 | 15 => {
            xor(&mut bytes, 10, 0x40);
            bytes
        }
        // Cut short.
        16..=18 => {
            bytes.truncate(at.min(bytes.len()));
            bytes
        }
        // One flipped bit, which the header checksum may hide or not.
        19..=24 => {
            let place = at % bytes.len().max(1);
            xor(&mut bytes, place, 1 << (number % 8));
            repair(bytes)
        }
        25..=30 => {
            let place = 20 + at % bytes.len().saturating_sub(20).max(1);
            xor(&mut bytes, place, 1 << (number % 8));
            bytes
        }
        // Options: padding, a record of the route, a source route (INV-options-kept-or-refused).
        31..=35 => {
            let option: &[u8] = match number {
                31 | 32 => &[1, 1, 1, 0],
                33 => &[7, 7, 4, 0, 0, 0, 0, 0],
                34 => &[131, 3, 4, 0],
                _ => &[68, 40, 5, 0],
            };
            let length = (bytes.len() + option.len()) as u16;
            bytes.splice(20..20, option.iter().copied());
            xor(&mut bytes, 0, 5 ^ (5 + option.len() as u8 / 4));
            if let Some(place) = bytes.get_mut(2..4) {
                place.copy_from_slice(&length.to_be_bytes());
            }
            repair(bytes)
        }
        // The caller uses a wrong edge.
        _ => bytes,
    }
}
