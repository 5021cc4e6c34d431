//! Carries a plan out: flows, bytes, packets of our own. What happens was decided before.

use vnetem_nat::{Cause, Ended, FlowId, OpenError, Opening, Resets, Side, Span};
use vnetem_packet::{
    Fragment, Headers, IcmpError, IcmpErrorKind, clamp_maximum_segment_size, rewrite,
    rewrite_quoting,
};

use super::DataPlane;
use crate::pipeline::decision::{CachedDecision, Hit};
use crate::pipeline::plan::{ByteChange, FlowChange, Follow, FragmentNote, Plan, Response};
use crate::{Disposition, EdgeId};

impl DataPlane {
    /// Carries out the plan for a packet.
    #[inline]
    pub(super) fn carry_out(
        &mut self,
        edge: EdgeId,
        packet: &mut [u8],
        headers: &Headers,
        plan: &mut Plan,
    ) {
        let changed = self.change_flow(&plan.flow, headers, packet).and_then(|()| {
            // Most packets have one flow.
            match plan.second {
                FlowChange::None => Ok(()),
                ref second => self.change_flow(second, headers, packet),
            }
        });
        debug_assert!(changed.is_ok(), "what may open can be opened: {changed:?}");
        if let Err(why) = changed {
            plan.disposition = Disposition::Drop(why.into());
            return;
        }
        self.change_bytes(&plan.bytes, headers, packet);
        self.respond(edge, plan, headers, packet);
        self.end_refused(&plan.second);
        self.end_refused(&plan.flow);
    }

    /// Carries out what becomes of one flow.
    #[inline(always)]
    fn change_flow(
        &mut self,
        change: &FlowChange,
        headers: &Headers,
        packet: &[u8],
    ) -> Result<(), OpenError> {
        match *change {
            FlowChange::None => {}
            FlowChange::Open(ref opening, ref fragment) => {
                let id = self.open(opening, headers, packet)?;
                if let Some(fragment) = fragment {
                    let hit = Hit { id, side: opening.flow().initiator };
                    self.note_fragment(fragment, hit, headers);
                }
            }
            FlowChange::Follow(ref follow) => self.follow(follow, headers),
            FlowChange::Renew(id, (revalidation_key, cached)) => {
                self.flows.refresh(id, revalidation_key, self.snapshot.generation(), cached);
            }
            FlowChange::Close(id, cause) => self.close_on_the_way(id, cause),
            FlowChange::Answer(id, side) => self.flows.count_answer(self.now, id, side),
        }
        Ok(())
    }

    /// Opens a flow with its first packet, and says so in the events.
    #[inline(never)]
    fn open(
        &mut self,
        opening: &Opening<CachedDecision>,
        headers: &Headers,
        packet: &[u8],
    ) -> Result<FlowId, OpenError> {
        let (now, snapshot) = (self.now, &self.snapshot);
        let (event_queue, counters) = (&mut self.event_queue, &mut self.counters);
        let mut notify = |ended: Ended<CachedDecision>| {
            let tenant = snapshot.tenant_of(ended.flow.revalidation_key);
            event_queue.ended(now, &ended, tenant, counters);
        };
        let id = self.flows.enter(now, opening, headers, packet, &mut notify)?;
        match &self.flows.flow(id) {
            Some(flow) => {
                let block = || self.flows.block_of(id).filter(|(_, flows)| *flows == 1);
                let tenant = opening.flow().tenant;
                self.event_queue.opened(now, flow, block, tenant, &mut self.counters);
                self.unsolicited.cancel(|| flow.tuple(Side::External));
            }
            None => debug_assert!(false, "a flow is there once it is opened"),
        }
        Ok(id)
    }

