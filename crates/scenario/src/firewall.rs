//! Words for the access rules of a resource, and for the kind of its service.

use ipnet::Ipv4Net;
use vnetem::{
    ServiceId,
    authz::{
        Action, Caller, DefaultAction, EventHubsVersion, Firewall, OrderedRule, OrderedRules,
        PublicAccess, ResourceInstance, RuleLimits, RuleSet, RuleState,
    },
    control::MissingEndpoint,
};

use super::edit::{Edit, found, name};
use super::error::Problem;
use super::topology::Topology;
use super::words::Words;

/// The kind of a service, which decides its rules and its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Storage,
    Sql,
    CosmosDb,
    KeyVault,
    EventHubs(EventHubsVersion),
    ServiceBus,
    AppService,
    ContainerRegistry,
}

/// One rule of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Default(DefaultAction),
    Public(PublicAccess),
    /// The range as written, since the model checks how it is written (F-05, F-06).
    Ip(String),
    Subnet(String, RuleState, MissingEndpoint),
    Instance(u64),
    Ordered {
        number: u32,
        action: Action,
        caller: Named,
    },
}

/// Writes the rule as `remove rule` takes it.
impl core::fmt::Display for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ip(rule) => write!(f, "ip {rule}"),
            Self::Subnet(name, ..) => write!(f, "subnet {name}"),
            Self::Instance(number) => write!(f, "instance {number}"),
            Self::Ordered { number, .. } => write!(f, "{number}"),
            Self::Default(_) => f.write_str("default"),
            Self::Public(_) => f.write_str("public-access"),
        }
    }
}

impl Rule {
    fn names_a_subnet(&self) -> bool {
        matches!(self, Self::Subnet(..) | Self::Ordered { caller: Named::Subnet(..), .. })
    }
}

impl Edit {
    /// Splits the declaration from its rules for subnets, which become edits after all other
    /// declarations. A service may require the endpoint of a subnet, which may be declared further
    /// down (E-14).
    pub(super) fn without_subnet_rules(&self) -> (Option<Self>, Vec<Self>) {
        match self {
            Self::Resource { name, address, service, kind, rules } => {
                let (later, rules) = rules.iter().cloned().partition(Rule::names_a_subnet);
                let later: Vec<Rule> = later;
                let rule = |rule| Self::Rule { resource: name.clone(), rule, remove: false };
                let resource = Self::Resource {
                    name: name.clone(),
                    address: *address,
                    service: service.clone(),
                    kind: *kind,
                    rules,
                };
                (Some(resource), later.into_iter().map(rule).collect())
            }
            Self::Rule { rule, .. } if rule.names_a_subnet() => (None, vec![self.clone()]),
            _ => (Some(self.clone()), Vec::new()),
        }
    }
}

/// What an ordered rule matches, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Any,
    Subnet(String, MissingEndpoint),
    Addresses(Ipv4Net),
}

/// Reads the kind behind `as`.
pub(super) fn kind(words: &mut Words<'_>) -> Result<Kind, Problem> {
    const KINDS: &str = "storage, sql, cosmos-db, key-vault, event-hubs, service-bus, app-service or container-registry";
    Ok(match words.take(KINDS)?.to_ascii_lowercase().as_str() {
        "storage" => Kind::Storage,
        "sql" => Kind::Sql,
        "cosmos-db" => Kind::CosmosDb,
        "key-vault" => Kind::KeyVault,
        "event-hubs" => Kind::EventHubs(words.parse("a version such as 2021-06-01-preview")?),
        "service-bus" => Kind::ServiceBus,
        "app-service" => Kind::AppService,
        "container-registry" => Kind::ContainerRegistry,
        other => return Err(found(other, KINDS)),
    })
}

