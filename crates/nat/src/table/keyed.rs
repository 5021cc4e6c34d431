//! Numbered values that are found by a key.

use crate::table::index::Index;
use crate::table::key::{Key, Secret};
use crate::table::slab::{NIL, Slab, Slot};

/// At most `capacity` values by key. It allocates all memory at the start.
pub(crate) struct Keyed<V> {
    slots: Slab<Entry<V>>,
    index: Index,
    secret: Secret,
}

struct Entry<V> {
    key: Key,
    value: V,
    next: u32,
    is_live: bool,
}

impl<V> Keyed<V> {
    pub(crate) fn new(capacity: u32, secret: Secret) -> Self {
        Self { slots: Slab::new(capacity), index: Index::new(capacity), secret }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.live() == 0
    }

    /// Gives the number of slots ever used. All numbers are below it.
    pub(crate) fn used(&self) -> u32 {
        self.slots.used()
    }

    #[inline]
    pub(crate) fn find(&self, key: &Key) -> Option<u32> {
        if self.is_empty() { None } else { self.look_up(key) }
    }

    fn look_up(&self, key: &Key) -> Option<u32> {
        self.index.find(self.secret.hash(key), |number| self.key(number) == Some(*key))
    }

    pub(crate) fn get(&self, number: u32) -> Option<&V> {
        self.slots.get(number).filter(|entry| entry.is_live).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut V> {
        self.slots.get_mut(number).filter(|entry| entry.is_live).map(|entry| &mut entry.value)
    }

    pub(crate) fn key(&self, number: u32) -> Option<Key> {
        self.slots.get(number).filter(|entry| entry.is_live).map(|entry| entry.key)
    }

    /// Gives the number of a key, and adds the key with this value if it is new; `None` if there is
    /// no room.
    pub(crate) fn find_or_insert(&mut self, key: Key, value: V) -> Option<u32> {
        if let Some(number) = self.find(&key) {
            return Some(number);
        }
        let number = self.slots.insert(Entry { key, value, next: NIL, is_live: true })?;
        if !self.index.insert(self.secret.hash(&key), number) {
            self.forget(number);
            return None;
        }
        Some(number)
    }

    pub(crate) fn remove(&mut self, number: u32) {
        let Some(key) = self.key(number) else {
            debug_assert!(false, "a value is removed once");
            return;
        };
        let was_there = self.index.remove(self.secret.hash(&key), number);
        debug_assert!(was_there, "every value is in the index");
        self.forget(number);
    }

    fn forget(&mut self, number: u32) {
        if let Some(entry) = self.slots.get_mut(number) {
            entry.is_live = false;
        }
        self.slots.remove(number);
    }
}

impl<V> Slot for Entry<V> {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.next
    }
}
