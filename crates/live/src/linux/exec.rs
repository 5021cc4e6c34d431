//! `vnetem exec`: a command of this terminal in a host of a network that is up.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, setns};

use super::client::enter;
use super::namespaces::Users;
use super::os;
use super::spawn::Task;
use super::wait::{End, take_signals, wait};
use crate::LiveError;

/// Runs a command in a host and gives its exit status: its own, or 128 and the number of the signal
/// that killed it. This process must have one thread. With `as_me` the command sees the user that
/// started it, and not root.
///
/// # Errors
///
/// There is no such network or host, or the command cannot be started there.
pub fn exec(cloud: &str, host: &str, as_me: bool, words: &[OsString]) -> Result<u8, LiveError> {
    let signals = take_signals().map_err(LiveError::system("signals"))?;
    let entrance = enter(cloud, host)?;
    let Users { own, uid, gid } = entrance.users;
    join(&entrance.namespaces, own).map_err(LiveError::system(format!("entering {host}")))?;
    let user = (as_me && own).then_some(Users { own, uid, gid });
    let task = Task { host, cloud, words, user };
    let running = task.start(|_| {}).map_err(LiveError::system("the keeper of the command"))?;
    match wait(&running.child, &signals, entrance.stream.as_fd()) {
        Ok(End::Status(status)) => Ok(status),
        Ok(End::Abandoned) => Err(LiveError::Refused(format!("the network {cloud} went down"))),
        Err(error) => Err(LiveError::system("waiting")(error)),
    }
}

fn join(namespaces: &[std::os::fd::OwnedFd], own_users: bool) -> io::Result<()> {
    let [users, net, mounts] = namespaces else { return Err(io::ErrorKind::InvalidData.into()) };
    let here = std::env::current_dir()?;
    if own_users {
        setns(users, CloneFlags::CLONE_NEWUSER).map_err(os)?;
    }
    setns(net, CloneFlags::CLONE_NEWNET).map_err(os)?;
    setns(mounts, CloneFlags::CLONE_NEWNS).map_err(os)?;
    std::env::set_current_dir(here)
}
