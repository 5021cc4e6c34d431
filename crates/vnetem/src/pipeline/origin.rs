//! Who sent a packet, and which edge stands for a place.

use core::hint::select_unpredictable;
use core::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use vnetem_authz::PLATFORM_ADDRESSES;
use vnetem_nat::{Direction, Flow, Hit, NewFlow, Side, Zone};
use vnetem_packet::{AddressClass, Headers, Identity, Rewrite, VnetId};

use crate::edge::{EdgeId, INTERNET_PLACE, Place};
use crate::pipeline::Pipeline;
use crate::pipeline::decision::CachedDecision;
use crate::snapshot::ranges::is_reserved;
use crate::snapshot::{SiteView, SubnetView};
use crate::{AccessVerdict, DropReason, Edge, Forward, NicId, Snapshot};

/// The part of a flow that decides how its packets leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowEnds {
    initiator: Side,
    internal: SocketAddrV4,
    external: SocketAddrV4,
    cached: CachedDecision,
}

/// Who sent a packet, as far as its edge says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// The edge; a declared interface is named where there is one.
    pub(crate) code: EdgeId,
    pub(crate) zone: Zone,
    pub(crate) origin: Origin<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    Subnet(&'a SubnetView),
    Site(&'a SiteView),
    Internet,
    /// A service. It answers and never opens a flow.
    Service,
    /// The platform, which sends health probes to the hosts of this subnet.
    Platform(&'a SubnetView),
}

impl<'a> Pipeline<'a> {
    /// Identifies the sender of a packet; refuses sources that cannot be
    /// (INV-spoofed-source-dropped, INV-special-addresses-refused, R-24).
    pub(crate) fn identify(
        &self,
        edge: EdgeId,
        headers: &Headers,
    ) -> Result<Entry<'a>, DropReason> {
        let source = headers.source;
        if source == headers.destination {
            return Err(DropReason::MartianDestination);
        }
        match edge.place() {
            Place::Internet => match AddressClass::of(source) {
                AddressClass::Public if !self.snapshot.is_ours(source) => {}
                AddressClass::Public | AddressClass::Private | AddressClass::Shared => {
                    return Err(DropReason::SpoofedSource);
                }
                _ => return Err(DropReason::MartianSource),
            },
            Place::Public(service)
            | Place::Endpoint(service, _)
            | Place::SameRegion(service, _) => {
                let owner = self.snapshot.services.prefixes.lookup(source);
                if owner.is_none_or(|(_, owner)| *owner != service) {
                    return Err(DropReason::SpoofedSource);
                }
            }
            Place::Platform(_) if !PLATFORM_ADDRESSES.contains(&source) => {
                return Err(DropReason::SpoofedSource);
            }
            Place::Subnet(_)
            | Place::Nic(_)
            | Place::Site(_)
            | Place::Platform(_)
            | Place::Private(_) => {}
        }
        let entry = self.enter(edge, source)?;
        match edge.place() {
            Place::Nic(_) if !is_host(source) => Err(DropReason::MartianSource),
            _ => Ok(entry),
        }
    }

    /// Does the part of [`identify`](Self::identify) that every packet needs. The rest checks the
    /// source alone, which for a packet of a flow was done when the flow opened.
    #[inline(always)]
    pub(crate) fn enter(&self, edge: EdgeId, source: Ipv4Addr) -> Result<Entry<'a>, DropReason> {
        let (code, origin) = match edge.place() {
            Place::Subnet(id) => {
                let subnet = self.snapshot.subnet(id).ok_or(DropReason::UnknownEdge)?;
                // No host has an address that the platform or a private endpoint has, not even in a
                // reply.
                if !holds(subnet.prefix, source)
                    || is_reserved(subnet.prefix, source)
                    || subnet.has_private && self.is_private_endpoint(subnet, source)
                {
                    return Err(DropReason::SpoofedSource);
                }
                let nic = self.snapshot.nic_in(subnet, source);
                let code = nic.map_or(EdgeId::subnet(id), EdgeId::nic);
                if self.is_deallocated(code) {
                    return Err(DropReason::NoSuchHost);
                }
                (code, Origin::Subnet(subnet))
            }
            Place::Nic(id) => {
                let nic = self.snapshot.nic(id).ok_or(DropReason::UnknownEdge)?;
                let subnet = self.snapshot.subnet(nic.subnet).ok_or(DropReason::UnknownEdge)?;
                if source != nic.address && !nic.ip_forwarding {
                    return Err(DropReason::SpoofedSource);
                }
                if nic.deallocated {
                    return Err(DropReason::NoSuchHost);
                }
                (EdgeId::nic(id), Origin::Subnet(subnet))
            }
            // An address may have become ours while a flow was open to it.
            Place::Internet if self.snapshot.is_ours(source) => {
                return Err(DropReason::SpoofedSource);
            }
            Place::Internet => (EdgeId::INTERNET, Origin::Internet),
            // Who is called has no flow but its own: the flow checks the address.
            Place::Public(_) | Place::Endpoint(..) | Place::SameRegion(..) => {
                (edge, Origin::Service)
            }
            Place::Platform(id) => {
                let subnet = self.snapshot.subnet(id).ok_or(DropReason::UnknownEdge)?;
                (EdgeId::platform(id), Origin::Platform(subnet))
            }
            Place::Site(id) => {
                let site = self.snapshot.site(id).ok_or(DropReason::UnknownEdge)?;
                if !site.ranges.iter().any(|range| range.contains(&source)) {
                    return Err(DropReason::SpoofedSource);
                }
                (EdgeId::site(id), Origin::Site(site))
            }
            Place::Private(id) => {
                let endpoint = self.snapshot.private.get(&id).ok_or(DropReason::UnknownEdge)?;
                if source != endpoint.address {
                    return Err(DropReason::SpoofedSource);
                }
                (EdgeId::private(id), Origin::Service)
            }
        };
        Ok(Entry { code, zone: self.zone(code), origin })
    }

    /// Returns whether a private endpoint of a subnet has an address.
    fn is_private_endpoint(&self, subnet: &SubnetView, address: Ipv4Addr) -> bool {
        self.snapshot.vnet(subnet.vnet).is_some_and(|vnet| vnet.private.contains_key(&address))
    }

    /// Identifies the initiator of a flow by the present configuration; `None` if its place is
    /// gone.
    pub(crate) fn entry_of(&self, near: EdgeId, initiator: Ipv4Addr) -> Option<Entry<'a>> {
        let (code, origin) = match near.place() {
            Place::Internet => (near, Origin::Internet),
            Place::Subnet(id) => {
                let subnet = self.snapshot.subnet(id)?;
                // Whoever has the address by now: an interface, a private endpoint, or any host.
                let private = || {
                    if self.snapshot.private.is_empty() {
                        return near;
                    }
                    let view = self.snapshot.vnet(subnet.vnet);
                    let private = view.and_then(|vnet| vnet.private.get(&initiator).copied());
                    private.map_or(near, EdgeId::private)
                };
                let nic = self.snapshot.nic_in(subnet, initiator);
                (nic.map_or_else(private, EdgeId::nic), Origin::Subnet(subnet))
            }
            Place::Nic(id) => {
                (near, Origin::Subnet(self.snapshot.subnet(self.snapshot.nic(id)?.subnet)?))
            }
            Place::Site(id) => (near, Origin::Site(self.snapshot.site(id)?)),
            Place::Platform(id) => (near, Origin::Platform(self.snapshot.subnet(id)?)),
            Place::Public(_) | Place::Endpoint(..) | Place::SameRegion(..) | Place::Private(_) => {
                return None;
            }
        };
        Some(Entry { code, zone: self.zone(code), origin })
    }

    /// Returns the edge at which a side of a flow stands.
    #[inline]
    pub(crate) fn edge_of(&self, flow: &Flow<CachedDecision>, side: Side) -> EdgeId {
        if side == flow.initiator { flow.cached.near } else { flow.cached.far.plain() }
    }

    /// Returns the public form of an edge; an endpoint's identity has the flow's private address.
    pub(crate) fn edge(&self, code: EdgeId, internal: Ipv4Addr) -> Edge {
        self.snapshot.edge(code, internal)
    }

    /// Says how a packet leaves that an appliance has in a flow already, and that goes on untracked
    ///
    pub(crate) fn again(&self, far: EdgeId, source: Ipv4Addr) -> Forward {
        let source = SocketAddrV4::new(source, 0);
        Forward::new(far, Direction::Original, false, source, AccessVerdict::Unjudged)
    }

    pub(crate) fn identity(&self, far: EdgeId, address: Ipv4Addr) -> Option<Identity> {
        self.snapshot.identity(far, address)
    }

    /// Finds where a host of a virtual network is: its declared interface or private endpoint, else
    /// its subnet.
    pub(crate) fn host(&self, vnet: VnetId, address: Ipv4Addr) -> Option<EdgeId> {
        let view = self.snapshot.vnet(vnet)?;
        if let Some(nic) = self.snapshot.nic_at(vnet, address) {
            return Some(EdgeId::nic(nic));
        }
        if let Some(&endpoint) = view.private.get(&address) {
            return Some(EdgeId::private(endpoint));
        }
        let (prefix, &subnet) = view.subnets.lookup(address)?;
        (!is_reserved(prefix, address)).then_some(EdgeId::subnet(subnet))
    }

    /// Returns the zone of an edge. An interface that forwards has its own, because what it emits
    /// for others opens flows of its own. Any other shares the zone of its subnet.
    #[inline(always)]
    pub(crate) fn zone(&self, code: EdgeId) -> Zone {
        match code.place() {
            Place::Nic(NicId(id)) => match self.snapshot.nic(NicId(id)) {
                Some(nic) if !nic.ip_forwarding => EdgeId::subnet(nic.subnet).zone(),
                _ => code.zone(),
            },
            _ => code.zone(),
        }
    }

    /// Says whether an interface sends under an address that is not its own, which only one that
    /// forwards may.
    pub(crate) fn is_foreign(&self, entry: Entry<'_>, source: Ipv4Addr) -> bool {
        self.own_address(entry).is_some_and(|own| own != source)
    }

    /// Returns the address of the interface that sends.
    pub(crate) fn own_address(&self, entry: Entry<'_>) -> Option<Ipv4Addr> {
        match entry.code.place() {
            Place::Nic(id) => self.snapshot.nic(id).map(|nic| nic.address),
            _ => None,
        }
    }

    /// Says whether an edge is an interface whose machine is deallocated (N-29).
    pub(crate) fn is_deallocated(&self, code: EdgeId) -> bool {
        match code.place() {
            Place::Nic(id) => self.snapshot.nic(id).is_some_and(|nic| nic.deallocated),
            _ => false,
        }
    }

    /// Says whether an edge is an interface that forwards.
    pub(crate) fn forwards(&self, code: EdgeId) -> bool {
        match code.place() {
            Place::Nic(id) => self.snapshot.nic(id).is_some_and(|nic| nic.ip_forwarding),
            _ => false,
        }
    }
}

