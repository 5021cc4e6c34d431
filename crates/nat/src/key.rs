//! The keyed hash of tuples, and other draws from the seed.

use core::net::SocketAddrV4;

use vnetem_packet::{FiveTuple, Protocol};

use crate::index::Hash;
use crate::{Cell, Zone};

/// Secret numbers made from a seed: the hash of the index, and the randomness of port choice, depend on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys([u64; 4]);

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| split_mix(&mut state)))
    }

    /// The hash of a tuple in a zone.
    #[inline]
    pub(crate) fn hash(&self, zone: Zone, tuple: &FiveTuple) -> Hash {
        self.hash_ends(zone, tuple.protocol, tuple.source, tuple.destination)
    }

    #[inline]
    pub(crate) fn hash_ends(
        &self,
        zone: Zone,
        protocol: Protocol,
        source: SocketAddrV4,
        destination: SocketAddrV4,
    ) -> Hash {
        let addresses =
            u64::from(source.ip().to_bits()) << 32 | u64::from(destination.ip().to_bits());
        let ports = u64::from(source.port()) << 48 | u64::from(destination.port()) << 32;
        self.mix(addresses, ports | u64::from(zone.0), u64::from(protocol.0))
    }

    /// The hash of a cell's number.
    pub(crate) fn hash_cell(&self, cell: Cell) -> Hash {
        self.mix(u64::from(cell.0), 0, 1)
    }

    /// Three words to one, keyed.
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
