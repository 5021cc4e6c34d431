//! The small world of the harness: networks with equal ranges, and narrow pools.

mod groups;
mod pools;
mod space;

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem::{
    Edge, EditError, EndpointPolicyId, LoadBalancerId, Network, NicId, PrivateEndpointId,
    ResourceId, SecurityGroupId, ServiceId, SiteId, SubnetId, VnetId,
    authz::{EndpointPolicy, PolicyDefinition, PolicyService},
    control::{NextHop, Outbound, Placement, PrivateEndpointState, Scope},
    nat::{Blocks, PoolRules},
};

pub(crate) use groups::{FIRST_OF_TAGS, GROUPS, rules, said, security_group};
pub(crate) use pools::{BLOCKS, outbound, outbound_rule, peering};
pub(crate) use space::is_inside;

use groups::{open, shut};
use pools::widened;
use space::Space;

/// The numbers of what [`build`] makes. Alpha and beta have the same ranges and the same subnets.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) vnets: [VnetId; 3],
    /// Alpha's web and db, beta's web and db, gamma's app.
    pub(crate) subnets: [SubnetId; 5],
    /// In alpha: a host in web, an appliance in db, and beside it a member of the load balancer's
    /// pool.
    pub(crate) nics: [NicId; 3],
    pub(crate) balancer: LoadBalancerId,
    pub(crate) site: SiteId,
    pub(crate) services: [ServiceId; 2],
    pub(crate) resources: [ResourceId; 2],
    /// The resource that the private endpoints lead to.
    pub(crate) vault: ResourceId,
    /// In alpha's db and web.
    pub(crate) private: [PrivateEndpointId; 2],
    pub(crate) groups: [SecurityGroupId; GROUPS.len()],
    pub(crate) policies: [EndpointPolicyId; 2],
    pub(crate) beginning: &'static Beginning,
    /// The ranges of its networks and the site.
    pub(crate) space: Space,
    /// Whether pools are wide enough for all shards.
    pub(crate) wide: bool,
}

/// A sender: an edge, and an address that belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostAt(pub(crate) Edge, pub(crate) Ipv4Addr);

/// The first configuration of a world, and who sends in it.
#[derive(Debug)]
pub(crate) struct Beginning {
    space: Space,
    /// Outbound methods of subnets, as subnet and method.
    methods: &'static [(u8, u8)],
    /// Subnets, and the groups that guard them.
    guards: &'static [(u8, u8)],
    /// Subnets with an endpoint of storage, and its policy.
    policies: &'static [(u8, u8)],
    /// The outbound rule of the load balancer, and the peering of the site's circuit.
    rule: u8,
    peering: u8,
    /// Whether the internet may call a host in web, which sends some replies by the appliance.
    called: bool,
    /// Whether alpha and gamma are peered, and gamma's route to alpha's db leads nowhere.
    peered: bool,
    /// Whether private sources reach storage from its own region.
    same_region: bool,
    /// The hosts that send most of the time.
    pub(crate) from: [usize; 3],
    /// The destinations that they call most of the time.
    pub(crate) towards: [usize; 4],
    /// From this number on they call hosts that others made known.
    pub(crate) known: u8,
    /// From this number on they begin in the middle of a connection.
    pub(crate) middle: u8,
}

const PLAIN: Beginning = Beginning {
    space: space::PRIVATE_RANGES,
    methods: &[],
    guards: &[(4, 2)],
    policies: &[],
    rule: 0,
    peering: 0,
    called: false,
    peered: false,
    same_region: false,
    from: [0, 1, 2],
    towards: [0, 1, 2, 3],
    known: 160,
    middle: 230,
};

