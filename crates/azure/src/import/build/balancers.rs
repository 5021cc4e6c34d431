//! Load balancers, as far as they give their members an outbound path.

use std::collections::BTreeSet;

use vnetem::{NicId, control::OutboundRule, nat::IdleMinutes};

use super::LoadedNetwork;
use crate::import::{Inventory, LoadBalancer};

impl LoadedNetwork {
    /// Removes load balancers that the inventory does not have.
    pub(super) fn remove_balancers(&mut self, inventory: &Inventory) {
        let stays = |id: &crate::import::Id| {
            inventory.load_balancers.iter().any(|one| one.id == *id && gives_a_path(one))
        };
        let gone: Vec<_> = self.balancers.keys().filter(|id| !stays(id)).cloned().collect();
        gone.iter().for_each(|id| self.remove_balancer(id));
    }

    fn remove_balancer(&mut self, id: &crate::import::Id) {
        let Some(place) = self.balancers.remove(id) else { return };
        let held = self.network.load_balancer(place).map(|held| held.members.clone());
        for member in held.unwrap_or_default().into_keys() {
            _ = self.network.remove_member(place, member);
        }
        _ = self.network.remove_load_balancer(place);
    }

    pub(super) fn add_balancers(&mut self, inventory: &Inventory) {
        for balancer in inventory.load_balancers.iter().filter(|one| gives_a_path(one)) {
            self.add_balancer(balancer, inventory);
        }
    }

    fn add_balancer(&mut self, balancer: &LoadBalancer, inventory: &Inventory) {
        let members = self.members(balancer, inventory);
        let mut frontends = Vec::new();
        for id in balancer.frontends.iter().filter_map(|link| link.id()) {
            frontends.extend(self.public_address(id, inventory));
        }
        let first = members.first().and_then(|&nic| self.network.nic(nic).ok());
        let vnet = first.and_then(|nic| self.network.subnet(nic.subnet).ok()).map(|held| held.vnet);
        let Some(vnet) = vnet else {
            self.remove_balancer(&balancer.id);
            return self.leave_out(&balancer.place, "no member of its pools is in the model");
        };
        let place = match self.balancers.get(&balancer.id) {
            Some(&place) => {
                if self.network.load_balancer(place).is_ok_and(|held| held.frontends != frontends) {
                    let set = self.network.set_frontends(place, &frontends);
                    self.done(&balancer.place, set);
                }
                place
            }
            None => {
                let name = self.names.of(&balancer.id);
                let added = self.network.add_load_balancer(vnet, &name, &frontends);
                let Some(place) = self.done(&balancer.place, added) else { return };
                self.balancers.insert(balancer.id.clone(), place);
                place
            }
        };
        let rule = balancer.outbound_rules.first();
        let number = |value: Option<u32>| value.and_then(|value| u16::try_from(value).ok());
        let wanted = OutboundRule {
            ports: number(rule.and_then(|rule| rule.ports)).unwrap_or(0),
            idle: number(rule.and_then(|rule| rule.idle_minutes))
                .and_then(|minutes| IdleMinutes::new(u8::try_from(minutes).ok()?)),
            ..OutboundRule::default()
        };
        let Ok(held) = self.network.load_balancer(place).cloned() else { return };
        for member in held.members.keys().filter(|member| !members.contains(member)) {
            _ = self.network.remove_member(place, *member);
        }
        if held.rule != wanted {
            let set = self.network.set_outbound_rule(place, wanted);
            self.done(&balancer.place, set);
        }
        for member in members.into_iter().filter(|member| !held.members.contains_key(member)) {
            let added = self.network.add_member(place, member);
            self.done(&balancer.place, added);
        }
    }

    /// The interfaces in the pools: those of the outbound rules, or all where there are none.
    fn members(&self, balancer: &LoadBalancer, inventory: &Inventory) -> Vec<NicId> {
        let ruled = balancer.outbound_rules.iter().filter_map(|rule| rule.backend_pool.id());
        let mut pools: BTreeSet<_> = ruled.cloned().collect();
        if pools.is_empty() {
            pools.extend(balancer.pools.iter().cloned());
        }
        let mut members = Vec::new();
        for nic in &inventory.nics {
            let known = nic.configurations.iter().filter(|one| one.address.is_some());
            let places = self.nics.get(&nic.id).into_iter().flatten();
            for (one, &place) in known.zip(places) {
                let inside =
                    |link: &crate::import::Link| link.id().is_some_and(|id| pools.contains(id));
                if one.backend_pools.iter().any(inside) {
                    members.push(place);
                }
            }
        }
        members
    }
}

/// Whether a load balancer gives its members an outbound path.
fn gives_a_path(balancer: &LoadBalancer) -> bool {
    let public = balancer.frontends.iter().any(|link| link.id().is_some());
    public && (balancer.implicit_outbound || !balancer.outbound_rules.is_empty())
}
