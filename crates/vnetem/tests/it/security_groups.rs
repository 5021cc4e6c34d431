//! Security groups on the way of packets: who is judged, when, on which addresses, and what an edit
//! does to live flows.

use vnetem::{
    DataPlane, DenyReason, Disposition, Edge, EditError, Ipv4Net, Network, NicId, SecurityGroupId,
    ServiceId, Settings, SubnetId, Time, VnetId,
    authz::{
        Action, PortRange, RuleDirection, RuleProtocol, SecurityGroup, SecurityRule,
        SecurityRuleError,
    },
    control::{NextHop, Outbound, Scope},
};

use crate::base;
use crate::packets::{end, ip, net, segment};

const OUT: RuleDirection = RuleDirection::Outbound;
const IN: RuleDirection = RuleDirection::Inbound;

struct World {
    network: Network,
    plane: DataPlane,
    alpha: VnetId,
    web: SubnetId,
    db: SubnetId,
    vm: NicId,
    storage: ServiceId,
}

/// A network with two subnets behind a gateway, a declared host in one of them, and a service.
fn world() -> World {
    let base::World { mut network, alpha, web, storage } = base::world();
    let db = network.add_subnet(alpha, "db", net("10.0.1.0/24")).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    let vm = network.add_nic(web, "vm", ip("10.0.0.4")).unwrap();
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    World { network, plane, alpha, web, db, vm, storage }
}

