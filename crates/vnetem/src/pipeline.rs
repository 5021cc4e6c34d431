//! The life of a packet, top to bottom: identify, fragment, flow, route, source, authorise. Everything here is pure; what was decided
//! is recorded by [`DataPlane`](crate::DataPlane) afterwards.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_authz::{Access, Arrival, DenyMode};
use vnetem_nat::{
    Cause, Cell, Exhausted, Flow, FlowId, FlowTable, Found, FragmentError, FragmentKey, Fragments,
    NewFlow, OpenError, Pool, Side, Span, Standing, Time, Zone, opens,
};
use vnetem_packet::{
    AddressClass, FiveTuple, Fragment, Headers, Identity, Protocol, Quote, Reset, Rewrite,
    SubnetId, TcpFlags, Transport, VnetId,
};

use crate::edge::{EdgeCode, INTERNET_PLACE, Place, cell};
use crate::route::{Choice, Route, choose};
use crate::snapshot::{Method, OutboundView, SiteView, SubnetView};
use crate::trace::{FlowStep, Note, Step};
use crate::{
    DenyReason, DropReason, Edge, Forward, Mark, NextHop, NicId, ResourceId, ServiceId, Snapshot,
    SourceMode,
};

/// What a flow's opening packet was told, kept with the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Where the opener is.
    pub(crate) near: EdgeCode,
    /// Where its packets go.
    pub(crate) far: EdgeCode,
    pub(crate) mark: Mark,
}

/// What is to be done with a packet. Nothing has been done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It belongs to a live flow.
    Hit(Hit),
    /// It belongs to a live flow whose judgement was renewed and came out the same but for details.
    Renew(Hit, Cell, Judgement),
    /// It belongs to a flow that a new configuration closes.
    Close(FlowId, Cause, DropReason),
    /// It is a late segment of a closed flow.
    Late(FlowId, Side),
    /// It is a later fragment of a datagram whose first one went on as a packet of this flow.
    Fragment(Hit),
    /// It opens a flow.
    Open(NewFlow<Judgement>),
    /// It is an ICMP error about a packet of a live flow.
    Error(Hit, Quote),
    /// Policy says no, and perhaps answers with a reset.
    Deny(DenyReason, Option<Reset>),
    /// It goes no further, and perhaps is answered with a reset.
    Drop(DropReason, Option<Reset>),
    /// Its time to live is over; the sender is told.
    Expired,
}

/// A packet's flow and the side it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) id: FlowId,
    pub(crate) side: Side,
}

/// What of a flow decides how its packets leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parties {
    opener: Side,
    inside: SocketAddrV4,
    external: SocketAddrV4,
    judgement: Judgement,
}

/// Who sent a packet, as far as its edge tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// The edge, with a declared interface named where there is one.
    pub(crate) code: EdgeCode,
    pub(crate) zone: Zone,
    pub(crate) origin: Origin<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    Subnet(&'a SubnetView),
    Site(&'a SiteView),
    Internet,
    /// A service, which answers and never asks.
    Service,
}

/// Where a new flow would go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'a> {
    far: EdgeCode,
    zone: Zone,
    /// The method that gives it a public source; `None` where the source is preserved.
    outbound: Option<&'a OutboundView>,
    service: Option<ServiceId>,
}

/// All that a decision is made from.
#[derive(Clone, Copy)]
pub(crate) struct Pipeline<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) flows: &'a FlowTable<Judgement>,
    pub(crate) fragments: &'a Fragments,
    pub(crate) now: Time,
}

impl<'a> Pipeline<'a> {
    /// What is to be done with a packet that entered by `edge`.
    #[inline]
    pub(crate) fn decide(
        self,
        edge: Edge,
        packet: &[u8],
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let entry = match self.identify(edge, headers) {
            Ok(entry) => entry,
            Err(reason) => return Decision::Drop(reason, None),
        };
        let decision = match headers.transport {
            Transport::IcmpError => self.decide_error(entry, packet, headers),
            _ if matches!(headers.fragment, Fragment::Later { .. }) => {
                self.decide_later_fragment(entry, headers, note)
            }
            _ => self.decide_flow(entry, headers, note),
        };
        match decision {
            Decision::Hit(_)
            | Decision::Renew(..)
            | Decision::Open(_)
            | Decision::Error(..)
            | Decision::Fragment(_)
                if headers.ttl <= 1 =>
            {
                Decision::Expired
            }
            decision => decision,
        }
    }

