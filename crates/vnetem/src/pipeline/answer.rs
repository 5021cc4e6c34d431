//! Replies of hosts to flows that were opened from outside. They take the best route of the host's
//! own subnet, which need not lead back to where the request came from.

use vnetem_nat::{Flow, Side, Standing};
use vnetem_packet::{FiveTuple, Rewrite};

use crate::edge::{EdgeId, Place};
use crate::pipeline::decision::{CachedDecision, Hit, Renewal};
use crate::pipeline::origin::{Entry, FlowEnds};
use crate::pipeline::path::Path;
use crate::pipeline::plan::{ByteChange, FlowChange, Plan, Stop, Way};
use crate::pipeline::trace::{Note, Step};
use crate::pipeline::{Arrival, Pipeline};
use crate::{Disposition, DropReason, Forward};

impl Pipeline<'_> {
    /// Returns the edge of a flow's far end, with a mark if its replies take another way than the
    /// requests.
    ///
    /// No packet enters by an edge with this mark, so replies never take the fast path. Packets of
    /// the initiator do.
    #[inline(always)] // of nearly every flow it is the far edge itself
    pub(crate) fn far_of(
        &self,
        near: EdgeId,
        far: EdgeId,
        answer: &FiveTuple,
        note: &mut impl Note,
    ) -> EdgeId {
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

    /// Decides on a reply that takes another way than the request. Nothing that translated the
    /// request sees it, so it leaves as it is, and the security groups of the next hop judge it
    /// like any packet without a flow.
    pub(super) fn decide_answer(
        &self,
        arrival: Arrival<'_>,
        hit: Hit,
        flow: &Flow<CachedDecision>,
        renewal: Option<Renewal>,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        let Arrival { entry, headers, .. } = arrival;
        let answer = flow.tuple(hit.side);
        self.explain(entry, flow.cached.near, &answer, note);
        let to = self.answer_path(entry, &answer, note)?;
        self.may_go_on(entry, headers, to)?;
        self.follow(arrival, hit, flow, renewal, change)?;
        let cached = renewal.map_or(flow.cached, |(_, cached)| cached);
        let flow_ends = FlowEnds::of(flow).with(cached);
        let asked = self.asked_by(to, &answer);
        // A service sees the answering host as its caller, whichever end of the flow that is.
        let forward = flow_ends.forward_by(to, hit.side).sent_by(answer.source);
        Ok(Way::AsItIs(forward, asked))
    }

    /// Fills the plan of a packet that leaves with the ends that it has. The flow by which its
    /// receiver asked follows it too.
    pub(super) fn fill_answer(
        &self,
        forward: Forward,
        asked: Option<Hit>,
        arrival: Arrival<'_>,
        plan: &mut Plan,
    ) -> Result<(), Stop> {
        if let Some(hit) = asked
            && let Some(flow) = self.flows.flow(hit.id)
        {
            self.follow(arrival, hit, &flow, None, &mut plan.second)?;
            if let FlowChange::Follow(follow) = &mut plan.second {
                // Later fragments go by the first flow.
                follow.fragment = None;
            }
        }
        plan.bytes = ByteChange::Forward(Rewrite::default(), None);
        plan.disposition = Disposition::Forward(forward);
        Ok(())
    }

    /// Says whether packets from a side of a flow are replies that take another way than the
    /// requests.
    pub(crate) fn is_answer_elsewhere(&self, flow: &Flow<CachedDecision>, side: Side) -> bool {
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
    pub(crate) fn asked_by(&self, to: EdgeId, answer: &FiveTuple) -> Option<Hit> {
        let found = self.flows.find(self.now, self.zone(to), &answer.reversed())?;
        let flow = self.flows.flow(found.id)?;
        let asks = found.side == flow.initiator && self.edge_of(&flow, found.side) == to;
        let is_live = found.standing == Standing::Live;
        (asks && is_live).then_some(Hit { id: found.id, side: found.side.other() })
    }

    /// Finds the edge by which such a reply leaves.
    fn answer_path(
        &self,
        entry: Entry<'_>,
        answer: &FiveTuple,
        note: &mut impl Note,
    ) -> Result<EdgeId, Stop> {
        let path = self.path(entry, answer, false, &mut ())?;
        if path.outbound.transpose()?.is_some() {
            // It opens nothing, and what it answers was not translated.
            return Err(DropReason::NoFlow.into());
        }
        // P-11: whoever asked needs no rule for the answer.
        if self.asked_by(path.far, answer).is_none() {
            self.may_arrive(path.far, answer, note)?;
        }
        Ok(path.far)
    }

    /// Returns whether a host of a virtual network was asked from outside: from the public side, by
    /// a site, or by an appliance for somebody else.
    #[inline(always)]
    fn is_from_outside(&self, near: EdgeId, far: EdgeId, answer: &FiveTuple) -> bool {
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

    /// Notes by which route a reply leaves.
    fn explain(&self, entry: Entry<'_>, near: EdgeId, answer: &FiveTuple, note: &mut impl Note) {
        note.step(|| Step::Answer { question: self.edge(near, *answer.destination.ip()) });
        // Whatever comes of it is said by the verdict.
        let _ = self.path(entry, answer, false, note);
    }
}

/// Says whether replies take the way that the requests came. A translator that requests from the
/// public side came through takes their replies too.
fn leads_back(path: &Path<'_>, near: EdgeId) -> bool {
    match near.place() {
        Place::Internet | Place::Public(_) => path.outbound.is_some(),
        _ => path.outbound.is_none() && path.far == near,
    }
}
