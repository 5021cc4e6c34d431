//! Virtual networks, subnets, peerings, gateways, interfaces; and what of them goes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use vnetem::{
    VnetId,
    control::{Outbound, Placement},
};

use super::LoadedNetwork;
use crate::import::{Id, Inventory, Link, NetworkInterface, Subnet, VirtualNetwork};

/// Why an interface is left out, or one of its addresses.
const NO_ADDRESS: &str = "an interface whose address is not known";

impl LoadedNetwork {
    /// Removes what the inventory does not have, and what it has otherwise in a way that no edit
    /// makes.
    pub(super) fn remove_what_is_gone(&mut self, inventory: &Inventory) {
        let vnets: BTreeMap<&Id, &VirtualNetwork> =
            inventory.vnets.iter().map(|vnet| (&vnet.id, vnet)).collect();
        let mut gone_vnets: BTreeSet<Id> = BTreeSet::new();
        for (id, &place) in &self.vnets {
            let Ok(held) = self.network.vnet(place) else { continue };
            let ranges = vnets.get(id).map(|vnet| vnet.ranges.clone());
            let ranges = ranges.unwrap_or_else(|| ranges_of_subnets(id, inventory));
            if ranges.is_empty() || ranges != held.ranges {
                gone_vnets.insert(id.clone());
            }
        }
        let subnets: BTreeMap<&Id, &Subnet> =
            inventory.subnets.iter().map(|subnet| (&subnet.id, subnet)).collect();
        let stays = |id: &Id, places: &[vnetem::SubnetId]| {
            let Some(subnet) = subnets.get(id) else { return false };
            let prefixes: Vec<Ipv4Net> = places
                .iter()
                .filter_map(|&place| self.network.subnet(place).ok())
                .map(|held| held.prefix)
                .collect();
            prefixes == subnet.prefixes
                && subnet.vnet.id().is_some_and(|vnet| !gone_vnets.contains(vnet))
        };
        let gone_subnets: BTreeSet<Id> = self
            .subnets
            .iter()
            .filter(|(id, places)| !stays(id, places))
            .map(|(id, _)| id.clone())
            .collect();
        let nics: BTreeMap<&Id, &NetworkInterface> =
            inventory.nics.iter().map(|nic| (&nic.id, nic)).collect();
        let mut gone_nics = Vec::new();
        for (id, places) in &self.nics {
            let wanted = nics.get(id).map(|nic| addresses_of(nic, &gone_subnets));
            let held: Vec<_> = places
                .iter()
                .filter_map(|&place| self.network.nic(place).ok())
                .map(|held| held.address)
                .collect();
            if wanted != Some(held) {
                gone_nics.push(id.clone());
            }
        }
        let resources: BTreeSet<&Id> = inventory.resources.iter().map(|one| &one.id).collect();
        let gone_resources: Vec<Id> =
            self.resources.keys().filter(|id| !resources.contains(id)).cloned().collect();

        // What stands on something else goes before it.
        let endpoints = core::mem::take(&mut self.private_endpoints);
        for (id, place) in endpoints {
            let wanted = inventory.private_endpoints.iter().find(|one| one.id == id);
            let held = self.network.private_endpoint(place).cloned();
            let stays = wanted.zip(held.ok()).is_some_and(|(wanted, held)| {
                let subnet = wanted.subnet.id().filter(|subnet| !gone_subnets.contains(subnet));
                let target = wanted.target.id().filter(|one| !gone_resources.contains(one));
                let places = subnet.and_then(|subnet| self.subnets.get(subnet));
                places.is_some_and(|places| places.contains(&held.subnet))
                    && target.and_then(|one| self.resources.get(one)) == Some(&held.resource)
                    && wanted.addresses.first() == Some(&held.address)
            });
            if stays {
                self.private_endpoints.insert(id, place);
            } else {
                _ = self.network.remove_private_endpoint(place);
            }
        }
        for id in gone_nics {
            for place in self.nics.remove(&id).unwrap_or_default() {
                let pools: Vec<_> = self.balancers.values().copied().collect();
                for pool in pools {
                    _ = self.network.remove_member(pool, place);
                }
                _ = self.network.remove_nic(place);
            }
        }
        for id in &gone_subnets {
            for place in self.subnets.remove(id).unwrap_or_default() {
                _ = self.network.remove_subnet(place);
            }
        }
        for id in gone_resources {
            if let Some(place) = self.resources.remove(&id) {
                _ = self.network.remove_resource(place);
            }
        }
        for id in &gone_vnets {
            let Some(place) = self.vnets.remove(id) else { continue };
            let Ok(held) = self.network.vnet(place).cloned() else { continue };
            for peer in held.peers {
                _ = self.network.unpeer(place, peer);
            }
            for site in held.gateways.into_keys() {
                _ = self.network.disconnect(place, site);
                _ = self.network.remove_site(site);
            }
            _ = self.network.remove_vnet(place);
        }
    }

