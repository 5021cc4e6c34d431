//! A snapshot that commits have changed step by step equals one that is compiled from nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::sync::{Arc, OnceLock};

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::prelude::*;
use vnetem_authz::{
    Action, DefaultAction, EndpointPolicy, Firewall, PolicyDefinition, PolicyService, PortRange,
    RuleDirection, RuleLimits, RuleProtocol, RuleSet, RuleState, SecurityGroup, SecurityRule,
};
use vnetem_nat::{Generation, PoolRules};

use super::{
    Dirty, NetworkPolicies, Outbound, OutboundRule, Placement, PrivateEndpointState, Scope,
    TagLevel, VnetEndpointPolicy,
};
use crate::edge::MAX_SERVICES;
use crate::{
    Edge, EditError, EndpointPolicyId, Network, NextHop, ServiceId, Snapshot, SubnetId, VnetId,
};

/// One edit: its kind, and what it is done to, by small numbers.
type Edit = (u8, usize, usize, bool);

const KINDS: u8 = 40;
const STORAGE: ServiceId = ServiceId(0);
const SQL: ServiceId = ServiceId(1);

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn world() -> (Network, EndpointPolicyId) {
    let mut network = Network::new();
    network.add_service("storage", &[net("52.0.0.0/16")]).unwrap();
    network.add_service("sql", &[net("53.0.0.0/16")]).unwrap();
    network.set_takes_policies(STORAGE, true).unwrap();
    network.set_tag("Partner", &[net("9.9.9.0/24")]).unwrap();
    let ids = vec!["/subscriptions/7".parse().unwrap()];
    let definitions = vec![PolicyDefinition::new(PolicyService::Storage, ids).unwrap()];
    let policy = EndpointPolicy { name: "p".into(), region: String::new(), definitions };
    let policy = network.add_endpoint_policy("7", policy).unwrap();
    for at in 0..3 {
        edit(&mut network, policy, (0, at, 0, true)).unwrap();
        for subnet in 0..2 {
            edit(&mut network, policy, (2, at, subnet, true)).unwrap();
        }
    }
    (network, policy)
}

