//! Several files together: merged by id without regard to case, and contradictions said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use vnetem_azure::import::{DefaultAction, Importer, Inventory, Link};

const START: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

fn all(files: &[&str]) -> Inventory {
    let mut importer = Importer::new();
    for (place, file) in files.iter().enumerate() {
        importer.read(&format!("{place}.json"), file.as_bytes()).unwrap();
    }
    importer.inventory()
}

fn vnet(name: &str, range: &str, more: &str) -> String {
    format!(
        r#"{{ "id": "{START}/virtualNetworks/{name}", "addressSpace": {{ "addressPrefixes": ["{range}"] }} {more} }}"#
    )
}

#[test]
fn ids_merge_without_regard_to_case() {
    let network = vnet(
        "V",
        "10.0.0.0/16",
        r#", "subnets": [ { "name": "A", "addressPrefix": "10.0.0.0/24" } ]"#,
    );
    let subnet = format!(
        r#"{{ "id": "{}/VIRTUALNETWORKS/v/SUBNETS/a", "routeTable": {{ "id": "{START}/routeTables/RT" }} }}"#,
        START.to_uppercase()
    );
    for files in [[network.as_str(), &subnet], [&subnet, &network]] {
        let inventory = all(&files);
        assert_eq!(inventory.subnets.len(), 1);
        assert_eq!(inventory.subnets[0].prefixes, ["10.0.0.0/24".parse().unwrap()]);
        assert_eq!(inventory.names().linked(&inventory.subnets[0].route_table).unwrap(), "RT");
        assert_eq!(inventory.unresolved, []);
    }
}

#[test]
fn links_are_taken_from_either_side() {
    let network = vnet(
        "v",
        "10.0.0.0/16",
        r#", "subnets": [ { "name": "a", "addressPrefix": "10.0.0.0/24" } ]"#,
    );
    let back = format!(r#""subnets": [ {{ "id": "{START}/virtualNetworks/V/subnets/A" }} ]"#);
    let of = |kind: &str| format!(r#"{{ "id": "{START}/{kind}/x", {back} }}"#);
    let inventory = all(&[
        &network,
        &of("routeTables"),
        &of("natGateways"),
        &of("networkSecurityGroups"),
        &of("serviceEndpointPolicies"),
        &format!(
            r#"{{ "id": "{START}/publicIPAddresses/p", "ipAddress": "52.1.2.3",
                  "natGateway": {{ "id": "{START}/natGateways/X" }} }}"#
        ),
    ]);
    let subnet = &inventory.subnets[0];
    for link in
        [&subnet.route_table, &subnet.nat_gateway, &subnet.security_group, &subnet.policies[0]]
    {
        assert!(matches!(link, Link::To(id) if id.name() == "x"), "{link:?}");
    }
    assert_eq!(inventory.outbound_of(subnet), ("nat-gateway", vec!["52.1.2.3".to_owned()]));
}

#[test]
fn references_with_nulls_define_nothing() {
    // `az` prints all fields of what it only refers to.
    let policy = format!(
        r#"{{ "id": "{START}/serviceEndpointPolicies/p", "serviceEndpointPolicyDefinitions": [],
              "subnets": [ {{ "id": "{START}/virtualNetworks/v/subnets/a", "addressPrefix": null, "name": null }} ] }}"#
    );
    let inventory = all(&[&policy]);
    assert_eq!(inventory.subnets, []);
    assert_eq!(inventory.unresolved, []);
}

#[test]
fn subnet_without_range_is_unresolved() {
    let inventory = all(&[&vnet(
        "v",
        "10.0.0.0/16",
        r#", "subnets": [ { "name": "subnet0" }, { "name": "b", "addressPrefix": "10.0.1.0/24" } ]"#,
    )]);
    assert_eq!(inventory.unresolved[0].place.path, "subnets[0].addressPrefix");
    assert_eq!(inventory.unresolved[0].why, "the file does not say the subnet's range");
    assert_eq!(inventory.subnets.len(), 2);
}

#[test]
fn contradictions_name_both_places() {
    let one = vnet(
        "v",
        "10.0.0.0/16",
        r#", "subnets": [ { "name": "a", "addressPrefix": "10.0.0.0/24" } ]"#,
    );
    let other = vnet(
        "v",
        "10.0.0.0/16",
        r#", "subnets": [ { "name": "a", "addressPrefix": "10.0.2.0/24" } ]"#,
    );
    let inventory = all(&[&one, &other]);
    let found = &inventory.contradictions[0];
    assert_eq!(found.what, "a is 10.0.0.0/24 and 10.0.2.0/24");
    assert_eq!((&*found.first.file, &*found.second.file), ("0.json", "1.json"));

    let overlap = vnet(
        "v",
        "10.0.0.0/16",
        r#", "subnets": [ { "name": "a", "addressPrefix": "10.0.0.0/23" }, { "name": "b", "addressPrefix": "10.0.0.0/25" },
             { "name": "c", "addressPrefix": "10.0.1.0/24" }, { "name": "d", "addressPrefix": "10.1.0.0/24" } ]"#,
    );
    let said: Vec<_> = all(&[&overlap]).contradictions.into_iter().map(|one| one.what).collect();
    assert_eq!(
        said,
        [
            "the ranges of the subnets a (10.0.0.0/23) and b (10.0.0.0/25) overlap",
            "the ranges of the subnets a (10.0.0.0/23) and c (10.0.1.0/24) overlap",
            "the range 10.1.0.0/24 of the subnet d is outside the network v",
        ]
    );
    assert_eq!(all(&[&one, &one]).contradictions, []);
}

