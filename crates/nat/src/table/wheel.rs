//! The timer wheel: seven levels of 1,024 slots over all 64 bits of time, exact to the nanosecond.
//!
//! It is lazy, so a refresh is free: a packet writes only its time.
//!
//! - The wheel visits an entry when its slot comes up. If the entry was refreshed, it moves to a
//!   later slot.
//! - From a coarse slot it moves to finer ones, until its exact instant. So an idle flow is visited
//!   at most seven times.
//! - An entry whose timer becomes shorter moves at once.

use crate::table::links::{Linked, Links};
use crate::table::slab::NIL;

const BITS: u32 = 10;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 64_u32.div_ceil(BITS) as usize;
/// No slot.
const NONE: usize = LEVELS * SLOTS;
/// Marks a link to a slot of the wheel, not to an entry.
const SLOT: u32 = 1 << 31;

/// Slots that link entries; the caller stores the links.
pub(crate) struct Wheel {
    /// All slots that start before this are empty.
    elapsed: u64,
    /// No deadline is before this.
    next: u64,
    heads: Vec<u32>,
    /// The slot from which entries were taken last, if it starts at `elapsed`.
    draining: usize,
    /// One bit for each slot that is not empty, and one for each word of those that is not 0.
    occupied: [[u64; SLOTS / 64]; LEVELS],
    words: [u16; LEVELS],
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            elapsed: 0,
            next: u64::MAX,
            heads: vec![NIL; LEVELS * SLOTS],
            draining: NONE,
            occupied: Default::default(),
            words: [0; LEVELS],
        }
    }

    /// Adds an entry with a deadline.
    pub(crate) fn insert(&mut self, entries: &mut impl Linked, number: u32, deadline: u64) {
        let (level, slot) = self.place(deadline);
        let place = level << BITS | slot;
        let Some(head) = self.heads.get_mut(place) else {
            debug_assert!(false, "every deadline has a slot");
            return;
        };
        let next = core::mem::replace(head, number);
        let previous = u32::try_from(place).unwrap_or_default() | SLOT;
        entries.set_links(number, Links { previous, next });
        entries.set_previous(next, number);
        self.mark(level, slot, true);
        self.next = self.next.min(deadline);
    }

    /// Removes an entry, wherever it is.
    pub(crate) fn remove(&mut self, entries: &mut impl Linked, number: u32) {
        let Some(Links { previous, next }) = entries.links(number) else {
            debug_assert!(false, "an entry that is removed exists");
            return;
        };
        entries.set_previous(next, previous);
        if previous & SLOT == 0 {
            return entries.set_next(previous, next);
        }
        let place = (previous & !SLOT) as usize;
        if let Some(head) = self.heads.get_mut(place) {
            *head = next;
        }
        if next == NIL {
            self.mark(place / SLOTS, place % SLOTS, false);
        }
    }

    /// Takes out an entry whose slot starts no later than `until`, earliest slots first. It may
    /// come before its deadline.
    pub(crate) fn pop(&mut self, entries: &mut impl Linked, until: u64) -> Option<u32> {
        let Some((start, place)) = self.earliest().filter(|(start, _)| *start <= until) else {
            (self.elapsed, self.draining) = (self.elapsed.max(until), NONE);
            self.next = self.earliest().map_or(u64::MAX, |(start, _)| start);
            return None;
        };
        (self.elapsed, self.draining) = (start, place);
        let number = *self.heads.get(place)?;
        self.remove(entries, number);
        Some(number)
    }

    /// Gives one of the entries in the first slot that is not empty.
    pub(crate) fn nearest(&self) -> Option<u32> {
        self.earliest().and_then(|(_, place)| self.heads.get(place).copied())
    }

    /// Gives the start of the slot visited last.
    pub(crate) const fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// Gives a time before which there is no deadline.
    #[inline]
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Finds the first slot that is not empty: its start and its place. Lower levels have nearer
    /// times, but a coarse slot must first move down whole.
    fn earliest(&self) -> Option<(u64, usize)> {
        if self.heads.get(self.draining).is_some_and(|head| *head != NIL) {
            return Some((self.elapsed, self.draining));
        }
        self.words.iter().zip(&self.occupied).enumerate().find_map(|(level, (words, slots))| {
            let word = words.trailing_zeros() as usize;
            let slot = word << 6 | slots.get(word)?.trailing_zeros() as usize;
            let shift = u32::try_from(level).ok()?.wrapping_mul(BITS);
            let above = self.elapsed.checked_shr(shift.wrapping_add(BITS)).unwrap_or(0);
            let start = (above << BITS | slot as u64) << shift;
            Some((start, level << BITS | slot))
        })
    }

    /// Gives level and slot of a deadline. The level is that of the highest digit in which it
    /// differs from now.
    fn place(&self, deadline: u64) -> (usize, usize) {
        let deadline = deadline.max(self.elapsed);
        let level = (deadline ^ self.elapsed).checked_ilog2().unwrap_or(0) / BITS;
        let slot = deadline >> level.wrapping_mul(BITS) & (SLOTS as u64).wrapping_sub(1);
        (level as usize, usize::try_from(slot).unwrap_or_default())
    }

    /// Notes whether a slot has entries.
    fn mark(&mut self, level: usize, slot: usize, is_occupied: bool) {
        let word = self.occupied.get_mut(level).and_then(|slots| slots.get_mut(slot / 64));
        let Some((word, words)) = word.zip(self.words.get_mut(level)) else {
            debug_assert!(false, "every place has a level and a word");
            return;
        };
        if is_occupied {
            *word |= 1 << (slot % 64);
            *words |= 1 << (slot / 64);
            return;
        }
        *word &= !(1 << (slot % 64));
        if *word == 0 {
            *words &= !(1 << (slot / 64));
        }
    }
}
