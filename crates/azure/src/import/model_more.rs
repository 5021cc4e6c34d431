//! The rest of the JSON of `vnetem model`: what stands on its own, linked to a subnet or not.

use serde::Serialize;

use super::model::{RouteModel, route_model};
use super::{Inventory, Link, Names, Peer, SecurityGroup, SecurityRule};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct More {
    route_tables: Vec<TableModel>,
    security_groups: Vec<GroupModel>,
    nat_gateways: Vec<GatewayModel>,
    public_addresses: Vec<AddressModel>,
    load_balancers: Vec<BalancerModel>,
    gateways: Vec<SiteModel>,
    firewalls: Vec<FirewallModel>,
    private_endpoints: Vec<EndpointModel>,
    private_zones: Vec<ZoneModel>,
    endpoint_policies: Vec<PolicyModel>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct TableModel {
    name: String,
    bgp_propagation: bool,
    routes: Vec<RouteModel>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct GroupModel {
    name: String,
    /// Each as one line: priority, direction, access, protocol, from, to.
    rules: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct GatewayModel {
    name: String,
    sku: String,
    idle_minutes: Option<u32>,
    public_addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct AddressModel {
    name: String,
    address: Option<String>,
    sku: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct BalancerModel {
    name: String,
    public_addresses: Vec<String>,
    outbound_rules: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SiteModel {
    name: String,
    kind: String,
    subnet: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FirewallModel {
    name: String,
    subnet: Option<String>,
    address: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct EndpointModel {
    name: String,
    subnet: Option<String>,
    target: Option<String>,
    groups: Vec<String>,
    state: String,
    addresses: Vec<String>,
    zones: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ZoneModel {
    name: String,
    vnets: Vec<String>,
    addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct PolicyModel {
    name: String,
    /// Each as one line: service, resources.
    definitions: Vec<String>,
}

impl More {
    pub(super) fn new(inventory: &Inventory, names: &Names) -> Self {
        let all = |links: &[Link]| links.iter().filter_map(|link| names.linked(link)).collect();
        let tables = inventory.route_tables.iter().map(|table| TableModel {
            name: names.of(&table.id),
            bgp_propagation: table.bgp_propagation,
            routes: table.routes.iter().map(route_model).collect(),
        });
        let gateways = inventory.nat_gateways.iter().map(|one| GatewayModel {
            name: names.of(&one.id),
            sku: one.sku.clone(),
            idle_minutes: one.idle_minutes,
            public_addresses: all(&[&one.public_ips[..], &one.public_ip_prefixes[..]].concat()),
        });
        let addresses = inventory.public_ips.iter().map(|one| AddressModel {
            name: names.of(&one.id),
            address: one.address.map(|address| address.to_string()),
            sku: one.sku.clone(),
        });
        let ranges = inventory.public_ip_prefixes.iter().map(|one| AddressModel {
            name: names.of(&one.id),
            address: one.prefix.map(|prefix| prefix.to_string()),
            sku: String::new(),
        });
        let balancers = inventory.load_balancers.iter().map(|one| BalancerModel {
            name: names.of(&one.id),
            public_addresses: all(&one.frontends),
            outbound_rules: one.outbound_rules.iter().map(|rule| rule.name.clone()).collect(),
        });
        let sites = inventory.gateways.iter().map(|one| SiteModel {
            name: names.of(&one.id),
            kind: one.kind.clone(),
            subnet: names.linked(&one.subnet),
        });
        let firewalls = inventory.firewalls.iter().map(|one| FirewallModel {
            name: names.of(&one.id),
            subnet: names.linked(&one.subnet),
            address: one.address.map(|address| address.to_string()),
        });
        let endpoints = inventory.private_endpoints.iter().map(|one| EndpointModel {
            name: names.of(&one.id),
            subnet: names.linked(&one.subnet),
            target: names.linked(&one.target),
            groups: one.groups.clone(),
            state: one.state.clone(),
            addresses: one.addresses.iter().map(ToString::to_string).collect(),
            zones: all(&one.zones),
        });
        let zones = inventory.private_zones.iter().map(|one| ZoneModel {
            name: names.of(&one.id),
            vnets: all(&one.vnets),
            addresses: one
                .addresses
                .iter()
                .map(|(name, found)| format!("{name} {found:?}"))
                .collect(),
        });
        let policies = inventory.endpoint_policies.iter().map(|one| PolicyModel {
            name: names.of(&one.id),
            definitions: one
                .definitions
                .iter()
                .map(|definition| {
                    format!("{} {}", definition.service, definition.resources.join(" "))
                })
                .collect(),
        });
        let groups = inventory.security_groups.iter();
        Self {
            route_tables: tables.collect(),
            security_groups: groups.map(|group| group_model(group, names)).collect(),
            nat_gateways: gateways.collect(),
            public_addresses: addresses.chain(ranges).collect(),
            load_balancers: balancers.collect(),
            gateways: sites.collect(),
            firewalls: firewalls.collect(),
            private_endpoints: endpoints.collect(),
            private_zones: zones.collect(),
            endpoint_policies: policies.collect(),
        }
    }
}

fn group_model(group: &SecurityGroup, names: &Names) -> GroupModel {
    let rules = group.rules.iter().map(|rule| rule_line(rule, names));
    GroupModel { name: names.of(&group.id), rules: rules.collect() }
}

/// A rule as one line: `100 in allow Tcp from Internet to * ports 443`.
fn rule_line(rule: &SecurityRule, names: &Names) -> String {
    let priority = rule.priority.map_or_else(|| "?".to_owned(), |priority| priority.to_string());
    let direction = if rule.inbound { "in" } else { "out" };
    let access = if rule.allow { "allow" } else { "deny" };
    let peers = |peers: &[Peer]| {
        let words: Vec<_> = peers.iter().map(|peer| peer_word(peer, names)).collect();
        words.join(",")
    };
    let ports = |ports: &[(u16, u16)]| {
        let words = ports.iter().map(|(first, last)| match (first, last) {
            (0, &u16::MAX) => "*".to_owned(),
            _ if first == last => first.to_string(),
            _ => format!("{first}-{last}"),
        });
        words.collect::<Vec<_>>().join(",")
    };
    let mut line =
        format!("{priority} {direction} {access} {} from {}", rule.protocol, peers(&rule.sources));
    if !matches!(rule.source_ports.as_slice(), [] | [(0, u16::MAX)]) {
        line = format!("{line} ports {}", ports(&rule.source_ports));
    }
    format!(
        "{line} to {} ports {} ({})",
        peers(&rule.destinations),
        ports(&rule.destination_ports),
        rule.name
    )
}

fn peer_word(peer: &Peer, names: &Names) -> String {
    match peer {
        Peer::Any => "*".to_owned(),
        Peer::Net(prefix) => prefix.to_string(),
        Peer::Tag(tag) => tag.clone(),
        Peer::Group(link) => names.linked(link).unwrap_or_default(),
        Peer::Unresolved => "?".to_owned(),
    }
}