pub(crate) const BEGINNINGS: [Beginning; 7] = [
    // Two behind gateways, and one behind a pool with an open filter.
    Beginning { methods: &[(0, 2), (2, 2), (4, 12)], ..PLAIN },
    // Hosts that share a pool and reach each other by its addresses.
    Beginning {
        space: space::PUBLIC_RANGES,
        methods: &[(0, 13), (1, 13), (2, 12), (4, 14)],
        policies: &[(0, 0)],
        from: [0, 3, 14],
        known: 96,
        ..PLAIN
    },
    Beginning {
        space: space::MEASURING,
        methods: &[(0, 16), (1, 17), (2, 16), (4, 16)],
        guards: &[(4, 2), (1, 3)],
        same_region: true,
        // The internet calls two pools, in which SYNs wait for different times.
        from: [0, 1, 8],
        towards: [0, 11, 24, 2],
        ..PLAIN
    },
    // Interfaces leave by their own address, and by the load balancer.
    Beginning {
        space: space::PUBLIC_RANGES,
        methods: &[(0, 1), (1, 1), (2, 15), (4, 20)],
        policies: &[(0, 1), (2, 0)],
        rule: 2,
        from: [1, 13, 16],
        called: true,
        ..PLAIN
    },
    Beginning {
        methods: &[(0, 8), (1, 10), (2, 19), (4, 18)],
        guards: &[(0, 3), (4, 4)],
        from: [0, 1, 6],
        ..PLAIN
    },
    // Connections are picked up in the middle, and private endpoints are called.
    Beginning {
        space: space::AROUND_TEST_NET,
        methods: &[(0, 22), (1, 2), (2, 23), (4, 23)],
        guards: &[(0, 5), (4, 2)],
        peering: 1,
        from: [0, 7, 2],
        towards: [0, 21, 2, 22],
        middle: 150,
        ..PLAIN
    },
    // A member of the load balancer, the site, and a host with blocks of single ports.
    Beginning {
        space: space::PUBLIC_AROUND,
        methods: &[(0, 1), (2, 21), (4, 21)],
        guards: &[(0, 4)],
        policies: &[(1, 0)],
        peering: 3,
        peered: true,
        from: [13, 7, 6],
        towards: [0, 2, 21, 1],
        ..PLAIN
    },
];