/// Edges as the public API has them.
impl Snapshot {
    /// Names an edge in full. If a service is reached there over an endpoint, the caller's identity
    /// is part of the edge; its address is `caller`.
    #[must_use]
    pub fn edge(&self, id: EdgeId, caller: Ipv4Addr) -> Edge {
        match id.place() {
            Place::Internet => Edge::Internet,
            Place::Subnet(id) => Edge::Subnet(id),
            Place::Nic(id) => Edge::Nic(id),
            Place::Site(id) => Edge::Site(id),
            Place::Private(id) => Edge::PrivateEndpoint(id),
            Place::Public(service) => Edge::Service { service, identity: None },
            Place::SameRegion(service, subnet) => Edge::SameRegion { service, subnet },
            Place::Platform(id) => Edge::Platform(id),
            Place::Endpoint(service, _) => {
                Edge::Service { service, identity: self.identity(id, caller) }
            }
        }
    }

    /// Returns what the service learns of a caller, if the edge is an endpoint.
    pub(crate) fn identity(&self, far: EdgeId, address: Ipv4Addr) -> Option<Identity> {
        let Place::Endpoint(_, subnet) = far.place() else { return None };
        let vnet = self.vnet_of(subnet)?;
        Some(Identity { vnet, subnet, address })
    }
}

