//! What has to hold at release strength, a share of it for every day: faults, small scopes,
//! captures of others, soak.
//!
//! `docs/assurance.md` names the commands that go on from here; `docs/data` says what was reached.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that cannot be set up must fail; numbers are small"
)]

mod captures;
mod control;
mod floods;
mod input;
mod limits;
mod rig;
mod scopes;
mod soak;
mod time;