    pub(super) fn add_places(&mut self, inventory: &Inventory) {
        for vnet in &inventory.vnets {
            let place = match self.vnets.get(&vnet.id) {
                Some(&place) => place,
                None if vnet.ranges.is_empty() => {
                    self.leave_out(&vnet.place, "a network whose ranges are not known");
                    continue;
                }
                None => {
                    let name = self.names.of(&vnet.id);
                    let added = self.network.add_vnet(&name, &vnet.ranges);
                    let Some(place) = self.done(&vnet.place, added) else { continue };
                    self.vnets.insert(vnet.id.clone(), place);
                    place
                }
            };
            let placement = placement(&vnet.id, &vnet.region);
            if self.network.vnet(place).is_ok_and(|held| held.placement != placement) {
                let placed = self.network.place_vnet(place, placement);
                self.done(&vnet.place, placed);
            }
        }
        for subnet in &inventory.subnets {
            self.add_subnet(subnet, inventory);
        }
    }

    fn add_subnet(&mut self, subnet: &Subnet, inventory: &Inventory) {
        if self.subnets.contains_key(&subnet.id) {
            return;
        }
        if subnet.prefixes.is_empty() {
            return self.leave_out(&subnet.place, "a subnet whose range is not known");
        }
        let Link::To(vnet) = &subnet.vnet else {
            return self.leave_out(&subnet.place, "a subnet of a network that is not known");
        };
        let known = inventory.vnets.iter().any(|other| other.id == *vnet);
        let place = match self.vnets.get(vnet) {
            Some(&place) => place,
            None if known => return self.leave_out(&subnet.place, "its network is left out"),
            None => {
                let ranges = ranges_of_subnets(vnet, inventory);
                let name = self.names.of(vnet);
                let added = self.network.add_vnet(&name, &ranges);
                let Some(place) = self.done(&subnet.place, added) else { return };
                self.vnets.insert(vnet.clone(), place);
                self.assume(
                    "network-of-its-subnets",
                    "Of a network that no file has, the ranges are those of its subnets.",
                );
                place
            }
        };
        if subnet.prefixes.len() > 1 {
            self.assume(
                "ranges-are-subnets",
                "A subnet of several ranges is modelled as several subnets with equal settings.",
            );
        }
        let mut places = Vec::new();
        for (number, &prefix) in subnet.prefixes.iter().enumerate() {
            let name = match number {
                0 => subnet.name.clone(),
                _ => format!("{}#{}", subnet.name, number + 1),
            };
            let added = self.network.add_subnet(place, &name, prefix);
            places.extend(self.done(&subnet.place, added));
        }
        if !places.is_empty() {
            self.subnets.insert(subnet.id.clone(), places);
        }
    }

    /// Peers networks that name each other; one side alone carries nothing.
    pub(super) fn add_peerings(&mut self, inventory: &Inventory) {
        let mut sides: BTreeSet<(VnetId, VnetId)> = BTreeSet::new();
        for vnet in &inventory.vnets {
            let Some(&own) = self.vnets.get(&vnet.id) else { continue };
            for peering in &vnet.peerings {
                let Some(remote) = peering.remote.id() else { continue };
                let Some(&other) = self.vnets.get(remote) else {
                    let why = format!("no file has the remote network {}", remote.name());
                    self.leave_out(&peering.place, why);
                    continue;
                };
                let broken = peering.state.eq_ignore_ascii_case("Disconnected");
                if peering.allows_access && !broken {
                    sides.insert((own, other));
                }
            }
        }
        let both = |&(one, other): &(VnetId, VnetId)| sides.contains(&(other, one));
        let wanted: BTreeSet<(VnetId, VnetId)> =
            sides.iter().copied().filter(both).filter(|(one, other)| one < other).collect();
        for (one, other) in sides.iter().filter(|side| !both(side)) {
            let vnet = inventory.vnets.iter().find(|vnet| self.vnets.get(&vnet.id) == Some(one));
            let remote =
                self.network.vnet(*other).map_or_else(|_| String::new(), |it| it.name.clone());
            let peering = vnet.and_then(|vnet| {
                vnet.peerings.iter().find(|peering| {
                    peering.remote.id().and_then(|id| self.vnets.get(id)) == Some(other)
                })
            });
            if let Some(place) = peering.map(|peering| peering.place.clone()) {
                self.leave_out(&place, format!("{remote} does not peer back"));
            }
        }
        let held: Vec<(VnetId, VnetId)> = self
            .network
            .vnets()
            .flat_map(|(id, vnet)| vnet.peers.iter().map(move |&peer| (id, peer)))
            .filter(|(one, other)| one < other)
            .collect();
        for &(one, other) in held.iter().filter(|pair| !wanted.contains(pair)) {
            _ = self.network.unpeer(one, other);
        }
        for (one, other) in wanted.into_iter().filter(|pair| !held.contains(pair)) {
            let peered = self.network.peer(one, other);
            let vnet = inventory.vnets.iter().find(|vnet| self.vnets.get(&vnet.id) == Some(&one));
            if let Some(place) = vnet.map(|vnet| vnet.place.clone()) {
                self.done(&place, peered);
            }
        }
    }

