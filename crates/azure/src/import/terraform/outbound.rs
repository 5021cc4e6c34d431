//! Public addresses, gateways, load balancers, firewalls and private endpoints of `azurerm`.

use super::super::Id;
use super::super::batch::{Batch, Entry};
use super::super::value::Value;
use super::links::{Owner, Source, block, each, object};

const ZONE: Owner = Owner {
    ids: &["private_dns_zone_id"],
    name: "private_dns_zone_name",
    kinds: &["azurerm_private_dns_zone"],
    arm: "Microsoft.Network/privateDnsZones",
};

const RECORD_ZONE: Owner = Owner { name: "zone_name", ..ZONE };

/// A computed address that is not known is simply not there yet.
fn known(value: Value) -> Value {
    if value.is_unknown() { Value::Null } else { value }
}

pub(super) fn public_ip(source: &Source<'_>, batch: &mut Batch) {
    let fields = object([
        ("location", source.get("location")),
        ("ipAddress", known(source.get("ip_address"))),
        ("publicIPAddressVersion", known(source.get("ip_version"))),
        ("idleTimeoutInMinutes", known(source.get("idle_timeout_in_minutes"))),
        ("sku", object([("name", known(source.get("sku")))])),
    ]);
    source.record(batch, "microsoft.network/publicipaddresses", None, &fields);
}

pub(super) fn public_ip_prefix(source: &Source<'_>, batch: &mut Batch) {
    let fields = object([
        ("location", source.get("location")),
        ("ipPrefix", known(source.get("ip_prefix"))),
        ("prefixLength", known(source.get("prefix_length"))),
        ("publicIPAddressVersion", known(source.get("ip_version"))),
    ]);
    source.record(batch, "microsoft.network/publicipprefixes", None, &fields);
}

pub(super) fn nat_gateway(source: &Source<'_>, batch: &mut Batch) {
    let ids = |name: &str| super::links::references(&known(source.get(name)));
    let fields = object([
        ("location", source.get("location")),
        ("idleTimeoutInMinutes", source.get("idle_timeout_in_minutes")),
        ("sku", object([("name", source.first(&["sku_name", "sku"]))])),
        ("publicIpAddresses", ids("public_ip_address_ids")),
        ("publicIpPrefixes", ids("public_ip_prefix_ids")),
    ]);
    source.record(batch, "microsoft.network/natgateways", None, &fields);
}

/// Adds an address to a gateway.
pub(super) fn gateway_address(
    source: &Source<'_>,
    batch: &mut Batch,
    by: &str,
    field: &'static str,
) {
    let gateway = source.get("nat_gateway_id");
    let kind = "microsoft.network/natgateways";
    add(source, batch, (&gateway, kind, field), Value::reference(source.get(by)));
}

/// Adds an item to a list of a resource that may be in the batch already.
fn add(source: &Source<'_>, batch: &mut Batch, to: (&Value, &str, &'static str), item: Value) {
    let (id, kind, field) = to;
    let Some(id) = id.as_text().map(Id::new) else {
        let why = match id {
            Value::Unknown(unknown) => unknown.why.clone(),
            _ => "it is not said what it belongs to".to_owned(),
        };
        return batch.unresolved(&source.instance.address, why);
    };
    let held = batch.entries.iter().rev().find_map(|entry| match entry {
        Entry::Merge(record) if record.id == id && !record.fields.at(field).is_null() => {
            Some(record.fields.at(field).items().to_vec())
        }
        _ => None,
    });
    let mut list = held.unwrap_or_default();
    if !list.contains(&item) {
        list.push(item);
    }
    let name = id.name().to_owned();
    let fields = object([(field, Value::list(list))]);
    batch.record(kind, id, &name, None, &fields, &source.instance.address, false);
}

pub(super) fn load_balancer(source: &Source<'_>, batch: &mut Batch) {
    let frontends = each(&source.get("frontend_ip_configuration"), |one| {
        object([
            ("name", one.at("name").clone()),
            ("publicIPAddress", Value::reference(one.at("public_ip_address_id").clone())),
            ("subnet", Value::reference(one.at("subnet_id").clone())),
        ])
    });
    let fields =
        object([("location", source.get("location")), ("frontendIPConfigurations", frontends)]);
    source.record(batch, "microsoft.network/loadbalancers", None, &fields);
}

pub(super) fn outbound_rule(source: &Source<'_>, batch: &mut Batch) {
    let rule = object([
        ("name", source.get("name")),
        ("backendAddressPool", Value::reference(source.get("backend_address_pool_id"))),
        ("allocatedOutboundPorts", source.get("allocated_outbound_ports")),
        ("idleTimeoutInMinutes", source.get("idle_timeout_in_minutes")),
    ]);
    let balancer = source.get("loadbalancer_id");
    let to = (&balancer, "microsoft.network/loadbalancers", "outboundRules");
    add(source, batch, to, rule);
}

