//! Terraform plans and states: unknown ids, attributes of five major versions, modules.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use serde_json::{Value, json};
use vnetem_azure::import::{Importer, Inventory, Link, RouteTarget};

/// A plan of these resources, each `(address, values, unknown)`, with this configuration.
fn plan(resources: &[(&str, Value, Value)], configuration: &Value) -> Importer {
    let split = |address: &str| {
        let address = address.split('[').next().unwrap().to_owned();
        let mut words: Vec<_> = address.split('.').map(str::to_owned).collect();
        let name = words.pop().unwrap();
        (words.pop().unwrap(), name)
    };
    let mut root = Vec::new();
    let mut changes = Vec::new();
    for (address, values, unknown) in resources {
        let (kind, name) = split(address);
        let mut resource = json!({ "address": address, "mode": "managed", "type": kind, "name": name, "values": values });
        let mut change = json!({ "address": address, "mode": "managed", "type": kind, "name": name,
            "change": { "actions": ["create"], "before": null, "after": values, "after_unknown": unknown } });
        if let Some((_, key)) = address.split_once('[') {
            let key: Value = serde_json::from_str(key.trim_end_matches(']')).unwrap();
            resource["index"] = key.clone();
            change["index"] = key;
        }
        root.push(resource);
        changes.push(change);
    }
    let text = json!({ "format_version": "1.2", "terraform_version": "1.9.4",
        "planned_values": { "root_module": { "resources": root } }, "resource_changes": changes,
        "configuration": { "root_module": configuration } });
    importer(&text)
}

fn importer(text: &Value) -> Importer {
    let mut importer = Importer::new();
    importer.read("plan.json", text.to_string().as_bytes()).unwrap();
    importer
}

fn subnet_json(inventory: &Inventory, name: &str) -> Value {
    let json = serde_json::to_value(inventory.model()).unwrap();
    let subnets = json["subnets"].as_array().unwrap();
    subnets.iter().find(|subnet| subnet["name"] == name).cloned().unwrap()
}

fn expressions(address: &str, expressions: &Value) -> Value {
    let (kind, name) = address.split_once('.').unwrap();
    json!({ "address": address, "mode": "managed", "type": kind, "name": name, "expressions": expressions })
}

fn refers(to: &str) -> Value {
    let start = to.rsplit_once('.').map_or(to, |(start, _)| start);
    json!({ "references": [to, start] })
}

