//! What the tests share: a network, and small real programs in it.

use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use vnetem_checks::{flag, skip};
use vnetem_live::{Cloud, unavailable};

pub(crate) const VNETEM: &str = env!("CARGO_BIN_EXE_vnetem");
pub(crate) const ACCOUNT: &str = "stdata.blob.core.windows.net";
pub(crate) const ENABLE: &str = "enable Microsoft.Storage on net-a/app";
pub(crate) const DISABLE: &str = "disable Microsoft.Storage on net-a/app";

/// Two networks with equal addresses, a storage account and a web server, both real.
pub(crate) const NETWORK: &str = "\
vnet      net-a 10.0.0.0/16
vnet      net-b 10.0.0.0/16
subnet    app  10.0.0.0/24 in net-a  nat 20.31.0.10
subnet    app  10.0.0.0/24 in net-b  nat 20.31.0.20
service   Microsoft.Storage 20.60.0.0/16
resource  stdata 20.60.26.10 of Microsoft.Storage
host      vm-a 10.0.0.4 in net-a/app
host      vm-b 10.0.0.4 in net-b/app
host      www  203.0.113.80 on internet serves by \"PROGRAM serve 80\"
serve     stdata by \"PROGRAM serve 80\"
";

/// A scenario with the small programs of this command in place of PROGRAM.
pub(crate) fn text(scenario: &str) -> String {
    scenario.replace("PROGRAM", &format!("{VNETEM} __program"))
}

/// Makes a skip a failure if it is 1: set where live networks are known to be possible.
const REQUIRE: &str = "VNETEM_REQUIRE_LIVE";

/// Whether live networks are possible here; where they are not, that is said.
pub(crate) fn is_possible(test: &str) -> bool {
    let Some(why) = unavailable() else { return true };
    assert!(!flag(REQUIRE), "{test} cannot run, but {REQUIRE} is 1: {why}");
    skip(test, why);
    false
}

/// A network of a scenario; nothing where that cannot be, which is said under the name of the test.
pub(crate) fn cloud(test: &str, scenario: &str) -> Option<Cloud> {
    cloud_with(test, scenario, &[])
}

pub(crate) fn cloud_with(test: &str, scenario: &str, options: &[&str]) -> Option<Cloud> {
    if !is_possible(test) {
        return None;
    }
    Some(Cloud::of_with(&text(scenario), options).unwrap())
}

/// One of the small programs, in a host.
pub(crate) fn program(cloud: &Cloud, host: &str, words: &[&str]) -> Command {
    let mut command = cloud.command(host, VNETEM);
    command.arg("__program").args(words).stdin(Stdio::null());
    command
}

pub(crate) fn stdout(output: &Output) -> &str {
    core::str::from_utf8(&output.stdout).unwrap().trim()
}

/// What a server sees of a host, once it listens.
pub(crate) fn whoami(cloud: &Cloud, host: &str, server: &str) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let output = program(cloud, host, &["get", server, "/whoami"]).output().unwrap();
        if output.status.success() {
            return stdout(&output).strip_prefix("200 ").unwrap().to_owned();
        }
        assert!(Instant::now() < until, "{output:?} {:?}", cloud.said());
        sleep(Duration::from_millis(20));
    }
}

/// Starts a program whose output is read later.
pub(crate) fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a program has printed at its end, as JSON.
pub(crate) fn printed(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    serde_json::from_str(stdout(&output)).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(5));
    }
}
