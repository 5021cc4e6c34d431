//! The keeper: the first process in the process namespace of a command. When it ends, the kernel
//! ends everything in there.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::namespaces::map_ids;
use super::os;
use super::wait::{End, spawn, take_signals, wait};

/// The verb by which the `vnetem` command is a keeper.
pub(super) const VERB: &str = "__keep";
/// Stands where nobody is to be mapped.
pub(super) const NOBODY: &str = "-";

/// Status of a command that cannot be started, as shells have it.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// Runs as a keeper if the command line asks for one, and returns its exit status. Call it before
/// anything else in `main`.
#[must_use]
pub fn keep() -> Option<u8> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != VERB {
        return None;
    }
    let arguments: Vec<OsString> = arguments.collect();
    Some(run(&arguments).unwrap_or_else(|(status, why)| {
        eprintln!("vnetem: {why}");
        status
    }))
}

fn run(arguments: &[OsString]) -> Result<u8, (u8, String)> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| (NOT_RUN, format!("{what}: {error}"))
    };
    let [life, user, program, rest @ ..] = arguments else {
        return Err((NOT_RUN, "a keeper needs a lifeline, a user and a command".into()));
    };
    let life = claim(&life.to_string_lossy()).map_err(failed("the lifeline"))?;
    let Some(life) = life else { return Ok(NOT_RUN) };
    // What `ps` shows are the command's own processes, where the kernel allows a new /proc.
    if unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        let _ = mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>);
    }
    if let Some((uid, gid)) = parse_user(&user.to_string_lossy()) {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| failed("--as-me")(os(error)))?;
        map_ids((uid, 0), (gid, 0)).map_err(failed("--as-me"))?;
    }
    let signals = take_signals().map_err(failed("signals"))?;
    let child = spawn(Command::new(program).args(rest)).map_err(|error| {
        let status = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN };
        (status, format!("{}: {error}", program.to_string_lossy()))
    })?;
    match wait(&child, &signals, life.as_fd()).map_err(failed("waiting"))? {
        End::Status(status) => Ok(status),
        End::Abandoned => Ok(NOT_RUN),
    }
}

/// Takes over an inherited pipe by its number; nothing if its other end is gone already.
fn claim(number: &str) -> io::Result<Option<File>> {
    let number: i32 = number.parse().map_err(|_| ErrorKind::InvalidInput)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let mut file = options.open(format!("/proc/self/fd/{number}"))?;
    nix::unistd::close(number).map_err(os)?;
    match file.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(file)),
        Err(error) => Err(error),
        Ok(_) => Ok(None),
    }
}

fn parse_user(text: &str) -> Option<(u32, u32)> {
    let (uid, gid) = text.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}
