use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};

use super::cell::Cell;
use super::group::{FAN, Group, WHOLE, runs};
use super::place::{Place, group_at};
use crate::address::Address;
use crate::value_id::ValueId;

/// Slots of the array: one for each /24.
pub(crate) const SLOTS: usize = 1 << 24;
/// Pages of blocks: one for each /16.
const PAGES: usize = 1 << 16;

/// What readers load: a code for every /24 and, for those that longer prefixes split, a block with a
/// code for every address (DIR-24-8).
///
/// Every change of an address is one store. A block stays with its /24 until the whole plane is
/// replaced, so that a reader on its way into a block never lands in another's.
pub(crate) struct Plane<C> {
    slots: Box<[C]>,
    pages: Box<[OnceLock<Page<C>>]>,
}

type Page<C> = Box<[OnceLock<Box<Block<C>>>]>;

/// The 256 addresses of a /24 that longer prefixes split.
pub(crate) struct Block<C> {
    cells: [C; FAN],
    /// The prefixes longer than /24.
    pub(crate) group: Group,
}

impl<C: Cell> Plane<C> {
    /// A plane of these codes, one for each /24.
    pub(crate) fn new(slots: Vec<C>) -> Self {
        debug_assert_eq!(slots.len(), SLOTS);
        let pages = (0..PAGES).map(|_| OnceLock::new()).collect();
        Self { slots: slots.into_boxed_slice(), pages }
    }

    /// The code of an address.
    #[inline(always)]
    pub(crate) fn code(&self, address: u32) -> u32 {
        let code = self.slot(address, Ordering::Relaxed);
        if code == C::EXTENDED { self.extended(address) } else { code }
    }

    /// The code of each address, as many as the shorter slice holds.
    #[inline]
    pub(crate) fn batch(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        for (id, address) in ids.iter_mut().zip(addresses) {
            *id = ValueId(self.code(address.number()));
        }
        // A code loaded above finds the value that it numbers.
        fence(Ordering::Acquire);
    }

    #[inline(always)]
    fn slot(&self, address: u32, order: Ordering) -> u32 {
        // The array has all 2^24 slots, so that no check is left of this.
        let slot =
            self.slots.first_chunk::<SLOTS>().and_then(|all| all.get((address >> 8) as usize));
        slot.map_or(0, |cell| cell.load(order))
    }

    /// The code inside the block of a split /24.
    #[cold]
    fn extended(&self, address: u32) -> u32 {
        fence(Ordering::Acquire);
        self.block(address >> 8).map_or(0, |block| block.code(address))
    }

    /// The block of a /24, if it ever had one.
    #[inline]
    pub(crate) fn block(&self, slot: u32) -> Option<&Block<C>> {
        let page = self.pages.get((slot >> 8) as usize)?.get()?;
        page.get((slot & 0xff) as usize)?.get().map(|block| &**block)
    }

    /// The blocks that a /16 ever had, rising, with the slots that they split.
    pub(crate) fn blocks(&self, node: u32) -> impl Iterator<Item = (u32, &Block<C>)> {
        let page = self.pages.get(node as usize).and_then(OnceLock::get);
        let cells = page.map_or(&[][..], |page| page);
        cells.iter().zip(node << 8..).filter_map(|(cell, slot)| Some((slot, &**cell.get()?)))
    }

    /// The block of a /24, and whether it lay idle: one that splits nothing says what the slot says.
    pub(crate) fn prepare_block(&self, slot: u32) -> Option<(&Block<C>, bool)> {
        let page = self.pages.get((slot >> 8) as usize)?;
        let page = page.get_or_init(|| (0..FAN).map(|_| OnceLock::new()).collect());
        let cell = page.get((slot & 0xff) as usize)?;
        let code = self.slot(slot << 8, Ordering::Relaxed);
        let idle = code != C::EXTENDED && cell.get().is_some();
        let block = cell.get_or_init(|| Box::new(Block::new(code)));
        if idle {
            // Readers may still be on their way into it from the time when it served. Each finds the
            // code that its address has now.
            block.cells.iter().for_each(|cell| cell.store(code));
        }
        Some((block, idle))
    }

    /// Sends the readers of a /24 into its block.
    pub(crate) fn split(&self, slot: u32) {
        self.store(slot, C::EXTENDED);
    }

    /// Gives a whole /24 one code again.
    pub(crate) fn join(&self, slot: u32, code: u32) {
        self.store(slot, code);
    }

    fn store(&self, slot: u32, code: u32) {
        if let Some(cell) = self.slots.get(slot as usize) {
            cell.store(code);
        }
    }

    /// Gives the code to every address below the place that no longer prefix covers.
    ///
    /// That is all an insertion, a removal and a replacement do to readers.
    pub(crate) fn paint(&self, groups: &[Group], place: Place, code: u32) {
        let Place { depth, node, number } = place;
        let Some(group) = group_at(depth, node).and_then(|at| groups.get(at)) else {
            if let Some(block) = self.block(node) {
                block.paint(number, code);
            }
            return;
        };
        let first = node << 8 | first_child(number);
        for run in runs(group.uncovered(number)) {
            let run = first + run.start..first + run.end;
            if depth == 2 {
                self.paint_slots(run, code);
            } else {
                for node in run {
                    self.paint(groups, Place { depth: depth + 1, node, number: WHOLE }, code);
                }
            }
        }
    }

    /// Gives the code to slots of one /16; to the free addresses of those that are split.
    #[inline]
    fn paint_slots(&self, slots: Range<u32>, code: u32) {
        let splits = self.pages.get((slots.start >> 8) as usize).is_some_and(|p| p.get().is_some());
        let cells = self.slots.get(slots.start as usize..slots.end as usize).unwrap_or_default();
        for (slot, cell) in slots.zip(cells) {
            if splits && cell.load(Ordering::Relaxed) == C::EXTENDED {
                if let Some(block) = self.block(slot) {
                    block.paint(WHOLE, code);
                }
            } else {
                cell.store(code);
            }
        }
    }

    /// Bytes of the array, and of the blocks with their pages.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let pages = self.pages.iter().filter_map(OnceLock::get);
        let blocks = pages.flat_map(|page| page.iter().filter(|cell| cell.get().is_some()));
        let of_blocks = blocks.count() * size_of::<Block<C>>();
        let pages = self.pages.iter().filter(|page| page.get().is_some()).count();
        let of_pages =
            size_of_val(&*self.pages) + pages * FAN * size_of::<OnceLock<Box<Block<C>>>>();
        (size_of_val(&*self.slots), of_blocks + of_pages)
    }
}

impl<C: Cell> Block<C> {
    fn new(code: u32) -> Self {
        Self { cells: std::array::from_fn(|_| C::new(code)), group: Group::default() }
    }

    #[inline]
    fn code(&self, address: u32) -> u32 {
        self.cells.get((address & 0xff) as usize).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    fn paint(&self, number: u32, code: u32) {
        let first = first_child(number);
        for at in runs(self.group.uncovered(number)).flatten() {
            if let Some(cell) = self.cells.get((first + at) as usize) {
                cell.store(code);
            }
        }
    }
}

/// The first of the group's 256 children below a heap number.
fn first_child(number: u32) -> u32 {
    (number << (8 - number.ilog2())) & 0xff
}
