//! Network namespaces.

use std::fs::File;

use nix::sched::{CloneFlags, setns, unshare};

use crate::Failure;

/// A network namespace with its own interfaces, routes, rules and sockets. It lives as long as this
/// value, or as anything that was made in it.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes a namespace, and moves this thread into it. Commands that the thread starts run there
    /// too.
    ///
    /// # Errors
    ///
    /// The kernel does not allow it.
    pub fn new() -> Result<Self, Failure> {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| format!("cannot make a network namespace: {error}"))?;
        Ok(Self(File::open("/proc/thread-self/ns/net")?))
    }

    /// Moves this thread into the namespace.
    ///
    /// # Errors
    ///
    /// The kernel does not allow it.
    pub fn enter(&self) -> Result<(), Failure> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }
}
