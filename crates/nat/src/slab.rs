//! Numbered slots of which a fixed number is ever used, and the links that chain them.

/// No slot.
pub(crate) const NIL: u32 = u32::MAX;

/// A slot that can be chained to the next one: free slots are, and the owner may chain the others.
pub(crate) trait Slot {
    fn next_mut(&mut self) -> &mut u32;
}

/// A place in a doubly linked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) previous: u32,
    pub(crate) next: u32,
}

/// Two places for every slot of a slab: kept apart from it, since packets need the slots and not the links.
pub(crate) struct Chains(Vec<[Links; 2]>);

/// Which of the two places.
#[derive(Clone, Copy)]
pub(crate) enum Chain {
    /// In the timer wheel.
    Timer,
    /// Among the flows of a cell.
    Siblings,
}

impl Chains {
    pub(crate) fn new(capacity: u32) -> Self {
        Self(Vec::with_capacity(capacity as usize))
    }

    pub(crate) fn get(&self, chain: Chain, number: u32) -> Option<&Links> {
        self.0.get(number as usize)?.get(chain as usize)
    }

    pub(crate) fn get_mut(&mut self, chain: Chain, number: u32) -> Option<&mut Links> {
        self.0.get_mut(number as usize)?.get_mut(chain as usize)
    }

    /// Sets a place of a slot, which may be one that was never used before: those come in the order of their numbers.
    pub(crate) fn set(&mut self, chain: Chain, number: u32, links: Links) {
        if self.0.len() <= number as usize {
            self.0.push([Links { previous: NIL, next: NIL }; 2]);
        }
        if let Some(old) = self.get_mut(chain, number) {
            *old = links;
        }
    }
}

/// At most `capacity` slots, reserved at once and never moved. The last one given back is the first to be used again.
pub(crate) struct Slab<S> {
    slots: Vec<S>,
    free: u32,
    live: u32,
    capacity: u32,
}

impl<S: Slot> Slab<S> {
    pub(crate) fn new(capacity: u32) -> Self {
        Self { slots: Vec::with_capacity(capacity as usize), free: NIL, live: 0, capacity }
    }

    /// The number that the next slot will have; `None` if all are used.
    #[inline]
    pub(crate) fn vacant(&self) -> Option<u32> {
        if self.free != NIL {
            return Some(self.free);
        }
        u32::try_from(self.slots.len()).ok().filter(|next| *next < self.capacity)
    }

    pub(crate) fn insert(&mut self, slot: S) -> Option<u32> {
        let number = self.vacant()?;
        match self.slots.get_mut(number as usize) {
            Some(old) => {
                self.free = *old.next_mut();
                *old = slot;
            }
            None => self.slots.push(slot),
        }
        self.live = self.live.saturating_add(1);
        Some(number)
    }

    /// Gives a used slot back; its content stays readable until it is used again.
    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot.next_mut() = self.free;
            self.free = number;
            self.live = self.live.saturating_sub(1);
        }
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&S> {
        self.slots.get(number as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut S> {
        self.slots.get_mut(number as usize)
    }

    /// All slots by number, free ones among them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &S)> {
        (0..).zip(&self.slots)
    }

    /// Used slots.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.live >= self.capacity
    }
}
