use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::address::mask;
use crate::compare::{below_in_8, below_in_16};
use crate::sweep::{Rule, sweep};

/// The elementary intervals of a table, in cache lines under an implicit 16-way tree.
///
/// A leaf holds the starts of ten intervals and their cells (eight, if a cell needs 32 bits). So
/// one line tells both the interval and its answer. Above more than eight leaves, inner lines hold
/// the starts of 16 lines below, level by level, until at most eight lines are left. The block
/// itself holds the starts of those.
///
/// A start is stored as the address before it, so the search counts how many are below an address.
/// The first of a line is not compared: an address that reached the line is not before it. Unused
/// places hold [`NOWHERE`].
#[repr(align(64))]
pub(crate) struct Block {
    /// The levels from the leaves up, then two words for each hidden route.
    lines: Arc<[Line]>,
    /// The starts of the top level's lines.
    top: [u32; TOP],
    /// Position of the top level.
    first: u32,
    leaves: u32,
    /// An entry of the top level covers `1 << shift` leaves.
    shift: u8,
    wide: bool,
}

/// A start that no address is behind.
const NOWHERE: u32 = u32::MAX;

/// The winner of an interval: the number of its value, and in the low bits the prefix length plus
/// one.
pub(crate) type Cell = u32;
/// No route matches.
pub(crate) const NO_MATCH: Cell = 0;
pub(crate) const LENGTH_BITS: u32 = 6;
/// The highest value number that fits a cell.
pub(crate) const HIGHEST_NUMBER: u32 = u32::MAX >> LENGTH_BITS;

/// Makes the cell of a route.
#[inline]
pub(crate) fn cell_of(number: u32, length: u8) -> Cell {
    (number << LENGTH_BITS) | (u32::from(length) + 1)
}

/// Gives the length plus one, or 0 if nothing matches. The greater of two ranks is the longer
/// match.
#[inline]
pub(crate) fn rank(cell: Cell) -> u32 {
    cell & ((1 << LENGTH_BITS) - 1)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Line([u32; WORDS]);

const WORDS: usize = 16;
const FAN_BITS: u8 = 4;
/// The most lines of the top level.
const TOP: usize = 8;
/// Intervals of a leaf with 16-bit cells, and of one with 32-bit cells.
const NARROW: usize = 10;
const WIDE: usize = 8;

impl Block {
    /// Builds the intervals of sorted rules without duplicates.
    pub(crate) fn new(rules: &[Rule<Cell>]) -> Self {
        let wide = rules.iter().any(|rule| rule.cell > Cell::from(u16::MAX));
        let mut starts: Vec<u32> = Vec::with_capacity(2 * rules.len() + 1);
        let mut cells: Vec<Cell> = Vec::with_capacity(2 * rules.len() + 1);
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
        let per_leaf = if wide { WIDE } else { NARROW };
        let leaves = u32::try_from(starts.len().div_ceil(per_leaf)).unwrap_or(u32::MAX);
        let mut shift = 0;
        while entries(leaves, shift) as usize > TOP {
            shift += FAN_BITS;
        }
        let mut lines = Vec::with_capacity(leaves as usize * 9 / 8 + 8);
        lines.resize(leaves as usize, Line([NO_MATCH; WORDS]));
        // Unused places: the start before 0 is nowhere.
        starts.resize(leaves as usize * per_leaf, 0);
        cells.resize(leaves as usize * per_leaf, NO_MATCH);
        if wide {
            fill_each(&mut lines, &starts, &cells, fill_wide);
        } else {
            fill_each(&mut lines, &starts, &cells, fill_narrow);
        }
        for shift in (0..shift).step_by(FAN_BITS.into()) {
            let below: Vec<u32> = starts.iter().step_by(per_leaf << shift).copied().collect();
            lines.extend(below.chunks(WORDS).map(|starts| Line(beginnings(starts))));
        }
        let tops: Vec<u32> = starts.iter().step_by(per_leaf << shift).copied().collect();
        let first = u32::try_from(lines.len() - tops.len()).unwrap_or(u32::MAX);
        let top = beginnings(&tops);
        let mut rest = rules.iter().zip(hidden).filter(|(_, hidden)| *hidden).peekable();
        while rest.peek().is_some() {
            let mut line = [NO_MATCH; WORDS];
            for (pair, (rule, _)) in line.as_chunks_mut().0.iter_mut().zip(rest.by_ref().take(8)) {
                *pair = [rule.network, rule.cell];
            }
            lines.push(Line(line));
        }
        Self { lines: lines.into(), top, first, leaves, shift, wide }
    }

    /// Gives the winner at an address.
    #[inline]
    pub(crate) fn cell(&self, address: u32) -> Cell {
        let mut search = self.search(address);
        while !search.is_at_leaf() {
            search.below(address);
        }
        search.cell(address)
    }

    /// Starts a search at its line of the top level.
    #[inline]
    pub(crate) fn search(&self, address: u32) -> Search<'_> {
        let Self { lines, top, first, leaves, shift, wide } = self;
        let (first, leaves, shift, wide) = (*first, *leaves, *shift, *wide);
        Search { lines, first, at: below_in_8(top, address), leaves, shift, wide }
    }

    /// Loads a word of the block itself, so that its cache line is fetched.
    #[inline(always)]
    pub(crate) fn prefetch(&self) -> u32 {
        self.leaves | self.top.first().copied().unwrap_or(0)
    }

    /// Counts the bytes of the lines, with their two reference counters and alignment gaps.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Line>() + size_of_val(&*self.lines)
    }

    /// Says whether both share one allocation.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lines, &other.lines)
    }

    /// Lists the rules whose network lies between two addresses, both included, in order.
    pub(crate) fn rules_between(&self, first: u32, last: u32) -> Vec<Rule<Cell>> {
        let behind = self.first as usize + entries(self.leaves, self.shift) as usize;
        let hidden = self.lines.get(behind..).unwrap_or_default().iter();
        let hidden =
            hidden.flat_map(|line| line.0.as_chunks().0).map(|[network, cell]| (*network, *cell));
        let mut rules: Vec<Rule<Cell>> = hidden
            .filter(|(network, cell)| *cell != NO_MATCH && (first..=last).contains(network))
            .filter_map(|(network, cell)| rule(network, cell))
            .collect();
        let mut intervals = self.intervals().peekable();
        while let Some((start, cell)) = intervals.next() {
            let end = intervals.peek().map_or(u32::MAX, |(next, _)| next - 1);
            let Some(Rule { length, .. }) =
                rule(start, cell).filter(|_| end >= first && start <= last)
            else {
                continue;
            };
            // Every block of this length inside the interval is a route.
            let mut network = start.max(first) & mask(length);
            loop {
                if network >= first && network <= last {
                    rules.push(Rule { network, length, cell });
                }
                match (network | !mask(length)).checked_add(1) {
                    Some(following) if following <= end.min(last) => network = following,
                    _ => break,
                }
            }
        }
        rules.sort_unstable();
        // A route that longer ones split shows in several intervals.
        rules.dedup();
        rules
    }

    /// Lists first addresses and cells in rising order.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = (u32, Cell)> {
        let leaves = self.lines.get(..self.leaves as usize).unwrap_or_default();
        let slots = if self.wide { WIDE } else { NARROW };
        leaves.iter().flat_map(move |line| {
            (0..slots).filter_map(move |slot| {
                let start = match line.word(slot) {
                    start if slot == 0 => start,
                    before => before.checked_add(1)?,
                };
                Some((start, line.cell(slot, self.wide)))
            })
        })
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        Self { lines: Arc::clone(&self.lines), ..*self }
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.same(other) || (self.wide == other.wide && self.lines == other.lines)
    }
}

