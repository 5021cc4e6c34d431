//! Small scopes: a share of each; `cargo scopes` sees all of them.

use vnetem_verify::scopes::{Extent, SCOPES};

/// P2, W2, W4, N1, N9, R4, F3, T5.
#[test]
fn every_scope_holds_in_its_share() {
    let states: u64 = SCOPES.map(|scope| (scope.run)(Extent::Share)).iter().sum();
    assert!(states > 10_000_000, "only {states} states");
}
