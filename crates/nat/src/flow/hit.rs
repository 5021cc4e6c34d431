//! The hit: a packet of a live flow, which is nearly every packet. Alone, or many looked up
//! together.

use core::hint::{black_box, select_unpredictable};
use core::net::SocketAddrV4;

use vnetem_packet::{AddressPair, FiveTuple, Protocol, TcpFlags, TcpSegment};

use crate::flow::tcp::is_plain;
use crate::table::index::Hash;
use crate::table::key::Key;
use crate::table::{deadline, side_of};
use crate::{FlowTable, Found, Side, State, Time, Zone};

/// A packet of a live flow, taken note of: all that is needed to send it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<T> {
    /// The side from which the packet comes.
    pub side: Side,
    /// Which side opened the flow.
    pub initiator: Side,
    /// The ends with which the packet goes on.
    pub ends: AddressPair,
    /// The inside end.
    pub internal: SocketAddrV4,
    /// The same as the outside knows it.
    pub external: SocketAddrV4,
    /// What the caller decided when the flow opened or was revalidated.
    pub cached: T,
}

/// A lookup under way: made by [`FlowTable::prepare_lookup`], and by [`FlowTable::look_ahead`]
/// brought to where only the comparison is left.  It may be used at any later time: what it knows
/// is where to look first, and no answer depends on that.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    key: Key,
    hash: Hash,
    /// The key's number if the index was asked, right or wrong.
    number: u32,
}

/// Flags that begin or end a connection.
const RARE: u8 = TcpFlags::SYN.0 | TcpFlags::RST.0;

/// The number of no key.
const NOWHERE: u32 = u32::MAX;

impl<T: Copy> FlowTable<T> {
    /// Begins a lookup of a packet with these ends that came in by this zone.
    #[must_use]
    #[inline]
    pub fn prepare_lookup(&self, zone: Zone, ends: AddressPair, protocol: Protocol) -> Lookup {
        let key = Key::of(zone, ends, protocol);
        Lookup { key, hash: self.secret.hash(&key), number: NOWHERE }
    }

    /// Moves many lookups forward together, so that the processor waits for all their cache lines
    /// at the same time: first the lines of the index, then those of the flows. Several times
    /// sooner than one after the other when the table is larger than the caches; 32 at once are
    /// enough.
    #[inline]
    pub fn look_ahead(&self, lookups: &mut [Lookup]) {
        // Loops that do nothing but read: the shorter they are, the more of them the processor has
        // under way.
        let mut read = 0;
        for lookup in lookups.iter() {
            read |= self.index.read_ahead(lookup.hash);
        }
        black_box(read);
        for lookup in lookups.iter_mut() {
            lookup.number = self.index.candidate(lookup.hash);
        }
        let mut read = 0;
        for lookup in lookups.iter() {
            let slot = lookup.number >> 1;
            read |= self.records.get(slot).map_or(0, |record| record.read_ahead());
            if lookup.key.protocol == Protocol::TCP {
                read |= self.details.get(slot as usize).map_or(0, |detail| detail.stamp);
            }
        }
        black_box(read);
    }

    /// The part of [`look_ahead`](Self::look_ahead) that a single lookup needs.
    #[inline(always)]
    pub fn look(&self, lookup: &mut Lookup) {
        lookup.number = self.index.candidate(lookup.hash);
    }

