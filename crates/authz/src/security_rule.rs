//! One rule of a security group, and its text form.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

use ipnet::Ipv4Net;
use vnetem_packet::Protocol;

use crate::SecurityRuleError;

/// The action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Allows it.
    Allow,
    /// Denies it.
    Deny,
}

/// A rule of a security group.
///
/// It matches a packet if one of its sources, source ports, destinations and destination ports each
/// match. An augmented rule lists several of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityRule {
    /// Its name, unique in the group without regard to case.
    pub name: String,
    /// Its number, 100 to 4096. The lowest that matches decides (P-08).
    pub priority: u16,
    /// The direction of the packets that it matches.
    pub direction: RuleDirection,
    /// What it does.
    pub action: Action,
    /// The protocol that it matches.
    pub protocol: RuleProtocol,
    /// The source addresses.
    pub sources: Vec<Selector>,
    /// The source ports.
    pub source_ports: Vec<PortRange>,
    /// The destination addresses.
    pub destinations: Vec<Selector>,
    /// The destination ports.
    pub destination_ports: Vec<PortRange>,
}

/// The direction of a packet, seen from the machine behind the security group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleDirection {
    /// To the machine.
    Inbound,
    /// From the machine.
    Outbound,
}

/// The protocol that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleProtocol {
    /// Every protocol.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// Encapsulating Security Payload, protocol 50 (RFC 4303).
    Esp,
    /// Authentication Header, protocol 51 (RFC 4302).
    Ah,
}

/// Addresses, as a rule names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Every address.
    Any,
    /// The addresses of a prefix.
    Prefix(Ipv4Net),
    /// The addresses of a name: `VirtualNetwork`, `Internet`, a service tag, or an application
    /// security group.
    Tag(String),
}

/// Ports from the first to the last.
///
/// The full range also matches protocols without ports. Any other range matches TCP and UDP only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl RuleDirection {
    /// Gives the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl RuleProtocol {
    /// Gives the protocol's number; `None` for every protocol.
    #[must_use]
    pub const fn number(self) -> Option<Protocol> {
        match self {
            Self::Any => None,
            Self::Tcp => Some(Protocol::TCP),
            Self::Udp => Some(Protocol::UDP),
            Self::Icmp => Some(Protocol::ICMP),
            Self::Esp => Some(Protocol(50)),
            Self::Ah => Some(Protocol(51)),
        }
    }
}

impl PortRange {
    /// Every port, and packets without ports.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// Makes a range of one port.
    #[must_use]
    pub const fn single(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Makes the range from `first` to `last`; `None` if `last` is lower.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// Gives the first port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Gives the last port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }
}

/// Parses the form of templates: `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`, without regard to case.
impl FromStr for RuleProtocol {
    type Err = SecurityRuleError;

    fn from_str(text: &str) -> Result<Self, SecurityRuleError> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "*" => Self::Any,
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "icmp" => Self::Icmp,
            "esp" => Self::Esp,
            "ah" => Self::Ah,
            _ => return Err(SecurityRuleError::NotAProtocol(text.to_owned())),
        })
    }
}

/// Parses the form of templates: `*`, an address, a prefix, or a tag, which starts with a letter.
impl FromStr for Selector {
    type Err = SecurityRuleError;

    fn from_str(text: &str) -> Result<Self, SecurityRuleError> {
        if text == "*" {
            Ok(Self::Any)
        } else if let Ok(prefix) = text.parse() {
            Ok(Self::Prefix(prefix))
        } else if let Ok(address) = text.parse::<Ipv4Addr>() {
            Ok(Self::Prefix(address.into()))
        } else if text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(':')
        {
            Ok(Self::Tag(text.to_owned()))
        } else {
            Err(SecurityRuleError::NotAddresses(text.to_owned()))
        }
    }
}

/// Parses the form of templates: `*`, a port, or two ports with a hyphen.
impl FromStr for PortRange {
    type Err = SecurityRuleError;

    fn from_str(text: &str) -> Result<Self, SecurityRuleError> {
        if text == "*" {
            return Ok(Self::ANY);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Self::new(first, last),
            _ => None,
        }
        .ok_or_else(|| SecurityRuleError::NotPorts(text.to_owned()))
    }
}

/// Prints the form of templates, in lower case.
impl fmt::Display for RuleProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Esp => "esp",
            Self::Ah => "ah",
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Tag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            _ if *self == Self::ANY => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// Prints one line: `200 no-internet outbound deny * * > Internet:80,443`.
impl fmt::Display for SecurityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, priority, direction, protocol, .. } = self;
        let action = match self.action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        };
        write!(f, "{priority} {name} {direction} {action} {protocol} ")?;
        ends(f, &self.sources, &self.source_ports)?;
        f.write_str(" > ")?;
        ends(f, &self.destinations, &self.destination_ports)
    }
}

/// Prints addresses, and after a colon the ports unless they are all.
fn ends(f: &mut fmt::Formatter<'_>, addresses: &[Selector], ports: &[PortRange]) -> fmt::Result {
    list(f, addresses)?;
    if ports == [PortRange::ANY] {
        return Ok(());
    }
    f.write_str(":")?;
    list(f, ports)
}

fn list(f: &mut fmt::Formatter<'_>, parts: &[impl fmt::Display]) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(",")?;
        }
        part.fmt(f)?;
    }
    Ok(())
}

impl fmt::Display for RuleDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_read() {
        let selectors = |text: &str| text.split(',').map(|part| part.parse().unwrap()).collect();
        let ports = |text: &str| text.split(',').map(|part| part.parse().unwrap()).collect();
        let rule = SecurityRule {
            name: "r".to_owned(),
            priority: 200,
            direction: RuleDirection::Outbound,
            action: Action::Deny,
            protocol: "Tcp".parse().unwrap(),
            sources: selectors("*"),
            source_ports: ports("*"),
            destinations: selectors("Internet,10.0.0.0/8"),
            destination_ports: ports("80,443-445"),
        };
        let text = "200 r outbound deny tcp * > Internet,10.0.0.0/8:80,443-445";
        assert_eq!(rule.to_string(), text);
        for text in ["*", "tcp", "udp", "icmp", "esp", "ah"] {
            assert_eq!(text.parse::<RuleProtocol>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn rules_read_as_templates_write_them() {
        assert_eq!("*".parse(), Ok(RuleProtocol::Any));
        assert_eq!("TCP".parse(), Ok(RuleProtocol::Tcp));
        assert_eq!("10.0.0.0/8".parse(), Ok(Selector::Prefix("10.0.0.0/8".parse().unwrap())));
        assert_eq!("10.0.0.4".parse(), Ok(Selector::Prefix("10.0.0.4/32".parse().unwrap())));
        assert_eq!("Storage.WestEurope".parse(), Ok(Selector::Tag("Storage.WestEurope".into())));
        assert_eq!("80".parse(), Ok(PortRange::single(80)));
        assert_eq!("80-90".parse(), Ok(PortRange { first: 80, last: 90 }));
        assert_eq!("0-65535".parse(), Ok(PortRange::ANY));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for text in ["", "6", "sctp"] {
            let error = SecurityRuleError::NotAProtocol(text.to_owned());
            assert_eq!(text.parse::<RuleProtocol>(), Err(error));
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "2603::/32", "fd00::1"] {
            let error = SecurityRuleError::NotAddresses(text.to_owned());
            assert_eq!(text.parse::<Selector>(), Err(error));
        }
        for text in ["", "90-80", "65536", "80,90", "http"] {
            let error = SecurityRuleError::NotPorts(text.to_owned());
            assert_eq!(text.parse::<PortRange>(), Err(error));
        }
    }
}
