//! Keys, their secret hash, and other draws from the seed.

use vnetem_packet::{Ends, FiveTuple, Protocol};

use crate::index::Hash;
use crate::{Cell, Zone};

/// Zone and tuple, in the form in which they are hashed, kept and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) words: Words,
    pub(crate) protocol: Protocol,
}

/// The addresses as in [`Ends`]; the ports likewise, and the zone in the upper half.
pub(crate) type Words = [u64; 2];

/// Secret numbers made from a seed, on which hashes and the choice of ports depend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secret([u64; 4]);

impl Key {
    #[inline]
    pub(crate) const fn new(zone: Zone, tuple: &FiveTuple) -> Self {
        Self::of(zone, Ends::new(tuple.source, tuple.destination), tuple.protocol)
    }

    #[inline]
    pub(crate) const fn of(zone: Zone, ends: Ends, protocol: Protocol) -> Self {
        Self { words: [ends.addresses, (zone.0 as u64) << 32 | ends.ports as u64], protocol }
    }

    #[inline]
    pub(crate) const fn zone(&self) -> Zone {
        zone(self.words)
    }

    #[inline]
    pub(crate) const fn tuple(&self) -> FiveTuple {
        let ends = ends(self.words);
        FiveTuple {
            protocol: self.protocol,
            source: ends.source(),
            destination: ends.destination(),
        }
    }
}

/// Of the key of packets from the outside: whose destination is the external tuple.
impl Key {
    /// The external port.
    #[inline]
    pub(crate) const fn port(&self) -> u16 {
        ends(self.words).destination().port()
    }

    /// The same key with another external port.
    #[inline]
    pub(crate) const fn with_port(&self, port: u16) -> Self {
        let Ends { addresses, ports } = ends(self.words);
        let ports = ports & 0xFFFF | (port.swap_bytes() as u32) << 16;
        Self::of(zone(self.words), Ends { addresses, ports }, self.protocol)
    }
}

/// Source and destination.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half is the ports")]
pub(crate) const fn ends([addresses, ports]: Words) -> Ends {
    Ends { addresses, ports: ports as u32 }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the high half is the zone")]
pub(crate) const fn zone([_, ports]: Words) -> Zone {
    Zone((ports >> 32) as u32)
}

impl Secret {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| split_mix(&mut state)))
    }

    #[inline]
    pub(crate) fn hash(&self, key: &Key) -> Hash {
        let [addresses, ports] = key.words;
        self.mix(addresses, ports, key.protocol.0.into())
    }

    /// The hash of a cell's number.
    pub(crate) fn hash_cell(&self, cell: Cell) -> Hash {
        self.mix(cell.0.into(), 0, 1)
    }

    /// Three words to one.
    #[inline]
    pub(crate) fn mix(&self, first: u64, second: u64, third: u64) -> Hash {
        let [a, b, c, d] = self.0;
        Hash(multiply(multiply(first ^ a, second ^ b) ^ third ^ c, d | 1))
    }
}

/// Multiplies to 128 bits and folds the halves together.
#[inline]
fn multiply(left: u64, right: u64) -> u64 {
    let (low, high) = left.carrying_mul(right, 0);
    low ^ high
}

/// The step of the SplitMix64 generator (Steele, Lea, Flood 2014).
const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
