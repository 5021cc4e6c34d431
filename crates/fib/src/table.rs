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
        let routes = sorted(routes);
        Self::from_sorted(routes.iter().map(|(prefix, value)| (*prefix, value)))
    }

    /// Builds a table from distinct prefixes without host bits in rising order.
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

/// Clears host bits and sorts routes; of equal prefixes the last counts.
fn sorted<V>(routes: impl IntoIterator<Item = (Ipv4Net, V)>) -> Vec<(Ipv4Net, V)> {
    let mut routes: Vec<(Ipv4Net, V)> =
        routes.into_iter().map(|(prefix, value)| (prefix.trunc(), value)).collect();
    sort(&mut routes, |(prefix, _)| (prefix.addr().to_bits(), prefix.prefix_len()));
    routes
}

/// Sorts by network and length, and keeps the last of equal ones.
pub(crate) fn sort<T>(items: &mut Vec<T>, place: impl Fn(&T) -> (u32, u8)) {
    // One number sorts as the prefixes do and compares faster.
    let key = |item: &T| {
        let (network, length) = place(item);
        u64::from(network) << 8 | u64::from(length)
    };
    if !items.is_sorted_by(|one, next| key(one) < key(next)) {
        items.sort_by_key(key);
        // The later of two equal items takes the place of the earlier.
        items.dedup_by(|later, kept| {
            let equal = key(later) == key(kept);
            if equal {
                std::mem::swap(later, kept);
            }
            equal
        });
    }
}

/// Makes the rule of a prefix whose value has this number.
pub(crate) fn rule(prefix: Ipv4Net, number: u32) -> Rule<Cell> {
    let length = prefix.prefix_len();
    Rule { network: prefix.addr().to_bits(), length, cell: cell_of(number, length) }
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
