//! What is known of one TCP connection of a host.

use core::net::SocketAddrV4;

use vnetem_nat::Time;

use crate::blob;

/// Number of a connection at its host; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) usize);

/// A TCP connection as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This end.
    pub local: SocketAddrV4,
    /// The other end.
    pub remote: SocketAddrV4,
    /// Who opened it.
    pub role: Role,
    /// How it stands.
    pub status: Status,
    /// When it was opened.
    pub opened: Time,
    /// When the status became what it is.
    pub changed: Time,
    /// Bytes received, in order and without gaps.
    pub received: u64,
    /// Bytes handed to TCP; not all need have reached the other end.
    pub sent: u64,
    /// The first bytes received, up to [`Connection::HEAD_LIMIT`]: the head of a response and the
    /// body of a short one.
    pub head: Vec<u8>,
    /// FNV-1a of all bytes received: equal streams have equal digests.
    pub digest: u64,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// This host called.
    Client,
    /// This host was called.
    Server,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The handshake is not over.
    Connecting,
    /// Data may flow.
    Open,
    /// The other end has closed and everything it sent was received; a server has also said all it
    /// had to say.
    Finished,
    /// A reset came on an open connection, or on one that was half open at a server.
    Reset,
    /// A reset came in answer to the SYN.
    Refused,
    /// The other end was silent for the user timeout (RFC 9293 3.8.3).
    TimedOut,
    /// This end gave up by [`Host::abort`](crate::Host::abort).
    Aborted,
}

impl Connection {
    /// How many of the first received bytes are kept.
    pub const HEAD_LIMIT: usize = 4096;

    pub(super) fn new(role: Role, local: SocketAddrV4, remote: SocketAddrV4, now: Time) -> Self {
        Self {
            local,
            remote,
            role,
            status: Status::Connecting,
            opened: now,
            changed: now,
            received: 0,
            sent: 0,
            head: Vec::new(),
            digest: blob::DIGEST_START,
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.received += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = Self::HEAD_LIMIT.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.digest = blob::digest(self.digest, bytes);
    }

    /// Moves on to `status`; what has ended stays as it ended.
    pub(super) fn turn(&mut self, now: Time, status: Status) {
        if !self.status.is_over() && self.status != status {
            self.status = status;
            self.changed = now;
        }
    }
}

impl Status {
    /// Returns whether nothing more can happen.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Connecting | Self::Open)
    }

    /// Returns the status in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Finished => "finished",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::TimedOut => "timed-out",
            Self::Aborted => "aborted",
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
