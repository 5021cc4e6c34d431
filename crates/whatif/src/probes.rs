//! Traffic where there is none: every subnet tries every resource, every service in use, the
//! internet, and what its routes and its network lead to.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::BTreeSet;

use vnetem::packet::FiveTuple;
use vnetem::{Network, Protocol, ServiceId, SubnetId};

use crate::Change;
use crate::places::host_of;
use crate::side::Origin;

/// Addresses of the internet's root servers, which are of no service.
const INTERNET: [Ipv4Addr; 3] =
    [Ipv4Addr::new(198, 41, 0, 4), Ipv4Addr::new(199, 9, 14, 201), Ipv4Addr::new(192, 33, 4, 12)];

/// Subnets up to which each tries every other one.
const FEW_SUBNETS: usize = 64;

/// The port from which everything is tried.
const PORT: u16 = 50_000;

/// Flows that try everything that is known before or after the change.
pub(crate) fn all(change: &Change) -> Vec<(Origin, FiveTuple)> {
    let mut probes = BTreeSet::new();
    let (before, after) = (&change.before, &change.after);
    let old = before.subnets().map(|(id, _)| id);
    let new = after.subnets().map(|(id, _)| id);
    let subnets: BTreeSet<SubnetId> = old.chain(new).collect();
    let resources: BTreeSet<(ServiceId, Ipv4Addr)> = [before, after]
        .into_iter()
        .flat_map(|network| network.resources())
        .map(|(_, resource)| (resource.service, resource.address))
        .collect();
    let named: BTreeSet<ServiceId> = resources.iter().map(|(service, _)| *service).collect();
    let used: BTreeSet<ServiceId> = [before, after]
        .into_iter()
        .flat_map(|network| network.subnets())
        .flat_map(|(_, subnet)| subnet.endpoints.keys().copied())
        .filter(|service| !named.contains(service))
        .collect();
    let internet =
        INTERNET.into_iter().find(|address| change.second.service_at(*address).is_none());
    let hosts: Vec<(SubnetId, Ipv4Addr)> =
        subnets.iter().filter_map(|id| Some((*id, host(change, *id)?))).collect();
    for (id, source) in &hosts {
        let mut add = |destination: Ipv4Addr, port: u16| {
            let tuple = FiveTuple {
                protocol: Protocol::TCP,
                source: SocketAddrV4::new(*source, PORT),
                destination: SocketAddrV4::new(destination, port),
            };
            if destination != *source {
                probes.insert((Origin::Subnet(*id), tuple));
            }
        };
        for (service, address) in &resources {
            add(*address, port_of(after, *service));
        }
        for service in &used {
            if let Some(address) = address_of(change, *id, *service) {
                add(address, port_of(after, *service));
            }
        }
        internet.into_iter().for_each(|address| add(address, 443));
        for network in [before, after] {
            let Ok(subnet) = network.subnet(*id) else { continue };
            let routes = subnet.table.routes.keys().filter(|range| range.prefix_len() > 0);
            // Hosts of the subnet's own range are tried below.
            let others = routes.filter(|range| !range.contains(source));
            others.filter_map(|range| range.hosts().next()).for_each(|address| add(address, 443));
            if hosts.len() <= FEW_SUBNETS {
                let near = |other: &SubnetId| is_near(network, *id, *other);
                let others = hosts.iter().filter(|(other, _)| other != id && near(other));
                others.for_each(|(_, address)| add(*address, 443));
            }
        }
    }
    probes.into_iter().collect()
}

fn host(change: &Change, id: SubnetId) -> Option<Ipv4Addr> {
    host_of(&change.before, id).or_else(|| host_of(&change.after, id))
}

/// Whether two subnets are of one network or of two peers.
fn is_near(network: &Network, one: SubnetId, other: SubnetId) -> bool {
    let vnet = |id| network.subnet(id).ok().map(|subnet| subnet.vnet);
    let (Some(one), Some(other)) = (vnet(one), vnet(other)) else { return false };
    one == other || network.vnet(one).is_ok_and(|vnet| vnet.peers.contains(&other))
}

/// An address of a service at which nothing is declared, of the subnet's own region if there is
/// one.
fn address_of(change: &Change, id: SubnetId, service: ServiceId) -> Option<Ipv4Addr> {
    let network = &change.after;
    let service = network.service(service).ok()?;
    let subnet = network.subnet(id).or_else(|_| change.before.subnet(id)).ok()?;
    let region = network.vnet(subnet.vnet).ok().map(|vnet| vnet.placement.region.clone());
    let local = service.regions.iter().filter(|(_, name)| Some(*name) == region.as_ref());
    let ranges = local.map(|(range, _)| *range).chain(service.prefixes.iter().copied());
    let free = |address: &Ipv4Addr| {
        change.second.resources_at(*address).is_empty()
            && change.second.service_at(*address).is_some()
    };
    ranges.take(64).find_map(|range| range.hosts().take(64).find(free))
}

/// The port that programs of a service use.
fn port_of(network: &Network, service: ServiceId) -> u16 {
    match network.service(service).map(|service| service.name.as_str()) {
        Ok("Microsoft.Sql") => 1_433,
        Ok("Microsoft.EventHub" | "Microsoft.ServiceBus") => 5_671,
        _ => 443,
    }
}
