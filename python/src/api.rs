//! The names of the core that this crate uses, in one place.

pub(crate) use vnetem::authz::{
    Action, Caller, DefaultAction, DenyMode, EndpointPolicy, EventHubsVersion, Firewall, IpRule,
    OrderedRule, OrderedRules, PolicyDefinition, PolicyService, PublicAccess, Refusal,
    RuleDirection, RuleLimits, RuleSet, RuleState, SecurityGroup, SecurityRule,
};
pub(crate) use vnetem::control::{
    EndpointFirst, MissingEndpoint, NetworkPolicies, NextHop, Outbound, OutboundRule, Peering,
    Placement, PrivateEndpointState, ProvisioningState, Scope, TagLevel, TiePolicy,
    VnetEndpointPolicy, ZoneLink,
};
pub(crate) use vnetem::nat::{Direction, IdleMinutes, PoolRules, State};
pub(crate) use vnetem::trace::Trace;
pub(crate) use vnetem::{
    AccessVerdict, Applied, BatchPacket, CloseMode, DataPlane, DenyReason, Disposition, DropReason,
    Edge, EdgeId, EditError, EndpointPolicyId, Event, EventKind, FiveTuple, Forward, Headers,
    Identity, LoadBalancerId, Network, NicId, PrivateEndpointId, Protocol, ResourceId,
    SecurityGroupId, ServiceId, Settings, SiteId, Snapshot, SourceMode, SubnetId, Time,
    TrafficCount, Transmit, Verdict, VnetId,
};
