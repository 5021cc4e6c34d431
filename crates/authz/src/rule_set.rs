//! The network rules of one resource.

use ipnet::Ipv4Net;
use vnetem_packet::SubnetId;

use crate::ip_rules::IpRules;
use crate::{Access, Arrival, Grant, IpRule, Refusal, ResourceInstance, RuleError, RuleLimits};

/// The network rules of one resource.
///
/// A set has no order: whatever the order of edits, equal rules judge alike (INV-rules-order-free).
/// An edit that fails changes nothing. To change a set that others read, edit a copy and hand that
/// out in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    limits: RuleLimits,
    public_access: PublicAccess,
    default_action: DefaultAction,
    /// Sorted by subnet, one for each.
    vnet_rules: Vec<VnetRule>,
    ip_rules: IpRules,
    /// Sorted.
    instances: Vec<ResourceInstance>,
}

/// What happens to requests that no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefaultAction {
    /// They come in, and rules have no effect (F-01).
    Allow,
    /// They are refused (F-02).
    Deny,
}

/// Whether the resource can be reached on its public address at all; disabled, it overrides the
/// default action (F-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicAccess {
    /// It can, as far as the rules allow.
    Enabled,
    /// It cannot; private endpoints and named resource instances still come in (F-11, F-13).
    Disabled,
}

/// The state of a VNet rule as the service reports it (E-18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleState {
    /// On its way in: not yet in force, unless it updates a rule that is (F-24, U-20).
    Provisioning,
    /// On its way out: no longer in force.
    Deprovisioning,
    /// In force.
    Succeeded,
    /// Not in force.
    Failed,
    /// Its subnet was deleted: never in force again, not even for a subnet of the same name (E-17).
    NetworkSourceDeleted,
}

impl RuleSet {
    /// A set without rules on a resource that is open to public access.
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

    /// Judges one request.
    ///
    /// The first of these that applies decides; what none of them allows is refused
    /// (INV-denied-by-default):
    ///
    /// 1. a private endpoint: allowed if approved, whatever the rules say (F-13, L-07);
    /// 2. a resource instance that a rule names: allowed (F-11);
    /// 3. public access disabled: refused (F-12);
    /// 4. default action allow: allowed (F-01);
    /// 5. over a service endpoint: allowed if a rule in force names the subnet. The private address
    ///    is never looked at (INV-identity-decides, C-20, F-03);
    /// 6. privately without an identity: refused (C-03);
    /// 7. from a public address: allowed if an IP rule contains it (INV-ip-rule-public-only).
    ///
    /// Takes one binary search at most and does not allocate.
    pub fn judge(&self, arrival: Arrival) -> Access {
        self.judge_by(self.default_action, arrival)
    }

    /// Judges one request as if the default action were another.
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

    /// Opens or closes the public address of the resource.
    pub fn set_public_access(&mut self, public_access: PublicAccess) {
        self.public_access = public_access;
    }

    /// Says what happens to requests that no rule names.
    pub fn set_default_action(&mut self, default_action: DefaultAction) {
        self.default_action = default_action;
    }

    /// Adds the rule that allows a subnet, or moves it to another state.
    ///
    /// # Errors
    ///
    /// If the rule is new and the service permits no further one (C-10), or if its subnet was
    /// deleted: such a rule can only be removed, so that no later subnet inherits it
    /// (INV-deleted-subnet-admits-none, E-17).
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

    /// Adds a range of public addresses; one that is there already is no error.
    ///
    /// # Errors
    ///
    /// If the range is private (F-04), is a host written as a prefix where the service refuses that
    /// (F-05), has host bits, or is one more than the service permits (C-10).
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

    /// Lets a resource instance in, whatever the other rules say (F-11).
    pub fn trust_instance(&mut self, instance: ResourceInstance) {
        if let Err(place) = self.instances.binary_search(&instance) {
            self.instances.insert(place, instance);
        }
    }

    /// Ends the trust in a resource instance; `false` if there was none.
    pub fn distrust_instance(&mut self, instance: ResourceInstance) -> bool {
        self.instances.binary_search(&instance).map(|place| self.instances.remove(place)).is_ok()
    }

    /// Whether the public address of the resource is open.
    #[must_use]
    pub fn public_access(&self) -> PublicAccess {
        self.public_access
    }

    /// What happens to requests that no rule names.
    #[must_use]
    pub fn default_action(&self) -> DefaultAction {
        self.default_action
    }

    /// Whether any subnet or public range is named, in force or not.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        !self.vnet_rules.is_empty() || !self.ip_rules.as_slice().is_empty()
    }

    /// Subnets that rules name, in ascending order, with the states of the rules.
    pub fn vnet_rules(&self) -> impl Iterator<Item = (SubnetId, RuleState)> {
        self.vnet_rules.iter().map(|rule| (rule.subnet, rule.state))
    }

    /// Public ranges that rules name, in ascending order.
    #[must_use]
    pub fn ip_rules(&self) -> &[Ipv4Net] {
        self.ip_rules.as_slice()
    }

    /// Resource instances that rules name, in ascending order.
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
    /// Not a function of the state: a rule that is provisioned anew decides as it did before
    /// (U-20).
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
