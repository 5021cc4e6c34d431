//! The small world of the harness: networks with equal ranges, and narrow pools.

use core::net::Ipv4Addr;
use core::time::Duration;

use ipnet::Ipv4Net;
use vnetem::{
    Action, Blocks, DefaultAction, Edge, EditError, EndpointPolicy, EndpointPolicyId, Filtering,
    IdleMinutes, IpRule, Limits, LoadBalancerId, Mapping, MidStream, Network, NicId, Notice,
    Outbound, OutboundRule, Placement, PolicyDefinition, PolicyService, PoolRules, PortRange, Rate,
    ResourceId, RuleDirection, RuleLimits, RuleProtocol, RuleSet, RuleState, SecurityGroup,
    SecurityGroupId, SecurityRule, Selector, ServiceId, SiteId, SubnetId, TimerProfile, VnetId,
};

/// The numbers of what [`build`] makes. Alpha and beta have the same ranges and the same subnets.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) vnets: [VnetId; 3],
    /// Alpha's web and db, beta's web and db, gamma's app.
    pub(crate) subnets: [SubnetId; 5],
    /// In alpha: a host in web, an appliance in db, and a member of the load balancer's pool beside it.
    pub(crate) nics: [NicId; 3],
    pub(crate) balancer: LoadBalancerId,
    pub(crate) site: SiteId,
    pub(crate) services: [ServiceId; 2],
    pub(crate) resources: [ResourceId; 2],
    pub(crate) groups: [SecurityGroupId; 3],
    pub(crate) policies: [EndpointPolicyId; 2],
}

/// Who can send: an edge and an address that is at home there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostAt(pub(crate) Edge, pub(crate) Ipv4Addr);

/// How subnets leave at first, in each world: subnet and method.
pub(crate) const METHODS: [&[(u8, u8)]; 5] = [
    // Two behind gateways, and one behind a pool that lets anybody in.
    &[(0, 2), (2, 2), (4, 12)],
    // Who share a pool and reach each other by its addresses.
    &[(0, 13), (1, 13), (2, 12), (4, 14)],
    &[(0, 16), (1, 17), (2, 16), (4, 17)],
    // Interfaces leave by their own address, and by the load balancer.
    &[(0, 15), (1, 1), (2, 15), (4, 20)],
    &[(0, 8), (1, 10), (2, 19), (4, 18)],
];

pub(crate) fn build(methods: &&[(u8, u8)]) -> Result<(Network, World), EditError> {
    let mut net = Network::new();
    let storage = net.add_service("storage", &[net4("52.239.0.0/18"), net4("52.239.128.0/24")])?;
    let sql = net.add_service("sql", &[net4("52.239.64.0/18")])?;
    let regions =
        [("52.239.0.0/20", "east"), ("52.239.16.0/20", "west")].map(|(p, r)| (net4(p), r.into()));
    net.set_service_regions(storage, regions)?;
    let alpha = net.add_vnet("alpha", &[net4("10.0.0.0/16")])?;
    net.place_vnet(alpha, Placement { region: "east".into(), ..Placement::default() })?;
    let beta = net.add_vnet("beta", &[net4("10.0.0.0/16")])?;
    let gamma = net.add_vnet("gamma", &[net4("10.1.0.0/16")])?;
    let subnets = [
        net.add_subnet(alpha, "web", net4("10.0.0.0/24"))?,
        net.add_subnet(alpha, "db", net4("10.0.1.0/24"))?,
        net.add_subnet(beta, "web", net4("10.0.0.0/24"))?,
        net.add_subnet(beta, "db", net4("10.0.1.0/24"))?,
        net.add_subnet(gamma, "app", net4("10.1.0.0/24"))?,
    ];
    let nics = [
        net.add_nic(subnets[0], "vm", Ipv4Addr::new(10, 0, 0, 4))?,
        net.add_nic(subnets[1], "fw", Ipv4Addr::new(10, 0, 1, 4))?,
        net.add_nic(subnets[1], "member", Ipv4Addr::new(10, 0, 1, 6))?,
    ];
    net.set_ip_forwarding(nics[1], true)?;
    net.set_public_address(nics[1], Some(INSTANCES[0]))?;
    let balancer = net.add_load_balancer(alpha, "lb", &FRONTENDS)?;
    net.set_outbound_rule(balancer, outbound_rule(0))?;
    net.add_member(balancer, nics[2])?;
    let site =
        net.add_site("office", &[net4("192.168.1.0/24")], &[Ipv4Addr::new(203, 0, 113, 50)])?;
    net.connect(alpha, site, &[net4("192.168.1.0/24")])?;
    let resources = [
        net.add_resource(storage, "acct", Ipv4Addr::new(52, 239, 0, 9), open())?,
        net.add_resource(sql, "server", Ipv4Addr::new(52, 239, 64, 9), open())?,
    ];
    for &(at, to) in *methods {
        net.set_outbound(subnets[usize::from(at)], outbound(at, to))?;
    }
    let vnets = [alpha, beta, gamma];
    let groups = groups().map(|(name, group)| net.add_security_group(name, group));
    let [first, second, third] = groups;
    let (groups, services) = ([first?, second?, third?], [storage, sql]);
    net.guard_subnet(subnets[4], Some(groups[2]))?;
    // A policy that names nothing, and one that names both accounts by what is above them; the second is a classic one (P-06).
    for (resource, provider) in resources.into_iter().zip(["Storage", "ClassicStorage"]) {
        let path = format!("{GROUP}/providers/Microsoft.{provider}/storageAccounts/st{resource}");
        net.set_resource_path(resource, &path)?;
    }
    let policies = [None, GROUP.parse().ok()].map(|group| {
        let name = format!("policy{}", u8::from(group.is_some()));
        let named = PolicyDefinition::new(PolicyService::Storage, group.into_iter().collect());
        let definitions = named.into_iter().collect();
        net.add_endpoint_policy("7", EndpointPolicy { name, region: String::new(), definitions })
    });
    let [nothing, accounts] = policies;
    let policies = [nothing?, accounts?];
    Ok((net, World { vnets, subnets, nics, balancer, site, services, resources, groups, policies }))
}

