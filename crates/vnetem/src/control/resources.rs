//! Edits of resources and their access rules.

use core::net::Ipv4Addr;
use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_authz::{Firewall, RuleState};
use vnetem_packet::{SubnetId, VnetId};

use super::services::region_key;
use super::{EndpointFirst, MissingEndpoint, Network, Placement, Resource, Scope, check};
use crate::{EditError, ResourceId, ServiceId};

/// What a user may do. Edits without permissions are the owner's, who may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Virtual networks that the user may write. Enabling an endpoint needs no more (S-12).
    pub write: BTreeSet<VnetId>,
    /// Subnets that the user may join to a resource, which a rule for the subnet needs (S-12).
    pub join: BTreeSet<SubnetId>,
}

/// The most subscriptions and regions to which rules of one service may tie a virtual network
/// (S-13).
const MAX_TIES: usize = 200;

/// Edits of resources and their rules.
impl Network {
    /// Makes a resource that answers at an address of its service. Several may share one address:
    /// the front end, which alone sees the name, then asks
    /// [`Snapshot::judge`](crate::Snapshot::judge).
    ///
    /// `rules` are those of its kind of service, a [`Firewall`]. A plain
    /// [`RuleSet`](crate::authz::RuleSet) stands for an unknown kind.
    ///
    /// # Errors
    ///
    /// - The service does not exist, the name is taken, or the service does not have the address.
    /// - A rule names a subnet of another tenant.
    /// - A rule names a subnet without the endpoint that the service requires (E-14).
    pub fn add_resource(
        &mut self,
        service: ServiceId,
        name: &str,
        address: Ipv4Addr,
        rules: impl Into<Firewall>,
    ) -> Result<ResourceId, EditError> {
        self.add_resource_with(service, name, address, rules, MissingEndpoint::Refuse)
    }

    /// Makes a resource as [`Network::add_resource`] does, and says what to do with rules for
    /// subnets without the endpoint.
    ///
    /// # Errors
    ///
    /// As [`Network::add_resource`].
    pub fn add_resource_with(
        &mut self,
        service: ServiceId,
        name: &str,
        address: Ipv4Addr,
        rules: impl Into<Firewall>,
        missing: MissingEndpoint,
    ) -> Result<ResourceId, EditError> {
        let holder = self.service(service)?;
        if self.resource_named(name).is_some() {
            return Err(EditError::NameTaken { kind: "resource", name: name.into() });
        }
        let owner = format!("resource {name}");
        let container = || format!("service {}", holder.name);
        check::internal(Ipv4Net::from(address), &owner, &holder.prefixes, container)?;
        let (name, placement, rules) = (name.to_owned(), Placement::default(), rules.into());
        let (secondary, path) = (None, String::new());
        let resource = Resource { name, service, address, secondary, placement, path, rules };
        resource.rules.named_subnets().try_for_each(|it| self.check_rule(service, it, missing))?;
        self.check_ties(None, &resource)?;
        let id = ResourceId(self.next_resource);
        self.next_resource += 1;
        self.index.resources.insert(resource.name.as_str().into(), id);
        self.put_resource(id, resource);
        Ok(id)
    }

    /// Sets or removes the address of a read-only copy of a resource, which has the same rules
    /// (E-10).
    ///
    /// # Errors
    ///
    /// It does not exist, or its service does not have the address.
    pub fn set_secondary(
        &mut self,
        id: ResourceId,
        address: Option<Ipv4Addr>,
    ) -> Result<(), EditError> {
        let resource = self.resource(id)?;
        let holder = self.service(resource.service)?;
        if let Some(address) = address {
            let owner = format!("resource {}", resource.name);
            let container = || format!("service {}", holder.name);
            check::internal(Ipv4Net::from(address), &owner, &holder.prefixes, container)?;
        }
        let changed = Resource { secondary: address, ..resource.clone() };
        self.replace_resource(id, changed)
    }

    /// Replaces all rules of a resource (INV-group-replaced-whole). Live flows are revalidated and
    /// get a new access verdict; they stay open.
    ///
    /// # Errors
    ///
    /// - It does not exist.
    /// - A rule names a subnet of another tenant (S-11), or ties its network to too many places
    ///   (S-13).
    /// - A new rule names a subnet without the endpoint that the service requires (E-14).
    pub fn set_rules(
        &mut self,
        id: ResourceId,
        rules: impl Into<Firewall>,
    ) -> Result<(), EditError> {
        self.set_rules_with(id, rules, MissingEndpoint::Refuse)
    }

