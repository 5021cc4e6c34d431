//! A bounded number of numbered slots.

/// No slot.
pub(crate) const NIL: u32 = u32::MAX;

/// A slot that can be linked to the next one. Free slots are linked; the owner may link the others.
pub(crate) trait Slot {
    fn next_mut(&mut self) -> &mut u32;
}

/// At most `capacity` slots, allocated at once and never moved. The slot freed last is used first.
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

    /// Gives the number that the next slot will have; `None` if all are used.
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

    /// Frees a slot. Its content stays readable until the slot is used again.
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

    /// Lists all slots by number, free ones included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &S)> {
        (0..).zip(&self.slots)
    }

    /// Gives the number of slots ever used.
    pub(crate) fn used(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Gives the number of slots in use.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    pub(crate) const fn vacancies(&self) -> u32 {
        self.capacity.saturating_sub(self.live)
    }
}
