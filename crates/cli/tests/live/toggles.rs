//! Endpoints that are switched under live connections.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use vnetem_live::Cloud;

use crate::rig::{
    ACCOUNT, DISABLE, ENABLE, NETWORK, cloud, printed, program, start, until, whoami,
};

const BULK: &str = "/backup?bytes=400000000000";

/// S-17, U-01: both ends hear a reset, at once and without a wrong byte before it.
#[test]
fn toggle_resets_both_ends() {
    let Some(cloud) = cloud("toggle_resets_both_ends", NETWORK) else { return };
    assert_eq!(whoami(&cloud, "vm-a", "www"), "20.31.0.10");
    assert_eq!(whoami(&cloud, "vm-a", ACCOUNT), "20.31.0.10");
    let bystander = ["get", "www", "/film?bytes=400000000&rate=1000000"];
    let mut bystander = start(&mut program(&cloud, "vm-a", &bystander));
    let mut best = f64::MAX;
    for edit in [ENABLE, DISABLE, ENABLE, DISABLE, ENABLE] {
        let (before, carried) = (reported(&cloud).len(), forwarded(&cloud));
        let bulk = start(&mut program(&cloud, "vm-a", &["get", ACCOUNT, BULK]));
        until("the download runs", || forwarded(&cloud) > carried + 30_000_000);
        let edited = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let change = cloud.ctl(edit).unwrap();
        let client = printed(bulk);
        assert_eq!(client["end"], "reset", "{client} {change:?}");
        until("the server has noticed", || reported(&cloud).len() > before);
        let server = reported(&cloud).pop().unwrap();
        assert_eq!(server["end"], "reset", "{server}");
        assert!(change.value["resets"].as_u64() >= Some(2), "{change:?}");
        let took = |line: &Value| line["at"].as_f64().unwrap() - edited;
        best = best.min(took(&client).max(took(&server)));
    }
    // The machine may be busy; one of five in time shows that nothing waits.
    assert!(best < 0.010, "the best of five took {best} s");
    assert!(bystander.try_wait().unwrap().is_none(), "another connection is not disturbed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// S-17: every connection to the service ends with a reset, and no other does.
#[test]
fn thousand_toggles_reset_only_theirs() {
    let Some(cloud) = cloud("thousand_toggles_reset_only_theirs", NETWORK) else { return };
    whoami(&cloud, "vm-a", ACCOUNT);
    whoami(&cloud, "vm-a", "www");
    let hammer = |host, server, path| {
        let mut client = program(&cloud, host, &["hammer", server, path, "-"]);
        start(client.stdin(Stdio::piped()))
    };
    let slow = "/slow?bytes=100000000&rate=50000";
    let mut of_service: Vec<_> = (0..20).map(|_| hammer("vm-a", ACCOUNT, slow)).collect();
    let short = "/short?bytes=20000";
    let mut others =
        [("vm-a", "www"), ("vm-b", ACCOUNT)].map(|(host, server)| hammer(host, server, short));
    let (mut toggles, began) = (0, Instant::now());
    // Their last connection, too, ends only by a toggle.
    while of_service.iter_mut().any(|client| client.try_wait().unwrap().is_none()) {
        assert!(began.elapsed() < Duration::from_secs(180), "{toggles} toggles");
        cloud.ctl(if toggles % 2 == 0 { ENABLE } else { DISABLE }).unwrap();
        toggles += 1;
        sleep(Duration::from_millis(2));
        if toggles == 1_000 {
            of_service.iter_mut().chain(&mut others).for_each(|client| drop(client.stdin.take()));
        }
    }
    let mut resets = 0;
    for client in of_service {
        let counted = printed(client);
        assert_eq!((&counted["done"], &counted["others"]), (&0.into(), &json!([])), "{counted}");
        resets += counted["resets"].as_u64().unwrap();
    }
    assert!(toggles >= 1_000 && resets > 1_000, "{toggles} toggles, {resets} resets");
    for client in others {
        let counted = printed(client);
        assert_eq!(counted["resets"], 0, "{counted}");
        assert_eq!(counted["others"], json!([]), "{counted}");
        assert!(counted["done"].as_u64() > Some(0), "{counted}");
    }
}

/// What the servers of the network have said of connections that moved a lot.
fn reported(cloud: &Cloud) -> Vec<Value> {
    let lines = cloud.said().into_iter().filter_map(|line| serde_json::from_str(&line).ok());
    lines.filter(|line: &Value| line["bytes"].as_u64() > Some(1_000_000)).collect()
}

fn forwarded(cloud: &Cloud) -> u64 {
    cloud.ctl("counters").unwrap().value["forwarded_bytes"].as_u64().unwrap()
}
