//! How flows end, and what stays of them.

use vnetem::{
    EventKind, Time,
    nat::{Cause, TranslationEventKind},
};

use super::Model;
use super::flow::Share;

impl Model {
    /// Ends a flow.
    pub(super) fn end(&mut self, at: usize, cause: Cause, when: Time) {
        if let Ok(flow) = self.flow(at) {
            self.happenings.push(flow.happening(EventKind::Ended(cause)));
            self.remove(at, cause, when);
        }
    }

    /// Removes a flow and puts its public tuple in hold-down (N-14).
    pub(super) fn remove(&mut self, at: usize, cause: Cause, when: Time) {
        let flow = self.flows.remove(at);
        self.record_event(&flow, TranslationEventKind::SessionDeleted);
        if flow.has_tuple() {
            self.rest(&flow, flow.rested_at(cause, when));
            self.forget_host(&flow);
        }
        self.rests.retain(|rest| rest.until > self.now);
    }

    /// Puts the tuple of a closed connection in hold-down as after a reset, even if its tombstone
    /// stays longer (U-12).
    pub(super) fn release_tombstones(&mut self) {
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get(at) else { return };
            if flow.is_tombstone() && flow.has_tuple() && flow.rested_if_left() <= self.now {
                let left = flow.clone();
                self.rest(&left, self.now);
                let flow = &mut self.flows[at];
                (flow.released, flow.share, flow.limited, flow.block) =
                    (true, Share::Nothing, false, None);
                self.forget_host(&left);
            }
        }
    }
}
