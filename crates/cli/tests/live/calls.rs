//! Calls: who is seen as what.

use serde_json::Value;

use crate::rig::{ACCOUNT, DISABLE, ENABLE, NETWORK, cloud, cloud_with, program, stdout, whoami};

/// S-14, S-21: without the endpoint the public source, with it the private one.
#[test]
fn server_sees_public_then_private() {
    let Some(cloud) = cloud("server_sees_public_then_private", NETWORK) else { return };
    assert_eq!(whoami(&cloud, "vm-a", ACCOUNT), "20.31.0.10");
    cloud.ctl(ENABLE).unwrap();
    assert_eq!(whoami(&cloud, "vm-a", ACCOUNT), "10.0.0.4");
    cloud.ctl(DISABLE).unwrap();
    assert_eq!(whoami(&cloud, "vm-a", ACCOUNT), "20.31.0.10");
    let seen = cloud.seen("stdata").unwrap();
    let by: Vec<(&str, Option<&str>)> = seen
        .iter()
        .map(|call| (call["seen_as"].as_str().unwrap(), call["subnet"].as_str()))
        .collect();
    assert!(by.ends_with(&[("10.0.0.4", Some("net-a/app")), ("20.31.0.10", None)]), "{by:?}");
}

/// S-05: hosts of two networks with one address, over endpoints at one server, at once.
#[test]
fn equal_addresses_never_meet() {
    let Some(cloud) = cloud("equal_addresses_never_meet", NETWORK) else { return };
    cloud.ctl(&format!("{ENABLE} ; enable Microsoft.Storage on net-b/app")).unwrap();
    assert_eq!(whoami(&cloud, "vm-a", ACCOUNT), "10.0.0.4");
    let path = "/film?bytes=3000000";
    let calls: Vec<_> = ["vm-a", "vm-b"]
        .into_iter()
        .cycle()
        .take(8)
        .map(|host| crate::rig::start(&mut program(&cloud, host, &["get", ACCOUNT, path])))
        .collect();
    for call in calls {
        let ended = crate::rig::printed(call);
        assert_eq!(ended["end"], "done", "{ended}");
    }
    let seen = cloud.seen("stdata").unwrap();
    let of = |subnet: &str| seen.iter().filter(|call| call["subnet"] == subnet).count();
    assert!(of("net-a/app") >= 4 && of("net-b/app") >= 4, "{seen:?}");
    assert!(seen.iter().all(|call| call["seen_as"] == "10.0.0.4"), "{seen:?}");
}

/// T-21: datagrams, and longer ones in fragments, between hosts of a network.
#[test]
fn datagrams_and_fragments_arrive() {
    let scenario = "\
vnet   net 10.0.0.0/16
subnet app 10.0.0.0/24 in net
host   a 10.0.0.4 in app
host   b 10.0.0.5 in app serves by \"PROGRAM echo 7\"
";
    let Some(cloud) = cloud("datagrams_and_fragments_arrive", scenario) else { return };
    crate::rig::until("the echo answers", || {
        program(&cloud, "a", &["ask", "10.0.0.5:7", "1", "10"]).output().unwrap().status.success()
    });
    for (count, size) in [("200", "1000"), ("50", "9000"), ("5", "60000")] {
        let asked = program(&cloud, "a", &["ask", "10.0.0.5:7", count, size]).output().unwrap();
        assert_eq!(stdout(&asked), count, "{size} bytes: {asked:?}");
    }
    let asked = program(&cloud, "a", &["ask", "10.0.0.5:7", "1", "100", "1"]).output().unwrap();
    assert!(!asked.status.success(), "its time to live runs out on the way: {asked:?}");
    let counters = cloud.ctl("counters").unwrap().value;
    assert_eq!(counters["drops"]["ttl-expired"], 1, "{counters}");
    assert_eq!(counters["generated"], 1, "and its sender is headed: {counters}");
}

