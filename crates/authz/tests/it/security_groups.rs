//! What a security group allows, one statement each.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_authz::{
    Action, CompiledGroup, Decider, NetworkSpace, PortRange, RuleDirection, RuleProtocol,
    SecurityGroup, SecurityRule, SecurityRuleError, Selector, Tags,
};
use vnetem_packet::{FiveTuple, Protocol};

use Action::{Allow, Deny};
use RuleDirection::{Inbound, Outbound};

const STORAGE: &str = "52.239.1.9:443";
const ELSEWHERE: &str = "93.184.216.34:443";
const VM: &str = "10.0.0.4:50001";
const PEER: &str = "10.1.0.4:22";

/// Numbers are 100 to 4096, both included (P-08).
#[test]
fn priority_is_100_to_4096() {
    let mut group = SecurityGroup::default();
    for (priority, taken) in [(99, false), (100, true), (4096, true), (4097, false)] {
        let rule = SecurityRule { priority, ..rule("any", Deny, "*", "*", "*") };
        let rule = SecurityRule { name: format!("rule{priority}"), ..rule };
        let error = SecurityRuleError::Priority { rule: rule.name.clone(), priority };
        assert_eq!(group.add_rule(rule), if taken { Ok(()) } else { Err(error) });
    }
}

/// Two rules of one direction may not share a number, and the error names both. Two directions may
/// (P-08).
#[test]
fn equal_priority_and_direction_is_refused() {
    let mut group = SecurityGroup::default();
    let first = rule("first", Deny, "*", "*", "*");
    group.add_rule(first.clone()).unwrap();
    let before = group.clone();
    let refused = group.add_rule(rule("second", Allow, "*", "*", "*")).unwrap_err();
    assert_eq!(refused.to_string(), "rules first and second are both outbound 100");
    let same_name = SecurityRule { priority: 200, name: "FIRST".into(), ..first.clone() };
    let refused = group.add_rule(same_name).unwrap_err();
    assert_eq!(refused, SecurityRuleError::NameTaken { rule: "FIRST".into() });
    assert_eq!(group, before);

    let inbound = SecurityRule { direction: Inbound, name: "third".into(), ..first };
    group.add_rule(inbound).unwrap();
    assert!(group.remove_rule("First"));
    assert!(!group.remove_rule("first"));
    assert_eq!(group.rules().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["third"]);
}

/// The lowest number that matches decides, whatever the later ones say (P-08, P-31).
#[test]
fn first_match_by_priority_decides() {
    let rules = [
        (300, rule("deny-all", Deny, "*", "*", "*")),
        (100, rule("allow-https", Allow, "*", "*", "443")),
        (200, rule("deny-storage", Deny, "*", "Storage", "*")),
    ];
    let group = compiled(rules);
    expect(&group, Outbound, VM, STORAGE, Allow, "100 allow-https");
    expect(&group, Outbound, VM, "52.239.1.9:80", Deny, "200 deny-storage");
    expect(&group, Outbound, VM, "93.184.216.34:80", Deny, "300 deny-all");
    // The other direction has its own rules.
    expect(&group, Inbound, PEER, "10.0.0.4:443", Allow, "65000 AllowVnetInBound");
}

/// A number names one rule of its direction and no other (P-08, P-09).
#[test]
fn priority_names_one_rule_per_direction() {
    let group = compiled([(100, rule("own", Deny, "*", "*", "*"))]);
    for (direction, priority, name) in [
        (Outbound, 100, Some("own")),
        (Inbound, 100, None),
        (Outbound, 65500, Some("DenyAllOutBound")),
        (Inbound, 65500, Some("DenyAllInBound")),
        (Outbound, 101, None),
    ] {
        assert_eq!(group.rule_name(direction, priority), name, "{direction} {priority}");
    }
}

