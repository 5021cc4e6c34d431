//! Whatever is killed, nothing remains.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use vnetem_live::{Cloud, names_of_clouds};

use crate::rig::{ACCOUNT, NETWORK, VNETEM, cloud, printed, program, start, until, whoami};

/// Processes that were started in a network.
fn processes(cloud: &str) -> Vec<String> {
    let marker = format!("VNETEM_NAME={cloud}");
    let all = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
    });
    let name = |process: fs::DirEntry| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    };
    all.map(name).collect()
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// A command with a child of its own that hangs on.
fn stubborn(cloud: &Cloud) -> std::process::Child {
    let mut command = cloud.command("vm-a", "sh");
    command.args(["-c", "trap '' TERM HUP INT; sleep 1000 & (sleep 1001 &) ; sleep 1002"]);
    let child = start(&mut command);
    until("it runs", || processes(cloud.name()).iter().any(|it| it.contains("sleep 1002")));
    child
}

#[test]
fn killed_router_leaves_nothing() {
    let Some(cloud) = cloud("killed_router_leaves_nothing", NETWORK) else { return };
    whoami(&cloud, "vm-a", ACCOUNT);
    let mut child = stubborn(&cloud);
    assert!(processes(cloud.name()).len() > 5, "{:?}", processes(cloud.name()));
    kill("-9", cloud.router());
    until("all are gone", || processes(cloud.name()).is_empty());
    until("its socket is gone", || !names_of_clouds().contains(&cloud.name().to_owned()));
    assert!(!child.wait().unwrap().success());
    assert!(cloud.ctl("counters").unwrap_err().to_string().contains("there is no live network"));
}

#[test]
fn killed_caller_of_exec_leaves_nothing() {
    let Some(cloud) = cloud("killed_caller_of_exec_leaves_nothing", NETWORK) else { return };
    let mut child = stubborn(&cloud);
    kill("-9", child.id());
    let sleeping = || processes(cloud.name()).iter().any(|it| it.contains("sleep 100"));
    until("what it started is gone", || !sleeping());
    child.wait().unwrap();
    whoami(&cloud, "vm-a", ACCOUNT);
}

#[test]
fn killed_command_leaves_nothing() {
    let Some(cloud) = cloud("killed_command_leaves_nothing", NETWORK) else { return };
    let mut child = stubborn(&cloud);
    let own = Command::new("pgrep").args(["-f", "^sleep 1002"]).output();
    let Ok(own) = own else { return vnetem_checks::skip("killed_command_leaves_nothing", "pgrep") };
    let pids = String::from_utf8(own.stdout).unwrap();
    // Several tests have such a command; its parent is the shell of this one.
    let of_this = pids.lines().filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(cloud.name())
    });
    let pid: u32 = of_this.last().unwrap().parse().unwrap();
    let parent = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent: u32 = parent.split_whitespace().nth(3).unwrap().parse().unwrap();
    kill("-9", parent);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 9));
    let sleeping = || processes(cloud.name()).iter().any(|it| it.contains("sleep 100"));
    until("what it started is gone", || !sleeping());
}

#[test]
fn exec_has_its_commands_status() {
    let Some(cloud) = cloud("exec_has_its_commands_status", NETWORK) else { return };
    let run = |command: &str| {
        let output = cloud.command("vm-a", "sh").args(["-c", command]).output().unwrap();
        output.status.code()
    };
    assert_eq!((run("exit 0"), run("exit 7"), run("kill -TERM $$")), (Some(0), Some(7), Some(143)));
    assert_eq!(cloud.command("vm-a", "/nowhere").output().unwrap().status.code(), Some(127));
    let unknown = cloud.command("vm-z", "true").output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("there is no host vm-z for programs; there are: vm-a, vm-b"), "{said}");
    // A signal to exec is one to its command.
    let mut command = cloud.command("vm-a", "sh");
    command.args(["-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"]);
    let child = start(&mut command);
    until("it runs", || processes(cloud.name()).iter().any(|it| it.contains("trap")));
    sleep(Duration::from_millis(300));
    kill("-TERM", child.id());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(9));
}

#[test]
fn live_with_command_ends_with_it() {
    let Some(_) = cloud("live_with_command_ends_with_it", NETWORK) else { return };
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("inside.scn");
    fs::write(&file, crate::rig::text(NETWORK)).unwrap();
    let mut live = Command::new(VNETEM);
    live.arg("live").arg(&file).args(["--name", "inside", "--in", "vm-a", "--"]);
    live.args(["sh", "-c", "echo $VNETEM_HOST; exit 5"]);
    let output = live.output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(output.stdout, b"vm-a\n");
    until("all are gone", || processes("inside").is_empty());
}

#[test]
fn sixty_networks_at_once() {
    let Some(first) = cloud("sixty_networks_at_once", NETWORK) else { return };
    let scenario = "\
vnet   net 10.0.0.0/16
subnet app 10.0.0.0/24 in net
host   a 10.0.0.4 in app
host   b 10.0.0.5 in app serves by \"PROGRAM serve 80\"
";
    let began = Instant::now();
    let all: Vec<Cloud> =
        (0..60).map(|_| Cloud::of(&crate::rig::text(scenario)).unwrap()).collect();
    for cloud in &all {
        assert_eq!(whoami(cloud, "a", "b"), "10.0.0.4");
    }
    let path = "/a?bytes=10000";
    let calls: Vec<_> =
        all.iter().map(|cloud| start(&mut program(cloud, "a", &["get", "b", path]))).collect();
    assert!(calls.into_iter().all(|call| printed(call)["end"] == "done"));
    let names: Vec<String> = all.iter().map(|cloud| cloud.name().to_owned()).collect();
    drop(all);
    until("all are gone", || names.iter().all(|name| processes(name).is_empty()));
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    drop(first);
}
