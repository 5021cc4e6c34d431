//! Keys, their secret hash, and other draws from the seed.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{FiveTuple, Protocol};

use crate::index::Hash;
use crate::{Cell, Zone};

/// Zone and tuple, in the form in which they are hashed, kept and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) words: Words,
    pub(crate) protocol: Protocol,
}

/// The addresses, source first; the ports, source first, and the zone.
pub(crate) type Words = [u64; 2];

/// Secret numbers made from a seed, on which hashes and the choice of ports depend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secret([u64; 4]);

impl Key {
    #[inline]
    pub(crate) const fn new(zone: Zone, tuple: &FiveTuple) -> Self {
        let FiveTuple { protocol, source, destination } = *tuple;
        let addresses = (source.ip().to_bits() as u64) << 32 | destination.ip().to_bits() as u64;
        let ports = (source.port() as u64) << 48 | (destination.port() as u64) << 32;
        Self { words: [addresses, ports | zone.0 as u64], protocol }
    }

    #[inline]
    pub(crate) const fn tuple(&self) -> FiveTuple {
        let (source, destination) = ends(self.words);
        FiveTuple { protocol: self.protocol, source, destination }
    }
}

/// Of the key of packets from the outside: whose destination is the external tuple.
impl Key {
    /// The external port.
    #[inline]
    pub(crate) const fn port(&self) -> u16 {
        ends(self.words).1.port()
    }

    /// The same key with another external port.
    #[inline]
    pub(crate) const fn with_port(&self, port: u16) -> Self {
        let [addresses, ports] = self.words;
        let others = ports & !(0xFFFF << 32);
        Self { words: [addresses, others | (port as u64) << 32], protocol: self.protocol }
    }
}

/// Source and destination.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "each shift leaves the bits of one field")]
pub(crate) const fn ends([addresses, ports]: Words) -> (SocketAddrV4, SocketAddrV4) {
    let source = Ipv4Addr::from_bits((addresses >> 32) as u32);
    let destination = Ipv4Addr::from_bits(addresses as u32);
    (
        SocketAddrV4::new(source, (ports >> 48) as u16),
        SocketAddrV4::new(destination, (ports >> 32) as u16),
    )
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half is the zone")]
pub(crate) const fn zone([_, ports]: Words) -> Zone {
    Zone(ports as u32)
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
