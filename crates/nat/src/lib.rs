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
pub use flow::hit::{Hit, Lookup};
pub use flow::open::Opening;
pub use flow::opens::{opens, picks_up};
pub use flow::side::{Direction, Generation, RevalidationKey, Side, Sides, Zone};
pub use flow::state::State;
pub use flow::track::Followed;
pub use flow::{Ended, Flow, FlowId, Found, NewFlow, OpenError, Resets, Standing, Track};
pub use fragments::{FragmentError, FragmentKey, Fragments, Span};
pub use mapping::choose::{Chosen, NoTuple, Wanted};
pub use mapping::mapping_policy::{Block, Inbound, MappingPolicy};
pub use mapping::pool::Pool;
pub use mapping::rules::{
    Blocks, Filtering, Limits, LoosePickup, Mapping, OnExhaustion, PoolRules, Rate,
};
pub use profile::{IdleMinutes, TimerProfile};
pub use settings::{Answers, HoldDown, Settings, Shared, Timers};
pub use table::FlowTable;
pub use table::counters::FlowCounters;
pub use table::keys::Keys;
pub use table::quota::{Quota, Tenant};
pub use time::Time;

pub use vnetem_packet as packet;
