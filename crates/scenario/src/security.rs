//! Words for security groups: their rules, what they guard, and the tags that rules name.

use core::str::FromStr;

use ipnet::Ipv4Net;
use vnetem::{
    EditError,
    authz::{
        Action, PortRange, RuleDirection, SecurityGroup, SecurityRule, SecurityRuleError, Selector,
    },
};

use super::edit::{Edit, found, name};
use super::error::Problem;
use super::topology::Topology;
use super::words::Words;

/// One edit of a security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecurityEdit {
    Group(String),
    Rule {
        group: String,
        rule: SecurityRule,
    },
    RemoveRule {
        group: String,
        rule: String,
    },
    RemoveGroup(String),
    /// The place that a group guards, a subnet or an interface, and the group from now on.
    Guard {
        place: String,
        nic: bool,
        group: Option<String>,
    },
    Tag {
        name: String,
        prefixes: Vec<Ipv4Net>,
    },
}

const RULE: &str = "the name of a rule";
const GROUP: &str = "the name of a security group";

pub(super) fn group(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, GROUP)?;
    if !words.accept("rule") {
        return Ok(Edit::Security(SecurityEdit::Group(name)));
    }
    rule(words).map(|rule| Edit::Security(SecurityEdit::Rule { group: name, rule }))
}

pub(super) fn guard(words: &mut Words<'_>, on: bool) -> Result<Edit, Problem> {
    let nic = words.accept("nic");
    let place = name(words, "the name of a subnet, or nic and the name of an interface")?;
    let group = if on {
        words.expect("with")?;
        Some(name(words, GROUP)?)
    } else {
        None
    };
    Ok(Edit::Security(SecurityEdit::Guard { place, nic, group }))
}

pub(super) fn tag(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, "the name of a tag")?;
    let prefixes = words.list("prefixes with commas between them")?;
    Ok(Edit::Security(SecurityEdit::Tag { name, prefixes }))
}

/// Reads what follows `remove nsg`.
pub(super) fn remove(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let group = name(words, GROUP)?;
    let edit = if words.accept("rule") {
        SecurityEdit::RemoveRule { group, rule: name(words, RULE)? }
    } else {
        SecurityEdit::RemoveGroup(group)
    };
    Ok(Edit::Security(edit))
}

/// Reads `200 deny-internet outbound deny tcp * > Internet:443`.
fn rule(words: &mut Words<'_>) -> Result<SecurityRule, Problem> {
    let priority = words.parse("the number of a rule, 100 to 4096")?;
    let name = name(words, RULE)?;
    let direction = match words.take("inbound or outbound")? {
        "inbound" => RuleDirection::Inbound,
        "outbound" => RuleDirection::Outbound,
        other => return Err(found(other, "inbound or outbound")),
    };
    let action = match words.take("allow or deny")? {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        other => return Err(found(other, "allow or deny")),
    };
    let protocol = words.parse("a protocol: tcp, udp, icmp, esp, ah or *")?;
    let (sources, source_ports) = ends(words)?;
    words.expect(">")?;
    let (destinations, destination_ports) = ends(words)?;
    Ok(SecurityRule {
        name,
        priority,
        direction,
        action,
        protocol,
        sources,
        source_ports,
        destinations,
        destination_ports,
    })
}

/// Reads `10.0.0.0/8,Storage:80,443-445`.
fn ends(words: &mut Words<'_>) -> Result<(Vec<Selector>, Vec<PortRange>), Problem> {
    const EXPECTED: &str = "addresses such as *, Internet or 10.0.0.0/8:80,443";
    fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
        text.split(',').map(|part| part.parse().ok()).collect()
    }
    let read = |word: &str| {
        let (addresses, ports) = word.split_once(':').unwrap_or((word, "*"));
        Some((list(addresses)?, list(ports)?))
    };
    let ends = words.peek().and_then(read).ok_or_else(|| words.wrong(EXPECTED))?;
    words.take(EXPECTED)?;
    Ok(ends)
}

