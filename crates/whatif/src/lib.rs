//! What a change does to the traffic of a cloud network.
//!
//! [`compare`] tries flows on a network before and after a [`Change`], by the data plane that
//! forwards packets. It says which fare differently, which open connections the change cuts, which
//! firewall rules match nothing any more, and what to do in which order. The steps are run before
//! they are suggested.
//!
//! ```
//! use vnetem::authz::{DefaultAction, Firewall, IpRule, RuleLimits, RuleSet};
//! use vnetem::prelude::*;
//! use vnetem_whatif::{Change, Options, Traffic, compare};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut network = Network::new();
//!     let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
//!     let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
//!     let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
//!     network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
//!     let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
//!     rules.add_ip_rule(IpRule::Address("20.1.1.1".parse()?))?;
//!     let logs = "52.239.1.9".parse()?;
//!     network.add_resource(storage, "logs", logs, Firewall::Storage(rules))?;
//!
//!     let begun = Change::begin(&mut network);
//!     network.enable_endpoint(web, storage, Scope::Worldwide)?;
//!     let report = compare(&begun.end(&mut network), &Traffic::new(), &Options::default());
//!
//!     let logs = &report.groups[0];
//!     assert_eq!((logs.before.access, logs.after.access), (Some("allow"), Some("deny")));
//!     assert_eq!(logs.after.reason, Some("subnet-not-listed"));
//!     assert_eq!(report.steps[0], "add virtual network rule alpha/web to logs");
//!     Ok(())
//! }
//! ```

mod change;
mod compare;
mod estate;
pub mod files;
mod groups;
mod html;
mod live;
mod model;
mod moved;
mod packet;
mod part;
mod places;
mod probes;
pub mod replay;
mod report;
mod rules;
mod seen;
mod side;
mod spread;
mod steps;
mod text;
mod traffic;

pub use change::{Begun, Change, Changed};
pub use compare::{Options, Progress, compare};
pub use estate::{Estate, EstateError, disable, enable, subnets_named};
pub use html::Timeline;
pub use model::model;
pub use part::Part;
pub use places::Targets;
pub use report::{
    Account, DeadRule, Destination, Finding, Gap, Group, Outcome, Plan, Remaining, Report, Stage,
    TrafficReport,
};
pub use spread::{LoggedFlow, Spread, UnitFlows};
pub use traffic::Traffic;
