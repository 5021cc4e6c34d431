//! The hit: a packet of a live flow, which is nearly every packet. Alone, or many looked up together.

use core::hint::{black_box, select_unpredictable};
use core::net::SocketAddrV4;

use vnetem_packet::{Ends, FiveTuple, Protocol, TcpFlags, TcpSegment};

use crate::flow::tcp::is_plain;
use crate::table::index::Hash;
use crate::table::key::Key;
use crate::table::{deadline, side_of};
use crate::{FlowTable, Found, Side, State, Time, Track, Zone};

/// A packet of a live flow, taken note of: all that is needed to send it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<T> {
    /// The side from which the packet comes.
    pub side: Side,
    /// Which side opened the flow.
    pub opener: Side,
    /// The ends with which the packet goes on.
    pub ends: Ends,
    /// The inside end.
    pub inside: SocketAddrV4,
    /// The same as the outside knows it.
    pub external: SocketAddrV4,
    /// What the caller decided when the flow was judged.
    pub judgement: T,
}

/// A lookup under way: made by [`FlowTable::probe`], and by [`FlowTable::look_ahead`] brought to where only the comparison is left.
///
/// It may be used at any later time: what it knows is where to look first, and no answer depends on that.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
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
    pub fn probe(&self, zone: Zone, ends: Ends, protocol: Protocol) -> Probe {
        let key = Key::of(zone, ends, protocol);
        Probe { key, hash: self.secret.hash(&key), number: NOWHERE }
    }

    /// Moves many lookups forward together, so that the processor waits for all their cache lines at the same time: first the lines of
    /// the index, then those of the flows. Several times sooner than one after the other when the table is larger than the caches; 32
    /// at once are enough.
    #[inline]
    pub fn look_ahead(&self, probes: &mut [Probe]) {
        // Loops that do nothing but read: the shorter they are, the more of them the processor has under way.
        let mut read = 0;
        for probe in probes.iter() {
            read |= self.index.read_ahead(probe.hash);
        }
        black_box(read);
        for probe in probes.iter_mut() {
            probe.number = self.index.candidate(probe.hash);
        }
        let mut read = 0;
        for probe in probes.iter() {
            let slot = probe.number >> 1;
            read |= self.records.get(slot).map_or(0, |record| record.read_ahead());
            if probe.key.protocol == Protocol::TCP {
                read |= self.details.get(slot as usize).map_or(0, |detail| detail.stamp);
            }
        }
        black_box(read);
    }

    /// The part of [`look_ahead`](Self::look_ahead) that a single lookup needs.
    #[inline(always)]
    pub fn look(&self, probe: &mut Probe) {
        probe.number = self.index.candidate(probe.hash);
    }

    /// A packet of a live flow whose judgement stands: takes note of it as [`track`](Self::track) does, and says how it goes on.
    ///
    /// `None`, and no flow has changed, if there is more to it: no live flow, one that a change has touched or that does not `fit`
    /// (which is asked the judgement, and whether the packet comes from the opener), a SYN, an RST, or a segment that is invalid.
    /// [`find`](Self::find) and the rest then tell.
    #[inline(always)] // as a call, what it tells goes through memory
    pub fn hit(
        &mut self,
        now: Time,
        probe: &Probe,
        segment: impl FnOnce() -> Option<TcpSegment>,
        length: u16,
        fits: impl FnOnce(&T, bool) -> bool,
    ) -> Option<Hit<T>> {
        let now = self.advance(now);
        let (mut slot, mut side) = probe.candidate();
        // Looked at once; most candidates are right.
        let record = match self.records.get_mut(slot) {
            Some(record) if record.is_at(side, &probe.key) => record,
            _ => {
                (slot, side) = self.locate_otherwise(probe)?;
                self.records.get_mut(slot)?
            }
        };
        let (state, opener) = (record.state, record.opener());
        if state.is_tombstone()
            || deadline(&self.clocks, record) <= now
            || self.cells.is_stale(&self.details, record.cell(), slot)
            || !fits(&record.judgement, side == opener)
        {
            return None;
        }
        let record = if probe.key.protocol == Protocol::TCP {
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
        // One question, lest the side be asked first, which nobody can guess.
        } else if black_box(state == State::OneWay && side != opener) {
            self.note_otherwise(now, slot, side, None, length)?;
            self.records.get_mut(slot)?
        } else {
            let refreshes = self.settings.inbound_refreshes | (side == Side::Inside);
            record.last = select_unpredictable(refreshes, now, record.last);
            record.count(|| self.totals.get_mut(slot as usize), side, length);
            record
        };
        Some(Hit {
            side,
            opener,
            ends: record.new_ends(side),
            inside: record.inside(),
            external: record.external(),
            judgement: record.judgement,
        })
    }

    /// Takes note of a packet that changes the state of its flow; nothing if it is for others to do. What is more than that would go
    /// through memory.
    #[inline(never)]
    fn note_otherwise(
        &mut self,
        now: u64,
        slot: u32,
        side: Side,
        segment: Option<&TcpSegment>,
        length: u16,
    ) -> Option<()> {
        let is_rare = segment.is_some_and(|segment| segment.flags.0 & RARE != 0);
        let mut track = || self.note(now, slot, side, segment, || None, length);
        (!is_rare && track() == Track::Pass).then_some(())
    }

    /// [`find`](Self::find) for many packets: the same answers, sooner. Keys beyond the shorter of the two slices are left alone.
    pub fn find_batch(&self, now: Time, keys: &[(Zone, FiveTuple)], found: &mut [Option<Found>]) {
        const STAGE: usize = 32;
        for (keys, found) in keys.chunks(STAGE).zip(found.chunks_mut(STAGE)) {
            let mut probes = [Probe::default(); STAGE];
            for (probe, (zone, tuple)) in probes.iter_mut().zip(keys) {
                let ends = Ends::new(tuple.source, tuple.destination);
                *probe = self.probe(*zone, ends, tuple.protocol);
            }
            let probes = probes.get_mut(..keys.len()).unwrap_or_default();
            self.look_ahead(probes);
            for (found, probe) in found.iter_mut().zip(probes) {
                *found = self.locate(probe).and_then(|(slot, side)| self.found(now, slot, side));
            }
        }
    }

    /// The end of a lookup.
    #[inline]
    fn locate(&self, probe: &Probe) -> Option<(u32, Side)> {
        let (slot, side) = probe.candidate();
        match self.records.get(slot) {
            Some(record) if record.is_at(side, &probe.key) => Some((slot, side)),
            _ => self.locate_otherwise(probe),
        }
    }

    #[cold]
    fn locate_otherwise(&self, probe: &Probe) -> Option<(u32, Side)> {
        self.lookup(probe.hash, &probe.key)
    }
}

impl Probe {
    /// Where the key is, if its number is right.
    #[inline(always)]
    const fn candidate(&self) -> (u32, Side) {
        (self.number >> 1, side_of(self.number))
    }
}

/// Looks nowhere.
impl Default for Probe {
    fn default() -> Self {
        let key = Key { words: [0; 2], protocol: Protocol(0) };
        Self { key, hash: Hash(0), number: NOWHERE }
    }
}
