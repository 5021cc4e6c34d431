//! What a change does to traffic, from files to answers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod closings;
mod forced_tunnel;
mod questions;
mod setup;
mod steps;
mod traffic;
