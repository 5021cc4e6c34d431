//! The firewalls of resources, edited by one rule.

use vnetem::{
    Ipv4Net, SubnetId,
    authz::{Action, Caller, Firewall, IpRule, OrderedRule, OrderedRules, RuleSet, RuleState},
};

use crate::seen::Need;

/// The rules of a kind of service that has addresses and subnets in sets.
pub(crate) fn rule_set(firewall: &Firewall) -> Option<&RuleSet> {
    match firewall {
        Firewall::Storage(rules)
        | Firewall::Sql(rules)
        | Firewall::CosmosDb(rules)
        | Firewall::KeyVault(rules)
        | Firewall::EventHubs(_, rules)
        | Firewall::ServiceBus(rules)
        | Firewall::ContainerRegistry(rules)
        | Firewall::Other(rules) => Some(rules),
        Firewall::AppService(_) => None,
    }
}

fn rule_set_mut(firewall: &mut Firewall) -> Option<&mut RuleSet> {
    match firewall {
        Firewall::Storage(rules)
        | Firewall::Sql(rules)
        | Firewall::CosmosDb(rules)
        | Firewall::KeyVault(rules)
        | Firewall::EventHubs(_, rules)
        | Firewall::ServiceBus(rules)
        | Firewall::ContainerRegistry(rules)
        | Firewall::Other(rules) => Some(rules),
        Firewall::AppService(_) => None,
    }
}

/// The firewall with one more rule that lets somebody in; `None` where there is no such rule.
pub(crate) fn with(firewall: &Firewall, need: Need) -> Option<Firewall> {
    let mut changed = firewall.clone();
    if let Firewall::AppService(rules) = &mut changed {
        let caller = match need {
            Need::Subnet(subnet) => Caller::Subnet(subnet),
            Need::Address(address) => Caller::Addresses(Ipv4Net::from(address)),
            Need::Other(_) => return None,
        };
        let rule = OrderedRule { number: first_number(rules), action: Action::Allow, caller };
        return rules.add_rule(rule).is_ok().then_some(changed);
    }
    let rules = rule_set_mut(&mut changed)?;
    let done = match need {
        Need::Subnet(subnet) => rules.set_vnet_rule(subnet, RuleState::Succeeded),
        Need::Address(address) => rules.add_ip_rule(IpRule::Address(address)),
        Need::Other(_) => return None,
    };
    done.is_ok().then_some(changed)
}

/// Whether a firewall has a rule already that lets somebody in.
pub(crate) fn has(firewall: &Firewall, need: Need) -> bool {
    let holds = |caller: &Caller| match (caller, need) {
        (Caller::Subnet(id), Need::Subnet(subnet)) => *id == subnet,
        (Caller::Addresses(range), Need::Address(address)) => range.contains(&address),
        _ => false,
    };
    if let Firewall::AppService(rules) = firewall {
        return rules
            .rules()
            .iter()
            .any(|rule| rule.action == Action::Allow && holds(&rule.caller));
    }
    let Some(rules) = rule_set(firewall) else { return false };
    match need {
        Need::Subnet(subnet) => {
            rules.vnet_rules().any(|rule| rule == (subnet, RuleState::Succeeded))
        }
        Need::Address(address) => rules.ip_rules().iter().any(|range| range.contains(&address)),
        Need::Other(_) => false,
    }
}

/// A number before every rule that is there.
fn first_number(rules: &OrderedRules) -> u32 {
    let first = rules.rules().iter().map(|rule| rule.number).min();
    first.map_or(100, |first| first.saturating_sub(1).max(1))
}

/// Names of the rules of one firewall, as the lists of dead and changed rules have them.
pub(crate) fn names(
    firewall: &Firewall,
    subnet: impl Fn(SubnetId) -> String,
) -> Vec<(String, Option<&'static str>)> {
    if let Firewall::AppService(rules) = firewall {
        let rules = rules.rules().iter().map(|rule| {
            let caller = match rule.caller {
                Caller::Any => "everybody".to_owned(),
                Caller::Subnet(id) => format!("subnet {}", subnet(id)),
                Caller::Addresses(range) => format!("ip {}", plain(range)),
            };
            let action = if rule.action == Action::Deny { "deny " } else { "" };
            (format!("{} {action}{caller}", rule.number), None)
        });
        return rules.collect();
    }
    let Some(rules) = rule_set(firewall) else { return Vec::new() };
    let addresses = rules.ip_rules().iter().map(|range| (format!("ip {}", plain(*range)), None));
    let subnets = rules.vnet_rules().map(|(id, state)| {
        let state = match state {
            RuleState::Succeeded => None,
            RuleState::Provisioning => Some("provisioning"),
            RuleState::Deprovisioning => Some("deprovisioning"),
            RuleState::Failed => Some("failed"),
            RuleState::NetworkSourceDeleted => Some("network-source-deleted"),
        };
        (format!("subnet {}", subnet(id)), state)
    });
    addresses.chain(subnets).collect()
}

/// A range as rules are written: one address without its length.
pub(crate) fn plain(range: Ipv4Net) -> String {
    if range.prefix_len() == 32 { range.network().to_string() } else { range.to_string() }
}
