//! Sets of numbers below 2³² as ranges, for addresses, ports and protocols.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// A set of numbers as inclusive ranges: sorted, disjoint, and as few as possible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    pub(crate) fn all() -> Self {
        Self(vec![(0, u32::MAX)])
    }

    pub(crate) fn as_slice(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }

    /// Gives all numbers that are not in the set.
    pub(crate) fn complement(&self) -> Self {
        let mut free = 0;
        let mut gaps = Vec::new();
        for &(first, last) in &self.0 {
            if let Some(before) = first.checked_sub(1)
                && free <= before
            {
                gaps.push((free, before));
            }
            match last.checked_add(1) {
                Some(next) => free = next,
                None => return Self(gaps),
            }
        }
        gaps.push((free, u32::MAX));
        Self(gaps)
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }
}

impl FromIterator<(u32, u32)> for Ranges {
    fn from_iter<T: IntoIterator<Item = (u32, u32)>>(ranges: T) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

impl FromIterator<Ipv4Net> for Ranges {
    fn from_iter<T: IntoIterator<Item = Ipv4Net>>(prefixes: T) -> Self {
        let ends = |prefix: Ipv4Net| (prefix.network().to_bits(), prefix.broadcast().to_bits());
        prefixes.into_iter().map(ends).collect()
    }
}

impl FromIterator<Ipv4Addr> for Ranges {
    fn from_iter<T: IntoIterator<Item = Ipv4Addr>>(addresses: T) -> Self {
        addresses.into_iter().map(Ipv4Net::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 500 }, failure_persistence: None, ..ProptestConfig::default() })]

        /// Ranges equal plain sets, for small numbers and their mirror images at the upper end.
        #[test]
        fn ranges_are_sets(one in numbers(), other in numbers()) {
            let (left, right) = (ranges(&one), ranges(&other));
            let (one, other) = (set(&one), set(&other));
            prop_assert!(left.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            for number in probes() {
                prop_assert_eq!(contains(&left, number), one.contains(&number));
                prop_assert_eq!(contains(&left.complement(), number), !one.contains(&number));
                let either = one.contains(&number) || other.contains(&number);
                prop_assert_eq!(contains(&left.union(&right), number), either);
                let both = one.contains(&number) && other.contains(&number);
                prop_assert_eq!(contains(&left.intersection(&right), number), both);
                let only = one.contains(&number) && !other.contains(&number);
                prop_assert_eq!(contains(&left.without(&right), number), only);
            }
            prop_assert_eq!(left.complement().complement(), left);
        }
    }

    fn contains(ranges: &Ranges, number: u32) -> bool {
        ranges.0.iter().any(|&(first, last)| first <= number && number <= last)
    }

    fn numbers() -> impl Strategy<Value = Vec<(u32, u32, bool)>> {
        vec((0..20_u32, 0..5_u32, any::<bool>()), 0..6)
    }

    fn ends(&(first, length, mirrored): &(u32, u32, bool)) -> (u32, u32) {
        let (first, last) = (first, first + length);
        if mirrored { (u32::MAX - last, u32::MAX - first) } else { (first, last) }
    }

    fn ranges(of: &[(u32, u32, bool)]) -> Ranges {
        of.iter().map(ends).collect()
    }

    fn set(of: &[(u32, u32, bool)]) -> BTreeSet<u32> {
        of.iter().map(ends).flat_map(|(first, last)| first..=last).collect()
    }

    fn probes() -> impl Iterator<Item = u32> {
        (0..30).chain(u32::MAX - 30..=u32::MAX)
    }
}
