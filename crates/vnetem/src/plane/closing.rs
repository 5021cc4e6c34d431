//! What a change of configuration does to live flows.

use vnetem_nat::{Cause, Ended, Flow, FlowId, Side};

use super::DataPlane;
use crate::edge::EdgeId;
use crate::pipeline::decision::CachedDecision;
use crate::plane::event::{Event, EventKind};
use crate::plane::transmit_queue::TransmitQueue;
use crate::{CloseMode, Counters, Snapshot};

impl DataPlane {
    /// Revalidates a flow that a change made stale: keeps it if the new configuration carries it as
    /// it is, closes it if not.
    pub(super) fn judge_stale(&mut self, id: FlowId) {
        if self.runs_out(id) {
            return;
        }
        let Some(flow) = self.flows.flow(id) else { return };
        match self.pipeline().revalidate(&flow) {
            Ok((revalidation_key, cached)) => {
                self.flows.refresh(id, revalidation_key, self.snapshot.generation(), cached);
            }
            Err((cause, _)) => self.close_flow(id, &flow, cause),
        }
    }

    /// Closes a flow that a packet met. Both ends hear of it as the close mode says, the far one by
    /// the old path (INV-reset-number-exact). Without room for the resets the flow stays stale
    /// until [`poll_transmit`](DataPlane::poll_transmit) comes to it.
    pub(super) fn close_on_the_way(&mut self, id: FlowId, cause: Cause) {
        if self.transmit_queue.may_close() {
            self.close(id, cause);
        }
    }

    fn close(&mut self, id: FlowId, cause: Cause) {
        if !self.runs_out(id)
            && let Some(flow) = self.flows.flow(id)
        {
            self.close_flow(id, &flow, cause);
        }
    }

    /// Ends a flow that is past its deadline and was not removed yet: it expires and does not close
    /// (INV-deadline-exact).
    #[inline]
    fn runs_out(&mut self, id: FlowId) -> bool {
        // No flow has expired, so this one has not.
        self.flows.is_due(self.now) && self.ran_out(id)
    }

    fn ran_out(&mut self, id: FlowId) -> bool {
        let Self { flows, event_queue, counters, transmit_queue, snapshot, now, .. } = self;
        flows.expire_flow(*now, id, &mut |ended: Ended<CachedDecision>| {
            notify_idle_end(&ended, snapshot, transmit_queue, counters);
            event_queue.ended(
                *now,
                &ended,
                snapshot.tenant_of(ended.flow.revalidation_key),
                counters,
            );
        })
    }

    fn close_flow(&mut self, id: FlowId, flow: &Flow<CachedDecision>, cause: Cause) {
        let now = self.now;
        let tenant = self.snapshot.tenant_of(flow.revalidation_key);
        let closed = || Event::of(now, EventKind::Closed(cause), flow);
        self.event_queue.event(closed, tenant, &mut self.counters);
        if matches!(cause, Cause::PortReclaimed | Cause::Deallocated) {
            return self.lose_flow(id, flow, cause);
        }
        // A host that sends to its own public end has one flow only.
        let other = self.other_half(flow).filter(|other| *other != id);
        let resets = self.flows.close(now, id, cause);
        for (side, reset) in
            [(Side::Internal, resets.to_internal), (Side::External, resets.to_external)]
        {
            let code = self.pipeline().edge_of(flow, side);
            let notified = match self.closing {
                // A hairpinned flow has its other end behind another flow, which closes with it.
                _ if code == EdgeId::HAIRPIN => false,
                CloseMode::Both => true,
                CloseMode::Opener => side == flow.initiator,
                CloseMode::Silent => false,
            };
            if let Some(reset) = reset.filter(|_| notified) {
                let edge = self.snapshot.edge(code, *flow.internal.ip());
                self.transmit_queue.close(edge, reset, &mut self.counters);
            }
        }
        // A flow without a tombstone has ended (T-37).
        if self.flows.cached(id).is_none() {
            let ended = Ended { flow: *flow, cause, resets };
            self.event_queue.ended(now, &ended, tenant, &mut self.counters);
        }
        if let Some(other) = other {
            self.close(other, cause);
        }
    }

    /// Ends a flow without a reset to either end (N-28, N-29), and its second flow if it is a
    /// hairpin.
    fn lose_flow(&mut self, id: FlowId, flow: &Flow<CachedDecision>, cause: Cause) {
        let other = self.other_half(flow).filter(|other| *other != id);
        self.flows.end(self.now, id, cause);
        let ended = Ended { flow: *flow, cause, resets: vnetem_nat::Resets::default() };
        let tenant = self.snapshot.tenant_of(flow.revalidation_key);
        self.event_queue.ended(self.now, &ended, tenant, &mut self.counters);
        if let Some(other) = other {
            self.close(other, cause);
        }
    }
}

/// Resets both ends of an established connection that idled out behind a load balancer, if the rule
/// of that says so (N-23).
pub(super) fn notify_idle_end(
    ended: &Ended<CachedDecision>,
    snapshot: &Snapshot,
    transmit_queue: &mut TransmitQueue,
    counters: &mut Counters,
) {
    let Ended { flow, cause: Cause::Idle, resets } = ended else { return };
    let owner = snapshot.public.get(flow.external.ip());
    if !owner.is_some_and(|owner| owner.resets_when_idle) {
        return;
    }
    for (side, reset) in
        [(Side::Internal, resets.to_internal), (Side::External, resets.to_external)]
    {
        let CachedDecision { near, far, .. } = flow.cached;
        let code = if side == flow.initiator { near } else { far };
        // What turns round has its other end behind another flow, whose time runs by itself.
        if let Some(reset) = reset.filter(|_| code != EdgeId::HAIRPIN) {
            let edge = snapshot.edge(code, *flow.internal.ip());
            transmit_queue.reset(edge, reset, snapshot.tenant_of(flow.revalidation_key), counters);
        }
    }
}
