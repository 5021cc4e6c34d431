//! Flows and translation: states and timers, rules of pools, limits, and translation events.

pub use vnetem_nat::{
    Answers, Block, Blocks, Cause, Direction, Filtering, FlowCounters, HoldDown, IdleMinutes, Keys,
    Limits, LoosePickup, Mapping, OnExhaustion, PoolRules, Rate, Settings as FlowSettings, State,
    TimerProfile, Timers,
};

pub use crate::plane::event_queue::{TranslationEvent, TranslationEventKind};
pub use crate::plane::flow::Flow;