impl World {
    fn group(&mut self, name: &str, rules: &[Rule<'_>]) -> SecurityGroupId {
        self.network.add_security_group(name, group(rules)).unwrap()
    }

    fn apply(&mut self) {
        self.plane.apply(Time(0), self.network.commit());
        while self.plane.poll_transmit(Time(0)).is_some() {}
    }

    fn send(&mut self, edge: Edge, mut packet: Vec<u8>) -> Disposition {
        self.plane.process(Time(0), edge, &mut packet).disposition
    }

    /// What becomes of the first packet of a connection from a host of `web`.
    fn open(&mut self, source: &str, destination: &str) -> Disposition {
        self.send(Edge::Subnet(self.web), tcp(source, destination, true))
    }

    fn passes(&mut self, source: &str, destination: &str) -> bool {
        match self.open(source, destination) {
            Disposition::Forward(_) => true,
            Disposition::Deny(_) => false,
            Disposition::Drop(reason) => panic!("dropped: {reason}"),
        }
    }

    fn traced(&self, source: &str, destination: &str) -> String {
        let packet = tcp(source, destination, true);
        self.plane.trace(Time(0), Edge::Subnet(self.web), &packet).to_string()
    }
}

/// P-10, P-17, U-08: the group sees the private source, whatever the packet becomes afterwards: a
/// rule about the public address behind which the subnet is seen says nothing, one about the
/// private address decides, with and without an endpoint.
#[test]
fn group_sees_source_before_translation() {
    for endpoint in [false, true] {
        let mut w = world();
        if endpoint {
            w.network.enable_endpoint(w.web, w.storage, Scope::Worldwide).unwrap();
        }
        let public = w.group("public", &[(100, "no", OUT, Action::Deny, "20.1.1.1", "*", "*")]);
        w.network.guard_subnet(w.web, Some(public)).unwrap();
        w.apply();
        assert!(w.passes("10.0.0.5:50001", "52.239.1.9:443"));
        let private = w.group("private", &[(100, "no", OUT, Action::Deny, "10.0.0.5", "*", "*")]);
        w.network.guard_subnet(w.web, Some(private)).unwrap();
        w.apply();
        assert_eq!(
            w.open("10.0.0.5:50002", "52.239.1.9:443"),
            Disposition::Deny(DenyReason::SecurityGroup(OUT))
        );
        assert!(w.passes("10.0.0.6:50002", "52.239.1.9:443"));
    }
}

/// P-10: on the way in the group sees the receiver's own address, which the packet has once its way
/// is known.
#[test]
fn receivers_group_sees_its_own_address() {
    let mut w = world();
    let rules = [
        (100, "web-may", IN, Action::Allow, "10.0.0.4", "10.0.1.4", "1433"),
        (200, "others-not", IN, Action::Deny, "VirtualNetwork", "*", "*"),
    ];
    let group = w.group("db", &rules);
    w.network.guard_subnet(w.db, Some(group)).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:50001", "10.0.1.4:1433"));
    let denied = Disposition::Deny(DenyReason::SecurityGroup(IN));
    assert_eq!(w.open("10.0.0.4:50001", "10.0.1.4:22"), denied);
    assert_eq!(w.open("10.0.0.4:50001", "10.0.1.5:1433"), denied);
    assert_eq!(w.open("10.0.0.5:50001", "10.0.1.4:1433"), denied);
    // Nobody guards the sender's subnet.
    assert!(w.passes("10.0.0.5:50001", "10.0.0.6:1433"));
}

/// P-11: the reply to a connection that was let out needs no rule, nor does a later packet of it
/// (P-28).
#[test]
fn replies_need_no_rule() {
    let mut w = world();
    let closed = w.group("closed", &[(100, "nothing-in", IN, Action::Deny, "*", "*", "*")]);
    let silent = w.group("silent", &[(100, "nothing-out", OUT, Action::Deny, "*", "*", "*")]);
    w.network.guard_subnet(w.web, Some(closed)).unwrap();
    w.network.guard_subnet(w.db, Some(silent)).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:50001", "10.0.1.4:1433"));
    let answer = tcp("10.0.1.4:1433", "10.0.0.4:50001", false);
    let Disposition::Forward(back) = w.send(Edge::Subnet(w.db), answer) else {
        panic!("the answer was stopped");
    };
    assert_eq!(back.to(), Edge::Nic(w.vm));
    // In the same two places, opened from the other side, it is denied.
    let denied = w.send(Edge::Subnet(w.db), tcp("10.0.1.4:50001", "10.0.0.4:443", true));
    assert_eq!(denied, Disposition::Deny(DenyReason::SecurityGroup(OUT)));
}

/// P-28, P-32: a denied packet makes no flow, takes no port, and nothing is sent back; it is
/// counted under its reason.
#[test]
fn denied_packet_makes_no_flow() {
    let mut w = world();
    let group = w.group("web", &[(100, "no", OUT, Action::Deny, "*", "Internet", "*")]);
    w.network.guard_subnet(w.web, Some(group)).unwrap();
    w.apply();
    for port in 1..=3 {
        assert!(!w.passes(&format!("10.0.0.4:{port}"), "8.8.8.8:53"));
    }
    assert_eq!(w.plane.flow_counters().opened, 0);
    assert!(w.plane.poll_transmit(Time(0)).is_none());
    let counters = w.plane.counters();
    assert_eq!(counters.denies(DenyReason::SecurityGroup(OUT)), 3);
    assert_eq!(counters.denies(DenyReason::SecurityGroup(IN)), 0);
    assert_eq!((counters.denied.packets, counters.forwarded.packets), (3, 0));
}

/// P-13, C-11: after the rule that allowed it is gone a live flow goes on, in both directions and
/// even if another change revalidates it (INV-toggle-idempotent); a new one is refused.
#[test]
fn group_edit_retains_live_flows() {
    let mut w = world();
    let group = w.group("web", &[]);
    w.network.guard_subnet(w.web, Some(group)).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:50001", "8.8.8.8:443"));
    let no = [(100, "no", OUT, Action::Deny, "*", "*", "*")];
    w.network.set_security_rules(group, self::group(&no)).unwrap();
    w.apply();
    assert!(!w.passes("10.0.0.4:50002", "8.8.8.8:443"));
    // The opening packet is sent again: it belongs to the flow.
    assert!(w.passes("10.0.0.4:50001", "8.8.8.8:443"));
    w.network.set_route(w.web, net("9.0.0.0/8"), NextHop::Internet).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:50001", "8.8.8.8:443"));
    assert_eq!(w.plane.flow_counters().live, 1);
}

/// S-43, P-09: with an endpoint the default rules let service traffic pass, and the trace says by
/// which.
#[test]
fn default_rules_let_endpoint_traffic_pass() {
    let mut w = world();
    let group = w.group("web-nsg", &[]);
    w.network.guard_subnet(w.web, Some(group)).unwrap();
    w.network.enable_endpoint(w.web, w.storage, Scope::Worldwide).unwrap();
    w.apply();
    let trace = w.traced("10.0.0.4:50001", "52.239.1.9:443");
    assert!(
        trace.contains("security allowed by 65001 AllowInternetOutBound of web-nsg, outbound"),
        "{trace}"
    );
    assert!(trace.contains("VirtualNetworkServiceEndpoint"), "{trace}");
    assert!(w.passes("10.0.0.4:50001", "52.239.1.9:443"));
}

/// P-18: the trace shows the order: flow, group, route.
#[test]
fn group_check_precedes_routing() {
    let mut w = world();
    let group = w.group("web-nsg", &[]);
    w.network.guard_subnet(w.web, Some(group)).unwrap();
    w.apply();
    let trace = w.traced("10.0.0.4:50001", "8.8.8.8:443");
    let places = ["flow ", "security ", "route ", "source "].map(|step| trace.find(step).unwrap());
    assert!(places.is_sorted(), "{trace}");
    assert!(w.passes("10.0.0.4:50001", "8.8.8.8:443"));
    let hit = w.traced("10.0.0.4:50001", "8.8.8.8:443");
    assert!(!hit.contains("security "), "P-28: {hit}");
}

/// S-44, P-19: the internet is denied and a tag allowed; the tag stands for the prefixes that the
/// service has at the moment, those of a service by its own name, and other names as they are set.
#[test]
fn rule_tags_are_kept_current() {
    let mut w = world();
    w.network.set_tag("Sql.WestEurope", &[net("40.1.0.0/16")]).unwrap();
    let rules = [
        (100, "storage", OUT, Action::Allow, "*", "storage", "443"),
        (110, "sql", OUT, Action::Allow, "*", "sql.westeurope", "1433"),
        (200, "internet", OUT, Action::Deny, "*", "Internet", "*"),
    ];
    let group = w.group("web", &rules);
    w.network.guard_nic(w.vm, Some(group)).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:1", "52.239.1.9:443"));
    assert!(w.passes("10.0.0.4:1", "40.1.0.1:1433"));
    assert!(!w.passes("10.0.0.4:1", "52.240.1.9:443"));
    // Each change by itself.
    w.network.set_service_prefixes(w.storage, &[net("52.240.0.0/16")]).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:3", "52.240.1.9:443"));
    w.network.set_tag("sql.westeurope", &[net("40.2.0.0/16")]).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:2", "52.240.1.9:443"));
    assert!(!w.passes("10.0.0.4:2", "52.239.1.9:443"));
    assert!(w.passes("10.0.0.4:2", "40.2.0.1:1433"));
    assert!(!w.passes("10.0.0.4:2", "40.1.0.1:1433"));
}

/// P-16, P-31: interface and subnet must both allow; on the way out the interface is asked first,
/// on the way in the subnet.
#[test]
fn interface_and_subnet_must_both_allow() {
    let no_http = [(100, "no-http", OUT, Action::Deny, "*", "*", "80")];
    let no_https = [(100, "no-https", OUT, Action::Deny, "*", "*", "443")];
    let mut w = world();
    let (of_nic, of_subnet) = (w.group("nic", &no_http), w.group("subnet", &no_https));
    w.network.guard_nic(w.vm, Some(of_nic)).unwrap();
    w.network.guard_subnet(w.web, Some(of_subnet)).unwrap();
    w.apply();
    let asked = |w: &World, destination| {
        let trace = w.traced("10.0.0.4:50001", destination);
        let lines = trace.lines().filter(|line| line.contains("security "));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(asked(&w, "8.8.8.8:80"), ["security denied by 100 no-http of nic, outbound"]);
    assert_eq!(
        asked(&w, "8.8.8.8:443"),
        [
            "security allowed by 65001 AllowInternetOutBound of nic, outbound",
            "security denied by 100 no-https of subnet, outbound"
        ]
    );
    assert!(w.passes("10.0.0.4:50001", "8.8.8.8:22"));
    // The interface's group is no other host's.
    assert!(w.passes("10.0.0.5:50001", "8.8.8.8:80"));
    let to_vm =
        w.plane.trace(Time(0), Edge::Subnet(w.db), &tcp("10.0.1.4:50001", "10.0.0.4:22", true));
    let lines: Vec<_> = to_vm
        .to_string()
        .lines()
        .filter(|line| line.contains("security "))
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "security allowed by 65000 AllowVnetInBound of subnet, inbound",
            "security allowed by 65000 AllowVnetInBound of nic, inbound"
        ]
    );
}

