//! Traffic that leaves an appliance's audit, or enters it.

use serde_json::{Value, json};

use crate::setup::{GROUP, STORAGE, account, enabling, estate, group, vnet};

fn tunnelled(appliance: &str) -> Vec<Value> {
    let table = format!("{GROUP}/Microsoft.Network/routeTables/rt");
    let route = json!({
        "id": table,
        "routes": [ {
            "name": "default", "addressPrefix": "0.0.0.0/0",
            "nextHopType": "VirtualAppliance", "nextHopIpAddress": appliance,
        } ],
    });
    let app = json!({ "routeTable": { "id": table } });
    let subnets =
        [("snet-app", "10.0.1.0/24", app), ("AzureFirewallSubnet", "10.0.9.0/26", json!({}))];
    let ip = format!("{GROUP}/Microsoft.Network/publicIPAddresses/fw-ip");
    let subnet = crate::setup::subnet_id("vnet1/AzureFirewallSubnet");
    let firewall = json!({
        "id": format!("{GROUP}/Microsoft.Network/azureFirewalls/fw"),
        "ipConfigurations": [ {
            "name": "one", "privateIPAddress": "10.0.9.4",
            "subnet": { "id": subnet }, "publicIPAddress": { "id": ip },
        } ],
    });
    vec![
        route,
        json!({ "id": ip, "ipAddress": "20.31.0.99" }),
        firewall,
        vnet("vnet1", "10.0.0.0/16", &subnets),
        account("stlogs", &["20.31.0.99"], &[]),
    ]
}

/// S-23: the endpoint goes around the firewall, whose address the account lists.
#[test]
fn endpoint_leaves_the_forced_tunnel() {
    let mut estate = estate(&tunnelled("10.0.9.4"), &[("stlogs", STORAGE)]);
    let report = enabling(&mut estate, "Microsoft.Storage", "vnet1/snet-app");
    let logs = group(&report, "vnet1/snet-app", "stlogs");
    assert_eq!(logs.before.next_hop, Some("VirtualAppliance"));
    assert_eq!(logs.before.next_hop_address.as_deref(), Some("10.0.9.4"));
    assert_eq!(logs.before.source.as_deref(), Some("20.31.0.99"));
    assert_eq!((logs.before.access, logs.after.access), (Some("allow"), Some("deny")));
    let codes: Vec<_> = report.findings.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["leaves-forced-tunnel"], "{report}");
    assert!(report.assumptions.iter().any(|one| one.code == "appliance-translates"));
}

/// A hub that is in no file: what its appliance does is not known, and not guessed.
#[test]
fn unknown_appliance_retains_its_place() {
    let mut all = tunnelled("10.50.0.4");
    all.remove(2);
    let mut estate = estate(&all, &[("stlogs", STORAGE)]);
    let report = enabling(&mut estate, "Microsoft.Storage", "vnet1/snet-app");
    let logs = group(&report, "vnet1/snet-app", "stlogs");
    assert_eq!(logs.before.disposition, "forward");
    assert_eq!(logs.before.next_hop, Some("VirtualAppliance"));
    assert_eq!((logs.before.access, logs.before.source_kind), (Some("unknown"), Some("unknown")));
    assert_eq!(logs.after.access, Some("deny"));
    assert!(report.assumptions.iter().any(|one| one.code == "appliance-not-in-model"));
}
