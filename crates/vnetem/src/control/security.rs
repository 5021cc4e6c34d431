//! Edits of security groups and of the names in their rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_authz::{CompiledGroup, NetworkSpace, SecurityGroup, Tags};
use vnetem_packet::{SubnetId, VnetId};

use super::{Network, Subnet, check};
use crate::snapshot::guard::{Guard, Guards};
use crate::{EditError, NicId, SecurityGroupId, Snapshot};

/// Security groups, the places that they guard, and the prefixes of service tags and application
/// security groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    groups: BTreeMap<SecurityGroupId, Named>,
    subnets: BTreeMap<SubnetId, SecurityGroupId>,
    nics: BTreeMap<NicId, SecurityGroupId>,
    /// Prefixes by name in lower case.
    tags: BTreeMap<String, Vec<Ipv4Net>>,
    next: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: String,
    rules: Arc<SecurityGroup>,
}

/// Edits of security groups.
impl Network {
    /// Makes a security group. It guards nothing until it is given to a subnet or an interface.
    ///
    /// Names of services are tags: they stand for the prefixes of the service and follow its
    /// changes (S-44).
    ///
    /// # Errors
    ///
    /// The name is taken, or a rule names an undefined tag.
    pub fn add_security_group(
        &mut self,
        name: &str,
        rules: SecurityGroup,
    ) -> Result<SecurityGroupId, EditError> {
        if self.security.groups.values().any(|other| other.name == name) {
            return Err(EditError::NameTaken { kind: "security group", name: name.into() });
        }
        check_tags(name, &rules, &self.meanings())?;
        let id = SecurityGroupId(self.security.next);
        self.security.next += 1;
        self.security.groups.insert(id, Named { name: name.into(), rules: Arc::new(rules) });
        self.dirty.security.insert(id);
        Ok(id)
    }

    /// Replaces all rules of a group (P-19). Live flows go on, and new ones meet the new rules
    /// (P-13, C-11).
    ///
    /// # Errors
    ///
    /// It does not exist, or a rule names an undefined tag.
    pub fn set_security_rules(
        &mut self,
        id: SecurityGroupId,
        rules: SecurityGroup,
    ) -> Result<(), EditError> {
        check_tags(&self.named(id)?.name, &rules, &self.meanings())?;
        if let Some(group) = self.security.groups.get_mut(&id) {
            group.rules = Arc::new(rules);
        }
        self.dirty.security.insert(id);
        Ok(())
    }

    /// Removes a security group.
    ///
    /// # Errors
    ///
    /// It does not exist, or guards something.
    pub fn remove_security_group(&mut self, id: SecurityGroupId) -> Result<(), EditError> {
        let name = format!("security group {}", self.named(id)?.name);
        let subnet = self.security.subnets.iter().find(|(_, group)| **group == id);
        let nic = self.security.nics.iter().find(|(_, group)| **group == id);
        let by = match (subnet, nic) {
            (Some((&subnet, _)), _) => format!("subnet {}", self.subnet(subnet)?.name),
            (None, Some((&nic, _))) => format!("nic {}", self.nic(nic)?.name),
            (None, None) => {
                self.security.groups.remove(&id);
                self.dirty.security.insert(id);
                return Ok(());
            }
        };
        Err(EditError::InUse { name, by })
    }

    /// Lets a group guard a subnet, in place of the present one; `None` for no group. Live flows go
    /// on (P-13).
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn guard_subnet(
        &mut self,
        id: SubnetId,
        group: Option<SecurityGroupId>,
    ) -> Result<(), EditError> {
        self.subnet(id)?;
        let old = match group {
            Some(group) => {
                self.named(group)?;
                self.security.subnets.insert(id, group)
            }
            None => self.security.subnets.remove(&id),
        };
        self.dirty.security.extend(group.into_iter().chain(old));
        Ok(())
    }

    /// Lets a group guard an interface besides the group of its subnet, in place of the present
    /// one; `None` for no group. Live flows go on (P-13).
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn guard_nic(
        &mut self,
        id: NicId,
        group: Option<SecurityGroupId>,
    ) -> Result<(), EditError> {
        self.nic(id)?;
        let old = match group {
            Some(group) => {
                self.named(group)?;
                self.security.nics.insert(id, group)
            }
            None => self.security.nics.remove(&id),
        };
        self.dirty.security.extend(group.into_iter().chain(old));
        Ok(())
    }

    /// Defines or redefines a name in security rules: the prefixes of a service tag, or the members
    /// of an application security group. Names ignore case. Every group that uses the name follows
    /// (S-44).
    ///
    /// # Errors
    ///
    /// A prefix has host bits.
    pub fn set_tag(&mut self, name: &str, prefixes: &[Ipv4Net]) -> Result<(), EditError> {
        prefixes.iter().try_for_each(|&prefix| check::canonical(prefix))?;
        self.security.tags.insert(name.to_ascii_lowercase(), prefixes.to_vec());
        self.dirty.tags = true;
        Ok(())
    }