/// The default rules allow traffic inside the network and to services, by number and name (P-09,
/// S-43).
#[test]
fn default_rules_come_last() {
    let group = compiled([]);
    expect(&group, Outbound, VM, PEER, Allow, "65000 AllowVnetOutBound");
    expect(&group, Outbound, VM, ELSEWHERE, Allow, "65001 AllowInternetOutBound");
    expect(&group, Outbound, VM, STORAGE, Allow, "65001 AllowInternetOutBound");
    expect(&group, Outbound, VM, "172.20.0.1:443", Deny, "65500 DenyAllOutBound");
    expect(&group, Inbound, PEER, VM, Allow, "65000 AllowVnetInBound");
    let health_check = "168.63.129.16:40000";
    expect(&group, Inbound, health_check, VM, Allow, "65001 AllowAzureLoadBalancerInBound");
    expect(&group, Inbound, ELSEWHERE, VM, Deny, "65500 DenyAllInBound");
    // Both ends must be in the network. A source from elsewhere matches no rule that allows.
    expect(&group, Outbound, "172.20.0.1:1", PEER, Deny, "65500 DenyAllOutBound");
}

/// A group sees the private source. A rule about the machine's public address never matches (P-10).
#[test]
fn public_source_rule_never_matches_outbound() {
    let group = compiled([(100, rule("deny-public", Deny, "20.1.1.1", "*", "*"))]);
    expect(&group, Outbound, VM, STORAGE, Allow, "65001 AllowInternetOutBound");
    let group = compiled([(100, rule("deny-private", Deny, "10.0.0.4", "*", "*"))]);
    expect(&group, Outbound, VM, STORAGE, Deny, "100 deny-private");
}

/// Azure's public addresses are in the Internet tag, those of endpoint services included, and not
/// in VirtualNetwork (P-12, U-09).
#[test]
fn the_internet_contains_azures_own_addresses() {
    let group = compiled([(100, rule("deny-internet", Deny, "*", "Internet", "*"))]);
    expect(&group, Outbound, VM, STORAGE, Deny, "100 deny-internet");
    expect(&group, Outbound, VM, ELSEWHERE, Deny, "100 deny-internet");
    let group = compiled([(100, rule("deny-vnet", Deny, "*", "VirtualNetwork", "*"))]);
    expect(&group, Outbound, VM, STORAGE, Allow, "65001 AllowInternetOutBound");
    // Neither others' private addresses nor the host's own are in the Internet tag.
    let group = compiled([
        (100, rule("internet-only", Allow, "*", "Internet", "*")),
        (101, rule("rest", Deny, "*", "*", "*")),
    ]);
    // The first and last of each range that is not public, and their neighbours.
    for (first, last) in [
        ("0.0.0.0", "0.255.255.255"),
        ("10.2.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("224.0.0.0", "255.255.255.255"),
    ] {
        let [first, last]: [Ipv4Addr; 2] = [first, last].map(|text| text.parse().unwrap());
        for inside in [first, last] {
            expect(&group, Outbound, VM, &format!("{inside}:1"), Deny, "101 rest");
        }
        for outside in [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)] {
            let Some(outside) = outside.map(Ipv4Addr::from_bits) else { continue };
            if !outside.is_private() {
                expect(&group, Outbound, VM, &format!("{outside}:1"), Allow, "100 internet-only");
            }
        }
    }
}

/// A network's own public addresses are not in its Internet tag (P-12).
#[test]
fn own_public_range_is_not_internet() {
    let space = NetworkSpace::new([net("10.0.0.0/16"), net("52.239.0.0/16")], []);
    let group = group([(100, rule("deny-internet", Deny, "*", "Internet", "*"))]);
    let group = group.compile(&space, &tags()).unwrap();
    expect(&group, Outbound, VM, STORAGE, Allow, "65000 AllowVnetOutBound");
    expect(&group, Outbound, VM, ELSEWHERE, Deny, "100 deny-internet");
}

