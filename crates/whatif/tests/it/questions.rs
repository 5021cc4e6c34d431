//! The questions of what-if: who is refused, what becomes of rules, what is no difference.

use serde_json::json;

use crate::setup::{
    STORAGE, account, behind, changing, enabling, estate, group, inventory, nat, vnet,
};
use vnetem_whatif::{Report, Traffic};

fn founding() -> Vec<serde_json::Value> {
    let mut all = nat("nat1", "52.160.0.9");
    let subnets = [("snet-app", "10.0.1.0/24", behind("nat1"))];
    all.push(vnet("vnet1", "10.0.0.0/16", &subnets));
    all.push(account("stlogs", &["52.160.0.9"], &[]));
    all
}

/// S-14, F-07: the address rule matched the NAT gateway, and matches no private source.
#[test]
fn endpoint_cuts_off_an_address_rule() {
    let report = enabling(
        &mut estate(&founding(), &[("stlogs", STORAGE)]),
        "Microsoft.Storage",
        "vnet1/snet-app",
    );
    let logs = group(&report, "vnet1/snet-app", "stlogs");
    assert_eq!((logs.before.access, logs.after.access), (Some("allow"), Some("deny")));
    assert_eq!(logs.before.next_hop, Some("Internet"));
    assert_eq!(logs.before.source.as_deref(), Some("52.160.0.9"));
    assert_eq!(logs.after.next_hop, Some("VirtualNetworkServiceEndpoint"));
    assert_eq!(logs.after.source.as_deref(), Some("10.0.1.4"));
    assert_eq!(logs.after.reason, Some("subnet-not-listed"));
    assert_eq!((logs.closed, logs.destination.address.as_deref()), (1, Some("20.60.26.10")));
    assert_eq!(report.dead_rules.len(), 1);
    assert_eq!(report.dead_rules[0].rule, "ip 52.160.0.9");
    assert!(!group(&report, "vnet1/snet-app", "internet").different);
    assert!(report.different);
}

/// The report is the contract: its fields as they are promised.
#[test]
fn json_has_the_promised_fields() {
    let report = enabling(
        &mut estate(&founding(), &[("stlogs", STORAGE)]),
        "Microsoft.Storage",
        "vnet1/snet-app",
    );
    let value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(value["schema"], "vnetem/1");
    assert_eq!(value["verb"], "what-if");
    assert_eq!(value["tags"], "2025-10-28");
    let change = json!({
        "kind": "endpoint-enabled", "subnet": "vnet1/snet-app", "service": "Microsoft.Storage",
    });
    assert_eq!(value["changes"], json!([change]));
    let row = &value["groups"][0];
    assert_eq!(row["destination"]["service"], "Microsoft.Storage");
    assert_eq!(row["destination"]["port"], 443);
    assert_eq!(row["destination"]["protocol"], "tcp");
    let before = json!({
        "disposition": "forward", "next_hop": "Internet", "next_hop_address": null,
        "source": "52.160.0.9", "source_kind": "public", "access": "allow", "reason": null,
    });
    assert_eq!(row["before"], before);
    assert_eq!(value["dead_rules"], json!([{ "resource": "stlogs", "rule": "ip 52.160.0.9" }]));
    for field in ["traffic", "steps", "unresolved", "ignored", "assumptions"] {
        assert!(value.get(field).is_some(), "{field}");
    }
}

#[test]
fn same_network_is_no_difference() {
    let report = changing(&mut estate(&founding(), &[]), &founding());
    assert!(!report.different, "{report}");
    assert_eq!((report.changes.len(), report.steps.len()), (0, 0));
    assert!(report.groups.iter().all(|group| !group.different));
}