#[test]
fn equal_names_stay_distinct() {
    let other = vnet("v", "10.0.0.0/16", "").replace("resourceGroups/g/", "resourceGroups/h/");
    let inventory = all(&[&vnet("v", "10.0.0.0/16", ""), &other]);
    let names = inventory.names();
    let names: Vec<_> = inventory.vnets.iter().map(|vnet| names.of(&vnet.id)).collect();
    assert_eq!(names, ["g/v", "h/v"]);
}

#[test]
fn regions_and_words_have_many_spellings() {
    let network = vnet(
        "v",
        "10.0.0.0/16",
        r#", "location": "East US 2", "subnets": [ { "name": "a", "properties": { "addressPrefix": "10.0.0.0/24",
            "serviceEndpoints": [ { "service": "microsoft.storage", "locations": ["eastus2(stage)", "West US"] },
                { "service": "Microsoft.Storage" } ] } } ]"#,
    );
    let inventory = all(&[&network]);
    assert_eq!(inventory.vnets[0].region, "eastus2");
    let [endpoint] = &inventory.subnets[0].endpoints[..] else { panic!() };
    assert_eq!(endpoint.service, "Microsoft.Storage");
    assert_eq!(endpoint.locations, ["eastus2(stage)", "westus"]);
}

/// Five spellings of a rule's subnet, and three of an address.
#[test]
fn rules_of_every_spelling_are_read() {
    let subnet = format!("{START}/virtualNetworks/v/subnets/a");
    let id = |kind: &str| format!("/subscriptions/s/resourceGroups/g/providers/{kind}");
    let resources = [
        format!(
            r#"{{ "id": "{}", "properties": {{ "networkAcls": {{ "defaultAction": "Deny", "bypass": "Logging, Metrics",
                "virtualNetworkRules": [ {{ "id": "{subnet}", "action": "Allow", "state": "NetworkSourceDeleted" }} ],
                "ipRules": [ {{ "value": "1.2.3.4", "action": "Allow" }} ] }} }} }}"#,
            id("Microsoft.Storage/storageAccounts/one")
        ),
        format!(
            r#"{{ "id": "{}", "networkRuleSet": {{ "defaultAction": "Deny", "bypass": "None",
                "virtualNetworkRules": [ {{ "virtualNetworkResourceId": "{subnet}" }} ],
                "ipRules": [ {{ "ipAddressOrRange": "1.2.3.0/24" }} ] }} }}"#,
            id("Microsoft.Storage/storageAccounts/two")
        ),
        format!(
            r#"{{ "id": "{}/networkRuleSets/default", "properties": {{ "defaultAction": "Deny",
                "virtualNetworkRules": [ {{ "subnet": {{ "id": "{subnet}" }}, "ignoreMissingVnetServiceEndpoint": true }} ],
                "ipRules": [ {{ "ipMask": "1.2.3.4" }} ] }} }}"#,
            id("Microsoft.EventHub/namespaces/three")
        ),
        format!(
            r#"{{ "id": "{}/virtualNetworkRules/r", "properties": {{ "virtualNetworkSubnetId": "{subnet}" }} }}"#,
            id("Microsoft.Sql/servers/four")
        ),
        format!(
            r#"{{ "id": "{}", "properties": {{ "siteConfig": {{ "ipSecurityRestrictions": [
                {{ "vnetSubnetResourceId": "{subnet}", "action": "Allow", "priority": 100 }},
                {{ "ipAddress": "1.2.3.4/32", "action": "Deny", "priority": 50 }} ] }} }} }}"#,
            id("Microsoft.Web/sites/five")
        ),
        format!(
            r#"{{ "id": "{}", "ipRangeFilter": "1.2.3.4,1.2.4.0/24", "isVirtualNetworkFilterEnabled": true,
                "virtualNetworkRules": [ {{ "id": "{subnet}" }} ] }}"#,
            id("Microsoft.DocumentDB/databaseAccounts/six")
        ),
        format!(
            r#"{{ "id": "{}/firewallRules/all", "properties": {{ "startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0" }} }}"#,
            id("Microsoft.Sql/servers/four")
        ),
    ];
    let files: Vec<&str> = resources.iter().map(String::as_str).collect();
    let inventory = all(&files);
    assert_eq!(inventory.resources.len(), 6);
    for resource in &inventory.resources {
        assert_eq!(resource.default, DefaultAction::Deny, "{}", resource.name);
        let rule = &resource.subnet_rules[0];
        assert_eq!(rule.subnet.id().unwrap().as_str(), subnet, "{}", resource.name);
        assert_eq!(rule.ignore_missing_endpoint, resource.name == "three");
    }
    let of = |name: &str| inventory.resources.iter().find(|one| one.name == name).unwrap();
    assert_eq!(of("one").subnet_rules[0].state, "NetworkSourceDeleted");
    assert_eq!(of("one").bypass, ["Logging", "Metrics"]);
    assert_eq!(of("two").bypass, Vec::<String>::new());
    assert_eq!(of("two").ip_rules[0].to_string(), "1.2.3.0/24");
    assert!(of("four").ip_rules[0].is_azure_services());
    assert!(of("five").ip_rules[0].deny);
    assert_eq!(of("six").ip_rules.len(), 2);
    // A server that only its rules name is said to be missing.
    let whys: Vec<_> = inventory.unresolved.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(whys, ["no file has three, only rules of it", "no file has four, only rules of it"]);
}