/// A user route for everything makes VirtualNetwork contain everything, so its default rule allows
/// everything. Rules about the internet keep their meaning (P-14).
#[test]
fn default_route_widens_virtual_network() {
    let forced = NetworkSpace::new([net("10.0.0.0/16")], [net("0.0.0.0/0")]);
    let empty = SecurityGroup::default().compile(&forced, &tags()).unwrap();
    expect(&empty, Outbound, VM, ELSEWHERE, Allow, "65000 AllowVnetOutBound");
    expect(&empty, Outbound, VM, "172.20.0.1:443", Allow, "65000 AllowVnetOutBound");
    expect(&empty, Inbound, ELSEWHERE, VM, Allow, "65000 AllowVnetInBound");
    let group = group([(100, rule("deny-internet", Deny, "*", "Internet", "*"))]);
    let group = group.compile(&forced, &tags()).unwrap();
    expect(&group, Outbound, VM, ELSEWHERE, Deny, "100 deny-internet");
}

/// Platform services pass outbound, whatever the rules say. Inbound, the host's address has no
/// exception (P-15).
#[test]
fn platform_services_pass_deny_all() {
    let mut everything = rule("deny-all", Deny, "*", "*", "*");
    everything.destinations.push("168.63.129.16".parse().unwrap());
    let inbound = SecurityRule { direction: Inbound, name: "deny-in".into(), ..everything.clone() };
    let group = compiled([(100, everything), (100, inbound)]);
    for (protocol, service) in [
        (Protocol::UDP, "168.63.129.16:53"),
        (Protocol::UDP, "168.63.129.16:67"),
        (Protocol::TCP, "168.63.129.16:80"),
        (Protocol::TCP, "169.254.169.254:80"),
    ] {
        let ruling = group.judge(Outbound, &FiveTuple { protocol, ..tuple(VM, service) });
        assert_eq!((ruling.action, ruling.by), (Allow, Decider::Platform), "{service}");
        assert_eq!(ruling.to_string(), "allowed by the platform");
    }
    expect(&group, Inbound, "168.63.129.16:40000", VM, Deny, "100 deny-in");
    expect(&group, Outbound, VM, "168.63.129.17:53", Deny, "100 deny-all");
}

/// A rule with a platform tag denies that service and no other, in the order of its number (P-15).
#[test]
fn platform_tag_denies_its_service_only() {
    for (tag, service) in [
        ("AzurePlatformDNS", "168.63.129.16:53"),
        ("azureplatformimds", "169.254.169.254:80"),
        ("AzurePlatformLKM", "168.63.129.16:1688"),
    ] {
        let mut allow = rule("allow", Allow, "10.0.0.9", "*", "*");
        allow.destinations.push(tag.parse().unwrap());
        let group = compiled([(100, allow), (200, rule("deny", Deny, "*", tag, "*"))]);
        expect(&group, Outbound, VM, service, Deny, "200 deny");
        expect(&group, Outbound, "10.0.0.9:1", service, Allow, "100 allow");
        for other in
            ["168.63.129.16:53", "169.254.169.254:80", "168.63.129.16:1688", "168.63.129.16:80"]
        {
            if other != service {
                let ruling = group.judge(Outbound, &tuple(VM, other));
                assert_eq!(ruling.by, Decider::Platform, "{tag} {other}");
            }
        }
    }
}

/// With the internet denied, one tag can be allowed. A tag's addresses are those at compilation
/// (S-44, P-19).
#[test]
fn service_tag_opens_denied_internet() {
    let group = group([
        (100, rule("allow-storage", Allow, "VirtualNetwork", "storage", "443")),
        (200, rule("deny-internet", Deny, "*", "Internet", "*")),
    ]);
    let before = group.compile(&space(), &tags()).unwrap();
    expect(&before, Outbound, VM, STORAGE, Allow, "100 allow-storage");
    expect(&before, Outbound, VM, ELSEWHERE, Deny, "200 deny-internet");
    expect(&before, Outbound, VM, "57.150.0.9:443", Deny, "200 deny-internet");
    let mut updated = tags();
    updated.insert("Storage", [net("52.239.0.0/17"), net("57.150.0.0/16")]);
    let after = group.compile(&space(), &updated).unwrap();
    expect(&after, Outbound, VM, "57.150.0.9:443", Allow, "100 allow-storage");
    expect(&before, Outbound, VM, "57.150.0.9:443", Deny, "200 deny-internet");
}