/// P-14: with a user route for everything the tag VirtualNetwork contains everything; seen from a
/// subnet without it, it does not. What the tag stands for follows the network: its own ranges,
/// peerings, and sites behind the gateway.
#[test]
fn virtual_network_tag_follows_routes_peers() {
    let only_here = [
        (100, "here", OUT, Action::Allow, "*", "VirtualNetwork", "*"),
        (110, "no-more", OUT, Action::Deny, "*", "*", "*"),
    ];
    let mut w = world();
    let group = w.group("web", &only_here);
    w.network.guard_subnet(w.web, Some(group)).unwrap();
    let beta = w.network.add_vnet("beta", &[net("10.1.0.0/16")]).unwrap();
    w.network.add_subnet(beta, "app", net("10.1.0.0/24")).unwrap();
    let office = w.network.add_site("office", &[net("192.168.1.0/24")], &[]).unwrap();
    w.apply();
    let denied = Disposition::Deny(DenyReason::SecurityGroup(OUT));
    assert_eq!(w.open("10.0.0.4:1", "10.1.0.4:80"), denied);
    assert_eq!(w.open("10.0.0.4:1", "192.168.1.4:80"), denied);
    assert_eq!(w.open("10.0.0.4:1", "8.8.8.8:80"), denied);
    w.network.peer(w.alpha, beta).unwrap();
    w.network.connect(w.alpha, office, &[net("192.168.1.0/24")]).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:1", "10.1.0.4:80"));
    assert!(w.passes("10.0.0.4:1", "192.168.1.4:80"));
    assert_eq!(w.open("10.0.0.4:1", "8.8.8.8:80"), denied);
    w.network
        .set_route(w.web, Ipv4Net::default(), NextHop::VirtualAppliance(ip("10.0.1.9")))
        .unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:1", "8.8.8.8:80"));
    // So does one that the gateway learns.
    w.network.remove_route(w.web, Ipv4Net::default()).unwrap();
    w.apply();
    assert_eq!(w.open("10.0.0.4:2", "8.8.8.8:80"), denied);
    w.network.connect(w.alpha, office, &[Ipv4Net::default()]).unwrap();
    w.apply();
    assert!(w.passes("10.0.0.4:2", "8.8.8.8:80"));
}

