//! A snapshot that is compiled from what an edit concerns says the same as one that is compiled
//! from everything.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use vnetem::{
    DataPlane, Edge, EndpointPolicyId, Network, NicId, ResourceId, SecurityGroupId, ServiceId,
    Settings, SiteId, SubnetId, Time, VnetId,
    authz::{
        Action, DefaultAction, EndpointPolicy, Firewall, PolicyDefinition, PolicyService,
        PortRange, RuleDirection, RuleLimits, RuleProtocol, RuleSet, RuleState, SecurityGroup,
        SecurityRule,
    },
    control::{NextHop, Outbound, Scope},
};

use crate::packets::{end, net, segment};

/// One edit of peerings, rules or routes, by small numbers.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Rules { group: usize, selector: usize, deny: bool, inbound: bool },
    GuardSubnet { subnet: usize, group: Option<usize> },
    GuardNic { group: Option<usize> },
    Tag(usize),
    Prefixes(usize),
    Peer(bool),
    Connect(usize),
    Route { subnet: usize, prefix: usize, on: bool },
    Policy { subnet: usize, on: bool },
    Endpoint { subnet: usize, on: bool },
    Rule { subnet: usize, on: bool },
    Path(usize),
}

struct World {
    network: Network,
    vnets: [VnetId; 2],
    subnets: [SubnetId; 3],
    nic: NicId,
    site: SiteId,
    storage: ServiceId,
    groups: [SecurityGroupId; 2],
    resource: ResourceId,
    policy: EndpointPolicyId,
}

const SELECTORS: [&str; 7] =
    ["*", "VirtualNetwork", "Internet", "storage", "Partner", "10.0.1.0/24", "52.239.1.9"];
const PREFIXES: [&str; 3] = ["52.239.0.0/16", "52.240.0.0/16", "52.239.0.0/17"];
const ROUTES: [&str; 3] = ["0.0.0.0/0", "52.239.1.0/24", "9.0.0.0/8"];
const PATHS: [&str; 2] = ["/subscriptions/7", "/subscriptions/8"];

fn world() -> World {
    let mut network = Network::new();
    let storage = network.add_service("storage", &[net(PREFIXES[0])]).unwrap();
    network.set_takes_policies(storage, true).unwrap();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let beta = network.add_vnet("beta", &[net("10.1.0.0/16")]).unwrap();
    let subnets =
        [(alpha, "web", "10.0.0.0/24"), (alpha, "db", "10.0.1.0/24"), (beta, "app", "10.1.0.0/24")]
            .map(|(vnet, name, prefix)| network.add_subnet(vnet, name, net(prefix)).unwrap());
    for (subnet, last) in subnets.into_iter().zip(1..) {
        let outbound = Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, last)]);
        network.set_outbound(subnet, outbound).unwrap();
        network.enable_endpoint(subnet, storage, Scope::Worldwide).unwrap();
    }
    let nic = network.add_nic(subnets[0], "vm", Ipv4Addr::new(10, 0, 0, 4)).unwrap();
    let site = network.add_site("office", &[net("192.168.1.0/24")], &[]).unwrap();
    network.set_tag("Partner", &[net("9.9.9.0/24")]).unwrap();
    let groups = ["one", "two"]
        .map(|name| network.add_security_group(name, SecurityGroup::default()).unwrap());
    let rules = Firewall::Storage(RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny));
    let address = Ipv4Addr::new(52, 239, 1, 9);
    let resource = network.add_resource(storage, "acct", address, rules).unwrap();
    let ids = vec![PATHS[0].parse().unwrap()];
    let definitions = vec![PolicyDefinition::new(PolicyService::Storage, ids).unwrap()];
    let policy = EndpointPolicy { name: "p".into(), region: String::new(), definitions };
    let policy = network.add_endpoint_policy("7", policy).unwrap();
    let vnets = [alpha, beta];
    World { network, vnets, subnets, nic, site, storage, groups, resource, policy }
}

impl World {
    /// Does an edit; one that is refused changes nothing.
    fn edit(&mut self, edit: Edit) {
        let subnet = |at: usize| self.subnets[at % 3];
        let (storage, net_) = (self.storage, &mut self.network);
        let done = match edit {
            Edit::Rules { group, selector, deny, inbound } => {
                net_.set_security_rules(self.groups[group % 2], rules(selector, deny, inbound))
            }
            Edit::GuardSubnet { subnet: at, group } => {
                net_.guard_subnet(subnet(at), group.map(|at| self.groups[at % 2]))
            }
            Edit::GuardNic { group } => {
                net_.guard_nic(self.nic, group.map(|at| self.groups[at % 2]))
            }
            Edit::Tag(at) => net_.set_tag("partner", &[net(["9.9.9.0/24", "8.8.8.0/24"][at % 2])]),
            Edit::Prefixes(at) => net_.set_service_prefixes(storage, &[net(PREFIXES[at % 3])]),
            Edit::Peer(true) => net_.peer(self.vnets[0], self.vnets[1]),
            Edit::Peer(false) => net_.unpeer(self.vnets[0], self.vnets[1]),
            Edit::Connect(at) => {
                let announced = net(["192.168.1.0/24", "9.9.0.0/16"][at % 2]);
                net_.connect(self.vnets[0], self.site, &[announced])
            }
            Edit::Route { subnet: at, prefix, on: true } => {
                net_.set_route(subnet(at), net(ROUTES[prefix % 3]), NextHop::Internet)
            }
            Edit::Route { subnet: at, prefix, on: false } => {
                net_.remove_route(subnet(at), net(ROUTES[prefix % 3]))
            }
            Edit::Policy { subnet: at, on: true } => {
                net_.attach_policy(subnet(at), storage, self.policy)
            }
            Edit::Policy { subnet: at, on: false } => {
                net_.detach_policy(subnet(at), storage, self.policy)
            }
            Edit::Endpoint { subnet: at, on: true } => {
                net_.enable_endpoint(subnet(at), storage, Scope::Worldwide)
            }
            Edit::Endpoint { subnet: at, on: false } => net_.disable_endpoint(subnet(at), storage),
            Edit::Rule { subnet: at, on } => {
                let mut firewall = net_.resource(self.resource).unwrap().rules.clone();
                let rules = firewall.rule_set_mut().unwrap();
                if on {
                    rules.set_vnet_rule(subnet(at), RuleState::Succeeded).unwrap();
                } else {
                    rules.remove_vnet_rule(subnet(at));
                }
                net_.set_rules(self.resource, firewall)
            }
            Edit::Path(at) => net_.set_resource_path(self.resource, PATHS[at % 2]),
        };
        // Refused or done, both worlds do the same.
        drop(done);
    }