/// Two groups must both allow, and the first that denies decides. Without a group nothing is denied
/// (P-31).
#[test]
fn every_group_must_allow() {
    let open = compiled([(100, rule("open", Allow, "*", "*", "*"))]);
    let closed = compiled([(100, rule("closed", Deny, "*", "*", "*"))]);
    let also_closed = compiled([(100, rule("also-closed", Deny, "*", "*", "*"))]);
    let judged = |groups: &[&CompiledGroup]| {
        let ruling =
            CompiledGroup::judge_all(groups.iter().copied(), Outbound, &tuple(VM, STORAGE));
        ruling.map(|ruling| ruling.to_string())
    };
    assert_eq!(judged(&[]), None);
    assert_eq!(judged(&[&open, &open]).unwrap(), "allowed by 100 open");
    assert_eq!(judged(&[&open, &closed]).unwrap(), "denied by 100 closed");
    assert_eq!(judged(&[&closed, &open]).unwrap(), "denied by 100 closed");
    assert_eq!(judged(&[&closed, &also_closed]).unwrap(), "denied by 100 closed");
}

/// An augmented rule matches all combinations of what it lists.
#[test]
fn augmented_rule_combines_all_its_lists() {
    let mut many = rule("many", Deny, "10.0.0.0/24", "Storage", "80");
    many.sources.push("10.0.2.0/24".parse().unwrap());
    many.destinations.push("AppServers".parse().unwrap());
    many.destination_ports.push("8000-8010".parse().unwrap());
    let group = compiled([(100, many)]);
    for source in ["10.0.0.4:1", "10.0.2.4:1"] {
        for destination in ["52.239.1.9", "10.1.0.7"] {
            for port in ["80", "8000", "8010"] {
                let destination = format!("{destination}:{port}");
                expect(&group, Outbound, source, &destination, Deny, "100 many");
            }
        }
    }
    for (source, destination) in [
        ("10.0.1.4:1", "52.239.1.9:80"),
        ("10.0.0.4:1", "10.1.0.8:80"),
        ("10.0.0.4:1", "52.239.1.9:7999"),
        ("10.0.0.4:1", "52.239.1.9:8011"),
    ] {
        assert!(group.judge(Outbound, &tuple(source, destination)).is_allowed());
    }
}

/// For the five protocols, a packet without ports matches only the full port range.
#[test]
fn port_ranges_need_tcp_or_udp() {
    for (name, number) in [("Tcp", 6), ("Udp", 17), ("Icmp", 1), ("Esp", 50), ("Ah", 51)] {
        let protocol: RuleProtocol = name.parse().unwrap();
        let denied = SecurityRule { protocol, ..rule("deny", Deny, "*", "*", "*") };
        let group = compiled([(100, denied)]);
        for other in [1, 6, 17, 50, 51, 47] {
            let tuple = FiveTuple { protocol: Protocol(other), ..tuple(VM, STORAGE) };
            assert_eq!(group.judge(Outbound, &tuple).is_allowed(), other != number, "{name}");
        }
    }
    // The identifier of an ICMP query takes the place of a port, and is none.
    let group = compiled([(100, rule("deny-443", Deny, "*", "*", "0-65534"))]);
    for (protocol, denied) in [(6, true), (17, true), (1, false), (50, false)] {
        let tuple = FiveTuple { protocol: Protocol(protocol), ..tuple(VM, STORAGE) };
        assert_eq!(group.judge(Outbound, &tuple).is_allowed(), !denied, "{protocol}");
    }
    let group = compiled([(100, rule("deny-all", Deny, "*", "*", "0-65535"))]);
    for protocol in [1, 6, 17, 50, 255] {
        let tuple = FiveTuple { protocol: Protocol(protocol), ..tuple(VM, STORAGE) };
        assert!(!group.judge(Outbound, &tuple).is_allowed());
    }
}

