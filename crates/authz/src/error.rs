//! Why a rule set refused a rule.

use core::fmt;
use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_packet::SubnetId;

/// Why a rule set refused a rule. The set is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The text is neither an IPv4 address nor an IPv4 prefix.
    NotAnAddress(String),
    /// The text is an IPv6 address or prefix (F-06).
    Ipv6(String),
    /// The prefix has bits set behind its length.
    HostBits(Ipv4Net),
    /// The range lies inside a private one, or contains one (F-04).
    Private {
        /// The refused range.
        rule: Ipv4Net,
        /// The private range.
        range: Ipv4Net,
    },
    /// The service takes a single address or a pair as addresses, not as /32 or /31 (F-05).
    HostPrefix(Ipv4Net),
    /// The rule's subnet was deleted, so the rule can only be removed (E-17).
    NetworkSourceDeleted(SubnetId),
    /// The resource has as many VNet rules as its service permits (C-10).
    TooManyVnetRules {
        /// The limit.
        limit: usize,
    },
    /// The resource has as many IP rules as its service permits (C-10).
    TooManyIpRules {
        /// The limit.
        limit: usize,
    },
    /// The resource has as many rules of all kinds as its service permits (F-20).
    TooManyRules {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress(text) => {
                write!(f, "\"{text}\" is neither an IPv4 address nor an IPv4 prefix")
            }
            Self::Ipv6(text) => write!(f, "{text} is IPv6; IP rules take IPv4 only"),
            Self::HostBits(rule) => {
                write!(f, "{rule} has bits behind its length; {} is meant", rule.trunc())
            }
            Self::Private { rule, range } => {
                let inside = if range.contains(rule) { "is inside" } else { "contains" };
                write!(f, "{rule} {inside} the private range {range}; IP rules take public ones")
            }
            Self::HostPrefix(rule) => {
                let mut addresses = rule.hosts().map(|address: Ipv4Addr| address.to_string());
                write!(f, "{rule} must be written as {}", addresses.next().unwrap_or_default())?;
                addresses.try_for_each(|address| write!(f, " and {address}"))
            }
            Self::NetworkSourceDeleted(subnet) => {
                write!(f, "{subnet} was deleted; its rule can only be removed")
            }
            Self::TooManyVnetRules { limit } => {
                write!(f, "the resource already has {limit} VNet rules, the most it may have")
            }
            Self::TooManyIpRules { limit } => {
                write!(f, "the resource already has {limit} IP rules, the most it may have")
            }
            Self::TooManyRules { limit } => {
                write!(f, "the resource already has {limit} rules, the most it may have")
            }
        }
    }
}

impl core::error::Error for RuleError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_prefix_error_shows_the_spelling() {
        let said = |text: &str| RuleError::HostPrefix(text.parse().unwrap()).to_string();
        assert_eq!(said("20.1.1.1/32"), "20.1.1.1/32 must be written as 20.1.1.1");
        assert_eq!(said("20.1.1.2/31"), "20.1.1.2/31 must be written as 20.1.1.2 and 20.1.1.3");
    }
}
