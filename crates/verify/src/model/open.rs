//! Opens flows, and decides packets that have none.

use core::net::SocketAddrV4;

use vnetem::{
    authz::RuleDirection,
    nat::{LoosePickup, TimerProfile},
};
use vnetem_nat::Limits;

use super::*;

impl Model {
    /// Processes a packet that may open a flow.
    pub(super) fn open(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
        observed: Observed,
        icmp_error: &mut Option<String>,
    ) -> Result<Passed, Disposition> {
        let Entered { edge, by, .. } = *entered;
        let only_answers = matches!(
            edge,
            Edge::Service { .. } | Edge::SameRegion { .. } | Edge::PrivateEndpoint(_)
        );
        if only_answers
            || edge == Edge::Internet && address::is_ours(&self.network, *packet.destination.ip())
        {
            return self.uninvited(entered, packet);
        }
        self.guard(edge, RuleDirection::Outbound, packet)?;
        let to_platform =
            self.subnet_of(edge).is_some() && route::is_platform(*packet.destination.ip());
        if !to_platform && !address::is_host(*packet.destination.ip()) {
            return drop(DropReason::MartianDestination);
        }
        let path = self.path(edge, packet).map_err(no_path)?;
        if self.is_spoofed(entered, path.to, *packet.source.ip()) {
            return drop(DropReason::SpoofedSource);
        }
        self.guard(path.to, RuleDirection::Inbound, packet)?;
        let method = path.method.transpose().map_err(no_path)?;
        let method = method.map(|method| method.of_shard(observed.shard));
        let loose_pickup = method.as_ref().map(|method| method.rules(packet.protocol).loose_pickup);
        let picks_up = loose_pickup == Some(LoosePickup::PickUp) && is_acknowledgement(packet);
        if !opens(packet) && !picks_up {
            // N-16, T-19: a NAT gateway answers a segment without a flow by a reset, and so does a
            // pool whose rules say so.
            let resets = method.as_ref().is_some_and(|method| {
                method.kind == MethodKind::NatGateway || loose_pickup == Some(LoosePickup::Reset)
            });
            if resets {
                self.originate(by, wire::reset_answering(packet));
            }
            return drop(DropReason::NoFlow);
        }
        let replaced = self.find(edge, packet.ends()).map(|(at, _)| at);
        let mut flow = Flow {
            edges: [edge, path.to],
            hairpins: path.hairpins,
            zones: [edge, path.to].map(|edge| zone(&self.network, edge)),
            translated: method.is_some(),
            ..self.new_flow(packet)
        };
        if let Some(method) = &method {
            let rules = method.rules(packet.protocol);
            let profile = method.timers(packet.protocol);
            (flow.timers, flow.hold) = (self.timers_of(profile), self.hold_of(profile));
            flow.one_to_one = method.kind == MethodKind::Instance;
            // Protocols without ports share nothing.
            if matches!(packet.protocol, TCP | wire::UDP | wire::ICMP) && !flow.one_to_one {
                flow.share = rules::share_of(&rules);
                flow.limited = rules.limits != Limits::default();
                flow.pays = rules.limits.rate.map(|rate| rate.interval);
            }
            match self.choose(method, &mut flow, replaced, observed) {
                Ok(()) => {}
                Err(Unchosen::Refused(why)) => {
                    self.record_refusal(why, packet);
                    return self.refuse(why, rules.on_exhaustion, entered, packet);
                }
                Err(Unchosen::Wrong(why)) => {
                    *icmp_error = Some(why);
                    return drop(DropReason::SnatExhausted);
                }
            }
        }
        flow.access = self.access(&flow);
        if let AccessVerdict::Refused(refusal) = flow.access
            && self.network.deny_mode() != DenyMode::Deliver
        {
            if self.network.deny_mode() == DenyMode::Reset {
                self.originate(by, wire::reset_answering(packet));
            }
            return Err(Disposition::Deny(DenyReason::Refused(refusal)));
        }
        self.enter(entered, packet, flow, replaced)
    }

    /// Gives a flow its public source: the one that the data plane chose, if that is allowed.
    fn choose(
        &mut self,
        method: &Method,
        flow: &mut Flow,
        replaced: Option<usize>,
        observed: Observed,
    ) -> Result<(), Unchosen> {
        // N-11: the interface has the address for itself, so the port is its own.
        if flow.one_to_one {
            let address = method.pieces.first().map(|piece| piece.0);
            let address = address.ok_or(Unchosen::Refused(DropReason::SnatExhausted))?;
            flow.external = SocketAddrV4::new(address, flow.internal.port());
            return Ok(());
        }
        let limits = method.rules(flow.protocol).limits;
        if let Some(why) = self.over_limits(&limits, flow.host(), replaced) {
            return Err(Unchosen::Refused(why));
        }
        let free = self.free(method, flow, replaced).map_err(Unchosen::Refused)?;
        if !free.has_own() && self.has_all_ports(&limits, flow.host()) {
            return Err(Unchosen::Refused(DropReason::PortQuota));
        }
        if free.is_empty() {
            return Err(Unchosen::Refused(DropReason::SnatExhausted));
        }
        flow.external = match observed.chosen {
            Some(chosen) => {
                free.check(chosen).map_err(Unchosen::Wrong)?;
                self.note_pair(&free, chosen);
                chosen
            }
            // The chosen source is not visible. It must be a free one for which all rules give the
            // same result.
            None => {
                let judged_so = |external: &SocketAddrV4| {
                    let access = self.access(&Flow { external: *external, ..flow.clone() });
                    matches!(access, AccessVerdict::Refused(_)) == observed.denied
                };
                let candidates = free.one_of_each_address();
                let chosen = candidates.iter().find(|one| judged_so(one)).or(candidates.first());
                chosen.copied().unwrap_or(flow.internal)
            }
        };
        flow.block = free.block_of(method, flow.external);
        // The owner of a block is recorded, as an internal address with limits is.
        flow.limited |= flow.block.is_some();
        Ok(())
    }

