//! Inventories become networks that packets can be sent through, and change into each other.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::Path;

use serde_json::json;
use vnetem::{
    authz::{Access, Arrival},
    control::{Choice, Outbound},
};
use vnetem_azure::ServiceTags;
use vnetem_azure::import::{Importer, Inventory, LoadedNetwork};

const START: &str = "/subscriptions/s/resourceGroups/g/providers";

fn corpus(file: &str) -> Importer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(file);
    let mut importer = Importer::new();
    importer.read(file, &fs::read(path).unwrap()).unwrap();
    importer
}

fn inventory(resources: &serde_json::Value) -> Inventory {
    let mut importer = Importer::new();
    importer.read("now.json", resources.to_string().as_bytes()).unwrap();
    importer.inventory()
}

fn loaded(inventory: &Inventory) -> LoadedNetwork {
    let mut loaded = LoadedNetwork::new(ServiceTags::embedded());
    loaded.update(inventory);
    loaded
}

/// What a subnet's routes say of an address, as words.
fn next_hop(loaded: &LoadedNetwork, inventory: &Inventory, subnet: &str, address: &str) -> String {
    let mut network = loaded.network.clone();
    let snapshot = network.commit();
    let subnet = inventory.subnets.iter().find(|one| one.name == subnet).unwrap();
    let place = loaded.subnets_of(&subnet.id)[0];
    format!("{:?}", snapshot.next_hop(place, address.parse().unwrap()).unwrap())
}

/// The plan that adds Key Vault beside Storage, over a forced tunnel.
#[test]
fn change_of_a_plan_is_applied() {
    let importer = corpus("synthetic/azurerm5-add-keyvault-endpoint.plan.json");
    let (before, after) = (importer.before(), importer.inventory());
    let mut loaded = loaded(&before);
    assert_eq!(loaded.left_out, []);
    let app = loaded.subnets_of(&before.subnets[0].id)[0];
    let vault = ServiceTags::embedded().tag("AzureKeyVault.EastUS").unwrap().prefixes()[0]
        .addr()
        .to_string();
    let storage =
        ServiceTags::embedded().tag("Storage.EastUS").unwrap().prefixes()[0].addr().to_string();
    assert!(next_hop(&loaded, &before, "snet-app", &vault).contains("VirtualAppliance(10.20.0.4)"));
    assert!(next_hop(&loaded, &before, "snet-app", &storage).contains("Endpoint"));

    let generation = loaded.network.commit().generation();
    loaded.update(&after);
    assert_eq!(loaded.left_out, []);
    assert_eq!(loaded.subnets_of(&before.subnets[0].id), [app], "what stays has its number");
    assert_ne!(loaded.network.commit().generation(), generation);
    assert!(next_hop(&loaded, &after, "snet-app", &vault).contains("Endpoint"));
    assert!(
        next_hop(&loaded, &after, "snet-app", "198.41.0.4").contains("VirtualAppliance(10.20.0.4)")
    );
    let db =
        loaded.subnets_of(&after.subnets.iter().find(|one| one.name == "snet-db").unwrap().id)[0];
    let nat = Outbound::NatGateway(vec!["203.0.113.10".parse().unwrap()]);
    assert_eq!(loaded.network.subnet(db).unwrap().outbound, nat);

    // The account lets in the subnet by its endpoint, and nobody else.
    let account = loaded.resource_of(&after.resources[0].id).unwrap();
    let snapshot = loaded.network.commit();
    let identity = |subnet| vnetem::Identity {
        vnet: loaded.vnet_of(&after.vnets[0].id).unwrap(),
        subnet,
        address: "10.20.1.4".parse().unwrap(),
    };
    let judged = |arrival| snapshot.judge(account, arrival).unwrap();
    assert!(judged(Arrival::Tunnel(identity(app))).is_allowed());
    assert!(!judged(Arrival::Tunnel(identity(db))).is_allowed());
    assert!(matches!(judged(Arrival::Public("203.0.113.10".parse().unwrap())), Access::Allowed(_)));
}

#[test]
fn same_inventory_changes_nothing() {
    for file in [
        "synthetic/azurerm5-add-keyvault-endpoint.plan.json",
        "arm/netsec-hub-spoke.template.json",
        "arm/quickstart-ase-sql-vpn.template.json",
        "az/custodian-storage-accounts.list.json",
        "whatif/hub-spoke-two-subscriptions.whatif.json",
    ] {
        let inventory = corpus(file).inventory();
        let mut loaded = loaded(&inventory);
        let generation = loaded.network.commit().generation();
        let left_out = loaded.left_out.clone();
        loaded.update(&inventory);
        assert_eq!(loaded.network.commit().generation(), generation, "{file}");
        assert_eq!(loaded.left_out, left_out, "{file}");
    }
}

