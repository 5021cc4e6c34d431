//! Starting commands in hosts, each in a process namespace of its own.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::pipe2;

use super::keeper::{NOBODY, VERB};
use super::namespaces::{Spaces, Users};
use super::os;

/// The end of a pipe that keeps a command alive: when it is closed, by whatever, everything that
/// the command has started ends.
#[derive(Debug)]
pub(super) struct Lifeline(#[expect(dead_code, reason = "it only has to be open")] OwnedFd);

/// A command in a host.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    life: Lifeline,
}

/// What to start, and which user it sees.
pub(super) struct Task<'a> {
    pub(super) host: &'a str,
    pub(super) cloud: &'a str,
    pub(super) words: &'a [OsString],
    /// Whose number the command sees as its own, instead of root's.
    pub(super) user: Option<Users>,
}

impl Task<'_> {
    /// Starts the keeper of the command from a thread that is in the host already. The child is the
    /// first process of a new process namespace.
    pub(super) fn start(&self, prepare: impl FnOnce(&mut Command)) -> io::Result<Running> {
        let (theirs, ours) = pipe2(OFlag::O_CLOEXEC).map_err(os)?;
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).map_err(os)?;
        unshare(CloneFlags::CLONE_NEWPID).map_err(os)?;
        let user = self.user.map(|user| format!("{}:{}", user.uid, user.gid));
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(VERB)
            .arg(theirs.as_raw_fd().to_string())
            .arg(user.as_deref().unwrap_or(NOBODY))
            .args(self.words)
            .env("VNETEM_HOST", self.host)
            .env("VNETEM_NAME", self.cloud);
        prepare(&mut command);
        let child = command.spawn()?;
        Ok(Running { child, life: Lifeline(ours) })
    }
}

/// What the standard streams of a command are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// Those of the router.
    Inherited,
    /// No input, and all output goes where the router's errors go: of a server.
    Server,
}

/// Starts a command in a host, in a folder of the machine.
pub(super) fn start(
    spaces: &Arc<Spaces>,
    (host, cloud): (&str, &str),
    words: &[OsString],
    streams: Streams,
    folder: &Path,
) -> io::Result<Running> {
    let (spaces, host, cloud) = (Arc::clone(spaces), host.to_owned(), cloud.to_owned());
    let (words, folder) = (words.to_vec(), folder.to_owned());
    // A thread of its own, since it goes into the host and does not come back.
    let started = std::thread::spawn(move || {
        let folder = folder.canonicalize()?;
        spaces.join().map_err(os)?;
        std::env::set_current_dir(&folder)?;
        let task = Task { host: &host, cloud: &cloud, words: &words, user: None };
        task.start(|command| {
            if streams == Streams::Server {
                command.stdin(Stdio::null()).stdout(io::stderr());
            }
        })
    });
    started.join().unwrap_or_else(|_| Err(io::Error::other("starting a command failed")))
}

impl Running {
    /// TupleKey the command and everything that it has started, and waits until it is gone.
    pub(super) fn end(self) {
        let Self { mut child, life } = self;
        drop(life);
        let _ = child.wait();
    }
}
