//! Network security groups, and the names in their rules.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use vnetem::authz::{Action, PortRange, RuleDirection, RuleProtocol, Selector};

use super::LoadedNetwork;
use crate::import::{Id, Inventory, Link, Peer, SecurityGroup, SecurityRule};

impl LoadedNetwork {
    pub(super) fn set_security(&mut self, inventory: &Inventory) {
        self.set_application_groups(inventory);
        for group in &inventory.security_groups {
            self.set_group(group);
        }
        for subnet in &inventory.subnets {
            let group = self.group_of(&subnet.security_group);
            if group.is_none() && subnet.security_group != Link::None {
                self.leave_out(&subnet.place, "no file has the security group of the subnet");
            }
            for place in self.subnets.get(&subnet.id).cloned().unwrap_or_default() {
                if self.network.security_group_of(place) != group {
                    let set = self.network.guard_subnet(place, group);
                    self.done(&subnet.place, set);
                }
            }
        }
        for nic in &inventory.nics {
            let group = self.group_of(&nic.security_group);
            for place in self.nics.get(&nic.id).cloned().unwrap_or_default() {
                if self.network.security_group_of_nic(place) != group {
                    let set = self.network.guard_nic(place, group);
                    self.done(&nic.place, set);
                }
            }
        }
        let known: Vec<&Id> = inventory.security_groups.iter().map(|group| &group.id).collect();
        let gone: Vec<Id> = self.groups.keys().filter(|id| !known.contains(id)).cloned().collect();
        for id in gone {
            if let Some(group) = self.groups.remove(&id) {
                _ = self.network.remove_security_group(group);
            }
        }
    }

    fn group_of(&self, link: &Link) -> Option<vnetem::SecurityGroupId> {
        link.id().and_then(|id| self.groups.get(id)).copied()
    }

    /// Says which addresses application security groups stand for.
    fn set_application_groups(&mut self, inventory: &Inventory) {
        let mut members: BTreeMap<Id, Vec<Ipv4Net>> = BTreeMap::new();
        let rules = inventory.security_groups.iter().flat_map(|group| &group.rules);
        for peer in rules.flat_map(|rule| rule.sources.iter().chain(&rule.destinations)) {
            if let Peer::Group(Link::To(id)) = peer {
                members.entry(id.clone()).or_default();
            }
        }
        for one in inventory.nics.iter().flat_map(|nic| &nic.configurations) {
            for id in one.application_groups.iter().filter_map(Link::id) {
                let addresses = members.entry(id.clone()).or_default();
                addresses.extend(one.address.map(Ipv4Net::from));
            }
        }
        for (id, addresses) in members {
            let tag = group_tag(&id);
            if self.network.tag_prefixes(&tag) != Some(addresses.as_slice()) {
                _ = self.network.set_tag(&tag, &addresses);
            }
        }
    }

    fn set_group(&mut self, group: &SecurityGroup) {
        let mut rules = vnetem::authz::SecurityGroup::default();
        for rule in &group.rules {
            let Some(made) = self.rule(rule) else {
                self.leave_out(&rule.place, "a rule that is not known in all its parts");
                continue;
            };
            let added = rules.add_rule(made);
            self.done(&rule.place, added);
        }
        let set = match self.groups.get(&group.id) {
            Some(&id) if self.network.security_rules(id).is_ok_and(|held| *held == rules) => Ok(id),
            Some(&id) => self.network.set_security_rules(id, rules).map(|()| id),
            None => self.network.add_security_group(&self.names.of(&group.id), rules),
        };
        if let Some(id) = self.done(&group.place, set) {
            self.groups.insert(group.id.clone(), id);
        }
    }

    fn rule(&mut self, rule: &SecurityRule) -> Option<vnetem::authz::SecurityRule> {
        let ports = |ports: &[(u16, u16)]| -> Option<Vec<PortRange>> {
            if ports.is_empty() {
                return Some(vec![PortRange::ANY]);
            }
            ports.iter().map(|&(first, last)| PortRange::new(first, last)).collect()
        };
        Some(vnetem::authz::SecurityRule {
            name: rule.name.clone(),
            priority: rule.priority?,
            direction: if rule.inbound { RuleDirection::Inbound } else { RuleDirection::Outbound },
            action: if rule.allow { Action::Allow } else { Action::Deny },
            protocol: match rule.protocol.to_ascii_lowercase().as_str() {
                "*" | "any" => RuleProtocol::Any,
                "tcp" => RuleProtocol::Tcp,
                "udp" => RuleProtocol::Udp,
                "icmp" => RuleProtocol::Icmp,
                "esp" => RuleProtocol::Esp,
                "ah" => RuleProtocol::Ah,
                _ => return None,
            },
            sources: self.selectors(rule, &rule.sources)?,
            source_ports: ports(&rule.source_ports)?,
            destinations: self.selectors(rule, &rule.destinations)?,
            destination_ports: ports(&rule.destination_ports)?,
        })
    }

    fn selectors(&mut self, rule: &SecurityRule, peers: &[Peer]) -> Option<Vec<Selector>> {
        let mut selectors = Vec::new();
        for peer in peers {
            selectors.push(match peer {
                Peer::Any => Selector::Any,
                Peer::Net(prefix) => Selector::Prefix(*prefix),
                Peer::Tag(tag) => {
                    self.mean(rule, tag);
                    Selector::Tag(tag.clone())
                }
                Peer::Group(Link::To(id)) => Selector::Tag(group_tag(id)),
                Peer::Group(_) | Peer::Unresolved => return None,
            });
        }
        (!selectors.is_empty()).then_some(selectors)
    }

    /// Says what a tag stands for that the network does not know by itself.
    fn mean(&mut self, rule: &SecurityRule, tag: &str) {
        let of_the_place = ["VirtualNetwork", "Internet"];
        let said = self.network.tag_prefixes(tag).map(<[Ipv4Net]>::to_vec);
        let known = self.network.has_tag(tag) && said.is_none();
        if known || of_the_place.iter().any(|name| name.eq_ignore_ascii_case(tag)) {
            return;
        }
        let listed = self.tags.tag(tag).map(|listed| listed.prefixes().to_vec());
        if listed.is_none() {
            let why = format!("the list of tags has no tag {tag}: the rule matches none of it");
            self.leave_out(&rule.place, why);
        }
        let listed = listed.unwrap_or_default();
        if said.as_ref() != Some(&listed) {
            _ = self.network.set_tag(tag, &listed);
        }
    }
}

/// The name under which a rule knows an application security group.
fn group_tag(id: &Id) -> String {
    format!("asg:{}", id.as_str().to_ascii_lowercase())
}
