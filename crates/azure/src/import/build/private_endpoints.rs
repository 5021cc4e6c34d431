//! Private endpoints.

use vnetem::control::PrivateEndpointState;

use super::LoadedNetwork;
use crate::import::Inventory;

impl LoadedNetwork {
    pub(super) fn add_private_endpoints(&mut self, inventory: &Inventory) {
        for endpoint in &inventory.private_endpoints {
            let subnet = endpoint.subnet.id().and_then(|id| self.subnets.get(id)).cloned();
            let target = endpoint.target.id().and_then(|id| self.resources.get(id)).copied();
            let (Some(subnets), Some(target)) = (subnet, target) else {
                self.leave_out(
                    &endpoint.place,
                    "its subnet or what it leads to is not in the model",
                );
                continue;
            };
            let Some(&address) = endpoint.addresses.first() else {
                self.leave_out(&endpoint.place, "a private endpoint whose address is not known");
                continue;
            };
            let inside = |place: &&vnetem::SubnetId| {
                self.network.subnet(**place).is_ok_and(|held| held.prefix.contains(&address))
            };
            let Some(&place) = subnets.iter().find(inside).or_else(|| subnets.first()) else {
                continue;
            };
            let name = self.names.of(&endpoint.id);
            let id = match self.private_endpoints.get(&endpoint.id) {
                Some(&id) => id,
                None => {
                    let added = self.network.add_private_endpoint(place, &name, address, target);
                    let Some(id) = self.done(&endpoint.place, added) else { continue };
                    self.private_endpoints.insert(endpoint.id.clone(), id);
                    id
                }
            };
            let state = match endpoint.state.to_ascii_lowercase().as_str() {
                "pending" => PrivateEndpointState::Pending,
                "rejected" => PrivateEndpointState::Rejected,
                "disconnected" => PrivateEndpointState::Disconnected,
                _ => PrivateEndpointState::Approved,
            };
            let Ok(held) = self.network.private_endpoint(id).cloned() else { continue };
            if held.state != state {
                let set = self.network.set_private_endpoint_state(id, state);
                self.done(&endpoint.place, set);
            }
            for zone in endpoint.zones.iter().filter_map(|link| link.id()) {
                let linked = inventory.private_zones.iter().filter(|one| one.id == *zone);
                let vnets: Vec<_> = linked
                    .flat_map(|zone| &zone.vnets)
                    .filter_map(|link| self.vnets.get(link.id()?).copied())
                    .collect();
                for vnet in vnets.into_iter().filter(|vnet| !held.names_in.contains(vnet)) {
                    let linked = self.network.link_names(id, vnet, true);
                    self.done(&endpoint.place, linked);
                }
            }
        }
    }
}
