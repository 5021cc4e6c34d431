//! How a run ends that does not end well.

use core::time::Duration;

use thiserror::Error;

/// What async code of a simulation fails with.
pub type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// What the code of a host returns.
pub type Outcome = Result<(), BoxError>;

/// Why a simulation did not end well: who, when, and what happened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimError {
    /// The code of a host returned an error.
    #[error("{host} failed at {at:?}: {}", chain(.error.as_ref()))]
    Failed {
        /// The host.
        host: String,
        /// The time since the start.
        at: Duration,
        /// What its code returned.
        error: BoxError,
    },
    /// The code of a host panicked, or a task that held one of its sockets did.
    #[error("{host} panicked at {at:?}: {message}")]
    Panicked {
        /// The host.
        host: String,
        /// The time since the start.
        at: Duration,
        /// The panic's message.
        message: String,
    },
    /// Nothing can happen any more, or the limit of the run was reached.
    #[error(
        "at {at:?} still waiting: {}; the last packet moved at {last_packet:?}",
        .waiting.join(", ")
    )]
    Stuck {
        /// The time since the start.
        at: Duration,
        /// When the data plane last saw a packet.
        last_packet: Duration,
        /// The clients that have not finished, and what their sockets wait for.
        waiting: Vec<String>,
    },
    /// Two runs with the same seed differ.
    #[error("two runs differ in packet {number}: first {first}, then {second}")]
    Diverged {
        /// Number of the packet, from 1.
        number: usize,
        /// The packet in the first run.
        first: String,
        /// The packet in the second run.
        second: String,
    },
    /// The simulation was put together wrongly.
    #[error("{0}")]
    Setup(String),
}

/// An error and its causes.
fn chain(error: &(dyn core::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
