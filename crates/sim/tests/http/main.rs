//! What code under test sees, with hyper, tonic and axum.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../../examples/support/azure.rs"]
mod azure;
#[path = "../../examples/support/grpc.rs"]
mod grpc;
#[path = "../../examples/support/web.rs"]
mod web;

mod axum_pages;
mod grpc_calls;
mod pages;
