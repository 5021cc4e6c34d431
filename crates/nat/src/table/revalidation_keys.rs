//! Revalidation keys: which flows a policy change invalidates. The work grows with their number.
//!
//! The flows of a key form a list in the order of generations. So stale flows are always at its
//! front, whatever was opened, closed or revalidated meanwhile. The walk needs no memory of its
//! place.

use crate::table::detail::Detail;
use crate::table::index::Index;
use crate::table::key::Secret;
use crate::table::links::{Chains, Links};
use crate::table::slab::{NIL, Slab, Slot};
use crate::table::{REVALIDATION_KEYS, TableQuota};
use crate::{Generation, RevalidationKey, Tenant};

/// The revalidation keys of flows in the table.
pub(crate) struct RevalidationIndex {
    revalidation_keys: Slab<Entry>,
    index: Index,
    /// First and last key of the list of keys that may have stale flows. Every key with a stale
    /// flow is on it.
    invalidated: (u32, u32),
    secret: Secret,
}

#[derive(Clone, Copy)]
struct Entry {
    revalidation_key: RevalidationKey,
    /// The tenant charged for its flows: that of the first one.
    tenant: Tenant,
    /// Flows of older generations are stale.
    generation: Generation,
    flows: u32,
    first: u32,
    last: u32,
    is_queued: bool,
    /// Next invalidated key; for a free slot, the next free one.
    next: u32,
}

impl RevalidationIndex {
    pub(crate) fn new(capacity: u32, secret: Secret) -> Self {
        let (revalidation_keys, index) = (Slab::new(capacity), Index::new(capacity));
        Self { revalidation_keys, index, invalidated: (NIL, NIL), secret }
    }

    /// Gives the tenant charged for the flows of the key in a slot.
    pub(crate) fn tenant(&self, number: u32) -> Tenant {
        self.revalidation_keys.get(number).map_or(Tenant::NOBODY, |entry| entry.tenant)
    }

    /// Says whether a key is removed, and makes room, with the one flow that it still has.
    pub(crate) fn goes_with_its_last(&self, number: u32) -> bool {
        self.revalidation_keys.get(number).is_some_and(|entry| entry.flows == 1 && !entry.is_queued)
    }

    /// Counts one more flow of a key and gives the key's slot. A new key is charged to the tenant,
    /// if that has room.
    pub(crate) fn join(
        &mut self,
        revalidation_key: RevalidationKey,
        tenant: Tenant,
        quota: &mut TableQuota,
    ) -> Option<u32> {
        let number = match self.find(revalidation_key) {
            Some(number) => number,
            None => {
                if !quota.has_room(REVALIDATION_KEYS, tenant) {
                    return None;
                }
                let number = self.revalidation_keys.insert(Entry::new(revalidation_key, tenant))?;
                if !self.index.insert(self.secret.hash_revalidation_key(revalidation_key), number) {
                    self.revalidation_keys.remove(number);
                    return None;
                }
                quota.take(REVALIDATION_KEYS, tenant);
                number
            }
        };
        let entry = self.revalidation_keys.get_mut(number)?;
        entry.flows = entry.flows.saturating_add(1);
        Some(number)
    }

    /// Counts one flow less.
    pub(crate) fn leave(&mut self, number: u32, quota: &mut TableQuota) {
        let Some(entry) = self.revalidation_keys.get_mut(number) else {
            debug_assert!(false, "the key of a flow exists");
            return;
        };
        debug_assert!(entry.flows > 0, "a key counts its flows");
        entry.flows = entry.flows.saturating_sub(1);
        self.drop_if_unused(number, quota);
    }

    /// Adds a flow to the list of its key, after all that are not newer.
    #[inline]
    pub(crate) fn link(
        &mut self,
        chains: &mut Chains,
        details: &[Detail],
        revalidation_key: u32,
        number: u32,
    ) {
        let generation = generation(details, number);
        let entry = self.revalidation_keys.get_mut(revalidation_key);
        let Some((generation, entry)) = generation.zip(entry) else {
            debug_assert!(false, "a flow has its detail and its key");
            return;
        };
        let mut previous = entry.last;
        // Generations rise, so the loop ends at once unless a caller opens a flow by an old
        // configuration.
        while self::generation(details, previous).is_some_and(|other| other > generation) {
            previous = chains.sibling(previous).map_or(NIL, |links| links.previous);
        }
        let next = match chains.sibling_mut(previous) {
            Some(links) => core::mem::replace(&mut links.next, number),
            None => core::mem::replace(&mut entry.first, number),
        };
        match chains.sibling_mut(next) {
            Some(links) => links.previous = number,
            None => entry.last = number,
        }
        if let Some(links) = chains.sibling_mut(number) {
            *links = Links { previous, next };
        }
        // The new flow may be stale already.
        if generation < entry.generation {
            self.queue(revalidation_key);
        }
    }

