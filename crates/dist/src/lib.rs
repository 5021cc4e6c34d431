//! Replays captures and tries changes over several workers, processes and machines.
//!
//! The `vnetem-dist` command does what `vnetem replay` and `vnetem what-if` do, where one machine
//! has too little memory or too few cores. It runs on [timely dataflow](https://docs.rs/timely):
//! one program, no services. The guide `docs/guide/machines.md` says how to start it and how far
//! it goes.
//!
//! Networks that share public addresses, or are connected, belong together. Each worker plays some
//! of these groups. A second of the captures is an epoch: it is played when every reader is past
//! it, and the change is a message of its epoch. So every number of workers and processes gives
//! the same packets, counts and reports.
//!
//! A [`Cluster`] is what timely's own arguments say. [`replay()`] and [`what_if()`] take one, with
//! the options of the command. [`shard()`] cuts captures beforehand.
//!
//! ```
//! use vnetem_dist::{Cluster, DistError};
//!
//! fn main() -> Result<(), DistError> {
//!     let cluster = Cluster::from_args(["-w", "2"].map(String::from))?;
//!     assert_eq!(cluster.workers(), 2);
//!     Ok(())
//! }
//! ```

mod batch;
mod captures;
mod cluster;
mod cut;
mod error;
mod job;
mod output;
mod replay;
mod what_if;

pub use cluster::Cluster;
pub use cut::{Parts, Shard, shard};
pub use error::DistError;
pub use replay::{Replay, Replayed, replay};
pub use what_if::{Answer, WhatIf, what_if};
