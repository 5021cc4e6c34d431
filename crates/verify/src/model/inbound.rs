//! Packets from the public side without a flow. They go to an interface's own address, to a mapping
//! whose filter lets them in, or are dropped (N-11, N-16, T-03, T-16, INV-unsolicited-dropped).

use vnetem::{
    authz::RuleDirection,
    nat::{Block, Filtering, TimerProfile},
};

use super::flow::{Tenant, first_packet};
use super::*;

/// An unsolicited SYN, and when it is answered (T-16, RFC 5382 REQ-4).
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    due: Time,
    edge: Edge,
    bytes: Vec<u8>,
    packet: Packet,
    /// The tenant that owns the address to which it was sent.
    tenant: Option<Tenant>,
}

impl Waiting {
    pub(super) const fn due(&self) -> Time {
        self.due
    }
}

/// The receiver of a packet.
struct Taker {
    edge: Edge,
    internal: SocketAddrV4,
    share: Share,
    limited: bool,
    block: Option<Block>,
    timers: TimerProfile,
    one_to_one: bool,
}

impl Model {
    /// Processes an unsolicited packet from a service or to a translated address
    /// (INV-unsolicited-dropped).
    pub(super) fn uninvited(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<Passed, Disposition> {
        if !is_public(entered.edge) {
            return drop(DropReason::NoFlow);
        }
        let address = *packet.destination.ip();
        let of_nic = self.network.nics().find(|(_, nic)| nic.public == Some(address));
        if let Some((id, nic)) = of_nic.filter(|_| entered.edge == Edge::Internet) {
            if nic.deallocated {
                return drop(DropReason::NoSuchHost);
            }
            if !opens(packet) {
                return drop(DropReason::NoFlow);
            }
            if !matches!(packet.protocol, TCP | wire::UDP | wire::ICMP | 50) {
                return drop(DropReason::OutboundUnsupported);
            }
            let taker = Taker {
                edge: Edge::Nic(id),
                internal: SocketAddrV4::new(nic.address, packet.destination.port()),
                share: Share::Nothing,
                limited: false,
                block: None,
                timers: nic.idle.map_or(TimerProfile::Table, TimerProfile::Azure),
                one_to_one: true,
            };
            return self.let_in(entered, packet, &taker);
        }
        if let Some(taker) = self.taker(packet).filter(|_| opens(packet)) {
            return self.let_in(entered, packet, &taker);
        }
        self.send_away(entered, packet);
        drop(DropReason::Unsolicited)
    }

    /// Answers a segment to a NAT gateway at once (N-16), and a SYN after a while where its pool
    /// says so (T-16).
    fn send_away(&mut self, entered: &Entered<'_>, packet: &Packet) {
        let Some(segment) = packet.segment().filter(|_| !entered.hairpinned) else { return };
        let address = packet.destination.ip();
        let here = |outbound: &Outbound| outbound.addresses().contains(address);
        let here = || self.network.subnets().map(|(_, it)| &it.outbound).filter(|it| here(it));
        let patience = here().filter_map(|outbound| match outbound {
            Outbound::Pool { rules, .. } => rules.unsolicited_syn,
            _ => None,
        });
        match patience.max() {
            Some(after) if opens(packet) => {
                let tenant = self.owner(*address);
                let owners: Vec<_> = self.waiting.iter().map(|waiting| waiting.tenant).collect();
                if !self.has_room(self.settings.unsolicited, &owners, tenant) {
                    self.filled.waiting += 1;
                } else {
                    let (due, edge, bytes) = (self.now + after, entered.by, entered.bytes.to_vec());
                    let overtakes = self.waiting.iter().any(|waiting| waiting.due > due);
                    self.filled.overtaking += u64::from(overtakes);
                    self.waiting.push(Waiting { due, edge, bytes, packet: *packet, tenant });
                }
            }
            _ if here().any(|outbound| matches!(outbound, Outbound::NatGateway(_)))
                && !segment.has(SYN) =>
            {
                self.originate(entered.by, wire::reset_answering(packet));
            }
            _ => {}
        }
    }

    /// Answers SYNs that have waited long enough: the port is unreachable.
    pub(super) fn answer_waiting(&mut self) {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.due <= self.now) {
            let Waiting { edge, bytes, packet, .. } = self.waiting.remove(at);
            let router = self.router(edge, *packet.destination.ip());
            let error = wire::error_about(router, (3, 3), &bytes, &packet);
            self.originate(edge, Some(error));
        }
    }

    /// Forgets the waiting SYN of a remote end to which a flow opens.
    pub(super) fn forgive(&mut self, flow: &Flow) {
        let answer = (flow.protocol, flow.remote, flow.external);
        self.waiting.retain(|waiting| waiting.packet.ends() != answer);
    }

    /// Returns the internal socket whose endpoint-independent mapping has a public port and lets
    /// the sender in (T-03), if it would still have it now.
    fn taker(&self, packet: &Packet) -> Option<Taker> {
        let mapping = self.mappings.iter().find(|it| {
            let whole = matches!(it.share, Share::Whole(_));
            whole && it.socket.1 == packet.protocol && it.external == packet.destination
        })?;
        let called =
            |flow: &Flow| flow.socket() == mapping.socket && flow.remote.ip() == packet.source.ip();
        let open = match mapping.share {
            Share::Whole(Filtering::Independent) => true,
            Share::Whole(Filtering::Address) => self.flows.iter().any(called),
            _ => false,
        };
        let (zone, protocol, internal) = mapping.socket;
        let edge = self.network_edge(zone, *internal.ip()).filter(|_| open)?;
        let timers = self.would_keep_port(
            edge,
            (protocol, internal, packet.source),
            mapping.external,
            false,
        )?;
        let (share, limited, block) = (mapping.share, mapping.limited, mapping.block);
        Some(Taker { edge, internal, share, limited, block, timers, one_to_one: false })
    }

