//! Compares a compiled group with a reference implementation that tries rule after rule and prefix
//! after prefix.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use vnetem_authz::{
    Action, CompiledGroup, Decider, NetworkSpace, PortRange, RuleDirection, RuleProtocol, Ruling,
    SecurityGroup, SecurityRule, Selector, Tags,
};
use vnetem_packet::{FiveTuple, Protocol};

use crate::cases;

/// The addresses of tags, as lists.
#[derive(Clone, Debug)]
struct World {
    space: Vec<Ipv4Net>,
    user_routes: Vec<Ipv4Net>,
    storage: Vec<Ipv4Net>,
}

/// What decided: action and number, or the platform.
type Judged = (Action, Option<u16>);

impl World {
    fn compile(&self, group: &SecurityGroup) -> CompiledGroup {
        let space = NetworkSpace::new(self.space.iter().copied(), self.user_routes.iter().copied());
        let mut tags = Tags::default();
        tags.insert("Storage", self.storage.iter().copied());
        group.compile(&space, &tags).unwrap()
    }

    /// Tries the rules in order, then the default ones.
    fn judge(&self, rules: &[SecurityRule], direction: RuleDirection, tuple: &FiveTuple) -> Judged {
        let mut sorted: Vec<_> = rules.iter().filter(|rule| rule.direction == direction).collect();
        sorted.sort_by_key(|rule| rule.priority);
        for rule in sorted {
            if self.matches(rule, tuple) {
                return (rule.action, Some(rule.priority));
            }
        }
        let to = *tuple.destination.ip();
        let in_network =
            self.is_in("VirtualNetwork", *tuple.source.ip()) && self.is_in("VirtualNetwork", to);
        match direction {
            RuleDirection::Outbound if is_platform(to) => (Action::Allow, None),
            _ if in_network => (Action::Allow, Some(65000)),
            RuleDirection::Inbound if *tuple.source.ip() == Ipv4Addr::new(168, 63, 129, 16) => {
                (Action::Allow, Some(65001))
            }
            RuleDirection::Outbound if self.is_in("Internet", to) => (Action::Allow, Some(65001)),
            _ => (Action::Deny, Some(65500)),
        }
    }

    fn matches(&self, rule: &SecurityRule, tuple: &FiveTuple) -> bool {
        let (from, to) = (*tuple.source.ip(), *tuple.destination.ip());
        let ported = matches!(tuple.protocol, Protocol::TCP | Protocol::UDP);
        let port_in = |ranges: &[PortRange], port: u16| {
            ranges.iter().any(|range| {
                let inside = range.first() <= port && port <= range.last();
                if ported { inside } else { *range == PortRange::ANY }
            })
        };
        rule.protocol.number().is_none_or(|protocol| protocol == tuple.protocol)
            && rule.sources.iter().any(|selector| self.selects(selector, from))
            && rule.destinations.iter().any(|selector| match selector {
                Selector::Tag(tag) if tag.starts_with("AzurePlatform") => {
                    match (rule.direction, tag.as_str()) {
                        (RuleDirection::Inbound, tag) => self.is_in(tag, to),
                        // Each platform tag is one service, of TCP or UDP.
                        (_, "AzurePlatformDNS") => {
                            ported && self.is_in(tag, to) && tuple.destination.port() == 53
                        }
                        (_, "AzurePlatformIMDS") => {
                            ported && self.is_in(tag, to) && tuple.destination.port() == 80
                        }
                        _ => ported && self.is_in(tag, to) && tuple.destination.port() == 1688,
                    }
                }
                // No other rule matches a platform service outbound.
                other => {
                    let hidden = rule.direction == RuleDirection::Outbound && is_platform(to);
                    !hidden && self.selects(other, to)
                }
            })
            && port_in(&rule.source_ports, tuple.source.port())
            && port_in(&rule.destination_ports, tuple.destination.port())
    }

    fn selects(&self, selector: &Selector, address: Ipv4Addr) -> bool {
        match selector {
            Selector::Any => true,
            Selector::Prefix(prefix) => prefix.contains(&address),
            Selector::Tag(tag) => self.is_in(tag, address),
        }
    }

