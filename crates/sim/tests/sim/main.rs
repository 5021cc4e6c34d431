//! Async code on virtual time: what it sees of the network, and how a run ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod azure;
mod clock;
mod control;
mod edges;
mod endings;
mod gateway;
mod sockets;
mod stress;
mod toggles;
mod udp;
mod wakes;
