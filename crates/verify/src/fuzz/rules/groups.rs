//! Compares compiled security groups with a scan, one rule after the other.

use super::*;

/// Adds and removes rules of a security group, and compares the compiled group with a scan over the
/// rules by number.
pub(super) fn group<'a>(events: impl Iterator<Item = &'a [u8; 8]>, routes: u8) {
    // P-14: a user's default route makes the network contain everything.
    let routed = if routes & 1 == 1 { vec![net("0.0.0.0/0")] } else { vec![] };
    let space = NetworkSpace::new(SPACE.map(net), routed.iter().copied());
    let mut tags = Tags::default();
    tags.insert("Storage", TAGGED.map(net));
    let mut group = SecurityGroup::default();
    let mut written: Vec<SecurityRule> = Vec::new();
    let mut compiled = None;
    for event in events {
        let [what, a, b, c, d, e, f, g] = *event;
        if what < 0x80 {
            let number = 100 + u16::from(a % 16);
            let name = format!("r{}", b % 24);
            if what % 4 == 3 {
                let was = written.iter().any(|rule| rule.name == name);
                written.retain(|rule| rule.name != name);
                assert_eq!(group.remove_rule(&name), was);
            } else {
                let direction =
                    if c & 1 == 0 { RuleDirection::Outbound } else { RuleDirection::Inbound };
                let rule = SecurityRule {
                    name,
                    priority: number,
                    direction,
                    action: if c & 2 == 0 { Action::Deny } else { Action::Allow },
                    protocol: [
                        RuleProtocol::Any,
                        RuleProtocol::Tcp,
                        RuleProtocol::Udp,
                        RuleProtocol::Icmp,
                    ][usize::from(c >> 2 & 3)],
                    sources: vec![selector(d)],
                    source_ports: vec![PortRange::ANY],
                    destinations: vec![selector(e), selector(f)],
                    destination_ports: vec![ports(g)],
                };
                let taken = written.iter().any(|other| {
                    other.name == rule.name
                        || (other.direction, other.priority) == (direction, number)
                });
                let before = group.clone();
                let refused = group.add_rule(rule.clone()).is_err();
                assert_eq!(refused, taken, "P-08");
                assert!(
                    !refused || group == before,
                    "a refused rule changed something (INV-failed-edit-changes-nothing)"
                );
                if !refused {
                    written.push(rule);
                }
            }
            compiled = None;
            continue;
        }
        let compiled = compiled.get_or_insert_with(|| {
            group.compile(&space, &tags).unwrap_or_else(|error| panic!("{error}"))
        });
        let protocol = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol(47)];
        let protocol = protocol[usize::from(a & 3)];
        let ported = matches!(protocol, Protocol::TCP | Protocol::UDP);
        let port = |number: u8| {
            if ported { [80, 443, 1433, 53][usize::from(number & 3)] } else { 0 }
        };
        let tuple = FiveTuple {
            protocol,
            source: SocketAddrV4::new(host(b, c), port(d)),
            destination: SocketAddrV4::new(host(e, f), port(g)),
        };
        for direction in [RuleDirection::Outbound, RuleDirection::Inbound] {
            let ruling = compiled.judge(direction, &tuple);
            let number = match ruling.by {
                Decider::Rule { priority, .. } => priority,
                Decider::Platform => panic!("{tuple} is not the platform's"),
            };
            let expected = scan(&written, &routed, direction, &tuple);
            assert_eq!((number, ruling.action), expected, "{direction} {tuple} {written:?}");
        }
    }
}

/// Scans the rules by number, then the default ones (P-09).
fn scan(
    written: &[SecurityRule],
    routed: &[Ipv4Net],
    direction: RuleDirection,
    tuple: &FiveTuple,
) -> (u16, Action) {
    let ported = matches!(tuple.protocol, Protocol::TCP | Protocol::UDP);
    let (from, to) = (*tuple.source.ip(), *tuple.destination.ip());
    let own = |address: &Ipv4Addr| SPACE.map(net).iter().any(|range| range.contains(address));
    let internal =
        |address: &Ipv4Addr| own(address) || routed.iter().any(|range| range.contains(address));
    let internet = |address: &Ipv4Addr| {
        let special = matches!(
            address.octets(),
            [0 | 10 | 127 | 224.., ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..]
        );
        !special && !own(address)
    };
    let selects = |selector: &Selector, address: &Ipv4Addr| match selector {
        Selector::Any => true,
        Selector::Prefix(range) => range.contains(address),
        Selector::Tag(tag) if tag == "VirtualNetwork" => internal(address),
        Selector::Tag(tag) if tag == "Internet" => internet(address),
        Selector::Tag(_) => TAGGED.map(net).iter().any(|range| range.contains(address)),
    };
    let matches = |rule: &&SecurityRule| {
        rule.direction == direction
            && rule.protocol.number().is_none_or(|protocol| protocol == tuple.protocol)
            && rule.sources.iter().any(|selector| selects(selector, &from))
            && rule.destinations.iter().any(|selector| selects(selector, &to))
            && rule.destination_ports.iter().any(|range| {
                let port = tuple.destination.port();
                *range == PortRange::ANY || ported && range.first() <= port && port <= range.last()
            })
    };
    if let Some(rule) = written.iter().filter(matches).min_by_key(|rule| rule.priority) {
        return (rule.priority, rule.action);
    }
    match direction {
        _ if internal(&from) && internal(&to) => (65000, Action::Allow),
        RuleDirection::Outbound if internet(&to) => (65001, Action::Allow),
        _ => (65500, Action::Deny),
    }
}

fn selector(number: u8) -> Selector {
    match number % 8 {
        0 => Selector::Any,
        1 => Selector::Tag("VirtualNetwork".to_owned()),
        2 => Selector::Tag("Internet".to_owned()),
        3 => Selector::Tag("Storage".to_owned()),
        other => {
            let range =
                Ipv4Net::new(host(number >> 3, number), [8, 16, 24, 32][usize::from(other - 4)]);
            Selector::Prefix(range.unwrap_or_default().trunc())
        }
    }
}

fn ports(number: u8) -> PortRange {
    match number % 4 {
        0 | 1 => PortRange::ANY,
        2 => PortRange::single(443),
        _ => PortRange::new(80, 443).unwrap_or(PortRange::ANY),
    }
}