    fn is_in(&self, tag: &str, address: Ipv4Addr) -> bool {
        let within = |prefixes: &[Ipv4Net]| prefixes.iter().any(|prefix| prefix.contains(&address));
        let host = address == Ipv4Addr::new(168, 63, 129, 16);
        match tag {
            "VirtualNetwork" => within(&self.space) || within(&self.user_routes),
            "Internet" => {
                let special = matches!(
                    address.octets(),
                    [0 | 10 | 127, ..]
                        | [172, 16..=31, ..]
                        | [192, 168, ..]
                        | [100, 64..=127, ..]
                        | [169, 254, ..]
                        | [224..=255, ..]
                );
                !special && !host && !within(&self.space)
            }
            "Storage" => within(&self.storage),
            "AzurePlatformIMDS" => address == Ipv4Addr::new(169, 254, 169, 254),
            _ => host,
        }
    }
}

proptest! {
    #![proptest_config(cases(600))]

    /// The compiled group equals the reference implementation (P-08, P-09, P-12, P-14, P-15).
    #[test]
    fn compiled_group_agrees_with_reference(world in world(), rules in rules(12), tuples in vec(tuple(), 1..40)) {
        let compiled = world.compile(&group(&rules));
        for tuple in tuples {
            for direction in [RuleDirection::Inbound, RuleDirection::Outbound] {
                let expected = world.judge(&rules, direction, &tuple);
                prop_assert_eq!(judged(compiled.judge(direction, &tuple)), expected, "{}", tuple);
            }
        }
    }

    /// A group may have more rules than a word has bits.
    #[test]
    fn rule_100_matches_like_the_first(world in world(), rules in rules(150), tuples in vec(tuple(), 1..10)) {
        let compiled = world.compile(&group(&rules));
        for tuple in tuples {
            let expected = world.judge(&rules, RuleDirection::Outbound, &tuple);
            prop_assert_eq!(judged(compiled.judge(RuleDirection::Outbound, &tuple)), expected);
        }
    }

    /// The order of additions, and of the lists in a rule, does not matter. Only numbers do
    /// (INV-rules-order-free).
    #[test]
    fn priorities_alone_order_rules(world in world(), (rules, shuffled) in rules(12).prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle()))) {
        let reversed: Vec<_> = shuffled.into_iter().map(|mut rule| {
            rule.sources.reverse();
            rule.destinations.reverse();
            rule.source_ports.reverse();
            rule.destination_ports.reverse();
            rule
        }).collect();
        prop_assert_eq!(world.compile(&group(&rules)), world.compile(&group(&reversed)));
    }

    /// A rule after the one that decides changes nothing. A rule before it decides if it matches,
    /// and otherwise changes nothing (P-08, P-31).
    #[test]
    fn rule_after_first_match_is_ignored(world in world(), rules in rules(8), extra in rule(), tuple in tuple()) {
        let direction = extra.direction;
        let before = world.judge(&rules, direction, &tuple);
        let decided_by = before.1.unwrap_or(65000);
        let added = |priority| {
            let mut all = rules.clone();
            all.push(SecurityRule { name: "extra".into(), priority, ..extra.clone() });
            judged(world.compile(&group(&all)).judge(direction, &tuple))
        };
        // Generated numbers are even.
        if decided_by < 4096 {
            prop_assert_eq!(added(decided_by + 1), before);
        }
        let in_front = if world.matches(&extra, &tuple) { (extra.action, Some(101)) } else { before };
        prop_assert_eq!(added(101), in_front);
    }

    /// Without a rule, a packet from outside the network is denied (INV-denied-by-default).
    #[test]
    fn inbound_from_outside_needs_a_rule(world in world(), tuple in tuple()) {
        prop_assume!(!world.is_in("VirtualNetwork", *tuple.source.ip()) && !is_platform(*tuple.source.ip()));
        prop_assert!(!world.compile(&SecurityGroup::default()).judge(RuleDirection::Inbound, &tuple).is_allowed());
    }
}

fn judged(ruling: Ruling<'_>) -> Judged {
    match ruling.by {
        Decider::Rule { priority, .. } => (ruling.action, Some(priority)),
        Decider::Platform => (ruling.action, None),
    }
}

fn is_platform(address: Ipv4Addr) -> bool {
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(169, 254, 169, 254)].contains(&address)
}

fn group(rules: &[SecurityRule]) -> SecurityGroup {
    let mut group = SecurityGroup::default();
    for rule in rules {
        group.add_rule(rule.clone()).unwrap();
    }
    group
}

