//! Flows and translation: states and timers, rules of pools, limits, and translation events.

pub use vnetem_nat::{
    Block, Blocks, Cause, Direction, Filtering, Flow, FlowCounters, IdleMinutes, Keys, Limits,
    LoosePickup, Mapping, OnExhaustion, PoolRules, Rate, State, TimerProfile, Timers,
};

pub use crate::plane::event_queue::{TranslationEvent, TranslationEventKind};
