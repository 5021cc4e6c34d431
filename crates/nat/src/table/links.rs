//! Places in doubly linked lists.

use crate::table::slab::NIL;

/// A place in a doubly linked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) previous: u32,
    pub(crate) next: u32,
}

/// Entries that a wheel can link by number.
pub(crate) trait Linked {
    fn links(&self, number: u32) -> Option<Links>;

    fn set_links(&mut self, number: u32, links: Links);

    /// Sets the link to the previous entry; ignores an entry that does not exist.
    fn set_previous(&mut self, number: u32, previous: u32);

    /// Sets the link to the next entry; ignores an entry that does not exist.
    fn set_next(&mut self, number: u32, next: u32);
}

/// Two list places for every flow: in the timer wheel, and among the flows of its revalidation key.
/// They are outside the records, since packets do not read them.
pub(crate) struct Chains(Vec<Chained>);

#[derive(Clone, Copy)]
struct Chained {
    timer: Links,
    sibling: Links,
}

impl Chains {
    pub(crate) fn new(capacity: u32) -> Self {
        Self(Vec::with_capacity(capacity as usize))
    }

    /// Gives the place among the flows of a revalidation key.
    pub(crate) fn sibling(&self, number: u32) -> Option<&Links> {
        self.0.get(number as usize).map(|chained| &chained.sibling)
    }

    pub(crate) fn sibling_mut(&mut self, number: u32) -> Option<&mut Links> {
        self.0.get_mut(number as usize).map(|chained| &mut chained.sibling)
    }
}

/// The places in the timer wheel. A new number must be the next one.
impl Linked for Chains {
    fn links(&self, number: u32) -> Option<Links> {
        self.0.get(number as usize).map(|chained| chained.timer)
    }

    fn set_links(&mut self, number: u32, timer: Links) {
        match self.0.get_mut(number as usize) {
            Some(chained) => chained.timer = timer,
            None => self.0.push(Chained { timer, sibling: Links { previous: NIL, next: NIL } }),
        }
    }

    fn set_previous(&mut self, number: u32, previous: u32) {
        if let Some(chained) = self.0.get_mut(number as usize) {
            chained.timer.previous = previous;
        }
    }

    fn set_next(&mut self, number: u32, next: u32) {
        if let Some(chained) = self.0.get_mut(number as usize) {
            chained.timer.next = next;
        }
    }
}
