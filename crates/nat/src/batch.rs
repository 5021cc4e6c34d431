//! Many lookups at once.

use core::hint::black_box;

use vnetem_packet::FiveTuple;

use crate::index::Hash;
use crate::{FlowTable, Found, Time, Zone};

/// Keys that are looked up together. More than the processor can wait for at once brings nothing.
const STAGE: usize = 32;

impl<T: Copy> FlowTable<T> {
    /// [`find`](Self::find) for many packets: the same answers, several times sooner when the table is larger than the caches.
    ///
    /// The lookups of a batch go step by step together, so that the processor waits for all their cache lines at the same time: first the
    /// lines of the index, then those of the flows, then the comparisons. Keys beyond the shorter of the two slices are left alone.
    pub fn find_batch(&self, now: Time, keys: &[(Zone, FiveTuple)], found: &mut [Option<Found>]) {
        for (keys, found) in keys.chunks(STAGE).zip(found.chunks_mut(STAGE)) {
            let mut hashes = [Hash(0); STAGE];
            let mut read = 0;
            for (hash, (zone, tuple)) in hashes.iter_mut().zip(keys) {
                *hash = self.keys.hash(*zone, tuple);
                read |= self.index.read_ahead(*hash);
            }
            black_box(read);
            let mut slots = [0; STAGE];
            for (slot, hash) in slots.iter_mut().zip(&hashes).take(keys.len()) {
                *slot = self.index.candidate(*hash).map_or(0, |number| number >> 1);
            }
            let mut read = 0;
            for slot in slots.iter().take(keys.len()) {
                read |= self.records.get(*slot).map_or(0, |record| record.read_ahead());
            }
            black_box(read);
            for ((found, hash), (zone, tuple)) in found.iter_mut().zip(hashes).zip(keys) {
                *found = self
                    .lookup(hash, *zone, tuple)
                    .and_then(|(slot, side)| self.found(now, slot, side));
            }
        }
    }
}
