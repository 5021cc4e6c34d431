//! Waiting for a command, with its signals handed on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::os;

/// Signals that whoever waits takes instead of dying by them.
const TAKEN: [Signal; 7] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The sender of a signal that is no process, such as a terminal, whose signals reach the command
/// too (`SI_KERNEL`).
const BY_KERNEL: i32 = 128;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this status: its own, or 128 and the number of the signal that killed it.
    Status(u8),
    /// The other end of its lifeline is gone.
    Abandoned,
}

/// Takes the signals of this thread from now on, and of those that it starts.
pub(super) fn take_signals() -> io::Result<SignalFd> {
    let mask: SigSet = TAKEN.into_iter().collect();
    mask.thread_block().map_err(os)?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(os)
}

/// Starts a command that takes its own signals, which it would not do with what this thread passes
/// on.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mask: SigSet = TAKEN.into_iter().collect();
    mask.thread_unblock().map_err(os)?;
    let child = command.spawn();
    mask.thread_block().map_err(os)?;
    child
}

/// Waits until `child` ends or `life` has no other end any more. Children of others that ended are
/// reaped on the way.
pub(super) fn wait(child: &Child, signals: &SignalFd, life: BorrowedFd<'_>) -> io::Result<End> {
    let child = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    loop {
        while let Some(signal) = signals.read_signal().map_err(os)? {
            let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
            let Ok(signal_is) = Signal::try_from(number) else { continue };
            let typed = matches!(signal_is, Signal::SIGINT | Signal::SIGQUIT);
            if signal_is == Signal::SIGCHLD || typed && signal.ssi_code == BY_KERNEL {
                continue;
            }
            // It may have ended just now.
            let _ = kill(child, signal_is);
        }
        if let Some(status) = reap(child)? {
            return Ok(End::Status(status));
        }
        let mut watched =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(life, PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other.map_err(os)?,
        };
        let [_, life] = watched;
        // Nothing is ever written to it.
        if life.revents().is_some_and(|events| !events.is_empty()) {
            return Ok(End::Abandoned);
        }
    }
}

/// Reaps all that has ended; the status of `child` if it is among them.
fn reap(child: Pid) -> io::Result<Option<u8>> {
    let mut status = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                status = Some(u8::try_from(code & 255).unwrap_or(u8::MAX));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                status = Some(128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0)));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(status),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(os(error)),
        }
    }
}
