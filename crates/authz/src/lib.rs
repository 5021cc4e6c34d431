//! Decides whether a caller may use a cloud resource.
//!
//! A [`RuleSet`] holds the network rules of one resource, such as a storage account. Its `judge`
//! takes an [`Arrival`], which says how a request reached the service, and gives an [`Access`] with
//! its reason. The answer is a pure function of the two. So threads can share a set, and replace it
//! as a whole while others still read the old one (INV-rule-set-whole).
//!
//! The network rules come first, and the service then checks keys and tokens. A request needs both
//! (F-14).
//!
//! ```
//! use vnetem_authz::{Access, Arrival, DefaultAction, Grant, Refusal};
//! use vnetem_authz::{RuleLimits, RuleSet, RuleState};
//! use vnetem_packet::{Identity, SubnetId, VnetId};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
//!     rules.add_ip_rule("20.1.1.1".parse()?)?;
//!
//!     // Without an endpoint the caller has a public address, and the rule allows it.
//!     let public = Arrival::Public("20.1.1.1".parse()?);
//!     assert_eq!(rules.judge(public), Access::Allowed(Grant::IpRule("20.1.1.1/32".parse()?)));
//!
//!     // With an endpoint it has its subnet, and the rule no longer matches (S-16).
//!     let web = SubnetId(7);
//!     let identity = Identity { vnet: VnetId(1), subnet: web, address: "10.0.0.4".parse()? };
//!     let tunnel = Arrival::Tunnel(identity);
//!     assert_eq!(rules.judge(tunnel), Access::Refused(Refusal::SubnetNotListed));
//!
//!     rules.set_vnet_rule(web, RuleState::Succeeded)?;
//!     assert_eq!(rules.judge(tunnel), Access::Allowed(Grant::SubnetRule(web)));
//!     Ok(())
//! }
//! ```
//!
//! - A [`Firewall`] is a rule set with the kind of its service. It knows what differs between
//!   services, and gives the answer to a refused client.
//! - A [`SecurityGroup`] filters packets at a subnet or an interface.
//! - [`EndpointPolicies`] restrict which resources a subnet may call.
//!
//! Not modelled: control-plane calls, to which firewalls do not apply (F-15), and rules of App
//! Service by service tag or HTTP header.

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
