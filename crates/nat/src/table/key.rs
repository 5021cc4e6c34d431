//! Keys of flows, their keyed hash, and random draws.

use vnetem_packet::{AddressPair, FiveTuple, Protocol};

use crate::table::index::Hash;
use crate::table::keys::{Keys, Purpose, sip_hash};
use crate::{RevalidationKey, Zone};

/// Zone and tuple in the form in which they are hashed, stored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) words: Words,
    pub(crate) protocol: Protocol,
}

/// The addresses as in [`AddressPair`], then the ports, with the zone in the upper half.
pub(crate) type Words = [u64; 2];

/// The hash key of an index: a random member of a universal family.
///
/// Who does not know it cannot choose keys that collide. Two keys share a bucket at most four times
/// as often as two random numbers do.
///
/// 1. NH (Black and others 1999) maps two keys to the same 128 bits with a chance of 2^-64.
/// 2. Multilinear hashing (Lemire and Kaser 2014) gives any difference of two hashes with a chance
///    of at most 2^-63.
#[derive(Clone, Copy)]
pub(crate) struct Secret {
    sums: [u64; 2],
    weights: [u128; 2],
}

/// The key of port choice.
#[derive(Clone, Copy)]
pub(crate) enum Draws {
    /// From a seed that anybody may know, the same in every release.
    Replayable([u64; 4]),
    /// SipHash, since ports reveal its results: the ports given so far do not reveal the next ones
    /// (T-07).
    Secret([u64; 2]),
}

impl Key {
    #[inline]
    pub(crate) const fn new(zone: Zone, tuple: &FiveTuple) -> Self {
        Self::of(zone, AddressPair::new(tuple.source, tuple.destination), tuple.protocol)
    }

    #[inline]
    pub(crate) const fn of(zone: Zone, ends: AddressPair, protocol: Protocol) -> Self {
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

/// The key of packets from the external side, whose destination is the external tuple.
impl Key {
    /// Gives the external port.
    #[inline]
    pub(crate) const fn port(&self) -> u16 {
        ends(self.words).destination().port()
    }

    /// Replaces the external port.
    #[inline]
    pub(crate) const fn with_port(&self, port: u16) -> Self {
        let AddressPair { addresses, ports } = ends(self.words);
        let ports = ports & 0xFFFF | (port.swap_bytes() as u32) << 16;
        Self::of(zone(self.words), AddressPair { addresses, ports }, self.protocol)
    }
}

/// Gives source and destination.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half is the ports")]
pub(crate) const fn ends([addresses, ports]: Words) -> AddressPair {
    AddressPair { addresses, ports: ports as u32 }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the high half is the zone")]
pub(crate) const fn zone([_, ports]: Words) -> Zone {
    Zone((ports >> 32) as u32)
}

impl Secret {
    pub(crate) fn new(keys: Keys, purpose: Purpose) -> Self {
        let wide = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let [first, second, a, b, c, d] = keys.words(purpose);
        Self { sums: [first, second], weights: [wide(a, b), wide(c, d)] }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &Key) -> Hash {
        let [addresses, ports] = key.words;
        self.mix(addresses, ports, key.protocol.0)
    }

    /// Hashes a revalidation key.
    pub(crate) fn hash_revalidation_key(&self, revalidation_key: RevalidationKey) -> Hash {
        self.mix(revalidation_key.0.into(), 0, 0)
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "64 bits are left")]
    fn mix(&self, first: u64, second: u64, third: u8) -> Hash {
        let Self { sums: [a, b], weights: [low_weight, high_weight] } = *self;
        let (low, high) = first.wrapping_add(a).carrying_mul(second.wrapping_add(b), 0);
        let low = low_weight.wrapping_mul((low ^ u64::from(third)).into());
        let sum = low.wrapping_add(high_weight.wrapping_mul(high.into()));
        Hash((sum >> 64) as u64)
    }
}

impl Draws {
    pub(crate) fn new(keys: Keys) -> Self {
        match keys.seed() {
            Some(mut state) => Self::Replayable([(); 4].map(|()| split_mix(&mut state))),
            None => Self::Secret(keys.words(Purpose::Draws)),
        }
    }

    /// Draws one word from three.
    #[inline]
    pub(crate) fn draw(&self, first: u64, second: u64, third: u64) -> u64 {
        match *self {
            Self::Replayable([a, b, c, d]) => {
                multiply(multiply(first ^ a, second ^ b) ^ third ^ c, d | 1)
            }
            Self::Secret(key) => sip_hash::<1, 3, 3>(key, [first, second, third]),
        }
    }
}

/// Multiplies to 128 bits and folds the halves together.
#[inline]
fn multiply(left: u64, right: u64) -> u64 {
    let (low, high) = left.carrying_mul(right, 0);
    low ^ high
}

/// Does one step of the SplitMix64 generator (Steele, Lea, Flood 2014).
const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Equals the same sums written with halves of the words.
    #[test]
    fn hash_agrees_with_wide_integers() {
        let secret = Secret::new(Keys::replayable(3), Purpose::Index);
        for (first, second, third) in [(0, 0, 0), (1, 2, 6), (u64::MAX, u64::MAX, 255)] {
            let [left, right] = [first, second]
                .iter()
                .zip(secret.sums)
                .map(|(word, sum)| (u128::from(*word) + u128::from(sum)) % (1 << 64))
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or([0; 2]);
            let product = left * right;
            let parts = [(product & u128::from(u64::MAX)) ^ u128::from(third), product >> 64];
            let mut sum = 0_u128;
            for (part, weight) in parts.into_iter().zip(secret.weights) {
                for bit in (0..64).filter(|bit| part >> bit & 1 == 1) {
                    sum = sum.wrapping_add(weight << bit);
                }
            }
            assert_eq!(u128::from(secret.mix(first, second, third).0), sum >> 64);
        }
    }

    /// Consecutive hosts and ports spread like random ones. With 65,536 keys in as many places, a
    /// share of 1/e of the places stays empty.
    #[test]
    fn sequential_keys_spread_like_random() {
        for seed in 0..20 {
            let secret = Secret::new(Keys::replayable(seed), Purpose::Index);
            let mut places = BTreeMap::new();
            for (host, port) in
                (0..256_u64).flat_map(|host| (0..256_u64).map(move |port| (host, port)))
            {
                let key = Key {
                    words: [0x0901_EF34_0000_000A | host << 24, 7 << 32 | port << 8 | 1],
                    protocol: Protocol::TCP,
                };
                *places.entry(secret.hash(&key).0 >> 48).or_insert(0_u32) += 1;
            }
            assert!((40_000..43_000).contains(&places.len()), "{seed}: {}", places.len());
            assert!(places.values().all(|count| *count < 12), "{seed}");
        }
    }
}
