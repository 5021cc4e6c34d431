//! A network in the JSON of `vnetem model`, where no file of a cloud says what it is.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vnetem::{
    Network, Snapshot, SubnetId,
    authz::{Action, DefaultAction, Firewall, PublicAccess},
    control::{NextHop, Outbound, Resource, Scope, Subnet},
};

use crate::change::subnet_name;
use crate::rules;

/// Gives a network in the form in which [`vnetem_azure::import::Inventory::model`] gives one of
/// files.
///
/// ```
/// let mut network = vnetem::Network::new();
/// network.add_vnet("hub", &["10.0.0.0/16".parse()?])?;
/// assert_eq!(vnetem_whatif::model(&network)["vnets"][0]["name"], "hub");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn model(network: &Network) -> Value {
    let snapshot = network.clone().commit();
    let vnet_name = |id| network.vnet(id).map(|vnet| vnet.name.clone()).unwrap_or_default();
    let vnets: Vec<Value> = network
        .vnets()
        .map(|(_, vnet)| {
            json!({
                "name": vnet.name,
                "id": vnet.name,
                "region": vnet.placement.region,
                "ranges": texts(&vnet.ranges),
                "peers": vnet.peers.iter().map(|peer| vnet_name(*peer)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let nics: Vec<Value> = network
        .nics()
        .map(|(_, nic)| {
            json!({
                "name": nic.name,
                "address": nic.address.to_string(),
                "subnet": subnet_name(network, nic.subnet),
                "public": nic.public.map(|address| address.to_string()),
                "forwarding": nic.ip_forwarding,
            })
        })
        .collect();
    let subnets = network.subnets().map(|(id, it)| subnet(network, &snapshot, id, it));
    let subnets: Vec<Value> = subnets.collect();
    json!({
        "schema": "vnetem/1",
        "verb": "model",
        "vnets": vnets,
        "subnets": subnets,
        "resources": network.resources().map(|(_, it)| resource(network, it)).collect::<Vec<_>>(),
        "nics": nics,
        "unresolved": [],
        "ignored": {},
        "assumptions": [],
        "contradictions": [],
    })
}

fn texts<T: ToString>(list: impl IntoIterator<Item = T>) -> Vec<String> {
    list.into_iter().map(|one| one.to_string()).collect()
}

fn subnet(network: &Network, snapshot: &Snapshot, id: SubnetId, subnet: &Subnet) -> Value {
    let service = |id| network.service(id).map(|it| it.name.clone()).unwrap_or_default();
    let located: BTreeMap<String, Vec<String>> = subnet
        .endpoints
        .iter()
        .filter_map(|(id, endpoint)| match &endpoint.scope {
            Scope::Regions(regions) => Some((service(*id), texts(regions))),
            Scope::Worldwide => None,
        })
        .collect();
    let policies = subnet.endpoints.keys().flat_map(|service| network.policies_of(id, *service));
    let (method, addresses) = match &subnet.outbound {
        Outbound::Private => ("private", Vec::new()),
        Outbound::Default(address) => ("default", vec![address.to_string()]),
        Outbound::NatGateway(addresses) => ("nat-gateway", texts(addresses)),
        Outbound::Pool { addresses, .. } => ("pool", texts(addresses)),
    };
    let own =
        subnet.table.routes.iter().map(|(prefix, it)| route(&prefix.to_string(), it.next_hop));
    let tagged = subnet.table.tags.iter().map(|(tag, it)| route(tag, it.next_hop));
    let group = network.security_group_of(id).map(|group| snapshot.security_group_name(group));
    json!({
        "name": subnet_name(network, id),
        "prefixes": [subnet.prefix.to_string()],
        "endpoints": subnet.endpoints.keys().map(|id| service(*id)).collect::<Vec<_>>(),
        "endpoint_locations": located,
        "policies": texts(policies.map(|policy| &policy.name)),
        "outbound": { "method": method, "addresses": addresses },
        "route_table": null,
        "routes": own.chain(tagged).collect::<Vec<_>>(),
        "security_group": group,
    })
}

fn route(prefix: &str, next_hop: NextHop) -> Value {
    let address = match next_hop {
        NextHop::VirtualAppliance(address) => Some(address.to_string()),
        _ => None,
    };
    json!({
        "name": prefix, "prefix": prefix, "next_hop": next_hop.kind().name(), "address": address,
    })
}

fn resource(network: &Network, resource: &Resource) -> Value {
    let names = rules::names(&resource.rules, |id| subnet_name(network, id));
    let those = |kind: &str| -> Vec<String> {
        let of_kind = names.iter().filter_map(|(name, _)| name.strip_prefix(kind));
        of_kind.map(|name| name.trim_start().to_owned()).collect()
    };
    let (public, open, ip_rules, subnet_rules) = match &resource.rules {
        Firewall::AppService(rules) => {
            let all: Vec<String> = names.iter().map(|(name, _)| name.clone()).collect();
            let (subnets, others) = all.into_iter().partition(|name| name.contains("subnet "));
            (rules.public_access(), rules.unmatched() == Action::Allow, others, subnets)
        }
        other => match rules::rule_set(other) {
            Some(rules) => (
                rules.public_access(),
                rules.default_action() == DefaultAction::Allow,
                those("ip "),
                those("subnet "),
            ),
            None => (PublicAccess::Enabled, true, Vec::new(), Vec::new()),
        },
    };
    let service = network.service(resource.service).map(|it| it.name.clone());
    json!({
        "name": resource.name,
        "kind": service.unwrap_or_default(),
        "addresses": texts(resource.addresses()),
        "public_access": if public == PublicAccess::Disabled { "disabled" } else { "enabled" },
        "default": if open { "allow" } else { "deny" },
        "ip_rules": ip_rules,
        "subnet_rules": subnet_rules,
        "bypass": [],
    })
}
