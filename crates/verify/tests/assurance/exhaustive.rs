//! A share of each small state space. `cargo exhaustive` checks all of them.

use vnetem_verify::exhaustive::{CHECKS, Extent};

/// INV-malformed-headers-dropped, INV-checksum-update-exact, INV-udp-zero-checksum,
/// INV-mapping-unique, INV-refused-only-when-full, INV-reset-answers-segment,
/// INV-bad-fragments-dropped, INV-deadline-exact.
#[test]
fn every_exhaustive_check_share_passes() {
    let states: u64 = CHECKS.map(|check| (check.run)(Extent::Share)).iter().sum();
    assert!(states > 10_000_000, "only {states} states");
}
