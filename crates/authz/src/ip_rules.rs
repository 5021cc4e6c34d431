//! Public address ranges of one resource.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use ipnet::Ipv4Net;

use crate::{RuleError, RuleLimits};

/// An IP rule as it was written. Some services distinguish an address from a prefix of one address
/// (F-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpRule {
    /// A bare address.
    Address(Ipv4Addr),
    /// A prefix.
    Prefix(Ipv4Net),
}

impl IpRule {
    /// Gives the addresses that the rule covers.
    #[must_use]
    pub fn range(self) -> Ipv4Net {
        match self {
            Self::Address(address) => Ipv4Net::from(address),
            Self::Prefix(prefix) => prefix,
        }
    }

    /// Gives the range, or the reason why the rule is refused.
    pub(crate) fn checked_range(self, limits: &RuleLimits) -> Result<Ipv4Net, RuleError> {
        let rule = self.range();
        if rule != rule.trunc() {
            return Err(RuleError::HostBits(rule));
        }
        let overlaps = |range: &Ipv4Net| {
            range.contains(&rule) || rule.contains(range) && !limits.around_private
        };
        if let Some(range) = PRIVATE.into_iter().find(overlaps) {
            return Err(RuleError::Private { rule, range });
        }
        if matches!(self, Self::Prefix(_)) && rule.prefix_len() > 30 && !limits.host_prefixes {
            return Err(RuleError::HostPrefix(rule));
        }
        Ok(rule)
    }
}

impl FromStr for IpRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if let Ok(prefix) = text.parse() {
            return Ok(Self::Prefix(prefix));
        }
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        match address.parse::<Ipv6Addr>() {
            Ok(_) => Err(RuleError::Ipv6(text.to_owned())),
            Err(_) => Err(RuleError::NotAnAddress(text.to_owned())),
        }
    }
}

/// Ranges whose answers do not depend on the order in which they were added (INV-rules-order-free).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpRules {
    /// All ranges, sorted; of equal first addresses the wider one first.
    listed: Vec<Ipv4Net>,
    /// The ranges that no other contains. They are disjoint, so one binary search decides.
    widest: Vec<Ipv4Net>,
}

impl IpRules {
    pub(crate) fn as_slice(&self) -> &[Ipv4Net] {
        &self.listed
    }

    pub(crate) fn contains(&self, rule: Ipv4Net) -> bool {
        self.listed.binary_search(&rule).is_ok()
    }

    pub(crate) fn add(&mut self, rule: Ipv4Net) {
        if let Err(place) = self.listed.binary_search(&rule) {
            self.listed.insert(place, rule);
            self.find_widest();
        }
    }

    pub(crate) fn remove(&mut self, rule: Ipv4Net) -> bool {
        let Ok(place) = self.listed.binary_search(&rule) else { return false };
        self.listed.remove(place);
        self.find_widest();
        true
    }

    /// Finds the widest range with this address; only a public address can match
    /// (INV-ip-rule-public-only).
    pub(crate) fn lookup(&self, address: Ipv4Addr) -> Option<Ipv4Net> {
        // Some services accept a rule such as 0.0.0.0/0, which contains private ranges.
        if address.is_private() {
            return None;
        }
        let behind = self.widest.partition_point(|rule| rule.network() <= address);
        let candidate = *self.widest.get(behind.checked_sub(1)?)?;
        candidate.contains(&address).then_some(candidate)
    }

    fn find_widest(&mut self) {
        self.widest.clear();
        for &rule in &self.listed {
            if !self.widest.last().is_some_and(|wider| wider.contains(&rule)) {
                self.widest.push(rule);
            }
        }
    }
}

/// The ranges of RFC 1918, as in `Ipv4Addr::is_private`. IP rules refuse them (F-04).
const PRIVATE: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> IpRule {
        text.parse().unwrap()
    }

    #[test]
    fn address_and_host_prefix_are_equal() {
        assert_eq!(rule("20.1.1.1").range(), rule("20.1.1.1/32").range());
        assert_ne!(rule("20.1.1.1"), rule("20.1.1.1/32"));
    }

    /// IPv6 has its own error (F-06).
    #[test]
    fn ipv6_is_named_as_such() {
        for text in ["2603:1030::1", "2603:1030::/48"] {
            assert_eq!(text.parse::<IpRule>(), Err(RuleError::Ipv6(text.to_owned())));
        }
        for text in ["", "20.1.1", "20.1.1.1/33", "2603:1030::x/48", "storage"] {
            assert_eq!(text.parse::<IpRule>(), Err(RuleError::NotAnAddress(text.to_owned())));
        }
    }

    /// Private ranges are refused, and their public neighbours are not (F-04).
    #[test]
    fn private_ranges_refused_public_neighbours_accepted() {
        for (text, range) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("172.31.255.255", "172.16.0.0/12"),
            ("192.168.1.0/24", "192.168.0.0/16"),
            ("0.0.0.0/0", "10.0.0.0/8"),
            ("10.0.0.0/7", "10.0.0.0/8"),
            ("172.0.0.0/8", "172.16.0.0/12"),
            ("192.0.0.0/8", "192.168.0.0/16"),
        ] {
            let error =
                RuleError::Private { rule: rule(text).range(), range: range.parse().unwrap() };
            assert_eq!(rule(text).checked_range(&RuleLimits::UNSTATED), Err(error));
        }
        for text in
            ["9.255.255.255", "11.0.0.0/8", "172.32.0.0/12", "172.15.0.0/16", "192.169.0.0/16"]
        {
            assert_eq!(rule(text).checked_range(&RuleLimits::UNSTATED), Ok(rule(text).range()));
        }
        // A SQL server accepts a rule for all addresses, which allows no private one.
        let all = rule("0.0.0.0/0");
        assert_eq!(all.checked_range(&RuleLimits::SQL), Ok(all.range()));
        assert!(rule("10.0.0.0/9").checked_range(&RuleLimits::SQL).is_err());
    }

    #[test]
    fn host_bits_are_refused() {
        let written = rule("20.1.1.1/24");
        assert_eq!(
            written.checked_range(&RuleLimits::UNSTATED),
            Err(RuleError::HostBits(written.range()))
        );
    }

    #[test]
    fn widest_nested_range_answers_until_removed() {
        let mut rules = IpRules::default();
        for text in ["20.1.1.0/24", "20.1.0.0/16", "20.1.1.1", "20.2.0.0/16"] {
            rules.add(rule(text).range());
        }
        let address = Ipv4Addr::new(20, 1, 1, 1);
        for text in ["20.1.0.0/16", "20.1.1.0/24", "20.1.1.1"] {
            assert_eq!(rules.lookup(address), Some(rule(text).range()));
            assert!(rules.remove(rule(text).range()));
        }
        assert_eq!(rules.lookup(address), None);
    }
}
