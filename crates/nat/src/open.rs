//! Opening flows.

use vnetem_packet::{FiveTuple, Headers, tcp_options};

use crate::detail::{Detail, Totals};
use crate::index::Hash;
use crate::key::Key;
use crate::record::Record;
use crate::shares::Unshared;
use crate::sharing::whole;
use crate::slab::NIL;
use crate::table::number;
use crate::track::segment_of;
use crate::{
    Block, Cell, Closing, Ended, FlowId, FlowTable, Inbound, NewFlow, OpenError, Side, Time, Zone,
};

/// A flow that may be opened, as [`FlowTable::may_open`] found: what [`FlowTable::enter`] need not ask again.
///
/// It may be used at any later time: if anything has happened to the table meanwhile, `enter` does ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<T> {
    new: NewFlow<T>,
    /// Of its keys.
    hashes: [Hash; 2],
    /// The slots of flows that it takes the place of, past their deadline or over.
    replaced: [u32; 2],
    /// When it was found so.
    at: u64,
    changes: u64,
}

/// What a new flow will be found by, from the inside and the outside.
#[derive(Clone, Copy)]
struct Names {
    keys: [Key; 2],
    hashes: [Hash; 2],
    /// Its external tuple is nobody else's in any case.
    alone: bool,
}

impl<T: Copy> Opening<T> {
    /// The flow.
    #[must_use]
    #[inline]
    pub const fn flow(&self) -> &NewFlow<T> {
        &self.new
    }

    /// Flows that give way to it.
    #[must_use]
    pub fn replaces(&self) -> u32 {
        self.replaced.iter().map(|slot| u32::from(*slot != NIL)).sum()
    }
}

impl<T: Copy> FlowTable<T> {
    /// Whether a flow may be opened.
    ///
    /// # Errors
    ///
    /// [`OpenError::TupleInUse`] if one of the two keys belongs to another flow, if they are the same, or if the external tuple is in
    /// hold-down; [`OpenError::TableFull`] if there is no room.
    #[inline]
    pub fn may_open(&self, now: Time, new: NewFlow<T>) -> Result<Opening<T>, OpenError> {
        let at = self.at(now);
        let (hashes, replaced) = self.replaced_by(at, &new)?;
        Ok(Opening { new, hashes, replaced, at, changes: self.changes })
    }

    /// [`may_open`](Self::may_open) and [`enter`](Self::enter) at once, for callers that do not ask which flows gave way.
    ///
    /// # Errors
    ///
    /// Those of `may_open`. Nothing has changed then.
    pub fn open(
        &mut self,
        now: Time,
        new: NewFlow<T>,
        first: &Headers,
        packet: &[u8],
    ) -> Result<FlowId, OpenError> {
        let opening = self.may_open(now, new)?;
        self.enter(now, &opening, first, packet, &mut |_| {})
    }

