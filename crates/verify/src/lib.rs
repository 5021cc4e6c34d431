//! Verifies a forwarding path: a reference model, a harness that compares, and what draws its
//! inputs.
//!
//! | module | what it is |
//! |---|---|
//! | [`model`] | the behaviour that the statements ask for, written slowly and obviously |
//! | [`harness`] | sequences of packets, edits and time, played by the data plane and by the model |
//! | [`fuzz`] | the bodies of the fuzz targets |
//! | [`scopes`] | exhaustive checks of small state spaces |
//! | [`strategies`] | proptest strategies for packets: of every kind, and such as nobody should send |
//! | [`captures`], [`seeds`] | directories of captures, and fuzz seeds cut from them |
//! | [`toggling`] | an endpoint toggled under live TCP over bad links |
//!
//! `examples/fuzz_your_path.rs` puts a forwarding path of your own under these strategies.

pub mod captures;
pub mod fuzz;
pub mod harness;
pub mod model;
pub mod scopes;
pub mod seeds;
pub mod toggling;

pub use vnetem_packet_text::strategies;
