use std::fmt;
use std::hash::Hash;
use std::iter::FusedIterator;
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::address::{Address, mask, prefix_of};
use crate::intern::Interner;
use crate::sweep::{Rule, sweep};
use crate::tree::{Tree, levels};

/// A match: the prefix of the route and what it says.
pub type Match<'a, V> = (Ipv4Net, &'a V);

/// An immutable table of routes: one flat block, cheap to clone, made for tens of thousands of
/// tables of 10 to 2,000 routes.
///
/// The block holds the starts of the elementary intervals, sorted, under an implicit 16-way tree, and
/// behind them one cell per interval: length of the winning prefix and number of its value. A lookup
/// compares all of up to 64 starts at once, or those of the top level, then one line of 16 per level
/// below (one level up to 1,024 intervals, two up to 16,384), and reads one cell. Equal values are kept
/// once.
///
/// A table is replaced, never edited.
pub struct Table<V> {
    /// The levels of the tree from the top down, the cells, two words for each hidden route.
    block: Arc<[u32]>,
    values: Arc<[V]>,
    intervals: u32,
}

/// The low bits of a cell are the prefix length; this one says that no route matches.
pub(crate) const NO_MATCH: u32 = 63;
const LENGTH_BITS: u32 = 6;
/// Two cells share a word as long as the values can be numbered in what a half leaves.
const NARROW_VALUES: usize = 1 << (16 - LENGTH_BITS);

impl<V> Table<V> {
    /// A table without routes.
    pub fn empty() -> Self {
        let (block, intervals) = block_of(&[], true);
        Self { block, values: Arc::from([]), intervals }
    }

    /// The longest matching route: its prefix and what it says.
    #[inline]
    pub fn lookup(&self, address: impl Address) -> Option<Match<'_, V>> {
        let address = address.number();
        let cell = self.cell_at(self.tree().search(address));
        let (length, value) = self.route_of(cell)?;
        Some((prefix_of(address, length), value))
    }

    /// Looks up each address; `matches` takes the answers, as many as the shorter slice holds.
    pub fn lookup_batch<'a>(
        &'a self,
        addresses: &[impl Address],
        matches: &mut [Option<Match<'a, V>>],
    ) {
        for (answer, address) in matches.iter_mut().zip(addresses) {
            *answer = self.lookup(*address);
        }
    }

    /// What the route of exactly this prefix says.
    pub fn get(&self, prefix: Ipv4Net) -> Option<&V> {
        let network = prefix.network().to_bits();
        self.covered(prefix)
            .find(|(known, _)| {
                known.prefix_len() == prefix.prefix_len() && known.network().to_bits() == network
            })
            .map(|(_, value)| value)
    }

    /// The routes that this prefix covers, itself included, in order.
    pub fn covered(&self, prefix: Ipv4Net) -> Iter<'_, V> {
        let (network, length) = (prefix.network().to_bits(), prefix.prefix_len());
        let mut routes = self.routes_between(network, network | !mask(length));
        routes.retain(|route| route.length >= length);
        Iter { table: self, routes: routes.into_iter() }
    }

    /// All routes in order: by network, then the shorter first.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { table: self, routes: self.routes_between(0, u32::MAX).into_iter() }
    }

    /// How many routes there are. Counts them.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether both are one allocation, as clones are.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.block, &other.block) && Arc::ptr_eq(&self.values, &other.values)
    }

    /// Bytes that this table occupies, counters of its two allocations included, what values own on
    /// the heap left out.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + 4 * size_of::<usize>()
            + size_of_val(&*self.block)
            + size_of_val(&*self.values)
    }
}

impl<V: Clone + Eq + Hash> Table<V> {
    /// Builds a table from routes in any order. Prefixes are taken without their host bits; of equal
    /// ones the last counts.
    pub fn new(routes: impl IntoIterator<Item = (Ipv4Net, V)>) -> Self {
        let mut routes: Vec<(Ipv4Net, V)> =
            routes.into_iter().map(|(prefix, value)| (prefix.trunc(), value)).collect();
        routes.sort_by_key(|(prefix, _)| *prefix);
        // The later of two equal prefixes moves into the place of the earlier.
        routes.dedup_by(|later, kept| {
            let equal = later.0 == kept.0;
            if equal {
                std::mem::swap(later, kept);
            }
            equal
        });
        Self::from_sorted(routes.iter().map(|(prefix, value)| (*prefix, value)))
    }

    /// Builds a table from distinct prefixes without host bits in rising order.
    pub(crate) fn from_sorted<'a>(routes: impl Iterator<Item = (Ipv4Net, &'a V)>) -> Self
    where
        V: 'a,
    {
        let mut values = Interner::new();
        let rules: Vec<Rule<u32>> = routes
            .map(|(prefix, value)| {
                let length = prefix.prefix_len();
                let cell = (values.number(value) << LENGTH_BITS) | u32::from(length);
                Rule { network: prefix.network().to_bits(), length, cell }
            })
            .collect();
        let values: Arc<[V]> = values.into_values().into();
        let (block, intervals) = block_of(&rules, values.len() <= NARROW_VALUES);
        Self { block, values, intervals }
    }
}

