//! The world around a data plane, on virtual time.

mod link;

pub use link::{Link, LinkCounters, LinkSettings};
