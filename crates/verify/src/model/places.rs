//! Finds the sender of a packet, its path, and the flow of an ICMP error.

use vnetem::{Identity, ServiceId, authz::Refusal};

use super::outbound::method_to;
use super::*;

impl Model {
    /// Returns the edge of the sender: the interface that has the source address, if the source may
    /// come from there (INV-spoofed-source-dropped, INV-special-addresses-refused, R-24).
    pub(super) fn entry(&self, edge: Edge, packet: &Packet) -> Result<Edge, Disposition> {
        let (source, destination) = (*packet.source.ip(), *packet.destination.ip());
        let net = &self.network;
        let unknown = Disposition::Drop(DropReason::UnknownEdge);
        if source == destination {
            return drop(DropReason::MartianDestination);
        }
        let (resolved, may_send) = match edge {
            Edge::Subnet(id) => {
                let subnet = net.subnet(id).map_err(|_| unknown)?;
                let host = address::host_in(net, id, source);
                // Only a private endpoint sends from its address.
                let is_free =
                    !matches!(host, Edge::PrivateEndpoint(_)) && !address::is_kept(subnet, source);
                let may_send = is_free && subnet.prefix.contains(&source);
                if may_send && route::is_deallocated(net, host) {
                    return drop(DropReason::NoSuchHost);
                }
                (host, may_send)
            }
            Edge::Nic(id) => {
                let nic = net.nic(id).map_err(|_| unknown)?;
                if nic.deallocated && (nic.ip_forwarding || nic.address == source) {
                    return drop(DropReason::NoSuchHost);
                }
                if nic.ip_forwarding && !address::is_host(source) {
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
            Edge::Internet if !address::is_host(source) => return drop(DropReason::MartianSource),
            Edge::Internet => (edge, address::is_public(source) && !address::is_ours(net, source)),
            Edge::Platform(_) if !route::is_platform(source) => (edge, false),
            Edge::Platform(id) => {
                net.subnet(id).map_err(|_| unknown)?;
                (edge, true)
            }
            Edge::SameRegion { service, .. } => {
                let own = route::service_at(net, source).is_some_and(|(owner, _)| owner == service);
                (edge, own)
            }
            Edge::Service { service, identity } => {
                let own = route::service_at(net, source).is_some_and(|(owner, _)| owner == service);
                // The destination says which caller is answered.
                let identity = identity.map(|it| Identity { address: destination, ..it });
                (Edge::Service { service, identity }, own)
            }
        };
        if may_send { Ok(resolved) } else { drop(DropReason::SpoofedSource) }
    }

    /// Returns whether a packet without a flow has a source that cannot come in there
    /// (INV-spoofed-source-dropped). On the public side these are addresses of the receiver's
    /// network, of a peered one or of a connected site; at a site's gateway, of the first two.
    pub(super) fn is_spoofed(&self, entered: &Entered<'_>, to: Edge, source: Ipv4Addr) -> bool {
        let from_site = match entered.edge {
            Edge::Internet | Edge::Service { identity: None, .. } => false,
            Edge::Site(_) => true,
            _ => return false,
        };
        let net = &self.network;
        let subnet = match to {
            Edge::PrivateEndpoint(id) => net.private_endpoint(id).ok().map(|it| it.subnet),
            _ => self.subnet_of(to),
        };
        let home = subnet.and_then(|id| net.subnet(id).ok()).map(|subnet| subnet.vnet);
        let Some(own) = home.and_then(|id| net.vnet(id).ok()) else { return false };
        let peers = own.peers.iter().filter_map(|peer| net.vnet(*peer).ok());
        let mut near = core::iter::once(own).chain(peers).flat_map(|vnet| &vnet.ranges);
        if near.any(|range| range.contains(&source)) {
            return !entered.hairpinned;
        }
        // A prefix shorter than /8 is a default route, and says nothing about hosts.
        let behind = own.gateways.iter().flat_map(|(site, gateway)| {
            let ranges = net.site(*site).map_or(&[][..], |site| &site.ranges);
            ranges.iter().chain(&gateway.announced)
        });
        let mut behind = behind.filter(|prefix| prefix.prefix_len() >= 8);
        !from_site && !entered.hairpinned && behind.any(|prefix| prefix.contains(&source))
    }

    /// Returns the path that a packet would take if it opened a flow. A shard does not know the
    /// others, so it has hairpins to addresses of the sender's own pool only.
    pub(super) fn path(&self, edge: Edge, packet: &Packet) -> Result<Path, NoPath> {
        let path = self.path_unsharded(edge, packet)?;
        let at = *packet.destination.ip();
        let is_own = || method_to(&self.network, edge, at).is_some_and(|own| own.is_at(at));
        if !self.sharded || !path.hairpins || is_own() {
            return Ok(path);
        }
        let method = match path.method {
            Some(Ok(_) | Err(NoPath::Unsupported)) => Some(Err(NoPath::Hairpin)),
            other => other,
        };
        Ok(Path { hairpins: false, method, ..path })
    }

    fn path_unsharded(&self, edge: Edge, packet: &Packet) -> Result<Path, NoPath> {
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
                route::from_subnet(&self.network, edge, subnet, packet, foreign)
            }
        }
    }