/// Does an edit to what there is, or has it refused.
fn edit(
    network: &mut Network,
    policy: EndpointPolicyId,
    (kind, a, b, on): Edit,
) -> Result<(), EditError> {
    fn pick<T>(all: impl Iterator<Item = T>, at: usize) -> Result<T, EditError> {
        let mut all: Vec<T> = all.collect();
        let none = EditError::Unknown { kind: "thing", name: String::new() };
        if all.is_empty() { Err(none) } else { Ok(all.swap_remove(at % all.len())) }
    }
    let small = |number: usize| u8::try_from(number % 6).unwrap();
    let vnet = |network: &Network, at| pick(network.vnets().map(|(id, _)| id), at);
    let subnet = |network: &Network, at| pick(network.subnets().map(|(id, _)| id), at);
    let nic = |network: &Network, at| pick(network.nics().map(|(id, _)| id), at);
    let site = |network: &Network, at| pick(network.sites().map(|(id, _)| id), at);
    let resource = |network: &Network, at| pick(network.resources().map(|(id, _)| id), at);
    let balancer = |network: &Network, at| pick(network.load_balancers().map(|(id, _)| id), at);
    let private = |network: &Network, at| pick(network.private_endpoints().map(|(id, _)| id), at);
    let group = |network: &Network, at| pick(network.security.groups().into_iter(), at);
    let host = |network: &Network, at, last: usize| {
        let id = subnet(network, at)?;
        let first = network.subnet(id)?.prefix.network().to_bits();
        Ok::<_, EditError>((id, Ipv4Addr::from_bits(first + 4 + u32::from(small(last)))))
    };
    let service = if on { STORAGE } else { SQL };
    match kind {
        0 => {
            let range = Ipv4Net::new_assert(Ipv4Addr::new(10, small(a), 0, 0), 16);
            network.add_vnet(&format!("vnet-{}", small(a)), &[range]).map(drop)
        }
        1 => {
            let id = vnet(network, a)?;
            let subnets: Vec<SubnetId> = network.subnets_in(id).map(|(id, _)| id).collect();
            subnets.into_iter().try_for_each(|subnet| network.remove_subnet(subnet))?;
            network.remove_vnet(id)
        }
        2 => {
            let id = vnet(network, a)?;
            let [_, second, ..] = network.vnet(id)?.ranges[0].network().octets();
            let prefix = Ipv4Net::new_assert(Ipv4Addr::new(10, second, small(b), 0), 24);
            network.add_subnet(id, &format!("subnet-{}", small(b)), prefix).map(drop)
        }
        3 => network.remove_subnet(subnet(network, a)?),
        4 if on => network.peer(vnet(network, a)?, vnet(network, b)?),
        4 => network.unpeer(vnet(network, a)?, vnet(network, b)?),
        5 | 6 => {
            let (id, address) = host(network, a, b)?;
            network.add_nic(id, &format!("nic-{}", a + b), address).map(drop)
        }
        7 => network.remove_nic(nic(network, a)?),
        8 => network.set_ip_forwarding(nic(network, a)?, on),
        9 => {
            let address = on.then(|| Ipv4Addr::new(20, 0, 0, small(b)));
            network.set_public_address(nic(network, a)?, address)
        }
        10 | 11 => {
            let id = subnet(network, a)?;
            let [VnetId(of)] = [network.subnet(id)?.vnet];
            let of = u8::try_from(of % 200).unwrap();
            let address = Ipv4Addr::new(20, 1, of, small(b) % 2);
            let rules = |segment_size| PoolRules { segment_size, ..PoolRules::AZURE };
            let outbound = match (b % 4, on) {
                (0, _) => Outbound::Private,
                (1, _) => Outbound::Default(address),
                (2, _) => Outbound::NatGateway(vec![address, Ipv4Addr::new(20, 1, of, 9)]),
                (_, clamps) => Outbound::Pool {
                    addresses: vec![address],
                    first_port: 1024,
                    last_port: 2047,
                    rules: rules(clamps.then_some(1400)),
                },
            };
            network.set_outbound(id, outbound)
        }
        12 if on => {
            let range = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, small(a), 0), 24);
            let nat = Ipv4Addr::new(20, 2, 0, small(a));
            network.add_site(&format!("site-{}", small(a)), &[range], &[nat]).map(drop)
        }
        12 => network.remove_site(site(network, a)?),
        13 => {
            let announced = [net("9.9.0.0/16"), net("52.0.7.0/24")];
            network.connect(vnet(network, a)?, site(network, b)?, &announced[..b % 3])
        }
        14 if on => network.connect_express_route(vnet(network, a)?, site(network, b)?, &[]),
        14 => network.disconnect(vnet(network, a)?, site(network, b)?),
        15 | 16 => {
            let id = subnet(network, a)?;
            let prefix = net(["0.0.0.0/0", "52.0.0.0/16", "9.0.0.0/8"][b % 3]);
            let hop = match site(network, b) {
                Ok(site) if b % 2 == 0 => NextHop::VirtualNetworkGateway(site),
                _ => NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 0, 4)),
            };
            if on { network.set_route(id, prefix, hop) } else { network.remove_route(id, prefix) }
        }
        17 => network.set_bgp_propagation(subnet(network, a)?, on),
        18 => {
            let id = subnet(network, a)?;
            let prefixes = [net("9.1.0.0/16")];
            match on {
                true => network.set_tag_route(id, "Tag", TagLevel::Cloud, &prefixes, NextHop::None),
                false => network.remove_tag_route(id, "Tag"),
            }
        }
        19 | 20 => {
            let id = subnet(network, a)?;
            let regions = ["north".to_owned()].into_iter().collect();
            match b % 3 {
                0 => network.disable_endpoint(id, service),
                1 => network.enable_endpoint(id, service, Scope::Worldwide),
                _ => network.enable_endpoint(id, service, Scope::Regions(regions)),
            }
        }
        21 => {
            let (first, other) = match service {
                STORAGE => ("52.0.0.0/16", "52.1.0.0/16"),
                _ => ("53.0.0.0/16", "53.1.0.0/16"),
            };
            let prefixes = [net(first), net(other)];
            network.set_service_prefixes(service, &prefixes[..1 + b % 2])
        }
        22 => {
            let all = [("52.0.4.0/24", "north"), ("52.0.5.0/24", "south")];
            let regions = all[..a % 3].iter().map(|(prefix, name)| (net(prefix), (*name).into()));
            network.set_service_regions(service, regions)
        }
        23 if on => {
            let rules = Firewall::Storage(RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny));
            let address = Ipv4Addr::new(52, 0, 4, small(b));
            network.add_resource(STORAGE, &format!("resource-{}", small(a)), address, rules)?;
            Ok(())
        }
        23 => network.remove_resource(resource(network, a)?),
        24 => {
            let (id, subnet) = (resource(network, a)?, subnet(network, b)?);
            let mut firewall = network.resource(id)?.rules.clone();
            let rules = firewall.rule_set_mut().unwrap();
            match on {
                true => _ = rules.set_vnet_rule(subnet, RuleState::Succeeded),
                false => _ = rules.remove_vnet_rule(subnet),
            }
            network.set_rules(id, firewall)
        }
        25 => {
            let address = on.then(|| Ipv4Addr::new(52, 0, 5, small(b)));
            network.set_secondary(resource(network, a)?, address)
        }
        26 if on => {
            let frontend = Ipv4Addr::new(20, 3, 0, small(b));
            let name = format!("balancer-{}", small(b));
            network.add_load_balancer(vnet(network, a)?, &name, &[frontend]).map(drop)
        }
        26 => network.remove_load_balancer(balancer(network, a)?),
        27 if on => network.add_member(balancer(network, a)?, nic(network, b)?),
        27 => network.remove_member(balancer(network, a)?, nic(network, b)?),
        28 => {
            let rule = OutboundRule { ports: 64, resets: on, idle: None };
            network.set_outbound_rule(balancer(network, a)?, rule)
        }
        29 => {
            let frontends = [20, 21, 22].map(|last| Ipv4Addr::new(20, 3, small(a), last));
            network.set_frontends(balancer(network, a)?, &frontends[..1 + b % 3])
        }
        30 if on => {
            let (id, address) = host(network, a, b)?;
            let name = format!("private-{}", a + b);
            network.add_private_endpoint(id, &name, address, resource(network, b)?).map(drop)
        }
        30 => network.remove_private_endpoint(private(network, a)?),
        31 => {
            match (b % 3, on) {
                (0, _) => {
                    let state = PrivateEndpointState::Approved;
                    network.set_private_endpoint_state(private(network, a)?, state)
                }
                (1, on) => {
                    let policies = NetworkPolicies { routes: on, security_groups: !on };
                    network.set_network_policies(subnet(network, a)?, policies)
                }
                (_, true) => network
                    .set_private_endpoint_policy(vnet(network, a)?, VnetEndpointPolicy::Basic),
                (_, false) => network
                    .set_private_endpoint_policy(vnet(network, a)?, VnetEndpointPolicy::Disabled),
            }
        }
        32 => match (b % 5, on) {
            (0, true) => {
                network.add_security_group(&format!("group-{}", small(a)), rules(b)).map(drop)
            }
            (0, false) => network.remove_security_group(group(network, a)?),
            (1, _) => network.set_security_rules(group(network, a)?, rules(a)),
            (2, _) => network.set_tag("Partner", &[net("8.8.8.0/24"), net("9.9.9.0/24")][..1]),
            (3, on) => {
                let group = if on { Some(group(network, b)?) } else { None };
                network.guard_nic(nic(network, a)?, group)
            }
            (_, on) => {
                let group = if on { Some(group(network, b)?) } else { None };
                network.guard_subnet(subnet(network, a)?, group)
            }
        },
        33 if on => network.attach_policy(subnet(network, a)?, STORAGE, policy),
        33 => network.detach_policy(subnet(network, a)?, STORAGE, policy),
        34 => {
            let region = ["", "north", "south"][b % 3].into();
            let placement = Placement { region, ..Placement::default() };
            network.place_vnet(vnet(network, a)?, placement)
        }
        35 if on => network.hold_back(subnet(network, a)?, service, None, 7),
        35 => network.reach(subnet(network, a)?, service, small(b) * 3),
        36 if b % 3 == 0 => network.set_reserved_ranges(&[net("10.0.0.0/8")]),
        36 if on => network.deallocate(nic(network, a)?),
        36 => network.start(nic(network, a)?),
        37 => network.guard_nic(nic(network, a)?, Some(group(network, b)?)),
        38 => network.guard_subnet(subnet(network, a)?, Some(group(network, b)?)),
        39 => network.add_security_group(&format!("group-{}", small(a)), rules(0)).map(drop),
        _ => Ok(()),
    }
}

