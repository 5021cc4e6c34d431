//! Checks every small state space completely and sums the states:
//!
//! ```text
//! cargo run --release -p vnetem-verify --example scopes
//! ```

use std::time::Instant;

use vnetem_verify::scopes::{Extent, SCOPES};

fn main() {
    let mut sum = 0;
    for scope in SCOPES {
        let begun = Instant::now();
        let states = (scope.run)(Extent::Whole);
        sum += states;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{:30} {states:12} states {seconds:6.1} s  {}", scope.invariant, scope.what);
    }
    println!("{sum} states in all");
}
