//! A share of each small state space. `cargo scopes` checks all of them.

use vnetem_verify::scopes::{Extent, SCOPES};

/// INV-malformed-headers-dropped, INV-checksum-update-exact, INV-udp-zero-checksum,
/// INV-mapping-unique, INV-refused-only-when-full, INV-reset-answers-segment,
/// INV-bad-fragments-dropped, INV-deadline-exact.
#[test]
fn every_scope_holds_in_its_share() {
    let states: u64 = SCOPES.map(|scope| (scope.run)(Extent::Share)).iter().sum();
    assert!(states > 10_000_000, "only {states} states");
}
