//! What a change of configuration does to live flows: nothing, or an end that both sides hear of (S-17, S-18, R1 to R8).

use vnetem::{Cause, Closing, DenyMode, DropReason, Edge, EventKind, Fate, Mark};

use super::flow::{Flow, Stage, is_public, zone};
use super::wire::{self, Packet};
use super::{Model, drop, route};

impl Model {
    /// Judges a flow that a change may concern: it goes on if the same source and path would be chosen today, and is closed if not
    /// (S-17, S-18, N-07, N-08, U-02).
    /// A packet that goes no further leaves the old mark in place.
    pub(super) fn renew(&mut self, at: usize, goes_on: bool) -> Result<(), Fate> {
        let flow = self.flow(at)?;
        if !flow.touched || flow.is_tombstone() {
            return Ok(());
        }
        match self.judge(&flow) {
            Ok((to, mark)) => {
                if let Some(flow) = self.flows.get_mut(at).filter(|_| goes_on) {
                    flow.touched = false;
                    (flow.to, flow.mark) = (to, mark);
                }
                Ok(())
            }
            Err(cause) => {
                self.close(at, cause);
                drop(match cause {
                    Cause::SourceSwitched => DropReason::SourceSwitched,
                    Cause::Withdrawn => DropReason::Withdrawn,
                    _ => DropReason::PathSwitched,
                })
            }
        }
    }

    /// Whether a flow may go on, and if so towards what and with which mark. A service's public address may become the internet's and
    /// the reverse, since nothing of the flow's packets changes by it.
    pub(super) fn judge(&self, flow: &Flow) -> Result<(Edge, Mark), Cause> {
        let first = flow.first_packet();
        let is_there = match flow.from {
            Edge::Subnet(id) => self.network.subnet(id).is_ok(),
            Edge::Nic(id) => self.network.nic(id).is_ok(),
            _ => true,
        };
        if !is_there {
            return Err(Cause::Withdrawn);
        }
        let path = self.path(flow.from, &first).map_err(|_| Cause::PathSwitched)?;
        if path.pool.is_some() != flow.translated {
            return Err(Cause::SourceSwitched);
        }
        let address = *flow.external.ip();
        let keeps = match flow.from {
            _ if !flow.translated => true,
            Edge::Site(id) => self.network.site(id).is_ok_and(|site| site.nat.contains(&address)),
            edge => self
                .subnet_of(edge)
                .and_then(|id| self.network.subnet(id).ok())
                .is_some_and(|subnet| route::may_keep(subnet, address)),
        };
        if !keeps {
            return Err(Cause::Withdrawn);
        }
        let same_entry = self.entry(flow.from, &first) == Ok(flow.from);
        let same_way = path.to == flow.to || is_public(path.to) && is_public(flow.to);
        if !same_entry
            || !same_way
            || [flow.from, path.to].map(|edge| zone(&self.network, edge)) != flow.zones
        {
            return Err(Cause::PathSwitched);
        }
        let mark = match self.network.deny_mode() {
            DenyMode::Deliver => self.mark(&Flow { to: path.to, ..flow.clone() }),
            // Whoever was let in stays in: a denial is for those who ask to come in.
            DenyMode::Reset | DenyMode::Drop => flow.mark,
        };
        Ok((path.to, mark))
    }

    /// Closes a flow: resets to both ends with exactly the numbers that they expect, the far one by the old path, and a tombstone;
    /// what has no open connection ends in silence (nat.md 4.3, R3, U-01).
    pub(super) fn close(&mut self, at: usize, cause: Cause) {
        let Ok(flow) = self.flow(at) else { return };
        self.happenings.push(flow.happening(EventKind::Closed(cause)));
        let connection = match &flow.stage {
            Stage::Tcp(connection) if !connection.is_over() => connection,
            _ => return self.remove(at, cause, self.now),
        };
        let (inside, outside) = (connection.end_of(0), connection.end_of(1));
        let to_opener = wire::reset((flow.remote, flow.inside), outside.unwrap_or(0), inside);
        let to_far = wire::reset((flow.external, flow.remote), inside.unwrap_or(0), outside);
        match self.settings.closing {
            Closing::Both => self.originated.extend([(flow.from, to_opener), (flow.to, to_far)]),
            Closing::Opener => self.originated.push((flow.from, to_opener)),
            Closing::Silent => {}
        }
        let deadline = self.now + flow.timers.tombstone;
        if let Some(flow) = self.flows.get_mut(at) {
            flow.stage = Stage::Tombstone { cause, at: self.now, answers: 0 };
            flow.deadline = deadline;
        }
    }

    /// R4, R7: a tombstone answers each later segment but a reset, at a bounded rate.
    pub(super) fn answer(&mut self, at: usize, side: usize, edge: Edge, packet: &Packet) {
        let (now, rate) = (self.now, self.settings.flows.answers);
        let told = match self.settings.closing {
            Closing::Both => true,
            Closing::Opener => side == 0,
            Closing::Silent => false,
        };
        let Some(reset) = wire::reset_answering(packet).filter(|_| told) else { return };
        if let Some(Flow { stage: Stage::Tombstone { at, answers, .. }, .. }) =
            self.flows.get_mut(at)
        {
            let earned = now.since(*at).as_nanos() / rate.interval.as_nanos().max(1);
            if u128::from(*answers) < u128::from(rate.burst) + earned {
                *answers += 1;
                self.originated.push((edge, reset));
            }
        }
    }
}
