//! The values that edits set, drawn by a number.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem::{
    control::{NextHop, PrivateEndpointState, Scope, TagLevel},
    nat::IdleMinutes,
};

use super::super::pick;
use super::super::world::{INSTANCES, World, net4};

/// Returns service tags whose routes overlap.
pub(super) fn tag(to: u8) -> (&'static str, TagLevel, [&'static str; 2]) {
    match to % 4 {
        0 => ("Storage.East", TagLevel::Regional, ["52.239.0.0/18", "52.239.0.0/24"]),
        1 => ("Storage", TagLevel::Service, ["52.239.0.0/18", "52.239.128.0/24"]),
        2 => ("AzureCloud.east", TagLevel::CloudRegion, ["52.239.0.0/18", "52.239.64.0/18"]),
        _ => ("AzureCloud", TagLevel::Cloud, ["52.0.0.0/8", "52.239.64.0/18"]),
    }
}

/// Returns what the site announces by BGP.
pub(super) fn announced(world: &World, to: u8) -> Vec<Ipv4Net> {
    let sets: [&[&str]; 4] = [
        &["192.168.1.0/24"],
        &["52.239.0.0/20", "192.168.0.0/16"],
        &["0.0.0.0/0"],
        &["198.51.100.0/25", "52.239.16.0/20"],
    ];
    pick(&sets, to).iter().map(|text| world.space.prefix(net4(text))).collect()
}

/// Returns whether the owner of a resource approves a private endpoint, mostly yes.
pub(super) fn state(to: u8) -> PrivateEndpointState {
    use PrivateEndpointState::{Approved, Disconnected, Pending, Rejected};
    *pick(&[Approved, Approved, Approved, Pending, Rejected, Disconnected], to)
}

pub(super) fn instance(to: u8) -> Option<Ipv4Addr> {
    INSTANCES.get(usize::from(to % 3)).copied()
}

/// Returns an idle timeout of a gateway.
pub(super) fn idle(to: u8) -> Option<IdleMinutes> {
    [None, Some(4), Some(5), Some(120)]
        .get(usize::from(to % 4))
        .copied()
        .flatten()
        .and_then(IdleMinutes::new)
}

pub(super) fn scope(with: u8) -> Scope {
    match with % 4 {
        0 | 1 => Scope::Worldwide,
        2 => Scope::Regions(["east".to_owned()].into()),
        _ => Scope::Regions(["West".to_owned(), "north".to_owned()].into()),
    }
}

pub(super) fn hop(world: &World, with: u8) -> NextHop {
    let at = |octets: [u8; 4]| world.space.address(octets.into());
    match with % 8 {
        0 | 1 => NextHop::VirtualAppliance(at([10, 0, 1, 4])),
        2 => NextHop::Internet,
        3 => NextHop::None,
        4 => NextHop::VirtualNetworkGateway(world.site),
        5 => NextHop::VnetLocal,
        6 => NextHop::VirtualAppliance(at([10, 1, 0, 4])),
        _ => NextHop::VirtualAppliance(at([10, 0, 77, 4])),
    }
}

pub(super) fn service_prefixes(storage: bool, with: u8) -> Vec<Ipv4Net> {
    let texts: &[&str] = match (storage, with % 3) {
        (true, 0) => &["52.239.0.0/18", "52.239.128.0/24"],
        (true, 1) => &["52.239.0.0/19", "52.239.128.0/24"],
        (true, _) => &["52.239.0.0/18", "198.51.100.21/32"],
        (false, 0 | 1) => &["52.239.64.0/18"],
        (false, _) => &["52.239.64.0/20"],
    };
    texts.iter().map(|text| net4(text)).collect()
}
