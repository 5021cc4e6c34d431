//! Drives the data plane and the model alike, and compares them after each step.

use vnetem::{
    AccessVerdict, DenyReason, DropReason,
    authz::Refusal,
    nat::{Direction, TranslationEvent},
    trace::{Step as TraceStep, Trace},
};

use super::*;

impl Runner {
    /// Sends one packet through both.
    pub(super) fn send(
        &mut self,
        edge: Edge,
        bytes: Vec<u8>,
        twist: Twist,
    ) -> Result<Option<(Forward, Packet)>, String> {
        let edge =
            if twist.changes_edge() { pick(&world::hosts(&self.world), twist.at).0 } else { edge };
        let before = twisted(bytes, twist);
        let before = self.tunnels.come(edge, &before)?.unwrap_or(before);
        // Shards forget former owners of addresses.
        let called = Packet::read(&before).map(|packet| *packet.destination.ip());
        let of_pools = |at: Ipv4Addr| matches!(at.octets(), [20, ..] | [203, 0, 113, _]);
        if self.world.wide && called.is_ok_and(|at| of_pools(at) && self.model.is_given_up(at)) {
            return Ok(None);
        }
        self.transcript.push(Line::In(edge, before.clone()));
        if self.records {
            self.calls.push(Call::Packet(self.now, edge, before.clone()));
        }
        let mut after = before.clone();
        let (at, shard) = self.planes.place(edge, &before);
        let trace = self.planes.trace(at, self.now, edge, &before);
        let traced = trace.verdict;
        let verdict = self.planes.process(at, self.now, edge, &mut after);
        let said = Disposition::of(verdict.disposition, self.planes.only().snapshot());
        self.transcript.push(Line::Out(said, after.clone()));
        if self.records {
            self.outputs.push(Output { edge, disposition: Some(said), bytes: after.clone() });
        }
        if traced != verdict {
            return Err(format!("the trace said {traced:?} (INV-trace-equals-verdict)"));
        }
        self.compare_missed(edge, &before, &trace)?;
        if verdict.generation != self.planes.generation() {
            return Err(
                "decided by another generation than the present one (INV-one-generation-decides)"
                    .into(),
            );
        }
        self.listen();
        let chosen = self.chosen_for(&before);
        let observed = Observed { chosen, denied: matches!(said, Disposition::Deny(_)), shard };
        let Expected { disposition, bytes } =
            self.model.process(self.now, edge, &before, observed)?;
        if disposition != said {
            return Err(format!("fate: the model says {disposition:?}"));
        }
        if bytes != after {
            return Err(format!("bytes: the model says {}", shown(&bytes)));
        }
        self.count(&said);
        self.count_translation(edge, &said);
        self.count_rules(&trace);
        self.coverage.delayed += u64::from(self.is_delayed(edge));
        self.coverage.picked_up += u64::from(chosen.is_some() && is_mid_stream(&before));
        self.ledger.packet(&said, edge, &before, &after)?;
        self.after()?;
        let Disposition::Forward(forward) = said else { return Ok(None) };
        self.coverage.tunnelled += u64::from(self.tunnels.leave(forward.to, &after)?);
        Ok(Packet::read(&after).ok().map(|packet| (forward, packet)))
    }

    pub(super) fn count(&mut self, disposition: &Disposition) {
        let by_policy = Refusal::NotInEndpointPolicy;
        let Disposition::Forward(forward) = disposition else {
            self.coverage.stopped += 1;
            self.coverage.unfit +=
                u64::from(*disposition == Disposition::Drop(DropReason::TcpInvalid));
            self.coverage.spoofed +=
                u64::from(*disposition == Disposition::Drop(DropReason::SpoofedSource));
            let mappings = *disposition == Disposition::Drop(DropReason::MappingTableFull);
            self.coverage.full_mappings += u64::from(mappings);
            self.coverage.full_cells +=
                u64::from(*disposition == Disposition::Drop(DropReason::CellTableFull));
            self.coverage.too_long +=
                u64::from(*disposition == Disposition::Drop(DropReason::TooLong));
            self.coverage.policed +=
                u64::from(*disposition == Disposition::Deny(DenyReason::Refused(by_policy)));
            return;
        };
        self.coverage.policed += u64::from(forward.access == AccessVerdict::Refused(by_policy));
        match forward.direction {
            Direction::Original => self.coverage.forward += 1,
            Direction::Reply => self.coverage.reverse += 1,
        }
        self.coverage.translated += u64::from(forward.source != SourceMode::Preserved);
        self.coverage.private += u64::from(matches!(forward.to, Edge::PrivateEndpoint(_)));
        self.coverage.same_region += u64::from(matches!(forward.to, Edge::SameRegion { .. }));
        self.coverage.endpoint +=
            u64::from(matches!(forward.to, Edge::Service { identity: Some(_), .. }));
    }

