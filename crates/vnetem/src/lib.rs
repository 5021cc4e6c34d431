#![doc = include_str!("../README.md")]

pub mod authz;
pub mod control;
mod edge;
mod error;
pub mod nat;
mod pipeline;
mod plane;
pub mod prelude;
mod reason;
mod route;
mod settings;
mod shard;
mod shared;
mod snapshot;
pub mod trace;
pub mod tunnel;
mod verdict;

pub use bytes::Bytes;
pub use ipnet::Ipv4Net;
pub use vnetem_nat::{Generation, Time};
pub use vnetem_packet as packet;
pub use vnetem_packet::{FiveTuple, Headers, Identity, Protocol, SiteId, SubnetId, VnetId};

pub use control::Network;
pub use edge::{
    Edge, EdgeId, EndpointPolicyId, LoadBalancerId, NicId, PrivateEndpointId, ResourceId, ServiceId,
};
pub use error::EditError;
pub use plane::counters::{Counters, TrafficCount};
pub use plane::event::{Event, EventKind};
pub use plane::transmit_queue::Transmit;
pub use plane::{BatchPacket, DataPlane};
pub use reason::{DenyReason, DropReason};
pub use settings::{CloseMode, Mtu, Settings};
pub use shard::{Domains, Shard, Sharding};
pub use snapshot::Snapshot;
pub use snapshot::guard::SecurityGroupId;
pub use snapshot::lineage::Applied;
pub use verdict::{AccessVerdict, Disposition, Forward, SourceMode, Verdict};

// What this crate itself calls by short names.
use control::{Endpoint, MissingEndpoint};
use route::{
    Choice, EffectiveRoute, NextHop, PassedOver, Route, RouteRemark, RouteSource, RouteState,
    TiePolicy, choose, is_tie,
};

/// Runs the example of the guide to the event loop.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/event-loop.md")]
struct EventLoopGuide;