    /// Replaces the rules as [`Network::set_rules`] does, and says what to do with new ones for
    /// subnets without the endpoint. An existing rule is not checked again: it stays when the
    /// subnet loses its endpoint, and matches nothing.
    ///
    /// # Errors
    ///
    /// As [`Network::set_rules`].
    pub fn set_rules_with(
        &mut self,
        id: ResourceId,
        rules: impl Into<Firewall>,
        missing: MissingEndpoint,
    ) -> Result<(), EditError> {
        let rules = rules.into();
        let resource = self.resource(id)?;
        let before: BTreeSet<_> = resource.rules.named_subnets().collect();
        rules
            .named_subnets()
            .filter(|subnet| !before.contains(subnet))
            .try_for_each(|subnet| self.check_rule(resource.service, subnet, missing))?;
        self.set_accepted_rules(id, rules)
    }

    /// Replaces the rules by rules that were checked earlier.
    pub(crate) fn set_accepted_rules(
        &mut self,
        id: ResourceId,
        rules: Firewall,
    ) -> Result<(), EditError> {
        let changed = Resource { rules, ..self.resource(id)?.clone() };
        self.replace_resource(id, changed)
    }

    /// Checks whether a resource of a service would take a new rule for a subnet now. Some services
    /// require the subnet's endpoint first (E-14).
    ///
    /// # Errors
    ///
    /// The service does not exist, or requires an endpoint that the subnet does not have.
    pub fn check_rule(
        &self,
        service: ServiceId,
        subnet: SubnetId,
        missing: MissingEndpoint,
    ) -> Result<(), EditError> {
        let asked = self.service(service)?;
        let Some(named) = self.subnets.get(&subnet) else { return Ok(()) };
        let is_taken = match (asked.endpoint_first, missing) {
            (EndpointFirst::NotAsked, _) => true,
            (EndpointFirst::UnlessIgnored, MissingEndpoint::Ignore) => true,
            _ => named.endpoints.contains_key(&service),
        };
        if is_taken {
            return Ok(());
        }
        let vnet = self.vnet(named.vnet)?;
        Err(EditError::EndpointMissing {
            service: asked.name.clone(),
            subnet: format!("{}/{}", vnet.name, named.name),
            may_ignore: asked.endpoint_first == EndpointFirst::UnlessIgnored,
        })
    }

    /// Replaces the rules of a resource for a user, who needs permission to join each subnet that
    /// gets a rule (S-12).
    ///
    /// # Errors
    ///
    /// As [`Network::set_rules`], or the user may not join a subnet that has no rule yet.
    pub fn set_rules_as(
        &mut self,
        id: ResourceId,
        rules: impl Into<Firewall>,
        user: &Permissions,
    ) -> Result<(), EditError> {
        let rules = rules.into();
        let before: BTreeSet<_> =
            self.resource(id)?.rules.subnets().map(|(subnet, _)| subnet).collect();
        let lacks = |subnet: &SubnetId| !before.contains(subnet) && !user.join.contains(subnet);
        let lacking = rules.subnets().map(|(subnet, _)| subnet).find(lacks);
        if let Some(subnet) = lacking {
            let action = "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action";
            let name = self.subnet(subnet).map_or(subnet.to_string(), |subnet| subnet.name.clone());
            return Err(EditError::NotPermitted { action, on: format!("subnet {name}") });
        }
        self.set_rules(id, rules)
    }

    /// Enables the endpoint of a service on a subnet for a user, who needs permission to write the
    /// virtual network (S-12).
    ///
    /// # Errors
    ///
    /// As [`Network::enable_endpoint`], or the user may not write the virtual network.
    pub fn enable_endpoint_as(
        &mut self,
        id: SubnetId,
        service: ServiceId,
        scope: Scope,
        user: &Permissions,
    ) -> Result<(), EditError> {
        let vnet = self.subnet(id)?.vnet;
        if !user.write.contains(&vnet) {
            let on = format!("vnet {}", self.vnet(vnet)?.name);
            return Err(EditError::NotPermitted {
                action: "Microsoft.Network/virtualNetworks/write",
                on,
            });
        }
        self.enable_endpoint(id, service, scope)
    }

    /// Sets the placement of a resource.
    ///
    /// # Errors
    ///
    /// It does not exist, or one of its rules is not allowed there (S-11, S-13).
    pub fn place_resource(
        &mut self,
        id: ResourceId,
        placement: Placement,
    ) -> Result<(), EditError> {
        let changed = Resource { placement, ..self.resource(id)?.clone() };
        self.replace_resource(id, changed)
    }