impl World {
    /// The network of a host's edge, by its place among all.
    pub(crate) fn network_of(&self, edge: Edge) -> Option<usize> {
        match edge {
            Edge::Nic(id) => self.nics.contains(&id).then_some(0),
            Edge::Subnet(id) => {
                let at = self.subnets.iter().position(|subnet| *subnet == id)?;
                Some(at / 2)
            }
            _ => None,
        }
    }
}

/// The resource group that has the accounts.
const GROUP: &str = "/subscriptions/7/resourceGroups/Lab";

/// The public addresses of the load balancer.
pub(crate) const FRONTENDS: [Ipv4Addr; 2] =
    [Ipv4Addr::new(20, 1, 1, 40), Ipv4Addr::new(20, 1, 1, 41)];

/// Public addresses of interfaces.
pub(crate) const INSTANCES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(20, 1, 1, 50), Ipv4Addr::new(20, 1, 1, 51)];

/// The ports of the pools that give them out in blocks.
pub(crate) const BLOCKS: core::ops::RangeInclusive<u16> = 5000..=5011;

/// Hosts that open flows. The last ones are an appliance that sends in the name of others, and who may reach others by public addresses.
pub(crate) fn hosts(world: &World) -> [HostAt; 19] {
    let at = |edge, octets: [u8; 4]| HostAt(edge, Ipv4Addr::from(octets));
    let [web, db, beta_web, beta_db, app] = world.subnets.map(Edge::Subnet);
    let [vm, fw, member] = world.nics.map(Edge::Nic);
    [
        at(web, [10, 0, 0, 5]),
        at(vm, [10, 0, 0, 4]),
        at(beta_web, [10, 0, 0, 5]),
        at(db, [10, 0, 1, 5]),
        at(fw, [10, 0, 1, 4]),
        at(beta_db, [10, 0, 1, 5]),
        at(app, [10, 1, 0, 4]),
        at(Edge::Site(world.site), [192, 168, 1, 10]),
        at(Edge::Internet, [198, 51, 100, 20]),
        at(web, [10, 0, 0, 4]),
        at(fw, [10, 0, 0, 5]),
        at(fw, [10, 0, 0, 4]),
        at(fw, [127, 0, 0, 1]),
        at(member, [10, 0, 1, 6]),
        at(Edge::Internet, [198, 51, 100, 20]),
        at(app, [10, 1, 0, 5]),
        at(Edge::Internet, [198, 51, 100, 22]),
        at(app, [10, 1, 0, 4]),
        at(Edge::Platform(world.subnets[0]), [168, 63, 129, 16]),
    ]
}