    /// Who sent the packet; refuses sources that cannot be (P8, P9, R-24).
    #[inline]
    pub(crate) fn identify(self, edge: Edge, headers: &Headers) -> Result<Entry<'a>, DropReason> {
        let source = headers.source;
        if source == headers.destination {
            return Err(DropReason::MartianDestination);
        }
        match edge {
            Edge::Subnet(id) => {
                let subnet = self.snapshot.subnet(id).ok_or(DropReason::UnknownEdge)?;
                if !subnet.prefix.contains(&source) {
                    return Err(DropReason::SpoofedSource);
                }
                let code = self.host(subnet.vnet, source).unwrap_or(EdgeCode::subnet(id));
                Ok(Entry { code, zone: self.zone(code), origin: Origin::Subnet(subnet) })
            }
            Edge::Nic(id) => {
                let nic = self.snapshot.nic(id).ok_or(DropReason::UnknownEdge)?;
                let subnet = self.snapshot.subnet(nic.subnet).ok_or(DropReason::UnknownEdge)?;
                if source != nic.address && !nic.ip_forwarding {
                    return Err(DropReason::SpoofedSource);
                }
                let code = EdgeCode::nic(id);
                Ok(Entry { code, zone: self.zone(code), origin: Origin::Subnet(subnet) })
            }
            Edge::Internet => match AddressClass::of(source) {
                AddressClass::Public if self.snapshot.public.contains_key(&source) => {
                    Err(DropReason::SpoofedSource)
                }
                AddressClass::Public => Ok(Entry {
                    code: EdgeCode::INTERNET,
                    zone: Zone::PUBLIC,
                    origin: Origin::Internet,
                }),
                AddressClass::Private | AddressClass::Shared => Err(DropReason::SpoofedSource),
                _ => Err(DropReason::MartianSource),
            },
            Edge::Service { service, identity } => {
                let owner = self.snapshot.services.prefixes.lookup(source);
                if owner.is_none_or(|(_, owner)| *owner != service) {
                    return Err(DropReason::SpoofedSource);
                }
                let code = match identity {
                    None => EdgeCode::public(service),
                    Some(identity) if identity.address == headers.destination => {
                        EdgeCode::endpoint(service, identity.subnet)
                    }
                    Some(_) => return Err(DropReason::WrongEdge),
                };
                Ok(Entry { code, zone: code.zone(), origin: Origin::Service })
            }
            Edge::Site(id) => {
                let site = self.snapshot.site(id).ok_or(DropReason::UnknownEdge)?;
                if !site.ranges.iter().any(|range| range.contains(&source)) {
                    return Err(DropReason::SpoofedSource);
                }
                let code = EdgeCode::site(id);
                Ok(Entry { code, zone: code.zone(), origin: Origin::Site(site) })
            }
        }
    }

    /// A later fragment takes its first one's judgement or is dropped (P-30, F1, F2).
    fn decide_later_fragment(
        self,
        entry: Entry<'_>,
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let key = fragment_key(entry.zone, headers);
        let (id, side) = match self.fragments.admit(self.now, &key, Span::of(headers)) {
            Ok(of_first) => of_first,
            Err(FragmentError::WithoutFirst) => {
                return Decision::Drop(DropReason::FragmentWithoutFirst, None);
            }
            Err(_) => return Decision::Drop(DropReason::FragmentRefused, None),
        };
        let Some(flow) = self.flows.flow(id) else {
            return Decision::Drop(DropReason::FragmentWithoutFirst, None);
        };
        match self.decide_hit(entry, Hit { id, side }, &flow, note) {
            // The first one was judged by a configuration that is gone, so its datagram is not completed under a new one (C1).
            Decision::Renew(..) => Decision::Drop(DropReason::FragmentWithoutFirst, None),
            Decision::Hit(hit) => Decision::Fragment(hit),
            decision => decision,
        }
    }

    /// An ICMP error goes the way of the flow whose packet it quotes (W9, T-22 to T-25).
    fn decide_error(self, entry: Entry<'_>, packet: &[u8], headers: &Headers) -> Decision {
        let quote = match Quote::parse(packet, headers) {
            Ok(quote) => quote,
            Err(cause) => return Decision::Drop(DropReason::Malformed(cause), None),
        };
        // The sender of the error saw the packet arrive, so its own packets of the flow would have the reversed tuple.
        let unknown = Decision::Drop(DropReason::QuoteUnknown, None);
        let Some(found) = self.flows.find(self.now, entry.zone, &quote.tuple().reversed()) else {
            return unknown;
        };
        let Some(flow) = self.flows.flow(found.id) else { return unknown };
        let came_from = self.edge_of(&flow, found.side);
        // It goes to whoever sent the quoted packet, and no one else.
        let to_sender = headers.destination == *quote.tuple().source.ip();
        let fits = came_from == entry.code || came_from.is_public() && entry.code.is_public();
        if found.standing == Standing::Live && to_sender && fits && !self.flows.is_stale(found.id) {
            Decision::Error(Hit { id: found.id, side: found.side }, quote)
        } else {
            unknown
        }
    }

    #[inline]
    fn decide_flow(self, entry: Entry<'_>, headers: &Headers, note: &mut impl Note) -> Decision {
        let tuple = headers.tuple();
        let Some(found) = self.flows.find(self.now, entry.zone, &tuple) else {
            note.step(|| Step::Flow(FlowStep::Miss));
            return self.decide_new(entry, headers, note);
        };
        let Found { id, side, standing } = found;
        let Some(flow) = self.flows.flow(id) else {
            return self.decide_new(entry, headers, note);
        };
        match standing {
            Standing::Live if self.flows.may_reopen(id, side, headers) => {
                note.step(|| Step::Flow(FlowStep::Reopen));
                self.decide_new(entry, headers, note)
            }
            Standing::Live => self.decide_hit(entry, Hit { id, side }, &flow, note),
            Standing::Tombstone if side == flow.opener && opens(headers) => {
                note.step(|| Step::Flow(FlowStep::Reopen));
                self.decide_new(entry, headers, note)
            }
            Standing::Tombstone => {
                note.step(|| Step::Flow(FlowStep::Closed));
                Decision::Late(id, side)
            }
        }
    }

    /// A packet of a live flow takes the stored judgement, which is renewed first if a change touched it.
    #[inline]
    fn decide_hit(
        self,
        entry: Entry<'_>,
        hit: Hit,
        flow: &Flow<Judgement>,
        note: &mut impl Note,
    ) -> Decision {
        let came_from = self.edge_of(flow, hit.side);
        if came_from != entry.code {
            return Decision::Drop(DropReason::WrongEdge, None);
        }
        if !self.flows.is_stale(hit.id) {
            note.step(|| Step::Flow(FlowStep::Hit { opened_by: flow.generation }));
            return Decision::Hit(hit);
        }
        match self.judge_again(flow) {
            Ok((cell, judgement)) => {
                note.step(|| Step::Flow(FlowStep::Renewed { opened_by: flow.generation }));
                Decision::Renew(hit, cell, judgement)
            }
            Err((cause, reason)) => {
                note.step(|| Step::Flow(FlowStep::Switched { reason }));
                Decision::Close(hit.id, cause, reason)
            }
        }
    }

    /// Whether a live flow would be judged the same today: its new judgement, or why it must close.
    pub(crate) fn judge_again(
        self,
        flow: &Flow<Judgement>,
    ) -> Result<(Cell, Judgement), (Cause, DropReason)> {
        let path_switched = (Cause::PathSwitched, DropReason::PathSwitched);
        let entry = self.entry_of(flow.judgement.near).ok_or(path_switched)?;
        let tuple =
            FiveTuple { protocol: flow.protocol, source: flow.inside, destination: flow.remote };
        let path = self.path(entry, &tuple, false, &mut ()).map_err(|_| path_switched)?;
        let translated = flow.is_translated();
        if translated != path.outbound.is_some() {
            return Err((Cause::SourceSwitched, DropReason::SourceSwitched));
        }
        if translated && !self.may_keep(entry, *flow.external.ip()) {
            return Err((Cause::Withdrawn, DropReason::Withdrawn));
        }
        let far = flow.judgement.far;
        let same_far = far == path.far || far.is_public() && path.far.is_public();
        if !same_far || entry.zone != flow.inside_zone || path.zone != flow.outside_zone {
            return Err(path_switched);
        }
        let (mark, _) = self.authorise(entry, &path, *flow.external.ip(), *flow.remote.ip());
        let mark =
            if self.snapshot.deny_mode == DenyMode::Deliver { mark } else { flow.judgement.mark };
        let judgement = Judgement { near: flow.judgement.near, far: path.far, mark };
        Ok((cell(entry.origin.number(), path.service), judgement))
    }

    /// A packet without a flow: may it open one, and where would it go?
    fn decide_new(self, entry: Entry<'_>, headers: &Headers, note: &mut impl Note) -> Decision {
        if let Origin::Service = entry.origin {
            return self.unsolicited(entry, headers);
        }
        if let Origin::Internet = entry.origin
            && self.snapshot.public.contains_key(&headers.destination)
        {
            return self.unsolicited(entry, headers);
        }
        let tuple = headers.tuple();
        let whole = headers.fragment == Fragment::Whole;
        let path = match self.path(entry, &tuple, !whole, note) {
            Ok(path) => path,
            Err(reason) => return Decision::Drop(reason, None),
        };
        if !opens(headers) {
            let resets =
                path.outbound.is_some_and(|outbound| outbound.method == Method::NatGateway);
            let answer = if resets { Reset::answering(headers) } else { None };
            return Decision::Drop(DropReason::NoFlow, answer);
        }
        let external = match path.outbound {
            None => tuple.source,
            Some(outbound) => {
                let pool = Pool {
                    addresses: &outbound.addresses,
                    first_port: outbound.first_port,
                    last_port: outbound.last_port,
                };
                match self.flows.choose(
                    self.now,
                    pool,
                    tuple.protocol,
                    tuple.source,
                    entry.zone,
                    tuple.destination,
                    path.zone,
                ) {
                    Ok(external) => external,
                    Err(Exhausted) => return Decision::Drop(DropReason::SnatExhausted, None),
                }
            }
        };
        note.step(|| Step::Source {
            translated: path.outbound.map(|_| external),
            identity: self.identity(path.far, *tuple.source.ip()),
        });
        let (mark, access) = self.authorise(entry, &path, *external.ip(), headers.destination);
        if let Some((resource, access)) = access {
            note.step(|| Step::Access { resource, access });
        }
        if let Mark::Refused(refusal) = mark {
            let reason = DenyReason::Refused(refusal);
            match self.snapshot.deny_mode {
                DenyMode::Deliver => {}
                DenyMode::Reset => return Decision::Deny(reason, Reset::answering(headers)),
                DenyMode::Drop => return Decision::Deny(reason, None),
            }
        }
        let new = NewFlow {
            protocol: tuple.protocol,
            inside: tuple.source,
            inside_zone: entry.zone,
            external,
            outside_zone: path.zone,
            remote: tuple.destination,
            opener: Side::Inside,
            cell: cell(entry.origin.number(), path.service),
            generation: self.snapshot.generation(),
            judgement: Judgement { near: entry.code, far: path.far, mark },
        };
        match self.flows.can_open(self.now, &new) {
            Ok(()) => Decision::Open(new),
            Err(OpenError::TableFull) => Decision::Drop(DropReason::FlowTableFull, None),
            Err(OpenError::TupleInUse) => Decision::Drop(DropReason::TupleInUse, None),
        }
    }

    /// From the public side, or over an endpoint, without a flow: dropped; a NAT gateway answers segments with a reset (N-16).
    fn unsolicited(self, entry: Entry<'_>, headers: &Headers) -> Decision {
        if !entry.code.is_public() {
            return Decision::Drop(DropReason::NoFlow, None);
        }
        let resets =
            self.snapshot.public.get(&headers.destination).is_some_and(|owner| owner.resets);
        let late = match headers.transport {
            Transport::Tcp(segment) => segment.flags.0 & TcpFlags::SYN.0 == 0,
            _ => false,
        };
        let answer = if resets && late { Reset::answering(headers) } else { None };
        Decision::Drop(DropReason::Unsolicited, answer)
    }

    /// The way of a packet that opens a flow, by the configuration alone.
    fn path(
        self,
        entry: Entry<'a>,
        tuple: &FiveTuple,
        fragment: bool,
        note: &mut impl Note,
    ) -> Result<Path<'a>, DropReason> {
        let destination = *tuple.destination.ip();
        let class = AddressClass::of(destination);
        if !matches!(class, AddressClass::Private | AddressClass::Shared | AddressClass::Public) {
            return Err(DropReason::MartianDestination);
        }
        match entry.origin {
            Origin::Service => Err(DropReason::NoFlow),
            Origin::Internet => match self.snapshot.services.prefixes.lookup(destination) {
                Some((_, &service)) => Ok(Path {
                    far: EdgeCode::public(service),
                    zone: Zone::PUBLIC,
                    outbound: None,
                    service: Some(service),
                }),
                None => Err(DropReason::NoRoute),
            },
            Origin::Site(site) => match site.vnets.lookup(destination) {
                Some((_, &vnet)) => self.path_to_host(vnet, destination, DropReason::NoSuchHost),
                None => self.path_to_public(site.outbound.as_ref(), tuple, fragment),
            },
            Origin::Subnet(subnet) => self.path_from_subnet(subnet, tuple, fragment, note),
        }
    }

    fn path_from_subnet(
        self,
        subnet: &'a SubnetView,
        tuple: &FiveTuple,
        fragment: bool,
        note: &mut impl Note,
    ) -> Result<Path<'a>, DropReason> {
        let destination = *tuple.destination.ip();
        let route = subnet.routes.lookup(destination).map(|(prefix, &(source, next_hop))| Route {
            prefix,
            source,
            next_hop,
        });
        let endpoint = self.endpoint(subnet, tuple.protocol, destination);
        let choice =
            choose(route, endpoint, self.snapshot.tie_policy).ok_or(DropReason::NoRoute)?;
        note.step(|| Step::Route { choice, route });
        let route = match choice {
            Choice::Endpoint { service, .. } => {
                let far = EdgeCode::endpoint(service, subnet.id);
                return Ok(Path { far, zone: far.zone(), outbound: None, service: Some(service) });
            }
            Choice::Route(route) => route,
        };
        let service = self.snapshot.services.prefixes.lookup(destination).map(|(_, &id)| id);
        let path = match route.next_hop {
            NextHop::None => Err(DropReason::RouteNone),
            NextHop::VnetLocal => {
                self.path_to_host(subnet.vnet, destination, DropReason::NoSuchHost)
            }
            NextHop::VnetPeering(vnet) => {
                self.path_to_host(vnet, destination, DropReason::NoSuchHost)
            }
            NextHop::VirtualAppliance(appliance) => {
                let hop = subnet.routes.lookup(appliance).map(|(_, &(_, hop))| hop);
                let vnet = match hop {
                    Some(NextHop::VnetPeering(vnet)) => vnet,
                    _ => subnet.vnet,
                };
                self.path_to_host(vnet, appliance, DropReason::NoNextHop)
            }
            NextHop::VirtualNetworkGateway(site) => {
                let far = EdgeCode::site(site);
                Ok(Path { far, zone: far.zone(), outbound: None, service: None })
            }
            NextHop::Internet => self.path_to_public(subnet.outbound.as_ref(), tuple, fragment),
        };
        // The cell names the service of the destination whatever the route, so that a toggle finds the flow.
        path.map(|path| Path { service, ..path })
    }

    /// The endpoint that may take this packet: enabled, TCP (E-13), in scope (E-06 to E-09, C-06).
    fn endpoint(
        self,
        subnet: &SubnetView,
        protocol: Protocol,
        destination: Ipv4Addr,
    ) -> Option<(ServiceId, ipnet::Ipv4Net)> {
        if protocol != Protocol::TCP || subnet.endpoints.is_empty() {
            return None;
        }
        let services = &self.snapshot.services;
        let (prefix, &service) = services.prefixes.lookup(destination)?;
        let (_, scope) = subnet.endpoints.iter().find(|(enabled, _)| *enabled == service)?;
        if let Some(regions) = scope
            && let Some((_, region)) = services.regions.lookup(destination)
            && !regions.contains(region)
        {
            return None;
        }
        Some((service, prefix))
    }

    fn path_to_host(
        self,
        vnet: VnetId,
        address: Ipv4Addr,
        nowhere: DropReason,
    ) -> Result<Path<'a>, DropReason> {
        let far = self.host(vnet, address).ok_or(nowhere)?;
        Ok(Path { far, zone: self.zone(far), outbound: None, service: None })
    }

    fn path_to_public(
        self,
        outbound: Option<&'a OutboundView>,
        tuple: &FiveTuple,
        fragment: bool,
    ) -> Result<Path<'a>, DropReason> {
        let destination = *tuple.destination.ip();
        if AddressClass::of(destination) != AddressClass::Public {
            return Err(DropReason::NoRoute);
        }
        if self.snapshot.public.contains_key(&destination) {
            return Err(DropReason::Hairpin);
        }
        let outbound = outbound.ok_or(DropReason::NoOutbound)?;
        let carried = match outbound.method {
            Method::Default | Method::NatGateway => {
                !fragment && matches!(tuple.protocol, Protocol::TCP | Protocol::UDP)
            }
            Method::Pool => {
                matches!(tuple.protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP)
            }
        };
        if !carried {
            return Err(DropReason::OutboundUnsupported);
        }
        let service = self.snapshot.services.prefixes.lookup(destination).map(|(_, &id)| id);
        let far = service.map_or(EdgeCode::INTERNET, EdgeCode::public);
        Ok(Path { far, zone: Zone::PUBLIC, outbound: Some(outbound), service })
    }

    /// What the rules of the resource at the far side say to the source that it will see (step 8 of the life of a packet).
    fn authorise(
        self,
        entry: Entry<'_>,
        path: &Path<'_>,
        external: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> (Mark, Option<(ResourceId, Access)>) {
        let arrival = match (path.far.place(), entry.origin) {
            (Place::Endpoint(..), Origin::Subnet(subnet)) => Arrival::Tunnel(Identity {
                vnet: subnet.vnet,
                subnet: subnet.id,
                address: external,
            }),
            (Place::Public(_), _) => Arrival::Public(external),
            _ => return (Mark::Unjudged, None),
        };
        // Several resources on one address: only the front end sees the name, so it asks.
        let &[resource] = self.snapshot.resources_at(destination) else {
            return (Mark::Unjudged, None);
        };
        match self.snapshot.judge(resource, arrival) {
            None => (Mark::Unjudged, None),
            Some(access @ Access::Allowed(_)) => (Mark::Allowed, Some((resource, access))),
            Some(access @ Access::Refused(refusal)) => {
                (Mark::Refused(refusal), Some((resource, access)))
            }
        }
    }

    /// The edge at which a side of a flow stands.
    #[inline]
    pub(crate) fn edge_of(self, flow: &Flow<Judgement>, side: Side) -> EdgeCode {
        if side == flow.opener { flow.judgement.near } else { flow.judgement.far }
    }

    /// The public form of an edge; an endpoint's identity has the flow's private address.
    #[inline]
    pub(crate) fn edge(self, code: EdgeCode, inside: Ipv4Addr) -> Edge {
        match code.place() {
            Place::Internet => Edge::Internet,
            Place::Subnet(id) => Edge::Subnet(id),
            Place::Nic(id) => Edge::Nic(id),
            Place::Site(id) => Edge::Site(id),
            Place::Public(service) => Edge::Service { service, identity: None },
            Place::Endpoint(service, _) => {
                Edge::Service { service, identity: self.identity(code, inside) }
            }
        }
    }

    /// How a packet of a flow leaves.
    #[inline]
    pub(crate) fn forward(self, parties: &Parties, side: Side) -> Forward {
        let Parties { opener, inside, external, judgement } = *parties;
        let to = if side == opener { judgement.far } else { judgement.near };
        Forward {
            to: self.edge(to, *inside.ip()),
            direction: side.direction(opener),
            source: if external == inside {
                SourceMode::Preserved
            } else {
                SourceMode::Translated(external)
            },
            mark: judgement.mark,
        }
    }

    fn identity(self, far: EdgeCode, address: Ipv4Addr) -> Option<Identity> {
        let Place::Endpoint(_, subnet) = far.place() else { return None };
        let vnet = self.snapshot.vnet_of(subnet)?;
        Some(Identity { vnet, subnet, address })
    }

    /// Where a host of a virtual network is: its declared interface, else its subnet.
    fn host(self, vnet: VnetId, address: Ipv4Addr) -> Option<EdgeCode> {
        let view = self.snapshot.vnets.get(&vnet)?;
        if let Some(nic) = view.host(address) {
            return Some(EdgeCode::nic(nic));
        }
        view.subnets.lookup(address).map(|(_, &subnet)| EdgeCode::subnet(subnet))
    }

    /// The zone of an edge. An interface that forwards has its own, since what it emits for others is judged afresh; any other
    /// shares that of its subnet.
    fn zone(self, code: EdgeCode) -> Zone {
        match code.place() {
            Place::Nic(NicId(id)) => match self.snapshot.nic(NicId(id)) {
                Some(nic) if !nic.ip_forwarding => EdgeCode::subnet(nic.subnet).zone(),
                _ => code.zone(),
            },
            _ => code.zone(),
        }
    }

    /// The entry of a flow's opener, as it would be made today.
    fn entry_of(self, near: EdgeCode) -> Option<Entry<'a>> {
        let subnet = |id: SubnetId| self.snapshot.subnet(id).map(Origin::Subnet);
        let origin = match near.place() {
            Place::Internet => Origin::Internet,
            Place::Subnet(id) => subnet(id)?,
            Place::Nic(id) => subnet(self.snapshot.nic(id)?.subnet)?,
            Place::Site(id) => Origin::Site(self.snapshot.site(id)?),
            Place::Public(_) | Place::Endpoint(..) => return None,
        };
        Some(Entry { code: near, zone: self.zone(near), origin })
    }

    /// Whether a live flow of this opener may go on behind a public address (N-07, N-08).
    fn may_keep(self, entry: Entry<'_>, external: Ipv4Addr) -> bool {
        match entry.origin {
            Origin::Subnet(subnet) => subnet.keeps.contains(&external),
            Origin::Site(site) => site
                .outbound
                .as_ref()
                .is_some_and(|outbound| outbound.addresses.contains(&external)),
            Origin::Internet | Origin::Service => true,
        }
    }
}

