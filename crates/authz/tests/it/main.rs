//! Security groups, endpoint policies and the firewalls of services: each statement, and each fast
//! thing against its plain twin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

mod endpoint_policies;
mod firewalls;
mod ordered_rules;
mod security_groups;
mod security_twin;

use proptest::prelude::ProptestConfig;

/// So many cases of a property; four for Miri, which takes a thousand times as long for each.
fn cases(count: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { count };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
