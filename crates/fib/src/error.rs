use std::error::Error;
use std::fmt;

use ipnet::Ipv4Net;

/// Why a table refused a route. The table is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The prefix has bits set behind its length; [`Ipv4Net::trunc`] would clear them.
    HostBits(Ipv4Net),
    /// The table already holds as many distinct values as its widest permitted code can number.
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
