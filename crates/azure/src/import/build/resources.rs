//! Resources with their firewalls.

use core::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv4Subnets};
use vnetem::authz::{
    Action, Caller, EventHubsVersion, Firewall, OrderedRule, OrderedRules, RuleLimits, RuleSet,
    RuleState,
};

use super::LoadedNetwork;
use super::places::placement;
use crate::EndpointService;
use crate::import::{
    DefaultAction, Inventory, IpRule, PublicAccess, Resource, ResourceKind, SubnetRule,
};

impl LoadedNetwork {
    pub(super) fn add_resources(&mut self, inventory: &Inventory) {
        for resource in &inventory.resources {
            let rules = self.firewall(resource);
            let id = match self.resources.get(&resource.id) {
                Some(&id) => {
                    if self.network.resource(id).is_ok_and(|held| held.rules != rules) {
                        let service = self.network.resource(id).map(|held| held.service);
                        let lent = service.map(|service| self.lend_endpoints(service, &rules));
                        let ignore = vnetem::control::MissingEndpoint::Ignore;
                        let set = self.network.set_rules_with(id, rules, ignore);
                        self.done(&resource.place, set);
                        self.take_back(lent.unwrap_or_default());
                    }
                    id
                }
                None => match self.add_resource(resource, rules) {
                    Some(id) => id,
                    None => continue,
                },
            };
            let placement = placement(&resource.id, &resource.region);
            if self.network.resource(id).is_ok_and(|held| held.placement != placement) {
                let placed = self.network.place_resource(id, placement);
                self.done(&resource.place, placed);
            }
        }
    }

    fn add_resource(&mut self, resource: &Resource, rules: Firewall) -> Option<vnetem::ResourceId> {
        let service = EndpointService::named(resource.kind.service())?;
        let Some(&id) = self.services.get(service.name) else {
            self.leave_out(&resource.place, format!("the list of tags has no tag {}", service.tag));
            return None;
        };
        let name = self.names.of(&resource.id);
        let given = [resource.id.as_str(), &name, &resource.name].into_iter();
        let mut given = given.filter_map(|key| self.addresses.get(&key.to_ascii_lowercase()));
        let address = match given.next().copied() {
            Some(address)
                if self.network.service(id).is_ok_and(|held| {
                    held.prefixes.iter().any(|range| range.contains(&address))
                }) =>
            {
                address
            }
            Some(address) => {
                let why = format!("{address}, said to be its address, is none of {}", service.name);
                self.leave_out(&resource.place, why);
                self.stand_in_for(resource, service)?
            }
            None => self.stand_in_for(resource, service)?,
        };
        let lent = self.lend_endpoints(id, &rules);
        let ignore = vnetem::control::MissingEndpoint::Ignore;
        let added = self.network.add_resource_with(id, &name, address, rules, ignore);
        self.take_back(lent);
        let made = self.done(&resource.place, added)?;
        self.resources.insert(resource.id.clone(), made);
        let set = self.network.set_resource_path(made, resource.id.as_str());
        self.done(&resource.place, set);
        Some(made)
    }

    /// Gives subnets the endpoint that a new rule for them asks for, for as long as the rule is
    /// added.
    ///
    /// A file has the rule because it was taken once: with the endpoint, or with the flag to ignore
    /// that it is missing. It stays when the endpoint goes, and matches nothing (E-14).
    fn lend_endpoints(
        &mut self,
        service: vnetem::ServiceId,
        rules: &Firewall,
    ) -> Vec<(vnetem::SubnetId, vnetem::ServiceId)> {
        let mut lent = Vec::new();
        for subnet in rules.named_subnets() {
            if self
                .network
                .check_rule(service, subnet, vnetem::control::MissingEndpoint::Ignore)
                .is_ok()
            {
                continue;
            }
            if self
                .network
                .enable_endpoint(subnet, service, vnetem::control::Scope::Worldwide)
                .is_ok()
            {
                lent.push((subnet, service));
            }
        }
        if !lent.is_empty() {
            self.assume(
                "rule-without-endpoint",
                "A rule for a subnet without the endpoint is taken to be there, and matches \
                 nothing; Storage and Key Vault refuse to add a new one (E-14).",
            );
        }
        lent
    }

    fn take_back(&mut self, lent: Vec<(vnetem::SubnetId, vnetem::ServiceId)>) {
        for (subnet, service) in lent {
            _ = self.network.disable_endpoint(subnet, service);
        }
    }

    /// An address of the service, in the region of the resource if the list has one there.
    fn stand_in_for(&mut self, resource: &Resource, service: &EndpointService) -> Option<Ipv4Addr> {
        self.assume(
            "address-of-resource-unknown",
            "Where a resource answers is in no file: an address of its service and region stands in.",
        );
        let key = (service.tag, resource.region.clone());
        let ranges = match self.stand_in_ranges.get(&key) {
            Some(ranges) => Arc::clone(ranges),
            None => {
                let ranges = self.ranges_of(service, &resource.region);
                self.stand_in_ranges.insert(key, Arc::clone(&ranges));
                ranges
            }
        };
        self.stand_ins.of_service(&format!("resource {}", resource.id), &ranges)
    }

    /// The ranges of a service in a region; all of them if none is there.
    fn ranges_of(&self, service: &EndpointService, region: &str) -> Arc<[Ipv4Net]> {
        let mut parts = self.tags.sub_tags(service.tag);
        let local = parts.find(|part| part.region() == Some(region));
        let all = self.tags.tag(service.tag);
        let ranges: Vec<Ipv4Net> =
            local.or(all).map(|tag| tag.prefixes().to_vec()).unwrap_or_default();
        // What a regional tag lists is the service's only if the service's own tag covers it.
        let whole: Vec<Ipv4Net> = all.map(|tag| tag.prefixes().to_vec()).unwrap_or_default();
        let inside = |range: &Ipv4Net| whole.iter().any(|other| other.contains(range));
        let mut ranges: Vec<Ipv4Net> = ranges.into_iter().filter(inside).collect();
        if ranges.is_empty() {
            ranges = whole;
        }
        ranges.into()
    }

