//! The library as its users call it, one claim a test.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that cannot be set up must fail, and folded sums have 16 bits"
)]

mod base;
mod commits;
mod control_plane;
mod data_plane;
mod edges;
mod endpoint_policies;
mod flow_ends;
mod flow_rules;
mod from_outside;
mod hairpin;
mod idle;
mod names;
mod outbound;
mod ownership;
mod packets;
mod rollout;
mod routing;
mod secrets;
mod security_groups;
mod service_facts;
mod shards;
mod tenants;
mod translation;
mod tunnel_port;
