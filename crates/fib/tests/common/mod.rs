//! The reference implementation of every table: a list of routes and a linear scan.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::cast_possible_truncation, reason = "the generator cuts on purpose")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::prelude::*;

/// Routes in order, searched one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scan<V>(pub(crate) BTreeMap<Ipv4Net, V>);

impl<V> Scan<V> {
    pub(crate) fn lookup(&self, address: u32) -> Option<(Ipv4Net, &V)> {
        let address = Ipv4Addr::from_bits(address);
        self.0
            .iter()
            .filter(|(prefix, _)| prefix.contains(&address))
            .max_by_key(|(prefix, _)| prefix.prefix_len())
            .map(|(prefix, value)| (*prefix, value))
    }

    /// Lists network and last address of every prefix, with their neighbours
    /// (INV-lookup-equals-scan).
    pub(crate) fn boundaries(&self) -> Vec<u32> {
        let ends = self.0.keys().flat_map(|p| [p.network().to_bits(), p.broadcast().to_bits()]);
        ends.chain([0, u32::MAX])
            .flat_map(|end| [end.wrapping_sub(1), end, end.wrapping_add(1)])
            .collect()
    }
}

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub(crate) fn prefix(address: u32, length: u8) -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::from_bits(address), length).unwrap().trunc()
}

/// The number of cases of a property. Miri gets four, since each takes a thousand times as long.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { count };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Prefixes that nest, touch and repeat: few distinct bits at every length.
pub(crate) fn prefixes() -> impl Strategy<Value = Ipv4Net> {
    let dense = (prop::bits::u32::masked(0xc0c1_81c3), 0u8..=32);
    let anywhere = (any::<u32>(), 0u8..=32);
    prop_oneof![3 => dense, 1 => anywhere].prop_map(|(address, length)| prefix(address, length))
}

/// A small seeded generator (splitmix64) for tests that need volume rather than shrinking.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn address(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn length(&mut self, shortest: u8, longest: u8) -> u8 {
        shortest + self.below(usize::from(longest - shortest) + 1) as u8
    }

    pub(crate) fn value(&mut self, bound: u16) -> u16 {
        self.below(usize::from(bound)) as u16
    }
}
