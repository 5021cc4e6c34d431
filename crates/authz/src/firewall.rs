//! The network rules of one resource, by the kind of its service.

use core::str::FromStr;

use vnetem_packet::SubnetId;

use crate::{
    Access, Action, Arrival, Caller, DefaultAction, Grant, OrderedRules, Refusal, RuleSet,
    RuleState, ServiceAnswer,
};

/// The network rules of one resource with the kind of its service, which decides how to answer
/// refusals.
///
/// ```
/// use vnetem_authz::{Arrival, DefaultAction, Firewall, RuleLimits, RuleSet, ServiceAnswer};
///
/// let server = Firewall::Sql(RuleSet::new(RuleLimits::SQL, DefaultAction::Deny));
/// let arrival = Arrival::Public("20.1.1.1".parse()?);
/// let refusal = server.judge(arrival).refusal().ok_or("nothing to answer")?;
/// let ServiceAnswer::Sql { number, text } = server.answer(refusal, arrival, "sql1") else {
///     return Err("no SQL error".into());
/// };
/// assert_eq!(number, 40615);
/// assert!(text.contains("Client with IP address '20.1.1.1'"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// A storage account.
    Storage(RuleSet),
    /// A logical SQL server.
    Sql(RuleSet),
    /// A Cosmos DB account. Endpoints reach it only while its public access is enabled (F-25; see
    /// [`RuleSet::judge`]).
    CosmosDb(RuleSet),
    /// A key vault.
    KeyVault(RuleSet),
    /// An Event Hubs namespace, and the version under which it was configured.
    EventHubs(EventHubsVersion, RuleSet),
    /// A Service Bus namespace.
    ServiceBus(RuleSet),
    /// An App Service site, or a function app.
    AppService(OrderedRules),
    /// A container registry.
    ContainerRegistry(RuleSet),
    /// A resource of another service.
    Other(RuleSet),
}

/// The versions of the Event Hubs API, which differ in the meaning of Deny (F-21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventHubsVersion {
    /// Up to 2021-01-01-preview: Deny counts only once there is a rule.
    DenyNeedsARule,
    /// From 2021-06-01-preview: Deny counts at once, and the default is Allow.
    DenyCounts,
}

impl Firewall {
    /// Decides about one request; see [`RuleSet::judge`] and [`OrderedRules::judge`].
    pub fn judge(&self, arrival: Arrival) -> Access {
        match self {
            Self::AppService(rules) => rules.judge(arrival),
            Self::EventHubs(EventHubsVersion::DenyNeedsARule, rules)
                if rules.default_action() == DefaultAction::Deny && !rules.has_rules() =>
            {
                match rules.judge_by(DefaultAction::Allow, arrival) {
                    Access::Allowed(Grant::DefaultAllow) => Access::Allowed(Grant::NoRuleYet),
                    access => access,
                }
            }
            Self::Storage(rules)
            | Self::Sql(rules)
            | Self::CosmosDb(rules)
            | Self::KeyVault(rules)
            | Self::EventHubs(_, rules)
            | Self::ServiceBus(rules)
            | Self::ContainerRegistry(rules)
            | Self::Other(rules) => rules.judge(arrival),
        }
    }

    /// Gives the service's answer to a refused request for `resource`.
    #[must_use]
    pub fn answer(&self, refusal: Refusal, arrival: Arrival, resource: &str) -> ServiceAnswer {
        match self {
            Self::Storage(_) => ServiceAnswer::storage(),
            Self::Sql(_) => ServiceAnswer::sql(refusal, arrival, resource),
            Self::CosmosDb(_) => ServiceAnswer::cosmos_db(arrival),
            Self::KeyVault(_) => ServiceAnswer::key_vault(arrival),
            Self::ContainerRegistry(_) => ServiceAnswer::container_registry(arrival),
            Self::EventHubs(..) | Self::ServiceBus(_) | Self::AppService(_) | Self::Other(_) => {
                ServiceAnswer::forbidden()
            }
        }
    }
}

