//! Flows that a change of configuration made stale.

use crate::table::FLOWS;
use crate::{FlowId, FlowTable, Generation, RevalidationKey};

impl<T: Copy> FlowTable<T> {
    /// Invalidates all flows of a revalidation key with a decision of an older configuration, in
    /// O(1) (P-21).
    ///
    /// It affects flows in the table. A later flow brings the generation of its own decision.
    pub fn invalidate(&mut self, revalidation_key: RevalidationKey, generation: Generation) {
        self.revalidation_keys.invalidate(revalidation_key, generation);
    }

    /// Invalidates the flows of every key that `concerned` names and that are older than
    /// `generation`. It asks about each key in use.
    pub fn invalidate_each(
        &mut self,
        concerned: impl Fn(RevalidationKey) -> bool,
        generation: Generation,
    ) {
        self.revalidation_keys.invalidate_each(concerned, generation);
    }

    /// Says whether a change has invalidated a flow since its decision. A tombstone is never stale.
    #[must_use]
    #[inline]
    pub fn is_stale(&self, id: FlowId) -> bool {
        self.record(id).is_some_and(|record| {
            let is_stale =
                self.revalidation_keys.is_stale(&self.details, record.revalidation_key(), id.slot);
            !record.state.is_tombstone() && is_stale
        })
    }

    /// Keeps a revalidated flow with its new key, generation and decision. Says whether the flow
    /// was there.
    pub fn refresh(
        &mut self,
        id: FlowId,
        revalidation_key: RevalidationKey,
        generation: Generation,
        cached: T,
    ) -> bool {
        let Some(record) = self.record(id) else { return false };
        if record.state.is_tombstone() {
            return false;
        }
        let old = record.revalidation_key();
        let (before, quota) = (self.revalidation_keys.tenant(old), &mut self.quota);
        // If no key is left, the flow keeps its old one, and is revalidated when that is
        // invalidated.
        let new =
            self.revalidation_keys.join(revalidation_key, before, quota).unwrap_or_else(|| {
                self.revalidation_keys
                    .join(self.revalidation_keys.revalidation_key(old), before, quota)
                    .unwrap_or(old)
            });
        let after = self.revalidation_keys.tenant(new);
        if before != after {
            quota.give_back(FLOWS, before);
            quota.take(FLOWS, after);
        }
        self.revalidation_keys.unlink(&mut self.chains, old, id.slot);
        self.revalidation_keys.leave(old, quota);
        if let Some(record) = self.records.get_mut(id.slot) {
            record.set_revalidation_key(new);
            record.cached = cached;
        }
        if let Some(detail) = self.details.get_mut(id.slot as usize) {
            detail.generation = generation;
        }
        self.revalidation_keys.link(&mut self.chains, &self.details, new, id.slot);
        true
    }

    /// Gives a stale flow; `None` if there is none. The work grows with the number of stale flows.
    ///
    /// It is the same one until that is refreshed, closed or ended, so other calls may come
    /// between.
    pub fn next_stale(&mut self) -> Option<FlowId> {
        let slot = self.revalidation_keys.next_stale(&self.details, &mut self.quota)?;
        self.id(slot)
    }
}
