//! Live networks: real programs of this machine in an emulated cloud. Where namespaces are not
//! allowed the tests say that they are skipped.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::zombie_processes,
    reason = "a test that cannot go on has failed"
)]

mod attached;
mod calls;
mod endings;
mod example;
mod middle;
mod offload;
mod rig;
mod toggles;
mod words;