fn rules(at: usize) -> SecurityGroup {
    let mut group = SecurityGroup::default();
    let named = ["VirtualNetwork", "storage", "Partner"][at % 3].parse().unwrap();
    let rule = SecurityRule {
        name: "first".into(),
        priority: 100,
        direction: RuleDirection::Outbound,
        action: Action::Deny,
        protocol: RuleProtocol::Any,
        sources: vec!["*".parse().unwrap()],
        source_ports: vec![PortRange::ANY],
        destinations: vec![named],
        destination_ports: vec![PortRange::ANY],
    };
    group.add_rule(rule).unwrap();
    group
}

/// Compiles everything, as if nothing had been committed before.
fn from_nothing(network: &Network) -> Snapshot {
    let mut whole = network.clone();
    whole.compiled = Arc::default();
    whole.index.meanings = OnceLock::new();
    let places = whole.subnets.keys().map(|id| id.0).chain(whole.sites.keys().map(|id| id.0));
    whole.dirty = Dirty {
        vnets: whole.vnets.keys().copied().map(|key| (key, ())).collect(),
        nics: whole.nics.keys().copied().map(|key| (key, ())).collect(),
        private: whole.private_endpoints().map(|(key, _)| (key, ())).collect(),
        places: places.map(|key| (key, ())).collect(),
        public: whole.public.keys().copied().map(|key| (key, ())).collect(),
        services: whole.services().map(|(key, _)| (key, ())).collect(),
        regions: true,
        resources: whole.resources.keys().copied().map(|key| (key, ())).collect(),
        policed: whole.policies.endpoints().map(|key| (key, ())).collect(),
        security: whole.security.groups().into_iter().map(|key| (key, ())).collect(),
        ..Dirty::default()
    };
    whole.compile(Generation(1))
}

