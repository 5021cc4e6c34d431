//! Security groups: each statement, and each fast thing against its plain twin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

mod security_groups;
mod security_twin;
