//! Effective routes, as Azure shows them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::json;
use vnetem_azure::import::{Importer, ShownRoute};

fn read(text: &str) -> Result<Vec<ShownRoute>, String> {
    let mut importer = Importer::new();
    importer.read("routes.json", text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(importer.effective_routes().first().map(|(_, routes)| routes.clone()).unwrap_or_default())
}

#[test]
fn routes_are_read_in_every_form() {
    let list = json!([
        { "name": null, "source": "Default", "state": "Active", "addressPrefix": ["10.0.0.0/16", "fd00::/8"],
          "nextHopType": "VnetLocal", "nextHopIpAddress": [], "disableBgpRoutePropagation": false },
        { "source": "User", "state": "Invalid", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "VirtualAppliance",
          "nextHopIpAddress": ["10.0.9.4"], "disableBgpRoutePropagation": true },
        { "source": "Default", "state": "Active", "addressPrefix": ["20.60.0.0/24", "20.60.1.0/24"],
          "nextHopType": "VirtualNetworkServiceEndpoint", "nextHopIpAddress": [], "tagMap": {} },
    ]);
    for text in [
        json!({ "value": list, "nextLink": null }).to_string(),
        list.to_string(),
        format!(" - Finished ..\n{}", json!({ "value": list })),
    ] {
        let routes = read(&text).unwrap();
        assert_eq!(routes.len(), 3);
        assert_eq!(routes[0].prefixes, ["10.0.0.0/16".parse().unwrap()]);
        assert!(routes[0].active && !routes[1].active);
        assert_eq!(routes[1].addresses[0].to_string(), "10.0.9.4");
        assert!(routes[1].bgp_disabled);
        assert_eq!(
            (routes[2].next_hop.as_str(), routes[2].prefixes.len()),
            ("VirtualNetworkServiceEndpoint", 2)
        );
    }
}

#[test]
fn wrong_route_is_named() {
    let with = |prefix: &str, hop: &str| {
        json!({ "value": [ { "nextHopType": "None", "addressPrefix": ["10.0.0.0/8"] }, { "nextHopType": hop, "addressPrefix": [prefix] } ] }).to_string()
    };
    assert_eq!(
        read(&with("10.0.0.0/40", "None")).unwrap_err(),
        "routes.json: value[1].addressPrefix[0]: \"10.0.0.0/40\" is not an address range"
    );
    assert_eq!(
        read(&with("10.0.0.0/8", "")).unwrap_err(),
        "routes.json: value[1].nextHopType: the type of the next hop is missing"
    );
}