#[test]
fn unknown_ids_are_followed() {
    let importer = plan(
        &[
            (
                "azurerm_virtual_network.v",
                json!({ "name": "v", "resource_group_name": "g", "address_space": ["10.0.0.0/16"] }),
                json!({ "id": true, "subnet": true, "address_space": [false] }),
            ),
            (
                "azurerm_subnet.a",
                json!({ "name": "a", "resource_group_name": "g", "virtual_network_name": "v", "address_prefixes": ["10.0.0.0/24"] }),
                json!({ "id": true, "address_prefixes": [false] }),
            ),
            (
                "azurerm_route_table.t",
                json!({ "name": "t", "resource_group_name": "g" }),
                json!({ "id": true, "route": true }),
            ),
            (
                "azurerm_route.r",
                json!({ "name": "r", "route_table_name": "t", "resource_group_name": "g", "address_prefix": "0.0.0.0/0",
                "next_hop_type": "VirtualAppliance" }),
                json!({ "id": true, "next_hop_in_ip_address": true }),
            ),
            (
                "azurerm_subnet_route_table_association.x",
                json!({}),
                json!({ "id": true, "subnet_id": true, "route_table_id": true }),
            ),
            (
                "azurerm_network_interface.n",
                json!({ "name": "n", "ip_configuration": [ { "name": "i" } ] }),
                json!({ "id": true, "ip_configuration": [ { "subnet_id": true, "private_ip_address": true, "public_ip_address_id": true } ] }),
            ),
        ],
        &json!({ "resources": [
            expressions("azurerm_virtual_network.v", &json!({ "name": {}, "address_space": {} })),
            expressions("azurerm_subnet.a", &json!({ "virtual_network_name": refers("azurerm_virtual_network.v.name"), "address_prefixes": {} })),
            expressions("azurerm_route_table.t", &json!({ "name": {} })),
            expressions("azurerm_route.r", &json!({ "route_table_name": refers("azurerm_route_table.t.name"),
                "next_hop_in_ip_address": { "references": ["azurerm_firewall.f.ip_configuration[0].private_ip_address", "azurerm_firewall.f"] } })),
            expressions("azurerm_subnet_route_table_association.x", &json!({ "subnet_id": refers("azurerm_subnet.a.id"), "route_table_id": refers("azurerm_route_table.t.id") })),
            expressions("azurerm_network_interface.n", &json!({ "ip_configuration": [ { "subnet_id": refers("azurerm_subnet.a.id") } ] })),
            // Count 0: in the configuration, and no planned instance.
            expressions("azurerm_subnet_nat_gateway_association.none", &json!({ "subnet_id": refers("azurerm_subnet.a.id") })),
        ] }),
    );
    let inventory = importer.inventory();
    assert_eq!(subnet_json(&inventory, "v/a")["route_table"], "t");
    let [route] = &inventory.route_tables[0].routes[..] else { panic!() };
    assert_eq!(route.next_hop, RouteTarget::VirtualAppliance(vec![]));
    assert_eq!(inventory.subnets[0].nat_gateway, Link::None);
    assert_eq!(
        inventory.nics[0].configurations[0].subnet,
        Link::To(inventory.subnets[0].id.clone())
    );
    assert_eq!(inventory.nics[0].configurations[0].public, Link::None);
    let open: Vec<_> = inventory.unresolved.iter().map(ToString::to_string).collect();
    assert_eq!(
        open,
        ["plan.json: azurerm_route.r.next_hop_in_ip_address: known after apply: it comes from \
          azurerm_firewall.f.ip_configuration[0].private_ip_address, azurerm_firewall.f"]
    );
}

#[test]
fn modules_are_followed_up_and_down() {
    let vnet = |name: &str| json!({ "name": "net", "resource_group_name": name, "address_space": ["10.0.0.0/16"] });
    let text = json!({ "format_version": "1.2",
        "planned_values": { "root_module": {
            "resources": [ { "address": "azurerm_network_interface.n", "type": "azurerm_network_interface", "name": "n",
                "values": { "name": "n", "ip_configuration": [ { "name": "i" } ] } } ],
            "child_modules": [
                { "address": "module.server[\"North Europe\"]", "resources": [
                    { "address": "module.server[\"North Europe\"].azurerm_virtual_network.v", "type": "azurerm_virtual_network", "name": "v", "values": vnet("g") } ],
                  "child_modules": [ { "address": "module.server[\"North Europe\"].module.sub", "resources": [
                    { "address": "module.server[\"North Europe\"].module.sub.azurerm_subnet.s", "type": "azurerm_subnet", "name": "s",
                      "values": { "name": "s", "virtual_network_name": "net", "resource_group_name": "g", "address_prefixes": ["10.0.0.0/24"] } } ] } ] },
                { "address": "module.server[\"West.US\"]", "resources": [
                    { "address": "module.server[\"West.US\"].azurerm_virtual_network.v", "type": "azurerm_virtual_network", "name": "v", "values": vnet("g") } ] }
            ] } },
        "resource_changes": [ { "address": "azurerm_network_interface.n", "type": "azurerm_network_interface", "name": "n",
            "change": { "actions": ["create"], "after": {}, "after_unknown": { "ip_configuration": [ { "subnet_id": true } ] } } } ],
        "configuration": { "root_module": {
            "resources": [ expressions("azurerm_network_interface.n", &json!({ "ip_configuration": [ { "subnet_id":
                { "references": ["module.server[\"North Europe\"].subnet_id", "module.server[\"North Europe\"]"] } } ] })) ],
            "module_calls": { "server": { "module": {
                "outputs": { "subnet_id": { "expression": { "references": ["module.sub.id", "module.sub"] } } },
                "resources": [ expressions("azurerm_virtual_network.v", &json!({})) ],
                "module_calls": { "sub": {
                    "expressions": { "vnet": { "references": ["azurerm_virtual_network.v.name", "azurerm_virtual_network.v"] } },
                    "module": {
                        "outputs": { "id": { "expression": { "references": ["azurerm_subnet.s.id", "azurerm_subnet.s"] } } },
                        "resources": [ expressions("azurerm_subnet.s", &json!({ "virtual_network_name": { "references": ["var.vnet"] } })) ] } } } } } } } } });
    let inventory = importer(&text).inventory();
    assert_eq!(inventory.unresolved, []);
    let names = inventory.names();
    // Two networks of one name and group: the module tells them apart.
    let vnets: Vec<_> = inventory.vnets.iter().map(|vnet| names.of(&vnet.id)).collect();
    assert_eq!(
        vnets,
        [
            "module.server[\"North Europe\"].azurerm_virtual_network.v",
            "module.server[\"West.US\"].azurerm_virtual_network.v"
        ]
    );
    assert_eq!(inventory.subnets[0].vnet, Link::To(inventory.vnets[0].id.clone()));
    assert_eq!(
        inventory.nics[0].configurations[0].subnet,
        Link::To(inventory.subnets[0].id.clone())
    );
}

