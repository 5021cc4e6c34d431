#![doc = include_str!("../README.md")]

mod answer;
mod counters;
mod decision;
mod edge;
mod error;
mod event;
mod gate;
mod given;
mod hairpin;
mod inbound;
mod inside;
mod journal;
mod lineage;
mod network;
mod origin;
mod outbound;
mod outbox;
mod path;
mod pipeline;
mod plane;
mod reason;
mod rollout;
mod route;
mod routing;
mod security;
mod settings;
mod shard;
mod snapshot;
mod tenant;
mod trace;
mod tunnel_port;
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
    Limits, Mapping, MidStream, Notice, PoolRules, Rate, State, Time, TimerProfile, Timers,
};
pub use vnetem_packet as packet;
pub use vnetem_packet::{
    FiveTuple, Headers, Identity, Malformed, Protocol, Realm, SiteId, SubnetId, VnetId,
};

pub use counters::{Counters, Tally};
pub use edge::{
    Edge, EndpointPolicyId, LoadBalancerId, MAX_PLACES, MAX_SERVICES, NicId, PrivateEndpointId,
    ResourceId, ServiceId,
};
pub use error::EditError;
pub use event::{Event, EventKind};
pub use journal::{TranslationEvent, TranslationEventKind};
pub use lineage::Applied;
pub use network::{
    Circuit, Connection, Endpoint, EndpointFirst, Lag, LoadBalancer, MissingEndpoint, Network,
    NetworkPolicies, Nic, Outbound, OutboundRule, Peering, Permissions, Placement, PortBlock,
    PrivateEndpoint, PrivateEndpointState, ProvisioningState, Resource, RouteTable, Scope, Service,
    Site, Subnet, TagLevel, TagRoute, UserRoute, Vnet, VnetEndpointPolicy, ZoneLink,
};
pub use outbox::Transmit;
pub use plane::{DataPlane, Slot};
pub use reason::{DenyReason, DropReason};
pub use rollout::Rollout;
pub use route::{
    Choice, EffectiveRoute, NextHop, NextHopType, PassedOver, Route, RouteRemark, RouteSource,
    RouteState, TiePolicy, choose, is_tie,
};
pub use security::SecurityGroupId;
pub use settings::{Closing, Mtu, Settings};
pub use shard::{Shard, Sharding};
pub use snapshot::Snapshot;
pub use trace::{FlowStep, RegionChoice, Step, Trace};
pub use tunnel_port::{TunnelCounters, TunnelDrop, TunnelPort, TunnelSettings};
pub use verdict::{Fate, Forward, Mark, SourceMode, Verdict};