    /// What a data plane says of every packet that could be told apart, without the generation.
    fn said(&mut self) -> Vec<String> {
        let plane = DataPlane::new(self.network.commit(), Settings::replayable(0));
        let mut said = Vec::new();
        let sources = ["10.0.0.4", "10.0.0.5", "10.0.1.4", "10.1.0.4"];
        let destinations = [
            "52.239.1.9",
            "52.239.200.1",
            "52.240.1.1",
            "9.9.9.9",
            "8.8.8.8",
            "10.0.0.4",
            "10.0.1.4",
            "10.1.0.4",
            "192.168.1.4",
        ];
        for (source, at) in sources.into_iter().zip([0, 0, 1, 2]) {
            for destination in destinations.into_iter().filter(|it| *it != source) {
                let packet = syn(source, destination);
                let trace =
                    plane.trace(Time(0), Edge::Subnet(self.subnets[at]), &packet).to_string();
                said.push(trace.lines().skip(1).map(|line| format!("{line}\n")).collect());
            }
        }
        said
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// S-44, P-14, P-19, E-11: whatever is edited, committing after each edit ends where committing
    /// once does.
    #[test]
    fn stepwise_commits_equal_one_commit(edits in prop::collection::vec(edit(), 1..24)) {
        let (mut stepwise, mut at_once) = (world(), world());
        stepwise.network.commit();
        for edit in edits {
            stepwise.edit(edit);
            stepwise.network.commit();
            at_once.edit(edit);
        }
        prop_assert_eq!(stepwise.said(), at_once.said());
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let small = || 0..6_usize;
    let group = || prop::option::of(0..2_usize);
    prop_oneof![
        (small(), 0..SELECTORS.len(), any::<bool>(), any::<bool>()).prop_map(
            |(group, selector, deny, inbound)| Edit::Rules { group, selector, deny, inbound }
        ),
        (small(), group()).prop_map(|(subnet, group)| Edit::GuardSubnet { subnet, group }),
        group().prop_map(|group| Edit::GuardNic { group }),
        small().prop_map(Edit::Tag),
        small().prop_map(Edit::Prefixes),
        any::<bool>().prop_map(Edit::Peer),
        small().prop_map(Edit::Connect),
        (small(), small(), any::<bool>()).prop_map(|(subnet, prefix, on)| Edit::Route {
            subnet,
            prefix,
            on
        }),
        (small(), any::<bool>()).prop_map(|(subnet, on)| Edit::Policy { subnet, on }),
        (small(), any::<bool>()).prop_map(|(subnet, on)| Edit::Endpoint { subnet, on }),
        (small(), any::<bool>()).prop_map(|(subnet, on)| Edit::Rule { subnet, on }),
        small().prop_map(Edit::Path),
    ]
}

fn rules(selector: usize, deny: bool, inbound: bool) -> SecurityGroup {
    let mut group = SecurityGroup::default();
    let direction = if inbound { RuleDirection::Inbound } else { RuleDirection::Outbound };
    let named = SELECTORS[selector].parse().unwrap();
    let any = "*".parse().unwrap();
    let (sources, destinations) =
        if inbound { (vec![named], vec![any]) } else { (vec![any], vec![named]) };
    let rule = |name: &str, priority, action, sources, destinations| SecurityRule {
        name: name.into(),
        priority,
        direction,
        action,
        protocol: RuleProtocol::Any,
        sources,
        source_ports: vec![PortRange::ANY],
        destinations,
        destination_ports: vec![PortRange::ANY],
    };
    let (first, rest) =
        if deny { (Action::Deny, Action::Allow) } else { (Action::Allow, Action::Deny) };
    group.add_rule(rule("first", 100, first, sources, destinations)).unwrap();
    let everything = || vec!["*".parse().unwrap()];
    group.add_rule(rule("rest", 200, rest, everything(), everything())).unwrap();
    group
}

fn syn(source: &str, destination: &str) -> Vec<u8> {
    segment(
        end(&format!("{source}:50001")),
        end(&format!("{destination}:443")),
        "S",
        (1000, 0),
        &[],
    )
}
