//! What this machine allows, and what to do where it does not.

use core::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::errno::Errno;

use super::cloud::program;
use super::namespaces::{Spaces, Spec, enter};
use crate::LiveError;

/// Why live networks are not possible here.
#[derive(Debug)]
pub struct Obstacle {
    what: &'static str,
    error: io::Error,
    help: &'static str,
}

const CONTAINER: &str = "in a container: run it with `--security-opt seccomp=unconfined \
     --security-opt apparmor=unconfined`, with `--cap-add SYS_ADMIN --cap-add NET_ADMIN`, or with \
     `--privileged`; on Debian also `sysctl kernel.unprivileged_userns_clone=1`";
const LIMIT: &str = "`sysctl user.max_user_namespaces=10000` allows more of them";
const MAPPING: &str = "on Ubuntu: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or an \
     AppArmor profile with `userns,` for the vnetem command";
const NO_DEVICE: &str = "`modprobe tun`; in a container: `--device /dev/net/tun`";
const CLOSED_DEVICE: &str = "`chmod 666 /dev/net/tun`, as most systems have it";
const MOUNTS: &str = "in a container: `--security-opt apparmor=unconfined`, or `--privileged`";

impl Obstacle {
    pub(super) fn users(error: io::Error) -> Self {
        let full = error.raw_os_error() == Some(Errno::ENOSPC as i32);
        let help = if full { LIMIT } else { CONTAINER };
        Self { what: "a user namespace", error, help }
    }

    pub(super) fn mapping(error: io::Error) -> Self {
        Self { what: "the user of a user namespace", error, help: MAPPING }
    }

    pub(super) fn mounts(error: io::Error) -> Self {
        Self { what: "mounts of its own", error, help: MOUNTS }
    }

    pub(super) fn device(error: io::Error) -> Self {
        let help = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EACCES | Errno::EPERM) => CLOSED_DEVICE,
            _ => NO_DEVICE,
        };
        Self { what: "/dev/net/tun", error, help }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "live needs {}: {}; {}", self.what, self.error, self.help)
    }
}

impl core::error::Error for Obstacle {}

/// Makes one host and lets it go, and says what is possible here, line by line. This process must
/// have one thread, and is in namespaces of its own afterwards.
///
/// # Errors
///
/// What is not allowed, and what to do about it.
pub fn check() -> Result<Vec<String>, LiveError> {
    let began = Instant::now();
    let users = enter().map_err(|obstacle| LiveError::Refused(obstacle.to_string()))?;
    let address = Ipv4Addr::new(10, 0, 0, 4);
    let spec = Spec { address, forwards: false, offload: true, ports: None };
    let (spaces, _device) = Spaces::make(&spec)?;
    let ports = std::thread::spawn(move || {
        spaces.join().ok()?;
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok()
    });
    let ports = ports.join().ok().flatten();
    let who = match users.own {
        true => format!("user {} is root in a user namespace", users.uid),
        false => "root, without a user namespace".to_owned(),
    };
    let kernel = match ports.as_deref().map(str::trim) {
        Some("0") => "/proc/sys can be written",
        _ => "/proc/sys is read-only: hosts have the machine's own settings",
    };
    Ok(vec![
        format!("namespaces    {who}"),
        "/dev/net/tun  works, with offload".to_owned(),
        format!("kernel        {kernel}"),
        format!("a host was up and down in {:.1?}", began.elapsed()),
    ])
}

/// Returns why live networks are not possible here, in words; `None` where they are. It runs
/// `vnetem live --check`.
#[must_use]
pub fn unavailable() -> Option<String> {
    let program = match program() {
        Ok(program) => program,
        Err(error) => return Some(error.to_string()),
    };
    let mut check = Command::new(&program);
    check.args(["live", "--check"]).stdin(Stdio::null());
    match check.output() {
        Err(error) => Some(format!("{}: {error}", program.display())),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
