use std::error::Error;
use std::fmt;

use ipnet::Ipv4Net;

/// Why a table refused a route; it is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The prefix has ones behind its length; [`Ipv4Net::trunc`] would drop them.
    HostBits(Ipv4Net),
    /// Every number that the widest permitted code can hold stands for a value in use.
    ValuesExhausted {
        /// How many distinct values the table can hold.
        limit: u32,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostBits(prefix) => write!(f, "prefix {prefix} has host bits set"),
            Self::ValuesExhausted { limit } => {
                write!(f, "all {limit} distinct values that the table can hold are in use")
            }
        }
    }
}

impl Error for RouteError {}
