//! How flows end: their place in the wheel, the hold-down of their tuples, and their removal.

use crate::table::hold::{Beside, Kind};
use crate::table::key::Key;
use crate::table::record::Record;
use crate::table::{FLOWS, number};
use crate::{Cause, FlowTable, Side, State, Tenant};

impl<T: Copy> FlowTable<T> {
    /// Moves a flow in the wheel to its present deadline, after a change that may have shortened
    /// it.
    pub(crate) fn reschedule(&mut self, slot: u32) {
        self.wheel.remove(&mut self.chains, slot);
        self.reinsert(slot);
    }

    /// Puts a flow back into the wheel.
    #[inline(always)] // half of closing is spent in the wheel
    pub(crate) fn reinsert(&mut self, slot: u32) {
        if let Some(record) = self.records.get(slot) {
            let due = self.due(record);
            self.wheel.insert(&mut self.chains, slot, due);
        }
    }

    /// Gives the time at which the wheel must visit a flow: its deadline, or earlier for a
    /// tombstone whose tuple is free earlier.
    #[inline]
    pub(crate) fn due(&self, record: &Record<T>) -> u64 {
        let deadline = self.deadline(record);
        match self.gives_tuple_back(record, deadline) {
            Some(freed) => freed.min(deadline),
            None => deadline,
        }
    }

    /// Gives the time at which a tombstone releases its external tuple, if it still has it.
    ///
    /// The tombstone answers beyond that, until another flow takes the tuple (N-14, U-12).
    #[inline]
    fn gives_tuple_back(&self, record: &Record<T>, deadline: u64) -> Option<u64> {
        let has_one =
            record.state.is_tombstone() && record.is_translated() && !record.is_released();
        has_one.then(|| self.freed(record, record.state.cause_of_expiry(), deadline))
    }

    /// Releases the external tuple of a tombstone.
    pub(crate) fn release(&mut self, slot: u32) {
        let Some(record) = self.records.get_mut(slot) else {
            debug_assert!(false, "a tombstone has a record");
            return;
        };
        let tombstone = *record;
        record.mark_released();
        let tenant = self.revalidation_keys.tenant(tombstone.revalidation_key());
        self.leave_tuple(slot, &tombstone, tenant, self.wheel.elapsed(), None);
    }

    /// Gives the time at which the external tuple of a flow is free, if it ends at `ended` by this
    /// cause.
    ///
    /// The hold-down counts from the end of the connection. In a closing state that is when the
    /// timer started (N-14).
    #[inline]
    pub(crate) fn freed(&self, record: &Record<T>, cause: Cause, ended: u64) -> u64 {
        let kind = Kind::of(record.protocol(), record.state, cause);
        let rest = self.hold_down_times.of(record.timers(), kind);
        let was_over = match record.state {
            // Without hold-down, the tombstone itself keeps its tuple.
            State::Tombstone(_) => rest > 0,
            State::TimeWait | State::Close => true,
            _ => kind == Kind::HalfOpen || kind == Kind::Fin,
        };
        if was_over { record.last } else { ended }.saturating_add(rest)
    }

    /// Removes a flow that ended at `ended`, from the index and all lists. Its external tuple
    /// enters hold-down, unless the flow that replaces it has the same.
    pub(crate) fn remove(&mut self, slot: u32, cause: Cause, ended: u64, successor: Option<&Key>) {
        let Some(record) = self.records.get(slot).copied() else {
            debug_assert!(false, "a flow that ends has a record");
            return;
        };
        for side in [Side::Internal, Side::External] {
            let hash = self.secret.hash(&record.key(side));
            let was_there = self.index.remove(hash, number(slot, side));
            debug_assert!(was_there, "both keys of a flow are in the index");
        }
        self.wheel.remove(&mut self.chains, slot);
        if record.state.is_tombstone() {
            debug_assert!(self.counters.tombstones > 0, "tombstones are counted");
            self.counters.tombstones = self.counters.tombstones.saturating_sub(1);
        } else {
            self.revalidation_keys.unlink(&mut self.chains, record.revalidation_key(), slot);
        }
        let tenant = self.revalidation_keys.tenant(record.revalidation_key());
        self.quota.give_back(FLOWS, tenant);
        self.revalidation_keys.leave(record.revalidation_key(), &mut self.quota);
        if record.is_translated() && !record.is_released() {
            let until = self.freed(&record, cause, ended);
            self.leave_tuple(slot, &record, tenant, until, successor);
        }
        if let Some(record) = self.records.get_mut(slot) {
            record.vacate();
        }
        if let Some(detail) = self.details.get_mut(slot as usize) {
            detail.stamp = detail.stamp.wrapping_add(1);
        }
        self.records.remove(slot);
        if let Some(counter) = self.counters.ended.get_mut(cause as usize) {
            *counter = counter.saturating_add(1);
        }
    }

    /// Puts the external tuple of a flow into hold-down, unless the flow that replaces it has the
    /// same.
    fn leave_tuple(
        &mut self,
        slot: u32,
        record: &Record<T>,
        tenant: Tenant,
        until: u64,
        successor: Option<&Key>,
    ) {
        let external = record.key(Side::External);
        let mut beside = Beside { port_bitmaps: &mut self.port_bitmaps, quota: &mut self.quota };
        // The port of an endpoint-independent mapping enters hold-down once it has no flow.
        if successor == Some(&external) || self.mappings.is_independent(slot) {
            beside.port_bitmaps.release(&external);
        } else {
            self.hold.add(self.clock, until, &external, tenant, &mut beside);
        }
        if let Some(left) = self.mappings.leave(self.clock, slot, until, &external, beside.quota) {
            self.hold.add(self.clock, left.until, &left.key, tenant, &mut beside);
        }
    }
}