#[test]
fn keys_pair_instances() {
    let subnet = |key: &str, range: &str| json!({ "name": key, "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": [range] });
    let open = || json!({ "id": true });
    let link = || json!({ "id": true, "subnet_id": true });
    let table = |name: &str| json!({ "route_table_id": format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/routeTables/{name}") });
    let importer = plan(
        &[
            ("azurerm_subnet.s[\"a\"]", subnet("a", "10.0.0.0/24"), open()),
            ("azurerm_subnet.s[\"b\"]", subnet("b", "10.0.1.0/24"), open()),
            ("azurerm_subnet_route_table_association.x[\"a\"]", table("ta"), link()),
            ("azurerm_subnet_route_table_association.x[\"b\"]", table("tb"), link()),
        ],
        &json!({ "resources": [
            expressions("azurerm_subnet.s", &json!({})),
            expressions("azurerm_subnet_route_table_association.x", &json!({ "subnet_id": { "references": ["azurerm_subnet.s", "each.key"] }, "route_table_id": {} })),
        ] }),
    );
    let inventory = importer.inventory();
    assert_eq!(subnet_json(&inventory, "v/a")["route_table"], "ta");
    assert_eq!(subnet_json(&inventory, "v/b")["route_table"], "tb");
}

/// One network in the attributes of each major version of the provider.
#[test]
fn provider_versions_mean_the_same() {
    let two = json!({ "name": "a", "virtual_network_name": "v", "resource_group_name": "g", "address_prefix": "10.0.0.0/24",
        "address_prefixes": [], "service_endpoints": ["Microsoft.Storage", "Microsoft.Sql"], "enforce_private_link_endpoint_network_policies": true });
    let four = json!({ "name": "a", "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": ["10.0.0.0/24"],
        "service_endpoints": ["Microsoft.Sql", "Microsoft.Storage"], "private_endpoint_network_policies": "Disabled" });
    let five = json!({ "name": "a", "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": ["10.0.0.0/24"],
        "service_endpoint": [ { "service": "Microsoft.Sql", "network_identifier": "" }, { "service": "Microsoft.Storage" } ],
        "private_endpoint_network_policies": "Disabled" });
    let nic = |name: &str| json!({ "name": "n", name: true, "ip_configuration": [] });
    let table = |name: &str, on: bool| {
        json!({ "name": "t", name: on, "route": [ { "name": "r", "address_prefix": "0.0.0.0/0",
        "next_hop_type": "VirtualAppliance", "next_hop_in_ip_address": "10.0.9.4" } ] })
    };
    let models: Vec<Value> = [
        (two, nic("enable_ip_forwarding"), table("disable_bgp_route_propagation", true)),
        (four, nic("ip_forwarding_enabled"), table("bgp_route_propagation_enabled", false)),
        (five, nic("ip_forwarding_enabled"), table("bgp_route_propagation_enabled", false)),
    ]
    .into_iter()
    .map(|(subnet, nic, table)| {
        let vnet =
            json!({ "name": "v", "resource_group_name": "g", "address_space": ["10.0.0.0/16"] });
        let importer = plan(
            &[
                ("azurerm_virtual_network.v", vnet, json!({})),
                ("azurerm_subnet.a", subnet, json!({})),
                ("azurerm_network_interface.n", nic, json!({})),
                ("azurerm_route_table.t", table, json!({})),
            ],
            &Value::Null,
        );
        let inventory = importer.inventory();
        assert_eq!(inventory.unresolved, []);
        assert_eq!(inventory.subnets[0].private_endpoint_policies, "Disabled");
        serde_json::to_value(inventory.model()).unwrap()
    })
    .collect();
    assert_eq!(models[0]["subnets"][0]["endpoints"], json!(["Microsoft.Sql", "Microsoft.Storage"]));
    assert_eq!(models[0]["route_tables"][0]["bgp_propagation"], false);
    assert_eq!(models[0]["nics"], json!([]));
    assert_eq!(models[0], models[1]);
    assert_eq!(models[1], models[2]);
}

/// The network repeats standalone subnets in `subnet`, and shows what they were.
#[test]
fn mirror_of_subnets_is_not_read() {
    let vnet = json!({ "name": "v", "resource_group_name": "g", "address_space": ["10.0.0.0/16"],
        "subnet": [ { "name": "a", "address_prefixes": ["10.0.0.0/24"], "service_endpoints": ["Microsoft.Sql"] } ] });
    let subnet = json!({ "name": "a", "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": ["10.0.0.0/24"], "service_endpoints": ["Microsoft.Storage"] });
    let with = |configuration: &Value| {
        plan(
            &[
                ("azurerm_virtual_network.v", vnet.clone(), json!({})),
                ("azurerm_subnet.a", subnet.clone(), json!({})),
            ],
            configuration,
        )
        .inventory()
    };
    let configured = json!({ "resources": [ expressions("azurerm_virtual_network.v", &json!({})), expressions("azurerm_subnet.a", &json!({})) ] });
    for configuration in [Value::Null, configured] {
        let inventory = with(&configuration);
        assert_eq!(inventory.subnets.len(), 1);
        assert_eq!(subnet_json(&inventory, "v/a")["endpoints"], json!(["Microsoft.Storage"]));
    }
    // Without standalone ones they are the subnets.
    let inline =
        plan(&[("azurerm_virtual_network.v", vnet.clone(), json!({}))], &Value::Null).inventory();
    assert_eq!(subnet_json(&inline, "v/a")["endpoints"], json!(["Microsoft.Sql"]));
}

/// Unknown means computed or not set, not that something is there.
#[test]
fn unknown_blocks_are_not_set() {
    let account =
        json!({ "name": "st", "resource_group_name": "g", "public_network_access_enabled": true });
    let unknown = json!({ "id": true, "network_rules": true });
    let not_set = plan(
        &[("azurerm_storage_account.s", account.clone(), unknown.clone())],
        &json!({ "resources": [ expressions("azurerm_storage_account.s", &json!({ "name": {} })) ] }),
    );
    assert_eq!(not_set.inventory().unresolved, []);
    assert_eq!(
        serde_json::to_value(not_set.inventory().model()).unwrap()["resources"][0]["default"],
        "allow"
    );
    let set = plan(
        &[("azurerm_storage_account.s", account, unknown)],
        &json!({ "resources": [ expressions("azurerm_storage_account.s", &json!({ "network_rules": { "references": ["local.rules"] } })) ] }),
    );
    assert!(
        serde_json::to_value(set.inventory().model()).unwrap()["resources"][0]["default"].is_null()
    );
    assert_eq!(set.inventory().unresolved[0].place.path, "azurerm_storage_account.s.network_rules");
}

#[test]
fn rules_of_an_account_stand_apart() {
    let importer = plan(
        &[
            (
                "azurerm_storage_account_network_rules.r",
                json!({ "default_action": "Deny", "ip_rules": ["1.2.3.4"], "bypass": ["None"] }),
                json!({ "id": true, "storage_account_id": true, "virtual_network_subnet_ids": true }),
            ),
            (
                "azurerm_storage_account.s",
                json!({ "name": "st", "resource_group_name": "g" }),
                json!({ "id": true }),
            ),
            (
                "azurerm_subnet.a[0]",
                json!({ "name": "a0", "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": ["10.0.0.0/24"] }),
                json!({ "id": true }),
            ),
            (
                "azurerm_subnet.a[1]",
                json!({ "name": "a1", "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": ["10.0.1.0/24"] }),
                json!({ "id": true }),
            ),
        ],
        &json!({ "resources": [
            expressions("azurerm_storage_account_network_rules.r", &json!({ "storage_account_id": refers("azurerm_storage_account.s.id"),
                "virtual_network_subnet_ids": { "references": ["azurerm_subnet.a"] } })),
            expressions("azurerm_storage_account.s", &json!({})),
            expressions("azurerm_subnet.a", &json!({})),
        ] }),
    );
    let json = serde_json::to_value(importer.inventory().model()).unwrap();
    assert_eq!(json["resources"].as_array().unwrap().len(), 1);
    assert_eq!(json["resources"][0]["subnet_rules"], json!(["v/a0", "v/a1"]));
    assert_eq!(json["resources"][0]["default"], "deny");
}

#[test]
fn state_files_hold_the_same_attributes() {
    let attributes = json!({ "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v", "name": "v", "address_space": ["10.0.0.0/16"] });
    let raw = json!({ "version": 4, "terraform_version": "1.5.0", "resources": [ { "mode": "managed", "type": "azurerm_virtual_network", "name": "v",
        "module": "module.m", "instances": [ { "index_key": "k", "attributes": attributes } ] } ] });
    let shown = json!({ "format_version": "1.0", "terraform_version": "1.5.0", "values": { "root_module": { "child_modules": [ { "address": "module.m",
        "resources": [ { "address": "module.m.azurerm_virtual_network.v[\"k\"]", "mode": "managed", "type": "azurerm_virtual_network", "name": "v", "index": "k", "values": attributes } ] } ] } } });
    let models = [raw, shown].map(|text| importer(&text).inventory());
    assert_eq!(models[0], models[1]);
    assert_eq!(models[0].vnets[0].place.path, "module.m.azurerm_virtual_network.v[\"k\"]");
    assert!(
        !importer(&json!({ "version": 4, "terraform_version": "1.5.0", "resources": [] }))
            .has_change()
    );
}

#[test]
fn plan_holds_before_and_after() {
    let values = |endpoints: Value| {
        json!({ "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/a",
        "name": "a", "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": ["10.0.0.0/24"], "service_endpoints": endpoints })
    };
    let change = |name: &str, before: Value, after: Value| {
        json!({ "address": format!("azurerm_subnet.{name}"), "type": "azurerm_subnet", "name": name,
        "change": { "before": before, "after": after } })
    };
    let text = json!({ "format_version": "1.2", "resource_changes": [
        change("a", values(json!([])), values(json!(["Microsoft.Storage"]))),
        change("gone", json!({ "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/gone",
            "name": "gone", "virtual_network_name": "v", "address_prefixes": ["10.0.1.0/24"] }), Value::Null) ] });
    let importer = importer(&text);
    assert!(importer.has_change());
    assert_eq!(importer.before().subnets.len(), 2);
    assert_eq!(subnet_json(&importer.before(), "v/a")["endpoints"], json!([]));
    assert_eq!(importer.inventory().subnets.len(), 1);
    assert_eq!(
        subnet_json(&importer.inventory(), "v/a")["endpoints"],
        json!(["Microsoft.Storage"])
    );
}

/// Version 1 of the provider keeps the body as text, version 2 as an object.
#[test]
fn azapi_bodies_are_read() {
    let body = json!({ "properties": { "addressPrefix": "10.0.0.0/24", "serviceEndpoints": [ { "service": "Microsoft.Storage" } ] } });
    let start = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
    let models = [body.clone(), Value::String(body.to_string())].map(|body| {
        let values = json!({ "type": "Microsoft.Network/virtualNetworks/subnets@2024-07-01", "name": "a", "parent_id": start, "body": body });
        let importer = plan(&[("azapi_resource.s", values, json!({ "id": true, "output": true }))], &Value::Null);
        serde_json::to_value(importer.inventory().model()).unwrap()
    });
    assert_eq!(models[0]["subnets"][0]["name"], "v/a");
    assert_eq!(models[0]["subnets"][0]["endpoints"], json!(["Microsoft.Storage"]));
    assert_eq!(models[0], models[1]);
}

#[test]
fn pool_gives_ranges_at_run_time() {
    let importer = plan(
        &[(
            "azurerm_virtual_network.v",
            json!({ "name": "v", "resource_group_name": "g", "address_space": [], "ip_address_pool": [ { "id": "p" } ] }),
            json!({}),
        )],
        &Value::Null,
    );
    let inventory = importer.inventory();
    assert_eq!(
        inventory.unresolved[0].to_string(),
        "plan.json: azurerm_virtual_network.v.address_space: an IPAM pool gives it at run time"
    );
    assert_eq!(inventory.vnets.len(), 1);
}

#[test]
fn references_without_end_are_given_up() {
    let call = |name: &str, to: &str| {
        json!({ "expressions": { "x": { "references": [to] } }, "module": {
        "outputs": { "o": { "expression": { "references": ["var.x"] } } }, "resources": [] , "name": name } })
    };
    let importer = plan(
        &[(
            "azurerm_network_interface.n",
            json!({ "name": "n", "ip_configuration": [ { "name": "i" } ] }),
            json!({ "ip_configuration": [ { "subnet_id": true } ] }),
        )],
        &json!({ "resources": [ expressions("azurerm_network_interface.n", &json!({ "ip_configuration": [ { "subnet_id": { "references": ["module.a.o", "module.b.o"] } } ] })) ],
            "module_calls": { "a": call("a", "module.b.o"), "b": call("b", "module.a.o") } }),
    );
    assert_eq!(importer.inventory().nics[0].configurations[0].subnet, Link::Unresolved);
}

/// Version 2 names the account and the server; later ones hold their ids.
#[test]
fn rules_find_their_owner_by_name() {
    let importer = plan(
        &[
            (
                "azurerm_storage_account.s",
                json!({ "name": "st", "resource_group_name": "g" }),
                json!({ "id": true }),
            ),
            (
                "azurerm_storage_account_network_rules.r",
                json!({ "storage_account_name": "ST", "resource_group_name": "G", "default_action": "Deny" }),
                json!({ "id": true }),
            ),
            (
                "azurerm_sql_server.d",
                json!({ "name": "db", "resource_group_name": "g" }),
                json!({ "id": true }),
            ),
            (
                "azurerm_sql_firewall_rule.f",
                json!({ "name": "f", "server_name": "db", "resource_group_name": "g", "start_ip_address": "1.1.1.1", "end_ip_address": "1.1.1.1" }),
                json!({ "id": true }),
            ),
            (
                "azurerm_mssql_server.m",
                json!({ "name": "ms", "resource_group_name": "g" }),
                json!({ "id": true }),
            ),
            (
                "azurerm_mssql_virtual_network_rule.v",
                json!({ "name": "v", "server_id": "terraform:azurerm_mssql_server.m", "subnet_id": "/x/subnets/a" }),
                json!({ "id": true }),
            ),
        ],
        &Value::Null,
    );
    let inventory = importer.inventory();
    assert_eq!(inventory.unresolved, []);
    let json = serde_json::to_value(inventory.model()).unwrap();
    let resources = json["resources"].as_array().unwrap();
    assert_eq!(resources.len(), 3);
    assert_eq!((&resources[0]["name"], &resources[0]["default"]), (&json!("st"), &json!("deny")));
    assert_eq!(resources[1]["ip_rules"], json!(["1.1.1.1"]));
    assert_eq!(resources[2]["subnet_rules"], json!(["a"]));
}

/// A data source has the id and the ranges of what is there, and not the rules.
#[test]
fn data_sources_are_read() {
    let start = "/subscriptions/s/resourceGroups/g/providers";
    let data = |kind: &str, values: &Value| json!({ "address": format!("data.{kind}.x"), "mode": "data", "type": kind, "name": "x", "values": values });
    let text = json!({ "format_version": "1.2",
        "prior_state": { "values": { "root_module": { "resources": [
            data("azurerm_virtual_network", &json!({ "id": format!("{start}/Microsoft.Network/virtualNetworks/hub"), "name": "hub", "address_space": ["10.0.0.0/16"], "subnets": ["a"] })),
            data("azurerm_storage_account", &json!({ "id": format!("{start}/Microsoft.Storage/storageAccounts/st"), "name": "st" })),
        ] } } },
        "planned_values": { "root_module": { "resources": [ { "address": "azurerm_subnet.s", "mode": "managed", "type": "azurerm_subnet", "name": "s",
            "values": { "name": "s", "virtual_network_name": "hub", "resource_group_name": "g", "address_prefixes": ["10.0.1.0/24"] } } ] } },
        "resource_changes": [ { "address": "azurerm_subnet.s", "type": "azurerm_subnet", "name": "s", "change": { "after": {}, "after_unknown": { "id": true } } } ],
        "configuration": { "root_module": { "resources": [ expressions("azurerm_subnet.s", &json!({ "virtual_network_name": refers("data.azurerm_virtual_network.x.name") })) ] } } });
    let inventory = importer(&text).inventory();
    assert_eq!(inventory.subnets[0].vnet, Link::To(inventory.vnets[0].id.clone()));
    let open: Vec<_> = inventory.unresolved.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(open, ["a data source does not say its rules"]);
    assert!(serde_json::to_value(inventory.model()).unwrap()["resources"][0]["default"].is_null());
}

/// Pools and groups are joined by resources of their own.
#[test]
fn interfaces_join_pools_and_groups() {
    let importer = plan(
        &[
            (
                "azurerm_network_interface.n",
                json!({ "name": "n", "ip_configuration": [ { "name": "i" }, { "name": "j" } ] }),
                json!({ "id": true }),
            ),
            ("azurerm_lb.b", json!({ "name": "b" }), json!({ "id": true })),
            (
                "azurerm_lb_backend_address_pool.p",
                json!({ "name": "p" }),
                json!({ "id": true, "loadbalancer_id": true }),
            ),
            (
                "azurerm_network_interface_backend_address_pool_association.x",
                json!({ "ip_configuration_name": "j" }),
                json!({ "network_interface_id": true, "backend_address_pool_id": true }),
            ),
            (
                "azurerm_network_interface_application_security_group_association.y",
                json!({ "application_security_group_id": "/g" }),
                json!({ "network_interface_id": true }),
            ),
        ],
        &json!({ "resources": [
            expressions("azurerm_network_interface.n", &json!({})),
            expressions("azurerm_lb.b", &json!({})),
            expressions("azurerm_lb_backend_address_pool.p", &json!({ "loadbalancer_id": refers("azurerm_lb.b.id") })),
            expressions("azurerm_network_interface_backend_address_pool_association.x", &json!({
                "network_interface_id": refers("azurerm_network_interface.n.id"), "backend_address_pool_id": refers("azurerm_lb_backend_address_pool.p.id") })),
            expressions("azurerm_network_interface_application_security_group_association.y", &json!({ "network_interface_id": refers("azurerm_network_interface.n.id") })),
        ] }),
    );
    let inventory = importer.inventory();
    assert_eq!(inventory.unresolved, []);
    let [first, second] = &inventory.nics[0].configurations[..] else { panic!() };
    assert_eq!(first.backend_pools, []);
    assert_eq!(second.backend_pools, [Link::To(inventory.load_balancers[0].pools[0].clone())]);
    assert_eq!((first.application_groups.len(), second.application_groups.len()), (1, 1));
}
