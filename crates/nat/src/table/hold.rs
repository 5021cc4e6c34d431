//! Hold-down of external tuples, outside the flow records (N-14, INV-hold-down-kept, T-11).

use vnetem_packet::Protocol;

use crate::mapping::port_bitmaps::PortBitmaps;
use crate::table::index::{Hash, Index};
use crate::table::key::{Key, Secret, Words};
use crate::table::links::{Linked, Links};
use crate::table::slab::{NIL, Slab, Slot};
use crate::table::wheel::Wheel;
use crate::table::{HELD_DOWN, TableQuota};
use crate::{Cause, State, Tenant};

/// A bounded set of tuples, each until its time.
///
/// A tenant without room releases early one of its own tuples that is nearly over; if none is
/// earlier, the new one. A shorter hold-down does less harm than a refused flow. No other tenant's
/// is shortened (INV-tenant-shares-hold).
pub(crate) struct Hold {
    tuples: Slab<Held>,
    /// The tenant charged for each, by the same numbers.
    tenants: Vec<Tenant>,
    index: Index,
    wheel: Wheel,
    released_early: u64,
    secret: Secret,
}

/// What changes together with a tuple in hold-down.
pub(crate) struct Beside<'a> {
    pub(crate) port_bitmaps: &'a mut PortBitmaps,
    pub(crate) quota: &'a mut TableQuota,
}

/// A tuple in hold-down: 32 bytes.
#[derive(Clone, Copy)]
struct Held {
    until: u64,
    words: Words,
    /// Place in the wheel. For an empty slot, the next empty one.
    previous: u32,
    /// The low bytes of a number below 2^24.
    next: [u8; 3],
    protocol: Protocol,
}

/// The kind of hold-down after a flow, in the order of [`HoldDown`](crate::HoldDown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fin,
    Reset,
    HalfOpen,
    Idle,
    Datagram,
}

impl Kind {
    pub(crate) const COUNT: usize = 5;

    /// Gives the kind for a flow that ends in a state by a cause.
    ///
    /// A finished connection keeps its kind whatever removes it. A connection that only one end has
    /// finished counts as idle.
    pub(crate) const fn of(protocol: Protocol, state: State, cause: Cause) -> Self {
        match (protocol, state, cause) {
            (Protocol::TCP, State::TimeWait, _) => Self::Fin,
            (Protocol::TCP, State::Close, _) => Self::Reset,
            (Protocol::TCP, State::LastAck, Cause::Fin) => Self::Fin,
            (Protocol::TCP, _, Cause::HalfOpen) => Self::HalfOpen,
            (Protocol::TCP, _, Cause::Idle | Cause::Fin) => Self::Idle,
            (Protocol::TCP, ..) => Self::Reset,
            _ => Self::Datagram,
        }
    }
}

impl Hold {
    /// Makes room for so many tuples, but fewer than 2^24.
    pub(crate) fn new(capacity: u32, secret: Secret) -> Self {
        let capacity = capacity.min(NO_NUMBER);
        Self {
            tuples: Slab::new(capacity),
            tenants: Vec::with_capacity(capacity as usize),
            index: Index::new(capacity),
            wheel: Wheel::new(),
            released_early: 0,
            secret,
        }
    }

    /// Says whether the external key of a flow is in hold-down.
    #[inline]
    pub(crate) fn holds(&self, now: u64, hash: Hash, key: &Key) -> bool {
        let hold_down_times = |number| {
            self.tuples.get(number).is_some_and(|held| held.until > now && held.key() == *key)
        };
        self.tuples.live() != 0 && self.index.find(hash, hold_down_times).is_some()
    }

    /// Says whether the external key of a flow is still stored, even if its time is over.
    pub(crate) fn has(&self, hash: Hash, key: &Key) -> bool {
        let is_it = |number| self.tuples.get(number).is_some_and(|held| held.key() == *key);
        self.index.find(hash, is_it).is_some()
    }

    /// Gives a time before which no hold-down ends.
    #[inline]
    pub(crate) const fn next(&self) -> u64 {
        self.wheel.next()
    }

    /// Puts the external key of a tenant's ended flow into hold-down until then. `port_bitmaps`
    /// counts it as taken.
    pub(crate) fn add(
        &mut self,
        now: u64,
        until: u64,
        key: &Key,
        tenant: Tenant,
        beside: &mut Beside<'_>,
    ) {
        if until <= now {
            return beside.port_bitmaps.release(key);
        }
        if !beside.quota.has_room(HELD_DOWN, tenant) {
            self.released_early = self.released_early.saturating_add(1);
            let nearest = self.wheel.nearest().filter(|number| {
                let owner = self.tenant(*number);
                owner == tenant || beside.quota.is_over(HELD_DOWN, owner)
            });
            let Some(number) = nearest else { return beside.port_bitmaps.release(key) };
            self.wheel.remove(&mut self.tuples, number);
            self.release(number, beside);
        }
        let placed = self.place(until, key, tenant, false, beside.quota)
            || self.place_instead(until, key, tenant, beside)
            || self.place(until, key, tenant, true, beside.quota);
        if !placed {
            beside.port_bitmaps.release(key);
        }
    }

