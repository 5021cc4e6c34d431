//! Explanations of packets, which [`DataPlane::trace`](crate::DataPlane::trace) makes.

pub use crate::pipeline::trace::{FlowStep, RegionChoice, Step, Trace};
