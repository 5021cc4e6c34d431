//! Says whether a flow may be opened, and which flows give way to it.

use crate::table::index::Hash;
use crate::table::key::Key;
use crate::table::record::Record;
use crate::table::slab::NIL;
use crate::table::{FLOWS, REVALIDATION_KEYS};
use crate::{FlowTable, NewFlow, OpenError, Opening, Side};

/// What a new flow will be found by, from the inside and the outside.
#[derive(Clone, Copy)]
struct Names {
    keys: [Key; 2],
    /// Its external tuple is nobody else's in any case.
    alone: bool,
}

impl<T: Copy> FlowTable<T> {
    /// Says whether the external tuple of a flow still enters hold-down after its deadline.
    pub(crate) fn must_rest(&self, now: u64, record: &Record<T>) -> bool {
        record.is_translated() && self.rested_at(record) > now
    }

    /// Gives the end of the hold-down, if the flow ends as it is.
    pub(crate) fn rested_at(&self, record: &Record<T>) -> u64 {
        self.freed(record, record.state.cause_of_expiry(), self.deadline(record))
    }

    /// Says whether a flow leaves its external tuple to others: the flow is past its deadline, or a
    /// tombstone, and the hold-down is over.
    pub(crate) fn leaves_tuple(&self, now: u64, record: &Record<T>) -> bool {
        let is_tombstone = record.state.is_tombstone() && record.is_translated();
        (self.deadline(record) <= now || is_tombstone) && !self.must_rest(now, record)
    }

    /// The hashes of a new flow's keys, and which flows it would take the place of, if it may be
    /// opened; perhaps after another.
    pub(crate) fn replaced_by(
        &self,
        now: u64,
        new: &NewFlow<T>,
        before: Option<&Opening<T>>,
    ) -> Result<([Hash; 2], [u32; 2]), OpenError> {
        let keys = [new.key(Side::Internal), new.key(Side::External)];
        let [internal, external] = keys;
        let hashes = [self.secret.hash(&internal), self.secret.hash(&external)];
        if internal == external {
            return Err(OpenError::TupleInUse);
        }
        if !new.mapping_policy.alone && self.hold.holds(now, hashes[1], &external) {
            return Err(OpenError::TupleHeld);
        }
        if self.mappings.is_anothers(new) {
            return Err(OpenError::TupleInUse);
        }
        let names = Names { keys, alone: new.mapping_policy.alone };
        let internal = self.lookup(hashes[0], &internal);
        let external = self.lookup(hashes[1], &external);
        let (own, other) = match new.initiator {
            Side::Internal => (internal, external),
            Side::External => (external, internal),
        };
        let first = match own {
            Some(found) => self.giving_way(now, &names, found, true)?,
            None => NIL,
        };
        let second = match other {
            Some(found) if found.0 != first => self.giving_way(now, &names, found, false)?,
            _ => NIL,
        };
        let slots = [first, second];
        self.has_room(new, slots, before)?;
        if !self.mappings.has_room(now, new, &self.quota, before.map(|before| &before.new)) {
            return Err(OpenError::MappingsFull);
        }
        Ok((hashes, slots))
    }

    /// Says whether the table has room for a new flow in place of others, perhaps after another,
    /// and whether its tenant may have it (docs/shares.md).
    #[inline]
    fn has_room(
        &self,
        new: &NewFlow<T>,
        replaced: [u32; 2],
        before: Option<&Opening<T>>,
    ) -> Result<(), OpenError> {
        // Nearly every flow.
        if replaced == [NIL, NIL] && before.is_none() {
            return if self.records.vacancies() == 0 {
                Err(OpenError::TableFull)
            } else if !self.quota.has_room(FLOWS, new.tenant) {
                Err(OpenError::ShareUsed)
            } else if self.quota.has_room(REVALIDATION_KEYS, new.tenant)
                || self.revalidation_keys.find(new.revalidation_key).is_some()
            {
                Ok(())
            } else {
                Err(OpenError::CellsFull)
            };
        }
        self.has_room_beside(new, replaced, before)
    }

    #[inline(never)]
    fn has_room_beside(
        &self,
        new: &NewFlow<T>,
        replaced: [u32; 2],
        before: Option<&Opening<T>>,
    ) -> Result<(), OpenError> {
        let gives_way = |slots: [u32; 2]| {
            slots
                .into_iter()
                .filter_map(|slot| self.records.get(slot).map(Record::revalidation_key))
        };
        // A flow takes a place and gives free those of the flows that it replaces.
        let other = before.filter(|before| before.replaces() == 0).map(|before| before.new.tenant);
        let freed = before.map_or(0, |before| before.replaces().saturating_sub(1));
        let vacant = self.records.vacancies().saturating_add(freed);
        if replaced == [NIL, NIL] && vacant <= u32::from(other.is_some()) {
            return Err(OpenError::TableFull);
        }
        let known = self.revalidation_keys.find(new.revalidation_key);
        let tenant = known
            .map_or(new.tenant, |revalidation_key| self.revalidation_keys.tenant(revalidation_key));
        let is_own = |revalidation_key| self.revalidation_keys.tenant(revalidation_key) == tenant;
        if !gives_way(replaced).any(is_own)
            && !before.is_some_and(|before| {
                before.replaces() > 1 && gives_way(before.replaced).any(is_own)
            })
            && !self.quota.has_room_beside(FLOWS, tenant, other)
        {
            return Err(OpenError::ShareUsed);
        }
        if known.is_some()
            || before.is_some_and(|before| before.new.revalidation_key == new.revalidation_key)
        {
            return Ok(());
        }
        let goes = |revalidation_key| self.revalidation_keys.goes_with_its_last(revalidation_key);
        let is_made = |before: &&Opening<T>| {
            self.revalidation_keys.find(before.new.revalidation_key).is_none()
                && !gives_way(before.replaced).any(goes)
        };
        let other = before.filter(is_made).map(|before| before.new.tenant);
        match gives_way(replaced).any(goes)
            || self.quota.has_room_beside(REVALIDATION_KEYS, tenant, other)
        {
            true => Ok(()),
            false => Err(OpenError::CellsFull),
        }
    }

    /// The flow that has the key of one side of a new one, if it may give way: past its deadline,
    /// or over and opened by the same packets. Its external tuple passes on without hold-down
    /// only to the host that had it (INV-hold-down-kept).
    fn giving_way(
        &self,
        now: u64,
        names: &Names,
        (slot, found): (u32, Side),
        is_initiator: bool,
    ) -> Result<u32, OpenError> {
        let Names { keys: [internal, external], alone } = *names;
        let Some(record) = self.records.get(slot) else { return Ok(NIL) };
        let reopens = is_initiator && found == record.initiator() && record.is_over();
        let takes_over = !alone
            && record.has_key(Side::External, &external)
            && !record.has_key(Side::Internal, &internal);
        // After its hold-down, a tombstone leaves its tuple to anybody.
        let left = found == Side::External && self.leaves_tuple(now, record);
        let over = self.deadline(record) <= now || reopens || left;
        if !over {
            return Err(OpenError::TupleInUse);
        }
        if takes_over && self.must_rest(now, record) {
            return Err(OpenError::TupleHeld);
        }
        Ok(slot)
    }
}
