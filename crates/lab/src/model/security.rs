//! Security groups, by reading the rules from the lowest number on (P-08, P-10, P-11, P-28, P-31).

use vnetem::{Action, PortRange, RuleDirection, SecurityRule, Selector};

use super::wire::UDP;
use super::*;

impl Model {
    /// Whether a group of the machine at an edge stops a packet that opens a flow: that of its interface or that of its subnet. Nothing
    /// comes back, and there is no flow (P-28); packets of flows are not judged (P-11, P-13).
    pub(super) fn guard(
        &self,
        edge: Edge,
        direction: RuleDirection,
        packet: &Packet,
    ) -> Result<(), Fate> {
        // P-15; what the platform itself sends, its probes for example, is judged as any (P-09).
        if route::is_platform(*packet.destination.ip()) {
            return Ok(());
        }
        let subnet = self.subnet_of(edge).and_then(|id| self.network.security_group_of(id));
        let nic = match edge {
            Edge::Nic(id) => self.network.security_group_of_nic(id),
            _ => None,
        };
        for group in [nic, subnet].into_iter().flatten() {
            let Ok(group) = self.network.security_rules(group) else { continue };
            let mut rules: Vec<_> = group
                .rules()
                .filter(|rule| rule.direction == direction && matches(rule, packet))
                .collect();
            rules.sort_by_key(|rule| rule.priority);
            // The groups of the sequences end with a rule for all, so that the default rules are never asked (P-09).
            if rules.first().is_none_or(|rule| rule.action == Action::Deny) {
                return Err(Fate::Deny(DenyReason::SecurityGroup(direction)));
            }
        }
        Ok(())
    }
}

fn matches(rule: &SecurityRule, packet: &Packet) -> bool {
    let of = |selectors: &[Selector], address: Ipv4Addr| {
        selectors.iter().any(|selector| match selector {
            Selector::Any => true,
            Selector::Prefix(prefix) => prefix.contains(&address),
            Selector::Tag(_) => false,
        })
    };
    // A range that is not all ports is for what has ports.
    let has_ports = matches!(packet.protocol, TCP | UDP);
    let at = |ranges: &[PortRange], port: u16| {
        ranges.iter().any(|range| {
            *range == PortRange::ANY || has_ports && (range.first()..=range.last()).contains(&port)
        })
    };
    rule.protocol.number().is_none_or(|protocol| protocol.0 == packet.protocol)
        && of(&rule.sources, *packet.source.ip())
        && of(&rule.destinations, *packet.destination.ip())
        && at(&rule.source_ports, packet.source.port())
        && at(&rule.destination_ports, packet.destination.port())
}