    /// Adds a tuple to the wheel and the index, if they have room.
    fn place(
        &mut self,
        until: u64,
        key: &Key,
        tenant: Tenant,
        strays: bool,
        quota: &mut TableQuota,
    ) -> bool {
        let held =
            Held { until, words: key.words, previous: NIL, next: [0; 3], protocol: key.protocol };
        let Some(number) = self.tuples.insert(held) else { return false };
        let hash = self.secret.hash(key);
        let placed = match strays {
            true => self.index.insert(hash, number),
            false => self.index.insert_near(hash, number),
        };
        if !placed {
            self.tuples.remove(number);
            return false;
        }
        match self.tenants.get_mut(number as usize) {
            Some(place) => *place = tenant,
            None => self.tenants.push(tenant),
        }
        quota.take(HELD_DOWN, tenant);
        self.wheel.insert(&mut self.tuples, number, until);
        true
    }

    /// Stores a key in place of an equal one whose time is over. Two buckets of the index have room
    /// for few equal keys.
    fn place_instead(
        &mut self,
        until: u64,
        key: &Key,
        tenant: Tenant,
        beside: &mut Beside<'_>,
    ) -> bool {
        let is_it = |number| self.tuples.get(number).is_some_and(|held| held.key() == *key);
        let Some(number) = self.index.find(self.secret.hash(key), is_it) else { return false };
        let until = until.max(self.tuples.get(number).map_or(0, |held| held.until));
        self.wheel.remove(&mut self.tuples, number);
        self.release(number, beside);
        self.place(until, key, tenant, true, beside.quota)
    }

    /// Releases tuples whose time is over in at most `budget` steps, and gives the steps taken.
    pub(crate) fn expire(&mut self, now: u64, budget: usize, beside: &mut Beside<'_>) -> usize {
        let mut work = 0_usize;
        while work < budget
            && let Some(number) = self.wheel.pop(&mut self.tuples, now)
        {
            work = work.saturating_add(1);
            match self.tuples.get(number) {
                Some(held) if held.until > now => {
                    let until = held.until;
                    self.wheel.insert(&mut self.tuples, number, until);
                }
                _ => self.release(number, beside),
            }
        }
        work
    }

    pub(crate) const fn live(&self) -> u32 {
        self.tuples.live()
    }

    pub(crate) const fn released_early(&self) -> u64 {
        self.released_early
    }

    /// Releases a tuple that is out of the wheel.
    fn release(&mut self, number: u32, beside: &mut Beside<'_>) {
        let Some(key) = self.tuples.get(number).map(Held::key) else {
            debug_assert!(false, "a tuple is released once");
            return;
        };
        let was_there = self.index.remove(self.secret.hash(&key), number);
        debug_assert!(was_there, "every tuple is in the index");
        self.tuples.remove(number);
        beside.port_bitmaps.release(&key);
        beside.quota.give_back(HELD_DOWN, self.tenant(number));
    }

    fn tenant(&self, number: u32) -> Tenant {
        self.tenants.get(number as usize).copied().unwrap_or_default()
    }
}

impl Held {
    fn key(&self) -> Key {
        Key { words: self.words, protocol: self.protocol }
    }
}

/// Stands for no number in three bytes.
const NO_NUMBER: u32 = 0xFF_FFFF;

impl Linked for Slab<Held> {
    fn links(&self, number: u32) -> Option<Links> {
        let held = self.get(number)?;
        let [low, middle, high] = held.next;
        let next = match u32::from_le_bytes([low, middle, high, 0]) {
            NO_NUMBER => NIL,
            next => next,
        };
        Some(Links { previous: held.previous, next })
    }

    fn set_links(&mut self, number: u32, links: Links) {
        self.set_previous(number, links.previous);
        self.set_next(number, links.next);
    }

    fn set_previous(&mut self, number: u32, previous: u32) {
        if let Some(held) = self.get_mut(number) {
            held.previous = previous;
        }
    }

    fn set_next(&mut self, number: u32, next: u32) {
        let [low, middle, high, _] = next.to_le_bytes();
        if let Some(held) = self.get_mut(number) {
            held.next = [low, middle, high];
        }
    }
}

impl Slot for Held {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.previous
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_held_tuple_takes_32_bytes() {
        assert_eq!(size_of::<super::Held>(), 32);
    }
}