    /// Records a packet of a live flow whose cached decision is current, as
    /// [`track`](Self::track) does, and says how it leaves.
    ///
    /// Returns `None` and changes no flow in these cases: there is no live flow, a change made it
    /// stale, it does not `fit`, or the packet is a SYN, an RST or invalid. `fit` gets the cached
    /// decision, and whether the initiator sent the packet. [`find`](Self::find) then says more.
    #[inline(always)] // as a call it returns its result through memory
    pub fn hit(
        &mut self,
        now: Time,
        lookup: &Lookup,
        segment: impl FnOnce() -> Option<TcpSegment>,
        length: u16,
        fits: impl FnOnce(&T, bool) -> bool,
    ) -> Option<Hit<T>> {
        let now = self.advance(now);
        let (mut slot, mut side) = lookup.candidate();
        // Looked at once; most candidates are right.
        let record = match self.records.get_mut(slot) {
            Some(record) if record.is_at(side, &lookup.key) => record,
            _ => {
                (slot, side) = self.locate_otherwise(lookup)?;
                self.records.get_mut(slot)?
            }
        };
        let (state, initiator) = (record.state, record.initiator());
        if state.is_tombstone()
            || deadline(&self.clocks, record) <= now
            || self.revalidation_keys.is_stale(&self.details, record.revalidation_key(), slot)
            || !fits(&record.cached, side == initiator)
        {
            return None;
        }
        let record = if lookup.key.protocol == Protocol::TCP {
            let segment = segment()?;
            if state == State::Established && is_plain(segment.flags) {
                let detail = self.details.get_mut(slot as usize)?;
                if !record.connection(detail).continues(side, &segment) {
                    return None;
                }
                record.last = now;
                record.count(|| self.totals.get_mut(slot as usize), side, length);
                record
            } else {
                self.note_otherwise(now, slot, side, Some(&segment), length)?;
                self.records.get_mut(slot)?
            }
        // One condition: the processor cannot predict a branch on the side alone.
        } else if black_box(state == State::OneWay && side != initiator) {
            self.note_otherwise(now, slot, side, None, length)?;
            self.records.get_mut(slot)?
        } else {
            let refreshes = self.settings.inbound_refreshes | (side == Side::Internal);
            record.last = select_unpredictable(refreshes, now, record.last);
            record.count(|| self.totals.get_mut(slot as usize), side, length);
            record
        };
        Some(Hit {
            side,
            initiator,
            ends: record.new_ends(side),
            internal: record.internal(),
            external: record.external(),
            cached: record.cached,
        })
    }

    /// Records a packet that changes the state of its flow. `None`, and nothing changes, for a SYN,
    /// an RST and an invalid segment. A call of its own, so that the plain hit stays in registers.
    #[inline(never)]
    fn note_otherwise(
        &mut self,
        now: u64,
        slot: u32,
        side: Side,
        segment: Option<&TcpSegment>,
        length: u16,
    ) -> Option<()> {
        if segment.is_some_and(|segment| segment.flags.0 & RARE != 0) {
            return None;
        }
        let followed = self.follow_slot(slot, side, segment, || None, length)?;
        self.write(now, &followed);
        Some(())
    }

    /// [`find`](Self::find) for many packets: the same answers, sooner. Keys beyond the shorter of
    /// the two slices are left alone.
    pub fn find_batch(&self, now: Time, keys: &[(Zone, FiveTuple)], found: &mut [Option<Found>]) {
        const STAGE: usize = 32;
        for (keys, found) in keys.chunks(STAGE).zip(found.chunks_mut(STAGE)) {
            let mut lookups = [Lookup::default(); STAGE];
            for (lookup, (zone, tuple)) in lookups.iter_mut().zip(keys) {
                let ends = AddressPair::new(tuple.source, tuple.destination);
                *lookup = self.prepare_lookup(*zone, ends, tuple.protocol);
            }
            let lookups = lookups.get_mut(..keys.len()).unwrap_or_default();
            self.look_ahead(lookups);
            for (found, lookup) in found.iter_mut().zip(lookups) {
                *found = self.locate(lookup).and_then(|(slot, side)| self.found(now, slot, side));
            }
        }
    }

    /// The end of a lookup.
    #[inline]
    fn locate(&self, lookup: &Lookup) -> Option<(u32, Side)> {
        let (slot, side) = lookup.candidate();
        match self.records.get(slot) {
            Some(record) if record.is_at(side, &lookup.key) => Some((slot, side)),
            _ => self.locate_otherwise(lookup),
        }
    }

    #[cold]
    fn locate_otherwise(&self, lookup: &Lookup) -> Option<(u32, Side)> {
        self.lookup(lookup.hash, &lookup.key)
    }
}

impl Lookup {
    /// Where the key is, if its number is right.
    #[inline(always)]
    const fn candidate(&self) -> (u32, Side) {
        (self.number >> 1, side_of(self.number))
    }
}

/// Looks nowhere.
impl Default for Lookup {
    fn default() -> Self {
        let key = Key { words: [0; 2], protocol: Protocol(0) };
        Self { key, hash: Hash(0), number: NOWHERE }
    }
}