pub(super) fn rule(words: &mut Words<'_>) -> Result<Rule, Problem> {
    if words.accept("default") {
        return match words.take("allow or deny")? {
            "allow" => Ok(Rule::Default(DefaultAction::Allow)),
            "deny" => Ok(Rule::Default(DefaultAction::Deny)),
            other => Err(found(other, "allow or deny")),
        };
    }
    if words.accept("public-access") {
        return match words.take("enabled or disabled")? {
            "enabled" => Ok(Rule::Public(PublicAccess::Enabled)),
            "disabled" => Ok(Rule::Public(PublicAccess::Disabled)),
            other => Err(found(other, "enabled or disabled")),
        };
    }
    if words.accept("rule") {
        return ordered(words);
    }
    if !words.accept("allow") {
        return Err(words.wrong(
            "a rule: default deny, allow ip RANGE, allow subnet NAME, rule 100 deny ip RANGE or public-access disabled",
        ));
    }
    who(words)
}

pub(super) fn rule_of(words: &mut Words<'_>, remove: bool) -> Result<Edit, Problem> {
    let rule = match (remove, words.peek()) {
        (true, Some(number)) if number.starts_with(|first: char| first.is_ascii_digit()) => {
            ordered(words)?
        }
        (true, _) => who(words)?,
        (false, _) => rule(words)?,
    };
    words.expect("on")?;
    Ok(Edit::Rule { resource: name(words, "the name of a resource")?, rule, remove })
}

fn who(words: &mut Words<'_>) -> Result<Rule, Problem> {
    match words.take("ip or subnet")? {
        "ip" => name(words, "an address or a range").map(Rule::Ip),
        "subnet" => {
            let name = name(words, "the name of a subnet")?;
            let state = if words.accept("state") { state(words)? } else { RuleState::Succeeded };
            Ok(Rule::Subnet(name, state, missing(words)))
        }
        "instance" => words.parse("the number of an instance").map(Rule::Instance),
        other => Err(found(other, "ip or subnet")),
    }
}

fn state(words: &mut Words<'_>) -> Result<RuleState, Problem> {
    const STATES: &str = "provisioning, deprovisioning, succeeded or failed";
    Ok(match words.take(STATES)?.to_ascii_lowercase().as_str() {
        "provisioning" => RuleState::Provisioning,
        "deprovisioning" => RuleState::Deprovisioning,
        "succeeded" => RuleState::Succeeded,
        "failed" => RuleState::Failed,
        other => return Err(found(other, STATES)),
    })
}

/// Reads what to do with the rule if its subnet has no endpoint (E-14).
fn missing(words: &mut Words<'_>) -> MissingEndpoint {
    if words.accept("ignoring-missing-endpoint") {
        MissingEndpoint::Ignore
    } else {
        MissingEndpoint::Refuse
    }
}

/// Reads `100 deny ip 20.1.1.0/24`.
fn ordered(words: &mut Words<'_>) -> Result<Rule, Problem> {
    let number = words.parse("the number of a rule")?;
    let action = match words.take("allow or deny")? {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        other => return Err(found(other, "allow or deny")),
    };
    let caller = match words.take("ip, subnet or any")? {
        "ip" => Named::Addresses(words.parse("a range such as 20.1.1.0/24")?),
        "subnet" => {
            let name = name(words, "the name of a subnet")?;
            Named::Subnet(name, missing(words))
        }
        "any" => Named::Any,
        other => return Err(found(other, "ip, subnet or any")),
    };
    Ok(Rule::Ordered { number, action, caller })
}

fn public_access(access: PublicAccess) -> String {
    match access {
        PublicAccess::Enabled => "public-access  enabled".to_owned(),
        PublicAccess::Disabled => "public-access  disabled".to_owned(),
    }
}

/// Returns a state as scenarios write it. States that no scenario can write have the service's own
/// names (E-17, E-18).
const fn state_name(state: RuleState) -> &'static str {
    match state {
        RuleState::Provisioning => "provisioning",
        RuleState::Deprovisioning => "deprovisioning",
        RuleState::Succeeded => "succeeded",
        RuleState::Failed => "failed",
        RuleState::NetworkSourceDeleted => "networkSourceDeleted",
    }
}

