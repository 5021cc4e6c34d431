//! Access rules: firewalls of resources, security groups, and endpoint policies.

pub use vnetem_authz::{
    Access, Action, Admission, Arrival, Caller, DefaultAction, DenyMode, EndpointPolicy,
    EventHubsVersion, Firewall, Grant, IpRule, NotAVersion, OrderedRule, OrderedRules,
    PolicyDefinition, PolicyError, PolicyResource, PolicyService, PortRange, PublicAccess, Refusal,
    ResourceInstance, RuleDirection, RuleError, RuleLimits, RuleProtocol, RuleSet, RuleState,
    SecurityGroup, SecurityRule, SecurityRuleError, Selector, ServiceAnswer,
};