pub(crate) fn build(
    beginning: &'static Beginning,
    wide: bool,
) -> Result<(Network, World), EditError> {
    let space = match wide {
        true => beginning.space.with_private_neighbours(),
        false => beginning.space,
    };
    let at = |text| space.prefix(net4(text));
    let mut net = Network::new();
    let storage = net.add_service("storage", &[net4("52.239.0.0/18"), net4("52.239.128.0/24")])?;
    let sql = net.add_service("sql", &[net4("52.239.64.0/18")])?;
    let regions =
        [("52.239.0.0/20", "east"), ("52.239.16.0/20", "west")].map(|(p, r)| (net4(p), r.into()));
    net.set_service_regions(storage, regions)?;
    net.set_takes_policies(storage, true)?;
    net.set_takes_policies(sql, true)?;
    let alpha = net.add_vnet("alpha", &[at("10.0.0.0/16")])?;
    net.place_vnet(alpha, Placement { region: "east".into(), ..Placement::default() })?;
    let beta = net.add_vnet("beta", &[at("10.0.0.0/16")])?;
    net.place_vnet(beta, Placement { region: "east".into(), ..Placement::default() })?;
    let gamma = net.add_vnet("gamma", &[at("10.1.0.0/16")])?;
    let subnets = [
        net.add_subnet(alpha, "web", at("10.0.0.0/24"))?,
        net.add_subnet(alpha, "db", at("10.0.1.0/24"))?,
        net.add_subnet(beta, "web", at("10.0.0.0/24"))?,
        net.add_subnet(beta, "db", at("10.0.1.0/24"))?,
        net.add_subnet(gamma, "app", at("10.1.0.0/24"))?,
    ];
    let nics = [
        net.add_nic(subnets[0], "vm", space.address(Ipv4Addr::new(10, 0, 0, 4)))?,
        net.add_nic(subnets[1], "fw", space.address(Ipv4Addr::new(10, 0, 1, 4)))?,
        net.add_nic(subnets[1], "member", space.address(Ipv4Addr::new(10, 0, 1, 6)))?,
    ];
    net.set_ip_forwarding(nics[1], true)?;
    net.set_public_address(nics[1], Some(INSTANCES[0]))?;
    let balancer = net.add_load_balancer(alpha, "lb", &FRONTENDS)?;
    net.set_outbound_rule(balancer, outbound_rule(beginning.rule))?;
    net.add_member(balancer, nics[2])?;
    let site = net.add_site("office", &[at("192.168.1.0/24"), at("10.0.7.0/24")], &OFFICE)?;
    net.connect(alpha, site, &[at("192.168.1.0/24")])?;
    net.set_peering(site, peering(beginning.peering))?;
    let resources = [
        net.add_resource(storage, "acct", Ipv4Addr::new(52, 239, 0, 9), open())?,
        net.add_resource(sql, "server", Ipv4Addr::new(52, 239, 64, 9), open())?,
    ];
    let vault = net.add_resource(storage, "vault", Ipv4Addr::new(52, 239, 0, 77), shut())?;
    let mut private = Vec::new();
    for (subnet, address) in subnets.into_iter().take(2).rev().zip(PRIVATE) {
        let address = space.address(address);
        let id = net.add_private_endpoint(subnet, &address.to_string(), address, vault)?;
        net.set_private_endpoint_state(id, PrivateEndpointState::Approved)?;
        private.push(id);
    }
    net.set_tag("Partner", &[net4("198.51.100.0/27")])?;
    let vnets = [alpha, beta, gamma];
    let services = [storage, sql];
    // One policy names nothing. The other names both accounts by the levels above them, and the
    // second of these is a classic one (P-06).
    for (resource, provider) in resources.into_iter().zip(["Storage", "ClassicStorage"]) {
        let path = format!("{GROUP}/providers/Microsoft.{provider}/storageAccounts/st{resource}");
        net.set_resource_path(resource, &path)?;
    }
    let policies = [None, GROUP.parse().ok()].map(|group| {
        let name = format!("policy{}", u8::from(group.is_some()));
        let named = PolicyDefinition::new(PolicyService::Storage, group.into_iter().collect());
        let definitions = named.into_iter().collect();
        net.add_endpoint_policy("7", EndpointPolicy { name, region: "east".into(), definitions })
    });
    let [nothing, accounts] = policies;
    let policies = [nothing?, accounts?];
    let mut groups = Vec::new();
    for (number, name) in (0..).zip(GROUPS) {
        groups.push(net.add_security_group(name, security_group(number))?);
    }
    let unfinished = || EditError::Limit { what: "things of the world", limit: 0 };
    let world = World {
        vnets,
        subnets,
        nics,
        balancer,
        site,
        services,
        resources,
        vault,
        private: private.try_into().map_err(|_| unfinished())?,
        groups: groups.try_into().map_err(|_| unfinished())?,
        policies,
        beginning,
        space,
        wide,
    };
    begin(&mut net, &world)?;
    Ok((net, world))
}

/// Makes what differs between worlds.
fn begin(net: &mut Network, world: &World) -> Result<(), EditError> {
    let subnet = |at: u8| world.subnets[usize::from(at)];
    for &(at, to) in world.beginning.methods {
        net.set_outbound(subnet(at), world.outbound(at, to))?;
    }
    for &(at, group) in world.beginning.guards {
        net.guard_subnet(subnet(at), Some(world.groups[usize::from(group)]))?;
    }
    if world.beginning.called {
        net.set_public_address(world.nics[0], Some(INSTANCES[1]))?;
        let hop = NextHop::VirtualAppliance(world.space.address(Ipv4Addr::new(10, 0, 1, 4)));
        net.set_route(subnet(0), net4("198.51.100.22/32"), hop)?;
    }
    if world.beginning.same_region {
        net.set_same_region_path(world.services[0], true)?;
    }
    if world.beginning.peered {
        net.peer(world.vnets[0], world.vnets[2])?;
        let there = world.space.prefix(net4("10.0.1.0/24"));
        net.set_route(subnet(4), there, NextHop::None)?;
    }
    for &(at, policy) in world.beginning.policies {
        net.enable_endpoint(subnet(at), world.services[0], Scope::Worldwide)?;
        net.attach_policy(subnet(at), world.services[0], world.policies[usize::from(policy)])?;
    }
    Ok(())
}

