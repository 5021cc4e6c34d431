//! Rules of cloud resources: may this identity, or this public address, come in?
//!
//! A [`RuleSet`] holds the network rules of one resource, such as a storage account. It is asked
//! with an [`Arrival`], which says how a request reached the service, and answers with an
//! [`Access`]: allowed by what, or refused for what. The answer is a pure function of the two, so a
//! set can be shared, and replaced as a whole while others still read the old one (invariant
//! INV-rule-set-whole).
//!
//! A network allow is necessary, never sufficient: keys and tokens are judged by the service
//! afterwards (F-14).
//!
//! ```
//! use vnetem_authz::{Access, Arrival, DefaultAction, Grant, Refusal, RuleLimits, RuleSet, RuleState};
//! use vnetem_packet::{Identity, SubnetId, VnetId};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
//!     rules.add_ip_rule("20.1.1.1".parse()?)?;
//!
//!     // Without an endpoint the caller shows a public address, and the rule lets it in.
//!     let public = Arrival::Public("20.1.1.1".parse()?);
//!     assert_eq!(rules.judge(public), Access::Allowed(Grant::IpRule("20.1.1.1/32".parse()?)));
//!
//!     // With one it shows its subnet, and the same rule no longer helps (S-16).
//!     let web = SubnetId(7);
//!     let tunnel = Arrival::Tunnel(Identity { vnet: VnetId(1), subnet: web, address: "10.0.0.4".parse()? });
//!     assert_eq!(rules.judge(tunnel), Access::Refused(Refusal::SubnetNotListed));
//!
//!     rules.set_vnet_rule(web, RuleState::Succeeded)?;
//!     assert_eq!(rules.judge(tunnel), Access::Allowed(Grant::SubnetRule(web)));
//!     Ok(())
//! }
//! ```
//!
//! [`Firewall`] has the kinds of services that judge or answer in ways of their own, and says what
//! a refused client hears. Two more things may stand in the way of a packet: the [`SecurityGroup`]
//! of its subnet or interface, and the [`EndpointPolicies`] of its subnet.
//!
//! Not modelled: control-plane calls, to which firewalls do not apply (F-15); rules of App Service
//! by service tag or HTTP header.

mod access;
mod answer;
mod compiled_group;
mod endpoint_policy;
mod error;
mod firewall;
mod ip_rules;
mod limits;
mod ordered_rules;
mod ranges;
mod resolve;
mod rule_set;
mod security_group;
mod security_rule;
mod tags;

pub use access::{Access, Admission, Arrival, DenyMode, Grant, Refusal, ResourceInstance};
pub use answer::ServiceAnswer;
pub use compiled_group::{CompiledGroup, Decider, Ruling};
pub use endpoint_policy::{
    Coverage, EndpointPolicies, EndpointPolicy, PolicyDefinition, PolicyError, PolicyResource,
    PolicyService,
};
pub use error::RuleError;
pub use firewall::{EventHubsVersion, Firewall, NotAVersion};
pub use ip_rules::IpRule;
pub use limits::RuleLimits;
pub use ordered_rules::{Caller, OrderedRule, OrderedRules};
pub use rule_set::{DefaultAction, PublicAccess, RuleSet, RuleState};
pub use security_group::{SecurityGroup, SecurityRuleError};
pub use security_rule::{Action, PortRange, RuleDirection, RuleProtocol, SecurityRule, Selector};
pub use tags::{NetworkSpace, PLATFORM_ADDRESSES, Tags};
