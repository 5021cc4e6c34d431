//! A packet that turns round is done: the second of its two flows, and one rewrite by both (T-33).

use vnetem_nat::{Flow, FlowId, Opening, Side, Standing, Time, Track, Zone};
use vnetem_packet::{FiveTuple, Fragment, Headers, rewrite};

use super::DataPlane;
use crate::pipeline::Pipeline;
use crate::pipeline::decision::{Decision, Judgement};
use crate::pipeline::origin::Parties;
use crate::{DropReason, Fate, Forward};

impl DataPlane {
    /// A packet from a side of a flow that turns round there.
    pub(super) fn turn(
        &mut self,
        flow: &Flow<Judgement>,
        side: Side,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Fate {
        let turned = flow.rewrite(side).applied(headers);
        let decision = self.pipeline().decide_turned(&turned, &mut ());
        let (landing, tenant) = match decision {
            Decision::Hit(hit) => (hit, None),
            Decision::Renew(hit, cell, judgement) => {
                self.flows.adopt(hit.id, cell, self.snapshot.generation(), judgement);
                (hit, None)
            }
            Decision::Open(opening) => match self.open(&opening, &turned, packet) {
                Ok(hit) => (hit, Some(opening.flow().tenant)),
                Err(why) => return Fate::Drop(why.into()),
            },
            Decision::Close(id, cause, reason) => {
                self.close_on_the_way(id, cause);
                return Fate::Drop(reason);
            }
            refused => return refusal(&refused),
        };
        let later = matches!(headers.fragment, Fragment::Later { .. });
        if tenant.is_none()
            && !later
            && self.flows.track(self.now, landing.id, landing.side, &turned, packet)
                == Track::Invalid
        {
            return Fate::Drop(DropReason::TcpInvalid);
        }
        let Some(last) = self.flows.flow(landing.id) else {
            return Fate::Drop(DropReason::NoFlow);
        };
        if let Some(tenant) = tenant {
            self.opened(&last, landing.id, tenant);
        }
        if headers.fragment != Fragment::Whole {
            self.note_fragment(&last, landing, &turned);
        }
        self.clamp(flow, packet, headers);
        self.clamp(&last, packet, headers);
        let both = flow.rewrite(side).then(last.rewrite(landing.side));
        rewrite(packet, headers, both, headers.ttl.saturating_sub(1));
        self.forget_if_refused(landing.id, headers);
        let pipeline = self.pipeline();
        let to = pipeline.forward(&Parties::of(&last), landing.side).to;
        Fate::Forward(Forward { to, ..pipeline.forward(&Parties::of(flow), side) })
    }

    /// What `turn` would say, without doing anything, of a packet that `first` says how leaves; `turned` is what it bears by then, and
    /// `opening` the flow that it opens.
    pub(super) fn foresee_turned(
        &self,
        now: Time,
        first: Forward,
        opening: Option<&Opening<Judgement>>,
        turned: &Headers,
        packet: &[u8],
    ) -> Fate {
        let pipeline = Pipeline { now, opens_first: opening, ..self.pipeline() };
        let parties = match pipeline.decide_turned(turned, &mut ()) {
            Decision::Hit(hit) | Decision::Renew(hit, ..) => {
                let Some(flow) = self.flows.flow(hit.id) else {
                    return Fate::Drop(DropReason::NoFlow);
                };
                let later = matches!(turned.fragment, Fragment::Later { .. });
                let track = self.flows.would_track(now, hit.id, hit.side, turned, packet);
                if !later && track == Track::Invalid {
                    return Fate::Drop(DropReason::TcpInvalid);
                }
                (Parties::of(&flow), hit.side)
            }
            Decision::Open(opening) => (Parties::opening(opening.flow()), opening.flow().opener),
            Decision::Close(_, _, reason) => return Fate::Drop(reason),
            refused => return refusal(&refused),
        };
        let to = pipeline.forward(&parties.0, parties.1).to;
        Fate::Forward(Forward { to, ..first })
    }

    /// The other of the two flows that a packet from the inside of this one goes by, if it turns round and that is live.
    #[inline(always)] // hardly any flow has another half
    pub(super) fn other_half(&self, flow: &Flow<Judgement>) -> Option<FlowId> {
        match self.pipeline().turns_round(flow, Side::Inside) {
            true => self.half_behind(flow),
            false => None,
        }
    }

    fn half_behind(&self, flow: &Flow<Judgement>) -> Option<FlowId> {
        let pipeline = self.pipeline();
        let Flow { protocol, external: source, remote: destination, .. } = *flow;
        let turned = FiveTuple { protocol, source, destination };
        let found = self.flows.find(self.now, Zone::PUBLIC, &turned)?;
        let other = self.flows.flow(found.id)?;
        let ours = pipeline.turns_round(&other, found.side.other());
        (ours && found.standing == Standing::Live).then_some(found.id)
    }
}

/// What became of a packet that turned round and found nobody who takes it.
fn refusal(decision: &Decision) -> Fate {
    match *decision {
        Decision::Deny(reason, _) => Fate::Deny(reason),
        Decision::Drop(reason, _) => Fate::Drop(reason),
        _ => Fate::Drop(DropReason::Hairpin),
    }
}