impl World {
    /// Returns the outbound methods of a subnet.
    pub(crate) fn outbound(&self, subnet: u8, to: u8) -> Outbound {
        let mut outbound = outbound(subnet, to);
        if let Outbound::Pool { rules: PoolRules { blocks, .. }, .. } = &mut outbound
            && let Blocks::Deterministic { first, .. } = blocks
        {
            *first = self.space.address(*first);
        }
        if self.wide { widened(outbound, subnet, to) } else { outbound }
    }

    /// Returns the network of an edge, by its index.
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

/// The resource group of the accounts.
const GROUP: &str = "/subscriptions/7/resourceGroups/Lab";

/// The public address of the site.
const OFFICE: [Ipv4Addr; 1] = [Ipv4Addr::new(203, 0, 113, 50)];

/// The addresses of the private endpoints.
pub(crate) const PRIVATE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 1, 9), Ipv4Addr::new(10, 0, 0, 9)];

/// The public addresses of the load balancer.
pub(crate) const FRONTENDS: [Ipv4Addr; 2] =
    [Ipv4Addr::new(20, 1, 1, 40), Ipv4Addr::new(20, 1, 1, 41)];

/// Public addresses of interfaces.
pub(crate) const INSTANCES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(20, 1, 1, 50), Ipv4Addr::new(20, 1, 1, 51)];

/// Public addresses that the internet calls: of interfaces, and of pools.
pub(crate) const CALLED: [Ipv4Addr; 6] = {
    let [one, two] = INSTANCES;
    [one, two, Ipv4Addr::new(20, 1, 1, 1), one, two, Ipv4Addr::new(20, 3, 1, 1)]
};

/// Hosts that open flows. Some are an appliance that forwards for others, and others that public
/// addresses may reach.
pub(crate) fn hosts(world: &World) -> [HostAt; 26] {
    let at = |edge, octets: [u8; 4]| HostAt(edge, world.space.address(octets.into()));
    let [web, db, beta_web, beta_db, app] = world.subnets.map(Edge::Subnet);
    let [vm, fw, member] = world.nics.map(Edge::Nic);
    let site = Edge::Site(world.site);
    [
        at(web, [10, 0, 0, 5]),
        at(vm, [10, 0, 0, 4]),
        at(beta_web, [10, 0, 0, 5]),
        at(db, [10, 0, 1, 5]),
        at(fw, [10, 0, 1, 4]),
        at(beta_db, [10, 0, 1, 5]),
        at(app, [10, 1, 0, 4]),
        at(site, [192, 168, 1, 10]),
        at(Edge::Internet, [198, 51, 100, 20]),
        at(web, [10, 0, 0, 4]),
        at(fw, [10, 0, 0, 5]),
        at(fw, [10, 0, 0, 4]),
        at(fw, [127, 0, 0, 1]),
        at(member, [10, 0, 1, 6]),
        at(Edge::Internet, [198, 51, 100, 20]),
        at(app, [10, 1, 0, 5]),
        at(Edge::Internet, [198, 51, 100, 22]),
        at(web, [10, 0, 0, 3]),
        at(Edge::Platform(world.subnets[0]), [168, 63, 129, 16]),
        at(site, [192, 168, 1, 11]),
        // Hosts with an internal address, behind an appliance, or with the address of a service.
        at(Edge::Internet, [10, 0, 0, 77]),
        at(Edge::Internet, [10, 1, 0, 4]),
        at(Edge::Internet, [192, 168, 1, 10]),
        at(fw, [198, 51, 100, 20]),
        at(Edge::Internet, [52, 239, 16, 7]),
        at(site, [10, 0, 7, 7]),
    ]
}

/// Addresses to which hosts open flows.
pub(crate) const DESTINATIONS: [[u8; 4]; 25] = [
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
    [10, 0, 1, 255],
    PRIVATE[0].octets(),
    PRIVATE[1].octets(),
    [169, 254, 169, 254],
    [20, 3, 1, 1],
];

pub(super) fn net4(text: &str) -> Ipv4Net {
    text.parse().unwrap_or_default()
}
