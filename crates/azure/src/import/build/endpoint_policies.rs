//! Endpoint policies.

use super::LoadedNetwork;
use super::places::placement;
use crate::import::{EndpointPolicy, Inventory};

impl LoadedNetwork {
    /// Attaches endpoint policies to the endpoints of their subnets, or takes off those that go.
    pub(super) fn set_policies(&mut self, inventory: &Inventory, take_off: bool) {
        let Some(&storage) = self.services.get("Microsoft.Storage") else { return };
        if take_off {
            self.drop_policies(inventory, storage);
            return;
        }
        for subnet in &inventory.subnets {
            for link in &subnet.policies {
                let policy = link.id().and_then(|id| self.policies.get(id)).map(|(id, _)| *id);
                let Some(policy) = policy else {
                    self.leave_out(&subnet.place, "an endpoint policy that is not in the model");
                    continue;
                };
                for place in self.subnets.get(&subnet.id).cloned().unwrap_or_default() {
                    let attached = self.network.attach_policy(place, storage, policy);
                    self.done(&subnet.place, attached);
                }
            }
        }
    }

    /// Takes off what is not attached any more, and makes or renews the policies.
    fn drop_policies(&mut self, inventory: &Inventory, storage: vnetem::ServiceId) {
        let wanted: Vec<(crate::import::Id, Option<vnetem::authz::EndpointPolicy>)> = inventory
            .endpoint_policies
            .iter()
            .map(|policy| (policy.id.clone(), self.policy(policy, inventory)))
            .collect();
        let stays = |id: &crate::import::Id, held: &vnetem::authz::EndpointPolicy| {
            wanted.iter().any(|(other, made)| other == id && made.as_ref() == Some(held))
        };
        let mut gone = Vec::new();
        for (id, (place, held)) in &self.policies {
            let stays = stays(id, held);
            for subnet in &inventory.subnets {
                let named = subnet.policies.iter().any(|link| link.id() == Some(id));
                if !stays || !named {
                    for &at in self.subnets.get(&subnet.id).into_iter().flatten() {
                        _ = self.network.detach_policy(at, storage, *place);
                    }
                }
            }
            if !stays {
                _ = self.network.remove_endpoint_policy(*place);
                gone.push(id.clone());
            }
        }
        for id in gone {
            self.policies.remove(&id);
        }
        for (policy, (id, made)) in inventory.endpoint_policies.iter().zip(wanted) {
            if let (Some(made), false) = (made, self.policies.contains_key(&id)) {
                let subscription = id.part("subscriptions").unwrap_or_default().to_owned();
                let added = self.network.add_endpoint_policy(&subscription, made.clone());
                if let Some(place) = self.done(&policy.place, added) {
                    self.policies.insert(id, (place, made));
                }
            }
        }
    }

    fn policy(
        &mut self,
        policy: &EndpointPolicy,
        inventory: &Inventory,
    ) -> Option<vnetem::authz::EndpointPolicy> {
        let mut definitions = Vec::new();
        for definition in &policy.definitions {
            let service = if definition.service.eq_ignore_ascii_case("Global") {
                vnetem::authz::PolicyService::Global
            } else {
                vnetem::authz::PolicyService::Storage
            };
            let mut resources = Vec::new();
            for text in &definition.resources {
                let parsed = text.parse::<vnetem::authz::PolicyResource>();
                resources.extend(self.done(&policy.place, parsed));
            }
            let made = vnetem::authz::PolicyDefinition::new(service, resources);
            definitions.extend(self.done(&policy.place, made));
        }
        // A policy is in the region of the networks that it is attached to.
        let subnet = inventory
            .subnets
            .iter()
            .find(|subnet| subnet.policies.iter().any(|link| link.id() == Some(&policy.id)));
        let vnet = subnet.and_then(|subnet| {
            inventory.vnets.iter().find(|vnet| subnet.vnet.id() == Some(&vnet.id))
        });
        let region = vnet.map(|vnet| placement(&vnet.id, &vnet.region).region).unwrap_or_default();
        Some(vnetem::authz::EndpointPolicy { name: self.names.of(&policy.id), region, definitions })
    }
}
