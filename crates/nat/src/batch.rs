//! Many lookups at once.

use core::hint::black_box;

use vnetem_packet::{FiveTuple, Protocol};

use crate::index::Hash;
use crate::key::Key;
use crate::table::side_of;
use crate::{FlowTable, Found, Side, Time, Zone};

/// Keys that are looked up together. More than the processor can wait for at once brings nothing.
const STAGE: usize = 32;

/// A lookup under way.
#[derive(Clone, Copy)]
struct Probe {
    key: Key,
    hash: Hash,
    /// What the index says first, right or wrong.
    number: u32,
}

impl<T: Copy> FlowTable<T> {
    /// [`find`](Self::find) for many packets: the same answers, several times sooner when the table is larger than the caches.
    ///
    /// The lookups of a batch go step by step together, so that the processor waits for all their cache lines at the same time: first the
    /// lines of the index, then those of the flows, then the comparisons. Keys beyond the shorter of the two slices are left alone.
    pub fn find_batch(&self, now: Time, keys: &[(Zone, FiveTuple)], found: &mut [Option<Found>]) {
        for (keys, found) in keys.chunks(STAGE).zip(found.chunks_mut(STAGE)) {
            let mut probes = [Probe::NONE; STAGE];
            for (probe, (zone, tuple)) in probes.iter_mut().zip(keys) {
                probe.key = Key::new(*zone, tuple);
                probe.hash = self.secret.hash(&probe.key);
            }
            // Loops that do nothing but read: the shorter they are, the more of them the processor has under way.
            let mut read = 0;
            for probe in probes.iter().take(keys.len()) {
                read |= self.index.read_ahead(probe.hash);
            }
            black_box(read);
            for probe in probes.iter_mut().take(keys.len()) {
                probe.number = self.index.candidate(probe.hash);
            }
            let mut read = 0;
            for probe in probes.iter().take(keys.len()) {
                read |= self.records.get(probe.number >> 1).map_or(0, |record| record.read_ahead());
            }
            black_box(read);
            for (found, probe) in found.iter_mut().zip(&probes).take(keys.len()) {
                *found = self.probe(probe).and_then(|(slot, side)| self.found(now, slot, side));
            }
        }
    }

    /// The end of a lookup: most candidates are right.
    #[inline]
    fn probe(&self, probe: &Probe) -> Option<(u32, Side)> {
        let (slot, side) = (probe.number >> 1, side_of(probe.number));
        match self.records.get(slot) {
            Some(record) if record.has_key(side, &probe.key) => Some((slot, side)),
            _ => self.lookup(probe.hash, &probe.key),
        }
    }
}

impl Probe {
    const NONE: Self =
        Self { key: Key { words: [0; 2], protocol: Protocol(0) }, hash: Hash(0), number: 0 };
}
