#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects)]

mod flow;
mod fragments;
mod mapping;
mod profile;
mod settings;
mod table;
mod time;

pub use flow::cause::Cause;
pub use flow::hit::{Hit, Probe};
pub use flow::open::Opening;
pub use flow::opens::{opens, picks_up};
pub use flow::side::{Cell, Direction, Generation, Side, Sides, Zone};
pub use flow::state::State;
pub use flow::{Closing, Ended, Flow, FlowId, Found, NewFlow, OpenError, Standing, Track};
pub use fragments::{FragmentError, FragmentKey, Fragments, Span};
pub use mapping::choose::{Chosen, NoTuple, Wanted};
pub use mapping::pool::Pool;
pub use mapping::rules::{Blocks, Filtering, Limits, Mapping, MidStream, Notice, PoolRules, Rate};
pub use mapping::sharing::{Block, Inbound, Sharing};
pub use profile::{IdleMinutes, TimerProfile};
pub use settings::{Answers, HoldDown, Settings, Shared, Timers};
pub use table::FlowTable;
pub use table::counters::FlowCounters;
pub use table::keys::Keys;
pub use table::quota::{Quota, Tenant};
pub use time::Time;