    /// Counts which translation a packet used.
    fn count_translation(&mut self, edge: Edge, disposition: &Disposition) {
        let Disposition::Forward(Forward { to, direction, source, .. }) = *disposition else {
            return;
        };
        let private = |edge| matches!(edge, Edge::Subnet(_) | Edge::Nic(_) | Edge::Site(_));
        let coverage = &mut self.coverage;
        let public = matches!(edge, Edge::Internet | Edge::Service { identity: None, .. });
        if direction == Direction::Original && public && private(to) {
            coverage.inbound += 1;
        }
        let SourceMode::Translated(external) = source else { return };
        coverage.hairpinned += u64::from(private(edge) && private(to));
        let of = |all: &[Ipv4Addr]| u64::from(all.contains(external.ip()));
        coverage.balanced += of(&world::FRONTENDS);
        coverage.one_to_one += of(&world::INSTANCES);
        coverage.blocks += u64::from(world::BLOCKS.contains(&external.port()));
        coverage.circuit += u64::from(matches!(external.ip().octets(), [203, 0, 113, 60..=255]));
    }

    /// Returns whether a change of an endpoint has not reached all hosts of an edge.
    fn is_delayed(&self, edge: Edge) -> bool {
        let subnet = match edge {
            Edge::Subnet(id) => Some(id),
            Edge::Nic(id) => self.network.nic(id).ok().map(|nic| nic.subnet),
            _ => None,
        };
        let subnet = subnet.and_then(|id| self.network.subnet(id).ok());
        subnet.is_some_and(|subnet| !subnet.rollout_states.is_empty())
    }

    /// Counts which rules of security groups decided.
    fn count_rules(&mut self, trace: &Trace) {
        for step in &trace.steps {
            self.coverage.elsewhere += u64::from(matches!(step, TraceStep::Answer { .. }));
            if let TraceStep::Security { rule: Some(rule), .. } = step {
                self.coverage.by_tag += u64::from((world::FIRST_OF_TAGS..=4096).contains(rule));
                self.coverage.by_default_rule += u64::from(*rule > 4096);
            }
        }
    }

    pub(super) fn change(&mut self, edit: Edit, drain: bool) -> Result<(), String> {
        if self.is_tight && edit.moves_services() {
            return Ok(());
        }
        let mut is_done = false;
        let lacks = edit.lacks_an_endpoint(&self.network, &self.world);
        let (now, mut rollout) = (self.now, core::mem::take(&mut self.rollout));
        let made = self.change_by(drain, |network, world| {
            let done = edit.make(network, world, (now, &mut rollout));
            is_done = done.is_ok();
            done
        });
        self.rollout = rollout;
        made?;
        if is_done && lacks {
            return Err("a rule was taken for a subnet without the endpoint (E-14)".into());
        }
        match is_done && edit.is_illegal() {
            true => Err("an edit was taken that must be refused (INV-failed-edit-changes-nothing, INV-accepted-edit-in-force)".into()),
            false => Ok(()),
        }
    }

    /// Lets pending changes go on. Each of their stages is a change like any other (S-28, S-29).
    pub(super) fn roll_out(&mut self) -> Result<(), String> {
        while self.rollout.poll_timeout().is_some_and(|due| due <= self.now) {
            let (now, mut rollout) = (self.now, core::mem::take(&mut self.rollout));
            let made = self.change_by(false, |network, _| {
                rollout.handle_timeout(now, network);
                Ok(())
            });
            self.rollout = rollout;
            made?;
            self.coverage.stages += 1;
        }
        Ok(())
    }

    pub(super) fn change_by(
        &mut self,
        drain: bool,
        edit: impl FnOnce(&mut Network, &World) -> Result<(), EditError>,
    ) -> Result<(), String> {
        let before = self.network.commit();
        let done = edit(&mut self.network, &self.world);
        if let Err(error) = done {
            self.coverage.refused += 1;
            self.transcript.push(Line::Text(format!("    refused: {error}")));
            if self.network != *self.model.network()
                || !Arc::ptr_eq(&self.network.commit(), &before)
            {
                return Err(
                    "a refused edit changed something (INV-failed-edit-changes-nothing)".into()
                );
            }
            return Ok(());
        }
        let snapshot = self.network.commit();
        if !Arc::ptr_eq(&snapshot, &before) && snapshot.generation() <= before.generation() {
            return Err("a change did not raise the generation".into());
        }
        if self.records {
            self.calls.push(Call::Apply(self.now, Arc::clone(&snapshot)));
        }
        self.planes.apply(self.now, &snapshot);
        self.model.apply(self.now, &self.network)?;
        self.undrained = true;
        self.compare_routes()?;
        if drain || self.is_tight { self.drain() } else { self.after() }
    }

