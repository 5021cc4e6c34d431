//! Networks, subnets, routes, security groups and interfaces of `azurerm`, versions 2 to 5.

use super::super::Id;
use super::super::batch::{Batch, Entry};
use super::super::value::{Object, Value};
use super::links::{Owner, Source, block, each, not, object, references};

pub(super) const VNET: Owner = Owner {
    ids: &["virtual_network_id"],
    name: "virtual_network_name",
    kinds: &["azurerm_virtual_network"],
    arm: "Microsoft.Network/virtualNetworks",
};

const TABLE: Owner = Owner {
    ids: &["route_table_id"],
    name: "route_table_name",
    kinds: &["azurerm_route_table"],
    arm: "Microsoft.Network/routeTables",
};

const GROUP: Owner = Owner {
    ids: &[],
    name: "network_security_group_name",
    kinds: &["azurerm_network_security_group"],
    arm: "Microsoft.Network/networkSecurityGroups",
};

pub(super) fn vnet(source: &Source<'_>, batch: &mut Batch) {
    let space = source.first(&["address_space", "address_spaces"]);
    let space = pool(source, batch, space, "address_space");
    let mut fields = vec![
        ("location", source.get("location")),
        ("addressSpace", space),
        ("flowTimeoutInMinutes", source.get("flow_timeout_in_minutes")),
    ];
    // The provider repeats the standalone subnets here, and goes on showing what they were: only
    // what the configuration itself writes inside the network counts.
    let written =
        source.plan.expressions_of(source.instance).map(|all| !all.at("subnet").is_null());
    let standalone = source.plan.instances.iter().any(|one| one.kind == "azurerm_subnet");
    let inline = source.get("subnet");
    if inline.as_list().is_some() && written.unwrap_or(!standalone) && !source.instance.data {
        fields.push(("subnets", each(&inline, inline_subnet)));
    }
    source.record(batch, "microsoft.network/virtualnetworks", None, &object(fields));
}

/// An address space or range that comes from a pool is given at run time.
fn pool(source: &Source<'_>, batch: &mut Batch, value: Value, name: &str) -> Value {
    if value.items().is_empty() && !source.get("ip_address_pool").items().is_empty() {
        let why = "an IPAM pool gives it at run time";
        batch.assume("pool-ranges-unknown", "Ranges that an IPAM pool gives are not known.");
        return Value::unknown(source.path(name), why);
    }
    value
}

fn inline_subnet(subnet: &Value) -> Value {
    let prefixes = subnet.first(&["address_prefixes", "address_prefix"]).clone();
    let id = |name: &str| match subnet.at(name) {
        Value::Text(text) if text.is_empty() => Value::Null,
        value => Value::reference(value.clone()),
    };
    object([
        ("name", subnet.at("name").clone()),
        ("addressPrefixes", prefixes),
        (
            "serviceEndpoints",
            endpoints(subnet.at("service_endpoints"), subnet.at("service_endpoint")),
        ),
        ("serviceEndpointPolicies", references(subnet.at("service_endpoint_policy_ids"))),
        ("routeTable", id("route_table_id")),
        ("networkSecurityGroup", {
            let old = id("security_group");
            if old.is_null() { id("network_security_group_id") } else { old }
        }),
        ("defaultOutboundAccess", subnet.at("default_outbound_access_enabled").clone()),
    ])
}

/// Service endpoints in both spellings: a set of names, and from azurerm 5 a list of blocks.
fn endpoints(names: &Value, blocks: &Value) -> Value {
    let blocks = each(blocks, |block| {
        let identifier = match block.at("network_identifier") {
            Value::Text(text) if text.is_empty() => Value::Null,
            other => Value::reference(other.clone()),
        };
        object([
            ("service", block.at("service").clone()),
            ("locations", block.at("locations").clone()),
            ("networkIdentifier", identifier),
        ])
    });
    if blocks.is_null() || (blocks.items().is_empty() && !names.is_null()) {
        each(names, |name| object([("service", name.clone())]))
    } else {
        blocks
    }
}

