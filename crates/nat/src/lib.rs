#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects)]

mod cause;
mod cells;
mod choose;
mod close;
mod counters;
mod crowds;
mod detail;
mod flow;
mod fragments;
mod hit;
mod hold;
mod index;
mod key;
mod keyed;
mod links;
mod open;
mod opens;
mod record;
mod rules;
mod settings;
mod shares;
mod sharing;
mod side;
mod slab;
mod state;
mod table;
mod tcp;
mod time;
mod track;
mod wheel;

pub use cause::Cause;
pub use choose::{Chosen, NoTuple, Pool, Wanted};
pub use counters::FlowCounters;
pub use flow::{Closing, Ended, Flow, FlowId, Found, NewFlow, OpenError, Standing, Track};
pub use fragments::{FragmentError, FragmentKey, Fragments, Span};
pub use hit::{Hit, Probe};
pub use opens::{opens, picks_up};
pub use rules::{Blocks, Filtering, Limits, Mapping, MidStream, Notice, PoolRules, Rate};
pub use settings::{Answers, HoldDown, Settings, Shared, Timers};
pub use sharing::{Block, Inbound, Sharing};
pub use side::{Cell, Direction, Generation, Side, Sides, Zone};
pub use state::State;
pub use table::FlowTable;
pub use time::Time;