    /// Returns the timers of a pool behind which an internal socket would still have its mapping,
    /// towards a remote.
    fn would_keep_port(
        &self,
        edge: Edge,
        (protocol, internal, remote): (u8, SocketAddrV4, SocketAddrV4),
        external: SocketAddrV4,
        open: bool,
    ) -> Option<TimerProfile> {
        let first = first_packet(protocol, internal, remote);
        self.subnet_of(edge)?;
        let own = || methods(&self.network, edge).into_iter().next();
        let method = match self.path(edge, &first).map(|path| path.method) {
            // N-07: open flows go on when the remote's address becomes one of the network's.
            Ok(Some(Err(NoPath::Hairpin))) if open => own()?,
            Ok(Some(method)) => method.ok()?,
            // the socket keeps the port wherever its replies go.
            Ok(None) | Err(_) => own().filter(|own| own.carries(&first))?,
        };
        let rules = method.rules(protocol);
        (rules.is_independent() && method.has(external)).then(|| method.timers(protocol))
    }

    /// Returns the present edge of a host of a zone.
    fn network_edge(&self, of: Zone, address: Ipv4Addr) -> Option<Edge> {
        let edge = match of {
            Zone::Subnet(id) => {
                self.network.subnet(id).ok()?;
                address::host_in(&self.network, id, address)
            }
            Zone::Nic(id) => self.network.nic(id).ok().map(|_| Edge::Nic(id))?,
            Zone::Site(id) => self.network.site(id).ok().map(|_| Edge::Site(id))?,
            _ => return None,
        };
        (zone(&self.network, edge) == of).then_some(edge)
    }

    fn let_in(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
        taker: &Taker,
    ) -> Result<Passed, Disposition> {
        if self.is_spoofed(entered, taker.edge, *packet.source.ip()) {
            return drop(DropReason::SpoofedSource);
        }
        // P-10: security groups see the packet after translation.
        let private = Packet { destination: taker.internal, ..*packet };
        self.guard(taker.edge, RuleDirection::Inbound, &private)?;
        let flow = Flow {
            initiator: 1,
            edges: [taker.edge, entered.edge],
            hairpins: entered.hairpinned,
            zones: [zone(&self.network, taker.edge), Zone::Public],
            internal: taker.internal,
            external: packet.destination,
            remote: packet.source,
            translated: true,
            share: taker.share,
            one_to_one: taker.one_to_one,
            limited: taker.limited,
            block: taker.block,
            timers: self.timers_of(taker.timers),
            hold: self.hold_of(taker.timers),
            ..self.new_flow(packet)
        };
        let replaced = self.find(entered.edge, packet.ends()).map(|(at, _)| at);
        self.enter(entered, packet, flow, replaced)
    }

    /// Returns whether a flow from outside would be let in by the same mapping or interface now. It
    /// ends with its public address (N-08), and with the rules by which its mapping exists.
    pub(super) fn judge_inbound(&self, flow: &Flow) -> Result<(Edge, AccessVerdict), Cause> {
        let address = *flow.external.ip();
        let [internal, _] = flow.edges;
        if !address::is_ours(&self.network, address) {
            return Err(Cause::Withdrawn);
        }
        if let Some((id, nic)) = self.network.nics().find(|(_, nic)| nic.public == Some(address)) {
            if internal != Edge::Nic(id) || nic.address != *flow.internal.ip() {
                return Err(Cause::Withdrawn);
            }
            return match zone(&self.network, internal) == flow.zones[0] {
                true => Ok((internal, flow.access)),
                false => Err(Cause::PathSwitched),
            };
        }
        let today = match internal {
            Edge::Subnet(id) => {
                self.network.subnet(id).map_err(|_| Cause::Withdrawn)?;
                address::host_in(&self.network, id, *flow.internal.ip())
            }
            Edge::Nic(id) => {
                self.network.nic(id).map_err(|_| Cause::Withdrawn)?;
                internal
            }
            _ => internal,
        };
        // If a private endpoint has the address now, the subnet's rules of neighbours apply
        // (INV-both-halves-end).
        let sender = if matches!(today, Edge::PrivateEndpoint(_)) { internal } else { today };
        let ends = (flow.protocol, flow.internal, flow.remote);
        self.would_keep_port(sender, ends, flow.external, true).ok_or(Cause::Withdrawn)?;
        if today == internal { Ok((internal, flow.access)) } else { Err(Cause::PathSwitched) }
    }

    /// Resets both ends of an established connection that idled out behind a load balancer whose
    /// rule says so (N-23).
    pub(super) fn reset_idle_ends(&mut self, flow: &Flow) {
        let address = *flow.external.ip();
        let mut balancers = self.network.load_balancers().map(|(_, balancer)| balancer);
        let resets = balancers.any(|it| it.rule.resets && it.frontends.contains(&address));
        if resets
            && flow.cause_of_expiry() == Cause::Idle
            && let Some(resets) = flow.resets()
        {
            let ends = flow.edges.into_iter().zip(resets).enumerate();
            // The other end of a hairpin is behind another flow.
            let notified = ends.filter(|(side, _)| !(flow.hairpins && *side == 1));
            self.originated.extend(notified.map(|(_, made)| made));
        }
    }
}
