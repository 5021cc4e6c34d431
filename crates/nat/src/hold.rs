//! Hold-down: external tuples that rest after their flow, outside of the flow records (N-14, N10, T-11).

use vnetem_packet::Protocol;

use crate::index::{Hash, Index};
use crate::key::{Key, Secret, Words};
use crate::settings::HoldDown;
use crate::slab::{NIL, Slab, Slot};
use crate::time::nanoseconds;
use crate::{Cause, State};

/// A bounded set of tuples, each until its time. When it is full, the tuple whose time is nearest is given free early: a shorter rest
/// harms less than a refused flow, which one busy tenant could cause for all (I3).
pub(crate) struct Hold {
    tuples: Slab<Held>,
    index: Index,
    /// One for each kind of rest: all in a queue rest equally long, so the first is the first to be free.
    queues: [Queue; KINDS],
    released_early: u64,
    secret: Secret,
}

/// Thirty-two bytes.
#[derive(Clone, Copy)]
struct Held {
    until: u64,
    words: Words,
    next: u32,
    protocol: Protocol,
}

struct Queue {
    rest: u64,
    first: u32,
    last: u32,
}

const KINDS: usize = 5;

/// What kind of rest follows a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fin,
    Reset,
    HalfOpen,
    Idle,
    Datagram,
}

impl Kind {
    /// The kind for a flow that ends in a state by a cause. What is left of a finished connection rests as such whatever removes it.
    pub(crate) const fn of(protocol: Protocol, state: State, cause: Cause) -> Self {
        match (protocol, state, cause) {
            (Protocol::TCP, State::TimeWait, _) => Self::Fin,
            (Protocol::TCP, State::Close, _) => Self::Reset,
            (Protocol::TCP, _, Cause::Fin) => Self::Fin,
            (Protocol::TCP, _, Cause::HalfOpen) => Self::HalfOpen,
            (Protocol::TCP, _, Cause::Idle) => Self::Idle,
            (Protocol::TCP, ..) => Self::Reset,
            _ => Self::Datagram,
        }
    }
}

impl Hold {
    pub(crate) fn new(capacity: u32, rests: &HoldDown, secret: Secret) -> Self {
        let rests = [rests.fin, rests.reset, rests.half_open, rests.idle, rests.datagram];
        let queue = |rest| Queue { rest: nanoseconds(rest), first: NIL, last: NIL };
        Self {
            tuples: Slab::new(capacity),
            index: Index::new(capacity),
            queues: rests.map(queue),
            released_early: 0,
            secret,
        }
    }

    /// Until when the tuple of a flow rests that ended at `ended`.
    pub(crate) fn until(&self, kind: Kind, ended: u64) -> u64 {
        self.queues.get(kind as usize).map_or(ended, |queue| ended.saturating_add(queue.rest))
    }

    /// Whether the outside key of a flow rests.
    #[inline]
    pub(crate) fn holds(&self, now: u64, hash: Hash, key: &Key) -> bool {
        let rests = |number| {
            self.tuples.get(number).is_some_and(|held| held.until > now && held.key() == *key)
        };
        self.tuples.live() != 0 && self.index.find(hash, rests).is_some()
    }

    /// Lets the outside key of a flow that ended rest.
    pub(crate) fn add(&mut self, now: u64, ended: u64, kind: Kind, key: &Key) {
        let until = self.until(kind, ended);
        if until <= now {
            return;
        }
        if self.tuples.is_full() && self.release_first() {
            self.released_early = self.released_early.saturating_add(1);
        }
        let held = Held { until, words: key.words, next: NIL, protocol: key.protocol };
        let Some(number) = self.tuples.insert(held) else { return };
        if !self.index.insert(self.secret.hash(key), number) {
            self.tuples.remove(number);
            return;
        }
        let Some(queue) = self.queues.get_mut(kind as usize) else { return };
        match self.tuples.get_mut(queue.last) {
            Some(last) => last.next = number,
            None => queue.first = number,
        }
        queue.last = number;
    }

    /// Gives free what has rested, at most `budget` tuples; says how many.
    pub(crate) fn expire(&mut self, now: u64, budget: usize) -> usize {
        let mut released = 0;
        for kind in 0..KINDS {
            while released < budget
                && let Some(first) = self.first(kind)
                && first.until <= now
                && self.release(kind)
            {
                released = released.saturating_add(1);
            }
        }
        released
    }

    pub(crate) const fn live(&self) -> u32 {
        self.tuples.live()
    }

    pub(crate) const fn released_early(&self) -> u64 {
        self.released_early
    }

    fn first(&self, kind: usize) -> Option<&Held> {
        self.queues.get(kind).and_then(|queue| self.tuples.get(queue.first))
    }

    /// Gives free the tuple whose time is nearest.
    fn release_first(&mut self) -> bool {
        let nearest = (0..KINDS).filter_map(|kind| Some((self.first(kind)?.until, kind))).min();
        nearest.is_some_and(|(_, kind)| self.release(kind))
    }

    fn release(&mut self, kind: usize) -> bool {
        let Some(queue) = self.queues.get_mut(kind) else { return false };
        let number = queue.first;
        let Some(held) = self.tuples.get(number) else { return false };
        queue.first = held.next;
        if queue.first == NIL {
            queue.last = NIL;
        }
        let hash = self.secret.hash(&held.key());
        self.index.remove(hash, number);
        self.tuples.remove(number);
        true
    }
}

impl Held {
    fn key(&self) -> Key {
        Key { words: self.words, protocol: self.protocol }
    }
}

impl Slot for Held {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.next
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_held_tuple_takes_32_bytes() {
        assert_eq!(size_of::<super::Held>(), 32);
    }
}