/// S-08: names mean what the network of the caller says.
#[test]
fn names_are_answered_by_the_model() {
    let scenario = format!(
        "{NETWORK}subnet    ends 10.0.7.0/24 in net-a
private-endpoint pe 10.0.7.5 in ends to stdata
names     pe in net-a
"
    );
    let Some(cloud) = cloud("names_are_answered_by_the_model", &scenario) else { return };
    let resolve = |host: &str, name: &str| {
        let output = program(&cloud, host, &["resolve", name]).output().unwrap();
        stdout(&output).to_owned()
    };
    assert_eq!(resolve("vm-a", ACCOUNT), "10.0.7.5");
    assert_eq!(resolve("vm-b", ACCOUNT), "20.60.26.10");
    assert_eq!(resolve("www", ACCOUNT), "20.60.26.10");
    assert_eq!(resolve("vm-a", "www"), "203.0.113.80");
    for unknown in ["stdata.example.com", "nobody", "www.example"] {
        assert_eq!(resolve("vm-a", unknown), "", "{unknown}");
    }
    // L-05: behind the private endpoint is the same server, which sees the private source.
    assert_eq!(whoami(&cloud, "vm-a", ACCOUNT), "10.0.0.4");
    cloud.ctl("private-endpoint pe rejected").unwrap();
    assert_eq!(resolve("vm-a", ACCOUNT), "20.60.26.10");
}

#[test]
fn unknown_addresses_are_unreachable_or_silent() {
    let test = "unknown_addresses_are_unreachable_or_silent";
    let ask = |options: &[&str]| {
        let cloud = cloud_with(test, NETWORK, options)?;
        let mut asked = program(&cloud, "vm-a", &["get", "8.8.8.8", "/"]);
        let mut asked = crate::rig::start(&mut asked);
        std::thread::sleep(std::time::Duration::from_millis(1000));
        let ended = asked.try_wait().unwrap();
        asked.kill().unwrap();
        let output = asked.wait_with_output().unwrap();
        Some((ended.is_some(), String::from_utf8(output.stderr).unwrap()))
    };
    let Some((ended, why)) = ask(&[]) else { return };
    assert!(ended && why.contains("No route to host"), "{why}");
    let (ended, why) = ask(&["--silent"]).unwrap();
    assert!(!ended && why.is_empty(), "{why}");
}

/// P-32, F-16: a simulated front end refuses by its own words; the line of the call says so.
#[test]
fn simulated_front_end_refuses() {
    let scenario = "\
vnet      net 10.0.0.0/16
subnet    app 10.0.0.0/24 in net nat 20.31.0.10
service   Microsoft.Storage 20.60.0.0/16
resource  stlogs 20.60.26.20 of Microsoft.Storage default deny allow ip 20.31.0.99
host      vm 10.0.0.4 in app
serve     stlogs http
";
    let Some(cloud) = cloud("simulated_front_end_refuses", scenario) else { return };
    let get = || {
        let mut get = program(&cloud, "vm", &["get", "stlogs", "/today?bytes=2000000"]);
        stdout(&get.output().unwrap()).to_owned()
    };
    assert!(get().starts_with("403 ") && get().contains("AuthorizationFailure"), "{}", get());
    let seen = cloud.seen("stlogs").unwrap();
    assert_eq!(seen[0]["refused"], "address-not-listed", "{seen:?}");
    cloud.ctl("allow ip 20.31.0.10 on stlogs").unwrap();
    let ended: Value = serde_json::from_str(&get()).unwrap();
    assert_eq!((&ended["end"], &ended["bytes"]), (&"done".into(), &2_000_000.into()));
}

/// S-04: a real server that wants to learns the caller's subnet from the header of a connection.
#[test]
fn server_learns_the_subnet() {
    let scenario = "\
vnet      net-a 10.0.0.0/16
subnet    app  10.0.0.0/24 in net-a  nat 20.31.0.10
service   Microsoft.Storage 20.60.0.0/16
resource  stdata 20.60.26.10 of Microsoft.Storage
host      vm 10.0.0.4 in app
serve     stdata by \"PROGRAM serve-headed 80\" proxy-v2
";
    let Some(cloud) = cloud("server_learns_the_subnet", scenario) else { return };
    assert_eq!(whoami(&cloud, "vm", "stdata"), "20.31.0.10 of none");
    cloud.ctl("enable Microsoft.Storage on app").unwrap();
    assert_eq!(whoami(&cloud, "vm", "stdata"), "10.0.0.4 of net-a/app");
    let path = "/film?bytes=20000000";
    let ended = crate::rig::printed(crate::rig::start(&mut program(
        &cloud,
        "vm",
        &["get", "stdata", path],
    )));
    assert_eq!((&ended["end"], &ended["bytes"]), (&"done".into(), &20_000_000.into()));
    let path = "/backup?bytes=400000000000";
    let bulk = crate::rig::start(&mut program(&cloud, "vm", &["get", "stdata", path]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    cloud.ctl("disable Microsoft.Storage on app").unwrap();
    assert_eq!(crate::rig::printed(bulk)["end"], "reset");
    crate::rig::until("the server hears the reset, too", || {
        cloud.said().iter().any(|line| line.contains("\"reset\""))
    });
}