impl Topology {
    /// Makes the rules of a resource that is open to all, of the given kind or of its service's
    /// known kind.
    pub(super) fn firewall(&self, service: ServiceId, kind: Option<Kind>) -> Firewall {
        let tag = self.tag_of(service);
        // Old files may write a /32 for a service whose tag is unknown.
        let limits =
            |of_kind| if tag.is_some() || kind.is_some() { of_kind } else { RuleLimits::UNSTATED };
        let open = |of_kind| RuleSet::new(limits(of_kind), DefaultAction::Allow);
        let kind = kind.or_else(|| {
            let own = self.network.service(service).map_or("", |service| service.name.as_str());
            Some(match tag.unwrap_or(own) {
                "Storage" | "storage" => Kind::Storage,
                "Sql" | "sql" => Kind::Sql,
                "AzureCosmosDB" => Kind::CosmosDb,
                "AzureKeyVault" => Kind::KeyVault,
                "EventHub" => Kind::EventHubs(EventHubsVersion::DenyCounts),
                "ServiceBus" => Kind::ServiceBus,
                "AppService" => Kind::AppService,
                "AzureContainerRegistry" => Kind::ContainerRegistry,
                _ => return None,
            })
        });
        match kind {
            Some(Kind::Storage) => Firewall::Storage(open(RuleLimits::STORAGE)),
            Some(Kind::Sql) => Firewall::Sql(open(RuleLimits::SQL)),
            Some(Kind::CosmosDb) => Firewall::CosmosDb(open(RuleLimits::COSMOS_DB)),
            Some(Kind::KeyVault) => Firewall::KeyVault(open(RuleLimits::KEY_VAULT)),
            Some(Kind::EventHubs(version)) => {
                let rules = RuleSet::new(limits(RuleLimits::EVENT_HUBS), version.default_action());
                Firewall::EventHubs(version, rules)
            }
            Some(Kind::ServiceBus) => Firewall::ServiceBus(open(RuleLimits::SERVICE_BUS)),
            Some(Kind::AppService) => Firewall::AppService(OrderedRules::new()),
            Some(Kind::ContainerRegistry) => {
                Firewall::ContainerRegistry(open(RuleLimits::UNSTATED))
            }
            None => Firewall::Other(open(RuleLimits::UNSTATED)),
        }
    }

    /// Checks new rules for what their service requires of a subnet first (E-14). Existing rules
    /// are not checked again.
    pub(super) fn check_rules(
        &self,
        service: ServiceId,
        rules: &[Rule],
        before: Option<&Firewall>,
    ) -> Result<(), Box<dyn core::error::Error>> {
        for rule in rules {
            let (Rule::Subnet(name, _, missing)
            | Rule::Ordered { caller: Named::Subnet(name, missing), .. }) = rule
            else {
                continue;
            };
            let subnet = self.subnet(name)?;
            let stands = |before: &Firewall| before.named_subnets().any(|named| named == subnet);
            if !before.is_some_and(stands) {
                self.network.check_rule(service, subnet, *missing)?;
            }
        }
        Ok(())
    }

    /// Lists the access rules of a resource, one in a line, each with its state.
    pub(super) fn rules(&self, resource: &str) -> Result<Vec<String>, String> {
        let resource = self.resource(resource)?;
        let firewall = &self.network.resource(resource).map_err(|error| error.to_string())?.rules;
        if let Firewall::AppService(rules) = firewall {
            return Ok(self.ordered_rules(rules));
        }
        let Some(rules) = firewall.rule_set() else { return Ok(Vec::new()) };
        let mut lines = vec![public_access(rules.public_access())];
        lines.push(match rules.default_action() {
            DefaultAction::Deny => "default        deny".to_owned(),
            DefaultAction::Allow if rules.has_rules() => {
                "default        allow, so that the rules below have no effect".to_owned()
            }
            DefaultAction::Allow => "default        allow".to_owned(),
        });
        lines.extend(rules.ip_rules().iter().map(|range| format!("ip             {range}")));
        lines.extend(rules.vnet_rules().map(|(subnet, state)| {
            format!("subnet         {}   {}", self.full_name(subnet), state_name(state))
        }));
        let instances = rules.instances().iter();
        lines.extend(instances.map(|instance| format!("instance       {}", instance.0)));
        Ok(lines)
    }