/// To a change and back again is where it began, but for numbers that are never used twice.
#[test]
fn every_file_becomes_a_network() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut subnets = 0;
    for folder in ["arm", "az", "terraform", "whatif", "synthetic"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let mut importer = Importer::new();
            if importer.read(path.to_str().unwrap(), &fs::read(&path).unwrap()).is_err() {
                continue;
            }
            let (before, after) = (importer.before(), importer.inventory());
            let mut loaded = loaded(&before);
            loaded.update(&after);
            let one = shape(&loaded, &after);
            subnets += after
                .subnets
                .iter()
                .filter(|subnet| !loaded.subnets_of(&subnet.id).is_empty())
                .count();
            loaded.update(&before);
            loaded.update(&after);
            assert_eq!(shape(&loaded, &after), one, "{}", path.display());
            let mut afresh = LoadedNetwork::new(ServiceTags::embedded());
            afresh.update(&after);
            assert_eq!(shape(&afresh, &after), one, "{}", path.display());
        }
    }
    assert!(subnets > 60, "{subnets}");
}

/// The effective routes of every subnet, without what hangs on numbers.
fn shape(loaded: &LoadedNetwork, inventory: &Inventory) -> Vec<String> {
    let mut network = loaded.network.clone();
    let snapshot = network.commit();
    let mut lines = Vec::new();
    for subnet in &inventory.subnets {
        for &place in loaded.subnets_of(&subnet.id) {
            let held = loaded.network.subnet(place).unwrap();
            let routes = snapshot.effective_routes(place).len();
            let user: Vec<_> = held.table.routes.keys().map(ToString::to_string).collect();
            let endpoints: Vec<_> = held.endpoints.values().map(|one| one.name.clone()).collect();
            let guarded = loaded.network.security_group_of(place).is_some();
            lines.push(format!(
                "{} {} {routes} {user:?} {endpoints:?} {guarded}",
                held.name, held.prefix
            ));
        }
    }
    for vnet in &inventory.vnets {
        let Some(place) = loaded.vnet_of(&vnet.id) else { continue };
        let held = loaded.network.vnet(place).unwrap();
        lines.push(format!("{} {:?} {} peers", held.name, held.ranges, held.peers.len()));
    }
    lines
}

#[test]
fn peering_needs_both_sides() {
    let vnet = |name: &str, range: &str, peer: Option<&str>| {
        let peerings: Vec<_> = peer
            .iter()
            .map(|peer| json!({ "name": "p", "properties": { "remoteVirtualNetwork": { "id": format!("{START}/Microsoft.Network/virtualNetworks/{peer}") } } }))
            .collect();
        json!({ "id": format!("{START}/Microsoft.Network/virtualNetworks/{name}"), "properties": {
            "addressSpace": { "addressPrefixes": [range] }, "virtualNetworkPeerings": peerings } })
    };
    let both = inventory(&json!([
        vnet("a", "10.0.0.0/16", Some("b")),
        vnet("b", "10.1.0.0/16", Some("a"))
    ]));
    let one =
        inventory(&json!([vnet("a", "10.0.0.0/16", Some("b")), vnet("b", "10.1.0.0/16", None)]));
    let mut loaded = loaded(&both);
    let a = loaded.vnet_of(&both.vnets[0].id).unwrap();
    assert_eq!(loaded.network.vnet(a).unwrap().peers.len(), 1);
    loaded.update(&one);
    assert_eq!(loaded.network.vnet(a).unwrap().peers.len(), 0);
    assert_eq!(loaded.left_out[0].why, "b does not peer back");
}

#[test]
fn unknown_appliance_retains_its_route() {
    let resources = json!([
        { "id": format!("{START}/Microsoft.Network/virtualNetworks/v"), "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
          "subnets": [ { "name": "a", "addressPrefix": "10.0.0.0/24", "routeTable": { "id": format!("{START}/Microsoft.Network/routeTables/t") } } ] },
        { "id": format!("{START}/Microsoft.Network/routeTables/t"), "routes": [
            { "name": "fw", "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance" },
            { "name": "gw", "addressPrefix": "10.9.0.0/16", "nextHopType": "VirtualNetworkGateway" } ] },
    ]);
    let inventory = inventory(&resources);
    let loaded = loaded(&inventory);
    let mut network = loaded.network.clone();
    let subnet = loaded.subnets_of(&inventory.subnets[0].id)[0];
    let choice = network.commit().next_hop(subnet, "1.1.1.1".parse().unwrap()).unwrap();
    let Choice::Route(route) = choice else { panic!("{choice:?}") };
    let vnetem::control::NextHop::VirtualAppliance(address) = route.next_hop else {
        panic!("{route:?}")
    };
    assert!(loaded.stands_for(address).unwrap().contains("appliance of the route fw of "));
    assert_eq!(loaded.left_out[0].why, "a route to a gateway that the network does not have");
    assert!(loaded.assumptions.iter().any(|one| one.code == "appliance-address-unknown"));
}