/// Addresses to which flows are opened.
pub(crate) const DESTINATIONS: [[u8; 4]; 21] = [
    [52, 239, 0, 9],
    [52, 239, 64, 9],
    [198, 51, 100, 21],
    [52, 239, 16, 7],
    [52, 239, 128, 3],
    [52, 239, 40, 1],
    [198, 51, 100, 20],
    [10, 0, 1, 4],
    [10, 0, 0, 5],
    [10, 1, 0, 4],
    [192, 168, 1, 10],
    [20, 1, 1, 1],
    [20, 1, 1, 50],
    [20, 1, 1, 51],
    [168, 63, 129, 16],
    [10, 0, 7, 7],
    [10, 9, 9, 9],
    [203, 0, 113, 50],
    [172, 16, 3, 3],
    [224, 0, 0, 1],
    [127, 0, 0, 1],
];

/// The outbound methods of a subnet: addresses differ between networks and are shared inside one.
pub(super) fn outbound(subnet: u8, to: u8) -> Outbound {
    let vnet = [1, 1, 2, 2, 3].get(usize::from(subnet % 5)).copied().unwrap_or(1);
    let address = |last| Ipv4Addr::new(20, vnet, 1, last);
    let with = |ports: core::ops::RangeInclusive<u16>, rules| Outbound::Pool {
        addresses: vec![address(1)],
        first_port: *ports.start(),
        last_port: *ports.end(),
        rules,
    };
    let both = |ports: core::ops::RangeInclusive<u16>, rules| Outbound::Pool {
        addresses: vec![address(1), address(2)],
        first_port: *ports.start(),
        last_port: *ports.end(),
        rules,
    };
    match to % 22 {
        0 => Outbound::Private,
        1 => Outbound::Default(address(9)),
        2 => Outbound::NatGateway(vec![address(1)]),
        3 => Outbound::NatGateway(vec![address(1), address(2)]),
        4 => Outbound::Pool {
            addresses: vec![address(2)],
            first_port: 2000,
            last_port: 2001,
            rules: PoolRules::AZURE,
        },
        5 => Outbound::Pool {
            addresses: vec![address(1)],
            first_port: 1024,
            last_port: 1027,
            rules: PoolRules::AZURE,
        },
        6 => Outbound::Pool {
            addresses: vec![address(3)],
            first_port: 65_535,
            last_port: 65_535,
            rules: PoolRules::AZURE,
        },
        8 => with(3000..=3001, PoolRules { notice: Notice::Prohibited, ..INDEPENDENT }),
        9 => with(
            1000..=1030,
            PoolRules {
                preserve_port: true,
                keep_parity: true,
                mid_stream: MidStream::Reset,
                timers: TimerProfile::Linux,
                ..PoolRules::AZURE
            },
        ),
        10 => with(
            1024..=1027,
            PoolRules {
                limits: Limits {
                    flows: 4,
                    ports: 0,
                    rate: Some(Rate { burst: 3, interval: Duration::from_secs(1) }),
                },
                notice: Notice::HostUnreachable,
                keep_port: true,
                timers: TimerProfile::Rfc,
                ..PoolRules::AZURE
            },
        ),
        11 => with(1022..=1027, PoolRules { preserve_port: true, ..INDEPENDENT }),
        // Who let anybody in, or anybody at a known address, and reach each other.
        12 => both(4000..=4007, OPEN),
        13 => both(4000..=4007, PoolRules { segment_size: Some(1200), ..OPEN }),
        14 => both(4000..=4007, PoolRules { filtering: Filtering::Address, ..OPEN }),
        15 => with(
            1000..=1010,
            PoolRules {
                filtering: Filtering::Address,
                preserve_port: true,
                unsolicited_syn: Some(Duration::from_secs(10)),
                other_protocols: true,
                ..OPEN
            },
        ),
        16 => {
            with(BLOCKS, PoolRules { blocks: PAIRS, segment_size: Some(536), ..PoolRules::AZURE })
        }
        17 => both(
            BLOCKS,
            PoolRules {
                blocks: PAIRS,
                limits: Limits { flows: 0, ports: 5, rate: None },
                notice: Notice::Prohibited,
                ..OPEN
            },
        ),
        18 => {
            let first = Ipv4Addr::new(10, u8::from(vnet == 3), subnet % 2, 4);
            both(
                5000..=5005,
                PoolRules {
                    blocks: Blocks::Deterministic { first, size: 3 },
                    hairpin: true,
                    ..PoolRules::AZURE
                },
            )
        }
        19 => both(
            1000..=1003,
            PoolRules {
                keep_port: true,
                limits: Limits { flows: 0, ports: 2, rate: None },
                unsolicited_syn: Some(Duration::from_secs(10)),
                other_protocols: true,
                ..PoolRules::AZURE
            },
        ),
        20 => both(1000..=1030, PoolRules { unsolicited_syn: None, ..PoolRules::RFC }),
        _ => Outbound::Pool {
            addresses: vec![address(1), address(2)],
            first_port: 1024,
            last_port: 1025,
            rules: PoolRules::AZURE,
        },
    }
}

