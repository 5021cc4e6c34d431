//! Generates random packets with few ends, so that they collide, and with memory, so that they fit
//! what came before.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "numbers are drawn below what they are cut to or chosen from"
)]

mod odd;

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use vnetem::packet::checksum::sum;
use vnetem_nat::Side;

use odd::{live_longer, reversed};

use crate::conversation::{
    ACK, Conversation, FIN, Key, PSH, RST, SYN, index, key, without_odd_urgency,
};
use crate::draft::{Segment, put};
use crate::packet::{
    Emitted, ICMP, TCP, UDP, byte, double, header, is_error, payload, source_port, word,
};
use crate::{Draft, place};

/// A source of packets. They depend only on the seed and on what it has [seen](Self::see).
#[derive(Debug)]
pub struct Traffic {
    random: Xoshiro256PlusPlus,
    conversations: BTreeMap<Key, Conversation>,
    keys: Vec<Key>,
}

/// Source ports: few, so that they collide, and some of them well known.
const SOURCE_PORTS: [u16; 12] =
    [80, 600, 1023, 1024, 5000, 40_000, 40_001, 40_002, 40_003, 50_000, 65_534, 65_535];
const SERVER_PORTS: [u16; 3] = [53, 443, 8080];

/// The longest quote. No error has a longer one (RFC 1812 4.3.2.3), and it would not fit the link.
const QUOTE: usize = 548;