    /// Returns the rules of a security group.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn security_rules(&self, id: SecurityGroupId) -> Result<&SecurityGroup, EditError> {
        self.named(id).map(|group| &*group.rules)
    }

    /// Returns the security group with a name.
    #[must_use]
    pub fn security_group_named(&self, name: &str) -> Option<SecurityGroupId> {
        let mut groups = self.security.groups.iter();
        groups.find(|(_, group)| group.name == name).map(|(&id, _)| id)
    }

    /// Returns the group that guards a subnet.
    #[must_use]
    pub fn security_group_of(&self, id: SubnetId) -> Option<SecurityGroupId> {
        self.security.subnets.get(&id).copied()
    }

    /// Returns the group that guards an interface, besides the group of its subnet.
    #[must_use]
    pub fn security_group_of_nic(&self, id: NicId) -> Option<SecurityGroupId> {
        self.security.nics.get(&id).copied()
    }

    /// Returns the prefixes that [`Network::set_tag`] gave to a name.
    #[must_use]
    pub fn tag_prefixes(&self, name: &str) -> Option<&[Ipv4Net]> {
        self.security.tags.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// Returns whether a tag is defined.
    #[must_use]
    pub fn has_tag(&self, name: &str) -> bool {
        self.meanings().contains(name)
    }

    pub(super) fn forget_subnet_security(&mut self, id: SubnetId) {
        self.dirty.security.extend(self.security.subnets.remove(&id));
    }

    pub(super) fn forget_nic_security(&mut self, id: NicId) {
        self.dirty.security.extend(self.security.nics.remove(&id));
    }

    fn named(&self, id: SecurityGroupId) -> Result<&Named, EditError> {
        let unknown = || EditError::Unknown { kind: "security group", name: id.to_string() };
        self.security.groups.get(&id).ok_or_else(unknown)
    }

    /// Returns the meaning of all names: services stand for their prefixes, and
    /// [`Network::set_tag`] overrides them.
    fn meanings(&self) -> Tags {
        let mut tags = Tags::default();
        for (_, service) in self.services() {
            tags.insert(&service.name, service.prefixes.iter().copied());
        }
        for (name, prefixes) in &self.security.tags {
            tags.insert(name, prefixes.iter().copied());
        }
        tags
    }
}

/// From intent to what the data plane reads.
impl Network {
    /// Compiles groups for the places that they guard. A group is compiled again where its input
    /// has changed, and equal results are shared. No flow is invalidated, since live flows go on
    /// (P-13).
    pub(super) fn compile_guards(&self, old: &Snapshot) -> Arc<Guards> {
        let security = &self.security;
        let everything = self.dirty.services || self.dirty.tags;
        let near: BTreeSet<VnetId> =
            self.dirty.vnets.iter().fold(BTreeSet::new(), |mut near, id| {
                near.extend(self.vnets.get(id).into_iter().flat_map(|vnet| &vnet.peers));
                near.insert(*id);
                near
            });
        let concerned = |group: SecurityGroupId, subnet: SubnetId| {
            let vnet = self.subnets.get(&subnet).map(|subnet| subnet.vnet);
            everything
                || self.dirty.security.contains(&group)
                || self.dirty.places.contains(&subnet.0)
                || vnet.is_some_and(|vnet| near.contains(&vnet))
        };
        let guards = security.subnets.iter().map(|(&subnet, &group)| (group, subnet, None));
        let of_nics = security
            .nics
            .iter()
            .filter_map(|(&id, &group)| Some((group, self.nics.get(&id)?.subnet, Some(id))));
        let guards: Vec<_> = guards.chain(of_nics).collect();
        if !everything
            && self.dirty.security.is_empty()
            && !guards.iter().any(|&(group, subnet, _)| concerned(group, subnet))
        {
            return Arc::clone(&old.guards);
        }
        let mut compiler = Compiler { network: self, tags: self.meanings(), made: BTreeMap::new() };
        let mut new = Guards {
            names: security.groups.iter().map(|(&id, group)| (id, group.name.clone())).collect(),
            ..Guards::default()
        };
        for (group, subnet, nic) in guards {
            let before = match nic {
                None => old.guards.subnets.get(&subnet),
                Some(nic) => old.guards.nics.get(&nic),
            };
            let before = before.filter(|guard| guard.group == group);
            let guard = match before {
                Some(before) if !concerned(group, subnet) => Some(before.clone()),
                _ => compiler.guard(group, subnet, before),
            };
            let Some(guard) = guard else { continue };
            match nic {
                None => drop(new.subnets.insert(subnet, guard)),
                Some(nic) => drop(new.nics.insert(nic, guard)),
            }
        }
        Arc::new(new)
    }
}