#[test]
fn rule_that_never_matches_is_refused() {
    let good = rule("odd", Deny, "*", "*", "*");
    let lists = ["sources", "source ports", "destinations", "destination ports"];
    for (place, list) in lists.into_iter().enumerate() {
        let mut empty = good.clone();
        match place {
            0 => empty.sources.clear(),
            1 => empty.source_ports.clear(),
            2 => empty.destinations.clear(),
            _ => empty.destination_ports.clear(),
        }
        let refused = SecurityGroup::default().add_rule(empty).unwrap_err();
        assert_eq!(refused, SecurityRuleError::Empty { rule: "odd".into(), list });
    }
    let mut loose = good;
    loose.destinations.push(Selector::Prefix(net("10.0.0.5/24")));
    let refused = SecurityGroup::default().add_rule(loose).unwrap_err();
    let said = "rule odd: 10.0.0.5/24 has bits behind its length; 10.0.0.0/24 is meant";
    assert_eq!(refused.to_string(), said);
}

/// Platform tags are known from the start; tags that depend on the subnet never are (P-15).
#[test]
fn tags_ignore_letter_case() {
    let mut tags = Tags::default();
    tags.insert("Sql.WestEurope", ["52.239.64.0/18".parse().unwrap()]);
    for known in ["Sql.WestEurope", "sql.westeurope", "AzurePlatformDNS"] {
        assert!(tags.contains(known), "{known}");
    }
    for unknown in ["Sql", "Storage", "VirtualNetwork", "Internet", ""] {
        assert!(!tags.contains(unknown), "{unknown}");
    }
}

#[test]
fn unknown_tag_error_names_its_rule() {
    let group = group([(100, rule("odd", Deny, "*", "Storrage", "*"))]);
    let refused = group.compile(&space(), &tags()).unwrap_err();
    assert_eq!(refused.to_string(), "rule odd: there is no tag Storrage");
}

fn expect(
    group: &CompiledGroup,
    direction: RuleDirection,
    source: &str,
    destination: &str,
    action: Action,
    by: &str,
) {
    let ruling = group.judge(direction, &tuple(source, destination));
    let verb = if action == Allow { "allowed" } else { "denied" };
    assert_eq!(ruling.to_string(), format!("{verb} by {by}"), "{source} > {destination}");
    if let Decider::Rule { priority, name } = ruling.by {
        assert_eq!(group.rule_name(direction, priority), Some(name));
    }
}

fn compiled<const N: usize>(rules: [(u16, SecurityRule); N]) -> CompiledGroup {
    group(rules).compile(&space(), &tags()).unwrap()
}

fn group<const N: usize>(rules: [(u16, SecurityRule); N]) -> SecurityGroup {
    let mut group = SecurityGroup::default();
    for (priority, rule) in rules {
        group.add_rule(SecurityRule { priority, ..rule }).unwrap();
    }
    group
}

/// Makes an outbound rule for every protocol.
fn rule(name: &str, action: Action, from: &str, to: &str, ports: &str) -> SecurityRule {
    SecurityRule {
        name: name.into(),
        priority: 100,
        direction: Outbound,
        action,
        protocol: RuleProtocol::Any,
        sources: vec![from.parse().unwrap()],
        source_ports: vec![PortRange::ANY],
        destinations: vec![to.parse().unwrap()],
        destination_ports: vec![ports.parse().unwrap()],
    }
}

fn space() -> NetworkSpace {
    NetworkSpace::new([net("10.0.0.0/16"), net("10.1.0.0/16")], [])
}

fn tags() -> Tags {
    let mut tags = Tags::default();
    tags.insert("Storage", [net("52.239.0.0/16"), net("20.60.0.0/16")]);
    tags.insert("AppServers", [net("10.1.0.7/32")]);
    tags
}

fn tuple(source: &str, destination: &str) -> FiveTuple {
    FiveTuple {
        protocol: Protocol::TCP,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}