impl Traffic {
    /// Makes traffic from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { random, conversations: BTreeMap::new(), keys: Vec::new() }
    }

    /// Returns the next packet, and the side that sends it.
    pub fn packet(&mut self) -> (Side, Vec<u8>) {
        let of_known = !self.keys.is_empty();
        let (from, packet) = match self.below(100) {
            0..35 => (Side::Internal, self.opening()),
            35..72 if of_known => self.continuing(),
            72..86 if of_known => self.error(),
            86..92 => (Side::External, self.unsolicited()),
            92..96 => (Side::Internal, self.stray()),
            96..100 if of_known => self.flawed(),
            _ => (Side::Internal, self.opening()),
        };
        (from, packet)
    }

    /// Records what became of a packet, so that later ones can answer, repeat or quote it.
    pub fn see(&mut self, from: Side, sent: &[u8], emitted: &[Emitted]) {
        let Some(arrived) = emitted.iter().find(|emitted| emitted.to != from) else { return };
        if is_error(sent) {
            return;
        }
        let arrived = &arrived.bytes;
        if from == Side::Internal {
            let key = key(sent);
            let known = self.conversations.entry(key).or_insert_with(|| {
                self.keys.push(key);
                Conversation::opened(sent, arrived)
            });
            known.passed(from, sent, arrived);
        } else {
            let port = if byte(arrived, 9) == ICMP {
                source_port(arrived)
            } else {
                word(arrived, header(arrived) + 2)
            };
            let address = |at| Ipv4Addr::from_bits(double(arrived, at));
            let remote_port = if byte(arrived, 9) == ICMP { 0 } else { source_port(arrived) };
            let key = (byte(arrived, 9), (address(16), port), (address(12), remote_port));
            if let Some(known) = self.conversations.get_mut(&key) {
                known.passed(from, sent, arrived);
            }
        }
    }

    /// Returns the flow key of a packet, known or not.
    #[must_use]
    pub(crate) fn flow(&self, from: Side, sent: &[u8]) -> Key {
        if is_error(sent) {
            return self.flow(from, &reversed(payload(sent).get(8..).unwrap_or_default()));
        }
        if from == Side::Internal {
            return key(sent);
        }
        let port = if byte(sent, 9) == ICMP { 0 } else { source_port(sent) };
        let external =
            if byte(sent, 9) == ICMP { source_port(sent) } else { word(sent, header(sent) + 2) };
        let remote = (Ipv4Addr::from_bits(double(sent, 12)), port);
        let known = self.conversations.iter().find(|(_, known)| {
            known.protocol == byte(sent, 9) && known.external == external && known.remote == remote
        });
        known.map_or((byte(sent, 9), (place::EXTERNAL, external), remote), |(key, _)| *key)
    }

    /// Makes a packet from the internal side that opens a flow, or repeats such a one.
    fn opening(&mut self) -> Vec<u8> {
        let ends = (self.host(), self.remote());
        let ports = (self.one_of(&SOURCE_PORTS), self.one_of(&SERVER_PORTS));
        let data = self.data();
        let draft = match self.below(3) {
            0 => Draft::udp(ends, ports, &data, self.below(4) != 0),
            1 => {
                let options = self.tcp_options();
                let sequence = self.random.next_u32();
                let data = if self.below(20) == 0 { data } else { Vec::new() };
                let known = self.conversations.get(&(TCP, (ends.0, ports.0), (ends.1, ports.1)));
                let segment = match known.map(|known| (known.is_finished(), known.next)) {
                    // Linux would take a SYN before the last acknowledgement for an answer to its
                    // challenge (RFC 5961 4).
                    Some((true, [Some(sequence), Some(acknowledgement)])) => Segment {
                        ports,
                        sequence,
                        acknowledgement,
                        flags: ACK,
                        ..Segment::default()
                    },
                    _ => {
                        Segment { ports, sequence, flags: SYN, options, data, ..Segment::default() }
                    }
                };
                Draft::tcp(ends, &segment)
            }
            _ => {
                let kind = if self.below(5) == 0 { 13 } else { 8 };
                let data = if kind == 13 { vec![0; 12] } else { data };
                // Linux tells queries with one identifier apart by their type. In vnetem they are
                // one flow, so they get a remote of their own.
                let ends = if kind == 13 { (ends.0, place::TIMEKEEPER) } else { ends };
                let rest = u32::from(ports.0) << 16 | self.below(9);
                Draft::icmp(ends, (kind, 0), rest, &data)
            }
        };
        let mut packet = self.finish(draft);
        if self.conversations.contains_key(&key(&packet)) && byte(&packet, 9) == TCP {
            live_longer(&mut packet);
        }
        packet
    }

    /// Makes a packet of a known flow, from either side.
    fn continuing(&mut self) -> (Side, Vec<u8>) {
        let known = self.known();
        let from = match self.side() {
            // The internal side begins.
            _ if known.protocol == TCP && known.next[0].is_none() => Side::Internal,
            side => side,
        };
        let ends = match from {
            Side::Internal => (known.internal.0, known.remote.0),
            Side::External => (known.remote.0, place::EXTERNAL),
        };
        let ports = match from {
            Side::Internal => (known.internal.1, known.remote.1),
            Side::External => (known.remote.1, known.external),
        };
        let draft = match known.protocol {
            TCP => {
                let segment = self.segment(&known, from, ports);
                Draft::tcp(ends, &segment)
            }
            UDP => {
                let data = self.data();
                Draft::udp(ends, ports, &data, self.below(5) != 0)
            }
            _ => {
                let asked = known.arrived[1].clone().unwrap_or_default();
                let request = byte(payload(&asked), 0);
                let kind = match (from, request) {
                    (Side::Internal, _) => request,
                    (Side::External, 13) => 14,
                    (Side::External, _) => 0,
                };
                let identifier =
                    if from == Side::Internal { known.internal.1 } else { known.external };
                let rest = u32::from(identifier) << 16 | self.below(9);
                let data = if request == 13 { vec![0; 12] } else { self.data() };
                Draft::icmp(ends, (kind, 0), rest, &data)
            }
        };
        let mut packet = self.finish(draft);
        // Linux tracks a segment before it sees that its TTL has ended. In vnetem a packet that is
        // not forwarded changes nothing.
        if known.protocol == TCP {
            live_longer(&mut packet);
        }
        (from, packet)
    }

    /// Makes a segment that an end of a connection might send next, and sometimes one that no end
    /// would.
    fn segment(&mut self, known: &Conversation, from: Side, ports: (u16, u16)) -> Segment {
        let (own, other) = (known.next[index(from)], known.next[index(from.other())]);
        let data = self.data();
        let (flags, data) = match (own, self.below(100)) {
            // A side that has sent nothing begins or answers.
            (None, _) if from == Side::Internal => (SYN, Vec::new()),
            (None, 0..85) => (SYN | ACK, Vec::new()),
            (None, _) => (RST | ACK, Vec::new()),
            (_, 0..40) => (ACK, Vec::new()),
            (_, 40..68) => (PSH | ACK, data),
            (_, 68..80) => (FIN | ACK, Vec::new()),
            (_, 80..86) => (RST, Vec::new()),
            (_, 86..89) => (RST | ACK, Vec::new()),
            (_, 89..94) => (SYN, Vec::new()),
            (_, 94..98) => (SYN | ACK, Vec::new()),
            _ => (without_odd_urgency(self.below(64) as u8), data),
        };
        // In Linux a second FIN of one end counts as the other end's, and in vnetem it does not.
        let flags = if known.has_finished(from) { flags & !FIN | ACK } else { flags };
        let data = if flags & SYN != 0 { Vec::new() } else { data };
        // Linux takes a SYN and its answer that are repeated after a FIN for a new connection, and
        // forgets the FIN. vnetem keeps the highest ends, after which a reset has to lie
        // (INV-reset-number-exact).
        let finishes =
            [Side::Internal, Side::External].into_iter().any(|end| known.has_finished(end));
        let flags = if finishes && flags & SYN != 0 { ACK } else { flags };
        // A repeated SYN and ACK has its former number. The internal side, which began, sends none.
        let answers = from == Side::External;
        let flags = if flags & SYN != 0 && flags & ACK != 0 && !answers { ACK } else { flags };
        let begun = own.is_some() && other.is_some();
        let own = own.unwrap_or_else(|| self.random.next_u32());
        let other = other.unwrap_or(0);
        // Segments that begin or end a connection have exact numbers. Inexact ones depend on
        // windows, which neither checks here.
        if flags & (SYN | FIN | RST) != 0 || !begun || known.is_finished() {
            let options = if flags & SYN != 0 { self.tcp_options() } else { Vec::new() };
            let again = flags & SYN != 0 && begun;
            let own = if again { known.first[index(from)] } else { own };
            return Segment { ports, sequence: own, acknowledgement: other, flags, options, data };
        }
        let sequence = match self.below(100) {
            0..85 => own,
            85..92 => own.wrapping_sub(self.below(100)),
            92..97 => own.wrapping_add(self.below(100)),
            _ => self.wild(own),
        };
        let acknowledgement = match self.below(100) {
            0..90 => other,
            90..96 => other.wrapping_sub(self.below(100)),
            _ => self.wild(other),
        };
        Segment { ports, sequence, acknowledgement, flags, options: Vec::new(), data }
    }

    /// Draws header fields at random.
    fn finish(&mut self, mut draft: Draft) -> Vec<u8> {
        draft.identification = (self.random.next_u32() >> 16) as u16;
        draft.ttl = match self.below(20) {
            0 => 1,
            1 => 2,
            2 => 255,
            _ => 64,
        };
        draft.tos = if self.below(4) == 0 { self.below(256) as u8 } else { 0 };
        if self.below(3) == 0 {
            draft.fragment = 0;
        }
        if self.below(20) == 0 {
            draft.options = self
                .one_of(&[&[1, 1, 1, 1][..], &[1, 1, 1, 0], &[1, 1, 1, 1, 0, 0, 0, 0]])
                .to_vec();
        }
        draft.build()
    }

    /// Makes options of a SYN, at even and odd offsets.
    fn tcp_options(&mut self) -> Vec<u8> {
        let options: [&[u8]; 5] = [
            &[],
            &[2, 4, 5, 0xB4],
            &[1, 2, 4, 5, 0xB4, 3, 3, 7],
            &[2, 4, 5, 0xB4, 4, 2, 1, 3, 3, 7, 1, 0],
            &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        ];
        self.one_of(&options).to_vec()
    }

    /// Returns a number that is in no window around another.
    fn wild(&mut self, number: u32) -> u32 {
        number.wrapping_add(1 << 30).wrapping_add(self.below(1 << 31))
    }

    fn known(&mut self) -> Conversation {
        let at = self.below(u32::try_from(self.keys.len()).unwrap_or(u32::MAX)) as usize;
        self.conversations[&self.keys[at]].clone()
    }

    fn host(&mut self) -> Ipv4Addr {
        place::host(self.below(place::HOSTS.into()) as u8)
    }

    fn remote(&mut self) -> Ipv4Addr {
        place::remote(self.below(place::REMOTES.into()) as u8)
    }

    fn side(&mut self) -> Side {
        if self.below(2) == 0 { Side::Internal } else { Side::External }
    }

    /// Makes up to 40 equal bytes.
    fn data(&mut self) -> Vec<u8> {
        vec![self.below(256) as u8; self.below(41) as usize]
    }

    fn spoil(&mut self, packet: &mut [u8], at: usize) {
        let bit = self.below(4);
        if let Some(byte) = packet.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(u32::try_from(all.len()).unwrap_or(u32::MAX)) as usize]
    }

    fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.random.next_u32()) * u64::from(limit)) >> 32) as u32
    }
}
