//! How hosts answer what was opened from outside: by the best route of their own subnet, which need
//! not lead back to where the question came from.

use vnetem_nat::{Flow, Side, Standing};
use vnetem_packet::FiveTuple;

use crate::edge::{EdgeCode, Place};
use crate::pipeline::Pipeline;
use crate::pipeline::decision::{CachedDecision, Decision, Hit, Renewal};
use crate::pipeline::origin::Entry;
use crate::pipeline::path::Path;
use crate::pipeline::trace::{Note, Step};
use crate::{DenyReason, DropReason};

/// Why an answer goes nowhere.
pub(crate) enum Lost {
    Drop(DropReason),
    Deny(DenyReason),
}

impl Pipeline<'_> {
    /// The edge of a flow's far end, with a mark if that is a host which answers another way than
    /// the question came.
    ///
    /// The mark makes its edge equal to none by which packets enter, so that its answers never are
    /// plain hits. The opener's packets are.
    #[inline(always)] // of nearly every flow it is the far edge itself
    pub(crate) fn far_of(
        self,
        near: EdgeCode,
        far: EdgeCode,
        answer: &FiveTuple,
        note: &mut impl Note,
    ) -> EdgeCode {
        if !self.is_from_outside(near, far, answer) {
            return far;
        }
        let Some(entry) = self.entry_of(far, *answer.source.ip()) else { return far };
        let path = self.path(entry, answer, false, &mut ());
        if path.as_ref().is_ok_and(|path| leads_back(path, near)) {
            return far;
        }
        self.explain(entry, near, answer, note);
        far.answering_elsewhere()
    }

    /// What becomes of an answer that does not go back the way the question came. It is no part of
    /// what translated the question, so it leaves as it is, and whoever guards the next host judges
    /// it as any packet of no flow.
    pub(crate) fn decide_answer(
        self,
        entry: Entry<'_>,
        hit: Hit,
        flow: &Flow<CachedDecision>,
        renewed: Option<Renewal>,
        note: &mut impl Note,
    ) -> Decision {
        let answer = flow.tuple(hit.side);
        self.explain(entry, flow.cached.near, &answer, note);
        match self.answer_path(entry, &answer, note) {
            Ok(to) => Decision::Answer(hit, renewed, to),
            Err(Lost::Drop(reason)) => Decision::Drop(reason, None),
            Err(Lost::Deny(reason)) => Decision::Deny(reason, None),
        }
    }

    /// Whether what comes from a side of a flow is an answer that does not go back the way the
    /// question came.
    pub(crate) fn is_answer_elsewhere(self, flow: &Flow<CachedDecision>, side: Side) -> bool {
        let Flow { initiator, cached, .. } = *flow;
        let far = || {
            let answer = flow.tuple(side);
            self.far_of(cached.near, cached.far.plain(), &answer, &mut ())
        };
        side != initiator && far().answers_elsewhere()
    }

    /// Looks up the live flow by which the host at `to` asked what a packet answers: another flow
    /// than that of the answering host, since an appliance stood between them. The side returned
    /// is the answering one.
    pub(crate) fn asked_by(self, to: EdgeCode, answer: &FiveTuple) -> Option<Hit> {
        let found = self.flows.find(self.now, self.zone(to), &answer.reversed())?;
        let flow = self.flows.flow(found.id)?;
        let asks = found.side == flow.initiator && self.edge_of(&flow, found.side) == to;
        let is_live = found.standing == Standing::Live;
        (asks && is_live).then_some(Hit { id: found.id, side: found.side.other() })
    }

    /// Where such an answer leaves.
    fn answer_path(
        self,
        entry: Entry<'_>,
        answer: &FiveTuple,
        note: &mut impl Note,
    ) -> Result<EdgeCode, Lost> {
        let path = self.path(entry, answer, false, &mut ()).map_err(Lost::Drop)?;
        match path.outbound {
            None => {}
            Some(Err(reason)) => return Err(Lost::Drop(reason)),
            // It opens nothing, and what it answers was not translated.
            Some(Ok(_)) => return Err(Lost::Drop(DropReason::NoFlow)),
        }
        // P-11: whoever asked needs no rule for the answer.
        if self.asked_by(path.far, answer).is_none() {
            self.may_arrive(path.far, answer, note).map_err(Lost::Deny)?;
        }
        Ok(path.far)
    }

    /// Returns whether a host of a virtual network was asked from outside: from the public side, by
    /// a site, or by an appliance for somebody else.
    #[inline(always)]
    fn is_from_outside(self, near: EdgeCode, far: EdgeCode, answer: &FiveTuple) -> bool {
        let is_host = || matches!(far.place(), Place::Subnet(_) | Place::Nic(_));
        let from_outside = match near.place() {
            Place::Internet | Place::Public(_) | Place::Site(_) => true,
            Place::Nic(id) => self
                .snapshot
                .nic(id)
                .is_some_and(|nic| nic.ip_forwarding && nic.address != *answer.destination.ip()),
            _ => false,
        };
        from_outside && is_host()
    }

    /// Tells by which route an answer leaves.
    fn explain(self, entry: Entry<'_>, near: EdgeCode, answer: &FiveTuple, note: &mut impl Note) {
        note.step(|| Step::Answer { question: self.edge(near, *answer.destination.ip()) });
        // Whatever comes of it is said by the verdict.
        let _ = self.path(entry, answer, false, note);
    }
}

/// Whether answers take the way that the question came. Who translated the question on its way from
/// the public side does so with whatever goes there.
fn leads_back(path: &Path<'_>, near: EdgeCode) -> bool {
    match near.place() {
        Place::Internet | Place::Public(_) => path.outbound.is_some(),
        _ => path.outbound.is_none() && path.far == near,
    }
}
