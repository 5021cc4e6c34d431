use std::hint::select_unpredictable;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering, fence};

use super::cell::Cell;
use super::group::{Children, FAN, Group, WHOLE, ones_of};
use super::place::{GROUPS, Groups, Place, Winner, child_of, group_at, node_of};
use crate::address::Address;
use crate::value_id::{ValueId, any};

/// Slots of the array: one for each /24.
pub(crate) const SLOTS: usize = 1 << 24;
/// Entries that lead to pages: one for each /16.
pub(crate) const NODES: usize = 1 << 16;
/// The fewest pages and blocks of a plane. They spare a table with few split /24s from frequent
/// copies.
const LEAST_PAGES: usize = 1 << 10;
const LEAST_BLOCKS: usize = 1 << 12;
/// How many codes a batch loads before it inspects the first.
const STRETCH: usize = 512;
/// How many codes it inspects together if one of them leads to a block.
const FEW: usize = 16;
/// The position of the first /16's group.
const FIRST_OF_NODES: usize = GROUPS - NODES;
/// Start of the first page and the first block. Nothing leads to what lies before.
const FIRST: u32 = 256;

/// The memory that readers load: a code for every /24, and a block of 256 codes for each /24 that
/// longer prefixes split (DIR-24-8).
///
/// One store changes an address. A block stays with its /24 until the whole plane is replaced, so a
/// reader never reads another /24's block. A plane without room for another block is replaced by a
/// larger one.
pub(crate) struct Plane<C> {
    slots: Box<[C; SLOTS]>,
    /// The rank of the longest prefix of up to 16 bits above each /16.
    ranks: Box<[AtomicU8; NODES]>,
    /// The start of each /16's page. Page 0 is empty.
    pages: Box<[AtomicU32; NODES]>,
    /// Pages of 256 entries, each the start of a /24's block. Block 0 matches nothing.
    blocks: Box<[AtomicU32]>,
    /// Blocks of 256 codes, one for each address.
    cells: Box<[C]>,
    /// The prefixes longer than /24, by block.
    groups: Box<[Group]>,
    /// Where the writer will put the next page and the next block.
    next_page: AtomicU32,
    next_block: AtomicU32,
}

/// The references that lead from an address to its code, held by value so that loops keep them in
/// registers.
pub(crate) struct Lookup<'a, C> {
    slots: &'a [C; SLOTS],
    pages: &'a [AtomicU32; NODES],
    blocks: &'a [AtomicU32],
    cells: &'a [C],
}

impl<C: Cell> Lookup<'_, C> {
    /// Gives the code of an address.
    #[inline(always)]
    pub(crate) fn code(self, address: u32) -> u32 {
        let code = self.slot(address);
        if code == C::EXTENDED { self.extended(address) } else { code }
    }

    /// Follows the codes of split /24s into their blocks.
    #[cold]
    fn batch_split(self, addresses: &[impl Address], ids: &mut [ValueId]) {
        for (addresses, ids) in addresses.chunks(FEW).zip(ids.chunks_mut(FEW)) {
            if !any(ids, C::EXTENDED) {
                continue;
            }
            for (id, address) in ids.iter_mut().zip(addresses) {
                if id.0 == C::EXTENDED {
                    *id = ValueId(self.extended(address.number()));
                }
            }
        }
    }

    #[inline(always)]
    fn slot(self, address: u32) -> u32 {
        // There are 2^24 slots, so the compiler removes this check.
        let slot = self.slots.get((address >> 8) as usize);
        slot.map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Gives the code inside the block of a split /24. It is inlined, so that loops over it can be
    /// unrolled.
    #[inline(always)]
    fn extended(self, address: u32) -> u32 {
        fence(Ordering::Acquire);
        let page = self.pages.get((address >> 16) as usize).map_or(0, position);
        let block = self.blocks.get(page | (address >> 8 & 0xff) as usize).map_or(0, position);
        let cell = self.cells.get(block | (address & 0xff) as usize);
        cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Looks up the code of each address, as many as the shorter slice holds.
    #[inline]
    pub(crate) fn batch(self, addresses: &[impl Address], ids: &mut [ValueId]) {
        for (addresses, ids) in addresses.chunks(STRETCH).zip(ids.chunks_mut(STRETCH)) {
            // Only the store depends on the load, without a test or branch. So the processor keeps
            // more loads under way.
            for (id, address) in ids.iter_mut().zip(addresses) {
                *id = ValueId(self.slot(address.number()));
            }
            if any(ids, C::EXTENDED) {
                self.batch_split(addresses, ids);
            }
        }
        // This makes the value of each loaded code visible.
        fence(Ordering::Acquire);
    }
}

impl<C> Clone for Lookup<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Lookup<'_, C> {}

/// The 256 addresses of a /24 that longer prefixes split.
pub(crate) struct Block<'a, C> {
    cells: &'a [C],
    pub(crate) group: &'a Group,
}

