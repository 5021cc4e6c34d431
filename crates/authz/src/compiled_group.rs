//! A compiled security group, which decides about packets.
//!
//! Protocol, addresses and ports have a table each. A table gives, for a value, a row with one bit
//! for each rule that matches, in the order of rule numbers. The lowest bit set in all five rows is
//! the first rule that matches. So a decision takes five binary searches and an AND, however many
//! prefixes a tag has.

use core::fmt;
use core::net::SocketAddrV4;

use vnetem_packet::{FiveTuple, Protocol};

use crate::ranges::Ranges;
use crate::resolve::{NO_PORT, Names, Product, default_rules};
use crate::tags::PLATFORM_ADDRESSES;
use crate::{
    Action, NetworkSpace, RuleDirection, SecurityGroup, SecurityRule, SecurityRuleError, Tags,
};

/// A security group with its default rules (P-09) and all names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledGroup {
    inbound: Side,
    outbound: Side,
}

/// The decision of a security group about a packet, and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Ruling<'a> {
    /// Whether the packet passes.
    pub action: Action,
    /// What decided.
    pub by: Decider<'a>,
}

/// What decided about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider<'a> {
    /// A rule, default rules included.
    Rule {
        /// Its number.
        priority: u16,
        /// Its name.
        name: &'a str,
    },
    /// No rule: the packet goes to a platform service, to which rules do not apply (P-15).
    Platform,
}

impl CompiledGroup {
    /// Decides about a packet by its private addresses: outbound before translation, inbound after
    /// it (P-10).
    ///
    /// The rule with the lowest number that matches decides (P-08), the default rules last (P-09).
    /// Packets to platform services pass unless a rule with a platform tag denies them (P-15). The
    /// function does not allocate.
    pub fn judge(&self, direction: RuleDirection, tuple: &FiveTuple) -> Ruling<'_> {
        let side = match direction {
            RuleDirection::Inbound => &self.inbound,
            RuleDirection::Outbound => &self.outbound,
        };
        if let Some(entry) = side.first_match(tuple) {
            let by = Decider::Rule { priority: entry.priority, name: &entry.name };
            return Ruling { action: entry.action, by };
        }
        let to_platform = PLATFORM_ADDRESSES.contains(tuple.destination.ip());
        match direction {
            RuleDirection::Outbound if to_platform => {
                Ruling { action: Action::Allow, by: Decider::Platform }
            }
            RuleDirection::Outbound => DENY_OUTBOUND,
            RuleDirection::Inbound => DENY_INBOUND,
        }
    }

    /// Decides about a packet that several groups check, such as the interface's and the subnet's.
    ///
    /// All must allow; the first that denies decides (P-31). `None` if there is no group, and then
    /// the packet passes.
    #[must_use]
    pub fn judge_all<'a>(
        groups: impl IntoIterator<Item = &'a Self>,
        direction: RuleDirection,
        tuple: &FiveTuple,
    ) -> Option<Ruling<'a>> {
        let mut last = None;
        for group in groups {
            let ruling = group.judge(direction, tuple);
            last = Some(ruling);
            if !ruling.is_allowed() {
                break;
            }
        }
        last
    }

    /// Gives the name of the rule with this number, default rules included.
    #[must_use]
    pub fn rule_name(&self, direction: RuleDirection, priority: u16) -> Option<&str> {
        let (side, last) = match direction {
            RuleDirection::Inbound => (&self.inbound, DENY_INBOUND.by),
            RuleDirection::Outbound => (&self.outbound, DENY_OUTBOUND.by),
        };
        match side.entries.iter().find(|entry| entry.priority == priority) {
            Some(entry) => Some(&entry.name),
            None => match last {
                Decider::Rule { priority: of_last, name } if of_last == priority => Some(name),
                _ => None,
            },
        }
    }

    pub(crate) fn new(
        group: &SecurityGroup,
        space: &NetworkSpace,
        tags: &Tags,
    ) -> Result<Self, SecurityRuleError> {
        let side = |direction| Side::new(group, direction, Names { space, tags });
        Ok(Self {
            inbound: side(RuleDirection::Inbound)?,
            outbound: side(RuleDirection::Outbound)?,
        })
    }
}

impl Ruling<'_> {
    /// Says whether the packet passes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.action == Action::Allow
    }
}

