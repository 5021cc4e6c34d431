//! Criterion benches of vnetem.
