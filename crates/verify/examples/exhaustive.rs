//! Checks every small state space completely and sums the states:
//!
//! ```text
//! cargo run --release -p vnetem-verify --example exhaustive
//! ```

use std::time::Instant;

use vnetem_verify::exhaustive::{CHECKS, Extent};

fn main() {
    let mut sum = 0;
    for check in CHECKS {
        let begun = Instant::now();
        let states = (check.run)(Extent::Whole);
        sum += states;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{:30} {states:12} states {seconds:6.1} s  {}", check.invariant, check.what);
    }
    println!("{sum} states in all");
}
