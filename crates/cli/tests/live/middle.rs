//! What stands between hosts: links and appliances.

use std::time::{Duration, Instant};

use vnetem_checks::skip;

use crate::rig::{ACCOUNT, cloud, printed, program, start, stdout, until, whoami};

const HUB: &str = "\
vnet     net 10.0.0.0/16
subnet   app 10.0.0.0/24 in net nat 20.31.0.10
subnet   hub 10.0.9.0/24 in net nat 20.31.0.99
service  Microsoft.Storage 20.60.0.0/16
resource stdata 20.60.26.10 of Microsoft.Storage
host     vm 10.0.0.4 in app
host     www 203.0.113.80 on internet serves by \"PROGRAM serve 80\"
serve    stdata by \"PROGRAM serve 80\"
route    app 0.0.0.0/0 to appliance 10.0.9.4
";

/// a simulated appliance translates; the endpoint goes past it.
#[test]
fn simulated_appliance_stands_between() {
    let scenario = format!("{HUB}appliance fw 10.0.9.4 in hub\n");
    let Some(cloud) = cloud("simulated_appliance_stands_between", &scenario) else { return };
    assert_eq!(whoami(&cloud, "vm", ACCOUNT), "20.31.0.99");
    let path = "/film?bytes=5000000";
    assert_eq!(printed(start(&mut program(&cloud, "vm", &["get", "www", path])))["end"], "done");
    cloud.ctl("enable Microsoft.Storage on app").unwrap();
    assert_eq!(whoami(&cloud, "vm", ACCOUNT), "10.0.0.4");
    assert_eq!(whoami(&cloud, "vm", "www"), "20.31.0.99");
}

/// U-07: a host of Linux forwards packets of others as they are.
#[test]
fn linux_host_forwards() {
    let scenario = "\
vnet     net 10.0.0.0/16
subnet   app 10.0.0.0/24 in net
subnet   db  10.0.2.0/24 in net
subnet   hub 10.0.9.0/24 in net
host     vm 10.0.0.4 in app
host     sql 10.0.2.4 in db serves by \"PROGRAM serve 80\"
host     fw 10.0.9.4 in hub forwarding
route    app 10.0.2.0/24 to appliance 10.0.9.4
route    db 10.0.0.0/24 to appliance 10.0.9.4
";
    let Some(cloud) = cloud("linux_host_forwards", scenario) else { return };
    assert_eq!(whoami(&cloud, "vm", "sql"), "10.0.0.4");
    let path = "/film?bytes=50000000";
    assert_eq!(printed(start(&mut program(&cloud, "vm", &["get", "sql", path])))["end"], "done");
    let seen = cloud.seen("sql").unwrap();
    assert!(seen.iter().all(|call| call["from"] == "fw"), "{seen:?}");
    let mut redirects = cloud.command("fw", "cat");
    redirects.arg("/proc/sys/net/ipv4/conf/eth0/send_redirects");
    assert_eq!(stdout(&redirects.output().unwrap()), "0");
}

/// a host of Linux that translates, as a firewall to the internet does.
#[test]
fn linux_host_masquerades() {
    let scenario = format!("{HUB}host fw 10.0.9.4 in hub forwarding\n");
    let test = "linux_host_masquerades";
    let Some(cloud) = cloud(test, &scenario) else { return };
    let rules = "add table ip t; add chain ip t p { type nat hook postrouting priority 100; }; \
                 add rule ip t p oifname eth0 masquerade";
    match cloud.command("fw", "nft").arg(rules).output() {
        Ok(done) if done.status.code() == Some(127) => return skip(test, "there is no nft"),
        done => assert!(done.as_ref().is_ok_and(|done| done.status.success()), "{done:?}"),
    }
    assert_eq!(whoami(&cloud, "vm", "www"), "20.31.0.99");
    let path = "/film?bytes=50000000";
    assert_eq!(printed(start(&mut program(&cloud, "vm", &["get", "www", path])))["end"], "done");
}

const PAIR: &str = "\
vnet   net 10.0.0.0/16
subnet app 10.0.0.0/24 in net
host   a 10.0.0.4 in app
host   b 10.0.0.5 in app serves by \"PROGRAM echo 7\"
host   c 10.0.0.6 in app serves by \"PROGRAM serve 80\"
";

#[test]
fn link_delays_its_host_only() {
    let scenario = format!("{PAIR}link a delay 40ms\nhost d 10.0.0.7 in app\n");
    let Some(cloud) = cloud("link_delays_its_host_only", &scenario) else { return };
    let ask =
        |host: &str| program(&cloud, host, &["ask", "10.0.0.5:7", "10", "100"]).output().unwrap();
    until("the echo answers", || ask("d").status.success());
    let took = |host: &str| {
        let began = Instant::now();
        assert_eq!(stdout(&ask(host)), "10");
        began.elapsed()
    };
    // Ten rounds, both ways.
    assert!(took("a") >= Duration::from_millis(800));
    assert!(took("d") < Duration::from_millis(400));
}

#[test]
fn tcp_survives_a_bad_link() {
    let bad = "link a delay 2ms jitter 1ms loss 2% duplicate 1% reorder 5% corrupt 0.5%\n";
    let Some(cloud) = cloud("tcp_survives_a_bad_link", &format!("{PAIR}{bad}")) else { return };
    whoami(&cloud, "a", "c");
    let path = "/film?bytes=2000000";
    let ended = printed(start(&mut program(&cloud, "a", &["get", "c", path])));
    assert_eq!((&ended["end"], &ended["bytes"]), (&"done".into(), &2_000_000.into()));
}
