//! The network rules of one resource.

use ipnet::Ipv4Net;
use vnetem_packet::SubnetId;

use crate::ip_rules::IpRules;
use crate::{Access, Arrival, Grant, IpRule, Refusal, ResourceInstance, RuleError, RuleLimits};

/// The network rules of one resource.
///
/// A set has no order: whatever the order of edits, equal rules decide alike
/// (INV-rules-order-free). An edit that fails changes nothing. To change a set that others read,
/// edit a copy and replace the original by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    limits: RuleLimits,
    public_access: PublicAccess,
    default_action: DefaultAction,
    /// Sorted by subnet, one rule each.
    vnet_rules: Vec<VnetRule>,
    ip_rules: IpRules,
    /// Sorted.
    instances: Vec<ResourceInstance>,
}

/// The action for requests that no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefaultAction {
    /// The request is allowed, and rules have no effect (F-01).
    Allow,
    /// The request is refused (F-02).
    Deny,
}

/// Whether the public address of the resource is reachable. Disabled overrides the default action
/// (F-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicAccess {
    /// Reachable, as far as the rules allow.
    Enabled,
    /// Not reachable, except by private endpoints and named resource instances (F-11, F-13).
    Disabled,
}

/// The state of a VNet rule as the service reports it (E-18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleState {
    /// Being added: not yet in force, unless it updates a rule in force (F-24, U-20).
    Provisioning,
    /// Being removed: no longer in force.
    Deprovisioning,
    /// In force.
    Succeeded,
    /// Not in force.
    Failed,
    /// Its subnet was deleted: never in force again, not even for a new subnet of the same name
    /// (E-17).
    NetworkSourceDeleted,
}

impl RuleSet {
    /// Makes a set without rules, for a resource with public access enabled.
    #[must_use]
    pub fn new(limits: RuleLimits, default_action: DefaultAction) -> Self {
        Self {
            limits,
            public_access: PublicAccess::Enabled,
            default_action,
            vnet_rules: Vec::new(),
            ip_rules: IpRules::default(),
            instances: Vec::new(),
        }
    }

    /// Decides about one request.
    ///
    /// The first of these that applies decides. What none of them allows is refused
    /// (INV-denied-by-default).
    ///
    /// 1. A private endpoint: allowed if approved, whatever the rules say (F-13, L-07).
    /// 2. A resource instance that a rule names: allowed (F-11).
    /// 3. Public access disabled: refused (F-12).
    /// 4. Default action allow: allowed (F-01).
    /// 5. Over a service endpoint: allowed if a rule in force names the subnet. The private address
    ///    does not matter (INV-identity-decides, C-20, F-03).
    /// 6. A private source without an identity: refused (C-03).
    /// 7. A public address: allowed if an IP rule contains it (INV-ip-rule-public-only).
    ///
    /// The function takes one binary search at most and does not allocate.
    pub fn judge(&self, arrival: Arrival) -> Access {
        self.judge_by(self.default_action, arrival)
    }

    /// Decides about one request as if the default action were another.
    pub(crate) fn judge_by(&self, default_action: DefaultAction, arrival: Arrival) -> Access {
        match arrival {
            Arrival::PrivateEndpoint { approved: true } => Access::Allowed(Grant::PrivateEndpoint),
            Arrival::PrivateEndpoint { approved: false } => {
                Access::Refused(Refusal::PrivateEndpointNotApproved)
            }
            Arrival::Instance(instance) if self.instances.binary_search(&instance).is_ok() => {
                Access::Allowed(Grant::TrustedInstance)
            }
            _ if self.public_access == PublicAccess::Disabled => {
                Access::Refused(Refusal::PublicAccessDisabled)
            }
            _ if default_action == DefaultAction::Allow => Access::Allowed(Grant::DefaultAllow),
            Arrival::Tunnel(identity) => match self.vnet_rule(identity.subnet) {
                Some(rule) if rule.in_force => Access::Allowed(Grant::SubnetRule(rule.subnet)),
                Some(_) => Access::Refused(Refusal::RuleNotInForce),
                None => Access::Refused(Refusal::SubnetNotListed),
            },
            Arrival::PrivateSameRegion(_) => Access::Refused(Refusal::PrivateWithoutIdentity),
            Arrival::Public(address) => match self.ip_rules.lookup(address) {
                Some(rule) => Access::Allowed(Grant::IpRule(rule)),
                None => Access::Refused(Refusal::AddressNotListed),
            },
            Arrival::Instance(_) => Access::Refused(Refusal::InstanceNotListed),
        }
    }

    /// Enables or disables public access to the resource.
    pub fn set_public_access(&mut self, public_access: PublicAccess) {
        self.public_access = public_access;
    }

    /// Sets the action for requests that no rule names.
    pub fn set_default_action(&mut self, default_action: DefaultAction) {
        self.default_action = default_action;
    }

