//! Hold-down: external tuples that rest after their flow, outside of the flow records (N-14, N10, T-11).

use vnetem_packet::Protocol;

use crate::crowds::Crowds;
use crate::index::{Hash, Index};
use crate::key::{Key, Secret, Words};
use crate::links::{Linked, Links};
use crate::slab::{NIL, Slab, Slot};
use crate::wheel::Wheel;
use crate::{Cause, State};

/// A bounded set of tuples, each until its time. When it is full, one of those whose time is nearest is given free early: a shorter rest
/// harms less than a refused flow, which one busy tenant could cause for all (I3).
pub(crate) struct Hold {
    tuples: Slab<Held>,
    index: Index,
    wheel: Wheel,
    released_early: u64,
    secret: Secret,
}

/// Thirty-two bytes.
#[derive(Clone, Copy)]
struct Held {
    until: u64,
    words: Words,
    /// Place in the wheel; the next free slot where there is no tuple.
    previous: u32,
    /// The low bytes of a number, which is below 2^24.
    next: [u8; 3],
    protocol: Protocol,
}

/// What kind of rest follows a flow, in the order of [`HoldDown`](crate::HoldDown).
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

    /// The kind for a flow that ends in a state by a cause. What is left of a finished connection
    /// rests as such whatever removes it. One that only one end has finished went silent.
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
    /// Room for so many tuples, but fewer than 2^24.
    pub(crate) fn new(capacity: u32, secret: Secret) -> Self {
        let capacity = capacity.min(NO_NUMBER);
        Self {
            tuples: Slab::new(capacity),
            index: Index::new(capacity),
            wheel: Wheel::new(),
            released_early: 0,
            secret,
        }
    }

    /// Whether the outside key of a flow rests.
    #[inline]
    pub(crate) fn holds(&self, now: u64, hash: Hash, key: &Key) -> bool {
        let rests = |number| {
            self.tuples.get(number).is_some_and(|held| held.until > now && held.key() == *key)
        };
        self.tuples.live() != 0 && self.index.find(hash, rests).is_some()
    }

    /// Whether the outside key of a flow is here, though it may have rested.
    pub(crate) fn has(&self, hash: Hash, key: &Key) -> bool {
        let is_it = |number| self.tuples.get(number).is_some_and(|held| held.key() == *key);
        self.index.find(hash, is_it).is_some()
    }

    /// A time before which nothing has rested.
    #[inline]
    pub(crate) const fn next(&self) -> u64 {
        self.wheel.next()
    }

    /// Lets the outside key of a flow that ended rest until then, which `crowds` counts as taken.
    pub(crate) fn add(&mut self, now: u64, until: u64, key: &Key, crowds: &mut Crowds) {
        if until <= now {
            return crowds.release(key);
        }
        if self.tuples.is_full()
            && let Some(number) = self.wheel.nearest()
        {
            self.wheel.remove(&mut self.tuples, number);
            self.release(number, crowds);
            self.released_early = self.released_early.saturating_add(1);
        }
        if !self.place(until, key) && !self.place_instead(until, key, crowds) {
            crowds.release(key);
        }
    }

    /// Puts a tuple into the wheel and the index, if they have room.
    fn place(&mut self, until: u64, key: &Key) -> bool {
        let held =
            Held { until, words: key.words, previous: NIL, next: [0; 3], protocol: key.protocol };
        let Some(number) = self.tuples.insert(held) else { return false };
        if !self.index.insert(self.secret.hash(key), number) {
            self.tuples.remove(number);
            return false;
        }
        self.wheel.insert(&mut self.tuples, number, until);
        true
    }

    /// The index has room for few keys that are the same: one that has rested and was not removed yet gives way.
    fn place_instead(&mut self, until: u64, key: &Key, crowds: &mut Crowds) -> bool {
        let is_it = |number| self.tuples.get(number).is_some_and(|held| held.key() == *key);
        let Some(number) = self.index.find(self.secret.hash(key), is_it) else { return false };
        let until = until.max(self.tuples.get(number).map_or(0, |held| held.until));
        self.wheel.remove(&mut self.tuples, number);
        self.release(number, crowds);
        self.place(until, key)
    }

    /// Gives free what has rested, in at most `budget` steps; says how many it took.
    pub(crate) fn expire(&mut self, now: u64, budget: usize, crowds: &mut Crowds) -> usize {
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
                _ => self.release(number, crowds),
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

    /// Gives free a tuple that is out of the wheel.
    fn release(&mut self, number: u32, crowds: &mut Crowds) {
        let Some(key) = self.tuples.get(number).map(Held::key) else { return };
        self.index.remove(self.secret.hash(&key), number);
        self.tuples.remove(number);
        crowds.release(&key);
    }
}

impl Held {
    fn key(&self) -> Key {
        Key { words: self.words, protocol: self.protocol }
    }
}

/// What stands for no number in three bytes.
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
