//! What a service is asked over a connection, and what it answers.

use core::net::SocketAddrV4;

use vnetem::authz::ServiceAnswer;
use vnetem_nat::Time;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum App {
    /// HTTP/1.1: every path is a [`Blob`](crate::Blob).
    Http,
    /// TDS: every query is answered by rows that carry a [`Blob`](crate::Blob).
    Sql,
}

impl App {
    /// Returns the TCP port at which the application listens.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Sql => crate::sql::PORT,
        }
    }
}

/// One request at a server, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When the whole request was there.
    pub time: Time,
    /// The client as the packets name it (S-14, S-21).
    pub client: SocketAddrV4,
    /// The address at which the client called.
    pub server: SocketAddrV4,
    /// What is spoken.
    pub app: App,
    /// Which resource is called: the `Host` field, or the server's name in a SQL login.
    pub host: String,
    /// Path and query of a request; `login` for SQL.
    pub target: String,
}

/// Whether a call may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Who the caller is, in words for the access log: an address, or VNet, subnet and private
    /// address.
    pub identity: String,
    /// Why the call is refused; let in without one.
    pub refusal: Option<Refusal>,
}

/// How a service says no (P-32: over the open connection, not by silence).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, or the number of the SQL error.
    pub status: u16,
    /// Code in the response (F-16); the SQL error's number in words.
    pub code: String,
    /// Text for people.
    pub message: String,
}

/// A line of a server's access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The call: its text, its time and its caller.
    pub call: Call,
    /// The identity of the caller, from the [`Answer`].
    pub identity: String,
    /// HTTP status; the number of the SQL error, 0 for a login that was let in.
    pub status: u16,
    /// Code of the refusal.
    pub code: Option<String>,
    /// Bytes of the answer's body that were handed to the connection so far.
    pub bytes: u64,
}

impl Answer {
    /// Makes the answer that accepts a call.
    #[must_use]
    pub fn allow(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), refusal: None }
    }

    /// Makes the answer that refuses a call.
    #[must_use]
    pub fn refuse(identity: impl Into<String>, refusal: Refusal) -> Self {
        Self { identity: identity.into(), refusal: Some(refusal) }
    }
}

/// As the service that refuses words it (F-16 to F-19).
impl From<ServiceAnswer> for Refusal {
    fn from(answer: ServiceAnswer) -> Self {
        match answer {
            ServiceAnswer::Http { status, code, text } => {
                Self { status, code: code.to_owned(), message: text }
            }
            ServiceAnswer::Sql { number, text } => {
                Self { status: number, code: number.to_string(), message: text }
            }
        }
    }
}