#[test]
fn given_address_places_a_resource() {
    let account = json!([{ "id": format!("{START}/Microsoft.Storage/storageAccounts/stlogs"), "location": "West US",
        "networkAcls": { "defaultAction": "Deny", "ipRules": [ { "value": "52.160.0.0/24" }, { "value": "10.0.0.1" } ],
            "virtualNetworkRules": [ { "id": format!("{START}/Microsoft.Network/virtualNetworks/v/subnets/gone") } ] } }]);
    let inventory = inventory(&account);
    let mut loaded = LoadedNetwork::new(ServiceTags::embedded());
    loaded.place_at("STLOGS", "20.60.0.4".parse().unwrap());
    loaded.update(&inventory);
    let place = loaded.resource_of(&inventory.resources[0].id).unwrap();
    assert_eq!(loaded.network.resource(place).unwrap().address.to_string(), "20.60.0.4");
    assert_eq!(loaded.network.resource(place).unwrap().placement.region, "westus");
    let whys: Vec<_> = loaded.left_out.iter().map(|one| one.why.clone()).collect();
    assert_eq!(whys.len(), 2, "{whys:?}");
    assert!(whys[1].contains("v/gone, which is not in the model"), "{whys:?}");
    assert!(loaded.assumptions.iter().all(|one| one.code != "address-of-resource-unknown"));
}

#[test]
fn balancer_gives_its_members_a_path() {
    let network = format!("{START}/Microsoft.Network");
    let with = |pool: &str, ports: u32| {
        inventory(&json!([
            { "id": format!("{network}/virtualNetworks/v"), "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
              "subnets": [ { "name": "a", "addressPrefix": "10.0.0.0/24" } ] },
            { "id": format!("{network}/networkInterfaces/n"), "ipConfigurations": [ { "name": "i", "privateIPAddress": "10.0.0.4",
              "subnet": { "id": format!("{network}/virtualNetworks/v/subnets/a") },
              "loadBalancerBackendAddressPools": [ { "id": format!("{network}/loadBalancers/b/backendAddressPools/{pool}") } ] } ] },
            { "id": format!("{network}/publicIPAddresses/p"), "ipAddress": "52.1.2.3" },
            { "id": format!("{network}/loadBalancers/b"), "properties": {
              "frontendIPConfigurations": [ { "name": "f", "properties": { "publicIPAddress": { "id": format!("{network}/publicIPAddresses/p") } } } ],
              "backendAddressPools": [ { "name": "one" }, { "name": "two" } ],
              "outboundRules": [ { "name": "o", "properties": { "allocatedOutboundPorts": ports,
                "backendAddressPool": { "id": format!("{network}/loadBalancers/b/backendAddressPools/one") } } } ] } },
        ]))
    };
    let one = with("one", 1024);
    let mut loaded = loaded(&one);
    assert_eq!(loaded.left_out, []);
    let nic = loaded.nics_of(&one.nics[0].id)[0];
    let balancer = |loaded: &LoadedNetwork| {
        loaded.network.load_balancers().next().map(|(_, one)| one.clone()).unwrap()
    };
    assert_eq!(balancer(&loaded).frontends, ["52.1.2.3".parse::<std::net::Ipv4Addr>().unwrap()]);
    assert!(balancer(&loaded).members.contains_key(&nic));
    assert_eq!(balancer(&loaded).rule.ports, 1024);
    loaded.update(&with("one", 2048));
    assert_eq!(balancer(&loaded).rule.ports, 2048);
    // In the other pool, to which no outbound rule belongs.
    loaded.update(&with("two", 2048));
    assert_eq!(loaded.left_out[0].why, "no member of its pools is in the model");
    assert_eq!(loaded.network.load_balancers().count(), 0);
}

/// An interface with one address that is known and one that is not.
#[test]
fn what_is_left_out_stays_said() {
    let subnet = json!({ "id": format!("{START}/Microsoft.Network/virtualNetworks/v/subnets/a") });
    let inventory = inventory(&json!([
        { "id": format!("{START}/Microsoft.Network/virtualNetworks/v"), "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
          "subnets": [ { "name": "a", "addressPrefix": "10.0.0.0/24" } ] },
        { "id": format!("{START}/Microsoft.Network/networkInterfaces/n"), "ipConfigurations": [
            { "name": "i", "privateIPAddress": "10.0.0.4", "subnet": subnet }, { "name": "j", "subnet": subnet } ] },
    ]));
    let mut loaded = loaded(&inventory);
    assert_eq!(loaded.left_out.len(), 1);
    let before = loaded.left_out.clone();
    loaded.update(&inventory);
    assert_eq!(loaded.left_out, before);
    assert_eq!(loaded.nics_of(&inventory.nics[0].id).len(), 1);
}
