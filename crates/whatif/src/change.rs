//! A network before and after a change, and what the change is.

use core::fmt::Display;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use vnetem::{
    Network, ResourceId, Snapshot, SubnetId, VnetId,
    control::{Outbound, Resource, Scope, Subnet},
};

use crate::rules;

/// A network as it is and as it will be.
///
/// ```
/// use vnetem::{Network, control::Scope};
/// use vnetem_whatif::Change;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let mut network = Network::new();
///     let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
///     let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
///     let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
///
///     let begun = Change::begin(&mut network);
///     network.enable_endpoint(web, storage, Scope::Worldwide)?;
///     let change = begun.end(&mut network);
///     assert_eq!(change.list()[0].kind, "endpoint-enabled");
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Change {
    pub(crate) before: Network,
    pub(crate) after: Network,
    pub(crate) first: Arc<Snapshot>,
    pub(crate) second: Arc<Snapshot>,
}

/// A network that is about to change.
#[derive(Clone, Debug)]
pub struct Begun {
    before: Network,
    first: Arc<Snapshot>,
}

impl Change {
    /// Keeps a network as it is. Edit the very same network, then call [`Begun::end`].
    #[must_use]
    pub fn begin(network: &mut Network) -> Begun {
        let first = network.commit();
        Begun { before: network.clone(), first }
    }

    /// Returns the network before the change.
    #[must_use]
    pub fn before(&self) -> &Network {
        &self.before
    }

    /// Returns what changes, in a fixed order.
    #[must_use]
    pub fn list(&self) -> Vec<Changed> {
        let mut list = Vec::new();
        places(&self.before, &self.after, &mut list);
        for (id, after) in self.after.subnets() {
            if let Ok(before) = self.before.subnet(id) {
                subnet(self, id, before, after, &mut list);
            }
        }
        resources(self, &mut list);
        groups(self, &mut list);
        list
    }
}

impl Begun {
    /// Takes the network after its edits.
    #[must_use]
    pub fn end(self, network: &mut Network) -> Change {
        let second = network.commit();
        Change { before: self.before, after: network.clone(), first: self.first, second }
    }
}

/// One thing that a change does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Changed {
    /// What it is, in a word that never changes: `endpoint-enabled`.
    pub kind: &'static str,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vnet: Option<String>,
    /// The subnet, `vnet1/snet-app`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The service, `Microsoft.Storage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What else is of the kind: a rule, a prefix, an interface, a security group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How it will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Changed {
    fn of(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }

    fn turns(mut self, before: impl Display, after: impl Display) -> Self {
        (self.before, self.after) = (Some(before.to_string()), Some(after.to_string()));
        self
    }

    /// Writes the change as a line of text.
    #[must_use]
    pub fn line(&self) -> String {
        let what = [&self.vnet, &self.subnet, &self.service, &self.resource, &self.name];
        let what: Vec<&str> = what.into_iter().flatten().map(String::as_str).collect();
        let turn = match (&self.before, &self.after) {
            (Some(before), Some(after)) => format!(": {before} > {after}"),
            _ => String::new(),
        };
        format!("{} {}{turn}", self.kind, what.join(" "))
    }
}

/// The name of a subnet with that of its network.
pub(crate) fn subnet_name(network: &Network, id: SubnetId) -> String {
    let Ok(subnet) = network.subnet(id) else { return id.to_string() };
    format!("{}/{}", vnet_name(network, subnet.vnet), subnet.name)
}

fn vnet_name(network: &Network, id: VnetId) -> String {
    network.vnet(id).map_or_else(|_| id.to_string(), |vnet| vnet.name.clone())
}

fn service_name(network: &Network, id: vnetem::ServiceId) -> String {
    network.service(id).map_or_else(|_| id.to_string(), |service| service.name.clone())
}

