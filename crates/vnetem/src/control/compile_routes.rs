//! Collects the candidate routes of a subnet's table, and decides which are in force (R-01 to R-10,
//!

use core::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_fib::{RouteTable as Candidates, Table};
use vnetem_packet::VnetId;

use super::{Network, RouteTable, TagLevel, Vnet};
use crate::{NextHop, Route, RouteSource};

/// Ranges with a system route to None, by default those of R-01.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reserved(pub(super) Vec<Ipv4Net>);

/// Routes in force, and overridden routes, each with the source that overrides it.
pub(super) type Winners = (Table<(RouteSource, NextHop)>, Arc<Vec<(Route, RouteSource)>>);

/// The order between equal prefixes: user, BGP, system. An explicit route comes before tags,
/// and tags follow by level.
type Preference<'a> = (RouteSource, Option<(TagLevel, &'a str)>);

impl Default for Reserved {
    fn default() -> Self {
        Self(vec![
            net(10, 0, 0, 0, 8),
            net(172, 16, 0, 0, 12),
            net(192, 168, 0, 0, 16),
            net(100, 64, 0, 0, 10),
        ])
    }
}

impl Network {
    /// Collects all candidate routes of a subnet and decides which are in force.
    pub(super) fn compile_routes(&self, id: VnetId, vnet: &Vnet, table: &RouteTable) -> Winners {
        let mut candidates: Candidates<Preference<'_>, NextHop> = Candidates::new();
        let mut overridden = Vec::new();
        for (&prefix, route) in &table.routes {
            candidates.insert(prefix, (RouteSource::User, None), route.next_hop);
        }
        for (tag, route) in &table.tags {
            let preference = (RouteSource::User, Some((route.level, tag.as_str())));
            for &prefix in &route.prefixes {
                candidates.insert(prefix, preference, route.next_hop);
            }
        }
        let system = self.own_ranges(vnet);
        let source = RouteSource::VirtualNetworkGateway;
        for (prefix, next_hop) in announced(vnet).filter(|_| table.bgp_propagation) {
            match overriding(table, &system, prefix) {
                Some(by) => overridden.push((Route { prefix, source, next_hop }, by)),
                None => _ = candidates.insert(prefix, (source, None), next_hop),
            }
        }
        let default = Ipv4Net::default();
        // a range of the network that is or contains a reserved one replaces it. R-04:
        // so does a user's default route.
        let reserved = self.reserved.0.iter().copied().filter(|reserved| {
            !table.routes.contains_key(&default)
                && !vnet.ranges.iter().any(|range| range.contains(reserved))
        });
        let system = reserved
            .map(|reserved| (reserved, NextHop::None))
            .chain([(default, NextHop::Internet)])
            .chain(system);
        for (prefix, next_hop) in system {
            candidates.insert(prefix, (RouteSource::Default, None), next_hop);
        }
        // L-01: the route is in the endpoint's own network and in the networks that are peered with
        // it directly.
        let near = core::iter::once(id).chain(vnet.peers.iter().copied());
        for (id, endpoint) in near.flat_map(|vnet| self.private_in(vnet)) {
            let (prefix, source) = (Ipv4Net::from(endpoint.address), RouteSource::Default);
            let next_hop = NextHop::InterfaceEndpoint(id);
            if self.is_overridden(endpoint, table) {
                overridden.push((Route { prefix, source, next_hop }, RouteSource::User));
            } else {
                candidates.insert(prefix, (source, None), next_hop);
            }
        }
        let mut winners = Vec::new();
        for (prefix, candidates) in candidates.iter() {
            let mut candidates = candidates.iter();
            if let Some(&((source, _), next_hop)) = candidates.next() {
                winners.push((prefix, (source, next_hop)));
                for &((loser, _), next_hop) in candidates {
                    overridden.push((Route { prefix, source: loser, next_hop }, source));
                }
            }
        }
        (winners.into_iter().collect(), Arc::new(overridden))
    }

    /// Returns the system routes to hosts: the network's ranges and those of its peers.
    fn own_ranges(&self, vnet: &Vnet) -> Vec<(Ipv4Net, NextHop)> {
        let peers = vnet.peers.iter().filter_map(|&peer| Some((peer, self.vnets.get(&peer)?)));
        let peered = peers.flat_map(|(id, peer)| {
            peer.ranges.iter().map(move |&range| (range, NextHop::VnetPeering(id)))
        });
        let local = vnet.ranges.iter().map(|&range| (range, NextHop::VnetLocal));
        peered.chain(local).collect()
    }
}

/// Returns what a network's gateways learn by BGP.
fn announced(vnet: &Vnet) -> impl Iterator<Item = (Ipv4Net, NextHop)> {
    vnet.gateways.iter().flat_map(|(&site, connection)| {
        let hop = NextHop::VirtualNetworkGateway(site);
        connection.announced.iter().map(move |&prefix| (prefix, hop))
    })
}

/// Returns the route that overrides a BGP route of any length. Routes of the network and its
/// peerings do.
fn overriding(
    table: &RouteTable,
    system: &[(Ipv4Net, NextHop)],
    prefix: Ipv4Net,
) -> Option<RouteSource> {
    let by_user =
        table.routes.iter().any(|(range, route)| route.overrides_bgp && range.contains(&prefix));
    let by_system = system.iter().any(|(range, _)| range.contains(&prefix));
    by_user.then_some(RouteSource::User).or(by_system.then_some(RouteSource::Default))
}

const fn net(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}
