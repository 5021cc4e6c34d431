//! What must hold at release strength, in a share for every day: faults, small state spaces,
//! captures, soak.
//!
//! `docs/assurance.md` names the commands for more, and `docs/data` has what was reached.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that cannot be set up must fail; numbers are small"
)]

mod captures;
mod control;
mod exhaustive;
mod floods;
mod input;
mod limits;
mod rig;
mod soak;
mod time;
