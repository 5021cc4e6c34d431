//! Forwards a packet of a known flow: tracking, TTL, MTU of the next link, and rewriting.

use vnetem::authz::RuleDirection;

use super::flow::first_packet;
use super::*;

impl Model {
    /// Processes a packet of a known flow.
    pub(super) fn hit(
        &mut self,
        at: usize,
        side: usize,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<Passed, Disposition> {
        let flow = self.flow(at)?;
        if flow.is_tombstone() {
            if !entered.hairpinned {
                self.answer(at, side, entered.by, packet);
            }
            return drop(DropReason::FlowClosed);
        }
        if packet.part != Part::Whole && !self.carries_fragments(&flow) {
            return drop(DropReason::OutboundUnsupported);
        }
        let elsewhere = self.way_of_answer(&flow, side)?;
        self.check_ttl(entered, packet)?;
        self.check_size(entered, packet, self.size_of_way(&flow, side, elsewhere))?;
        self.track(at, side, packet)?;
        let asked = elsewhere.and_then(|to| self.asked_by(to, packet.ends()));
        if let Some((at, side)) = asked {
            self.track(at, side, packet)?;
        }
        let flow = self.flow(at)?;
        self.note_first(entered, packet, &flow, side);
        Ok(match elsewhere {
            Some(to) => flow.carry_elsewhere(side, to, entered.bytes, packet),
            None => self.carry(&flow, side, entered.bytes, packet),
        })
    }

    /// Tracks a packet from a side of a flow.
    fn track(&mut self, at: usize, side: usize, packet: &Packet) -> Result<(), Disposition> {
        let (now, refreshes) = (self.now, self.settings.flows.inbound_refreshes);
        let Some(flow) = self.flows.get_mut(at) else { return drop(DropReason::NoFlow) };
        let (initiator, from) = (flow.initiator, side ^ flow.initiator);
        let restarts = match (&mut flow.stage, packet.segment()) {
            (Stage::Tcp(connection), Some(segment)) => match connection.take(from, &segment) {
                Meaning::Invalid => return drop(DropReason::TcpInvalid),
                meaning => meaning == Meaning::Fits,
            },
            (Stage::Datagrams(answered), _) => {
                *answered |= side != initiator;
                side == 0 || refreshes
            }
            _ => false,
        };
        if restarts {
            flow.started = now;
        }
        // A reply changes the timer of datagrams also where it does not restart it (T-13).
        flow.deadline = flow.started + flow.timer();
        Ok(())
    }

    /// Returns the flow by which the machine at an edge called the sender of a packet, and the side
    /// of the reply.
    fn asked_by(
        &self,
        to: Edge,
        (protocol, source, destination): (u8, SocketAddrV4, SocketAddrV4),
    ) -> Option<(usize, usize)> {
        let question = (protocol, destination, source);
        let (at, side) = self.find_in(zone(&self.network, to), question)?;
        let flow = self.flows.get(at)?;
        let asks = side == flow.initiator && flow.edges[side] == to;
        (asks && !flow.is_tombstone()).then_some((at, 1 - side))
    }

    /// Rewrites a packet of a flow. The pool of its initiator may lower the segment size of a SYN
    /// (T-36).
    pub(super) fn carry(&self, flow: &Flow, side: usize, bytes: &[u8], packet: &Packet) -> Passed {
        let passed = flow.carry(side, bytes, packet);
        if !flow.translated || !packet.segment().is_some_and(|segment| segment.has(SYN)) {
            return passed;
        }
        let method = methods(&self.network, flow.edges[0]).into_iter().next();
        let method = method.filter(|method| method.has(flow.external));
        match method.and_then(|method| method.rules(flow.protocol).segment_size) {
            Some(limit) => Passed { bytes: wire::clamp(passed.bytes, packet, limit), ..passed },
            None => passed,
        }
    }

    pub(super) fn originate(&mut self, to: Edge, packet: Option<Vec<u8>>) {
        self.originated.extend(packet.map(|packet| (to, packet)));
    }

    /// Drops a packet with a TTL of 0 or 1, and sends an ICMP error to its sender
    /// (INV-last-hop-ends, T-26).
    pub(super) fn check_ttl(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<(), Disposition> {
        if packet.ttl > 1 {
            return Ok(());
        }
        if packet.kind != Kind::IcmpError && !matches!(packet.part, Part::Later { .. }) {
            let router = self.router(entered.by, *packet.destination.ip());
            self.originate(entered.by, Some(wire::time_exceeded(router, entered.bytes, packet)));
        }
        drop(DropReason::TtlExpired)
    }

    /// Drops a packet longer than the next link's MTU, and never fragments it. If it must not be
    /// fragmented, its sender gets an ICMP error with the size (INV-never-fragments, T-27).
    pub(super) fn check_size(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
        size: u16,
    ) -> Result<(), Disposition> {
        // A hairpin packet was checked before it came in again.
        if packet.total <= usize::from(size) || entered.hairpinned {
            return Ok(());
        }
        let is_notified =
            packet.kind != Kind::IcmpError && !matches!(packet.part, Part::Later { .. });
        if packet.dont_fragment && is_notified {
            let router = self.router(entered.by, *packet.destination.ip());
            let error = wire::too_long(router, size, entered.bytes, packet);
            self.originate(entered.by, Some(error));
        }
        drop(DropReason::TooLong)
    }

    /// Returns the edge by which a reply leaves if the sender's routes do not lead back to the
    /// initiator, or why it goes nowhere. Returns `None` where it goes back, as everywhere
    /// except at hosts that were called from outside.
    pub(super) fn way_of_answer(
        &self,
        flow: &Flow,
        side: usize,
    ) -> Result<Option<Edge>, Disposition> {
        let (from, back) = (flow.edges[side], flow.edges[flow.initiator]);
        if side == flow.initiator || self.subnet_of(from).is_none() {
            return Ok(None);
        }
        let ends =
            if side == 0 { (flow.internal, flow.remote) } else { (flow.remote, flow.internal) };
        let answer = first_packet(flow.protocol, ends.0, ends.1);
        let by_appliance = self.forwards(back) && !self.is_own(back, *ends.1.ip());
        if flow.initiator == 0 && !matches!(back, Edge::Site(_)) && !by_appliance {
            return Ok(None);
        }
        let path = self.path(from, &answer).map_err(no_path)?;
        match path.method {
            // What was translated on its way in is translated by the same flow on its way out.
            Some(_) if flow.initiator == 1 => Ok(None),
            Some(Err(why)) => Err(no_path(why)),
            Some(Ok(_)) => drop(DropReason::NoFlow),
            None if flow.initiator == 0 && path.to == back => Ok(None),
            None => {
                // P-11: a reply needs no rule.
                if self.asked_by(path.to, answer.ends()).is_none() {
                    self.guard(path.to, RuleDirection::Inbound, &answer)?;
                }
                Ok(Some(path.to))
            }
        }
    }

    /// Returns whether an address is the interface's own.
    fn is_own(&self, edge: Edge, at: Ipv4Addr) -> bool {
        match edge {
            Edge::Nic(id) => self.network.nic(id).is_ok_and(|nic| nic.address == at),
            _ => false,
        }
    }

    /// Returns the MTU of the link by which a packet from a side of a flow leaves. The link may be
    /// another than the flow's.
    pub(super) fn size_of_way(&self, flow: &Flow, side: usize, elsewhere: Option<Edge>) -> u16 {
        let sizes = self.settings.mtu;
        match elsewhere {
            Some(to) if is_public(to) => sizes.public,
            Some(_) => sizes.private,
            None => self.size_behind(flow, side),
        }
    }

    /// Returns the MTU of the link by which a packet from a side of a flow leaves. A hairpin leaves
    /// by a private one.
    pub(super) fn size_behind(&self, flow: &Flow, side: usize) -> u16 {
        let sizes = self.settings.mtu;
        let hairpins = flow.hairpins && side == 0;
        let is_out = !hairpins && is_public(flow.edges[1 - side]);
        if is_out { sizes.public } else { sizes.private }
    }
}
