use std::fmt;
use std::hash::Hash;
use std::iter::FusedIterator;
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::address::{Address, mask, prefix_of};
use crate::block::{Block, Cell, LENGTH_BITS, cell_of, rank};
use crate::intern::Interner;
use crate::sweep::Rule;

/// A match: the prefix of the route and its value.
pub type Match<'a, V> = (Ipv4Net, &'a V);

/// An immutable table of routes in one flat block that is cheap to clone, for 10 to 2,000 routes.
///
/// The block holds the starts of the elementary intervals, ten to a cache line. Each has a cell
/// with the winning prefix length and value number. Above more than eight lines stands an implicit
/// 16-way tree. A lookup reads one line up to some 40 routes, one more up to 600, one more up to
/// 10,000.
///
/// A table is replaced, never edited.
pub struct Table<V> {
    block: Block,
    /// The values by their numbers in the cells, from 1 up.
    values: Arc<[V]>,
}

impl<V> Table<V> {
    /// Makes a table without routes.
    pub fn empty() -> Self {
        Self { block: Block::new(&[]), values: Arc::from([]) }
    }

    /// Looks up the longest matching route: its prefix and its value.
    #[inline]
    pub fn lookup(&self, address: impl Address) -> Option<Match<'_, V>> {
        let address = address.number();
        self.matched(address, self.block.cell(address))
    }

    /// Looks up each address. `matches` takes as many answers as the shorter slice holds.
    pub fn lookup_batch<'a>(
        &'a self,
        addresses: &[impl Address],
        matches: &mut [Option<Match<'a, V>>],
    ) {
        for (answer, address) in matches.iter_mut().zip(addresses) {
            *answer = self.lookup(*address);
        }
    }

    /// Gives the value of exactly this prefix.
    pub fn get(&self, prefix: Ipv4Net) -> Option<&V> {
        let network = prefix.network().to_bits();
        self.covered(prefix)
            .find(|(known, _)| {
                known.prefix_len() == prefix.prefix_len() && known.network().to_bits() == network
            })
            .map(|(_, value)| value)
    }

    /// Lists the routes that this prefix covers, itself included, in order.
    pub fn covered(&self, prefix: Ipv4Net) -> Iter<'_, V> {
        let (network, length) = (prefix.network().to_bits(), prefix.prefix_len());
        let mut routes = self.block.rules_between(network, network | !mask(length));
        routes.retain(|route| route.length >= length);
        Iter { table: self, routes: routes.into_iter() }
    }

    /// Lists all routes in order: by network, then the shorter first.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { table: self, routes: self.block.rules_between(0, u32::MAX).into_iter() }
    }

    /// Counts the routes by walking over them.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Says whether there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Says whether both share one allocation, as clones do.
    pub fn same(&self, other: &Self) -> bool {
        self.block.same(&other.block)
    }

    /// Counts the bytes of this table, reference counters included, without what values own on the
    /// heap.
    pub fn bytes(&self) -> usize {
        let values = 2 * size_of::<usize>() + size_of_val(&*self.values);
        size_of::<Self>() + self.block.bytes() + values
    }

    #[inline]
    pub(crate) fn block(&self) -> &Block {
        &self.block
    }

    /// Gives the match that a cell stands for.
    #[inline]
    pub(crate) fn matched(&self, address: u32, cell: Cell) -> Option<Match<'_, V>> {
        let length = u8::try_from(rank(cell).checked_sub(1)?).ok()?;
        Some((prefix_of(address, length), self.value(cell)?))
    }

    #[inline]
    fn value(&self, cell: Cell) -> Option<&V> {
        self.values.get((cell >> LENGTH_BITS).checked_sub(1)? as usize)
    }
}

impl<V: Clone + Eq + Hash> Table<V> {
    /// Builds a table from routes in any order. Host bits of prefixes are cleared; of equal
    /// prefixes the last counts.
    pub fn new(routes: impl IntoIterator<Item = (Ipv4Net, V)>) -> Self {
        let routes: Vec<(Ipv4Net, V)> = routes.into_iter().collect();
        let mut sorted: Vec<(Ipv4Net, &V)> =
            routes.iter().map(|(prefix, value)| (*prefix, value)).collect();
        sort(&mut sorted, |(prefix, _)| place(*prefix));
        Self::from_sorted(sorted.into_iter())
    }

    /// Builds a table from distinct prefixes in rising order; host bits are cleared.
    pub(crate) fn from_sorted<'a>(routes: impl Iterator<Item = (Ipv4Net, &'a V)>) -> Self
    where
        V: 'a,
    {
        let mut values = Interner::new();
        let rules: Vec<Rule<Cell>> =
            routes.map(|(prefix, value)| rule(prefix, values.number(value) + 1)).collect();
        Self { block: Block::new(&rules), values: values.into_values().into() }
    }
}