/// Networks, peerings, subnets and interfaces that come and go.
fn places(before: &Network, after: &Network, list: &mut Vec<Changed>) {
    let vnet =
        |kind, id, network| Changed { vnet: Some(vnet_name(network, id)), ..Changed::of(kind) };
    for (id, _) in before.vnets().filter(|(id, _)| after.vnet(*id).is_err()) {
        list.push(vnet("vnet-removed", id, before));
    }
    for (id, held) in after.vnets() {
        let old = before.vnet(id).ok();
        if old.is_none() {
            list.push(vnet("vnet-added", id, after));
        }
        let none = BTreeSet::new();
        let peers = old.map_or(&none, |old| &old.peers);
        let peering = |kind, peer, network| Changed {
            name: Some(vnet_name(network, peer)),
            ..vnet(kind, id, network)
        };
        // A peering has two sides and is one change.
        for peer in held.peers.difference(peers).filter(|peer| **peer > id) {
            list.push(peering("peering-added", *peer, after));
        }
        for peer in peers.difference(&held.peers).filter(|peer| **peer > id) {
            list.push(peering("peering-removed", *peer, before));
        }
        let gateways = old.map(|old| old.gateways.len()).unwrap_or_default();
        if gateways != held.gateways.len() {
            let count = |count: usize| format!("{count} gateways");
            let turned = vnet("gateways-changed", id, after);
            list.push(turned.turns(count(gateways), count(held.gateways.len())));
        }
    }
    let subnet =
        |kind, id, network| Changed { subnet: Some(subnet_name(network, id)), ..Changed::of(kind) };
    for (id, _) in before.subnets().filter(|(id, _)| after.subnet(*id).is_err()) {
        list.push(subnet("subnet-removed", id, before));
    }
    for (id, _) in after.subnets().filter(|(id, _)| before.subnet(*id).is_err()) {
        list.push(subnet("subnet-added", id, after));
    }
    let nic = |kind, nic: &vnetem::control::Nic, network| Changed {
        name: Some(nic.name.clone()),
        ..subnet(kind, nic.subnet, network)
    };
    for (_, old) in before.nics().filter(|(id, _)| after.nic(*id).is_err()) {
        list.push(nic("interface-removed", old, before));
    }
    for (id, new) in after.nics() {
        match before.nic(id) {
            Err(_) => list.push(nic("interface-added", new, after)),
            Ok(old) if old.public != new.public => {
                let text = |address: Option<core::net::Ipv4Addr>| {
                    address.map_or_else(|| "none".to_owned(), |address| address.to_string())
                };
                let turned = nic("public-address-changed", new, after);
                list.push(turned.turns(text(old.public), text(new.public)));
            }
            Ok(old) if old.ip_forwarding != new.ip_forwarding => {
                let turned = nic("forwarding-changed", new, after);
                list.push(turned.turns(old.ip_forwarding, new.ip_forwarding));
            }
            Ok(_) => {}
        }
    }
}

/// What a subnet gets and loses.
fn subnet(change: &Change, id: SubnetId, old: &Subnet, new: &Subnet, list: &mut Vec<Changed>) {
    let name = subnet_name(&change.after, id);
    let own = |kind| Changed { subnet: Some(name.clone()), ..Changed::of(kind) };
    for (service, endpoint) in &new.endpoints {
        let what = |kind| Changed { service: Some(endpoint.name.clone()), ..own(kind) };
        match old.endpoints.get(service) {
            None => list.push(what("endpoint-enabled")),
            Some(before) if before.name != endpoint.name => {
                list.push(what("endpoint-changed").turns(&before.name, &endpoint.name));
            }
            Some(before) if before.scope != endpoint.scope => {
                let turned = what("endpoint-changed");
                list.push(turned.turns(scope(&before.scope), scope(&endpoint.scope)));
            }
            Some(_) => {}
        }
    }
    for (_, endpoint) in old.endpoints.iter().filter(|(id, _)| !new.endpoints.contains_key(id)) {
        let service = Some(endpoint.name.clone());
        list.push(Changed { service, ..own("endpoint-disabled") });
    }
    let routes = |table: &vnetem::control::RouteTable| -> BTreeSet<(String, String)> {
        let nets = table.routes.iter().map(|(at, it)| (at.to_string(), it.next_hop.to_string()));
        let tags = table.tags.iter().map(|(at, it)| (at.clone(), it.next_hop.to_string()));
        nets.chain(tags).collect()
    };
    let (before, after) = (routes(&old.table), routes(&new.table));
    for (at, hop) in before.difference(&after) {
        let route = |kind| Changed { name: Some(at.clone()), ..own(kind) };
        match after.iter().find(|(other, _)| other == at) {
            Some((_, now)) => list.push(route("route-changed").turns(hop, now)),
            None => list.push(route("route-removed").turns(hop, "none")),
        }
    }
    for (at, hop) in after.difference(&before) {
        if !before.iter().any(|(other, _)| other == at) {
            let added = Changed { name: Some(at.clone()), ..own("route-added") };
            list.push(added.turns("none", hop));
        }
    }
    if old.table.bgp_propagation != new.table.bgp_propagation {
        let turned = own("bgp-propagation-changed");
        list.push(turned.turns(old.table.bgp_propagation, new.table.bgp_propagation));
    }
    if old.outbound != new.outbound {
        list.push(own("outbound-changed").turns(outbound(&old.outbound), outbound(&new.outbound)));
    }
    let guard = |network: &Network| network.security_group_of(id);
    if guard(&change.before) != guard(&change.after) {
        let text = |network: &Network, snapshot: &Snapshot| {
            let group = guard(network).map(|group| snapshot.security_group_name(group));
            group.unwrap_or_else(|| "none".to_owned())
        };
        let before = text(&change.before, &change.first);
        list.push(own("security-group-changed").turns(before, text(&change.after, &change.second)));
    }
    policies(change, id, &name, list);
}

