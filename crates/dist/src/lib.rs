//! Replays captures and tries changes over several processes and machines, on timely dataflow.

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
