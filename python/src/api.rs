//! The names of the core that this crate uses, in one place.

pub(crate) use vnetem::packet::{FiveTuple, Headers, Identity, Protocol};
pub(crate) use vnetem::{
    AccessVerdict, Action, Applied, BatchPacket, Caller, CloseMode, DataPlane,
    DefaultAction, DenyMode, DenyReason, Direction, Disposition, DropReason, Edge, EdgeId,
    EditError, EndpointFirst, EndpointPolicy, EndpointPolicyId, Event, EventHubsVersion, EventKind,
    Firewall, IdleMinutes, IpRule, LoadBalancerId, MissingEndpoint, Network, NetworkPolicies,
    NextHop, NicId, OrderedRule, OrderedRules, Outbound, OutboundRule, Peering, Placement,
    PolicyDefinition, PolicyService, PoolRules, PrivateEndpointId, PrivateEndpointState,
    ProvisioningState, PublicAccess, Refusal, ResourceId, RuleDirection, RuleLimits, RuleSet,
    RuleState, Scope, SecurityGroup, SecurityGroupId, SecurityRule, ServiceId, Settings, SiteId,
    Snapshot, SourceMode, State, SubnetId, TagLevel, TiePolicy, Time, Trace, TrafficCount,
    Transmit, Forward, Verdict, VnetEndpointPolicy, VnetId, ZoneLink,
};
