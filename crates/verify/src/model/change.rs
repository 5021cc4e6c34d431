//! What a change of configuration does to live flows: nothing, or it closes them and notifies both
//! ends (S-17, S-18, INV-toggle-ends-exact-set).

use crate::said::Disposition;
use vnetem::{
    AccessVerdict, CloseMode, DropReason, Edge, EventKind, authz::DenyMode, control::LoadBalancer,
    nat::Cause,
};

use super::flow::{Flow, Stage, is_public, zone};
use super::outbound::{method_behind, method_to};
use super::wire::{self, Packet};
use super::{Model, drop, route};

impl Model {
    /// Revalidates a flow that a change may concern. It goes on if the same source and path would
    /// be chosen now, and is closed otherwise (S-17, S-18, N-07, N-08, U-02). A packet that is not
    /// forwarded leaves the old access verdict in place.
    pub(super) fn renew(&mut self, at: usize, is_forwarded: bool) -> Result<(), Disposition> {
        let flow = self.flow(at)?;
        if !flow.invalidated || flow.is_tombstone() {
            return Ok(());
        }
        match self.judge(&flow) {
            Ok((to, access)) => {
                if let Some(flow) = self.flows.get_mut(at).filter(|_| is_forwarded) {
                    flow.invalidated = false;
                    (flow.edges[1 - flow.initiator], flow.access) = (to, access);
                }
                Ok(())
            }
            Err(cause) => {
                self.close(at, cause);
                drop(match cause {
                    Cause::SourceSwitched => DropReason::SourceSwitched,
                    Cause::Withdrawn => DropReason::Withdrawn,
                    Cause::PortReclaimed => DropReason::PortReclaimed,
                    Cause::Deallocated => DropReason::NoSuchHost,
                    _ => DropReason::PathSwitched,
                })
            }
        }
    }

    /// Returns the far edge and the access verdict with which a flow may go on, or why not. A
    /// service's public address may become the internet's and the reverse, since the flow's packets
    /// do not change.
    pub(super) fn judge(&self, flow: &Flow) -> Result<(Edge, AccessVerdict), Cause> {
        // N-29: a deallocated machine loses its flows.
        if flow.edges.into_iter().any(|edge| route::is_deallocated(&self.network, edge)) {
            return Err(Cause::Deallocated);
        }
        if flow.initiator == 1 {
            return self.judge_inbound(flow);
        }
        let (from, first) = (flow.edges[0], flow.first_packet());
        let is_there = match from {
            Edge::Subnet(id) | Edge::Platform(id) => self.network.subnet(id).is_ok(),
            Edge::Nic(id) => self.network.nic(id).is_ok(),
            _ => true,
        };
        if !is_there {
            return Err(Cause::Withdrawn);
        }
        let path = self.path(from, &first).map_err(|_| Cause::PathSwitched)?;
        if path.method.is_some() != flow.translated {
            return Err(Cause::SourceSwitched);
        }
        if flow.translated && method_behind(&self.network, from, flow.external).is_none() {
            // N-28: the interface is still a member of the balancer that has the address.
            let has_both = |balancer: &LoadBalancer| {
                let is_member = balancer.members.keys().any(|member| from == Edge::Nic(*member));
                is_member && balancer.frontends.contains(flow.external.ip())
            };
            let reclaimed = self.network.load_balancers().any(|(_, balancer)| has_both(balancer));
            return Err(if reclaimed { Cause::PortReclaimed } else { Cause::Withdrawn });
        }
        let same_entry = self.entry(from, &first) == Ok(from);
        let same_way = path.to == flow.edges[1] || is_public(path.to) && is_public(flow.edges[1]);
        // N-07: whether the remote's address is the network's own matters only when a flow opens.
        let remote = *flow.remote.ip();
        let is_own = method_to(&self.network, from, remote).is_some_and(|own| own.is_at(remote));
        if !same_entry
            || !same_way
            || path.hairpins != flow.hairpins && is_own
            || [from, path.to].map(|edge| zone(&self.network, edge)) != flow.zones
        {
            return Err(Cause::PathSwitched);
        }
        let access = match self.network.deny_mode() {
            DenyMode::Deliver => self.access(&Flow { edges: [from, path.to], ..flow.clone() }),
            // A flow that was let in stays: the deny mode concerns new flows only.
            DenyMode::Reset | DenyMode::Drop => flow.access,
        };
        Ok((path.to, access))
    }

    /// Closes a flow (INV-reset-number-exact, U-01). Both ends get resets with exactly the numbers
    /// that they expect, the far one by the old path, and a tombstone stays. A flow without an open
    /// connection ends silently. A hairpin has two flows, which are closed together (T-33).
    pub(super) fn close(&mut self, at: usize, cause: Cause) {
        let Ok(flow) = self.flow(at) else { return };
        let other = self.other_half(&flow).map(|other| other.number);
        self.close_one(at, cause);
        if let Some(at) = self.flows.iter().position(|flow| Some(flow.number) == other) {
            self.close_one(at, cause);
        }
    }

    fn close_one(&mut self, at: usize, cause: Cause) {
        let Ok(flow) = self.flow(at) else { return };
        self.happenings.push(flow.happening(EventKind::Closed(cause)));
        // N-28, N-29: these flows end silently.
        let resets = match cause {
            Cause::PortReclaimed | Cause::Deallocated => None,
            _ => flow.resets(),
        };
        let Some(resets) = resets else { return self.end(at, cause, self.now) };
        for (side, reset) in resets.into_iter().enumerate() {
            // The far end of a hairpin is behind another flow, which is closed with this one.
            if self.is_notified(&flow, side) && !(flow.hairpins && side == 1) {
                self.originated.push((flow.edges[side], reset));
            }
        }
        let deadline = self.now + flow.timers.tombstone;
        if let Some(flow) = self.flows.get_mut(at) {
            flow.stage = Stage::Tombstone { cause, at: self.now, answers: [0; 2] };
            flow.deadline = deadline;
        }
    }

    /// Answers a later segment of a tombstone, at a limited rate. A reset gets no answer
    /// (INV-reset-answers-segment, INV-tombstone-answers).
    pub(super) fn answer(&mut self, at: usize, side: usize, edge: Edge, packet: &Packet) {
        let (now, rate) = (self.now, self.settings.flows.answers);
        let Ok(flow) = self.flow(at) else { return };
        let notified = self.is_notified(&flow, side);
        let Some(reset) = wire::reset_answering(packet).filter(|_| notified) else { return };
        if let Some(Flow { stage: Stage::Tombstone { at, answers, .. }, .. }) =
            self.flows.get_mut(at)
        {
            let earned = now.since(*at).as_nanos() / rate.interval.as_nanos().max(1);
            if u128::from(answers[side]) < u128::from(rate.burst) + earned {
                answers[side] += 1;
                self.originated.push((edge, reset));
            }
        }
    }

    fn is_notified(&self, flow: &Flow, side: usize) -> bool {
        match self.settings.closing {
            CloseMode::Both => true,
            CloseMode::Initiator => side == flow.initiator,
            CloseMode::Silent => false,
        }
    }
}
