//! Rules of a security group with their names resolved to sets of numbers.

use vnetem_packet::Protocol;

use crate::ranges::Ranges;
use crate::tags::{PLATFORM_ADDRESSES, PLATFORM_SERVICES, PlatformService};
use crate::{
    Action, NetworkSpace, PortRange, RuleDirection, RuleProtocol, SecurityRule, SecurityRuleError,
    Selector, Tags,
};

/// What a rule, or a part of one, matches: packets whose five fields are in all five sets.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) protocol: Ranges,
    pub(crate) source: Ranges,
    pub(crate) destination: Ranges,
    pub(crate) source_port: Ranges,
    pub(crate) destination_port: Ranges,
}

/// Stands for the port of a packet without ports; beyond all ports.
pub(crate) const NO_PORT: u32 = 1 << 16;

/// Gives the default rules that allow (P-09).
pub(crate) fn default_rules(direction: RuleDirection) -> [SecurityRule; 2] {
    let rule = |name: &str, priority, source: &str, destination: &str| {
        let selector = |name: &str| match name {
            "*" => Selector::Any,
            name => Selector::Tag(name.to_owned()),
        };
        SecurityRule {
            name: name.to_owned(),
            priority,
            direction,
            action: Action::Allow,
            protocol: RuleProtocol::Any,
            sources: vec![selector(source)],
            source_ports: vec![PortRange::ANY],
            destinations: vec![selector(destination)],
            destination_ports: vec![PortRange::ANY],
        }
    };
    match direction {
        RuleDirection::Inbound => [
            rule("AllowVnetInBound", 65000, VIRTUAL_NETWORK, VIRTUAL_NETWORK),
            rule("AllowAzureLoadBalancerInBound", 65001, "AzureLoadBalancer", "*"),
        ],
        RuleDirection::Outbound => [
            rule("AllowVnetOutBound", 65000, VIRTUAL_NETWORK, VIRTUAL_NETWORK),
            rule("AllowInternetOutBound", 65001, "*", INTERNET),
        ],
    }
}

const VIRTUAL_NETWORK: &str = "VirtualNetwork";
const INTERNET: &str = "Internet";

/// The meanings of names.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) space: &'a NetworkSpace,
    pub(crate) tags: &'a Tags,
}

impl Names<'_> {
    /// Resolves a rule. Outbound, only a platform tag matches a platform service, and only its own
    /// (P-15).
    pub(crate) fn products(&self, rule: &SecurityRule) -> Result<Vec<Product>, SecurityRuleError> {
        let product = Product {
            protocol: protocol_set(rule.protocol),
            source: self.addresses(rule, &rule.sources)?,
            destination: self.addresses(rule, &rule.destinations)?,
            source_port: port_set(&rule.source_ports),
            destination_port: port_set(&rule.destination_ports),
        };
        if rule.direction == RuleDirection::Inbound {
            return Ok(vec![product]);
        }
        let named = |service: &PlatformService| {
            rule.destinations.iter().any(
                |selector| matches!(selector, Selector::Tag(tag) if tag.eq_ignore_ascii_case(service.tag)),
            )
        };
        let to_service = |service: PlatformService| {
            let port = PortRange::single(service.port);
            Product {
                destination: [service.address].into_iter().collect(),
                destination_port: product.destination_port.intersection(&port_set(&[port])),
                ..product.clone()
            }
        };
        let platform = PLATFORM_ADDRESSES.into_iter().collect();
        let elsewhere =
            Product { destination: product.destination.without(&platform), ..product.clone() };
        let services = PLATFORM_SERVICES.into_iter().filter(named).map(to_service);
        Ok(services.chain([elsewhere]).collect())
    }

    fn addresses(
        &self,
        rule: &SecurityRule,
        selectors: &[Selector],
    ) -> Result<Ranges, SecurityRuleError> {
        let mut found: Vec<(u32, u32)> = Vec::new();
        for selector in selectors {
            match selector {
                Selector::Any => return Ok(Ranges::all()),
                Selector::Prefix(prefix) => found.extend(Ranges::from_iter([*prefix]).as_slice()),
                Selector::Tag(tag) => match self.tag(tag) {
                    Some(addresses) => found.extend(addresses.as_slice()),
                    None => {
                        let (rule, tag) = (rule.name.clone(), tag.clone());
                        return Err(SecurityRuleError::UnknownTag { rule, tag });
                    }
                },
            }
        }
        Ok(found.into_iter().collect())
    }

    fn tag(&self, name: &str) -> Option<&Ranges> {
        if name.eq_ignore_ascii_case(VIRTUAL_NETWORK) {
            Some(&self.space.virtual_network)
        } else if name.eq_ignore_ascii_case(INTERNET) {
            Some(&self.space.internet)
        } else {
            self.tags.get(name)
        }
    }
}

fn protocol_set(protocol: RuleProtocol) -> Ranges {
    match protocol.number() {
        None => Ranges::all(),
        Some(Protocol(number)) => [(u32::from(number), u32::from(number))].into_iter().collect(),
    }
}

fn port_set(ranges: &[PortRange]) -> Ranges {
    let ends = |range: &PortRange| match *range {
        PortRange::ANY => (0, NO_PORT),
        range => (u32::from(range.first()), u32::from(range.last())),
    };
    ranges.iter().map(ends).collect()
}