    /// Records a packet of a live flow.
    fn follow(&mut self, follow: &Follow, headers: &Headers) {
        let Follow { hit, renewal, ref tracked, ref fragment, ends: _ } = *follow;
        if let Some((revalidation_key, cached)) = renewal {
            self.flows.refresh(hit.id, revalidation_key, self.snapshot.generation(), cached);
        }
        if let Some(followed) = tracked {
            self.flows.record_packet(self.now, followed);
        }
        if let Some(fragment) = fragment {
            self.note_fragment(fragment, hit, headers);
        }
    }

    /// Notes a fragment of a flow that goes on, so that later ones of its datagram find the flow.
    fn note_fragment(&mut self, fragment: &FragmentNote, hit: Hit, headers: &Headers) {
        let FragmentNote { key, tenant } = *fragment;
        if headers.fragment == Fragment::First {
            self.fragments.note_first(self.now, key, headers, hit.id, hit.side, tenant);
        } else if let Some((id, side, end)) = self.fragments.pass(self.now, &key, Span::of(headers))
        {
            self.flows.reach(self.now, id, side, end);
        }
    }

    /// Rewrites a packet that goes on.
    #[inline]
    fn change_bytes(&self, bytes: &ByteChange, headers: &Headers, packet: &mut [u8]) {
        let ttl = headers.ttl.saturating_sub(1);
        match *bytes {
            ByteChange::None => {}
            ByteChange::Forward(ends, segment_size) => {
                if let Some(limit) = segment_size {
                    clamp_maximum_segment_size(packet, headers, limit);
                }
                rewrite(packet, headers, ends, ttl);
            }
            ByteChange::Quoting { ref quote, outer, inner } => {
                rewrite_quoting(packet, headers, quote, outer, inner, ttl);
            }
        }
    }

    /// Sends the packet of our own that a plan has, and tells of a port that was not to be had.
    fn respond(&mut self, edge: EdgeId, plan: &Plan, headers: &Headers, packet: &[u8]) {
        if let Some(why) = plan.no_port {
            let tenant = self.snapshot.tenant_at(edge, headers.destination);
            let tuple = headers.tuple();
            self.event_queue.refused(self.now, why, &tuple, tenant, &mut self.counters);
        }
        match plan.response {
            Response::None => {}
            Response::Reset(reset) => {
                let tenant = match plan.flow {
                    FlowChange::Answer(id, _) => self.flows.tenant(id).unwrap_or_default(),
                    _ => self.snapshot.tenant_at(edge, headers.destination),
                };
                let to = self.snapshot.edge(edge, headers.destination);
                self.transmit_queue.reset(to, reset, tenant, &mut self.counters);
            }
            Response::IcmpError(kind) => self.send_icmp_error(edge, kind, packet, headers),
            Response::HoldSyn(after) => self.hold(after, edge, packet, headers),
        }
    }

    /// Sends an ICMP error to the sender of a packet.
    pub(super) fn send_icmp_error(
        &mut self,
        edge: EdgeId,
        kind: IcmpErrorKind,
        about: &[u8],
        headers: &Headers,
    ) {
        let source = self.snapshot.router_at(edge, headers.destination);
        let to = self.snapshot.edge(edge, headers.destination);
        let to = (to, self.snapshot.tenant_at(edge, headers.destination));
        let error = IcmpError { kind, source };
        self.transmit_queue.send_icmp_error(to, &error, about, headers, &mut self.counters);
    }

    /// Ends a flow whose opening an RST has just refused. It may have been closed already, together
    /// with the other flow of a packet that turned round.
    #[inline]
    fn end_refused(&mut self, change: &FlowChange) {
        if let FlowChange::Follow(Follow { hit: Hit { id, .. }, ends: true, .. }) = *change
            && let Some(flow) = self.flows.flow(id)
        {
            let ended = Ended { flow, cause: Cause::Reset, resets: Resets::default() };
            let tenant = self.snapshot.tenant_of(flow.revalidation_key);
            self.event_queue.ended(self.now, &ended, tenant, &mut self.counters);
            self.flows.end(self.now, id, Cause::Reset);
        }
    }
}