impl Firewall {
    /// Lists the subnets that rules allow, with the rules' states. Ordered rules are always in
    /// force.
    pub fn subnets(&self) -> impl Iterator<Item = (SubnetId, RuleState)> {
        let ordered = match self {
            Self::AppService(rules) => rules.rules(),
            _ => &[],
        };
        let allowed = ordered.iter().filter_map(|rule| match (rule.action, rule.caller) {
            (Action::Allow, Caller::Subnet(subnet)) => Some((subnet, RuleState::Succeeded)),
            _ => None,
        });
        self.rule_set().into_iter().flat_map(RuleSet::vnet_rules).chain(allowed)
    }

    /// Lists the subnets that rules name, allowed or not.
    pub fn named_subnets(&self) -> impl Iterator<Item = SubnetId> {
        let ordered = match self {
            Self::AppService(rules) => rules.rules(),
            _ => &[],
        };
        let ordered = ordered.iter().filter_map(|rule| match rule.caller {
            Caller::Subnet(subnet) => Some(subnet),
            _ => None,
        });
        let unordered = self.rule_set().into_iter().flat_map(RuleSet::vnet_rules);
        unordered.map(|(subnet, _)| subnet).chain(ordered)
    }

    /// Marks the rule of a deleted subnet, if there is one (E-17, E-18).
    pub fn source_deleted(&mut self, subnet: SubnetId) {
        if let Some(rules) = self.rule_set_mut()
            && rules.vnet_rules().any(|(named, _)| named == subnet)
        {
            // Every state may change to this one.
            let _ = rules.set_vnet_rule(subnet, RuleState::NetworkSourceDeleted);
        }
    }

    /// Says whether the service accepts networks of another directory tenant. Storage and Key Vault
    /// do (S-11, C-13).
    #[must_use]
    pub const fn crosses_tenants(&self) -> bool {
        matches!(self, Self::Storage(_) | Self::KeyVault(_))
    }

    /// Gives the rule set of a service without ordered rules.
    #[must_use]
    pub const fn rule_set(&self) -> Option<&RuleSet> {
        match self {
            Self::AppService(_) => None,
            Self::Storage(rules)
            | Self::Sql(rules)
            | Self::CosmosDb(rules)
            | Self::KeyVault(rules)
            | Self::EventHubs(_, rules)
            | Self::ServiceBus(rules)
            | Self::ContainerRegistry(rules)
            | Self::Other(rules) => Some(rules),
        }
    }

    /// Gives the rule set for edits.
    pub const fn rule_set_mut(&mut self) -> Option<&mut RuleSet> {
        match self {
            Self::AppService(_) => None,
            Self::Storage(rules)
            | Self::Sql(rules)
            | Self::CosmosDb(rules)
            | Self::KeyVault(rules)
            | Self::EventHubs(_, rules)
            | Self::ServiceBus(rules)
            | Self::ContainerRegistry(rules)
            | Self::Other(rules) => Some(rules),
        }
    }
}

impl From<RuleSet> for Firewall {
    fn from(rules: RuleSet) -> Self {
        Self::Other(rules)
    }
}

impl From<OrderedRules> for Firewall {
    fn from(rules: OrderedRules) -> Self {
        Self::AppService(rules)
    }
}

impl EventHubsVersion {
    /// Gives the default action of a namespace that does not set one (F-21).
    #[must_use]
    pub const fn default_action(self) -> DefaultAction {
        match self {
            Self::DenyNeedsARule => DefaultAction::Deny,
            Self::DenyCounts => DefaultAction::Allow,
        }
    }
}

/// Parses a version such as `2021-01-01-preview`.
impl FromStr for EventHubsVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let date = text.strip_suffix("-preview").unwrap_or(text);
        let shape = date.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        if !shape.eq(*b"0000-00-00") {
            return Err(NotAVersion(text.to_owned()));
        }
        // Dates of this form compare as text.
        Ok(if date < "2021-06-01" { Self::DenyNeedsARule } else { Self::DenyCounts })
    }
}

/// The text is no API version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAVersion(pub String);

impl core::fmt::Display for NotAVersion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\" is no API version, expected one such as 2021-06-01-preview", self.0)
    }
}

impl core::error::Error for NotAVersion {}
