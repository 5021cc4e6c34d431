//! The path of a new flow, by the configuration alone, and the access rules at its far side.

use core::net::Ipv4Addr;

use vnetem_authz::{Access, Arrival, PLATFORM_ADDRESSES};
use vnetem_nat::Zone;
use vnetem_packet::{AddressClass, FiveTuple, Identity, Protocol, VnetId};

use crate::edge::{EdgeId, Place};
use crate::pipeline::Pipeline;
use crate::pipeline::origin::{Entry, Origin, is_host};
use crate::pipeline::trace::{Note, RegionChoice, Step};
use crate::route::Choice;
use crate::snapshot::routing::{Chosen, Sender};
use crate::snapshot::{OutboundView, SiteView, SubnetView};
use crate::{
    AccessVerdict, DropReason, NextHop, PrivateEndpointId, ResourceId, Route, RouteSource,
    ServiceId,
};

/// The path of a new flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'a> {
    pub(crate) far: EdgeId,
    pub(crate) zone: Zone,
    /// The method that gives it a public source, or why none does; `None` where the source is
    /// preserved. A live flow needs none any more (N-07).
    pub(crate) outbound: Option<Result<&'a OutboundView, DropReason>>,
    pub(crate) service: Option<ServiceId>,
}

impl Path<'_> {
    /// The same path, which no method opens for this reason.
    fn without(self, reason: DropReason) -> Self {
        Self { outbound: Some(Err(reason)), ..self }
    }
}

