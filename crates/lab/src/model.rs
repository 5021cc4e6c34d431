//! The slow reference model of the whole data plane.
//!
//! It reads the same intent, is shown the same packets at the same times, and says what must come of each: by scanning lists, with
//! nothing cached and nothing incremental, written from the statements and not from the code. The public port of a new flow is the one
//! thing that it takes from the data plane, after checking that it may be chosen (N8, N9, N10, N-14, N-17).

#![allow(clippy::indexing_slicing, reason = "the two sides of a flow are 0 and 1")]

mod change;
mod flow;
mod fragment;
mod route;
mod tcp;
pub(crate) mod wire;

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::BTreeSet;

use vnetem::{
    Arrival, Cause, DenyMode, DenyReason, DropReason, Edge, EventKind, Fate, Forward, Mark,
    Network, Outbound, Settings, SubnetId, Time,
};

pub use flow::Happening;

use flow::{Flow, Stage, is_public, zone};
use fragment::FirstFragment;
use route::{NoPath, Path, Pool};
use tcp::{Connection, Meaning};
use wire::{ACK, FIN, Kind, Packet, Part, RST, SYN, TCP};

/// The model's state: what is configured, and what is remembered of earlier packets.
#[derive(Clone, Debug)]
pub struct Model {
    network: Network,
    settings: Settings,
    now: Time,
    flows: Vec<Flow>,
    rests: Vec<Rest>,
    fragments: Vec<FirstFragment>,
    /// Makes the next flow's number.
    flows_made: u64,
    /// Packets that the data plane must have originated since they were last taken.
    originated: Vec<(Edge, Vec<u8>)>,
    /// What must have happened to flows since it was last taken.
    happenings: Vec<Happening>,
}

/// What the data plane did to a packet, as far as the model does not predict it.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// The public source of a flow, where the data plane chose one.
    pub chosen: Option<SocketAddrV4>,
    /// It denied the packet, under a public source that is not seen.
    pub denied: bool,
}

/// What must become of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its fate.
    pub fate: Fate,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A packet that came in.
#[derive(Clone, Copy, Debug)]
struct Entered<'a> {
    /// The edge that it was handed in by, to which it is answered.
    by: Edge,
    /// The edge at which its sender is.
    edge: Edge,
    bytes: &'a [u8],
}

/// The public sources of a pool that are not taken.
struct Free {
    pool: Pool,
    taken: BTreeSet<SocketAddrV4>,
}

/// A public tuple that may not be chosen yet (N-14).
#[derive(Clone, Copy, Debug)]
struct Rest {
    protocol: u8,
    external: SocketAddrV4,
    remote: SocketAddrV4,
    until: Time,
}

impl Model {
    /// A model with nothing in it that follows `network`.
    #[must_use]
    pub fn new(network: Network, settings: Settings) -> Self {
        Self {
            network,
            settings,
            now: Time(0),
            flows: Vec::new(),
            rests: Vec::new(),
            fragments: Vec::new(),
            flows_made: 0,
            originated: Vec::new(),
            happenings: Vec::new(),
        }
    }

    /// The configuration changes.
    pub fn apply(&mut self, now: Time, network: &Network) {
        self.advance(now);
        self.network = network.clone();
        for flow in &mut self.flows {
            flow.touched = true;
        }
    }

    /// Time passes, and everything that a change closes is closed.
    pub fn settle(&mut self, now: Time) {
        self.advance(now);
        for number in self.flows.iter().map(|flow| flow.number).collect::<Vec<_>>() {
            if let Some(at) = self.flows.iter().position(|flow| flow.number == number) {
                let _ = self.renew(at, true);
            }
        }
    }

    /// Time passes.
    pub fn expire(&mut self, now: Time) {
        self.advance(now);
    }

    /// What the data plane must have originated since this was last asked.
    pub fn take_originated(&mut self) -> Vec<(Edge, Vec<u8>)> {
        core::mem::take(&mut self.originated)
    }