    /// Takes everything: all flows that a change closes are closed, and packets that the data plane
    /// made leave.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        self.model.drain(self.now);
        self.undrained = false;
        self.after()
    }

    /// Lets both end what has timed out.
    pub(super) fn sweep(&mut self) -> Result<(), String> {
        for _ in 0..10_000 {
            if self.undrained || !self.planes.is_due(self.now) {
                break;
            }
            self.planes.handle_timeout(self.now);
            self.collect_transmits()?;
        }
        if !self.undrained && self.planes.is_due(self.now) {
            return Err("handle_timeout never comes to an end".into());
        }
        // Only where time has passed, so that packets of one time stay together and make a batch.
        if self.records && self.calls.last().is_none_or(|call| call.time() != self.now) {
            self.calls.push(Call::Timeout(self.now));
        }
        self.planes.handle_timeout(self.now);
        self.model.expire(self.now);
        self.after()?;
        // A caller that waits for `poll_timeout` must not come late.
        let (due, asked) = (self.model.due(), self.planes.due());
        match due.is_some_and(|due| asked.is_none_or(|asked| asked > due)) {
            true => Err(format!("something is due at {due:?}, and poll_timeout says {asked:?}")),
            false => Ok(()),
        }
    }

    /// Checks after each step: packets made, events, and every sum that must add up.
    pub(super) fn after(&mut self) -> Result<(), String> {
        if !self.undrained {
            self.collect_transmits()?;
            let expected = self.model.take_originated();
            self.ledger.compare_originated(expected)?;
        }
        self.listen();
        let events = core::mem::take(&mut self.heard);
        let translations = core::mem::take(&mut self.translations);
        if !self.undrained {
            self.ledger.happened(&events, &self.model.take_happenings())?;
            self.ledger.translated(&translations, &self.model.take_translations())?;
            self.ledger.flows(&self.planes, &self.model)?;
        } else {
            self.ledger.hold(events, translations);
        }
        self.ledger.conservation(&self.planes)
    }

    /// Takes flow and translation events.
    fn listen(&mut self) {
        while let Some(event) = self.planes.poll_event() {
            self.coverage.closed += u64::from(matches!(event.kind, EventKind::Closed(_)));
            let tuple = event.tuple;
            let initiator = (tuple.protocol.0, tuple.source, tuple.destination);
            let vnetem::Event { kind, external, state, .. } = event;
            self.heard.push(Happening { kind, initiator, external, state });
        }
        while let Some(event) = self.planes.poll_translation_event() {
            self.coverage.translations += 1;
            let TranslationEvent { kind, internal, external, remote, .. } = event;
            let protocol = event.protocol.0;
            self.translations.push(Translation { kind, protocol, internal, external, remote });
        }
    }

    /// Returns the public source of the flow that a packet has just opened.
    fn chosen_for(&self, packet: &[u8]) -> Option<SocketAddrV4> {
        let ends = Packet::read(packet).ok()?.ends();
        let opened =
            |event: &&Happening| event.kind == EventKind::Opened && event.initiator == ends;
        Some(self.heard.iter().rfind(opened)?.external)
    }

    /// Takes the packets that the data plane made.
    pub(super) fn collect_transmits(&mut self) -> Result<(), String> {
        while let Some(transmit) = self.planes.poll_transmit(self.now) {
            self.coverage.originated += 1;
            let (edge, bytes) = (transmit.to, transmit.packet.to_vec());
            if self.records {
                self.outputs.push(Output { edge, disposition: None, bytes: bytes.clone() });
            }
            self.transcript.push(Line::Made(edge, bytes));
            self.ledger.originated(transmit.to, &transmit.packet)?;
            self.tunnels.leave(transmit.to, &transmit.packet)?;
        }
        Ok(())
    }
}

/// Returns whether a packet can open a flow only by loose pick-up.
fn is_mid_stream(packet: &[u8]) -> bool {
    let segment = Packet::read(packet).ok().and_then(|packet| packet.segment());
    segment.is_some_and(|segment| !segment.has(SYN))
}