/// Bits of a position that fit beside network and length in 64 bits.
const AT_BITS: u32 = 26;

/// Sorts by network and length, and keeps the last of equal ones.
pub(crate) fn sort<T: Copy>(items: &mut Vec<T>, place: impl Fn(&T) -> (u32, u8)) {
    if items.is_sorted_by(|one, next| key(place(one)) < key(place(next))) {
        return;
    }
    let order =
        if items.len() <= 1 << AT_BITS { order(items, place) } else { order_of_many(items, place) };
    *items = order.into_iter().filter_map(|at| items.get(at).copied()).collect();
}

/// Gives the positions of items by rising network and length; of equal ones the last.
///
/// Sorting words of key and position takes a quarter of the time of a stable sort.
fn order<T>(items: &[T], place: impl Fn(&T) -> (u32, u8)) -> Vec<usize> {
    let mut words: Vec<u64> =
        items.iter().zip(0..).map(|(item, at)| key(place(item)) << AT_BITS | at).collect();
    words.sort_unstable();
    words.dedup_by(|later, kept| {
        let is_equal = *later >> AT_BITS == *kept >> AT_BITS;
        if is_equal {
            *kept = *later;
        }
        is_equal
    });
    words.into_iter().map(|word| (word & ((1 << AT_BITS) - 1)) as usize).collect()
}

/// Does the same for any number of items.
fn order_of_many<T>(items: &[T], place: impl Fn(&T) -> (u32, u8)) -> Vec<usize> {
    let mut words: Vec<(u64, usize)> =
        items.iter().zip(0..).map(|(item, at)| (key(place(item)), at)).collect();
    // Of equal keys the last comes first, and the others go.
    words.sort_unstable_by_key(|(key, at)| (*key, usize::MAX - at));
    words.dedup_by_key(|(key, _)| *key);
    words.into_iter().map(|(_, at)| at).collect()
}

/// Makes one number that sorts as the prefixes do.
fn key((network, length): (u32, u8)) -> u64 {
    u64::from(network) << 6 | u64::from(length)
}

/// Gives network and length of a prefix without its host bits.
#[inline]
pub(crate) fn place(prefix: Ipv4Net) -> (u32, u8) {
    let length = prefix.prefix_len();
    (prefix.addr().to_bits() & mask(length), length)
}

/// Makes the rule of a prefix whose value has this number.
#[inline]
pub(crate) fn rule(prefix: Ipv4Net, number: u32) -> Rule<Cell> {
    let (network, length) = place(prefix);
    Rule { network, length, cell: cell_of(number, length) }
}

impl<V> Clone for Table<V> {
    fn clone(&self) -> Self {
        Self { block: self.block.clone(), values: Arc::clone(&self.values) }
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self::empty()
    }
}

/// Compares the routes. Equal routes make equal blocks, so memory is compared without walking
/// routes.
impl<V: PartialEq> PartialEq for Table<V> {
    fn eq(&self, other: &Self) -> bool {
        self.block == other.block && self.values == other.values
    }
}

impl<V: Eq> Eq for Table<V> {}

impl<V: Hash> Hash for Table<V> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.block.hash(state);
        self.values.hash(state);
    }
}

impl<V: fmt::Debug> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<V: Clone + Eq + Hash> FromIterator<(Ipv4Net, V)> for Table<V> {
    fn from_iter<I: IntoIterator<Item = (Ipv4Net, V)>>(routes: I) -> Self {
        Self::new(routes)
    }
}

impl<'a, V> IntoIterator for &'a Table<V> {
    type Item = (Ipv4Net, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

/// Routes of a [`Table`] in order: by network, then the shorter first.
pub struct Iter<'a, V> {
    table: &'a Table<V>,
    routes: std::vec::IntoIter<Rule<Cell>>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (Ipv4Net, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let route = self.routes.next()?;
        Some((prefix_of(route.network, route.length), self.table.value(route.cell)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.routes.size_hint()
    }
}

impl<V> ExactSizeIterator for Iter<'_, V> {}
impl<V> FusedIterator for Iter<'_, V> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Of equal prefixes the last counts, by either way of sorting.
        #[test]
        fn order_agrees_with_a_map(
            places in prop::collection::vec((0u32..40, 0u8..4), 0..60),
        ) {
            let places: Vec<(u32, u8)> =
                places.into_iter().map(|(network, length)| (network << 26, length * 10)).collect();
            let wanted: BTreeMap<(u32, u8), usize> =
                places.iter().copied().zip(0..).collect();
            let wanted: Vec<usize> = wanted.into_values().collect();
            prop_assert_eq!(&order(&places, |place| *place), &wanted);
            prop_assert_eq!(&order_of_many(&places, |place| *place), &wanted);
        }
    }
}