    pub(super) fn subnet_of(&self, edge: Edge) -> Option<SubnetId> {
        match edge {
            Edge::Subnet(id) => Some(id),
            Edge::Nic(id) => self.network.nic(id).ok().map(|nic| nic.subnet),
            _ => None,
        }
    }

    /// Returns what the rules of the resource at the far side say about the source that it will
    /// see.
    pub(super) fn access(&self, flow: &Flow) -> AccessVerdict {
        let to = flow.edges[1 - flow.initiator];
        let arrival = match to {
            Edge::Service { identity: Some(identity), .. } => Arrival::Tunnel(identity),
            Edge::Service { identity: None, .. } => Arrival::Public(*flow.external.ip()),
            Edge::SameRegion { .. } => Arrival::PrivateSameRegion(*flow.external.ip()),
            // F-13: no rules apply behind an approved private endpoint.
            Edge::PrivateEndpoint(_) => return AccessVerdict::Allowed,
            _ => return AccessVerdict::Unjudged,
        };
        // S-45: no policy names an address without a declared resource.
        if let Edge::Service { service, identity: Some(identity) } = to
            && !self
                .network
                .resources()
                .any(|(_, it)| it.addresses().any(|at| at == *flow.remote.ip()))
            && self.network.policies_of(identity.subnet, service).next().is_some()
        {
            return AccessVerdict::Refused(Refusal::NotInEndpointPolicy);
        }
        let mut there = self.network.resources().filter(|(_, it)| it.address == *flow.remote.ip());
        let (Some((_, resource)), None) = (there.next(), there.next()) else {
            return AccessVerdict::Unjudged;
        };
        // The policies of the subnet are asked first (U-06).
        if let Edge::Service { service, identity: Some(identity) } = to
            && !self.policies_allow(identity.subnet, service, &resource.path)
        {
            return AccessVerdict::Refused(Refusal::NotInEndpointPolicy);
        }
        match resource.rules.judge(arrival) {
            vnetem::authz::Access::Allowed(_) => AccessVerdict::Allowed,
            vnetem::authz::Access::Refused(refusal) => AccessVerdict::Refused(refusal),
        }
    }

    /// Returns whether the policies of an endpoint allow a resource (S-45, P-01 to P-03, P-06).
    /// Without a policy everything is allowed. With some, one must name it or a level above it, and
    /// a classic account is never allowed.
    fn policies_allow(&self, subnet: SubnetId, service: ServiceId, path: &str) -> bool {
        let mut policies = self.network.policies_of(subnet, service).peekable();
        let parts =
            |path: &str| -> Vec<String> { path.split('/').map(str::to_ascii_lowercase).collect() };
        let path = parts(path);
        if policies.peek().is_none() {
            return true;
        }
        let mut entries =
            policies.flat_map(|policy| &policy.definitions).flat_map(|part| part.resources());
        !path.contains(&"microsoft.classicstorage".to_owned())
            && entries.any(|entry| path.starts_with(&parts(&entry.to_string())))
    }

    /// Returns the address of the router next to an edge: the first of its range. On the public
    /// side, where none is known, it is the address that was called.
    pub(super) fn router(&self, edge: Edge, called: Ipv4Addr) -> Ipv4Addr {
        let subnet = self.subnet_of(edge).and_then(|id| self.network.subnet(id).ok());
        let range = match edge {
            Edge::Site(id) => {
                self.network.site(id).ok().and_then(|site| site.ranges.first().copied())
            }
            _ => subnet.map(|subnet| subnet.prefix),
        };
        range.map_or(called, |range| Ipv4Addr::from_bits(range.network().to_bits() + 1))
    }

