//! Edits of security groups and of the names in their rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use ipnet::Ipv4Net;
use vnetem_authz::{CompiledGroup, NetworkSpace, SecurityGroup, Tags};
use vnetem_packet::{SubnetId, VnetId};

use super::{Network, Subnet, check};
use crate::shared::{Map, Set};
use crate::snapshot::guard::{Guard, Guards};
use crate::{EditError, NicId, SecurityGroupId, Snapshot};

/// Security groups, the places that they guard, and the prefixes of service tags and application
/// security groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    groups: Map<SecurityGroupId, Arc<Named>>,
    subnets: Map<SubnetId, SecurityGroupId>,
    nics: Map<NicId, SecurityGroupId>,
    /// What each group guards.
    guarded: Set<(SecurityGroupId, Guarded)>,
    /// The guarded interfaces of each subnet.
    nics_in: Set<(SubnetId, NicId)>,
    /// Prefixes by name in lower case.
    tags: Arc<BTreeMap<String, Vec<Ipv4Net>>>,
    next: u32,
}

/// What a security group can guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guarded {
    Subnet(SubnetId),
    Nic(NicId),
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
        let group = Named { name: name.into(), rules: Arc::new(rules) };
        self.security.groups.insert(id, Arc::new(group));
        self.dirty.security.add(id);
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
        self.dirty.security.add(id);
        Ok(())
    }

    /// Removes a security group.
    ///
    /// # Errors
    ///
    /// It does not exist, or guards something.
    pub fn remove_security_group(&mut self, id: SecurityGroupId) -> Result<(), EditError> {
        let name = format!("security group {}", self.named(id)?.name);
        let guarded = self.security.guarded_by(id).next();
        let by = match guarded {
            Some(Guarded::Subnet(subnet)) => format!("subnet {}", self.subnet(subnet)?.name),
            Some(Guarded::Nic(nic)) => format!("nic {}", self.nic(nic)?.name),
            None => {
                self.security.groups.remove(&id);
                self.dirty.security.add(id);
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
        self.guard(Guarded::Subnet(id), old, group);
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
        let subnet = self.nic(id)?.subnet;
        let old = match group {
            Some(group) => {
                self.named(group)?;
                self.security.nics_in.add((subnet, id));
                self.security.nics.insert(id, group)
            }
            None => {
                self.security.nics_in.remove(&(subnet, id));
                self.security.nics.remove(&id)
            }
        };
        self.guard(Guarded::Nic(id), old, group);
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
        let tags = Arc::make_mut(&mut self.security.tags);
        tags.insert(name.to_ascii_lowercase(), prefixes.to_vec());
        self.index.meanings = OnceLock::new();
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
        let old = self.security.subnets.remove(&id);
        self.guard(Guarded::Subnet(id), old, None);
    }

    pub(super) fn forget_nic_security(&mut self, id: NicId, subnet: SubnetId) {
        let old = self.security.nics.remove(&id);
        self.security.nics_in.remove(&(subnet, id));
        self.guard(Guarded::Nic(id), old, None);
    }

    /// Notes that a place has another group.
    fn guard(
        &mut self,
        place: Guarded,
        old: Option<SecurityGroupId>,
        new: Option<SecurityGroupId>,
    ) {
        if let Some(old) = old {
            self.security.guarded.remove(&(old, place));
        }
        if let Some(new) = new {
            self.security.guarded.add((new, place));
        }
        if old != new {
            self.dirty.guarded.add(place);
        }
    }

    fn named(&self, id: SecurityGroupId) -> Result<&Named, EditError> {
        let unknown = || EditError::Unknown { kind: "security group", name: id.to_string() };
        self.security.groups.get(&id).map(AsRef::as_ref).ok_or_else(unknown)
    }

    /// Returns the meaning of all names: services stand for their prefixes, and
    /// [`Network::set_tag`] overrides them.
    fn meanings(&self) -> Arc<Tags> {
        let collect = || {
            let mut tags = Tags::default();
            for (_, service) in self.services() {
                tags.insert(&service.name, service.prefixes.iter().copied());
            }
            for (name, prefixes) in &*self.security.tags {
                tags.insert(name, prefixes.iter().copied());
            }
            Arc::new(tags)
        };
        Arc::clone(self.index.meanings.get_or_init(collect))
    }
}

/// From intent to what the data plane reads.
impl Network {
    /// Compiles groups for the places that they guard. A group is compiled again where its input
    /// has changed, and equal results are shared. No flow is invalidated, since live flows go on
    /// (P-13).
    pub(super) fn compile_guards(&self, old: &Snapshot, tables: &BTreeSet<u32>) -> Arc<Guards> {
        let security = &self.security;
        let concerned = self.concerned_guards(tables);
        if concerned.is_empty() && self.dirty.security.is_empty() {
            return Arc::clone(&old.guards);
        }
        let mut new = Guards::clone(&old.guards);
        for id in self.dirty.security.keys() {
            let group = security.groups.get(id);
            new.names.set(*id, group.map(|group| group.name.as_str().into()));
        }
        if concerned.is_empty() {
            return Arc::new(new);
        }
        let mut compiler = Compiler { network: self, tags: self.meanings(), made: BTreeMap::new() };
        for place in concerned {
            match place {
                Guarded::Subnet(id) => {
                    let before = old.guards.subnets.get(&id);
                    let group = security.subnets.get(&id);
                    let guard = group.and_then(|group| compiler.guard(*group, id, before));
                    new.subnets.set(id, guard);
                }
                Guarded::Nic(id) => {
                    let before = old.guards.nics.get(&id);
                    let group = security.nics.get(&id).zip(self.nics.get(&id));
                    let guard =
                        group.and_then(|(group, nic)| compiler.guard(*group, nic.subnet, before));
                    new.nics.set(id, guard);
                }
            }
        }
        Arc::new(new)
    }

    /// Returns the guarded places whose group is compiled again: what it names may have changed, or
    /// the routes of the subnet, or the group.
    fn concerned_guards(&self, tables: &BTreeSet<u32>) -> BTreeSet<Guarded> {
        let security = &self.security;
        let mut concerned: BTreeSet<Guarded> = self.dirty.guarded.keys().copied().collect();
        if !self.dirty.services.is_empty() || self.dirty.tags {
            concerned.extend(security.guarded.keys().map(|(_, place)| *place));
            return concerned;
        }
        concerned.extend(self.dirty.security.keys().flat_map(|id| security.guarded_by(*id)));
        if security.guarded.is_empty() {
            return concerned;
        }
        for subnet in tables.iter().map(|number| SubnetId(*number)) {
            if security.subnets.contains_key(&subnet) {
                concerned.insert(Guarded::Subnet(subnet));
            }
            let nics = security.nics_in.range((subnet, NicId(0))..=(subnet, NicId(u32::MAX)));
            concerned.extend(nics.map(|(&(_, nic), ())| Guarded::Nic(nic)));
        }
        concerned
    }
}

impl Security {
    #[cfg(test)]
    pub(super) fn groups(&self) -> Vec<SecurityGroupId> {
        self.groups.keys().copied().collect()
    }

    /// Returns what a group guards.
    fn guarded_by(&self, group: SecurityGroupId) -> impl Iterator<Item = Guarded> {
        let first = (group, Guarded::Subnet(SubnetId(0)));
        let last = (group, Guarded::Nic(NicId(u32::MAX)));
        self.guarded.range(first..=last).map(|(&(_, place), ())| place)
    }
}

/// Compiles each group once for all subnets that resolve names alike.
struct Compiler<'a> {
    network: &'a Network,
    tags: Arc<Tags>,
    made: BTreeMap<(SecurityGroupId, VnetId, Vec<Ipv4Net>), Arc<CompiledGroup>>,
}

impl Compiler<'_> {
    fn guard(
        &mut self,
        group: SecurityGroupId,
        subnet: SubnetId,
        before: Option<&Guard>,
    ) -> Option<Guard> {
        let before = before.filter(|guard| guard.group == group);
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