    /// Opens a flow with its first packet: both index entries, or none. TCP tracking starts with the segment, and the packet is counted,
    /// so it is not tracked again. Whether it may open a flow at all is the caller's to ask ([`opens`](crate::opens)).
    ///
    /// A tombstone, a reset or a finished connection of the same opener gives way (R9), and so does a flow past its deadline: they go to
    /// `sink`, as those that [`expire`](Self::expire) ends go to its own.
    ///
    /// # Errors
    ///
    /// Those of [`may_open`](Self::may_open). Nothing has changed then.
    pub fn enter(
        &mut self,
        now: Time,
        opening: &Opening<T>,
        first: &Headers,
        packet: &[u8],
        sink: &mut dyn FnMut(Ended<T>),
    ) -> Result<FlowId, OpenError> {
        let new = &opening.new;
        let stands = opening.changes == self.changes && opening.at == self.at(now);
        let now = self.advance(now);
        let (hashes, replaced) = match stands {
            true => (opening.hashes, opening.replaced),
            false => self.replaced_by(now, new)?,
        };
        let outside = new.key(Side::Outside);
        // What is replaced may be the last of a socket that goes on.
        let (share, takes) = self.shares.join(now, new).ok_or(OpenError::TableFull)?;
        for slot in replaced {
            if let Some(record) = self.records.get(slot) {
                let (cause, ended) =
                    (record.state.cause_of_expiry(), self.deadline(record).min(now));
                sink(Ended { flow: self.view(slot, record), cause, resets: Closing::default() });
                self.remove(slot, cause, ended, Some(&outside));
            }
        }
        let Some((slot, cell)) = self.seat(new.cell, hashes) else {
            self.shares.part(now, share, 0, &outside);
            return Err(OpenError::TableFull);
        };
        self.shares.seat(slot, share);
        let stamp = self.details.get(slot as usize).map_or(0, |old| old.stamp);
        let mut record = Record::new(new, now, cell);
        let mut detail = Detail { generation: new.generation, stamp, ..Detail::default() };
        let totals = Totals { opened: now, ..Totals::default() };
        if let Some(segment) = segment_of(first) {
            let scale = tcp_options(packet, first).window_scale;
            record.connection(&mut detail).begin(&segment, scale);
        }
        record.count(|| None, new.opener, first.total_length);
        let id = FlowId { slot, stamp };
        let deadline = self.deadline(&record);
        self.records.insert(record);
        match self.details.get_mut(slot as usize) {
            Some(old) => *old = detail,
            None => self.details.push(detail),
        }
        match self.totals.get_mut(slot as usize) {
            Some(old) => *old = totals,
            None => self.totals.push(totals),
        }
        self.wheel.insert(&mut self.chains, slot, deadline);
        self.cells.link(&mut self.chains, &self.details, cell, slot);
        self.counters.opened = self.counters.opened.saturating_add(1);
        if new.inside != new.external {
            self.count(&outside);
        }
        if takes {
            self.count(&whole(&outside));
        }
        Ok(id)
    }

    /// The inside socket to which a packet that entered by this zone may come though it has no flow (T-03, RFC 4787 REQ-8): one with
    /// [`Mapping::Independent`](crate::Mapping::Independent) and a filter that lets the sender in.
    #[must_use]
    pub fn inbound(&self, zone: Zone, tuple: &FiveTuple) -> Option<Inbound> {
        self.shares.inbound(zone, tuple)
    }

    /// The block of ports that a flow's port is of, and how many flows that has: 1 when this one made it (T-37).
    #[must_use]
    pub fn block_of(&self, id: FlowId) -> Option<(Block, u32)> {
        self.record(id).and_then(|_| self.shares.block_of(id.slot))
    }

    /// Counts an external tuple that is taken from now on.
    fn count(&mut self, outside: &Key) {
        if let Some(crowd) = self.crowds.take(outside) {
            self.fill(crowd);
        }
    }

    /// Looks which ports of a crowd are taken: a word at a time, so that no packet waits long.
    fn fill(&mut self, crowd: usize) {
        let Some(first) = self.crowds.next_word(crowd) else { return };
        let is_taken = |bit: &u16| {
            let key = first.with_port(first.port() | bit);
            let hash = self.secret.hash(&key);
            let of_flow = self
                .lookup(hash, &key)
                .and_then(|(slot, _)| self.records.get(slot))
                .is_some_and(|record| record.is_translated() && !record.is_released());
            of_flow || self.hold.has(hash, &key) || self.shares.has_external(&key)
        };
        let word = (0..64).filter(is_taken).fold(0, |word, bit| word | 1_u64 << bit);
        self.crowds.fill(crowd, word);
    }

    /// Whether the external tuple of a flow still has to rest after its deadline.
    pub(crate) fn must_rest(&self, now: u64, record: &Record<T>) -> bool {
        record.is_translated() && self.rested_at(record) > now
    }