#[test]
fn route_with_unknown_appliance_stays() {
    let table = format!(
        r#"{{ "id": "{START}/routeTables/t", "properties": {{ "disableBgpRoutePropagation": true, "routes": [
            {{ "name": "fw", "properties": {{ "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance" }} }},
            {{ "name": "tag", "properties": {{ "addressPrefix": "Storage.WestEurope", "nextHopType": "Internet" }} }},
            {{ "name": "six", "properties": {{ "addressPrefix": "::/0", "nextHopType": "Internet" }} }},
            {{ "name": "no", "properties": {{ "addressPrefix": "10.0.0.0/8", "nextHopType": "Teleport" }} }} ] }} }}"#
    );
    let inventory = all(&[&table]);
    let json = serde_json::to_value(inventory.model()).unwrap();
    let routes = &json["route_tables"][0]["routes"];
    assert_eq!(routes.as_array().unwrap().len(), 3);
    assert_eq!(routes[0]["next_hop"], "VirtualAppliance");
    assert!(routes[0]["address"].is_null());
    assert_eq!(routes[1]["prefix"], "Storage.WestEurope");
    assert!(!inventory.route_tables[0].bgp_propagation);
    let whys: Vec<_> = inventory.unresolved.iter().map(|one| one.to_string()).collect();
    assert_eq!(
        whys,
        [
            "0.json: properties.routes[0].properties.nextHopIpAddress: the file does not say the appliance's address",
            "0.json: properties.routes[3].properties.nextHopType: \"Teleport\" is not a known type of next hop",
        ]
    );
    assert_eq!(inventory.assumptions[0].code, "ipv6-is-passed-over");
}

#[test]
fn parts_without_a_whole_are_said() {
    let peering = format!(
        r#"{{ "id": "{START}/virtualNetworks/v/virtualNetworkPeerings/p",
              "properties": {{ "remoteVirtualNetwork": {{ "id": "{START}/virtualNetworks/w" }} }} }}"#
    );
    let inventory = all(&[&peering]);
    assert_eq!(inventory.unresolved[0].why, "no file has the virtual network v");
}

#[test]
fn rules_under_allow_are_said() {
    let account = |name: &str, action: &str| {
        format!(
            r#"{{ "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.{name}/x", "networkAcls": {{
                "defaultAction": "{action}", "ipRules": [ {{ "value": "1.2.3.4" }} ] }} }}"#
        )
    };
    let (account, vault) =
        (account("Storage/storageAccounts", "Allow"), account("KeyVault/vaults", "Deny"));
    let inventory = all(&[&account, &vault]);
    assert_eq!(inventory.assumptions[0].code, "rules-have-no-effect");
    let names = inventory.names();
    let names: Vec<_> = inventory.resources.iter().map(|one| names.of(&one.id)).collect();
    assert_eq!(names, ["storage/x", "key-vault/x"]);
    assert!(all(&[&vault]).assumptions.is_empty());
}

/// `az resource list` names everything and says nothing of it.
#[test]
fn bare_lists_are_not_settings() {
    let bare = |kind: &str| {
        format!(
            r#"{{ "id": "/subscriptions/s/resourceGroups/g/providers/{kind}/x", "name": "x", "type": "{kind}", "location": "westeurope", "tags": null, "plan": null }}"#
        )
    };
    let list = format!(
        "[{},{}]",
        bare("Microsoft.Storage/storageAccounts"),
        bare("Microsoft.Network/routeTables")
    );
    let inventory = all(&[&list]);
    assert_eq!(inventory.resources[0].default, DefaultAction::Unresolved);
    assert_eq!(inventory.unresolved.len(), 2);
    // What `show` prints beside it says the rest.
    let shown = bare("Microsoft.Storage/storageAccounts")
        .replace("\"plan\": null", "\"networkRuleSet\": { \"defaultAction\": \"Deny\" }");
    let inventory = all(&[&list, &shown]);
    assert_eq!(inventory.resources[0].default, DefaultAction::Deny);
    assert_eq!(inventory.unresolved.len(), 1);
}