impl Origin<'_> {
    /// Returns the number of the place in revalidation keys.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Subnet(subnet) | Self::Platform(subnet) => subnet.id.0,
            Self::Site(site) => site.id.0,
            Self::Internet | Self::Service => INTERNET_PLACE,
        }
    }
}

impl FlowEnds {
    pub(crate) fn of(flow: &Flow<CachedDecision>) -> Self {
        let Flow { initiator, internal, external, cached, .. } = *flow;
        Self { initiator, internal, external, cached }
    }

    #[inline]
    pub(crate) fn of_hit(hit: &Hit<CachedDecision>) -> Self {
        let Hit { initiator, internal, external, cached, .. } = *hit;
        Self { initiator, internal, external, cached }
    }

    /// Says how a packet from a side leaves.
    #[inline(always)]
    pub(crate) fn forward(&self, side: Side) -> Forward {
        self.forward_by(self.cached.of(side != self.initiator), side)
    }

    /// Says how a packet from a side leaves by this edge.
    #[inline(always)]
    pub(crate) fn forward_by(&self, to: EdgeId, side: Side) -> Forward {
        let Self { initiator, internal, external, cached } = *self;
        let translated = (external != internal) & (initiator == Side::Internal);
        let seen = select_unpredictable(translated, external, internal);
        Forward::new(to, side.direction(initiator), translated, seen, cached.access)
    }