    /// Adds the rule that allows a subnet, or changes its state.
    ///
    /// # Errors
    ///
    /// - The rule is new and the service permits no further one (C-10).
    /// - The rule's subnet was deleted. The rule can only be removed, so that no later subnet
    ///   inherits it (INV-deleted-subnet-admits-none, E-17).
    pub fn set_vnet_rule(&mut self, subnet: SubnetId, state: RuleState) -> Result<(), RuleError> {
        match self.vnet_rules.binary_search_by_key(&subnet, |rule| rule.subnet) {
            Ok(place) => {
                if let Some(rule) = self.vnet_rules.get_mut(place) {
                    rule.enter(state)?;
                }
            }
            Err(place) => {
                below(self.limits.vnet_rules, self.vnet_rules.len())
                    .map_err(|limit| RuleError::TooManyVnetRules { limit })?;
                self.room_for_one_more()?;
                let in_force = state == RuleState::Succeeded;
                self.vnet_rules.insert(place, VnetRule { subnet, state, in_force });
            }
        }
        Ok(())
    }

    /// Removes the rule that allows a subnet; `false` if there was none.
    pub fn remove_vnet_rule(&mut self, subnet: SubnetId) -> bool {
        let found = self.vnet_rules.binary_search_by_key(&subnet, |rule| rule.subnet);
        found.map(|place| self.vnet_rules.remove(place)).is_ok()
    }

    /// Adds a range of public addresses. Adding an existing one is no error.
    ///
    /// # Errors
    ///
    /// - The range is private (F-04) or has host bits.
    /// - The range is a host written as a prefix, and the service refuses that (F-05).
    /// - The service permits no further rule (C-10).
    pub fn add_ip_rule(&mut self, rule: IpRule) -> Result<(), RuleError> {
        let range = rule.checked_range(&self.limits)?;
        if !self.ip_rules.contains(range) {
            below(self.limits.ip_rules, self.ip_rules.as_slice().len())
                .map_err(|limit| RuleError::TooManyIpRules { limit })?;
            self.room_for_one_more()?;
            self.ip_rules.add(range);
        }
        Ok(())
    }

    /// Removes a range of public addresses; `false` if it was not there.
    pub fn remove_ip_rule(&mut self, rule: IpRule) -> bool {
        self.ip_rules.remove(rule.range())
    }

    /// Allows a resource instance, whatever the other rules say (F-11).
    pub fn trust_instance(&mut self, instance: ResourceInstance) {
        if let Err(place) = self.instances.binary_search(&instance) {
            self.instances.insert(place, instance);
        }
    }

    /// Stops allowing a resource instance; `false` if it was not allowed.
    pub fn distrust_instance(&mut self, instance: ResourceInstance) -> bool {
        self.instances.binary_search(&instance).map(|place| self.instances.remove(place)).is_ok()
    }

    /// Says whether public access is enabled.
    #[must_use]
    pub fn public_access(&self) -> PublicAccess {
        self.public_access
    }

    /// Gives the action for requests that no rule names.
    #[must_use]
    pub fn default_action(&self) -> DefaultAction {
        self.default_action
    }

    /// Says whether any rule names a subnet or a public range, in force or not.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        !self.vnet_rules.is_empty() || !self.ip_rules.as_slice().is_empty()
    }

    /// Lists the named subnets in ascending order, with the states of their rules.
    pub fn vnet_rules(&self) -> impl Iterator<Item = (SubnetId, RuleState)> {
        self.vnet_rules.iter().map(|rule| (rule.subnet, rule.state))
    }

    /// Lists the named public ranges in ascending order.
    #[must_use]
    pub fn ip_rules(&self) -> &[Ipv4Net] {
        self.ip_rules.as_slice()
    }

    /// Lists the named resource instances in ascending order.
    #[must_use]
    pub fn instances(&self) -> &[ResourceInstance] {
        &self.instances
    }

    fn vnet_rule(&self, subnet: SubnetId) -> Option<VnetRule> {
        let place = self.vnet_rules.binary_search_by_key(&subnet, |rule| rule.subnet).ok()?;
        self.vnet_rules.get(place).copied()
    }

    fn room_for_one_more(&self) -> Result<(), RuleError> {
        below(self.limits.all_rules, self.vnet_rules.len() + self.ip_rules.as_slice().len())
            .map_err(|limit| RuleError::TooManyRules { limit })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct VnetRule {
    subnet: SubnetId,
    state: RuleState,
    /// Kept apart from the state: a rule that is provisioned again decides as before (U-20).
    in_force: bool,
}

impl VnetRule {
    fn enter(&mut self, state: RuleState) -> Result<(), RuleError> {
        if self.state == RuleState::NetworkSourceDeleted && state != self.state {
            return Err(RuleError::NetworkSourceDeleted(self.subnet));
        }
        self.state = state;
        match state {
            RuleState::Succeeded => self.in_force = true,
            RuleState::Provisioning => {}
            RuleState::Deprovisioning | RuleState::Failed | RuleState::NetworkSourceDeleted => {
                self.in_force = false;
            }
        }
        Ok(())
    }
}

fn below(limit: Option<usize>, count: usize) -> Result<(), usize> {
    match limit {
        Some(limit) if count >= limit => Err(limit),
        _ => Ok(()),
    }
}
