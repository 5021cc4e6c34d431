//! Deployment what-ifs: the change they hold, and their noise.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use serde_json::{Value, json};
use vnetem_azure::import::{Importer, Inventory};

const START: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

fn what_if(changes: &Value) -> Importer {
    let mut importer = Importer::new();
    let text = json!({ "status": "Succeeded", "error": null, "changes": changes, "diagnostics": [
        { "code": "NestedDeploymentShortCircuited", "message": "skipped" } ] });
    importer.read("whatif.json", text.to_string().as_bytes()).unwrap();
    importer
}

fn subnet(endpoints: &[&str], more: &Value) -> Value {
    let endpoints: Vec<_> = endpoints.iter().map(|name| json!({ "service": name })).collect();
    let mut subnet = json!({ "name": "a", "properties": { "addressPrefix": "10.0.0.0/24", "serviceEndpoints": endpoints } });
    for (name, value) in more.as_object().into_iter().flatten() {
        subnet["properties"][name] = value.clone();
    }
    subnet
}

fn change(kind: &str, id: &str, before: &Value, after: &Value) -> Value {
    json!({ "changeType": kind, "resourceId": format!("{START}/{id}"), "before": before, "after": after,
        "symbolicName": "x", "identifiers": {}, "deploymentId": "d" })
}

fn endpoints(inventory: &Inventory) -> Vec<String> {
    inventory.subnets.iter().flat_map(|one| &one.endpoints).map(|one| one.service.clone()).collect()
}

fn vnet(subnet: &Value) -> Value {
    json!({ "location": "westus2", "properties": { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] }, "subnets": [subnet] } })
}

/// A subnet stands inside its network and as a change of its own: the latter holds.
#[test]
fn change_of_the_part_holds() {
    let stale = vnet(&subnet(&[], &Value::Null));
    let part = |id: &str| {
        let after = subnet(&["Microsoft.Storage"], &Value::Null);
        change("Modify", id, &subnet(&[], &Value::Null), &after)
    };
    let whole = change("Modify", "virtualNetworks/v", &stale, &stale);
    let changes =
        json!([part("virtualNetworks/v/subnets/a"), whole, part("virtualNetworks/V/subnets/A")]);
    let importer = what_if(&changes);
    assert_eq!(endpoints(&importer.inventory()), ["Microsoft.Storage"]);
    assert_eq!(endpoints(&importer.before()), Vec::<String>::new());
    assert_eq!(importer.inventory().subnets.len(), 1);
}

#[test]
fn switched_off_endpoints_go() {
    let changes = json!([change(
        "Modify",
        "virtualNetworks/v",
        &vnet(&subnet(&["Microsoft.Sql"], &Value::Null)),
        &vnet(&subnet(&[], &Value::Null))
    )]);
    let importer = what_if(&changes);
    assert_eq!(endpoints(&importer.before()), ["Microsoft.Sql"]);
    assert_eq!(endpoints(&importer.inventory()), Vec::<String>::new());
}

/// What the platform sets itself shows as deleted.
#[test]
fn read_only_settings_do_not_go() {
    let nic = |address: Option<&str>| {
        let mut one = json!({ "name": "i", "properties": { "subnet": { "id": format!("{START}/virtualNetworks/v/subnets/a") } } });
        if let Some(address) = address {
            one["properties"]["privateIPAddress"] = json!(address);
        }
        json!({ "properties": { "ipConfigurations": [one] } })
    };
    let importer = what_if(&json!([change(
        "Modify",
        "networkInterfaces/n",
        &nic(Some("10.0.0.4")),
        &nic(None)
    )]));
    let address = importer.inventory().nics[0].configurations[0].address;
    assert_eq!(address.unwrap().to_string(), "10.0.0.4");
}

#[test]
fn change_stands_above_other_files() {
    let mut importer = what_if(&json!([
        change("Delete", "virtualNetworks/old", &Value::Null, &Value::Null),
        change(
            "Create",
            "virtualNetworks/v",
            &Value::Null,
            &vnet(&subnet(&["Microsoft.Web"], &Value::Null))
        ),
    ]));
    let old = json!({ "id": format!("{START}/virtualNetworks/old"), "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] },
        "subnets": [ { "name": "x", "addressPrefix": "10.9.0.0/24" } ] });
    importer.read("now.json", old.to_string().as_bytes()).unwrap();
    let (before, after) = (importer.before(), importer.inventory());
    assert_eq!(before.vnets.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["old"]);
    assert_eq!(after.vnets.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["v"]);
    assert_eq!(after.subnets.len(), 1);
}

#[test]
fn what_was_not_judged_is_said() {
    let importer = what_if(&json!([
        { "changeType": "Unsupported", "resourceId": "[resourceId('x')]", "unsupportedReason": "run time" },
        { "changeType": "Later", "resourceId": format!("{START}/virtualNetworks/v") },
        { "changeType": "Modify", "resourceId": format!("{START}/virtualNetworks/w"), "delta": [
            { "path": "properties.subnets", "propertyChangeType": "Array", "children": [ { "path": "0" } ] },
            { "path": "properties.addressSpace", "propertyChangeType": "Array", "children": [] } ] },
        { "changeType": "Modify", "resourceId": format!("{START}/routeTables/t"), "delta": [
            { "path": "properties.disableBgpRoutePropagation", "before": false, "after": true } ] },
    ]));
    let open: Vec<_> = importer
        .inventory()
        .unresolved
        .iter()
        .map(|one| format!("{}: {}", one.place.path, one.why))
        .collect();
    assert_eq!(
        open,
        [
            "changes[0]: [resourceId('x')]: run time",
            "changes[1]: the change type later is not known",
            "changes[2].delta[1]: a part of properties.addressSpace changes, and the whole is not said",
            "diagnostics[0]: NestedDeploymentShortCircuited: skipped",
        ]
    );
    assert_eq!(importer.inventory().assumptions[0].code, "modules-not-expanded");
}