impl Eq for Block {}

impl Hash for Block {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lines.hash(state);
    }
}

/// A search that goes down one level at a time, so that many searches can advance in step.
///
/// No step branches on what it has read. So the processor begins the next search while this one
/// waits for memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Search<'a> {
    lines: &'a [Line],
    /// Offset of the level, and the address's line in it.
    first: u32,
    at: u32,
    leaves: u32,
    shift: u8,
    wide: bool,
}

impl Search<'_> {
    #[inline]
    pub(crate) fn is_at_leaf(self) -> bool {
        self.shift == 0
    }

    /// Loads a word of the next step's line, so that the line is fetched.
    #[inline(always)]
    pub(crate) fn prefetch(&self) -> u32 {
        self.line(self.first + self.at).word(0)
    }

    /// Counts the levels below.
    #[inline]
    pub(crate) fn levels(self) -> u8 {
        self.shift / FAN_BITS
    }

    /// Goes down one level, from a line of starts to the child that holds the address.
    #[inline]
    pub(crate) fn below(&mut self, address: u32) {
        let line = self.line(self.first + self.at);
        self.at = self.at * 16 + below_in_16::<WORDS>(&line.0, address);
        self.shift -= FAN_BITS;
        self.first -= entries(self.leaves, self.shift);
    }

    /// Gives the cell of the leaf.
    #[inline]
    pub(crate) fn cell(self, address: u32) -> Cell {
        let line = self.line(self.at);
        if self.wide {
            line.cell(below_in_16::<WIDE>(&line.0, address) as usize, true)
        } else {
            line.cell(below_in_16::<NARROW>(&line.0, address) as usize, false)
        }
    }

    #[inline(always)]
    fn line(&self, at: u32) -> &Line {
        const NONE: &Line = &Line([0; WORDS]);
        self.lines.get(at as usize).unwrap_or(NONE)
    }
}