pub(super) fn subnet(source: &Source<'_>, batch: &mut Batch) {
    let vnet = source.owner(&VNET, batch);
    let several = source.get("address_prefixes");
    let prefixes = if several.items().is_empty() || several.is_unknown() {
        let one = source.get("address_prefix");
        if one.as_text().is_some_and(|text| !text.is_empty()) { one } else { several }
    } else {
        several
    };
    let prefixes = pool(source, batch, prefixes, "address_prefixes");
    let policies = match source.get("private_endpoint_network_policies") {
        Value::Null => {
            let on = source.get("private_endpoint_network_policies_enabled");
            let off = source.get("enforce_private_link_endpoint_network_policies");
            let word = |on: bool| Value::text(if on { "Enabled" } else { "Disabled" });
            on.as_bool()
                .map(word)
                .or_else(|| off.as_bool().map(|off| word(!off)))
                .unwrap_or_default()
        }
        Value::Unknown(_) => Value::Null,
        word => word,
    };
    let delegations = each(&source.get("delegation"), |one| {
        object([("serviceName", block(one.at("service_delegation")).at("name").clone())])
    });
    let link = |name: &str| match source.instance.values.at(name) {
        Value::Text(id) if !id.is_empty() => Value::reference(Value::text(id)),
        _ => Value::Null,
    };
    let fields = object([
        ("addressPrefixes", prefixes),
        (
            "serviceEndpoints",
            endpoints(&source.get("service_endpoints"), &source.get("service_endpoint")),
        ),
        ("serviceEndpointPolicies", references(&source.get("service_endpoint_policy_ids"))),
        ("defaultOutboundAccess", source.get("default_outbound_access_enabled")),
        ("privateEndpointNetworkPolicies", policies),
        ("delegations", delegations),
        ("routeTable", link("route_table_id")),
        ("networkSecurityGroup", link("network_security_group_id")),
    ]);
    source.record(batch, "microsoft.network/virtualnetworks/subnets", vnet, &fields);
}

pub(super) fn peering(source: &Source<'_>, batch: &mut Batch) {
    let Some(vnet) = source.owner(&VNET, batch) else { return };
    let remote = match source.get("remote_virtual_network_id") {
        // Kept, so that the reader of the network says where it is missing.
        Value::Null => Value::unknown(source.path("remote_virtual_network_id"), "it is not said"),
        id => id,
    };
    let fields = object([
        ("remoteVirtualNetwork", Value::reference(remote)),
        ("allowVirtualNetworkAccess", source.get("allow_virtual_network_access")),
    ]);
    source.record(
        batch,
        "microsoft.network/virtualnetworks/virtualnetworkpeerings",
        Some(vnet),
        &fields,
    );
}

pub(super) fn route_table(source: &Source<'_>, batch: &mut Batch) {
    let learns = source.get("bgp_route_propagation_enabled");
    let disabled = match source.get("disable_bgp_route_propagation") {
        Value::Null => not(&learns),
        old => old,
    };
    let mut fields =
        vec![("location", source.get("location")), ("disableBgpRoutePropagation", disabled)];
    let inline = source.get("route");
    if !inline.is_null() {
        fields.push(("routes", each(&inline, route_fields)));
    }
    source.record(batch, "microsoft.network/routetables", None, &object(fields));
}

fn route_fields(route: &Value) -> Value {
    let address = match route.at("next_hop_in_ip_address") {
        Value::Text(text) if text.is_empty() => Value::Null,
        other => other.clone(),
    };
    object([
        ("name", route.at("name").clone()),
        ("addressPrefix", route.at("address_prefix").clone()),
        ("nextHopType", route.at("next_hop_type").clone()),
        ("nextHopIpAddress", address),
    ])
}

pub(super) fn route(source: &Source<'_>, batch: &mut Batch) {
    let Some(table) = source.owner(&TABLE, batch) else { return };
    let route = object([
        ("address_prefix", source.get("address_prefix")),
        ("next_hop_type", source.get("next_hop_type")),
        ("next_hop_in_ip_address", source.get("next_hop_in_ip_address")),
    ]);
    source.record(
        batch,
        "microsoft.network/routetables/routes",
        Some(table),
        &route_fields(&route),
    );
}

pub(super) fn security_group(source: &Source<'_>, batch: &mut Batch) {
    let mut fields = vec![("location", source.get("location"))];
    let rules = source.get("security_rule");
    if !rules.is_null() {
        fields.push(("securityRules", each(&rules, rule_fields)));
    }
    source.record(batch, "microsoft.network/networksecuritygroups", None, &object(fields));
}

fn rule_fields(rule: &Value) -> Value {
    let groups = |name: &str| references(rule.at(name));
    object([
        ("name", rule.at("name").clone()),
        ("priority", rule.at("priority").clone()),
        ("direction", rule.at("direction").clone()),
        ("access", rule.at("access").clone()),
        ("protocol", rule.at("protocol").clone()),
        ("sourceAddressPrefix", rule.at("source_address_prefix").clone()),
        ("sourceAddressPrefixes", rule.at("source_address_prefixes").clone()),
        ("sourcePortRange", rule.at("source_port_range").clone()),
        ("sourcePortRanges", rule.at("source_port_ranges").clone()),
        ("destinationAddressPrefix", rule.at("destination_address_prefix").clone()),
        ("destinationAddressPrefixes", rule.at("destination_address_prefixes").clone()),
        ("destinationPortRange", rule.at("destination_port_range").clone()),
        ("destinationPortRanges", rule.at("destination_port_ranges").clone()),
        ("sourceApplicationSecurityGroups", groups("source_application_security_group_ids")),
        (
            "destinationApplicationSecurityGroups",
            groups("destination_application_security_group_ids"),
        ),
    ])
}