/// Addresses close to a few places, so that rules and packets meet.
fn address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        6 => (select(vec![[10, 0], [10, 1], [20, 60], [52, 239]]), 0..3_u8, 0..6_u8)
            .prop_map(|([a, b], c, d)| Ipv4Addr::new(a, b, c, d)),
        1 => select(vec![Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(169, 254, 169, 254)]),
        1 => select(vec![0, u32::MAX]).prop_map(Ipv4Addr::from_bits),
        1 => any::<u32>().prop_map(Ipv4Addr::from_bits),
    ]
}

fn prefix() -> impl Strategy<Value = Ipv4Net> {
    let length = prop_oneof![1 => 0..8_u8, 6 => 14..=32_u8];
    (address(), length).prop_map(|(address, length)| Ipv4Net::new(address, length).unwrap().trunc())
}

fn selector() -> impl Strategy<Value = Selector> {
    let tags = [
        "VirtualNetwork",
        "Internet",
        "Storage",
        "AzureLoadBalancer",
        "AzurePlatformDNS",
        "AzurePlatformIMDS",
        "AzurePlatformLKM",
    ];
    prop_oneof![
        2 => Just(Selector::Any),
        4 => prefix().prop_map(Selector::Prefix),
        3 => select(tags.to_vec()).prop_map(|tag| Selector::Tag(tag.into())),
    ]
}

/// Few ports, those of platform services among them.
fn port() -> impl Strategy<Value = u16> {
    select(vec![0, 52, 53, 54, 80, 81, 443, 1688, 65_534, 65_535])
}

fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    let range = (port(), port())
        .prop_map(|(one, other)| PortRange::new(one.min(other), one.max(other)).unwrap());
    prop_oneof![2 => Just(vec![PortRange::ANY]), 1 => vec(range, 1..3)]
}

fn rule() -> impl Strategy<Value = SecurityRule> {
    let protocols = ["*", "Tcp", "Udp", "Icmp", "Esp", "Ah"];
    let ends = (vec(selector(), 1..3), ports(), vec(selector(), 1..3), ports());
    let direction = select(vec![RuleDirection::Inbound, RuleDirection::Outbound]);
    let protocol = prop_oneof![Just("*"), Just("Tcp"), select(protocols.to_vec())];
    (direction, select(vec![Action::Allow, Action::Deny]), protocol, ends).prop_map(
        |(
            direction,
            action,
            protocol,
            (sources, source_ports, destinations, destination_ports),
        )| {
            SecurityRule {
                name: String::new(),
                priority: 0,
                direction,
                action,
                protocol: protocol.parse::<RuleProtocol>().unwrap(),
                sources,
                source_ports,
                destinations,
                destination_ports,
            }
        },
    )
}

/// Up to `count` rules with even numbers from 102 up, in no order.
fn rules(count: usize) -> impl Strategy<Value = Vec<SecurityRule>> {
    let numbered = |rules: Vec<SecurityRule>| {
        let numbers = (102_u16..).step_by(2);
        let rules = rules.into_iter().zip(numbers).map(|(rule, priority)| SecurityRule {
            name: format!("rule{priority}"),
            priority,
            ..rule
        });
        Just(rules.collect::<Vec<_>>()).prop_shuffle()
    };
    vec(rule(), 0..=count).prop_flat_map(numbered)
}

fn tuple() -> impl Strategy<Value = FiveTuple> {
    let end = || (address(), port()).prop_map(|(address, port)| SocketAddrV4::new(address, port));
    let protocol = select(vec![6, 6, 17, 1, 50, 51, 47]);
    (protocol, end(), end()).prop_map(|(protocol, source, destination)| FiveTuple {
        protocol: Protocol(protocol),
        source,
        destination,
    })
}

fn world() -> impl Strategy<Value = World> {
    let user_routes = prop_oneof![
        3 => vec(prefix(), 0..3),
        1 => Just(vec![Ipv4Net::default()]),
    ];
    (vec(prefix(), 0..3), user_routes, vec(prefix(), 0..4)).prop_map(
        |(mut space, user_routes, storage)| {
            space.push("10.0.0.0/16".parse().unwrap());
            World { space, user_routes, storage }
        },
    )
}