    pub(crate) fn opening(new: &NewFlow<CachedDecision>) -> Self {
        let NewFlow { initiator, internal, external, cached, .. } = *new;
        Self { initiator, internal, external, cached }
    }

    /// Returns the same with another cached decision.
    #[inline]
    pub(crate) const fn with(self, cached: CachedDecision) -> Self {
        Self { cached, ..self }
    }

    /// Returns the internal end, and the same as the outside knows it.
    pub(crate) const fn addresses(&self) -> (SocketAddrV4, SocketAddrV4) {
        (self.internal, self.external)
    }

    /// Returns the edge at which a side stands.
    #[inline]
    pub(crate) fn edge_of(&self, side: Side) -> EdgeId {
        if side == self.initiator { self.cached.near } else { self.cached.far.plain() }
    }

    /// Says whether packets from a side turn round.
    #[inline]
    pub(crate) fn turns_round(&self, side: Side) -> bool {
        self.edge_of(side.other()) == EdgeId::HAIRPIN
    }

    /// Returns the new ends of packets from a side.
    #[inline]
    pub(crate) fn rewrite(&self, side: Side) -> Rewrite {
        if self.internal == self.external {
            return Rewrite::default();
        }
        match side {
            Side::Internal => Rewrite { source: Some(self.external), destination: None },
            Side::External => Rewrite { source: None, destination: Some(self.internal) },
        }
    }
}

/// Says whether an address can be a single host's (INV-special-addresses-refused).
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    let class = AddressClass::of(address);
    matches!(class, AddressClass::Private | AddressClass::Shared | AddressClass::Public)
}

/// Says whether an address is in a prefix, in fewer steps than by its first and last address.
#[inline(always)]
fn holds(prefix: Ipv4Net, address: Ipv4Addr) -> bool {
    let differs = u64::from(address.to_bits() ^ prefix.addr().to_bits());
    differs >> (32 - prefix.prefix_len()) == 0
}