    /// Sets the placement of a virtual network.
    ///
    /// # Errors
    ///
    /// It does not exist, or a rule for one of its subnets (S-11) or an endpoint policy on one
    /// (P-07) is not allowed there.
    pub fn place_vnet(&mut self, id: VnetId, placement: Placement) -> Result<(), EditError> {
        let name = self.vnet(id)?.name.clone();
        for resource in self.resources.values() {
            let mut subnets = resource.rules.subnets();
            if subnets.any(|(subnet, _)| self.home(subnet) == Some(id)) {
                check_tenant(resource, &name, &placement)?;
            }
        }
        self.check_policy_regions(id, &placement)?;
        if let Some(vnet) = self.vnets.get_mut(&id) {
            // The region decides which networks reach services by private sources (C-03).
            if vnet.placement.region != placement.region {
                self.dirty.vnets.add(id);
            }
            vnet.placement = placement;
        }
        Ok(())
    }

    /// Removes a resource. Its address stays the service's, and the data plane knows no rules for
    /// it.
    ///
    /// # Errors
    ///
    /// It does not exist, or a private endpoint leads to it.
    pub fn remove_resource(&mut self, id: ResourceId) -> Result<(), EditError> {
        let name = format!("resource {}", self.resource(id)?.name);
        if let Some((_, endpoint)) = self.private_endpoints().find(|(_, it)| it.resource == id) {
            let by = format!("private endpoint {}", endpoint.name);
            return Err(EditError::InUse { name, by });
        }
        if let Some(resource) = self.resources.remove(&id) {
            self.index.resources.remove(resource.name.as_str());
            let named = resource.rules.named_subnets();
            named.for_each(|subnet| self.index.ruled.has((subnet, id), false));
        }
        self.dirty.resources.add(id);
        Ok(())
    }

    fn replace_resource(&mut self, id: ResourceId, changed: Resource) -> Result<(), EditError> {
        self.check_ties(Some(id), &changed)?;
        self.put_resource(id, changed);
        Ok(())
    }

    fn put_resource(&mut self, id: ResourceId, resource: Resource) {
        let now: BTreeSet<SubnetId> = resource.rules.named_subnets().collect();
        if let Some(before) = self.resources.insert(id, Arc::new(resource)) {
            let gone = before.rules.named_subnets().filter(|subnet| !now.contains(subnet));
            gone.for_each(|subnet| self.index.ruled.has((subnet, id), false));
        }
        now.into_iter().for_each(|subnet| self.index.ruled.add((subnet, id)));
        self.dirty.resources.add(id);
    }

    /// Checks the networks to which the rules of a resource tie it. They are of the same tenant,
    /// unless the service crosses tenants (S-11), and of any subscription (S-10), but not too many
    /// at once (S-13).
    fn check_ties(&self, id: Option<ResourceId>, resource: &Resource) -> Result<(), EditError> {
        let vnets: BTreeSet<VnetId> =
            resource.rules.subnets().filter_map(|(subnet, _)| self.home(subnet)).collect();
        for vnet in vnets.iter().filter_map(|id| self.vnets.get(id)) {
            check_tenant(resource, &vnet.name, &vnet.placement)?;
        }
        if resource.placement == Placement::default() {
            return Ok(());
        }
        for (&vnet, named) in vnets.iter().filter_map(|id| Some((id, self.vnets.get(id)?))) {
            let others = self.resources.iter().filter(|(other, it)| {
                Some(**other) != id && it.service == resource.service && self.ties(it, vnet)
            });
            let mut places: BTreeSet<_> = others.map(|(_, other)| place_of(other)).collect();
            let full = places.len() >= MAX_TIES;
            if self.ties(resource, vnet) && places.insert(place_of(resource)) && full {
                return Err(EditError::TooManyTies {
                    vnet: named.name.clone(),
                    service: self.service(resource.service)?.name.clone(),
                    limit: MAX_TIES,
                });
            }
        }
        Ok(())
    }

    /// Returns whether an active rule of the resource names a subnet of the network.
    fn ties(&self, resource: &Resource, vnet: VnetId) -> bool {
        let mut active =
            resource.rules.subnets().filter(|(_, state)| *state == RuleState::Succeeded);
        active.any(|(subnet, _)| self.home(subnet) == Some(vnet))
    }

    fn home(&self, subnet: SubnetId) -> Option<VnetId> {
        self.vnet_by_subnet.get(subnet.0).copied()
    }
}

fn check_tenant(resource: &Resource, vnet: &str, placement: &Placement) -> Result<(), EditError> {
    let (one, other) = (&resource.placement.tenant, &placement.tenant);
    if one == other || resource.rules.crosses_tenants() {
        return Ok(());
    }
    let of = |tenant: &str| {
        if tenant.is_empty() { "of no tenant".into() } else { format!("of tenant {tenant}") }
    };
    let resource = format!("resource {} {}", resource.name, of(one));
    Err(EditError::OtherTenant { resource, vnet: format!("vnet {vnet} {}", of(other)) })
}

/// Returns the placement of a resource, with its region in one spelling.
fn place_of(resource: &Resource) -> (&str, String) {
    (&resource.placement.subscription, region_key(&resource.placement.region))
}
