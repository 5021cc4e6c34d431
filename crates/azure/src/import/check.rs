//! Statements that cannot both hold: a subnet twice, ranges that overlap or stand outside.

use std::collections::BTreeMap;

use super::batch::Records;
use super::{Contradiction, Id, Inventory, Subnet};

/// Finds what cannot both hold, with both places.
pub(crate) fn contradictions(records: &Records, inventory: &mut Inventory) {
    let mut found = Vec::new();
    for (first, second, what) in &records.differ {
        let (first, second) = (first.clone(), second.clone());
        found.push(Contradiction { what: what.clone(), first, second });
    }
    let mut by_vnet: BTreeMap<&Id, Vec<&Subnet>> = BTreeMap::new();
    for subnet in &inventory.subnets {
        if let Some(vnet) = subnet.vnet.id() {
            by_vnet.entry(vnet).or_default().push(subnet);
        }
    }
    for (vnet, subnets) in by_vnet {
        // In the order of their starts, a range overlaps one before it only if it overlaps the one
        // that reaches farthest so far.
        let mut ranges: Vec<_> = subnets
            .iter()
            .flat_map(|subnet| subnet.prefixes.iter().map(move |prefix| (prefix, subnet)))
            .collect();
        ranges.sort_by_key(|(prefix, _)| (prefix.network(), prefix.prefix_len()));
        let mut reach: Option<(&ipnet::Ipv4Net, &&Subnet)> = None;
        for (prefix, subnet) in ranges {
            if let Some((other, before)) = reach
                && prefix.network() <= other.broadcast()
            {
                let what = format!(
                    "the ranges of the subnets {} ({other}) and {} ({prefix}) overlap",
                    before.name, subnet.name
                );
                let (first, second) = (before.place.clone(), subnet.place.clone());
                found.push(Contradiction { what, first, second });
            }
            if reach.is_none_or(|(other, _)| other.broadcast() < prefix.broadcast()) {
                reach = Some((prefix, subnet));
            }
        }
        let Some(vnet) = inventory.vnets.iter().find(|other| other.id == *vnet) else { continue };
        for subnet in subnets.iter().filter(|_| !vnet.ranges.is_empty()) {
            for prefix in &subnet.prefixes {
                if !vnet.ranges.iter().any(|range| range.contains(prefix)) {
                    let what = format!(
                        "the range {prefix} of the subnet {} is outside the network {}",
                        subnet.name, vnet.name
                    );
                    let (first, second) = (subnet.place.clone(), vnet.place.clone());
                    found.push(Contradiction { what, first, second });
                }
            }
        }
    }
    inventory.contradictions = found;
}
