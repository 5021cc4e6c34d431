//! Rules that are tried in order, as App Service has them (F-20).

use ipnet::Ipv4Net;
use vnetem_packet::SubnetId;

use crate::{Access, Action, Arrival, Grant, PublicAccess, Refusal, RuleError, RuleLimits};

/// The access rules of one site, tried from the lowest number up. The first that matches decides
/// (F-20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedRules {
    public_access: PublicAccess,
    unmatched: Option<Action>,
    /// Sorted by number; equal numbers in the order in which they were added.
    rules: Vec<OrderedRule>,
}

/// A rule that allows or denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedRule {
    /// Its number. Rules with equal numbers are tried in the order in which they were added.
    pub number: u32,
    /// What it does.
    pub action: Action,
    /// Which callers it matches.
    pub caller: Caller,
}

/// The callers that an ordered rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// Every caller.
    Any,
    /// Callers over a service endpoint of this subnet.
    Subnet(SubnetId),
    /// Callers from these public addresses.
    Addresses(Ipv4Net),
}

impl OrderedRules {
    /// Makes a site without rules, which is open to everybody.
    #[must_use]
    pub fn new() -> Self {
        Self { public_access: PublicAccess::Enabled, unmatched: None, rules: Vec::new() }
    }

    /// Decides about one request.
    ///
    /// Private endpoints and disabled public access come first, as in every service (F-12, F-13). A
    /// request over an endpoint is matched by its subnet and never by its address (F-20,
    /// INV-identity-decides). If no rule matches, [`set_unmatched`](Self::set_unmatched) decides.
    /// Without that setting, the request is allowed if there are no rules at all, and refused
    /// otherwise (F-20).
    pub fn judge(&self, arrival: Arrival) -> Access {
        match arrival {
            Arrival::PrivateEndpoint { approved: true } => {
                return Access::Allowed(Grant::PrivateEndpoint);
            }
            Arrival::PrivateEndpoint { approved: false } => {
                return Access::Refused(Refusal::PrivateEndpointNotApproved);
            }
            _ if self.public_access == PublicAccess::Disabled => {
                return Access::Refused(Refusal::PublicAccessDisabled);
            }
            _ => {}
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.caller.matches(arrival)) {
            return match rule.action {
                Action::Allow => Access::Allowed(Grant::OrderedRule(rule.number)),
                Action::Deny => Access::Refused(Refusal::DeniedByRule),
            };
        }
        match self.unmatched() {
            Action::Allow => Access::Allowed(Grant::DefaultAllow),
            Action::Deny => Access::Refused(arrival.not_listed()),
        }
    }

    /// Enables or disables public access to the site.
    pub fn set_public_access(&mut self, public_access: PublicAccess) {
        self.public_access = public_access;
    }

    /// Sets the action for requests that no rule matches; `None` leaves it to F-20.
    pub fn set_unmatched(&mut self, unmatched: Option<Action>) {
        self.unmatched = unmatched;
    }

    /// Gives the action for requests that no rule matches, as set or else by F-20.
    #[must_use]
    pub fn unmatched(&self) -> Action {
        let otherwise = if self.rules.is_empty() { Action::Allow } else { Action::Deny };
        self.unmatched.unwrap_or(otherwise)
    }

    /// Says whether public access is enabled.
    #[must_use]
    pub fn public_access(&self) -> PublicAccess {
        self.public_access
    }

    /// Adds a rule after those of its number.
    ///
    /// # Errors
    ///
    /// The range has host bits, or the site already has 512 rules (F-20).
    pub fn add_rule(&mut self, rule: OrderedRule) -> Result<(), RuleError> {
        if let Caller::Addresses(range) = rule.caller
            && range != range.trunc()
        {
            return Err(RuleError::HostBits(range));
        }
        if let Some(limit) = RuleLimits::APP_SERVICE.all_rules
            && self.rules.len() >= limit
        {
            return Err(RuleError::TooManyRules { limit });
        }
        let place = self.rules.partition_point(|other| other.number <= rule.number);
        self.rules.insert(place, rule);
        Ok(())
    }

    /// Removes all equal rules; `false` if there were none.
    pub fn remove_rule(&mut self, rule: &OrderedRule) -> bool {
        let before = self.rules.len();
        self.rules.retain(|other| other != rule);
        self.rules.len() < before
    }

    /// Lists all rules in the order in which they are tried.
    #[must_use]
    pub fn rules(&self) -> &[OrderedRule] {
        &self.rules
    }
}

impl Default for OrderedRules {
    fn default() -> Self {
        Self::new()
    }
}

impl Caller {
    fn matches(self, arrival: Arrival) -> bool {
        match (self, arrival) {
            (Self::Any, _) => true,
            (Self::Subnet(subnet), Arrival::Tunnel(identity)) => identity.subnet == subnet,
            // A private source matches no address rule, not even a wide one
            // (INV-ip-rule-public-only).
            (Self::Addresses(range), Arrival::Public(address)) => {
                range.contains(&address) && !address.is_private()
            }
            _ => false,
        }
    }
}