    fn firewall(&mut self, resource: &Resource) -> Firewall {
        if resource.kind == ResourceKind::AppService {
            return Firewall::AppService(self.ordered(resource));
        }
        let limits = match resource.kind {
            ResourceKind::Storage => RuleLimits::STORAGE,
            ResourceKind::KeyVault => RuleLimits::KEY_VAULT,
            ResourceKind::Sql => RuleLimits::SQL,
            ResourceKind::CosmosDb => RuleLimits::COSMOS_DB,
            ResourceKind::EventHubs => RuleLimits::EVENT_HUBS,
            ResourceKind::ServiceBus => RuleLimits::SERVICE_BUS,
            _ => RuleLimits::UNSTATED,
        };
        if resource.default == DefaultAction::Unresolved {
            self.assume(
                "default-action-unknown",
                "Of a resource whose rules are not known, everybody is taken to be let in.",
            );
        }
        let default = match resource.default {
            DefaultAction::Deny => vnetem::authz::DefaultAction::Deny,
            _ => vnetem::authz::DefaultAction::Allow,
        };
        let mut rules = RuleSet::new(limits, default);
        if resource.public_access != PublicAccess::Enabled {
            rules.set_public_access(vnetem::authz::PublicAccess::Disabled);
        }
        if resource.public_access == PublicAccess::SecuredByPerimeter {
            self.leave_out(&resource.place, "a network security perimeter is not modelled");
        }
        for rule in &resource.ip_rules {
            if rule.is_azure_services() {
                self.leave_out(
                    &resource.place,
                    "the rule that lets in services of Azure is not modelled",
                );
                continue;
            }
            for range in ranges(rule) {
                let rule = match range.prefix_len() {
                    32 => vnetem::authz::IpRule::Address(range.network()),
                    _ => vnetem::authz::IpRule::Prefix(range),
                };
                let added = rules.add_ip_rule(rule);
                self.done(&resource.place, added);
            }
        }
        for rule in &resource.subnet_rules {
            let state = match rule.state.to_ascii_lowercase().as_str() {
                "provisioning" => RuleState::Provisioning,
                "deprovisioning" => RuleState::Deprovisioning,
                "failed" => RuleState::Failed,
                "networksourcedeleted" => RuleState::NetworkSourceDeleted,
                _ => RuleState::Succeeded,
            };
            for subnet in self.subnets_of_rule(resource, rule) {
                let set = rules.set_vnet_rule(subnet, state);
                self.done(&resource.place, set);
            }
        }
        match resource.kind {
            ResourceKind::Storage => Firewall::Storage(rules),
            ResourceKind::KeyVault => Firewall::KeyVault(rules),
            ResourceKind::Sql => Firewall::Sql(rules),
            ResourceKind::CosmosDb => Firewall::CosmosDb(rules),
            ResourceKind::EventHubs => Firewall::EventHubs(EventHubsVersion::DenyCounts, rules),
            ResourceKind::ServiceBus => Firewall::ServiceBus(rules),
            ResourceKind::ContainerRegistry => Firewall::ContainerRegistry(rules),
            _ => Firewall::Other(rules),
        }
    }

    fn subnets_of_rule(&mut self, resource: &Resource, rule: &SubnetRule) -> Vec<vnetem::SubnetId> {
        let found = rule.subnet.id().map(|id| (id, self.subnets.get(id).cloned()));
        match found {
            Some((_, Some(places))) => places,
            Some((id, None)) => {
                let why = format!(
                    "a rule for the subnet {}, which is not in the model",
                    self.names.of(id)
                );
                self.leave_out(&resource.place, why);
                Vec::new()
            }
            None => {
                self.leave_out(&resource.place, "a rule for a subnet that is not known");
                Vec::new()
            }
        }
    }

    fn ordered(&mut self, resource: &Resource) -> OrderedRules {
        let mut rules = OrderedRules::new();
        if resource.public_access != PublicAccess::Enabled {
            rules.set_public_access(vnetem::authz::PublicAccess::Disabled);
        }
        let number = |priority: Option<i64>| {
            priority.and_then(|priority| u32::try_from(priority).ok()).unwrap_or(65_000)
        };
        let action = |deny: bool| if deny { Action::Deny } else { Action::Allow };
        for rule in &resource.ip_rules {
            for range in ranges(rule) {
                let caller = Caller::Addresses(range);
                let rule = OrderedRule {
                    number: number(rule.priority),
                    action: action(rule.deny),
                    caller,
                };
                let added = rules.add_rule(rule);
                self.done(&resource.place, added);
            }
        }
        for rule in &resource.subnet_rules {
            for subnet in self.subnets_of_rule(resource, rule) {
                let caller = Caller::Subnet(subnet);
                let rule = OrderedRule {
                    number: number(rule.priority),
                    action: action(rule.deny),
                    caller,
                };
                let added = rules.add_rule(rule);
                self.done(&resource.place, added);
            }
        }
        rules.set_unmatched(match resource.default {
            DefaultAction::Allow => Some(Action::Allow),
            DefaultAction::Deny => Some(Action::Deny),
            DefaultAction::Unresolved => None,
        });
        rules
    }
}

/// The prefixes that make up a range.
fn ranges(rule: &IpRule) -> Vec<Ipv4Net> {
    Ipv4Subnets::new(rule.first, rule.last, 0).collect()
}
