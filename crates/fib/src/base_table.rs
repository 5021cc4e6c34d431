use std::collections::BTreeMap;
use std::fmt;

use crate::address::Address;
use crate::block::Cell;
use crate::compare::last_in_16;
use crate::id_table::{Hit, IdTable};

/// A table that many tables share as their base, such as the prefixes of a cloud's services.
///
/// It is an [`IdTable`] with an index over its /16s. The index costs some 200 kB once and halves
/// the time of a lookup. It leads each /16 to one cache line with up to 16 intervals; /16s with the
/// same single answer share a line. A lookup in a /16 with more intervals asks the table.
pub struct BaseTable {
    table: IdTable,
    /// The number of each /16's line.
    index: Box<[u16; NODES]>,
    lines: Box<[Line]>,
}

const NODES: usize = 1 << 16;
/// A value that is no cell: the lookup asks the table.
const ASK: u16 = u16::MAX;

/// The intervals of a /16: low halves of their first addresses, and their cells. Unused places
/// repeat the last interval.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    starts: [u16; Self::INTERVALS],
    cells: [u16; Self::INTERVALS],
}

impl BaseTable {
    /// Indexes a table.
    pub fn new(table: IdTable) -> Self {
        let intervals: Vec<(u32, Cell)> = table.block.intervals().collect();
        let mut lines = vec![Line::uniform(ASK)];
        let mut uniform = BTreeMap::from([(ASK, 0)]);
        let mut line_of = |line: Result<u16, Line>, lines: &mut Vec<Line>| match line {
            Ok(cell) => *uniform.entry(cell).or_insert_with(|| push(lines, Line::uniform(cell))),
            Err(line) => push(lines, line),
        };
        let mut index = Vec::with_capacity(NODES);
        let mut cell = ASK;
        for own in intervals.chunk_by(|(one, _), (next, _)| one >> 16 == next >> 16) {
            let Some(((start, _), (_, last))) = own.first().zip(own.last()) else { continue };
            let node = (start >> 16) as usize;
            if index.len() < node {
                index.resize(node, line_of(Ok(cell), &mut lines));
            }
            index.push(line_of(Line::new(cell, own), &mut lines));
            cell = narrowed(*last);
        }
        if index.len() < NODES {
            index.resize(NODES, line_of(Ok(cell), &mut lines));
        }
        // There is one line number for each node.
        let index = index.into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; NODES]));
        Self { table, index, lines: lines.into() }
    }

    /// Looks up the longest match.
    #[inline]
    pub fn lookup(&self, address: impl Address) -> Hit {
        let address = address.number();
        let cell = self.line(address).cell_of(address);
        if cell == ASK { self.table.lookup(address) } else { Hit(Cell::from(cell)) }
    }

    /// Gives the table without its index.
    pub fn table(&self) -> &IdTable {
        &self.table
    }

    /// Counts the bytes of the table and its index.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + size_of_val(&*self.index) + size_of_val(&*self.lines)
    }

    #[inline(always)]
    fn line(&self, address: u32) -> &Line {
        const ASKING: &Line = &Line::uniform(ASK);
        let line = self.index.get((address >> 16) as usize);
        line.and_then(|line| self.lines.get(usize::from(*line))).unwrap_or(ASKING)
    }
}

impl fmt::Debug for BaseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}

impl Line {
    const INTERVALS: usize = 16;

    const fn uniform(cell: u16) -> Self {
        Self { starts: [0; Self::INTERVALS], cells: [cell; Self::INTERVALS] }
    }

    /// Makes the line of a /16 that begins with `before` and has these intervals, or gives its only
    /// answer.
    fn new(before: u16, intervals: &[(u32, Cell)]) -> Result<u16, Self> {
        let mut all: Vec<(u16, u16)> = Vec::with_capacity(intervals.len() + 1);
        if intervals.first().is_none_or(|(start, _)| start & 0xffff != 0) {
            all.push((0, before));
        }
        all.extend(intervals.iter().map(|(start, cell)| (low_half(*start), narrowed(*cell))));
        match all.as_slice() {
            [(_, cell)] => return Ok(*cell),
            all if all.len() > Self::INTERVALS => return Ok(ASK),
            _ => {}
        }
        let mut line = Self::uniform(ASK);
        for (slot, (start, cell)) in line.starts.iter_mut().zip(&mut line.cells).enumerate() {
            (*start, *cell) = all.get(slot).or(all.last()).copied().unwrap_or((0, ASK));
        }
        Err(line)
    }

    /// Gives the cell of the last interval that starts at or before the address.
    #[inline(always)]
    fn cell_of(&self, address: u32) -> u16 {
        let at = last_in_16(&self.starts, low_half(address)) as usize;
        self.cells.get(at).copied().unwrap_or(ASK)
    }
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low_half(address: u32) -> u16 {
    address as u16
}

/// Gives a cell in 16 bits, or [`ASK`] if it does not fit.
fn narrowed(cell: Cell) -> u16 {
    u16::try_from(cell).unwrap_or(ASK)
}

/// Adds a line and returns its number, or that of the line that asks the table if the numbers are
/// used up.
fn push(lines: &mut Vec<Line>, line: Line) -> u16 {
    let Ok(number) = u16::try_from(lines.len()) else { return 0 };
    lines.push(line);
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_values::SharedValues;

    #[test]
    fn only_dense_16s_ask_the_table() {
        let mut values = SharedValues::new();
        let wide = [("10.0.0.0/8", 1), ("10.1.0.0/16", 2)];
        let wide = wide.map(|(prefix, value)| (prefix.parse().unwrap(), value));
        let dense = (0..20u32).map(|n| (crate::address::prefix_of(0x0a02_0000 | n << 8, 28), 3));
        let base = BaseTable::new(values.table(wide.into_iter().chain(dense)).unwrap());
        let asks = |address| base.line(address).cell_of(address) == ASK;
        let asking: Vec<u32> = (0..1 << 16).filter(|node| asks(node << 16)).collect();
        assert_eq!(asking, [0x0a02]);
        assert_eq!(base.lookup(0x0a02_0101u32), base.table().lookup(0x0a02_0101u32));
        // The index, and four lines: for the dense /16, for no match, for the /8, for the /16.
        assert_eq!(base.bytes(), base.table().bytes() + 2 * NODES + 4 * 64);
        assert_eq!(format!("{base:?}"), format!("{:?}", base.table()));
    }
}
