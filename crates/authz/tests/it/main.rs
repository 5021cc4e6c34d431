//! Security groups, endpoint policies and firewalls: each statement, and comparisons with reference
//! implementations.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

mod endpoint_policies;
mod firewalls;
mod ordered_rules;
mod security_groups;
mod security_reference;

use proptest::prelude::ProptestConfig;

/// The number of cases of a property. Miri gets four, since each takes a thousand times as long.
fn cases(count: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { count };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
