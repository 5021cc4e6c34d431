//! Open connections across the change.

use crate::setup::{STORAGE, account, behind, estate, group, logged, nat, vnet};

/// S-17: open connections to the service are cut, others are not.
#[test]
fn only_open_service_connections_close() {
    let mut all = nat("nat1", "52.160.0.9");
    all.push(vnet("vnet1", "10.0.0.0/16", &[("snet-app", "10.0.1.0/24", behind("nat1"))]));
    all.push(account("stlogs", &["52.160.0.9"], &["vnet1/snet-app"]));
    let mut estate = estate(&all, &[("stlogs", STORAGE)]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "vnet1/snet-app")).unwrap();
    let traffic = logged(
        "vnet1",
        &[
            ("10.0.1.4", "20.60.26.10", 443, 'B'),
            ("10.0.1.5", "20.60.26.10", 443, 'C'),
            ("10.0.1.4", "20.60.26.10", 443, 'E'),
            ("10.0.1.4", "198.41.0.4", 443, 'C'),
        ],
    );
    let report = estate.report(&change, &traffic, None);
    let logs = group(&report, "vnet1/snet-app", "stlogs");
    assert_eq!((logs.flows, logs.closed, logs.reopened), (3, 2, 2));
    assert_eq!(logs.after.source.as_deref(), Some("10.0.1.0/24"));
    assert_eq!((logs.packets, logs.bytes), (21, 12_900));
    let others = group(&report, "vnet1/snet-app", "internet");
    assert_eq!((others.closed, others.different), (0, false));
    assert_eq!((report.traffic.open, report.traffic.closed), (3, 2));
    // Both ends of each are told.
    assert_eq!(report.traffic.resets, 4);
    assert_eq!(report.traffic.causes.get("source-switched"), Some(&2));
}
