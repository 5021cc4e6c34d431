//! Runs tests in namespaces where that is possible, and reports a skip elsewhere.

use std::process::Command;

use nix::unistd::geteuid;
use vnetem_checks::{flag, skip};

use crate::{Failure, Namespace, Tun, command};

/// Turns a skip into a failure. Set it where a kernel with NAT is available.
const REQUIRE: &str = "VNETEM_REQUIRE_KERNEL";
/// Is set for the copy of this process that has a user namespace.
const INSIDE: &str = "VNETEM_INSIDE_NAMESPACE";

/// Runs a test in a thread that may make network namespaces, if these commands exist. A user other
/// than root gets a user namespace, in another process that runs this one test. Elsewhere
/// [`vnetem_checks::skip`] reports the skip and its reason.
///
/// # Panics
///
/// The test fails. Or it cannot run although the variable `VNETEM_REQUIRE_KERNEL` or
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

/// Checks whether this process may do what the tests do.
fn can_run(commands: &[&str]) -> Result<(), Failure> {
    for name in commands {
        command(name, &["--version"]).or_else(|_| command(name, &["-V"]))?;
    }
    // In a thread of its own, with which the namespace ends.
    let attempt = std::thread::spawn(|| {
        let _namespace = Namespace::new()?;
        Tun::open("attempt").map(|_| ())
    });
    attempt.join().unwrap_or_else(|_| Err("the attempt failed".into()))
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
