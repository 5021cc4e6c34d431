//! A packet that turns round is done: the second of its two flows, and one rewrite by both (T-33).

use vnetem_nat::{Flow, FlowId, Opening, Side, Standing, Time, Track, Zone};
use vnetem_packet::{FiveTuple, Fragment, Headers, rewrite};

use super::DataPlane;
use crate::pipeline::Pipeline;
use crate::pipeline::decision::{CachedDecision, Decision};
use crate::pipeline::origin::FlowEnds;
use crate::{Disposition, DropReason, Forward};

impl DataPlane {
    /// A packet from a side of a flow that turns round there.
    pub(super) fn turn(
        &mut self,
        flow: &Flow<CachedDecision>,
        side: Side,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Disposition {
        let hairpinned = flow.rewrite(side).applied(headers);
        let decision = self.pipeline().decide_turned(&hairpinned, &mut ());
        let (landing, tenant) = match decision {
            Decision::Hit(hit) => (hit, None),
            Decision::Renew(hit, revalidation_key, cached) => {
                self.flows.refresh(hit.id, revalidation_key, self.snapshot.generation(), cached);
                (hit, None)
            }
            Decision::Open(opening) => match self.open(&opening, &hairpinned, packet) {
                Ok(hit) => (hit, Some(opening.flow().tenant)),
                Err(why) => return Disposition::Drop(why.into()),
            },
            Decision::Close(id, cause, reason) => {
                self.close_on_the_way(id, cause);
                return Disposition::Drop(reason);
            }
            refused => return refusal(&refused),
        };
        let later = matches!(headers.fragment, Fragment::Later { .. });
        if tenant.is_none()
            && !later
            && self.flows.track(self.now, landing.id, landing.side, &hairpinned, packet)
                == Track::Invalid
        {
            return Disposition::Drop(DropReason::TcpInvalid);
        }
        let Some(last) = self.flows.flow(landing.id) else {
            return Disposition::Drop(DropReason::NoFlow);
        };
        if let Some(tenant) = tenant {
            self.opened(&last, landing.id, tenant);
        }
        if headers.fragment != Fragment::Whole {
            self.note_fragment(&last, landing, &hairpinned);
        }
        self.clamp(flow, packet, headers);
        self.clamp(&last, packet, headers);
        let both = flow.rewrite(side).then(last.rewrite(landing.side));
        rewrite(packet, headers, both, headers.ttl.saturating_sub(1));
        self.forget_if_refused(landing.id, headers);
        let pipeline = self.pipeline();
        let to = pipeline.forward(&FlowEnds::of(&last), landing.side).to;
        Disposition::Forward(Forward { to, ..pipeline.forward(&FlowEnds::of(flow), side) })
    }

    /// What `turn` would say, without doing anything, of a packet that `first` says how leaves;
    /// `hairpinned` is what it bears by then, and `opening` the flow that it opens.
    pub(super) fn foresee_turned(
        &self,
        now: Time,
        first: Forward,
        opening: Option<&Opening<CachedDecision>>,
        hairpinned: &Headers,
        packet: &[u8],
    ) -> Disposition {
        let pipeline = Pipeline { now, opens_first: opening, ..self.pipeline() };
        let flow_ends = match pipeline.decide_turned(hairpinned, &mut ()) {
            Decision::Hit(hit) | Decision::Renew(hit, ..) => {
                let Some(flow) = self.flows.flow(hit.id) else {
                    return Disposition::Drop(DropReason::NoFlow);
                };
                let later = matches!(hairpinned.fragment, Fragment::Later { .. });
                let track = self.flows.would_track(now, hit.id, hit.side, hairpinned, packet);
                if !later && track == Track::Invalid {
                    return Disposition::Drop(DropReason::TcpInvalid);
                }
                (FlowEnds::of(&flow), hit.side)
            }
            Decision::Open(opening) => {
                (FlowEnds::opening(opening.flow()), opening.flow().initiator)
            }
            Decision::Close(_, _, reason) => return Disposition::Drop(reason),
            refused => return refusal(&refused),
        };
        let to = pipeline.forward(&flow_ends.0, flow_ends.1).to;
        Disposition::Forward(Forward { to, ..first })
    }

    /// The other of the two flows that a packet from the inside of this one goes by, if it turns
    /// round and that is live.
    #[inline(always)] // hardly any flow has another half
    pub(super) fn other_half(&self, flow: &Flow<CachedDecision>) -> Option<FlowId> {
        match self.pipeline().turns_round(flow, Side::Internal) {
            true => self.half_behind(flow),
            false => None,
        }
    }

    fn half_behind(&self, flow: &Flow<CachedDecision>) -> Option<FlowId> {
        let pipeline = self.pipeline();
        let Flow { protocol, external: source, remote: destination, .. } = *flow;
        let hairpinned = FiveTuple { protocol, source, destination };
        let found = self.flows.find(self.now, Zone::PUBLIC, &hairpinned)?;
        let other = self.flows.flow(found.id)?;
        let ours = pipeline.turns_round(&other, found.side.other());
        (ours && found.standing == Standing::Live).then_some(found.id)
    }
}

/// What became of a packet that turned round and found nobody who takes it.
fn refusal(decision: &Decision) -> Disposition {
    match *decision {
        Decision::Deny(reason, _) => Disposition::Deny(reason),
        Decision::Drop(reason, _) => Disposition::Drop(reason),
        _ => Disposition::Drop(DropReason::Hairpin),
    }
}
