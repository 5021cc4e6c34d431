#![doc = include_str!("../README.md")]

mod control;
mod edge;
mod error;
mod pipeline;
mod plane;
mod reason;
mod route;
mod settings;
mod shard;
mod shared;
mod snapshot;
mod verdict;

pub use ipnet::Ipv4Net;
pub use vnetem_authz::{
    Access, Action, Admission, Arrival, Caller, DefaultAction, DenyMode, EndpointPolicy,
    EventHubsVersion, Firewall, Grant, IpRule, OrderedRule, OrderedRules, PolicyDefinition,
    PolicyError, PolicyResource, PolicyService, PortRange, PublicAccess, Refusal, ResourceInstance,
    RuleDirection, RuleError, RuleLimits, RuleProtocol, RuleSet, RuleState, SecurityGroup,
    SecurityRule, SecurityRuleError, Selector, ServiceAnswer,
};
pub use vnetem_nat::{
    Block, Blocks, Cause, Direction, Filtering, Flow, FlowCounters, Generation, IdleMinutes, Keys,
    Limits, LoosePickup, Mapping, OnExhaustion, PoolRules, Rate, State, Time, TimerProfile, Timers,
};
pub use vnetem_packet as packet;
pub use vnetem_packet::{
    FiveTuple, Headers, Identity, Malformed, Protocol, Realm, SiteId, SubnetId, VnetId,
};

pub use control::{
    Circuit, Connection, Endpoint, EndpointFirst, LoadBalancer, MissingEndpoint, Network,
    NetworkPolicies, Nic, Outbound, OutboundRule, Peering, Permissions, Placement, PortBlock,
    PrivateEndpoint, PrivateEndpointState, ProvisioningState, Resource, Rollout, RolloutState,
    RouteTable, Scope, Service, Site, Subnet, TagLevel, TagRoute, UserRoute, Vnet,
    VnetEndpointPolicy, ZoneLink,
};
pub use edge::{
    Edge, EndpointPolicyId, LoadBalancerId, MAX_PLACES, MAX_SERVICES, NicId, PrivateEndpointId,
    ResourceId, ServiceId,
};
pub use error::EditError;
pub use pipeline::trace::{FlowStep, RegionChoice, Step, Trace};
pub use plane::counters::{Counters, TrafficCount};
pub use plane::event::{Event, EventKind};
pub use plane::event_queue::{TranslationEvent, TranslationEventKind};
pub use plane::transmit_queue::Transmit;
pub use plane::tunnel_port::{TunnelCounters, TunnelDrop, TunnelPort, TunnelSettings};
pub use plane::{BatchPacket, DataPlane};
pub use reason::{DenyReason, DropReason};
pub use route::{
    Choice, EffectiveRoute, NextHop, NextHopType, PassedOver, Route, RouteRemark, RouteSource,
    RouteState, TiePolicy, choose, is_tie,
};
pub use settings::{CloseMode, Mtu, Settings};
pub use shard::{Shard, Sharding};
pub use snapshot::Snapshot;
pub use snapshot::guard::SecurityGroupId;
pub use snapshot::lineage::Applied;
pub use verdict::{AccessVerdict, Disposition, Forward, SourceMode, Verdict};

/// Runs the example of the guide to the event loop.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/event-loop.md")]
struct EventLoopGuide;
