//! Security groups, endpoint policies and the firewalls of services: each statement, and each fast thing against its plain twin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

mod endpoint_policies;
mod firewalls;
mod ordered_rules;
mod security_groups;
mod security_twin;
