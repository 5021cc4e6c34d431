//! Checks of the project's own texts: citations, names, prose and evidence.
//!
//! `VNETEM_BLESS=1 cargo test -p vnetem-checks` writes what is generated, and lowers what is
//! counted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod bare;
mod citations;
mod commands;
mod conformance;
mod evidence;
mod files;
mod known;
mod names;
mod pages;

mod prose;
mod statements;
mod table;
mod words;