    /// Removes a flow from the list of its key.
    pub(crate) fn unlink(&mut self, chains: &mut Chains, revalidation_key: u32, number: u32) {
        let entry = self.revalidation_keys.get_mut(revalidation_key);
        let Some((entry, &Links { previous, next })) = entry.zip(chains.sibling(number)) else {
            debug_assert!(false, "a flow has its key and its place");
            return;
        };
        match chains.sibling_mut(previous) {
            Some(links) => links.next = next,
            None => entry.first = next,
        }
        match chains.sibling_mut(next) {
            Some(links) => links.previous = previous,
            None => entry.last = previous,
        }
    }

    /// Invalidates the flows of a key that are older than `generation`.
    pub(crate) fn invalidate(&mut self, revalidation_key: RevalidationKey, generation: Generation) {
        if let Some(number) = self.find(revalidation_key) {
            self.invalidate_slot(number, generation);
        }
    }

    /// Invalidates the flows of every key that `concerned` names.
    pub(crate) fn invalidate_each(
        &mut self,
        concerned: impl Fn(RevalidationKey) -> bool,
        generation: Generation,
    ) {
        for number in 0..self.revalidation_keys.used() {
            let entry = self.revalidation_keys.get(number);
            // A free slot has no flows.
            if entry.is_some_and(|it| it.flows > 0 && concerned(it.revalidation_key)) {
                self.invalidate_slot(number, generation);
            }
        }
    }

    fn invalidate_slot(&mut self, number: u32, generation: Generation) {
        if let Some(entry) = self.revalidation_keys.get_mut(number)
            && entry.generation < generation
        {
            entry.generation = generation;
            self.queue(number);
        }
    }

    /// Says whether a flow of this key is stale. No flow is while the list of invalidated keys is
    /// empty.
    #[inline(always)]
    pub(crate) fn is_stale(&self, details: &[Detail], revalidation_key: u32, number: u32) -> bool {
        self.invalidated.0 != NIL && self.is_behind(details, revalidation_key, number)
    }

    #[inline(never)]
    fn is_behind(&self, details: &[Detail], revalidation_key: u32, number: u32) -> bool {
        let (entry, generation) =
            (self.revalidation_keys.get(revalidation_key), generation(details, number));
        entry.zip(generation).is_some_and(|(entry, generation)| generation < entry.generation)
    }

    /// Gives a stale flow, if there is one.
    #[inline]
    pub(crate) fn next_stale(&mut self, details: &[Detail], quota: &mut TableQuota) -> Option<u32> {
        while let Some(entry) = self.revalidation_keys.get_mut(self.invalidated.0) {
            if generation(details, entry.first).is_some_and(|first| first < entry.generation) {
                return Some(entry.first);
            }
            let number = self.invalidated.0;
            self.invalidated.0 = entry.next;
            entry.is_queued = false;
            if self.invalidated.0 == NIL {
                self.invalidated.1 = NIL;
            }
            self.drop_if_unused(number, quota);
        }
        None
    }

    pub(crate) fn revalidation_key(&self, number: u32) -> RevalidationKey {
        self.revalidation_keys
            .get(number)
            .map_or(RevalidationKey(0), |entry| entry.revalidation_key)
    }

    /// Gives the slot of a key.
    pub(crate) fn find(&self, revalidation_key: RevalidationKey) -> Option<u32> {
        self.index.find(self.secret.hash_revalidation_key(revalidation_key), |number| {
            self.revalidation_keys
                .get(number)
                .is_some_and(|entry| entry.revalidation_key == revalidation_key)
        })
    }

    /// Adds a key to the list of invalidated ones, once.
    fn queue(&mut self, number: u32) {
        let Some(entry) = self.revalidation_keys.get_mut(number) else {
            debug_assert!(false, "an invalidated key exists");
            return;
        };
        if core::mem::replace(&mut entry.is_queued, true) {
            return;
        }
        entry.next = NIL;
        match self.revalidation_keys.get_mut(self.invalidated.1) {
            Some(last) => last.next = number,
            None => self.invalidated.0 = number,
        }
        self.invalidated.1 = number;
    }

    /// Removes a key without flows, unless it is on the list of invalidated ones; the walk removes
    /// that later.
    fn drop_if_unused(&mut self, number: u32, quota: &mut TableQuota) {
        if let Some(entry) = self.revalidation_keys.get(number)
            && entry.flows == 0
            && !entry.is_queued
        {
            quota.give_back(REVALIDATION_KEYS, entry.tenant);
            self.index.remove(self.secret.hash_revalidation_key(entry.revalidation_key), number);
            self.revalidation_keys.remove(number);
        }
    }
}

impl Entry {
    const fn new(revalidation_key: RevalidationKey, tenant: Tenant) -> Self {
        Self {
            revalidation_key,
            tenant,
            generation: Generation(0),
            flows: 0,
            first: NIL,
            last: NIL,
            is_queued: false,
            next: NIL,
        }
    }
}

/// Gives the generation of the flow in a slot.
#[inline]
fn generation(details: &[Detail], slot: u32) -> Option<Generation> {
    details.get(slot as usize).map(|detail| detail.generation)
}

impl Slot for Entry {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.next
    }
}