    /// Opens a flow with its first packet, if there is room.
    pub(super) fn enter(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
        mut flow: Flow,
        replaced: Option<usize>,
    ) -> Result<Passed, Disposition> {
        let initiator = flow.initiator;
        // T-01: a mapping has one port. One in hold-down towards this remote prevents the flow, and
        // so does a mapping of another pool.
        if flow.translated && !flow.one_to_one && self.is_resting(&flow) {
            return drop(DropReason::TupleHeld);
        }
        let has_another = rules::is_whole(flow.share)
            && self.mapping(&flow).is_some_and(|mapping| mapping.external != flow.external);
        if has_another {
            return drop(DropReason::TupleInUse);
        }
        let far = [
            (flow.zones[1], (flow.protocol, flow.remote, flow.external)),
            (flow.zones[0], (flow.protocol, flow.internal, flow.remote)),
        ];
        let (zone, ends) = far[initiator];
        let in_the_way =
            self.find_in(zone, ends).map(|(at, _)| at).filter(|at| Some(*at) != replaced);
        // U-12: a tombstone whose tuple has left hold-down keeps it from nobody.
        let is_left = |at: usize| initiator == 0 && self.flows[at].released;
        let displaced = in_the_way.filter(|at| is_left(*at));
        if in_the_way != displaced {
            if flow.translated || !flow.edges.iter().all(|edge| self.forwards(*edge)) {
                return drop(DropReason::TupleInUse);
            }
            // a loop of appliances goes on until the TTL ends.
            self.check_ttl(entered, packet)?;
            self.check_size(entered, packet, self.size_behind(&flow, initiator))?;
            flow.access = AccessVerdict::Unjudged;
            return Ok(flow.carry(initiator, entered.bytes, packet));
        }
        let mut gone: Vec<usize> = [replaced, displaced].into_iter().flatten().collect();
        flow.tenant = self.tenant(flow.edges[0]);
        flow.revalidation_key = self.revalidation_key(&flow);
        self.find_place(&flow, &gone)?;
        self.check_ttl(entered, packet)?;
        self.check_size(entered, packet, self.size_behind(&flow, initiator))?;
        self.join(&flow);
        gone.sort_unstable();
        for at in gone.into_iter().rev() {
            let cause = self.flow(at)?.cause_of_expiry();
            self.end(at, cause, self.now);
        }
        flow.deadline = self.now + flow.timer();
        self.flows_made += 1;
        self.forgive(&flow);
        self.happenings.push(flow.happening(EventKind::Opened));
        self.record_opening(&flow);
        let passed = self.carry(&flow, initiator, entered.bytes, packet);
        self.flows.push(flow.clone());
        self.note_first(entered, packet, &flow, initiator);
        Ok(passed)
    }

    /// Makes a flow from the internal side by its first packet, without translation.
    pub(super) fn new_flow(&self, packet: &Packet) -> Flow {
        Flow {
            number: self.flows_made,
            protocol: packet.protocol,
            initiator: 0,
            edges: [Edge::Internet; 2],
            tenant: None,
            revalidation_key: (None, None),
            hairpins: false,
            zones: [Zone::Public; 2],
            internal: packet.source,
            external: packet.source,
            remote: packet.destination,
            translated: false,
            access: AccessVerdict::Unjudged,
            stage: match packet.segment() {
                Some(segment) => {
                    Stage::Tcp(Connection::opened_by(&segment, self.settings.flows.strict_windows))
                }
                None => Stage::Datagrams(false),
            },
            started: self.now,
            deadline: self.now,
            timers: self.timers_of(TimerProfile::Table),
            hold: self.hold_of(TimerProfile::Table),
            released: false,
            share: Share::Nothing,
            one_to_one: false,
            limited: false,
            pays: None,
            block: None,
            invalidated: false,
        }
    }

    /// Returns whether the public tuple of a flow is in hold-down towards its remote
    /// (INV-hold-down-kept).
    fn is_resting(&self, flow: &Flow) -> bool {
        self.rests.iter().any(|rest| {
            (rest.protocol, rest.external, rest.remote)
                == (flow.protocol, flow.external, Some(flow.remote))
        })
    }
}

/// Why a flow gets no public source: it is refused, or the data plane chose one that is not
/// allowed.
enum Unchosen {
    Refused(DropReason),
    Wrong(String),
}

/// Returns whether a first packet opens a flow (P-25, T-20).
pub(super) fn opens(packet: &Packet) -> bool {
    match packet.kind {
        Kind::Tcp(segment) => segment.flags & (SYN | ACK | RST | FIN) == SYN,
        Kind::Udp | Kind::IcmpRequest => true,
        Kind::Other => packet.protocol != TCP,
        Kind::IcmpReply | Kind::IcmpError | Kind::IcmpOther => false,
    }
}

/// Returns whether a segment shows an open connection, which may be picked up in the middle where
/// the pool allows it (T-19). A FIN or a SYN and ACK does not (T-20).
fn is_acknowledgement(packet: &Packet) -> bool {
    packet.segment().is_some_and(|segment| segment.flags & (SYN | ACK | RST | FIN) == ACK)
}
