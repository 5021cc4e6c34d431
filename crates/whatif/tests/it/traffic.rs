//! Whose flows are tried, and which are passed over.

use serde_json::json;

use crate::setup::{STORAGE, account, estate, group, logged, vnet};
use vnetem_whatif::Traffic;

/// I1: two networks of one range are told apart by what the log is of.
#[test]
fn log_tells_overlapping_networks_apart() {
    let one = vnet("net-a", "10.0.0.0/16", &[("app", "10.0.0.0/24", json!({}))]);
    let other = vnet("net-b", "10.0.0.0/16", &[("app", "10.0.0.0/24", json!({}))]);
    let all = [one, other, account("stlogs", &[], &[])];
    let mut estate = estate(&all, &[("stlogs", STORAGE)]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "net-b/app")).unwrap();
    let flows = [("10.0.0.4", "20.60.26.10", 443, 'B')];
    let report = estate.report(&change, &logged("net-b", &flows), None);
    assert!(group(&report, "net-b/app", "stlogs").different);
    let report = estate.report(&change, &logged("net-a", &flows), None);
    assert!(!group(&report, "net-a/app", "stlogs").different);
    let report = estate.report(&change, &logged("elsewhere", &flows), None);
    assert_eq!(report.traffic.skipped.get("source-in-several-networks"), Some(&1));
}

/// One flow stands in the logs of both its ends, and counts once.
#[test]
fn flow_in_two_logs_counts_once() {
    let both = [("app", "10.0.0.0/24", json!({})), ("db", "10.0.1.0/24", json!({}))];
    let mut estate = estate(&[vnet("net-a", "10.0.0.0/16", &both)], &[]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "net-a/app")).unwrap();
    let log = crate::setup::flow_log("net-a", &[("10.0.0.4", "10.0.1.4", 1433, 'B')]);
    let mut traffic = Traffic::new();
    traffic.read_flow_log("one.json", log.as_bytes()).unwrap();
    let other = log.replace("virtualNetworks/net-a", "virtualNetworks/net-a/subnets/db");
    traffic.read_flow_log("other.json", other.replace(",O,", ",I,").as_bytes()).unwrap();
    let report = estate.report(&change, &traffic, None);
    assert_eq!(report.traffic.flows, 1);
    assert_eq!(group(&report, "net-a/app", "net-a/db").packets, 7);
}

#[test]
fn strangers_are_counted_and_left_out() {
    let mut estate =
        estate(&[vnet("net-a", "10.0.0.0/16", &[("app", "10.0.0.0/24", json!({}))])], &[]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "net-a/app")).unwrap();
    let flows = [("172.20.0.4", "10.0.0.4", 22, 'B'), ("198.41.0.4", "10.0.0.4", 22, 'B')];
    let report = estate.report(&change, &logged("net-a", &flows), None);
    assert_eq!(report.traffic.skipped.get("source-not-in-model"), Some(&1));
    assert_eq!(report.traffic.skipped.get("from-internet"), Some(&1));
    assert!(!report.different);
}