impl Origin<'_> {
    /// The number of the place among cells.
    fn number(self) -> u32 {
        match self {
            Self::Subnet(subnet) => subnet.id.0,
            Self::Site(site) => site.id.0,
            Self::Internet | Self::Service => INTERNET_PLACE,
        }
    }
}

impl Parties {
    pub(crate) fn of(flow: &Flow<Judgement>) -> Self {
        let Flow { opener, inside, external, judgement, .. } = *flow;
        Self { opener, inside, external, judgement }
    }

    pub(crate) fn opening(new: &NewFlow<Judgement>) -> Self {
        let NewFlow { opener, inside, external, judgement, .. } = *new;
        Self { opener, inside, external, judgement }
    }
}

/// How the two halves of an ICMP error from a side of a flow are rewritten: the outer packet like any of that side, the quoted one, which
/// travelled the other way, at its other end (T-22, T-23).
pub(crate) fn rewrite_error(flow: &Flow<Judgement>, side: Side) -> (Rewrite, Rewrite) {
    if !flow.is_translated() {
        return (Rewrite::default(), Rewrite::default());
    }
    let address = |end: SocketAddrV4| Some(SocketAddrV4::new(*end.ip(), 0));
    match side {
        Side::Inside => (
            Rewrite { source: address(flow.external), destination: None },
            Rewrite { source: None, destination: Some(flow.external) },
        ),
        Side::Outside => (
            Rewrite { source: None, destination: address(flow.inside) },
            Rewrite { source: Some(flow.inside), destination: None },
        ),
    }
}

pub(crate) fn fragment_key(zone: Zone, headers: &Headers) -> FragmentKey {
    FragmentKey {
        zone,
        source: headers.source,
        destination: headers.destination,
        protocol: headers.protocol,
        identification: headers.identification,
    }
}