impl<C: Cell> Plane<C> {
    /// Makes a plane of these codes, one for each /24, and these ranks, one for each /16. It has
    /// room for twice as many pages and blocks.
    pub(crate) fn new(slots: Vec<C>, ranks: Vec<u8>, pages: usize, blocks: usize) -> Self {
        let pages = 1 + (2 * pages).max(LEAST_PAGES);
        let blocks = 1 + (2 * blocks).max(LEAST_BLOCKS);
        Self {
            slots: array(slots),
            ranks: array(ranks.into_iter().map(AtomicU8::new).collect()),
            pages: array((0..NODES).map(|_| AtomicU32::new(0)).collect()),
            blocks: (0..pages * FAN).map(|_| AtomicU32::new(0)).collect(),
            cells: (0..blocks * FAN).map(|_| C::new(0)).collect(),
            groups: (0..blocks).map(|_| Group::default()).collect(),
            next_page: AtomicU32::new(FIRST),
            next_block: AtomicU32::new(FIRST),
        }
    }

    #[inline(always)]
    pub(crate) fn lookup(&self) -> Lookup<'_, C> {
        Lookup { slots: &self.slots, pages: &self.pages, blocks: &self.blocks, cells: &self.cells }
    }

    /// Finds the longest match of an address: a load of its code, and of the line of its /16, where
    /// nothing waits for the other.
    #[inline(always)]
    pub(crate) fn winner(&self, groups: &Groups, address: u32) -> Winner {
        let code = self.lookup().slot(address);
        if code == C::EXTENDED {
            return self.winner_in_block(groups, address);
        }
        Winner { code, rank: self.rank(groups, address) }
    }

    #[inline(never)]
    fn winner_in_block(&self, groups: &Groups, address: u32) -> Winner {
        let code = self.lookup().extended(address);
        let number =
            self.block(address >> 8).and_then(|block| block.group.longest(child_of(address, 3)));
        match number {
            Some(number) => Place { depth: 3, node: node_of(address, 3), number }.winner(code),
            None => Winner { code, rank: self.rank(groups, address) },
        }
    }

    /// Gives the rank of the longest prefix of up to 24 bits that covers the address.
    #[inline(always)]
    fn rank(&self, groups: &Groups, address: u32) -> u8 {
        let [.., child, _] = address.to_be_bytes();
        let node = (address >> 16) as usize;
        let above = self.ranks.get(node).map_or(0, |rank| rank.load(Ordering::Relaxed));
        let bits = groups.get(FIRST_OF_NODES + node).map_or(0, |group| group.bits_above(child));
        // A group adds 8 bits at most.
        select_unpredictable(bits == 0, above, 17 + (bits & 0xf) as u8)
    }

    /// Gives the block of a /24, if it ever had one.
    #[inline]
    pub(crate) fn block(&self, slot: u32) -> Option<Block<'_, C>> {
        let page = self.pages.get((slot >> 8) as usize).map(position).filter(|page| *page > 0)?;
        let block = self.blocks.get(page | (slot & 0xff) as usize).map(position)?;
        self.block_at(block).filter(|_| block > 0)
    }

    fn block_at(&self, block: usize) -> Option<Block<'_, C>> {
        let cells = self.cells.get(block..block + FAN)?;
        Some(Block { cells, group: self.groups.get(block / FAN)? })
    }

    /// Lists all blocks that a /16 ever had in rising order, with the slots that they split.
    pub(crate) fn blocks(&self, node: u32) -> impl Iterator<Item = (u32, Block<'_, C>)> {
        let page = self.pages.get(node as usize).map(position).filter(|page| *page > 0);
        let slots = page.into_iter().flat_map(move |_| node << 8..(node << 8) + 256);
        slots.filter_map(|slot| Some((slot, self.block(slot)?)))
    }

    /// Says whether [`prepare_block`](Self::prepare_block) will find a block for this /24.
    pub(crate) fn has_room(&self, slot: u32) -> bool {
        self.block(slot).is_some()
            || (position(&self.next_page) < self.blocks.len()
                && position(&self.next_block) < self.cells.len())
    }

    /// Gives the block of a /24. A block that splits nothing yet gets the slot's code.
    pub(crate) fn prepare_block(&self, slot: u32) -> Option<Block<'_, C>> {
        let code = self.slots.get(slot as usize)?.load(Ordering::Relaxed);
        let block = match self.block(slot) {
            Some(block) => block,
            None => self.new_block(slot)?,
        };
        if code != C::EXTENDED {
            // A block may have readers from its earlier use. Each finds the code that its address
            // has now.
            block.cells.iter().for_each(|cell| cell.store(code));
        }
        Some(block)
    }

    fn new_block(&self, slot: u32) -> Option<Block<'_, C>> {
        let page = self.pages.get((slot >> 8) as usize)?;
        if position(page) == 0 {
            page.store(take_next(&self.next_page), Ordering::Release);
        }
        let entry = self.blocks.get(position(page) | (slot & 0xff) as usize)?;
        entry.store(take_next(&self.next_block), Ordering::Release);
        self.block_at(position(entry))
    }

    /// Sends readers of a /24 to its block.
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

    /// Gives code and rank to every address below the place that no longer prefix covers.
    ///
    /// This is all that readers see of an insertion, a removal or a replacement.
    pub(crate) fn paint(&self, groups: &Groups, place: Place, winner: Winner) {
        let Place { depth, node, number } = place;
        let code = winner.code;
        let Some(group) = group_at(depth, node).and_then(|at| groups.get(at)) else {
            if let Some(block) = self.block(node) {
                block.paint(number, code);
            }
            return;
        };
        let first = node << 8 | first_child(number);
        let children = group.uncovered(number);
        if depth == 2 {
            return self.paint_slots(first, children, code);
        }
        for node in ones_of(children).map(|at| first + at) {
            if depth == 1
                && let Some(rank) = self.ranks.get(node as usize)
            {
                rank.store(winner.rank, Ordering::Relaxed);
            }
            self.paint(groups, Place { depth: depth + 1, node, number: WHOLE }, winner);
        }
    }

    /// Gives the code to slots of one /16, and to the uncovered addresses of split slots.
    #[inline]
    fn paint_slots(&self, first: u32, children: Children, code: u32) {
        let splits = self.pages.get((first >> 8) as usize).is_some_and(|p| position(p) > 0);
        if splits {
            for slot in ones_of(children).map(|at| first + at) {
                match self.slots.get(slot as usize) {
                    Some(cell) if cell.load(Ordering::Relaxed) != C::EXTENDED => cell.store(code),
                    _ => {
                        if let Some(block) = self.block(slot) {
                            block.paint(WHOLE, code);
                        }
                    }
                }
            }
            return;
        }
        let cells = self.slots.get(first as usize..).unwrap_or_default();
        for (mut bits, cells) in children.into_iter().zip(cells.chunks(64)) {
            if bits == u64::MAX {
                cells.iter().for_each(|cell| cell.store(code));
                continue;
            }
            // One by one: where runs end, nobody can guess.
            while bits != 0 {
                if let Some(cell) = cells.get(bits.trailing_zeros() as usize) {
                    cell.store(code);
                }
                bits &= bits - 1;
            }
        }
    }

    /// Counts the bytes of the array, and of the blocks and their pages.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let of_pages = size_of_val(&*self.pages) + size_of_val(&*self.blocks);
        let of_blocks = size_of_val(&*self.cells) + size_of_val(&*self.groups);
        (size_of_val(&*self.slots) + size_of_val(&*self.ranks), of_pages + of_blocks)
    }
}

impl<C: Cell> Block<'_, C> {
    fn paint(&self, number: u32, code: u32) {
        let first = first_child(number);
        for at in ones_of(self.group.uncovered(number)) {
            if let Some(cell) = self.cells.get((first + at) as usize) {
                cell.store(code);
            }
        }
    }
}

/// Gives the first of the group's 256 children below a heap number.
fn first_child(number: u32) -> u32 {
    (number << (8 - number.ilog2())) & 0xff
}

#[inline(always)]
fn position(entry: &AtomicU32) -> usize {
    entry.load(Ordering::Relaxed) as usize
}

/// Takes the next 256 entries.
fn take_next(next: &AtomicU32) -> u32 {
    let taken = next.load(Ordering::Relaxed);
    next.store(taken + FIRST, Ordering::Relaxed);
    taken
}

/// Makes an array on the heap from exactly as many items.
#[allow(clippy::expect_used, reason = "each caller hands over as many items as the type says")]
pub(crate) fn array<T, const COUNT: usize>(items: Vec<T>) -> Box<[T; COUNT]> {
    items.into_boxed_slice().try_into().ok().expect("as many items as the array has")
}