/// P-19: the rules of a group are replaced as a whole: an old one that is not among the new ones is
/// gone, even if nothing has its number.
#[test]
fn new_rules_replace_all_old_ones() {
    let mut w = world();
    let no_http = [(100, "no-http", OUT, Action::Deny, "*", "*", "80")];
    let no_https = [(200, "no-https", OUT, Action::Deny, "*", "*", "443")];
    let group = w.group("web", &no_http);
    w.network.guard_subnet(w.web, Some(group)).unwrap();
    for (rules, closed, open) in [(no_http, 80, 443), (no_https, 443, 80), (no_http, 80, 443)] {
        w.network.set_security_rules(group, self::group(&rules)).unwrap();
        w.apply();
        assert!(!w.passes("10.0.0.4:1", &format!("8.8.8.8:{closed}")));
        assert!(w.passes("10.0.0.4:1", &format!("8.8.4.4:{open}")));
    }
}

/// P-19, INV-contradiction-refused: an edit is refused whole, by name, and nothing is deleted that
/// is used.
#[test]
fn refused_group_edit_names_the_error() {
    let mut w = world();
    let unknown = [(100, "moon", OUT, Action::Allow, "*", "Moon", "*")];
    let why = SecurityRuleError::UnknownTag { rule: "moon".into(), tag: "Moon".into() };
    let refused = EditError::SecurityRule { group: "web".into(), why };
    assert_eq!(w.network.add_security_group("web", group(&unknown)), Err(refused.clone()));
    assert_eq!(refused.to_string(), "security group web: rule moon: there is no tag Moon");
    let id = w.group("web", &[]);
    assert_eq!(w.network.set_security_rules(id, group(&unknown)), Err(refused));
    assert_eq!(
        w.network.add_security_group("web", group(&[])).unwrap_err().to_string(),
        "there is a security group web already"
    );
    w.network.guard_nic(w.vm, Some(id)).unwrap();
    let in_use = w.network.remove_security_group(id).unwrap_err();
    assert_eq!(in_use.to_string(), "security group web is used by nic vm");
    w.network.guard_nic(w.vm, None).unwrap();
    w.network.guard_subnet(w.web, Some(id)).unwrap();
    let in_use = w.network.remove_security_group(id).unwrap_err();
    assert_eq!(in_use.to_string(), "security group web is used by subnet web");
    w.network.remove_nic(w.vm).unwrap();
    w.network.remove_subnet(w.web).unwrap();
    assert_eq!(w.network.remove_security_group(id), Ok(()));
    let gone = w.network.guard_subnet(w.db, Some(id)).unwrap_err();
    assert_eq!(gone.to_string(), "there is no security group nsg#0");
    w.network.set_tag("Moon", &[net("1.1.1.0/24")]).unwrap();
    assert!(w.network.add_security_group("web", group(&unknown)).is_ok());
}

type Rule<'a> = (u16, &'a str, RuleDirection, Action, &'a str, &'a str, &'a str);

fn group(rules: &[Rule<'_>]) -> SecurityGroup {
    let mut group = SecurityGroup::default();
    for &(priority, name, direction, action, from, to, ports) in rules {
        let rule = SecurityRule {
            name: name.into(),
            priority,
            direction,
            action,
            protocol: RuleProtocol::Any,
            sources: vec![from.parse().unwrap()],
            source_ports: vec![PortRange::ANY],
            destinations: vec![to.parse().unwrap()],
            destination_ports: vec![ports.parse().unwrap()],
        };
        group.add_rule(rule).unwrap();
    }
    group
}

fn tcp(source: &str, destination: &str, opens: bool) -> Vec<u8> {
    segment(end(source), end(destination), if opens { "S" } else { "SA" }, (1000, 1001), &[])
}