    fn ordered_rules(&self, rules: &OrderedRules) -> Vec<String> {
        let word = |action| match action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        };
        let mut lines = vec![public_access(rules.public_access())];
        lines.extend(rules.rules().iter().map(|rule| {
            let caller = match rule.caller {
                Caller::Any => "any".to_owned(),
                Caller::Subnet(subnet) => format!("subnet {}", self.full_name(subnet)),
                Caller::Addresses(range) => format!("ip {range}"),
            };
            format!("rule {:<9} {:<7} {caller}", rule.number, word(rule.action))
        }));
        lines.push(format!("default        {}", word(rules.unmatched())));
        lines
    }

    pub(super) fn change_rule(
        &self,
        firewall: &mut Firewall,
        rule: &Rule,
        remove: bool,
    ) -> Result<(), Box<dyn core::error::Error>> {
        match (firewall, rule) {
            (Firewall::AppService(rules), rule) => self.change_ordered(rules, rule, remove),
            (_, Rule::Ordered { .. }) => {
                Err("only an App Service site has rules with numbers".into())
            }
            (firewall, rule) => match firewall.rule_set_mut() {
                Some(rules) => self.change_set(rules, rule, remove),
                None => Ok(()),
            },
        }
    }

    fn change_set(
        &self,
        set: &mut RuleSet,
        rule: &Rule,
        remove: bool,
    ) -> Result<(), Box<dyn core::error::Error>> {
        // A removed rule must exist. Other rules are replaced.
        let there = match rule {
            Rule::Default(action) => {
                set.set_default_action(*action);
                true
            }
            Rule::Public(access) => {
                set.set_public_access(*access);
                true
            }
            Rule::Ip(rule) if remove => set.remove_ip_rule(rule.parse()?),
            Rule::Ip(rule) => set.add_ip_rule(rule.parse()?).map(|()| true)?,
            Rule::Subnet(name, ..) if remove => set.remove_vnet_rule(self.subnet(name)?),
            Rule::Subnet(name, state, _) => {
                set.set_vnet_rule(self.subnet(name)?, *state).map(|()| true)?
            }
            Rule::Instance(number) if remove => set.distrust_instance(ResourceInstance(*number)),
            Rule::Instance(number) => {
                set.trust_instance(ResourceInstance(*number));
                true
            }
            Rule::Ordered { .. } => false,
        };
        if there { Ok(()) } else { Err(format!("there is no rule {rule}").into()) }
    }

    fn change_ordered(
        &self,
        rules: &mut OrderedRules,
        rule: &Rule,
        remove: bool,
    ) -> Result<(), Box<dyn core::error::Error>> {
        let (number, action, caller) = match rule {
            Rule::Ordered { number, action, caller } => (number, action, caller),
            Rule::Public(access) => {
                rules.set_public_access(*access);
                return Ok(());
            }
            Rule::Default(action) => {
                rules.set_unmatched(Some(match action {
                    DefaultAction::Allow => Action::Allow,
                    DefaultAction::Deny => Action::Deny,
                }));
                return Ok(());
            }
            _ => return Err("rules of an App Service site have numbers".into()),
        };
        let caller = match caller {
            Named::Any => Caller::Any,
            Named::Subnet(name, _) => Caller::Subnet(self.subnet(name)?),
            Named::Addresses(range) => Caller::Addresses(*range),
        };
        let rule = OrderedRule { number: *number, action: *action, caller };
        if !remove {
            return Ok(rules.add_rule(rule)?);
        }
        if rules.remove_rule(&rule) {
            Ok(())
        } else {
            Err(format!("there is no rule {number}").into())
        }
    }
}
