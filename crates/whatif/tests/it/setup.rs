//! Small networks as `az` prints them.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use vnetem_azure::ServiceTags;
use vnetem_azure::import::{Importer, Inventory};
use vnetem_whatif::{Change, Estate, Group, Report, Traffic};

pub(crate) const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers";

/// An address of West Europe: from North Europe, where the networks are, no same-region path leads
/// there.
pub(crate) const STORAGE: Ipv4Addr = Ipv4Addr::new(20, 60, 26, 10);
/// An address of North Europe, since endpoints for SQL lead no farther (E-06).
pub(crate) const SQL: Ipv4Addr = Ipv4Addr::new(13, 69, 224, 10);

pub(crate) fn subnet_id(name: &str) -> String {
    let (vnet, subnet) = name.split_once('/').unwrap();
    format!("{GROUP}/Microsoft.Network/virtualNetworks/{vnet}/subnets/{subnet}")
}

/// A network of North Europe with subnets, each with more fields.
pub(crate) fn vnet(name: &str, range: &str, subnets: &[(&str, &str, Value)]) -> Value {
    let subnets: Vec<Value> = subnets
        .iter()
        .map(|(name, prefix, more)| {
            let mut subnet = json!({ "name": name, "addressPrefix": prefix });
            let fields = subnet.as_object_mut().unwrap();
            fields.extend(more.as_object().unwrap().clone());
            subnet
        })
        .collect();
    json!({
        "id": format!("{GROUP}/Microsoft.Network/virtualNetworks/{name}"),
        "location": "northeurope",
        "addressSpace": { "addressPrefixes": [range] },
        "subnets": subnets,
    })
}

pub(crate) fn nat(name: &str, address: &str) -> Vec<Value> {
    let ip = format!("{GROUP}/Microsoft.Network/publicIPAddresses/{name}-ip");
    vec![
        json!({ "id": ip, "ipAddress": address, "sku": { "name": "Standard" } }),
        json!({
            "id": format!("{GROUP}/Microsoft.Network/natGateways/{name}"),
            "publicIpAddresses": [ { "id": ip } ],
        }),
    ]
}

pub(crate) fn behind(nat: &str) -> Value {
    let id = format!("{GROUP}/Microsoft.Network/natGateways/{nat}");
    json!({ "natGateway": { "id": id } })
}

pub(crate) fn account(name: &str, addresses: &[&str], subnets: &[&str]) -> Value {
    let addresses: Vec<_> = addresses.iter().map(|one| json!({ "value": one })).collect();
    let subnets: Vec<_> = subnets.iter().map(|one| json!({ "id": subnet_id(one) })).collect();
    json!({
        "id": format!("{GROUP}/Microsoft.Storage/storageAccounts/{name}"),
        "location": "westeurope",
        "properties": { "networkAcls": {
            "defaultAction": "Deny", "ipRules": addresses, "virtualNetworkRules": subnets,
        } },
    })
}

pub(crate) fn inventory(resources: &[Value]) -> Inventory {
    let mut importer = Importer::new();
    importer.read("now.json", Value::from(resources).to_string().as_bytes()).unwrap();
    importer.inventory()
}

pub(crate) fn estate(resources: &[Value], addresses: &[(&str, Ipv4Addr)]) -> Estate {
    let given = addresses.iter().map(|(name, address)| ((*name).to_owned(), *address));
    let mut estate = Estate::new(ServiceTags::embedded(), &given.collect::<Vec<_>>());
    estate.load(&inventory(resources));
    assert_eq!(estate.left_out(), []);
    estate
}

/// Enables an endpoint, and asks what that does without traffic.
pub(crate) fn enabling(estate: &mut Estate, service: &str, subnet: &str) -> Report {
    let change = estate.edit(|estate| estate.enable(service, subnet)).unwrap();
    estate.report(&change, &Traffic::new(), None)
}

pub(crate) fn changing(estate: &mut Estate, resources: &[Value]) -> Report {
    let change: Change = estate.change_to(&inventory(resources));
    estate.report(&change, &Traffic::new(), None)
}

/// The row of a subnet and a resource, a service or a kind of destination.
pub(crate) fn group<'a>(report: &'a Report, subnet: &str, to: &str) -> &'a Group {
    let is_it = |group: &&Group| {
        let destination = &group.destination;
        let names = [destination.resource.as_deref(), destination.service.as_deref()];
        let named = names.contains(&Some(to)) || destination.kind == to;
        group.subnet == subnet && named
    };
    let found = report.groups.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no row of {subnet} to {to}:\n{report}"))
}

/// A flow log of a network, one line for each flow: source, destination, port, last state.
pub(crate) fn flow_log(vnet: &str, flows: &[(&str, &str, u16, char)]) -> String {
    let tuples: Vec<String> = flows
        .iter()
        .enumerate()
        .map(|(at, (from, to, port, state))| {
            let own = 40_000 + at;
            format!("1733975972606,{from},{to},{own},{port},6,O,{state},NX,3,300,4,4000")
        })
        .collect();
    let target = format!("{GROUP}/Microsoft.Network/virtualNetworks/{vnet}");
    json!({ "records": [ {
        "time": "2026-01-01T00:00:00Z", "macAddress": "0022", "targetResourceID": target,
        "flowRecords": { "flows": [ { "aclID": "a", "flowGroups": [
            { "rule": "r", "flowTuples": tuples } ] } ] },
    } ] })
    .to_string()
}

pub(crate) fn logged(vnet: &str, flows: &[(&str, &str, u16, char)]) -> Traffic {
    let mut traffic = Traffic::new();
    traffic.read_flow_log("PT1H.json", flow_log(vnet, flows).as_bytes()).unwrap();
    traffic
}