/// Returns the rule that has the name of a new one, or its number and direction.
fn repeated<'a>(rules: &'a SecurityGroup, rule: &SecurityRule) -> Option<&'a SecurityRule> {
    let place = (rule.direction, rule.priority);
    let same = |there: &&SecurityRule| {
        there.name.eq_ignore_ascii_case(&rule.name) || (there.direction, there.priority) == place
    };
    rules.rules().find(same)
}

/// Adds to an error where an unknown tag may be defined.
fn hint_at_tags(error: Box<dyn core::error::Error>) -> Box<dyn core::error::Error> {
    match error.downcast_ref() {
        Some(EditError::SecurityRule {
            why: SecurityRuleError::UnknownTag { tag, .. }, ..
        }) => {
            let hint = format!(
                "\"tag {tag} PREFIXES\" says what it stands for, --tags FILE a list that has it"
            );
            format!("{error}; {hint}").into()
        }
        _ => error,
    }
}

impl Topology {
    pub(super) fn apply_security(
        &mut self,
        edit: &SecurityEdit,
    ) -> Result<(), Box<dyn core::error::Error>> {
        match edit {
            SecurityEdit::Group(name) => {
                self.network.add_security_group(name, SecurityGroup::default())?;
            }
            SecurityEdit::Rule { group, rule } => {
                self.learn_tags(rule)?;
                self.edit_group(group, |rules| match repeated(rules, rule) {
                    None => Ok(rules.add_rule(rule.clone())?),
                    Some(there) => {
                        let replace = format!("remove nsg {group} rule {} ; nsg {group} rule {rule}", there.name);
                        Err(format!("security group {group} has \"{there}\" already; \"{replace}\" replaces it").into())
                    }
                })
                .map_err(|error| hint_at_tags(error))?;
            }
            SecurityEdit::RemoveRule { group, rule } => {
                self.edit_group(group, |rules| {
                    if rules.remove_rule(rule) {
                        Ok(())
                    } else {
                        Err(format!("security group {group} has no rule {rule}").into())
                    }
                })?;
            }
            SecurityEdit::RemoveGroup(name) => {
                self.network.remove_security_group(self.security_group(name)?)?;
            }
            SecurityEdit::Guard { place, nic, group } => {
                let group = group.as_ref().map(|name| self.security_group(name)).transpose()?;
                if *nic {
                    self.network.guard_nic(self.nic(place)?, group)?;
                } else {
                    self.network.guard_subnet(self.subnet(place)?, group)?;
                }
            }
            SecurityEdit::Tag { name, prefixes } => self.network.set_tag(name, prefixes)?,
        }
        Ok(())
    }

    fn security_group(&self, name: &str) -> Result<vnetem::SecurityGroupId, String> {
        let found = self.network.security_group_named(name);
        found.ok_or_else(|| format!("there is no security group {name}"))
    }

    fn edit_group(
        &mut self,
        name: &str,
        edit: impl FnOnce(&mut SecurityGroup) -> Result<(), Box<dyn core::error::Error>>,
    ) -> Result<(), Box<dyn core::error::Error>> {
        let id = self.security_group(name)?;
        let mut rules = self.network.security_rules(id)?.clone();
        edit(&mut rules)?;
        Ok(self.network.set_security_rules(id, rules)?)
    }

    /// Defines a tag that the model does not know by the list of service tags.
    fn learn_tags(&mut self, rule: &SecurityRule) -> Result<(), vnetem::EditError> {
        for selector in rule.sources.iter().chain(&rule.destinations) {
            if let Selector::Tag(name) = selector
                && !self.network.has_tag(name)
                && let Some(tag) = self.tags.tag(name)
            {
                self.network.set_tag(name, tag.prefixes())?;
            }
        }
        Ok(())
    }
}
