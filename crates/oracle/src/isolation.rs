//! Tests that need namespaces: run where they can, said to be skipped where they cannot.

use std::process::Command;

use nix::unistd::geteuid;
use vnetem_checks::{flag, skip};

use crate::{Failure, Namespace, Tun, command};

/// Turns a skip into a failure: set where the kernel is known to be there.
const REQUIRE: &str = "VNETEM_REQUIRE_KERNEL";
/// Set for the copy of this process that has a user namespace.
const INSIDE: &str = "VNETEM_INSIDE_NAMESPACE";

/// Runs a test in a thread that may make network namespaces and has these commands; a user that is
/// not root gets a user namespace, in another process that runs this one test. Where that cannot
/// be, [`vnetem_checks::skip`] says that it is skipped, and why.
///
/// # Panics
///
/// If the test fails; and if it cannot run although the variable `VNETEM_REQUIRE_KERNEL` or
/// `VNETEM_NO_SKIPS` is 1.
#[expect(clippy::panic, reason = "a test fails by panic")]
pub fn isolated(name: &str, commands: &[&str], test: fn() -> Result<(), Failure>) {
    let outcome = if geteuid().is_root() || std::env::var_os(INSIDE).is_some() {
        match can_run(commands) {
            Ok(()) => test().map_err(|failure| panic!("{name}: {failure}")),
            Err(missing) => Err(missing),
        }
    } else {
        in_user_namespace(name).map(|passed| assert!(passed, "{name} failed in its namespace"))
    };
    if let Err(missing) = outcome {
        assert!(!flag(REQUIRE), "{name} cannot run, but {REQUIRE} is 1: {missing}");
        skip(name, missing);
    }
}

/// Whether this thread's process may do what the tests do.
fn can_run(commands: &[&str]) -> Result<(), Failure> {
    for name in commands {
        command(name, &["--version"]).or_else(|_| command(name, &["-V"]))?;
    }
    // In a thread of its own, which takes the namespace with it.
    let probe = std::thread::spawn(|| {
        let _namespace = Namespace::new()?;
        Tun::open("probe").map(|_| ())
    });
    probe.join().unwrap_or_else(|_| Err("the probe failed".into()))
}

fn in_user_namespace(name: &str) -> Result<bool, Failure> {
    let allowed = Command::new("unshare").args(["--user", "--map-root-user", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return Err("neither root nor allowed to make user namespaces".into());
    }
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()?;
    Ok(status.success())
}