/// Security groups, each with a last rule for all.
fn groups() -> [(&'static str, SecurityGroup); 3] {
    use Action::{Allow, Deny};
    use RuleDirection::{Inbound, Outbound};
    use RuleProtocol::{Any, Icmp, Tcp, Udp};
    let all = "0.0.0.0/0";
    let web = PortRange::single(443);
    let rules = [
        ("no-storage", vec![(Outbound, Deny, Tcp, all, "52.239.0.0/18", web)]),
        (
            "no-neighbour",
            vec![
                (Inbound, Deny, Any, "10.0.0.5/32", all, PortRange::ANY),
                (Outbound, Deny, Udp, all, all, PortRange::ANY),
            ],
        ),
        (
            "one-account",
            vec![
                (Outbound, Allow, Tcp, all, "52.239.0.9/32", web),
                (Outbound, Deny, Any, all, "52.0.0.0/8", PortRange::ANY),
                (Inbound, Deny, Icmp, all, all, PortRange::ANY),
                (Inbound, Deny, Tcp, "198.51.100.22/32", "10.0.0.0/8", PortRange::ANY),
            ],
        ),
    ];
    rules.map(|(name, mut rules)| {
        let rest = [Inbound, Outbound];
        rules.extend(rest.map(|direction| (direction, Allow, Any, all, all, PortRange::ANY)));
        let mut group = SecurityGroup::default();
        for (number, (direction, action, protocol, from, to, ports)) in (1..).zip(rules) {
            // The numbers and names are all different, so that none is refused.
            _ = group.add_rule(SecurityRule {
                name: format!("rule{number}"),
                priority: 100 * number,
                direction,
                action,
                protocol,
                sources: vec![Selector::Prefix(net4(from))],
                source_ports: vec![PortRange::ANY],
                destinations: vec![Selector::Prefix(net4(to))],
                destination_ports: vec![ports],
            });
        }
        (name, group)
    })
}

/// At most two blocks of two ports for each inside address.
const PAIRS: Blocks = Blocks::Dynamic { size: 2, most: 2 };

/// Anybody is let in, from inside too.
const OPEN: PoolRules =
    PoolRules { filtering: Filtering::Independent, hairpin: true, ..INDEPENDENT };

/// Rules of the load balancer.
pub(super) fn outbound_rule(with: u8) -> OutboundRule {
    let ports = [8, 16, 0, 32_000, 8][usize::from(with % 5)];
    OutboundRule { ports, resets: with % 3 != 1, idle: IdleMinutes::new(4 + with % 2) }
}

/// One port of a socket towards everybody.
const INDEPENDENT: PoolRules = PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE };

fn open() -> RuleSet {
    RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow)
}

pub(super) fn rules(world: &World, to: u8) -> RuleSet {
    let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    match to % 8 {
        0 | 1 => return open(),
        2 => {}
        3 => _ = rules.set_vnet_rule(world.subnets[0], RuleState::Succeeded),
        4 => _ = rules.add_ip_rule(IpRule::Address(Ipv4Addr::new(20, 1, 1, 1))),
        5 => _ = rules.set_vnet_rule(world.subnets[2], RuleState::Succeeded),
        6 => _ = rules.set_vnet_rule(world.subnets[1], RuleState::Provisioning),
        _ => _ = rules.add_ip_rule(IpRule::Address(Ipv4Addr::new(203, 0, 113, 50))),
    }
    rules
}

pub(super) fn net4(text: &str) -> Ipv4Net {
    text.parse().unwrap_or_default()
}
