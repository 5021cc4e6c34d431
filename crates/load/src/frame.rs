//! Makes the packets of a measurement.

use core::fmt;
use core::str::FromStr;

use vnetem::packet::checksum::sum;
use vnetem::{FiveTuple, Protocol};
use vnetem_nat::Side;

use super::Shape;

/// The length of frames as traffic generators count it: with Ethernet's header and checksum, 18
/// bytes more than the IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// All the same: 64 to 9,018.
    Bytes(u16),
    /// The simple IMIX: of 12 frames 7 have 64 bytes, 4 have 594, and 1 has 1518.
    Imix,
}

/// The kind of packet within its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Opens the flow.
    First,
    /// A SYN and ACK.
    Answer,
    /// One of many.
    Data,
    /// An acknowledgement without data.
    Acknowledgement,
    /// A FIN. The external one acknowledges the internal one.
    Finish,
    /// The acknowledgement of the last FIN.
    Last,
}

/// A ring of packets, one behind the other.
pub(super) struct Frames {
    lengths: Vec<u16>,
    bytes: Vec<u8>,
    /// The length of each packet in the ring.
    ring: Vec<u16>,
    capacity: usize,
}

/// The most packets of a ring, and the most bytes, which fit in a cache of the second level.
const RING: usize = 1024;
const RING_BYTES: usize = 256 * 1024;
/// The bytes of Ethernet's header and checksum.
const ETHERNET: u16 = 18;
/// The lengths of 12 packets.
const IMIX: [u16; 12] = [46, 46, 576, 46, 46, 576, 46, 576, 46, 46, 576, 1500];

impl FrameSize {
    /// Returns the average bytes of a frame.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::Bytes(bytes) => f64::from(bytes),
            Self::Imix => {
                IMIX.iter().map(|length| f64::from(length + ETHERNET)).sum::<f64>() / 12.0
            }
        }
    }
}

impl Frames {
    pub(super) fn new(shape: &Shape) -> Self {
        let lengths = match shape.size {
            FrameSize::Imix => IMIX.to_vec(),
            FrameSize::Bytes(bytes) => vec![bytes.saturating_sub(ETHERNET)],
        };
        let longest = lengths.iter().copied().max().map_or(1, usize::from);
        let capacity = (RING_BYTES / longest).clamp(64, RING);
        Self { lengths, bytes: Vec::new(), ring: Vec::new(), capacity }
    }

    /// Returns how many packets fit.
    pub(super) fn ring(&self) -> usize {
        self.capacity
    }

    /// Empties the ring.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.ring.clear();
    }

    /// Puts the next packet. The sequence numbers of a segment only have to fit: from 1000 on for
    /// the internal end, and from 5000 on for the external end.
    pub(super) fn put(&mut self, tuple: FiveTuple, kind: Kind, side: Side) {
        let length = match kind {
            Kind::Data => self.lengths.iter().cycle().nth(self.ring.len() % self.lengths.len()),
            Kind::First | Kind::Answer => Some(&46),
            Kind::Acknowledgement | Kind::Finish | Kind::Last => Some(&40),
        };
        let length = length.copied().unwrap_or(46);
        let mut header = [0; 40];
        let [high, low] = length.to_be_bytes();
        header[..10].copy_from_slice(&[0x45, 0, high, low, 0, 0, 0x40, 0, 64, tuple.protocol.0]);
        header[12..16].copy_from_slice(&tuple.source.ip().octets());
        header[16..20].copy_from_slice(&tuple.destination.ip().octets());
        header[20..22].copy_from_slice(&tuple.source.port().to_be_bytes());
        header[22..24].copy_from_slice(&tuple.destination.port().to_be_bytes());
        if tuple.protocol == Protocol::TCP {
            let (own, other): (u32, u32) =
                if side == Side::Internal { (1000, 5000) } else { (5000, 1000) };
            let (sequence, acknowledgement, flags) = match kind {
                Kind::First => (own, 0, 0x02),
                // The data sent with the SYN is acknowledged with it.
                Kind::Answer => (own, other + 7, 0x12),
                Kind::Data | Kind::Acknowledgement => (own + 7, other + 7, 0x10),
                Kind::Finish => (own + 7, other + 7 + u32::from(side == Side::External), 0x11),
                Kind::Last => (own + 8, other + 8, 0x10),
            };
            header[24..28].copy_from_slice(&sequence.to_be_bytes());
            header[28..32].copy_from_slice(&acknowledgement.to_be_bytes());
            header[32..36].copy_from_slice(&[0x50, flags, 0xFF, 0xFF]);
        } else {
            header[24..26].copy_from_slice(&length.saturating_sub(20).to_be_bytes());
        }
        let checksum = !sum(&header[..20]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        let end = self.bytes.len() + usize::from(length);
        self.bytes.extend_from_slice(&header);
        self.bytes.resize(end, 0);
        self.ring.push(length);
    }

    /// Iterates over the packets of the ring.
    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        self.ring.iter().map_while(move |&length| rest.split_off(..usize::from(length)))
    }

    /// Iterates over the packets of the ring, to be rewritten.
    pub(super) fn packets_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let mut rest = self.bytes.as_mut_slice();
        self.ring.iter().map_while(move |&length| rest.split_off_mut(..usize::from(length)))
    }
}

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("imix") {
            return Ok(Self::Imix);
        }
        match text.parse() {
            Ok(bytes @ 64..=9018) => Ok(Self::Bytes(bytes)),
            _ => Err(format!("{text:?} is no frame size: 64 to 9018, or imix")),
        }
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Imix => f.pad("imix"),
        }
    }
}