    pub(super) fn forwards(&self, edge: Edge) -> bool {
        let nic = match edge {
            Edge::Nic(id) => self.network.nic(id).ok(),
            _ => None,
        };
        nic.is_some_and(|nic| nic.ip_forwarding)
    }

    /// Returns whether the flow's method carries fragments. The platform's methods carry none
    /// (N-18).
    pub(in crate::model) fn carries_fragments(&self, flow: &Flow) -> bool {
        let of_platform = |kind| {
            matches!(kind, MethodKind::Default | MethodKind::NatGateway | MethodKind::Balancer)
        };
        let asks = flow.translated && flow.initiator == 0;
        let method = asks.then(|| method_behind(&self.network, flow.edges[0], flow.external));
        !method.flatten().is_some_and(of_platform)
    }

    /// Processes an ICMP error: it takes the path of the flow whose packet it quotes
    /// (INV-icmp-quote-translated, T-22 to T-25). A router on the way may send it, so it may come
    /// by another public edge. It never ends, revalidates or refreshes a flow (T-24, P-22).
    pub(super) fn error(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<Passed, Disposition> {
        let (edge, bytes) = (entered.edge, entered.bytes);
        if wire::transport_sum_is_right(bytes, packet) == Some(false) {
            return drop(DropReason::IcmpChecksum);
        }
        let (quoted, begin) = wire::quoted(bytes, packet)
            .map_err(|cause| Disposition::Drop(DropReason::Malformed(cause)))?;
        let unknown = Disposition::Drop(DropReason::QuoteUnknown);
        let answer = (quoted.protocol, quoted.destination, quoted.source);
        let (at, side) = self.find(edge, answer).ok_or(unknown)?;
        let flow = self.flow(at)?;
        let came_by = flow.edges[side];
        let same_end = (flow.hairpins && side == 1) == entered.hairpinned;
        let fits = same_end && (came_by == edge || is_public(came_by) && is_public(edge));
        let switched = flow.invalidated && self.judge(&flow).is_err();
        let to_sender = packet.destination.ip() == quoted.source.ip();
        if flow.is_tombstone() || switched || !fits || !to_sender {
            return Err(unknown);
        }
        let reporter = *packet.source.ip();
        let own_end = if side == 0 { *flow.internal.ip() } else { *flow.remote.ip() };
        if reporter != own_end && self.is_spoofed(entered, flow.edges[1 - side], reporter) {
            return drop(DropReason::SpoofedSource);
        }
        // A redirect (type 5) concerns one link (RFC 1122 3.2.2.2), and a translated flow crosses
        // two.
        if bytes.get(packet.header) == Some(&5) && flow.translated {
            return drop(DropReason::Redirect);
        }
        // RFC 5927 4.1: the error must quote a segment in flight.
        if let Stage::Tcp(connection) = &flow.stage
            && !entered.hairpinned
        {
            let (sender, sequence) =
                ((1 - side) ^ flow.initiator, wire::quoted_sequence(bytes, begin));
            if !connection.is_under_way(sender, sequence) {
                return drop(DropReason::QuoteOutOfWindow);
            }
        }
        let elsewhere = self.way_of_answer(&flow, side)?;
        self.check_ttl(entered, packet)?;
        self.check_size(entered, packet, self.size_of_way(&flow, side, elsewhere))?;
        if let Some(to) = elsewhere {
            return Ok(flow.carry_elsewhere(side, to, bytes, packet));
        }
        let (source, destination) = (*packet.source.ip(), *packet.destination.ip());
        let (outer, inner) = if side == 0 {
            // From the internal side, about a packet from the remote: the internal address is
            // hidden (INV-private-source-stays-inside).
            let source = if flow.translated { *flow.external.ip() } else { source };
            ((source, destination), (quoted.source, flow.external))
        } else {
            ((source, *flow.internal.ip()), (flow.internal, quoted.destination))
        };
        let ttl = packet.ttl - 1;
        let bytes = wire::readdress_error(bytes, packet, outer, inner, ttl).ok_or(unknown)?;
        Ok(Passed { forward: flow.forward(side), bytes, hairpins: flow.hairpins && side == 0 })
    }
}