fn assert_same(stepwise: &Snapshot, whole: &Snapshot) -> Result<(), TestCaseError> {
    macro_rules! same {
        ($($field:ident).+) => { prop_assert_eq!(&stepwise.$($field).+, &whole.$($field).+) };
    }
    same!(vnets);
    same!(places);
    same!(nics);
    same!(hosts);
    same!(private);
    same!(services.names);
    same!(services.prefixes);
    same!(services.regions);
    same!(services.region_names);
    same!(services.same_region);
    same!(resources.by_id);
    same!(resources.by_address);
    same!(guards);
    same!(policies);
    same!(public);
    same!(public_bounds);
    same!(clamps);
    same!(tenants);
    same!(vnet_by_subnet);
    let services = (0..)
        .take(MAX_SERVICES)
        .map(|number| Edge::Service { service: ServiceId(number), identity: None });
    let subnets = (0..200).map(|number| Edge::Subnet(SubnetId(number)));
    for edge in services.chain(subnets).chain([Edge::Internet]) {
        prop_assert_eq!(
            stepwise.ingress_table.at(edge.into()),
            whole.ingress_table.at(edge.into())
        );
    }
    Ok(())
}

/// The routes and answers that people and front ends ask for.
fn assert_observed(stepwise: &Snapshot, whole: &Snapshot) -> Result<(), TestCaseError> {
    for (number, _) in stepwise.places.iter() {
        let subnet = SubnetId(number);
        prop_assert_eq!(stepwise.effective_routes(subnet), whole.effective_routes(subnet));
        for last in [4, 200] {
            for first in [[10, 0, 0], [52, 0, 4], [53, 1, 0], [9, 9, 9], [20, 0, 0]] {
                let to = Ipv4Addr::new(first[0], first[1], first[2], last);
                prop_assert_eq!(stepwise.next_hop(subnet, to), whole.next_hop(subnet, to));
                prop_assert_eq!(stepwise.resources_at(to), whole.resources_at(to));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// INV-accepted-edit-in-force: whatever is edited and removed, and whenever it is committed,
    /// the snapshot is the one that the whole network compiles to.
    #[test]
    fn stepwise_snapshot_equals_a_whole_one(
        edits in prop::collection::vec(
            ((0..KINDS), 0..12_usize, 0..12_usize, any::<bool>()),
            1..120,
        ),
        seldom in 1..8_usize,
    ) {
        let (mut network, policy) = world();
        for (number, asked) in edits.into_iter().enumerate() {
            // By an edit of many, what was refused is as it was.
            if number % 3 == 0 {
                drop(network.edit(|network| edit(network, policy, asked)));
            } else {
                drop(edit(&mut network, policy, asked));
            }
            if number % seldom == 0 {
                let snapshot = network.commit();
                if number % 4 == 0 {
                    assert_same(&snapshot, &from_nothing(&network))?;
                }
            }
        }
        let (snapshot, whole) = (network.commit(), from_nothing(&network));
        assert_same(&snapshot, &whole)?;
        assert_observed(&snapshot, &whole)?;
    }
}

/// Most edits of the property are done, so that it sees what they do.
#[test]
fn edits_of_the_property_are_done() {
    let mut done = [0_u32; KINDS as usize];
    let (mut network, policy) = world();
    for round in 0..4000_usize {
        let kind = u8::try_from(round % usize::from(KINDS)).unwrap();
        let seed = round.wrapping_mul(0x9E37_79B9) >> 7;
        let asked = (kind, seed % 12, seed / 12 % 12, seed / 144 % 3 != 0);
        done[usize::from(kind)] += u32::from(edit(&mut network, policy, asked).is_ok());
    }
    let never: Vec<_> = (0..KINDS).filter(|kind| done[usize::from(*kind)] == 0).collect();
    assert!(never.is_empty(), "{never:?} of {done:?}");
}