impl<'a> Pipeline<'a> {
    /// Finds the path of a packet that opens a flow, by the configuration alone.
    pub(crate) fn path(
        &self,
        entry: Entry<'a>,
        tuple: &FiveTuple,
        fragment: bool,
        note: &mut impl Note,
    ) -> Result<Path<'a>, DropReason> {
        let destination = *tuple.destination.ip();
        if let Origin::Subnet(subnet) = entry.origin
            && PLATFORM_ADDRESSES.contains(&destination)
        {
            // whatever the routes say.
            let far = EdgeId::platform(subnet.id);
            return Ok(Path { far, zone: far.zone(), outbound: None, service: None });
        }
        if !is_host(destination) {
            return Err(DropReason::MartianDestination);
        }
        match entry.origin {
            Origin::Platform(subnet) if subnet.prefix.contains(&destination) => {
                self.path_to_host(subnet.vnet, destination, DropReason::NoSuchHost)
            }
            Origin::Platform(_) => Err(DropReason::NoRoute),
            Origin::Service => Err(DropReason::NoFlow),
            Origin::Internet => match self.snapshot.services.prefixes.lookup(destination) {
                Some((_, &service)) => Ok(Path {
                    far: EdgeId::public(service),
                    zone: Zone::PUBLIC,
                    outbound: None,
                    service: Some(service),
                }),
                None => Err(DropReason::NoRoute),
            },
            Origin::Site(site) => match site.vnets.lookup(destination) {
                Some((_, &vnet)) => self.path_to_host(vnet, destination, DropReason::NoSuchHost),
                None => self.path_from_site(site, tuple, fragment),
            },
            Origin::Subnet(subnet) => self.path_from_subnet(entry, subnet, tuple, fragment, note),
        }
    }

    /// Finds the path of a site's packet to the public side: to services by the peering of the
    /// site's circuit if there is one, else by the site's own translation (S-36, S-38).
    fn path_from_site(
        &self,
        site: &'a SiteView,
        tuple: &FiveTuple,
        fragment: bool,
    ) -> Result<Path<'a>, DropReason> {
        let service = self.snapshot.service_at(*tuple.destination.ip());
        let peering = site.peering.as_ref().filter(|_| service.is_some());
        self.path_to_public(peering.or(site.outbound.as_ref()), service, tuple, fragment)
    }

    fn path_from_subnet(
        &self,
        entry: Entry<'a>,
        subnet: &'a SubnetView,
        tuple: &FiveTuple,
        fragment: bool,
        note: &mut impl Note,
    ) -> Result<Path<'a>, DropReason> {
        let destination = *tuple.destination.ip();
        let source = *tuple.source.ip();
        let foreign = self.is_foreign(entry, source);
        let sender = match foreign {
            true if !self.snapshot.is_at_home(subnet.vnet, source) => Sender::Foreign,
            _ => Sender::Host(self.own_address(entry).unwrap_or(source)),
        };
        let Chosen { choice, route, passed, tie } =
            self.snapshot.choose(subnet, tuple.protocol, destination, sender);
        let choice = choice.ok_or(DropReason::NoRoute)?;
        note.step(|| Step::Route { choice, route });
        if let Some(service) = tie {
            let policy = self.snapshot.tie_policy;
            note.step(|| Step::Tie { subnet: subnet.id, service, policy });
        } else if let Some((service, why)) = passed {
            note.step(|| Step::PassedOver { subnet: subnet.id, service, destination, why });
        }
        let route = match choice {
            Choice::Endpoint { service, .. } => {
                let far = EdgeId::endpoint(service, subnet.id);
                return Ok(Path { far, zone: far.zone(), outbound: None, service: Some(service) });
            }
            Choice::Route(route) => route,
        };
        let service = self.snapshot.service_at(destination);
        let path = match route.next_hop {
            NextHop::None => Err(DropReason::RouteNone),
            NextHop::VnetLocal if !self.reaches(subnet.vnet, destination, route, note) => {
                Err(DropReason::PrivateEndpointRoute)
            }
            NextHop::VnetLocal => {
                self.path_to_host(subnet.vnet, destination, DropReason::NoSuchHost)
            }
            NextHop::VnetPeering(vnet) => {
                self.path_to_host(vnet, destination, DropReason::NoSuchHost)
            }
            NextHop::VirtualAppliance(appliance) => {
                // Reached directly, in the network or a peered one, whatever user routes say of its
                // address.
                let view = self.snapshot.vnet(subnet.vnet);
                let peers = view.map_or(&[][..], |view| &view.peers);
                let peer = peers.iter().find(|peer| self.host(**peer, appliance).is_some());
                let vnet = match self.host(subnet.vnet, appliance) {
                    Some(_) => subnet.vnet,
                    None => *peer.unwrap_or(&subnet.vnet),
                };
                self.path_to_host(vnet, appliance, DropReason::NoNextHop)
            }
            NextHop::VirtualNetworkGateway(site) => {
                let far = EdgeId::site(site);
                Ok(Path { far, zone: far.zone(), outbound: None, service: None })
            }
            NextHop::InterfaceEndpoint(id) => self.path_to_private_endpoint(id),
            NextHop::Internet => {
                if !self.snapshot.services.same_region.is_empty()
                    && let Some((service, region)) = self.region_choice(subnet, service, tuple)
                    && !foreign
                {
                    note.step(|| Step::Region { subnet: subnet.id, destination, choice: region });
                    if region == RegionChoice::Same(true) {
                        let far = EdgeId::same_region(service, subnet.id);
                        let service = Some(service);
                        return Ok(Path { far, zone: far.zone(), outbound: None, service });
                    }
                }
                let outbound = self.outbound(entry, subnet);
                let path = self.path_to_public(outbound, service, tuple, fragment);
                path.map(
                    |path| if foreign { path.without(DropReason::ForeignSource) } else { path },
                )
            }
        };
        // The cell names the service of the destination whatever the route, so that a toggle finds
        // the flow.
        path.map(|path| Path { service, ..path })
    }

    /// What the regions of network and destination decide, where it is known whether the service
    /// lets its own region in by private sources (C-03); `None` where they decide nothing. As over
    /// an endpoint, that is for TCP.
    fn region_choice(
        &self,
        subnet: &SubnetView,
        service: Option<ServiceId>,
        tuple: &FiveTuple,
    ) -> Option<(ServiceId, RegionChoice)> {
        let services = &self.snapshot.services;
        if tuple.protocol != Protocol::TCP {
            return None;
        }
        let service = service?;
        let on = *services.same_region.get(&service)?;
        let there = services.regions.lookup(*tuple.destination.ip()).map(|(_, &region)| region);
        let choice = match (subnet.region, there) {
            _ if !subnet.is_placed => RegionChoice::NetworkUnknown(on),
            (_, None) => RegionChoice::AddressUnknown(on),
            (here, there) if here == there => RegionChoice::Same(on),
            _ => return None,
        };
        Some((service, choice))
    }

    /// Says whether a route to the network itself carries to an address: a user's may not carry to
    /// a private endpoint (L-11).
    fn reaches(&self, vnet: VnetId, to: Ipv4Addr, route: Route, note: &mut impl Note) -> bool {
        if route.source != RouteSource::User || self.snapshot.private.is_empty() {
            return true;
        }
        let private = self.snapshot.vnet(vnet).and_then(|view| view.private.get(&to));
        let known = |&id: &PrivateEndpointId| Some((id, self.snapshot.private.get(&id)?));
        let Some((id, view)) = private.and_then(known) else { return true };
        note.step(|| Step::PrivateRoute { endpoint: id, carries: view.by_vnet_routes });
        view.by_vnet_routes
    }

    fn path_to_host(
        &self,
        vnet: VnetId,
        address: Ipv4Addr,
        nowhere: DropReason,
    ) -> Result<Path<'a>, DropReason> {
        let far = self.host(vnet, address).ok_or(nowhere)?;
        if self.is_deallocated(far) {
            return Err(nowhere);
        }
        if let Place::Private(id) = far.place() {
            return self.path_to_private_endpoint(id);
        }
        Ok(Path { far, zone: self.zone(far), outbound: None, service: None })
    }

    /// L-05, L-07.
    fn path_to_private_endpoint(&self, id: PrivateEndpointId) -> Result<Path<'a>, DropReason> {
        match self.snapshot.private.get(&id) {
            Some(endpoint) if endpoint.approved => {
                let far = EdgeId::private(id);
                Ok(Path { far, zone: far.zone(), outbound: None, service: None })
            }
            _ => Err(DropReason::PrivateEndpointUnapproved),
        }
    }

    fn path_to_public(
        &self,
        outbound: Option<&'a OutboundView>,
        service: Option<ServiceId>,
        tuple: &FiveTuple,
        fragment: bool,
    ) -> Result<Path<'a>, DropReason> {
        let destination = *tuple.destination.ip();
        if AddressClass::of(destination) != AddressClass::Public {
            return Err(DropReason::NoRoute);
        }
        // Judged with the method, so that a flow which is open when the address becomes ours goes
        // on (N-07).
        let is_ours = self.snapshot.is_ours(destination);
        // To another's address it comes in as from the internet; to an own one as the pool says.
        let turns = is_ours
            && outbound.is_some_and(|own| match own.is_at(destination) {
                true => own.rules.hairpin,
                false => self.shard.is_none(),
            });
        let outbound = match outbound {
            None => Err(DropReason::NoOutbound),
            Some(_) if is_ours && !turns => Err(DropReason::Hairpin),
            Some(outbound) if !outbound.carries(tuple.protocol, fragment) => {
                Err(DropReason::OutboundUnsupported)
            }
            Some(outbound) => Ok(outbound),
        };
        let far = match service {
            _ if turns => EdgeId::HAIRPIN,
            Some(service) => EdgeId::public(service),
            None => EdgeId::INTERNET,
        };
        Ok(Path { far, zone: Zone::PUBLIC, outbound: Some(outbound), service })
    }

    /// What the rules of the resource at the far side say to the source that it will see (step 8 of
    /// the life of a packet).
    pub(crate) fn authorise(
        &self,
        entry: Entry<'_>,
        path: &Path<'_>,
        external: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> (AccessVerdict, Option<(ResourceId, Access)>) {
        let arrival = match (path.far.place(), entry.origin) {
            (Place::Endpoint(..), Origin::Subnet(subnet)) => Arrival::Tunnel(Identity {
                vnet: subnet.vnet,
                subnet: subnet.id,
                address: external,
            }),
            (Place::Public(_), _) => Arrival::Public(external),
            (Place::SameRegion(..), _) => Arrival::PrivateSameRegion(external),
            (Place::Private(id), _) => {
                let behind = self.snapshot.private.get(&id);
                let arrival = Arrival::PrivateEndpoint { approved: true };
                return self.access(behind.map(|endpoint| endpoint.resource), arrival);
            }
            _ => return (AccessVerdict::Unjudged, None),
        };
        if let (Place::Endpoint(service, subnet), []) =
            (path.far.place(), self.snapshot.resources_at(destination))
            && let Some(policies) = self.snapshot.policies.get(&(subnet, service))
        {
            // S-45: what is declared nowhere has no id that a policy could name.
            let refusal = policies.judge("").refusal();
            return (refusal.map_or(AccessVerdict::Unjudged, AccessVerdict::Refused), None);
        }
        // Several resources on one address: only the front end sees the name, so it asks.
        let resource = match *self.snapshot.resources_at(destination) {
            [resource] => Some(resource),
            _ => None,
        };
        self.access(resource, arrival)
    }

    fn access(
        &self,
        resource: Option<ResourceId>,
        arrival: Arrival,
    ) -> (AccessVerdict, Option<(ResourceId, Access)>) {
        let judged = resource.and_then(|id| Some((id, self.snapshot.judge(id, arrival)?)));
        let access = match judged {
            None => AccessVerdict::Unjudged,
            Some((_, Access::Allowed(_))) => AccessVerdict::Allowed,
            Some((_, Access::Refused(refusal))) => AccessVerdict::Refused(refusal),
        };
        (access, judged)
    }
}