    /// What must have happened to flows since this was last asked.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        core::mem::take(&mut self.happenings)
    }

    /// Live flows, and flows that are closed and still answer.
    #[must_use]
    pub fn flow_counts(&self) -> (u64, u64) {
        let closed = self.flows.iter().filter(|flow| flow.is_tombstone()).count() as u64;
        (self.flows.len() as u64 - closed, closed)
    }

    /// Public tuples in use: by flows, which N5 and E5 speak of.
    #[must_use]
    pub fn ports_taken(&self) -> usize {
        self.flows.iter().filter(|flow| flow.translated).count()
    }

    /// What must become of a packet that enters by `edge`.
    ///
    /// # Errors
    ///
    /// The data plane chose a public source that it must not have chosen, or none where one was free.
    pub fn process(
        &mut self,
        now: Time,
        edge: Edge,
        bytes: &[u8],
        observed: Observed,
    ) -> Result<Expected, String> {
        self.advance(now);
        let mut complaint = None;
        let result = self.receive(edge, bytes, observed, &mut complaint);
        if let Some(complaint) = complaint {
            return Err(complaint);
        }
        Ok(match result {
            Ok((forward, bytes)) => Expected { fate: Fate::Forward(forward), bytes },
            Err(fate) => Expected { fate, bytes: bytes.to_vec() },
        })
    }

    fn receive(
        &mut self,
        edge: Edge,
        bytes: &[u8],
        observed: Observed,
        complaint: &mut Option<String>,
    ) -> Result<(Forward, Vec<u8>), Fate> {
        let packet =
            Packet::read(bytes).map_err(|cause| Fate::Drop(DropReason::Malformed(cause)))?;
        let entered = Entered { by: edge, edge: self.entry(edge, &packet)?, bytes };
        if packet.kind == Kind::IcmpError {
            return self.error(&entered, &packet);
        }
        if matches!(packet.part, Part::Later { .. }) {
            return self.later_fragment(&entered, &packet);
        }
        if let Some((at, side)) = self.find(entered.edge, packet.ends()) {
            let flow = self.flow(at)?;
            if !(side == 0 && opens(&packet) && flow.gives_way_to(&packet)) {
                if !flow.is_tombstone() {
                    if flow.edges()[side] != entered.edge {
                        return drop(DropReason::WrongEdge);
                    }
                    // What goes no further renews nothing.
                    let refused = packet.part != Part::Whole && !self.carries_fragments(&flow);
                    self.renew(at, packet.ttl > 1 && !refused)?;
                }
                return self.hit(at, side, &entered, &packet);
            }
        }
        self.open(&entered, &packet, observed, complaint)
    }

    /// A packet of a known flow.
    fn hit(
        &mut self,
        at: usize,
        side: usize,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<(Forward, Vec<u8>), Fate> {
        if self.flow(at)?.is_tombstone() {
            self.answer(at, side, entered.by, packet);
            return drop(DropReason::FlowClosed);
        }
        if packet.part != Part::Whole && !self.carries_fragments(&self.flow(at)?) {
            return drop(DropReason::OutboundUnsupported);
        }
        self.check_ttl(entered, packet)?;
        let (now, timers, refreshes) =
            (self.now, self.settings.flows.timers, self.settings.flows.inbound_refreshes);
        let Some(flow) = self.flows.get_mut(at) else { return drop(DropReason::NoFlow) };
        let restarts = match (&mut flow.stage, packet.segment()) {
            (Stage::Tcp(connection), Some(segment)) => match connection.take(side, &segment) {
                Meaning::Invalid => return drop(DropReason::TcpInvalid),
                meaning => meaning == Meaning::Fits,
            },
            (Stage::Datagrams(answered), _) => {
                *answered |= side == 1;
                side == 0 || refreshes
            }
            _ => false,
        };
        if restarts {
            flow.deadline = now + flow.timer(&timers);
        }
        let (number, forwarded) = (flow.number, flow.carry(side, entered.bytes, packet));
        self.note_first(entered, packet, number, side);
        Ok(forwarded)
    }

    /// A packet that may open a flow.
    fn open(
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
        let to_platform =
            self.subnet_of(edge).is_some() && route::is_platform(*packet.destination.ip());
        if !to_platform && !route::is_host(*packet.destination.ip()) {
            return drop(DropReason::MartianDestination);
        }
        let path = self.path(edge, packet).map_err(no_path)?;
        let pool = path.pool.transpose().map_err(no_path)?;
        if !opens(packet) {
            // N-16: behind a NAT gateway a segment of no flow is answered by a reset.
            if pool.is_some() && self.is_behind_gateway(edge) {
                self.originate(by, wire::reset_answering(packet));
            }
            return drop(DropReason::NoFlow);
        }
        let replaced = self.find(edge, packet.ends()).map(|(at, _)| at);
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
            deadline: self.now,
            touched: false,
        };
        if let Some(pool) = &pool {
            let free = self.free(pool, packet);
            if free.is_empty() {
                return drop(DropReason::SnatExhausted);
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
        let reverse = (packet.protocol, flow.remote, flow.external);
        if self.find(flow.to, reverse).is_some_and(|(at, _)| Some(at) != replaced) {
            if flow.translated || !self.forwards(edge) || !self.forwards(flow.to) {
                return drop(DropReason::TupleInUse);
            }
            // a circle of appliances, until the time to live is over.
            self.check_ttl(entered, packet)?;
            flow.mark = Mark::Unjudged;
            return Ok(flow.carry(0, bytes, packet));
        }
        if self.flows.len() - usize::from(replaced.is_some())
            >= self.settings.flows.capacity as usize
        {
            return drop(DropReason::FlowTableFull);
        }
        self.check_ttl(entered, packet)?;
        if let Some(at) = replaced {
            let cause = self.flow(at)?.cause_of_expiry();
            self.end(at, cause, self.now);
        }
        flow.deadline = self.now + flow.timer(&self.settings.flows.timers);
        self.flows_made += 1;
        self.happenings.push(flow.happening(EventKind::Opened));
        let (number, forwarded) = (flow.number, flow.carry(0, bytes, packet));
        self.flows.push(flow);
        self.note_first(entered, packet, number, 0);
        Ok(forwarded)
    }

    /// From a service, or to an address that we translate to: what no flow asked for (N6). A NAT gateway answers segments (N-16).
    fn unsolicited(
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

    /// N-18: behind the platform's methods nothing goes in fragments.
    pub(in crate::model) fn carries_fragments(&self, flow: &Flow) -> bool {
        let subnet = self.subnet_of(flow.from).and_then(|id| self.network.subnet(id).ok());
        match subnet {
            Some(subnet) if flow.translated => match &subnet.outbound {
                Outbound::Pool { addresses, .. } => addresses.contains(flow.external.ip()),
                _ => false,
            },
            _ => true,
        }
    }

    fn is_behind_gateway(&self, edge: Edge) -> bool {
        let subnet = self.subnet_of(edge).and_then(|id| self.network.subnet(id).ok());
        subnet.is_some_and(|subnet| matches!(subnet.outbound, Outbound::NatGateway(_)))
    }

    fn forwards(&self, edge: Edge) -> bool {
        let nic = match edge {
            Edge::Nic(id) => self.network.nic(id).ok(),
            _ => None,
        };
        nic.is_some_and(|nic| nic.ip_forwarding)
    }

    fn originate(&mut self, to: Edge, packet: Option<Vec<u8>>) {
        self.originated.extend(packet.map(|packet| (to, packet)));
    }

    /// The public sources that may be chosen for a packet: the pool's, less those in use or resting towards its destination (N8, N-12,
    /// N-14, N10).
    fn free(&self, pool: &Pool, packet: &Packet) -> Free {
        let (protocol, remote) = (packet.protocol, packet.destination);
        let flows = self.flows.iter().filter(|flow| flow.translated);
        let flows = flows.map(|flow| (flow.protocol, flow.remote, flow.external));
        let rests = self.rests.iter().map(|rest| (rest.protocol, rest.remote, rest.external));
        let taken = flows
            .chain(rests)
            .filter(|(of, to, external)| *of == protocol && *to == remote && pool.has(*external))
            .map(|(.., external)| external)
            .collect();
        Free { pool: pool.clone(), taken }
    }

    /// An ICMP error: the way of the flow whose packet it quotes (W9, T-22 to T-25). It may come from a router on the way, and so by
    /// another public edge; it never ends, judges or refreshes a flow (T-24, P-22).
    fn error(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<(Forward, Vec<u8>), Fate> {
        let (edge, bytes) = (entered.edge, entered.bytes);
        if wire::transport_sum_is_right(bytes, packet) == Some(false) {
            return drop(DropReason::IcmpChecksum);
        }
        let (quoted, _) = wire::quoted(bytes, packet)
            .map_err(|cause| Fate::Drop(DropReason::Malformed(cause)))?;
        let unknown = Fate::Drop(DropReason::QuoteUnknown);
        let answer = (quoted.protocol, quoted.destination, quoted.source);
        let (at, side) = self.find(edge, answer).ok_or(unknown)?;
        let flow = self.flow(at)?;
        let came_by = flow.edges()[side];
        let fits = came_by == edge || is_public(came_by) && is_public(edge);
        let switched = flow.touched && self.judge(&flow).is_err();
        let to_sender = packet.destination.ip() == quoted.source.ip();
        if flow.is_tombstone() || switched || !fits || !to_sender {
            return Err(unknown);
        }
        self.check_ttl(entered, packet)?;
        let (source, destination) = (*packet.source.ip(), *packet.destination.ip());
        let (outer, inner) = if side == 0 {
            // From the inside, about a packet from the remote: the inside is not shown (N5).
            let source = if flow.translated { *flow.external.ip() } else { source };
            ((source, destination), (quoted.source, flow.external))
        } else {
            ((source, *flow.inside.ip()), (flow.inside, quoted.destination))
        };
        let ttl = packet.ttl - 1;
        let bytes = wire::readdress_error(bytes, packet, outer, inner, ttl).ok_or(unknown)?;
        Ok((flow.forward(side), bytes))
    }

    /// Who sends: the edge with the interface that has the source address, if the source may come from there (P8, P9, R-24).
    fn entry(&self, edge: Edge, packet: &Packet) -> Result<Edge, Fate> {
        let (source, destination) = (*packet.source.ip(), *packet.destination.ip());
        let net = &self.network;
        let unknown = Fate::Drop(DropReason::UnknownEdge);
        if source == destination {
            return drop(DropReason::MartianDestination);
        }
        let (resolved, may_send) = match edge {
            Edge::Subnet(id) => {
                let subnet = net.subnet(id).map_err(|_| unknown)?;
                (route::host_in(net, id, source), subnet.prefix.contains(&source))
            }
            Edge::Nic(id) => {
                let nic = net.nic(id).map_err(|_| unknown)?;
                if nic.ip_forwarding && !route::is_host(source) {
                    return drop(DropReason::MartianSource);
                }
                (edge, nic.ip_forwarding || nic.address == source)
            }
            Edge::Site(id) => {
                let site = net.site(id).map_err(|_| unknown)?;
                (edge, site.ranges.iter().any(|range| range.contains(&source)))
            }
            Edge::PrivateEndpoint(id) => {
                let endpoint = net.private_endpoint(id).map_err(|_| unknown)?;
                (edge, endpoint.address == source)
            }
            Edge::Internet if !route::is_host(source) => return drop(DropReason::MartianSource),
            Edge::Internet => (edge, route::is_public(source) && !route::is_ours(net, source)),
            Edge::Platform(id) => {
                net.subnet(id).map_err(|_| unknown)?;
                (edge, route::is_platform(source))
            }
            Edge::SameRegion { service, .. } => {
                let own = route::service_at(net, source).is_some_and(|(owner, _)| owner == service);
                (edge, own)
            }
            Edge::Service { service, identity } => {
                let own = route::service_at(net, source).is_some_and(|(owner, _)| owner == service);
                if own && identity.is_some_and(|identity| identity.address != destination) {
                    return drop(DropReason::WrongEdge);
                }
                (edge, own)
            }
        };
        if may_send { Ok(resolved) } else { drop(DropReason::SpoofedSource) }
    }

    /// The path that a packet would take if it opened a flow.
    fn path(&self, edge: Edge, packet: &Packet) -> Result<Path, NoPath> {
        match edge {
            Edge::Site(id) => route::from_site(&self.network, id, packet),
            Edge::Internet => route::from_internet(&self.network, packet),
            Edge::Platform(id) => route::from_platform(&self.network, id, packet),
            Edge::Service { .. } | Edge::SameRegion { .. } | Edge::PrivateEndpoint(_) => {
                Err(NoPath::Route)
            }
            Edge::Subnet(_) | Edge::Nic(_) => {
                let subnet = self.subnet_of(edge).ok_or(NoPath::Route)?;
                let own = match edge {
                    Edge::Nic(id) => self.network.nic(id).ok().map(|nic| nic.address),
                    _ => None,
                };
                let foreign = own.is_some_and(|own| own != *packet.source.ip());
                route::from_subnet(&self.network, subnet, packet, foreign)
            }
        }
    }

    fn subnet_of(&self, edge: Edge) -> Option<SubnetId> {
        match edge {
            Edge::Subnet(id) => Some(id),
            Edge::Nic(id) => self.network.nic(id).ok().map(|nic| nic.subnet),
            _ => None,
        }
    }

    /// What the rules of the resource at the far side say of the source that it will see.
    fn mark(&self, flow: &Flow) -> Mark {
        let arrival = match flow.to {
            Edge::Service { identity: Some(identity), .. } => Arrival::Tunnel(identity),
            Edge::Service { identity: None, .. } => Arrival::Public(*flow.external.ip()),
            Edge::SameRegion { .. } => Arrival::PrivateSameRegion(*flow.external.ip()),
            _ => return Mark::Unjudged,
        };
        let mut there = self.network.resources().filter(|(_, it)| it.address == *flow.remote.ip());
        let (Some((_, resource)), None) = (there.next(), there.next()) else {
            return Mark::Unjudged;
        };
        match resource.rules.judge(arrival) {
            vnetem::Access::Allowed(_) => Mark::Allowed,
            vnetem::Access::Refused(refusal) => Mark::Refused(refusal),
        }
    }

    /// P10, T-26: with a time to live of 0 or 1 a packet goes no further, and its sender is told.
    fn check_ttl(&mut self, entered: &Entered<'_>, packet: &Packet) -> Result<(), Fate> {
        if packet.ttl > 1 {
            return Ok(());
        }
        if packet.kind != Kind::IcmpError && !matches!(packet.part, Part::Later { .. }) {
            let router = self.router(entered.by, *packet.destination.ip());
            self.originate(entered.by, Some(wire::time_exceeded(router, entered.bytes, packet)));
        }
        drop(DropReason::TtlExpired)
    }

    /// The address of the router next to an edge: the first of its range; on the public side, where none is known, the address that
    /// was called.
    fn router(&self, edge: Edge, called: Ipv4Addr) -> Ipv4Addr {
        let subnet = self.subnet_of(edge).and_then(|id| self.network.subnet(id).ok());
        let range = match edge {
            Edge::Site(id) => {
                self.network.site(id).ok().and_then(|site| site.ranges.first().copied())
            }
            _ => subnet.map(|subnet| subnet.prefix),
        };
        range.map_or(called, |range| Ipv4Addr::from_bits(range.network().to_bits() + 1))
    }

    /// Time passes: whatever has run out is gone at its own instant (T4, T5).
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        while let Some(at) = self.flows.iter().position(|flow| flow.deadline <= now) {
            let Ok(flow) = self.flow(at) else { return };
            self.end(at, flow.cause_of_expiry(), flow.deadline);
        }
        self.rests.retain(|rest| rest.until > now);
        self.fragments.retain(|first| first.deadline > now);
    }

    /// A flow ends.
    fn end(&mut self, at: usize, cause: Cause, when: Time) {
        if let Ok(flow) = self.flow(at) {
            self.happenings.push(flow.happening(EventKind::Ended(cause)));
            self.remove(at, cause, when);
        }
    }

    /// Removes a flow; its public tuple rests (N-14).
    fn remove(&mut self, at: usize, cause: Cause, when: Time) {
        let flow = self.flows.remove(at);
        if flow.translated {
            let until = when + flow.rest(&self.settings.flows.hold, cause);
            let Flow { protocol, external, remote, .. } = flow;
            self.rests.push(Rest { protocol, external, remote, until });
        }
        self.rests.retain(|rest| rest.until > self.now);
    }

    /// The flow of a tuple that is seen at an edge, and the side from which it comes: 0 is the opener's.
    fn find(&self, edge: Edge, ends: (u8, SocketAddrV4, SocketAddrV4)) -> Option<(usize, usize)> {
        let here = zone(&self.network, edge);
        self.flows.iter().enumerate().find_map(|(at, flow)| {
            let tuples = [
                (flow.protocol, flow.inside, flow.remote),
                (flow.protocol, flow.remote, flow.external),
            ];
            let mut keys = flow.zones.into_iter().zip(tuples);
            keys.position(|key| key == (here, ends)).map(|side| (at, side))
        })
    }

    fn flow(&self, at: usize) -> Result<Flow, Fate> {
        self.flows.get(at).cloned().ok_or(Fate::Drop(DropReason::NoFlow))
    }
}

impl Free {
    fn is_empty(&self) -> bool {
        self.pool.addresses.len() * self.pool.ports.len() == self.taken.len()
    }

    fn check(&self, chosen: SocketAddrV4) -> Result<(), String> {
        if !self.pool.has(chosen) {
            return Err(format!("{chosen} is none of the pool's (N8)"));
        }
        if self.taken.contains(&chosen) {
            return Err(format!("{chosen} is taken or rests towards this remote (N1, N10)"));
        }
        Ok(())
    }

    fn one_of_each_address(&self) -> Vec<SocketAddrV4> {
        let all = self.pool.addresses.iter().filter_map(|address| {
            let mut ports = self.pool.ports.clone().map(|port| SocketAddrV4::new(*address, port));
            ports.find(|external| !self.taken.contains(external))
        });
        all.collect()
    }
}

/// Which first packets open a flow (P-25, T-20).
fn opens(packet: &Packet) -> bool {
    match packet.kind {
        Kind::Tcp(segment) => segment.flags & (SYN | ACK | RST | FIN) == SYN,
        Kind::Udp | Kind::IcmpRequest => true,
        Kind::Other => packet.protocol != TCP,
        Kind::IcmpReply | Kind::IcmpError | Kind::IcmpOther => false,
    }
}

const fn no_path(why: NoPath) -> Fate {
    Fate::Drop(match why {
        NoPath::Route => DropReason::NoRoute,
        NoPath::None => DropReason::RouteNone,
        NoPath::Host => DropReason::NoSuchHost,
        NoPath::NextHop => DropReason::NoNextHop,
        NoPath::Outbound => DropReason::NoOutbound,
        NoPath::Unsupported => DropReason::OutboundUnsupported,
        NoPath::Hairpin => DropReason::Hairpin,
        NoPath::Foreign => DropReason::ForeignSource,
    })
}

const fn drop<T>(reason: DropReason) -> Result<T, Fate> {
    Err(Fate::Drop(reason))
}