/// Compiles each group once for all subnets that resolve names alike.
struct Compiler<'a> {
    network: &'a Network,
    tags: Tags,
    made: BTreeMap<(SecurityGroupId, VnetId, Vec<Ipv4Net>), Arc<CompiledGroup>>,
}

impl Compiler<'_> {
    fn guard(
        &mut self,
        group: SecurityGroupId,
        subnet: SubnetId,
        before: Option<&Guard>,
    ) -> Option<Guard> {
        let subnet = self.network.subnets.get(&subnet)?;
        let routes = self.network.routes_for_tags(subnet);
        let key = (group, subnet.vnet, routes);
        let rules = match self.made.get(&key) {
            Some(rules) => Arc::clone(rules),
            None => {
                let space = self.network.space(subnet.vnet, &key.2);
                let named = self.network.security.groups.get(&group)?;
                // Every edit has checked the names.
                let rules = named.rules.compile(&space, &self.tags).ok()?;
                let rules = match before {
                    Some(before) if *before.rules == rules => Arc::clone(&before.rules),
                    _ => Arc::new(rules),
                };
                self.made.insert(key, Arc::clone(&rules));
                rules
            }
        };
        Some(Guard { group, rules })
    }
}

impl Network {
    /// Returns what a subnet's routes add to `VirtualNetwork` (P-14): user routes by prefix and by
    /// tag, and what its gateways learn. A default route from a site is no range of the network's.
    fn routes_for_tags(&self, subnet: &Subnet) -> Vec<Ipv4Net> {
        let table = &subnet.table;
        let user = table.routes.keys().chain(table.tags.values().flat_map(|route| &route.prefixes));
        let gateways = self.vnets.get(&subnet.vnet).filter(|_| table.bgp_propagation);
        let learned = gateways.into_iter().flat_map(|vnet| vnet.gateways.values());
        user.chain(learned.flat_map(|connection| &connection.announced)).copied().collect()
    }

    /// Returns what `VirtualNetwork` stands for, seen from a subnet: the network, its peers, the
    /// sites behind its gateways, and these routes.
    fn space(&self, vnet: VnetId, routes: &[Ipv4Net]) -> NetworkSpace {
        let own = self.vnets.get(&vnet);
        let peers = own.into_iter().flat_map(|own| &own.peers);
        let ranges = peers.filter_map(|peer| self.vnets.get(peer)).chain(own);
        let gateways = own.into_iter().flat_map(|own| own.gateways.keys());
        let sites = gateways.filter_map(|id| self.sites.get(id));
        let space = ranges.flat_map(|vnet| &vnet.ranges).chain(sites.flat_map(|site| &site.ranges));
        NetworkSpace::new(space.copied(), routes.iter().copied())
    }
}

fn check_tags(name: &str, rules: &SecurityGroup, tags: &Tags) -> Result<(), EditError> {
    match rules.compile(&NetworkSpace::new([], []), tags) {
        Ok(_) => Ok(()),
        Err(why) => Err(EditError::SecurityRule { group: name.into(), why }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

    use super::*;

    /// Equal groups are shared between subnets of a network and from one generation to the next,
    /// and others are not.
    #[test]
    fn equal_compiled_groups_are_shared() {
        let mut network = Network::new();
        let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
        let beta = network.add_vnet("beta", &["10.1.0.0/16".parse().unwrap()]).unwrap();
        let subnets = [(alpha, "10.0.0.0/24"), (alpha, "10.0.1.0/24"), (beta, "10.1.0.0/24")].map(
            |(vnet, prefix)| network.add_subnet(vnet, prefix, prefix.parse().unwrap()).unwrap(),
        );
        let group = network.add_security_group("web", SecurityGroup::default()).unwrap();
        for subnet in subnets {
            network.guard_subnet(subnet, Some(group)).unwrap();
        }
        let rules = |network: &mut Network| {
            let guards = Arc::clone(&network.commit().guards);
            subnets.map(|subnet| Arc::clone(&guards.subnets.get(&subnet).unwrap().rules))
        };
        let [one, two, other] = rules(&mut network);
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &other));
        // The same prefixes are set again.
        network.set_tag("Partner", &["9.9.9.0/24".parse().unwrap()]).unwrap();
        let [again, ..] = rules(&mut network);
        assert!(Arc::ptr_eq(&one, &again));
        network.add_nic(subnets[0], "vm", "10.0.0.4".parse().unwrap()).unwrap();
        let [again, _, elsewhere] = rules(&mut network);
        assert!(Arc::ptr_eq(&one, &again) && Arc::ptr_eq(&other, &elsewhere));
    }
}
