//! Flows seen from outside: each rule by name, and the table against a reference implementation.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail by panic"
)]

mod closing;
mod crowded;
mod exhaustive;
mod flows;
mod fragments;
mod hits;
mod model;
mod packets;
mod ports;
mod reference;
mod rules;
mod stale;
mod tcp;
mod tenants;
mod timers;
mod world;
