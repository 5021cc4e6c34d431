//! What opens a flow, and what becomes of a packet that has none.

use core::net::SocketAddrV4;

use vnetem::{MidStream, RuleDirection};
use vnetem_nat::Limits;

use super::*;

impl Model {
    /// A packet that may open a flow.
    pub(super) fn open(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
        observed: Observed,
        complaint: &mut Option<String>,
    ) -> Result<(Forward, Vec<u8>), Fate> {
        let Entered { edge, by, bytes } = *entered;
        if matches!(edge, Edge::Service { .. } | Edge::SameRegion { .. })
            || edge == Edge::Internet && route::is_ours(&self.network, *packet.destination.ip())
        {
            return self.unsolicited(entered, packet);
        }
        self.guard(edge, RuleDirection::Outbound, packet)?;
        let to_platform =
            self.subnet_of(edge).is_some() && route::is_platform(*packet.destination.ip());
        if !to_platform && !route::is_host(*packet.destination.ip()) {
            return drop(DropReason::MartianDestination);
        }
        let path = self.path(edge, packet).map_err(no_path)?;
        self.guard(path.to, RuleDirection::Inbound, packet)?;
        let pool = path.pool.transpose().map_err(no_path)?;
        if !opens(packet) {
            // N-16, T-19: behind a NAT gateway a segment of no flow is answered by a reset, and behind a pool that says so.
            let resets = self.rules(edge, pool.is_some()).mid_stream == MidStream::Reset;
            if pool.is_some() && (resets || self.is_behind_gateway(edge)) {
                self.originate(by, wire::reset_answering(packet));
            }
            return drop(DropReason::NoFlow);
        }
        let replaced = self.find(edge, packet.ends()).map(|(at, _)| at);
        let rules = self.rules(edge, pool.is_some());
        let mut flow = Flow {
            number: self.flows_made,
            protocol: packet.protocol,
            from: edge,
            to: path.to,
            zones: [zone(&self.network, edge), zone(&self.network, path.to)],
            inside: packet.source,
            external: packet.source,
            remote: packet.destination,
            translated: pool.is_some(),
            mark: Mark::Unjudged,
            stage: match packet.segment() {
                Some(segment) => Stage::Tcp(Connection::opened_by(&segment)),
                None => Stage::Datagrams(false),
            },
            started: self.now,
            deadline: self.now,
            timers: self.timers(edge, pool.is_some()),
            touched: false,
            whole: pool.is_some() && rules.is_independent(),
            limited: pool.is_some() && rules.limits != Limits::default(),
        };
        if let Some(pool) = &pool {
            if let Some(why) = self.over_limits(&rules.limits, flow.host(), replaced) {
                return self.refuse(why, rules.notice, entered, packet);
            }
            let free = self.free(pool, &rules, &flow);
            if free.is_empty() {
                return self.refuse(DropReason::SnatExhausted, rules.notice, entered, packet);
            }
            flow.external = match observed.chosen {
                Some(chosen) => match free.check(chosen) {
                    Ok(()) => chosen,
                    Err(why) => {
                        *complaint = Some(why);
                        return drop(DropReason::SnatExhausted);
                    }
                },
                // What was chosen is not seen: it must be one that is free and that the rules treat as they did.
                None => {
                    let judged_so = |external: &SocketAddrV4| {
                        let mark = self.mark(&Flow { external: *external, ..flow.clone() });
                        matches!(mark, Mark::Refused(_)) == observed.denied
                    };
                    let candidates = free.one_of_each_address();
                    let chosen =
                        candidates.iter().find(|one| judged_so(one)).or(candidates.first());
                    chosen.copied().unwrap_or(packet.source)
                }
            };
        }
        flow.mark = self.mark(&flow);
        if let Mark::Refused(refusal) = flow.mark
            && self.network.deny_mode() != DenyMode::Deliver
        {
            if self.network.deny_mode() == DenyMode::Reset {
                self.originate(by, wire::reset_answering(packet));
            }
            return Err(Fate::Deny(DenyReason::Refused(refusal)));
        }
        // T-01: a socket has one port, and one that it has from another pool is in the way; so is one that rests towards this remote.
        let has_another = flow.whole
            && self.mapping(flow.socket()).is_some_and(|mapping| mapping.external != flow.external);
        if has_another || flow.translated && self.is_resting(&flow) {
            return drop(DropReason::TupleInUse);
        }
        let reverse = (packet.protocol, flow.remote, flow.external);
        if self.find(flow.to, reverse).is_some_and(|(at, _)| Some(at) != replaced) {
            if flow.translated || !self.forwards(edge) || !self.forwards(flow.to) {
                return drop(DropReason::TupleInUse);
            }
            // a circle of appliances, until the time to live is over.
            self.check_ttl(entered, packet)?;
            self.check_size(entered, packet, flow.to)?;
            flow.mark = Mark::Unjudged;
            return Ok(flow.carry(0, bytes, packet));
        }
        if self.flows.len() - usize::from(replaced.is_some())
            >= self.settings.flows.capacity as usize
        {
            return drop(DropReason::FlowTableFull);
        }
        self.check_ttl(entered, packet)?;
        self.check_size(entered, packet, flow.to)?;
        self.join(&flow, &rules);
        if let Some(at) = replaced {
            let cause = self.flow(at)?.cause_of_expiry();
            self.end(at, cause, self.now);
        }
        flow.deadline = self.now + flow.timer();
        self.flows_made += 1;
        self.happenings.push(flow.happening(EventKind::Opened));
        let (number, forwarded) = (flow.number, flow.carry(0, bytes, packet));
        self.flows.push(flow);
        self.note_first(entered, packet, number, 0);
        Ok(forwarded)
    }

    /// From a service, or to an address that we translate to: what no flow asked for (N6). A NAT gateway answers segments (N-16).
    pub(super) fn unsolicited(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<(Forward, Vec<u8>), Fate> {
        if !is_public(entered.edge) {
            return drop(DropReason::NoFlow);
        }
        let destination = packet.destination.ip();
        let gateway = self.network.subnets().any(|(_, subnet)| {
            matches!(&subnet.outbound, Outbound::NatGateway(all) if all.contains(destination))
        });
        if gateway && packet.segment().is_some_and(|segment| !segment.has(SYN)) {
            self.originate(entered.by, wire::reset_answering(packet));
        }
        drop(DropReason::Unsolicited)
    }

    /// N10: whether the public tuple of a flow rests towards its remote.
    fn is_resting(&self, flow: &Flow) -> bool {
        self.rests.iter().any(|rest| {
            (rest.protocol, rest.external, rest.remote)
                == (flow.protocol, flow.external, Some(flow.remote))
        })
    }

    pub(super) fn is_behind_gateway(&self, edge: Edge) -> bool {
        let subnet = self.subnet_of(edge).and_then(|id| self.network.subnet(id).ok());
        subnet.is_some_and(|subnet| matches!(subnet.outbound, Outbound::NatGateway(_)))
    }
}

/// Which first packets open a flow (P-25, T-20).
pub(super) fn opens(packet: &Packet) -> bool {
    match packet.kind {
        Kind::Tcp(segment) => segment.flags & (SYN | ACK | RST | FIN) == SYN,
        Kind::Udp | Kind::IcmpRequest => true,
        Kind::Other => packet.protocol != TCP,
        Kind::IcmpReply | Kind::IcmpError | Kind::IcmpOther => false,
    }
}
