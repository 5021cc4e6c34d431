//! Security groups, by reading the rules from the lowest number on (P-08 to P-15, P-28, P-31,
//! L-04).

use vnetem::authz::{Action, PortRange, RuleDirection, SecurityRule, Selector};

use super::wire::UDP;
use super::*;

/// The platform's address for hosts, which its load balancer probes use, and that of instance
/// metadata (P-15).
const HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The platform's services that have a tag, each with its address and port.
const PLATFORM: [(&str, Ipv4Addr, u16); 3] = [
    ("AzurePlatformDNS", HOST, 53),
    ("AzurePlatformIMDS", METADATA, 80),
    ("AzurePlatformLKM", HOST, 1688),
];

impl Model {
    /// Returns whether a group of the machine at an edge denies a packet that opens a flow: that of
    /// its interface or of its subnet. Nothing is sent back, and there is no flow (P-28). Packets
    /// of flows are not checked (P-11, P-13).
    pub(super) fn guard(
        &self,
        edge: Edge,
        direction: RuleDirection,
        packet: &Packet,
    ) -> Result<(), Disposition> {
        let net = &self.network;
        let (subnet, nic) = match edge {
            Edge::Subnet(id) => (id, None),
            Edge::Nic(id) => match net.nic(id) {
                Ok(nic) => (nic.subnet, net.security_group_of_nic(id)),
                Err(_) => return Ok(()),
            },
            // L-04: only where the policies of its subnet say so.
            Edge::PrivateEndpoint(id) => match net.private_endpoint(id) {
                Ok(endpoint) if net.network_policies(endpoint.subnet).security_groups => {
                    (endpoint.subnet, None)
                }
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        let names = Names { net, subnet };
        for group in [nic, net.security_group_of(subnet)].into_iter().flatten() {
            let Ok(group) = net.security_rules(group) else { continue };
            let mut rules: Vec<_> =
                group.rules().filter(|rule| rule.direction == direction).collect();
            rules.sort_by_key(|rule| rule.priority);
            if !names.allow(&rules, direction, packet) {
                return Err(Disposition::Deny(DenyReason::SecurityGroup(direction)));
            }
        }
        Ok(())
    }
}

/// Resolves names in rules, seen from a subnet.
struct Names<'a> {
    net: &'a Network,
    subnet: SubnetId,
}

impl Names<'_> {
    /// Returns whether a group allows a packet: its own rules decide by number, and then the
    /// default ones (P-08, P-09).
    fn allow(&self, rules: &[&SecurityRule], direction: RuleDirection, packet: &Packet) -> bool {
        let [from, to] = [packet.source, packet.destination].map(|end| *end.ip());
        if route::is_platform(to) {
            // P-15: only rules that name the service decide. What the platform sends, such as
            // probes, is decided as any (P-09).
            let first = rules.iter().find(|rule| self.is_of_platform(rule, packet));
            return first.is_none_or(|rule| rule.action == Action::Allow);
        }
        if let Some(rule) = rules.iter().find(|rule| self.matches(rule, packet)) {
            return rule.action == Action::Allow;
        }
        let internal = [from, to].into_iter().all(|at| self.is_in_network(at));
        match direction {
            RuleDirection::Inbound => internal || from == HOST,
            RuleDirection::Outbound => internal || self.is_internet(to),
        }
    }

    /// Returns whether a rule names the tag of the platform service that a packet goes to.
    fn is_of_platform(&self, rule: &SecurityRule, packet: &Packet) -> bool {
        let named = |tag: &str| {
            let is = |selector: &Selector| matches!(selector, Selector::Tag(name) if name.eq_ignore_ascii_case(tag));
            rule.destinations.iter().any(is)
        };
        let there = |(_, at, port): &&(&str, Ipv4Addr, u16)| {
            packet.destination == SocketAddrV4::new(*at, *port) && has_ports(packet)
        };
        let service = PLATFORM.iter().find(there);
        service.is_some_and(|(tag, ..)| named(tag)) && self.matches(rule, packet)
    }

    fn matches(&self, rule: &SecurityRule, packet: &Packet) -> bool {
        let of = |selectors: &[Selector], at: Ipv4Addr| {
            selectors.iter().any(|selector| match selector {
                Selector::Any => true,
                Selector::Prefix(prefix) => prefix.contains(&at),
                Selector::Tag(name) => self.is_meant(name, at),
            })
        };
        // A range other than all ports applies to protocols with ports only.
        let at = |ranges: &[PortRange], port: u16| {
            let internal = |range: &PortRange| (range.first()..=range.last()).contains(&port);
            ranges
                .iter()
                .any(|range| *range == PortRange::ANY || has_ports(packet) && internal(range))
        };
        rule.protocol.number().is_none_or(|protocol| protocol.0 == packet.protocol)
            && of(&rule.sources, *packet.source.ip())
            && of(&rule.destinations, *packet.destination.ip())
            && at(&rule.source_ports, packet.source.port())
            && at(&rule.destination_ports, packet.destination.port())
    }

    /// Returns whether a name stands for an address: by its definition, or else by the prefixes of
    /// a service (S-44).
    fn is_meant(&self, name: &str, at: Ipv4Addr) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("VirtualNetwork") {
            return self.is_in_network(at);
        }
        if is("Internet") {
            return self.is_internet(at);
        }
        if let Some(said) = self.net.tag_prefixes(name) {
            return said.iter().any(|prefix| prefix.contains(&at));
        }
        if let Some((_, service)) = self.net.services().find(|(_, service)| is(&service.name)) {
            return service.prefixes.iter().any(|prefix| prefix.contains(&at));
        }
        is("AzureLoadBalancer") && at == HOST
            || PLATFORM.iter().any(|(tag, there, _)| is(tag) && at == *there)
    }

    /// Returns whether an address is in the network's ranges, those of its peers, or those of sites
    /// behind its gateways.
    fn is_in_space(&self, at: Ipv4Addr) -> bool {
        let net = self.net;
        let own = net.subnet(self.subnet).and_then(|subnet| net.vnet(subnet.vnet));
        let Ok(own) = own else { return false };
        let peers = own.peers.iter().filter_map(|peer| net.vnet(*peer).ok());
        let networks = peers.chain([own]).flat_map(|vnet| &vnet.ranges);
        let sites = own.gateways.keys().filter_map(|site| net.site(*site).ok());
        let mut all = networks.chain(sites.flat_map(|site| &site.ranges));
        all.any(|range| range.contains(&at))
    }

    /// Returns whether an address is in `VirtualNetwork`: that space, and what the subnet's user
    /// and BGP routes add (P-14). Endpoints add nothing (U-09).
    fn is_in_network(&self, at: Ipv4Addr) -> bool {
        let Ok(subnet) = self.net.subnet(self.subnet) else { return false };
        let table = &subnet.table;
        let user = table.routes.keys().chain(table.tags.values().flat_map(|it| &it.prefixes));
        let vnet = self.net.vnet(subnet.vnet).ok().filter(|_| table.bgp_propagation);
        let learned = vnet.into_iter().flat_map(|vnet| vnet.gateways.values());
        let mut routes = user.chain(learned.flat_map(|it| &it.announced));
        self.is_in_space(at) || routes.any(|prefix| prefix.contains(&at))
    }

    /// Returns whether an address is in `Internet`: public and not in that space, including Azure's
    /// own addresses (P-12).
    fn is_internet(&self, at: Ipv4Addr) -> bool {
        address::is_public(at) && at != HOST && !self.is_in_space(at)
    }
}

const fn has_ports(packet: &Packet) -> bool {
    matches!(packet.protocol, TCP | UDP)
}
