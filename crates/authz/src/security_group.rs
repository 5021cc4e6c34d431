//! A security group as its owner writes it.

use core::fmt;
use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::compiled_group::CompiledGroup;
use crate::{NetworkSpace, RuleDirection, SecurityRule, Selector, Tags};

/// The rules of a network security group, each under its direction and number.
///
/// Only numbers order the rules: whatever the order of edits, equal rules make equal groups
/// (INV-rules-order-free). An edit that fails changes nothing. A group that others read is replaced
/// as a whole (INV-group-replaced-whole, P-19).
///
/// ```
/// use vnetem_authz::{Action, NetworkSpace, PortRange, RuleDirection, RuleProtocol};
/// use vnetem_authz::{SecurityGroup, SecurityRule, Tags};
/// use vnetem_packet::{FiveTuple, Protocol};
///
/// let mut group = SecurityGroup::default();
/// group.add_rule(SecurityRule {
///     name: "deny-internet".into(),
///     priority: 200,
///     direction: RuleDirection::Outbound,
///     action: Action::Deny,
///     protocol: RuleProtocol::Any,
///     sources: vec!["*".parse()?],
///     source_ports: vec![PortRange::ANY],
///     destinations: vec!["Internet".parse()?],
///     destination_ports: vec![PortRange::ANY],
/// })?;
/// let space = NetworkSpace::new(["10.0.0.0/16".parse()?], []);
/// let compiled = group.compile(&space, &Tags::default())?;
///
/// let tuple = FiveTuple {
///     protocol: Protocol::TCP,
///     source: "10.0.0.4:50001".parse()?,
///     destination: "52.239.1.9:443".parse()?,
/// };
/// let ruling = compiled.judge(RuleDirection::Outbound, &tuple);
/// assert_eq!(ruling.to_string(), "denied by 200 deny-internet");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    rules: BTreeMap<(RuleDirection, u16), SecurityRule>,
}

/// Why a rule was refused, or could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityRuleError {
    /// The text names no protocol of a rule.
    NotAProtocol(String),
    /// The text is no protocol of a rule.
    NotAddresses(String),
    /// The text is no port or range of ports.
    NotPorts(String),
    /// The number is outside 100 to 4096 (P-08).
    Priority {
        /// The rule.
        rule: String,
        /// Its number.
        priority: u16,
    },
    /// Another rule has this number in this direction (P-08).
    PriorityTaken {
        /// The refused rule.
        rule: String,
        /// The other rule.
        holder: String,
        /// The number.
        priority: u16,
        /// The direction.
        direction: RuleDirection,
    },
    /// Another rule has the name.
    NameTaken {
        /// The name.
        rule: String,
    },
    /// A list of the rule is empty, so the rule would match nothing.
    Empty {
        /// The rule.
        rule: String,
        /// The list.
        list: &'static str,
    },
    /// A prefix has bits set behind its length.
    HostBits {
        /// The rule.
        rule: String,
        /// The prefix.
        prefix: Ipv4Net,
    },
    /// No tag has this name.
    UnknownTag {
        /// The rule.
        rule: String,
        /// The tag.
        tag: String,
    },
}

impl SecurityGroup {
    /// Adds a rule.
    ///
    /// # Errors
    ///
    /// - The number is outside 100 to 4096, or taken in its direction (P-08).
    /// - The name is taken, a list is empty, or a prefix has host bits.
    pub fn add_rule(&mut self, rule: SecurityRule) -> Result<(), SecurityRuleError> {
        check_lists(&rule)?;
        let SecurityRule { ref name, priority, direction, .. } = rule;
        if !(100..=4096).contains(&priority) {
            return Err(SecurityRuleError::Priority { rule: name.clone(), priority });
        }
        if let Some(holder) = self.rules.get(&(direction, priority)) {
            let (rule, holder) = (name.clone(), holder.name.clone());
            return Err(SecurityRuleError::PriorityTaken { rule, holder, priority, direction });
        }
        if self.rule(name).is_some() {
            return Err(SecurityRuleError::NameTaken { rule: name.clone() });
        }
        self.rules.insert((direction, priority), rule);
        Ok(())
    }

    /// Removes the rule of this name; `false` if there is none.
    pub fn remove_rule(&mut self, name: &str) -> bool {
        let key = self.rule(name).map(|rule| (rule.direction, rule.priority));
        key.and_then(|key| self.rules.remove(&key)).is_some()
    }

    /// Finds the rule of this name, without regard to case.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&SecurityRule> {
        self.rules().find(|rule| rule.name.eq_ignore_ascii_case(name))
    }

    /// Lists all rules except the default ones, inbound first, in the order in which they are
    /// tried.
    pub fn rules(&self) -> impl Iterator<Item = &SecurityRule> {
        self.rules.values()
    }

    /// Resolves all names and compiles the group. Compile again when a rule or the meaning of a
    /// name changes (S-44).
    ///
    /// # Errors
    ///
    /// A rule names an unknown tag.
    pub fn compile(
        &self,
        space: &NetworkSpace,
        tags: &Tags,
    ) -> Result<CompiledGroup, SecurityRuleError> {
        CompiledGroup::new(self, space, tags)
    }
}

impl fmt::Display for SecurityRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAProtocol(text) => write!(f, "\"{text}\" is no protocol of a security rule"),
            Self::NotAddresses(text) => {
                write!(f, "\"{text}\" is neither an IPv4 address nor a prefix nor a tag")
            }
            Self::NotPorts(text) => write!(f, "\"{text}\" is neither a port nor a range of ports"),
            Self::Priority { rule, priority } => {
                write!(f, "rule {rule} has the number {priority}, expected 100 to 4096")
            }
            Self::PriorityTaken { rule, holder, priority, direction } => {
                write!(f, "rules {holder} and {rule} are both {direction} {priority}")
            }
            Self::NameTaken { rule } => write!(f, "there is already a rule {rule}"),
            Self::Empty { rule, list } => write!(f, "rule {rule} has no {list}"),
            Self::HostBits { rule, prefix } => {
                let meant = prefix.trunc();
                write!(f, "rule {rule}: {prefix} has bits behind its length; {meant} is meant")
            }
            Self::UnknownTag { rule, tag } => write!(f, "rule {rule}: there is no tag {tag}"),
        }
    }
}

impl core::error::Error for SecurityRuleError {}

fn check_lists(rule: &SecurityRule) -> Result<(), SecurityRuleError> {
    let empty = [
        (rule.sources.is_empty(), "sources"),
        (rule.source_ports.is_empty(), "source ports"),
        (rule.destinations.is_empty(), "destinations"),
        (rule.destination_ports.is_empty(), "destination ports"),
    ];
    if let Some((_, list)) = empty.into_iter().find(|(empty, _)| *empty) {
        return Err(SecurityRuleError::Empty { rule: rule.name.clone(), list });
    }
    rule.sources.iter().chain(&rule.destinations).try_for_each(|selector| match *selector {
        Selector::Prefix(prefix) if prefix != prefix.trunc() => {
            Err(SecurityRuleError::HostBits { rule: rule.name.clone(), prefix })
        }
        _ => Ok(()),
    })
}
