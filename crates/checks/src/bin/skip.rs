//! Does what a test does that cannot run here. `tests/skips.rs` runs it under variables of its own.

use vnetem_checks::{flag, number, skip};

fn main() {
    let _ = number("VNETEM_SEQUENCES");
    let _ = flag("VNETEM_BLESS");
    skip("the inner test", "it was asked to");
}
