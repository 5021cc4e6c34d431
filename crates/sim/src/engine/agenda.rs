//! Who has something to do, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use vnetem_nat::Time;

/// Wakes numbered parties, each at one time of its own.
///
/// A party has at most one live entry in the heap. An entry that is too early is moved when it
/// comes to the top, so that a timer that is put off with every packet costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(Time, usize)>>,
    flow_ends: Vec<Party>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Party {
    /// When it has something to do.
    due: Option<Time>,
    /// Its live entry; all others of it are stale.
    armed: Option<Time>,
}

impl Agenda {
    /// Sets when a party has something to do next; with `None` it has nothing.
    pub(crate) fn set(&mut self, id: usize, due: Option<Time>) {
        if id >= self.flow_ends.len() {
            self.flow_ends.resize(id + 1, Party::default());
        }
        let Some(party) = self.flow_ends.get_mut(id) else { return };
        party.due = due;
        if let Some(due) = due
            && party.armed.is_none_or(|armed| due < armed)
        {
            party.armed = Some(due);
            self.heap.push(Reverse((due, id)));
        }
    }

    /// Returns when somebody has something to do next.
    pub(crate) fn next(&mut self) -> Option<Time> {
        loop {
            let &Reverse((at, id)) = self.heap.peek()?;
            let party = self.flow_ends.get_mut(id)?;
            if party.armed == Some(at) && party.due.is_some_and(|due| due <= at) {
                return Some(at);
            }
            self.heap.pop();
            if party.armed == Some(at) {
                party.armed = party.due;
                if let Some(due) = party.due {
                    self.heap.push(Reverse((due, id)));
                }
            }
        }
    }

    /// Takes somebody who has something to do by `now`.
    pub(crate) fn pop(&mut self, now: Time) -> Option<usize> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, id)) = self.heap.pop()?;
        if let Some(party) = self.flow_ends.get_mut(id) {
            *party = Party::default();
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_party_comes_first() {
        let mut agenda = Agenda::default();
        for (id, at) in [(0, 30), (1, 10), (2, 20)] {
            agenda.set(id, Some(Time(at)));
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop(Time(25))).collect();
        assert_eq!(order, [1, 2]);
        assert_eq!(agenda.next(), Some(Time(30)));
    }

    #[test]
    fn postponed_timer_has_one_entry() {
        let mut agenda = Agenda::default();
        for at in 10..1000 {
            agenda.set(0, Some(Time(at)));
        }
        assert_eq!(agenda.heap.len(), 1);
        assert_eq!(agenda.pop(Time(500)), None);
        assert_eq!(agenda.next(), Some(Time(999)));
    }

    #[test]
    fn earlier_time_and_none_replace() {
        let mut agenda = Agenda::default();
        agenda.set(0, Some(Time(10)));
        agenda.set(0, Some(Time(5)));
        assert_eq!(agenda.pop(Time(5)), Some(0));
        assert_eq!(agenda.next(), None);
        agenda.set(0, Some(Time(7)));
        agenda.set(0, None);
        assert_eq!(agenda.pop(Time(100)), None);
    }
}
