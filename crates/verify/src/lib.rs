//! Verifies a forwarding path: with a reference model, a harness that compares, and generators of
//! input.
//!
//! | module | what it is |
//! |---|---|
//! | [`model`] | a slow and obvious implementation, written from the statements |
//! | [`harness`] | plays sequences of packets, edits and time with the data plane and the model |
//! | [`fuzz`] | bodies of the fuzz targets |
//! | [`exhaustive`] | exhaustive checks of small state spaces |
//! | [`strategies`] | proptest strategies for valid and hostile packets |
//! | [`captures`], [`seeds`] | directories of captures, and fuzz seeds cut from them |
//! | [`toggling`] | an endpoint toggled under live TCP over bad links |
//!
//! `examples/fuzz_your_path.rs` fuzzes a forwarding path of your own with these strategies.

pub mod captures;
pub mod exhaustive;
pub mod fuzz;
pub mod harness;
pub mod model;
pub mod said;
pub mod seeds;
pub mod toggling;

pub use vnetem_packet_text::strategies;
