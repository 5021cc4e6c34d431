use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::address::mask;
use crate::compare::{below_in_8, below_in_16};
use crate::sweep::{Rule, sweep};

/// The elementary intervals of a table, in cache lines under an implicit 16-way tree.
///
/// A leaf says where ten intervals begin and has their cells (eight, if a cell needs 32 bits), so
/// that finding the interval and reading what it says is one line. Above more than eight leaves
/// there are lines that say where 16 lines below begin, until eight are left or fewer; which of
/// those it is, the block itself says.
///
/// Where something begins is told by the address before it, so that what an address lies in is how
/// many of those are below it. The first of a line is not compared: whoever comes here is not
/// before it. Places left over hold [`NOWHERE`].
#[repr(align(64))]
pub(crate) struct Block {
    /// The levels from the leaves up, then two words for each hidden route.
    lines: Arc<[Line]>,
    /// Where the lines of the top level begin.
    top: [u32; TOP],
    /// Position of the top level.
    first: u32,
    leaves: u32,
    /// An entry of the top level stands for `1 << shift` leaves.
    shift: u8,
    wide: bool,
}

/// Below no address.
const NOWHERE: u32 = u32::MAX;

/// What wins in an interval: the number of the value, and in the low bits the prefix length plus
/// one.
pub(crate) type Cell = u32;
/// No route matches.
pub(crate) const NO_MATCH: Cell = 0;
pub(crate) const LENGTH_BITS: u32 = 6;
/// The highest number of a value that a cell has room for.
pub(crate) const HIGHEST_NUMBER: u32 = u32::MAX >> LENGTH_BITS;

/// The cell of a route.
#[inline]
pub(crate) fn cell_of(number: u32, length: u8) -> Cell {
    (number << LENGTH_BITS) | (u32::from(length) + 1)
}

/// The length of a cell plus one, 0 if nothing matches: the greater of two is the longer match.
#[inline]
pub(crate) fn rank(cell: Cell) -> u32 {
    cell & ((1 << LENGTH_BITS) - 1)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Line([u32; WORDS]);

const WORDS: usize = 16;
const FAN_BITS: u8 = 4;
/// How many lines the top level may have.
const TOP: usize = 8;
/// Intervals of a leaf whose cells are 16 bits wide, and of one whose cells are 32 bits wide.
const NARROW: usize = 10;
const WIDE: usize = 8;

impl Block {
    /// The intervals of sorted rules without duplicates.
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
        let leaf = if wide { wide_leaf } else { narrow_leaf };
        lines.extend(starts.chunks(per_leaf).zip(cells.chunks(per_leaf)).map(|(s, c)| leaf(s, c)));
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

    /// What wins at an address.
    #[inline]
    pub(crate) fn cell(&self, address: u32) -> Cell {
        let mut search = self.search(address);
        while !search.is_at_leaf() {
            search.below(address);
        }
        search.cell(address)
    }

    /// A search that has found its line of the top level.
    #[inline]
    pub(crate) fn search(&self, address: u32) -> Search<'_> {
        let Self { lines, top, first, leaves, shift, wide } = self;
        let (first, leaves, shift, wide) = (*first, *leaves, *shift, *wide);
        Search { lines, first, at: below_in_8(top, address), leaves, shift, wide }
    }

    /// Loads a word of the block itself.
    #[inline(always)]
    pub(crate) fn touch(&self) -> u32 {
        self.leaves | self.top.first().copied().unwrap_or(0)
    }

    /// Bytes of the lines, with the two counters before them and what their alignment skips.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Line>() + size_of_val(&*self.lines)
    }

    /// Whether both are one allocation.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lines, &other.lines)
    }

    /// The rules whose network lies between two addresses, both included, in order.
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
            // Every block of this length that the interval touches is a route.
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

    /// First addresses and cells, rising.
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

/// A search that goes down one level at a time, so that many can go in step.
///
/// No step branches on what it has read: the processor begins the next search while this one waits
/// for memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Search<'a> {
    lines: &'a [Line],
    /// Where the level begins, and the line of it that the address belongs to.
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

    /// Loads a word of the line that the next step reads.
    #[inline(always)]
    pub(crate) fn touch(&self) -> u32 {
        self.line(self.first + self.at).word(0)
    }

    /// How many levels are still below.
    #[inline]
    pub(crate) fn levels(self) -> u8 {
        self.shift / FAN_BITS
    }

    /// Goes down one level, from a line of addresses to one that it leads to.
    #[inline]
    pub(crate) fn below(&mut self, address: u32) {
        let line = self.line(self.first + self.at);
        self.at = self.at * 16 + below_in_16::<WORDS>(&line.0, address);
        self.shift -= FAN_BITS;
        self.first -= entries(self.leaves, self.shift);
    }

    /// The cell of the leaf.
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

/// How many lines the level has whose lines stand for `1 << shift` leaves.
#[inline(always)]
fn entries(leaves: u32, shift: u8) -> u32 {
    (leaves + (1 << shift) - 1) >> shift
}

fn rule(network: u32, cell: Cell) -> Option<Rule<Cell>> {
    let length = u8::try_from(rank(cell).checked_sub(1)?).ok()?;
    Some(Rule { network, length, cell })
}

/// What tells lines or intervals apart that begin at these addresses; the first as it is.
fn beginnings<const PLACES: usize>(starts: &[u32]) -> [u32; PLACES] {
    let mut words = [NOWHERE; PLACES];
    for (place, (word, start)) in words.iter_mut().zip(starts).enumerate() {
        *word = if place == 0 { *start } else { start - 1 };
    }
    words
}

/// Up to ten intervals with their cells.
fn narrow_leaf(starts: &[u32], cells: &[Cell]) -> Line {
    let mut line = [0; WORDS];
    let (words, halves) = line.split_at_mut(NARROW);
    words.copy_from_slice(&beginnings::<NARROW>(starts));
    for (slot, cell) in cells.iter().enumerate() {
        if let Some(half) = halves.get_mut(slot / 2) {
            *half |= cell << (16 * (slot & 1));
        }
    }
    Line(line)
}

/// Up to eight intervals with their cells.
fn wide_leaf(starts: &[u32], cells: &[Cell]) -> Line {
    let mut line = [NO_MATCH; WORDS];
    let (words, wide) = line.split_at_mut(WIDE);
    words.copy_from_slice(&beginnings::<WIDE>(starts));
    wide.iter_mut().zip(cells).for_each(|(word, cell)| *word = *cell);
    Line(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_room_for_67_million_values() {
        assert_eq!(HIGHEST_NUMBER, 67_108_863);
        let cell = cell_of(HIGHEST_NUMBER, 32);
        assert_eq!((cell >> LENGTH_BITS, rank(cell)), (HIGHEST_NUMBER, 33));
    }

    /// Lines of ten intervals, of sixteen of those above more than eight, a line for eight hidden
    /// routes: nothing more.
    #[test]
    fn a_block_is_as_large_as_its_intervals_ask_for() {
        let lines = |routes: u32, value: u32| {
            // Every second /24, so two intervals each, and one before the first.
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
    fn blocks_are_equal_by_what_they_hold() {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let block = |network| Block::new(&[Rule { network, length: 8, cell: cell_of(1, 8) }]);
        let (one, again, other) = (block(10 << 24), block(10 << 24), block(11 << 24));
        assert!(one == again && one == one.clone() && one != other);
        let hash = |block: &Block| BuildHasherDefault::<DefaultHasher>::default().hash_one(block);
        assert_eq!(hash(&one), hash(&again));
        assert_ne!(hash(&one), hash(&other));
    }
}