pub(super) fn security_rule(source: &Source<'_>, batch: &mut Batch) {
    let Some(group) = source.owner(&GROUP, batch) else { return };
    let names = [
        "name",
        "priority",
        "direction",
        "access",
        "protocol",
        "source_address_prefix",
        "source_address_prefixes",
        "source_port_range",
        "source_port_ranges",
        "destination_address_prefix",
        "destination_address_prefixes",
        "destination_port_range",
        "destination_port_ranges",
        "source_application_security_group_ids",
        "destination_application_security_group_ids",
    ];
    let rule: Object = names.iter().map(|name| ((*name).to_owned(), source.get(name))).collect();
    let fields = rule_fields(&Value::object(rule));
    let kind = "microsoft.network/networksecuritygroups/securityrules";
    source.record(batch, kind, Some(group), &fields);
}

pub(super) fn nic(source: &Source<'_>, batch: &mut Batch) {
    let configurations = each(&source.get("ip_configuration"), |one| {
        object([
            ("name", one.at("name").clone()),
            ("primary", one.at("primary").clone()),
            ("privateIPAddress", one.at("private_ip_address").clone()),
            ("privateIPAddressVersion", one.at("private_ip_address_version").clone()),
            ("subnet", Value::reference(one.at("subnet_id").clone())),
            ("publicIPAddress", Value::reference(one.at("public_ip_address_id").clone())),
        ])
    });
    let fields = object([
        ("location", source.get("location")),
        ("ipConfigurations", configurations),
        ("enableIPForwarding", source.first(&["ip_forwarding_enabled", "enable_ip_forwarding"])),
        ("networkSecurityGroup", Value::reference(source.get("network_security_group_id"))),
    ]);
    source.record(batch, "microsoft.network/networkinterfaces", None, &fields);
}

pub(super) fn policy(source: &Source<'_>, batch: &mut Batch) {
    let definitions = each(&source.get("definition"), |one| {
        object([
            ("name", one.at("name").clone()),
            (
                "service",
                match one.at("service") {
                    Value::Null => Value::text("Microsoft.Storage"),
                    other => other.clone(),
                },
            ),
            ("serviceResources", one.at("service_resources").clone()),
        ])
    });
    let fields = object([
        ("location", source.get("location")),
        ("serviceEndpointPolicyDefinitions", definitions),
    ]);
    source.record(batch, "microsoft.network/serviceendpointpolicies", None, &fields);
}

/// Links a subnet to something: the association is a resource of its own.
pub(super) fn associate(source: &Source<'_>, batch: &mut Batch, to: &str, field: &'static str) {
    let link = Value::reference(source.get(to));
    let kind = "microsoft.network/virtualnetworks/subnets";
    amend(source, batch, "subnet_id", kind, object([(field, link)]));
}

pub(super) fn guard_nic(source: &Source<'_>, batch: &mut Batch) {
    let link = Value::reference(source.get("network_security_group_id"));
    let fields = object([("networkSecurityGroup", link)]);
    let kind = "microsoft.network/networkinterfaces";
    amend(source, batch, "network_interface_id", kind, fields);
}

/// Adds fields to a resource that an attribute names.
pub(super) fn amend(source: &Source<'_>, batch: &mut Batch, by: &str, kind: &str, fields: Value) {
    match source.get(by) {
        Value::Text(id) => {
            let id = Id::new(&id);
            let name = id.name().to_owned();
            batch.record(kind, id, &name, None, &fields, &source.instance.address, false);
        }
        Value::Unknown(unknown) => batch.unresolved(&unknown.path, &unknown.why),
        _ => batch.unresolved(source.path(by), "it is not said what it belongs to"),
    }
}

/// Puts an address of an interface, or all of them, into a pool or group.
pub(super) fn add_to_nic(
    source: &Source<'_>,
    batch: &mut Batch,
    by_name: Option<&str>,
    field: &'static str,
    to: &Value,
) {
    let nic = source.get("network_interface_id");
    let name = by_name.map(|attribute| source.get(attribute));
    let Some(nic) = nic.as_text().map(Id::new) else {
        let why = match &nic {
            Value::Unknown(unknown) => unknown.why.clone(),
            _ => "it is not said what it belongs to".to_owned(),
        };
        return batch.unresolved(source.path("network_interface_id"), why);
    };
    let held = batch.entries.iter_mut().rev().find_map(|entry| match entry {
        Entry::Merge(record) if record.id == nic => Some(record),
        _ => None,
    });
    let Some(record) = held else {
        return batch.unresolved(source.path("network_interface_id"), "no file has the interface");
    };
    let configurations = each(record.fields.get("ipConfigurations"), |one| {
        let mut fields = one.as_object().cloned().unwrap_or_default();
        if name.as_ref().is_none_or(|name| one.at("name") == name) {
            let mut links = one.at(field).items().to_vec();
            links.push(Value::reference(to.clone()));
            fields.insert(field.to_owned(), Value::list(links));
        }
        Value::object(fields)
    });
    let mut fields = record.fields.as_object().cloned().unwrap_or_default();
    fields.insert("ipConfigurations".to_owned(), configurations);
    record.fields = Value::object(fields);
}