const BALANCER: Owner = Owner {
    ids: &["loadbalancer_id"],
    name: "loadbalancer_name",
    kinds: &["azurerm_lb"],
    arm: "Microsoft.Network/loadBalancers",
};

pub(super) fn backend_pool(source: &Source<'_>, batch: &mut Batch) {
    let Some(balancer) = source.owner(&BALANCER, batch) else { return };
    let kind = "microsoft.network/loadbalancers/backendaddresspools";
    source.record(batch, kind, Some(balancer), &object([]));
}

/// Adds a rule to a load balancer: it gives an outbound path unless it says otherwise.
pub(super) fn balancing_rule(source: &Source<'_>, batch: &mut Batch) {
    let rule = object([
        ("name", source.get("name")),
        ("disableOutboundSnat", source.get("disable_outbound_snat")),
    ]);
    let balancer = source.get("loadbalancer_id");
    add(source, batch, (&balancer, "microsoft.network/loadbalancers", "loadBalancingRules"), rule);
}

pub(super) fn gateway(source: &Source<'_>, batch: &mut Batch) {
    let configurations = each(&source.get("ip_configuration"), |one| {
        object([
            ("subnet", Value::reference(one.at("subnet_id").clone())),
            ("publicIPAddress", Value::reference(one.at("public_ip_address_id").clone())),
        ])
    });
    let fields = object([
        ("location", source.get("location")),
        ("gatewayType", source.get("type")),
        ("ipConfigurations", configurations),
    ]);
    source.record(batch, "microsoft.network/virtualnetworkgateways", None, &fields);
}

pub(super) fn firewall(source: &Source<'_>, batch: &mut Batch) {
    let configurations = each(&source.get("ip_configuration"), |one| {
        object([
            ("privateIPAddress", known(one.at("private_ip_address").clone())),
            ("subnet", Value::reference(one.at("subnet_id").clone())),
            ("publicIPAddress", Value::reference(one.at("public_ip_address_id").clone())),
        ])
    });
    let fields =
        object([("location", source.get("location")), ("ipConfigurations", configurations)]);
    source.record(batch, "microsoft.network/azurefirewalls", None, &fields);
}

pub(super) fn private_endpoint(source: &Source<'_>, batch: &mut Batch) {
    let connections = each(&source.get("private_service_connection"), |one| {
        object([
            ("name", one.at("name").clone()),
            ("privateLinkServiceId", one.at("private_connection_resource_id").clone()),
            ("groupIds", one.at("subresource_names").clone()),
        ])
    });
    let first = block(&source.get("private_service_connection"));
    let manual = first.at("is_manual_connection").as_bool() == Some(true);
    let list = if manual {
        "manualPrivateLinkServiceConnections"
    } else {
        "privateLinkServiceConnections"
    };
    let addresses = match first.at("private_ip_address") {
        Value::Text(address) if !address.is_empty() => {
            Value::list(vec![object([("privateIPAddress", Value::text(address))])])
        }
        _ => each(&known(source.get("ip_configuration")), |one| {
            object([("privateIPAddress", one.at("private_ip_address").clone())])
        }),
    };
    let fields = object([
        ("location", source.get("location")),
        ("subnet", Value::reference(source.get("subnet_id"))),
        (list, connections),
        ("ipConfigurations", addresses),
    ]);
    source.record(batch, "microsoft.network/privateendpoints", None, &fields);
    let group = block(&source.get("private_dns_zone_group"));
    let zones =
        each(group.at("private_dns_zone_ids"), |id| object([("privateDnsZoneId", id.clone())]));
    if !zones.is_null() {
        let id = source.id().child("privateDnsZoneGroups", "default");
        let kind = "microsoft.network/privateendpoints/privatednszonegroups";
        let fields = object([("privateDnsZoneConfigs", zones)]);
        let path = source.path("private_dns_zone_group");
        batch.record(kind, id, "default", Some(source.id()), &fields, &path, false);
    }
}

pub(super) fn private_zone(source: &Source<'_>, batch: &mut Batch) {
    source.record(batch, "microsoft.network/privatednszones", None, &object([]));
}

pub(super) fn zone_link(source: &Source<'_>, batch: &mut Batch) {
    let Some(zone) = source.owner(&ZONE, batch) else { return };
    let fields = object([("virtualNetwork", Value::reference(source.get("virtual_network_id")))]);
    source.record(
        batch,
        "microsoft.network/privatednszones/virtualnetworklinks",
        Some(zone),
        &fields,
    );
}

pub(super) fn zone_address(source: &Source<'_>, batch: &mut Batch) {
    let Some(zone) = source.owner(&RECORD_ZONE, batch) else { return };
    let addresses = each(&source.get("records"), |one| object([("ipv4Address", one.clone())]));
    let fields = object([("aRecords", addresses)]);
    source.record(batch, "microsoft.network/privatednszones/a", Some(zone), &fields);
}