fn policies(change: &Change, id: SubnetId, name: &str, list: &mut Vec<Changed>) {
    for (service, held) in change.after.services() {
        let of = |network: &Network| -> BTreeSet<String> {
            network.policies_of(id, service).map(|policy| policy.name.clone()).collect()
        };
        let (before, after) = (of(&change.before), of(&change.after));
        let one = |kind, policy: &String| Changed {
            subnet: Some(name.to_owned()),
            service: Some(held.name.clone()),
            name: Some(policy.clone()),
            ..Changed::of(kind)
        };
        list.extend(after.difference(&before).map(|policy| one("policy-attached", policy)));
        list.extend(before.difference(&after).map(|policy| one("policy-detached", policy)));
    }
}

fn resources(change: &Change, list: &mut Vec<Changed>) {
    let one = |kind, resource: &Resource, network| Changed {
        resource: Some(resource.name.clone()),
        service: Some(service_name(network, resource.service)),
        ..Changed::of(kind)
    };
    let (before, after) = (&change.before, &change.after);
    for (_, old) in before.resources().filter(|(id, _)| after.resource(*id).is_err()) {
        list.push(one("resource-removed", old, before));
    }
    for (id, new) in after.resources() {
        match before.resource(id) {
            Err(_) => list.push(one("resource-added", new, after)),
            Ok(old) if old.rules != new.rules => firewall(change, id, old, new, list),
            Ok(_) => {}
        }
    }
    let named = |network: &Network| -> BTreeSet<String> {
        network.private_endpoints().map(|(_, one)| one.name.clone()).collect()
    };
    let (old, new) = (named(before), named(after));
    let endpoint = |kind, name: &String| Changed { name: Some(name.clone()), ..Changed::of(kind) };
    list.extend(old.difference(&new).map(|name| endpoint("private-endpoint-removed", name)));
    list.extend(new.difference(&old).map(|name| endpoint("private-endpoint-added", name)));
}

fn firewall(
    change: &Change,
    _: ResourceId,
    old: &Resource,
    new: &Resource,
    list: &mut Vec<Changed>,
) {
    let own = |kind| Changed { resource: Some(new.name.clone()), ..Changed::of(kind) };
    let names = |resource: &Resource, network: &Network| -> BTreeSet<String> {
        let names = rules::names(&resource.rules, |id| subnet_name(network, id));
        names
            .into_iter()
            .map(|(name, state)| match state {
                None => name,
                Some(state) => format!("{name} ({state})"),
            })
            .collect()
    };
    let (before, after) = (names(old, &change.before), names(new, &change.after));
    let rule = |kind, name: &String| Changed { name: Some(name.clone()), ..own(kind) };
    let said = list.len();
    list.extend(after.difference(&before).map(|name| rule("rule-added", name)));
    list.extend(before.difference(&after).map(|name| rule("rule-removed", name)));
    if let (Some(old), Some(new)) = (rules::rule_set(&old.rules), rules::rule_set(&new.rules)) {
        let word = |deny: bool| if deny { "deny" } else { "allow" };
        let default = |set: &vnetem::authz::RuleSet| {
            set.default_action() == vnetem::authz::DefaultAction::Deny
        };
        if default(old) != default(new) {
            let turned = own("default-action-changed");
            list.push(turned.turns(word(default(old)), word(default(new))));
        }
        let open = |set: &vnetem::authz::RuleSet| {
            set.public_access() == vnetem::authz::PublicAccess::Enabled
        };
        let word = |open: bool| if open { "enabled" } else { "disabled" };
        if open(old) != open(new) {
            let turned = own("public-access-changed");
            list.push(turned.turns(word(open(old)), word(open(new))));
        }
    }
    if said == list.len() {
        // Instances and names of callers that no list above shows.
        list.push(own("rules-changed"));
    }
}

fn groups(change: &Change, list: &mut Vec<Changed>) {
    let mut groups = BTreeSet::new();
    for (id, _) in change.after.subnets() {
        groups.extend(change.after.security_group_of(id));
    }
    for (id, _) in change.after.nics() {
        groups.extend(change.after.security_group_of_nic(id));
    }
    for group in groups {
        let old = change.before.security_rules(group);
        let new = change.after.security_rules(group);
        if let (Ok(old), Ok(new)) = (old, new)
            && old != new
        {
            let name = Some(change.second.security_group_name(group));
            list.push(Changed { name, ..Changed::of("security-rules-changed") });
        }
    }
}

fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Worldwide => "worldwide".to_owned(),
        Scope::Regions(regions) => regions.iter().cloned().collect::<Vec<_>>().join(","),
    }
}

/// An outbound method in words.
pub(crate) fn outbound(outbound: &Outbound) -> String {
    let addresses: Vec<_> = outbound.addresses().iter().map(ToString::to_string).collect();
    let method = match outbound {
        Outbound::Private => return "private".to_owned(),
        Outbound::Default(_) => "default",
        Outbound::NatGateway(_) => "nat-gateway",
        Outbound::Pool { .. } => "pool",
    };
    format!("{method} {}", addresses.join(","))
}