/// One account lists the subnet, the other does not: traffic says only the service.
#[test]
fn unknown_account_is_tried_on_all() {
    let mut all = founding();
    all.push(account("stdata", &["52.160.0.9"], &["vnet1/snet-app"]));
    let mut estate = estate(&all, &[]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "vnet1/snet-app")).unwrap();
    let traffic = crate::setup::logged("vnet1", &[("10.0.1.4", "20.60.26.99", 443, 'B')]);
    let report: Report = estate.report(&change, &traffic, None);
    let row = group(&report, "vnet1/snet-app", "Microsoft.Storage");
    assert_eq!((row.before.access, row.after.access), (Some("allow"), Some("unknown")));
    let said: Vec<_> = row.accounts.iter().map(|one| (one.resource.as_str(), one.after)).collect();
    assert_eq!(said, [("stlogs", Some("deny")), ("stdata", Some("allow"))]);
    assert!(report.assumptions.iter().any(|one| one.code == "account-unknown"));
}

/// E-13: an endpoint carries TCP and nothing else.
#[test]
fn datagrams_keep_their_way() {
    let mut estate = estate(&founding(), &[("stlogs", STORAGE)]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "vnet1/snet-app")).unwrap();
    let mut traffic = Traffic::new();
    let log = crate::setup::flow_log("vnet1", &[("10.0.1.4", "20.60.26.10", 443, 'B')]);
    let log = log.replace(",6,O,", ",17,O,");
    traffic.read_flow_log("PT1H.json", log.as_bytes()).unwrap();
    let report = estate.report(&change, &traffic, None);
    let row = group(&report, "vnet1/snet-app", "stlogs");
    assert!(!row.different, "{report}");
    assert_eq!(row.destination.protocol, "udp");
    assert!(!report.different);
}

/// A public address that is in no file may be the one of the rule.
#[test]
fn unknown_public_address_is_not_refused() {
    let mut all = founding();
    all[0].as_object_mut().unwrap().remove("ipAddress");
    let report =
        enabling(&mut estate(&all, &[("stlogs", STORAGE)]), "Microsoft.Storage", "vnet1/snet-app");
    let row = group(&report, "vnet1/snet-app", "stlogs");
    assert_eq!(row.before.access, Some("unknown"));
    assert_eq!(
        (row.before.source.as_deref(), row.before.source_kind),
        (None, Some("public-unknown"))
    );
    assert_eq!(row.after.access, Some("deny"));
}

/// A new subnet has no before, a removed one no after.
#[test]
fn subnets_come_and_go() {
    let (old, mut new) = (founding(), founding());
    let subnets = [("snet-new", "10.0.2.0/24", behind("nat1"))];
    new[2] = vnet("vnet1", "10.0.0.0/16", &subnets);
    let report = changing(&mut estate(&old, &[("stlogs", STORAGE)]), &new);
    let kinds: Vec<_> = report.changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, ["subnet-removed", "subnet-added"]);
    let gone = group(&report, "vnet1/snet-app", "stlogs");
    assert_eq!((gone.after.disposition, gone.after.reason), ("drop", Some("unknown-edge")));
    assert_eq!(gone.closed, 1);
    let come = group(&report, "vnet1/snet-new", "stlogs");
    assert_eq!((come.before.disposition, come.after.disposition), ("drop", "forward"));
}

#[test]
fn every_change_has_its_line() {
    let old = founding();
    let mut new = nat("nat1", "52.160.0.9");
    new.extend(nat("nat2", "52.160.0.10"));
    let endpoint = json!({
        "natGateway": behind("nat2")["natGateway"],
        "serviceEndpoints": [ { "service": "Microsoft.KeyVault" } ],
    });
    new.push(vnet("vnet1", "10.0.0.0/16", &[("snet-app", "10.0.1.0/24", endpoint)]));
    new.push(account("stlogs", &["52.160.0.10"], &[]));
    new.push(account("stnew", &[], &[]));
    let mut estate = estate(&old, &[]);
    let report = changing(&mut estate, &new);
    let lines: Vec<_> = report.changes.iter().map(vnetem_whatif::Changed::line).collect();
    assert_eq!(
        lines,
        [
            "endpoint-enabled vnet1/snet-app Microsoft.KeyVault",
            "outbound-changed vnet1/snet-app: nat-gateway 52.160.0.9 > nat-gateway 52.160.0.10",
            "rule-added stlogs ip 52.160.0.10",
            "rule-removed stlogs ip 52.160.0.9",
            "resource-added Microsoft.Storage stnew",
        ]
    );
    assert_eq!(inventory(&new).resources.len(), 2);
}
