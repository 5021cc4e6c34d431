use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::address::mask;
use crate::sweep::{Rule, sweep};

/// The elementary intervals of a table, in cache lines under an implicit 16-way tree.
///
/// A leaf holds the first addresses of ten intervals and their cells (eight, if a cell needs 32 bits), so
/// that finding the interval and reading what it says is one line. Above more than eight leaves there are
/// lines of 16 addresses, one for each line below, until eight are left or fewer; which of those it is,
/// the block itself says.
#[repr(align(64))]
pub(crate) struct Block {
    /// The levels from the top down, then two words for each hidden route.
    lines: Arc<[Line]>,
    /// The first addresses of the lines of the top level but the first.
    top: [u32; TOP - 1],
    leaves: u32,
    /// An entry of the top level stands for `1 << shift` leaves.
    shift: u8,
    wide: bool,
}

/// What wins in an interval: the number of the value, and in the low bits the prefix length plus one.
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
        let mut top = [u32::MAX; TOP - 1];
        let tops = starts.iter().step_by(per_leaf << shift).skip(1);
        top.iter_mut().zip(tops).for_each(|(first, start)| *first = *start);
        let mut lines = Vec::with_capacity(leaves as usize * 9 / 8 + 8);
        for shift in (FAN_BITS..=shift).rev().step_by(FAN_BITS.into()) {
            let step = per_leaf << (shift - FAN_BITS);
            let firsts: Vec<u32> = starts.iter().step_by(step).copied().collect();
            lines.extend(firsts.chunks(WORDS).map(|firsts| {
                let mut line = [u32::MAX; WORDS];
                line.iter_mut().zip(firsts).for_each(|(word, first)| *word = *first);
                Line(line)
            }));
        }
        let leaf = if wide { wide_leaf } else { narrow_leaf };
        lines.extend(starts.chunks(per_leaf).zip(cells.chunks(per_leaf)).map(|(s, c)| leaf(s, c)));
        let mut rest = rules.iter().zip(hidden).filter(|(_, hidden)| *hidden).peekable();
        while rest.peek().is_some() {
            let mut line = [NO_MATCH; WORDS];
            for (pair, (rule, _)) in line.as_chunks_mut().0.iter_mut().zip(rest.by_ref().take(8)) {
                *pair = [rule.network, rule.cell];
            }
            lines.push(Line(line));
        }
        Self { lines: lines.into(), top, leaves, shift, wide }
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
        let Self { lines, top, leaves, shift, wide } = self;
        let mut at = 0;
        for step in [4, 2, 1] {
            let first = top.get(at as usize + step as usize - 1).copied().unwrap_or(u32::MAX);
            at += step * u32::from(first <= address);
        }
        let (leaves, shift, wide) = (*leaves, *shift, *wide);
        // The last address is not below what stands for lines that do not exist.
        Search { lines, leaves, shift, wide, first: 0, at: at.min(entries(leaves, shift) - 1) }
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
        let behind = self.first_leaf() + self.leaves as usize;
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
        let first = self.first_leaf();
        let leaves = self.lines.get(first..first + self.leaves as usize).unwrap_or_default();
        let slots = if self.wide { WIDE } else { NARROW };
        let listed = leaves.iter().flat_map(move |line| {
            (0..slots).map(move |slot| (line.word(slot), line.cell(slot, self.wide)))
        });
        let mut last = None;
        // The last leaf is filled up with its last interval.
        listed.filter(move |(start, _)| last.replace(*start) != Some(*start))
    }

    fn first_leaf(&self) -> usize {
        let above = (1..=self.shift / FAN_BITS).map(|level| entries(self.leaves, level * FAN_BITS));
        above.sum::<u32>() as usize
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
/// No step branches on what it has read: the processor begins the next search while this one waits for
/// memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Search<'a> {
    lines: &'a [Line],
    leaves: u32,
    shift: u8,
    wide: bool,
    /// Where the level begins, and the line of it that the address belongs to.
    first: u32,
    at: u32,
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
        let child = self.at * 16 + self.line(self.first + self.at).last_of_16(address);
        self.first += entries(self.leaves, self.shift);
        self.shift -= FAN_BITS;
        self.at = child.min(entries(self.leaves, self.shift) - 1);
    }

    /// The cell of the leaf.
    #[inline]
    pub(crate) fn cell(self, address: u32) -> Cell {
        let line = self.line(self.first + self.at);
        if self.wide {
            line.cell(line.last_of_8(address), true)
        } else {
            line.cell(line.last_of_10(address), false)
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

    /// The last of the first 16 words that is not above the address; a halving whose steps are fixed, in
    /// place of comparing whole vectors, which no compiler does well for every processor.
    #[inline(always)]
    fn last_of_16(&self, address: u32) -> u32 {
        let mut at = 0;
        for step in [8, 4, 2, 1] {
            at += step * u32::from(self.word(at as usize + step as usize) <= address);
        }
        at
    }

    #[inline(always)]
    fn last_of_10(&self, address: u32) -> usize {
        let mut at = 0;
        for step in [5, 2, 1, 1] {
            at += step * usize::from(self.word(at + step) <= address);
        }
        at
    }

    #[inline(always)]
    fn last_of_8(&self, address: u32) -> usize {
        let mut at = 0;
        for step in [4, 2, 1] {
            at += step * usize::from(self.word(at + step) <= address);
        }
        at
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

/// Up to ten intervals with their cells. What is left over repeats the last one, so that an address beyond
/// it finds its cell whichever of them is taken.
fn narrow_leaf(starts: &[u32], cells: &[Cell]) -> Line {
    let mut line = [0; WORDS];
    let (words, halves) = line.split_at_mut(NARROW);
    let last = (starts.last(), cells.last());
    for (slot, word) in words.iter_mut().enumerate() {
        *word = starts.get(slot).or(last.0).copied().unwrap_or(0);
        if let Some(half) = halves.get_mut(slot / 2) {
            *half |= cells.get(slot).or(last.1).copied().unwrap_or(NO_MATCH) << (16 * (slot & 1));
        }
    }
    Line(line)
}

/// The same for eight intervals.
fn wide_leaf(starts: &[u32], cells: &[Cell]) -> Line {
    let mut line = [0; WORDS];
    let (words, wide) = line.split_at_mut(WIDE);
    for (half, given) in [(words, starts), (wide, cells)] {
        for (slot, word) in half.iter_mut().enumerate() {
            *word = given.get(slot).or(given.last()).copied().unwrap_or(0);
        }
    }
    Line(line)
}