impl Line {
    #[inline(always)]
    fn word(&self, at: usize) -> u32 {
        self.0.get(at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn cell(&self, slot: usize, wide: bool) -> Cell {
        if wide {
            self.word(WIDE + slot)
        } else {
            (self.word(NARROW + slot / 2) >> (16 * (slot & 1))) & 0xffff
        }
    }
}

/// Counts the lines of a level whose lines cover `1 << shift` leaves each.
#[inline(always)]
fn entries(leaves: u32, shift: u8) -> u32 {
    (leaves + (1 << shift) - 1) >> shift
}

fn rule(network: u32, cell: Cell) -> Option<Rule<Cell>> {
    let length = u8::try_from(rank(cell).checked_sub(1)?).ok()?;
    Some(Rule { network, length, cell })
}

/// Gives the stored form of starts; the first is stored as it is.
fn beginnings<const PLACES: usize>(starts: &[u32]) -> [u32; PLACES] {
    let mut words = [NOWHERE; PLACES];
    for (place, (word, start)) in words.iter_mut().zip(starts).enumerate() {
        *word = if place == 0 { *start } else { start - 1 };
    }
    words
}

/// Fills leaves of so many intervals.
fn fill_each<const PLACES: usize>(
    lines: &mut [Line],
    starts: &[u32],
    cells: &[Cell],
    fill: impl Fn(&mut Line, &[u32; PLACES], &[Cell; PLACES]),
) {
    let intervals = starts.as_chunks().0.iter().zip(cells.as_chunks().0);
    for (line, (starts, cells)) in lines.iter_mut().zip(intervals) {
        fill(line, starts, cells);
        for (word, start) in line.0.iter_mut().zip(starts).skip(1) {
            *word = start.wrapping_sub(1);
        }
    }
}

/// Fills a leaf with ten intervals, in place: a copy of what was just written would stall. The
/// starts are stored as they are.
#[inline]
fn fill_narrow(line: &mut Line, starts: &[u32; NARROW], cells: &[Cell; NARROW]) {
    let (words, halves) = line.0.split_at_mut(NARROW);
    words.copy_from_slice(starts);
    for (word, [low, high]) in halves.iter_mut().zip(cells.as_chunks().0) {
        *word = low | high << 16;
    }
}

/// Fills a leaf with eight intervals.
#[inline]
fn fill_wide(line: &mut Line, starts: &[u32; WIDE], cells: &[Cell; WIDE]) {
    let (words, wide) = line.0.split_at_mut(WIDE);
    words.copy_from_slice(starts);
    wide.copy_from_slice(cells);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_indexes_67_million_values() {
        assert_eq!(HIGHEST_NUMBER, 67_108_863);
        let cell = cell_of(HIGHEST_NUMBER, 32);
        assert_eq!((cell >> LENGTH_BITS, rank(cell)), (HIGHEST_NUMBER, 33));
    }

    /// A block has lines of ten intervals, lines of sixteen of those if there are more than eight,
    /// and one line for eight hidden routes.
    #[test]
    fn block_size_follows_its_intervals() {
        let lines = |routes: u32, value: u32| {
            // Every second /24 makes two intervals, and one comes before the first.
            let rule = |n: u32| Rule {
                network: 0x0a00_0100 + (n << 9),
                length: 24,
                cell: cell_of(value, 24),
            };
            let rules: Vec<Rule<Cell>> = (0..routes).map(rule).collect();
            let block = Block::new(&rules);
            assert_eq!(block.intervals().count(), 2 * rules.len() + 1);
            assert_eq!(block.rules_between(0, u32::MAX), rules);
            (block.lines.len(), block.shift, block.bytes() - 64 * (1 + block.lines.len()))
        };
        assert_eq!(lines(0, 1), (1, 0, 0));
        assert_eq!(lines(4, 1), (1, 0, 0));
        assert_eq!(lines(5, 1), (2, 0, 0));
        assert_eq!(lines(39, 1), (8, 0, 0));
        assert_eq!(lines(40, 1), (9 + 1, 4, 0));
        assert_eq!(lines(639, 1), (128 + 8, 4, 0));
        assert_eq!(lines(640, 1), (129 + 9 + 1, 8, 0));
        assert_eq!(lines(4, 70_000), (2, 0, 0));
        let hidden = |network| Rule { network, length: 8, cell: cell_of(1, 8) };
        let halves = |network| [9u8, 9].into_iter().zip([network, network | 1 << 23]);
        let rules: Vec<Rule<Cell>> = (0..9u32)
            .flat_map(|n| {
                let halves = halves(n << 24).map(|(length, network)| Rule {
                    network,
                    length,
                    cell: cell_of(2, length),
                });
                std::iter::once(hidden(n << 24)).chain(halves)
            })
            .collect();
        let block = Block::new(&rules);
        assert_eq!((block.intervals().count(), block.lines.len()), (2, 1 + 2));
        assert_eq!(block.rules_between(0, u32::MAX), rules);
    }

    #[test]
    fn equal_blocks_hold_equal_contents() {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let block = |network| Block::new(&[Rule { network, length: 8, cell: cell_of(1, 8) }]);
        let (one, again, other) = (block(10 << 24), block(10 << 24), block(11 << 24));
        assert!(one == again && one == one.clone() && one != other);
        let hash = |block: &Block| BuildHasherDefault::<DefaultHasher>::default().hash_one(block);
        assert_eq!(hash(&one), hash(&again));
        assert_ne!(hash(&one), hash(&other));
    }
}