/// Prints the decision, such as `allowed by 65001 AllowInternetOutBound`.
impl fmt::Display for Ruling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.action {
            Action::Allow => "allowed by ",
            Action::Deny => "denied by ",
        })?;
        match self.by {
            Decider::Rule { priority, name } => write!(f, "{priority} {name}"),
            Decider::Platform => f.write_str("the platform"),
        }
    }
}

/// The last default rule, without a table (P-09).
const DENY_INBOUND: Ruling<'static> =
    Ruling { action: Action::Deny, by: Decider::Rule { priority: 65500, name: "DenyAllInBound" } };
const DENY_OUTBOUND: Ruling<'static> =
    Ruling { action: Action::Deny, by: Decider::Rule { priority: 65500, name: "DenyAllOutBound" } };

/// Rules of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    entries: Vec<Entry>,
    fields: [Field; 5],
    /// Words in a row.
    width: usize,
}

/// The rule, or part of a rule, of one bit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    priority: u16,
    name: Box<str>,
    action: Action,
}

impl Side {
    fn new(
        group: &SecurityGroup,
        direction: RuleDirection,
        names: Names<'_>,
    ) -> Result<Self, SecurityRuleError> {
        let (mut entries, mut products) = (Vec::new(), Vec::new());
        let rules = group.rules().filter(|rule| rule.direction == direction);
        for rule in rules.chain(&default_rules(direction)) {
            for product in names.products(rule)? {
                let SecurityRule { priority, action, .. } = *rule;
                entries.push(Entry { priority, name: rule.name.as_str().into(), action });
                products.push(product);
            }
        }
        let width = products.len().div_ceil(64);
        let field = |of: fn(&Product) -> &Ranges| Field::new(products.iter().map(of), width);
        let fields = [
            field(|product| &product.protocol),
            field(|product| &product.source),
            field(|product| &product.destination),
            field(|product| &product.source_port),
            field(|product| &product.destination_port),
        ];
        Ok(Self { entries, fields, width })
    }

    fn first_match(&self, tuple: &FiveTuple) -> Option<&Entry> {
        let port = |end: SocketAddrV4| match tuple.protocol {
            Protocol::TCP | Protocol::UDP => u32::from(end.port()),
            _ => NO_PORT,
        };
        let values = [
            u32::from(tuple.protocol.0),
            tuple.source.ip().to_bits(),
            tuple.destination.ip().to_bits(),
            port(tuple.source),
            port(tuple.destination),
        ];
        let [a, b, c, d, e] = &self.fields;
        let [v, w, x, y, z] = values;
        let rows = [a.row(v), b.row(w), c.row(x), d.row(y), e.row(z)];
        (0..self.width).find_map(|word| {
            let common =
                rows.iter().fold(!0, |bits, row| bits & row.get(word).copied().unwrap_or(0));
            let bit = usize::try_from(common.trailing_zeros()).ok()?;
            if common == 0 { None } else { self.entries.get(word * 64 + bit) }
        })
    }
}

/// The rules that match at each value: a row of bits from each start to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    starts: Vec<u32>,
    rows: Vec<u64>,
    width: usize,
}

impl Field {
    /// Builds a table with one bit for each set, in their order.
    fn new<'a>(sets: impl Iterator<Item = &'a Ranges>, width: usize) -> Self {
        // A bit flips where its set begins or ends.
        let mut flips: Vec<(u32, usize)> = Vec::new();
        for (rule, set) in sets.enumerate() {
            for &(first, last) in set.as_slice() {
                flips.push((first, rule));
                flips.extend(last.checked_add(1).map(|end| (end, rule)));
            }
        }
        flips.sort_unstable();
        let mut row = vec![0_u64; width];
        let mut field = Self { starts: vec![0], rows: Vec::new(), width };
        for (at, rule) in flips {
            if field.starts.last() != Some(&at) {
                field.rows.extend(&row);
                field.starts.push(at);
            }
            if let Some(word) = row.get_mut(rule / 64) {
                *word ^= 1 << (rule % 64);
            }
        }
        field.rows.extend(&row);
        field
    }

    fn row(&self, value: u32) -> &[u64] {
        let behind = self.starts.partition_point(|&start| start <= value);
        let first = behind.saturating_sub(1) * self.width;
        self.rows.get(first..first + self.width).unwrap_or_default()
    }
}
