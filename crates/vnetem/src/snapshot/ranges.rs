//! Decides which addresses are internal: those in the ranges that the configuration gives to
//! networks and sites, whatever class of address they are.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_packet::VnetId;

use super::{Snapshot, VnetView};
use crate::edge::{EdgeId, Place};

/// Returns whether a prefix of a site identifies hosts of the site. One shorter than /8 does not:
/// it is a default route, which only says where the rest of the world is.
pub(crate) fn is_somebodys(prefix: &Ipv4Net) -> bool {
    prefix.prefix_len() >= 8
}

/// Returns whether the platform keeps an address of a subnet: the first four and the last, in
/// subnets of at least /29 as Azure has them. No host has one (INV-special-addresses-refused;
/// virtual network FAQ).
pub(crate) fn is_reserved(subnet: Ipv4Net, address: Ipv4Addr) -> bool {
    let place = address.to_bits().wrapping_sub(subnet.network().to_bits());
    subnet.prefix_len() <= 29 && (place < 4 || address == subnet.broadcast())
}

/// Returns the first and the last address of a subnet that a host can have.
pub(crate) fn unreserved(subnet: Ipv4Net) -> (Ipv4Addr, Ipv4Addr) {
    let (first, last) = (subnet.network(), subnet.broadcast());
    match subnet.prefix_len() <= 29 {
        true => (
            Ipv4Addr::from_bits(first.to_bits().saturating_add(4)),
            Ipv4Addr::from_bits(last.to_bits().saturating_sub(1)),
        ),
        false => (first, last),
    }
}

/// A set of addresses, as sorted ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Looks an address up by binary search.
    #[inline]
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        let address = address.to_bits();
        let behind = self.0.partition_point(|(first, _)| *first <= address);
        let candidate = behind.checked_sub(1).and_then(|at| self.0.get(at));
        candidate.is_some_and(|(_, last)| address <= *last)
    }
}

impl FromIterator<Ipv4Net> for Ranges {
    fn from_iter<I: IntoIterator<Item = Ipv4Net>>(prefixes: I) -> Self {
        let ends = |prefix: Ipv4Net| (prefix.network().to_bits(), prefix.broadcast().to_bits());
        let mut all: Vec<(u32, u32)> = prefixes.into_iter().map(ends).collect();
        all.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }
}

impl Snapshot {
    /// Returns whether an address belongs to a virtual network or to a peered one.
    pub(crate) fn is_at_home(&self, vnet: VnetId, address: Ipv4Addr) -> bool {
        let holds = |view: &VnetView| view.ranges.iter().any(|range| range.contains(&address));
        let Some(view) = self.vnet(vnet) else { return false };
        holds(view) || view.peers.iter().any(|peer| self.vnet(*peer).is_some_and(holds))
    }

    /// Returns whether an address is internal to a virtual network: its own, a peer's, or behind
    /// one of its gateways.
    pub(crate) fn is_inside(&self, vnet: VnetId, address: Ipv4Addr) -> bool {
        self.is_at_home(vnet, address)
            || self.vnet(vnet).is_some_and(|view| view.learned.contains(address))
    }

    /// Returns the virtual network that an edge belongs to.
    pub(crate) fn vnet_at(&self, code: EdgeId) -> Option<VnetId> {
        let subnet = match code.place() {
            Place::Subnet(id) => id,
            Place::Nic(id) => self.nic(id)?.subnet,
            Place::Private(id) => self.private.get(&id)?.subnet,
            _ => return None,
        };
        self.vnet_of(subnet)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

    use super::*;

    fn ranges(prefixes: &[&str]) -> Ranges {
        prefixes.iter().map(|prefix| prefix.parse::<Ipv4Net>().unwrap()).collect()
    }

    #[test]
    fn ranges_hold_their_ends_alone() {
        let ranges = ranges(&["30.1.0.0/16", "10.0.1.0/24", "10.0.0.0/24", "30.1.7.0/24"]);
        assert_eq!(ranges.0.len(), 2);
        for (address, is_in) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.0.1.255", true),
            ("10.0.2.0", false),
            ("30.0.255.255", false),
            ("30.1.255.255", true),
            ("30.2.0.0", false),
        ] {
            assert_eq!(ranges.contains(address.parse().unwrap()), is_in, "{address}");
        }
    }

    #[test]
    fn default_route_is_no_internal_range() {
        for (prefix, is) in [("0.0.0.0/0", false), ("128.0.0.0/1", false), ("30.0.0.0/8", true)] {
            assert_eq!(is_somebodys(&prefix.parse().unwrap()), is, "{prefix}");
        }
        let wide = ranges(&["30.0.0.0/7"]);
        assert!(wide.contains(Ipv4Addr::new(31, 0, 0, 1)), "a network may be as wide as it likes");
    }

    #[test]
    fn the_last_address_has_no_neighbour() {
        let ranges = ranges(&["255.0.0.0/8", "255.255.255.255/32"]);
        assert!(ranges.contains(Ipv4Addr::BROADCAST));
        assert!(!ranges.contains(Ipv4Addr::UNSPECIFIED));
    }
}