impl<V> Table<V> {
    #[inline]
    fn is_narrow(&self) -> bool {
        self.values.len() <= NARROW_VALUES
    }

    #[inline]
    pub(crate) fn tree(&self) -> Tree<'_> {
        Tree { block: &self.block, intervals: self.intervals as usize }
    }

    /// The cell of an interval.
    #[inline]
    pub(crate) fn cell_at(&self, interval: usize) -> u32 {
        let cells = self.tree().cells();
        let word = |at: usize| self.block.get(cells + at).copied().unwrap_or(NO_MATCH);
        if self.is_narrow() {
            (word(interval / 2) >> (16 * (interval & 1))) & 0xffff
        } else {
            word(interval)
        }
    }

    /// Prefix length and value of a cell.
    #[inline]
    pub(crate) fn route_of(&self, cell: u32) -> Option<(u8, &V)> {
        let length = cell & NO_MATCH;
        if length == NO_MATCH {
            return None;
        }
        let value = self.values.get((cell >> LENGTH_BITS) as usize)?;
        Some((u8::try_from(length).unwrap_or(0), value))
    }

    /// The routes that start between two addresses, both included, in order.
    fn routes_between(&self, first: u32, last: u32) -> Vec<Rule<u32>> {
        let tree = self.tree();
        let (intervals, cells) = (tree.intervals, tree.cells());
        let starts = cells - intervals;
        let mut at = tree.search(first);
        let mut routes = Vec::new();
        while at < intervals {
            let start = self.block.get(starts + at).copied().unwrap_or(u32::MAX);
            if start > last {
                break;
            }
            let next = self.block.get(starts + at + 1).filter(|_| at + 1 < intervals);
            let end = next.map_or(u32::MAX, |next| next - 1);
            let cell = self.cell_at(at);
            if let Some((length, _)) = self.route_of(cell) {
                // Every block of this length that the interval touches is a route.
                let mut network = start.max(first) & mask(length);
                loop {
                    if network >= first && network <= last {
                        routes.push(Rule { network, length, cell });
                    }
                    match (network | !mask(length)).checked_add(1) {
                        Some(following) if following <= end.min(last) => network = following,
                        _ => break,
                    }
                }
            }
            at += 1;
        }
        let behind_cells = cells + if self.is_narrow() { intervals.div_ceil(2) } else { intervals };
        let (hidden, _) = self.block.get(behind_cells..).unwrap_or_default().as_chunks();
        routes.extend(hidden.iter().filter(|[network, _]| (first..=last).contains(network)).map(
            |[network, cell]| Rule {
                network: *network,
                length: u8::try_from(cell & NO_MATCH).unwrap_or(0),
                cell: *cell,
            },
        ));
        routes.sort_unstable();
        // A route that longer ones split shows in several intervals.
        routes.dedup();
        routes
    }
}

impl<V> Clone for Table<V> {
    fn clone(&self) -> Self {
        let (block, values) = (Arc::clone(&self.block), Arc::clone(&self.values));
        Self { block, values, intervals: self.intervals }
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self::empty()
    }
}

/// Tables are equal when they hold the same routes. Equal routes make equal blocks, so this compares
/// memory and walks nothing.
impl<V: PartialEq> PartialEq for Table<V> {
    fn eq(&self, other: &Self) -> bool {
        self.same(other) || (self.block == other.block && self.values == other.values)
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
    routes: std::vec::IntoIter<Rule<u32>>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (Ipv4Net, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let route = self.routes.next()?;
        let (length, value) = self.table.route_of(route.cell)?;
        Some((prefix_of(route.network, length), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.routes.size_hint()
    }
}

impl<V> ExactSizeIterator for Iter<'_, V> {}
impl<V> FusedIterator for Iter<'_, V> {}

/// Lays out the block of a table.
fn block_of(rules: &[Rule<u32>], narrow: bool) -> (Arc<[u32]>, u32) {
    let mut starts: Vec<u32> = Vec::with_capacity(2 * rules.len() + 1);
    let mut cells: Vec<u32> = Vec::with_capacity(2 * rules.len() + 1);
    let mut hidden = vec![true; rules.len()];
    sweep(rules, |start, winner| {
        let mut cell = NO_MATCH;
        if let Some(winner) = winner {
            cell = rules.get(winner).map_or(NO_MATCH, |rule| rule.cell);
            if let Some(hidden) = hidden.get_mut(winner) {
                *hidden = false;
            }
        }
        if cells.last() != Some(&cell) {
            starts.push(start);
            cells.push(cell);
        }
    });
    let hidden: Vec<&Rule<u32>> =
        rules.iter().zip(hidden).filter(|(_, hidden)| *hidden).map(|(rule, _)| rule).collect();

    let mut block = levels(&starts);
    if narrow {
        block.extend(
            cells.chunks(2).map(|pair| pair.iter().rev().fold(0, |word, cell| (word << 16) | cell)),
        );
    } else {
        block.extend(cells);
    }
    block.extend(hidden.iter().flat_map(|rule| [rule.network, rule.cell]));
    (block.into(), u32::try_from(starts.len()).unwrap_or(u32::MAX))
}