    /// Connects a site behind each gateway: of the site nothing is known but that it is there.
    pub(super) fn add_gateways(&mut self, inventory: &Inventory) {
        for gateway in &inventory.gateways {
            let subnet = gateway.subnet.id();
            let vnet = subnet.and_then(Id::parent).or_else(|| {
                let own = inventory.subnets.iter().find(|one| Some(&one.id) == subnet)?;
                own.vnet.id().cloned()
            });
            let own = inventory.subnets.iter().find(|one| Some(&one.id) == subnet);
            let vnet = own.and_then(|own| own.vnet.id().cloned()).or(vnet);
            let Some(&vnet) = vnet.and_then(|vnet| self.vnets.get(&vnet)) else {
                self.leave_out(&gateway.place, "no file has the network of the gateway");
                continue;
            };
            let name = format!("behind {}", self.names.of(&gateway.id));
            if self.network.sites().any(|(_, site)| site.name == name) {
                continue;
            }
            let Some(address) = self.stand_ins.private(&name) else { continue };
            let site = self.network.add_site(&name, &[Ipv4Net::from(address)], &[]);
            let Some(site) = self.done(&gateway.place, site) else { continue };
            let connected = if gateway.kind.eq_ignore_ascii_case("ExpressRoute") {
                self.network.connect_express_route(vnet, site, &[])
            } else {
                self.network.connect(vnet, site, &[])
            };
            self.done(&gateway.place, connected);
            self.assume(
                "site-behind-gateway-unknown",
                "What a gateway connects, and which prefixes it learns, is in no file: none are \
                 learned.",
            );
        }
    }

    pub(super) fn add_nics(&mut self, inventory: &Inventory) {
        for nic in &inventory.nics {
            if self.nics.contains_key(&nic.id) {
                if nic.configurations.iter().any(|one| one.address.is_none()) {
                    self.leave_out(&nic.place, NO_ADDRESS);
                }
            } else {
                self.add_nic(nic);
            }
            let places = self.nics.get(&nic.id).cloned().unwrap_or_default();
            for place in places {
                if self.network.nic(place).is_ok_and(|held| held.ip_forwarding != nic.forwarding) {
                    let set = self.network.set_ip_forwarding(place, nic.forwarding);
                    self.done(&nic.place, set);
                }
            }
        }
        // Their public addresses belong to the outbound method.
    }

    fn add_nic(&mut self, nic: &NetworkInterface) {
        let mut places = Vec::new();
        for (number, one) in nic.configurations.iter().enumerate() {
            let Some(subnets) = one.subnet.id().and_then(|id| self.subnets.get(id)) else {
                self.leave_out(&nic.place, "an interface whose subnet is not in the model");
                continue;
            };
            let Some(address) = one.address else {
                self.leave_out(&nic.place, NO_ADDRESS);
                continue;
            };
            let inside = |place: &&vnetem::SubnetId| {
                self.network.subnet(**place).is_ok_and(|held| held.prefix.contains(&address))
            };
            let Some(&subnet) = subnets.iter().find(inside).or_else(|| subnets.first()) else {
                continue;
            };
            let name = self.names.of(&nic.id);
            let name = if number == 0 { name } else { format!("{name}/{}", one.name) };
            let added = self.network.add_nic(subnet, &name, address);
            places.extend(self.done(&nic.place, added));
        }
        if !places.is_empty() {
            self.nics.insert(nic.id.clone(), places);
        }
    }

    /// Sets an outbound method where it differs.
    pub(super) fn set_method(
        &mut self,
        subnet: &Subnet,
        place: vnetem::SubnetId,
        method: Outbound,
    ) {
        if self.network.subnet(place).is_ok_and(|held| held.outbound == method) {
            return;
        }
        let set = self.network.set_outbound(place, method);
        self.done(&subnet.place, set);
    }
}

/// The tenant is in no file; subscription and region are in the id and the resource.
pub(super) fn placement(id: &Id, region: &str) -> Placement {
    let subscription = id.part("subscriptions").unwrap_or_default();
    let region = if region.contains('<') { "" } else { region };
    Placement {
        tenant: String::new(),
        subscription: subscription.to_ascii_lowercase(),
        region: region.to_owned(),
    }
}

fn ranges_of_subnets(vnet: &Id, inventory: &Inventory) -> Vec<Ipv4Net> {
    let own = inventory.subnets.iter().filter(|subnet| subnet.vnet.id() == Some(vnet));
    Ipv4Net::aggregate(&own.flat_map(|subnet| subnet.prefixes.clone()).collect())
}

fn addresses_of(nic: &NetworkInterface, gone: &BTreeSet<Id>) -> Vec<core::net::Ipv4Addr> {
    let configurations = nic.configurations.iter();
    let stays = |one: &&crate::import::IpConfiguration| {
        one.subnet.id().is_some_and(|subnet| !gone.contains(subnet))
    };
    configurations.filter(stays).filter_map(|one| one.address).collect()
}