    /// When the external tuple of a flow has rested that ends as it is.
    pub(crate) fn rested_at(&self, record: &Record<T>) -> u64 {
        self.freed(record, record.state.cause_of_expiry(), self.deadline(record))
    }

    /// Whether a flow leaves its external tuple to others: it is past its deadline, or a tombstone,
    /// and the tuple has rested.
    pub(crate) fn leaves_tuple(&self, now: u64, record: &Record<T>) -> bool {
        let is_tombstone = record.state.is_tombstone() && record.is_translated();
        (self.deadline(record) <= now || is_tombstone) && !self.must_rest(now, record)
    }

    /// The hashes of a new flow's keys, and which flows it would take the place of, if it may be opened.
    fn replaced_by(&self, now: u64, new: &NewFlow<T>) -> Result<([Hash; 2], [u32; 2]), OpenError> {
        let keys = [new.key(Side::Inside), new.key(Side::Outside)];
        let [inside, outside] = keys;
        let hashes = [self.secret.hash(&inside), self.secret.hash(&outside)];
        if inside == outside || !new.sharing.alone && self.hold.holds(now, hashes[1], &outside) {
            return Err(OpenError::TupleInUse);
        }
        self.shares.can_join(now, new).map_err(|why| match why {
            Unshared::NoRoom => OpenError::TableFull,
            Unshared::Anothers => OpenError::TupleInUse,
        })?;
        let names = Names { keys, hashes, alone: new.sharing.alone };
        let first = self.giving_way(now, &names, new.opener, true, NIL)?;
        let second = self.giving_way(now, &names, new.opener.other(), false, first)?;
        let slots = [first, second];
        let mut records = slots.into_iter().filter_map(|slot| self.records.get(slot));
        let full = self.records.is_full() && slots == [NIL, NIL];
        let no_cell = !self.cells.has_room(new.cell)
            && !records.any(|record| self.cells.goes_with_its_last(record.cell()));
        if full || no_cell {
            return Err(OpenError::TableFull);
        }
        Ok((hashes, slots))
    }

    /// The flow that has the key of one side of a new one, if it may give way: past its deadline, or over and opened by the same packets.
    /// [`NIL`] if there is none. What it held as its external tuple goes without rest only to the host that had it (N10).
    fn giving_way(
        &self,
        now: u64,
        names: &Names,
        side: Side,
        is_opener: bool,
        already: u32,
    ) -> Result<u32, OpenError> {
        let Names { keys: [inside, outside], hashes, alone } = *names;
        let key = side.choose(&inside, &outside);
        let found = self.lookup(side.choose(hashes[0], hashes[1]), key);
        let Some((slot, found)) = found.filter(|(slot, _)| already != *slot) else {
            return Ok(NIL);
        };
        let Some(record) = self.records.get(slot) else { return Ok(NIL) };
        let reopens = is_opener && found == record.opener() && record.is_over();
        let takes_over = !alone
            && record.has_key(Side::Outside, &outside)
            && !record.has_key(Side::Inside, &inside);
        // A tombstone whose tuple has rested keeps nobody from it.
        let left = found == Side::Outside && self.leaves_tuple(now, record);
        let over = self.deadline(record) <= now || reopens || left;
        if !over || takes_over && self.must_rest(now, record) {
            return Err(OpenError::TupleInUse);
        }
        Ok(slot)
    }

    /// Slot and cell of a new flow, which is entered in the index: both keys, or none.
    fn seat(&mut self, cell: Cell, [inside, outside]: [Hash; 2]) -> Option<(u32, u32)> {
        let slot = self.records.vacant()?;
        let cell = self.cells.join(cell)?;
        if self.index.insert(inside, number(slot, Side::Inside)) {
            if self.index.insert(outside, number(slot, Side::Outside)) {
                return Some((slot, cell));
            }
            self.index.remove(inside, number(slot, Side::Inside));
        }
        self.cells.leave(cell);
        None
    }
}
