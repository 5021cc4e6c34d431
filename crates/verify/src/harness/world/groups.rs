//! Security groups, the names in their rules, and rules of resources.

use core::net::Ipv4Addr;

use vnetem::authz::{
    Action, DefaultAction, IpRule, PortRange, RuleDirection, RuleLimits, RuleProtocol, RuleSet,
    RuleState, SecurityGroup, SecurityRule, Selector,
};

use super::World;

/// Names of security groups. The last ones have no rule for all traffic, so that the default rules
/// decide.
pub(crate) const GROUPS: [&str; 6] =
    ["no-storage", "no-neighbour", "one-account", "no-internet", "platform", "empty"];

/// Rules that name tags are numbered from here on.
pub(crate) const FIRST_OF_TAGS: u16 = 1000;

/// Returns the rules of a group.
pub(crate) fn security_group(number: u8) -> SecurityGroup {
    use Action::{Allow, Deny};
    use RuleDirection::{Inbound, Outbound};
    use RuleProtocol::{Any, Icmp, Tcp, Udp};
    let (web, any) = (PortRange::single(443), PortRange::ANY);
    let low = PortRange::new(0, 1023).unwrap_or(any);
    let (rules, is_open) = match number % 6 {
        0 => (vec![(Outbound, Deny, Tcp, "*", "52.239.0.0/18", web)], true),
        1 => (
            vec![
                (Inbound, Deny, Any, "10.0.0.5/32", "*", any),
                (Outbound, Deny, Udp, "*", "*", any),
            ],
            true,
        ),
        2 => (
            vec![
                (Outbound, Allow, Tcp, "*", "52.239.0.9/32", web),
                (Outbound, Deny, Any, "*", "52.0.0.0/8", any),
                (Inbound, Deny, Icmp, "*", "*", any),
                (Inbound, Deny, Tcp, "198.51.100.22/32", "10.0.0.0/8", any),
            ],
            true,
        ),
        3 => (
            vec![
                (Outbound, Allow, Tcp, "*", "Storage", web),
                (Outbound, Deny, Any, "VirtualNetwork", "sql", low),
                (Outbound, Allow, Udp, "*", "STORAGE", any),
                (Outbound, Deny, Udp, "*", "Internet", any),
                (Inbound, Allow, Tcp, "Internet", "*", web),
                (Inbound, Deny, Udp, "VirtualNetwork", "*", any),
            ],
            false,
        ),
        4 => (
            vec![
                (Outbound, Deny, Udp, "*", "AzurePlatformDNS", any),
                (Outbound, Deny, Tcp, "VirtualNetwork", "azureplatformimds", low),
                (Outbound, Deny, Any, "*", "Partner", any),
                (Outbound, Deny, Any, "*", "AzureLoadBalancer", any),
                (Inbound, Allow, Any, "partner", "VirtualNetwork", any),
                (Inbound, Deny, Tcp, "AzureLoadBalancer", "*", any),
            ],
            false,
        ),
        _ => (Vec::new(), false),
    };
    let rest = [Inbound, Outbound].map(|direction| (direction, Allow, Any, "*", "*", any));
    let mut group = SecurityGroup::default();
    let all = rules.into_iter().chain(rest.into_iter().filter(|_| is_open));
    for (number, (direction, action, protocol, from, to, ports)) in (1..).zip(all) {
        let [sources, destinations] = [from, to].map(|text| text.parse::<Selector>());
        let is_tag = |one: &Result<Selector, _>| matches!(one, Ok(Selector::Tag(_)));
        let names = is_tag(&sources) || is_tag(&destinations);
        let first = if names { FIRST_OF_TAGS } else { 100 };
        // The numbers and names are all different, so none is refused.
        _ = group.add_rule(SecurityRule {
            name: format!("rule{number}"),
            priority: first + 10 * number,
            direction,
            action,
            protocol,
            sources: sources.into_iter().collect(),
            source_ports: vec![any],
            destinations: destinations.into_iter().collect(),
            destination_ports: vec![ports],
        });
    }
    group
}

/// Returns what a tag stands for. For the name of a service it overrides the service's prefixes.
pub(crate) fn said(to: u8, with: u8) -> (&'static str, &'static [&'static str]) {
    let name = ["Partner", "PARTNER", "Storage", "sql"][usize::from(to % 4)];
    let prefixes: &[&str] = match with % 3 {
        0 => &["198.51.100.0/27"],
        1 => &["52.239.0.0/24", "10.1.0.0/16"],
        _ => &["10.0.0.0/16", "52.239.64.0/20", "198.51.100.21/32"],
    };
    (name, prefixes)
}

pub(crate) fn open() -> RuleSet {
    RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow)
}

/// Returns rules that let nobody in.
pub(crate) fn shut() -> RuleSet {
    RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny)
}

/// Returns the rules of a resource.
pub(crate) fn rules(world: &World, to: u8) -> RuleSet {
    let mut rules = shut();
    match to % 9 {
        0 | 1 => return open(),
        2 => {}
        3 => _ = rules.set_vnet_rule(world.subnets[0], RuleState::Succeeded),
        4 => _ = rules.add_ip_rule(IpRule::Address(Ipv4Addr::new(20, 1, 1, 1))),
        5 => _ = rules.set_vnet_rule(world.subnets[2], RuleState::Succeeded),
        6 => _ = rules.set_vnet_rule(world.subnets[1], RuleState::Provisioning),
        7 => _ = rules.add_ip_rule(IpRule::Address(Ipv4Addr::new(203, 0, 113, 50))),
        _ => _ = rules.add_ip_rule(IpRule::Address(Ipv4Addr::new(203, 0, 113, 60))),
    }
    rules
}
