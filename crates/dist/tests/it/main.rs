//! Any number of workers and processes gives the same packets, counts and answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(unix)]
mod guide;
mod made;
mod replays;
mod run;
mod what_ifs;
