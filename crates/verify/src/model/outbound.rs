//! Outbound methods: their order, what each carries, and its ports (N-01 to N-25).

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::RangeInclusive;

use vnetem::{
    Edge, Network, NicId,
    control::{LoadBalancer, Outbound, Peering},
    nat::{IdleMinutes, Mapping, PoolRules, TimerProfile},
};

use super::route::service_at;
use super::wire::{ICMP, Packet, Part, TCP, UDP};

const ESP: u8 = 50;

/// An outbound method, as one sender may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) kind: MethodKind,
    /// Public addresses and their ports, in order.
    pub(crate) pieces: Vec<Piece>,
    rules: PoolRules,
    /// The idle timeout of TCP, if it differs from the data plane's (N-15, N-23).
    pub(crate) idle: Option<IdleMinutes>,
}

pub(crate) type Piece = (Ipv4Addr, RangeInclusive<u16>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MethodKind {
    Default,
    NatGateway,
    Instance,
    Balancer,
    Pool,
    /// The peering of a site's circuit, to services only (S-38).
    Circuit,
}

impl Method {
    fn new(kind: MethodKind, addresses: &[Ipv4Addr], ports: &RangeInclusive<u16>) -> Self {
        let pieces = addresses.iter().map(|address| (*address, ports.clone())).collect();
        Self { kind, pieces, rules: PoolRules::AZURE, idle: None }
    }

    /// Returns the part of the method that one of 64 shards has. Addresses that many hosts share
    /// are divided evenly by ports from the first one on. An interface's own ports stay with the
    /// interface.
    pub(crate) fn of_shard(self, shard: Option<usize>) -> Self {
        let is_shared = !matches!(self.kind, MethodKind::Instance | MethodKind::Balancer);
        let Some(shard) = shard.filter(|_| is_shared) else { return self };
        let part = |(address, ports): &Piece| {
            let count = usize::from(*ports.end()) - usize::from(*ports.start()) + 1;
            let mut own = ports.clone().skip(count * shard / 64);
            let many = count * (shard + 1) / 64 - count * shard / 64;
            let more = u16::try_from(many.checked_sub(1)?).ok()?;
            let first = own.next()?;
            Some((*address, first..=first + more))
        };
        Self { pieces: self.pieces.iter().filter_map(part).collect(), ..self }
    }

    /// Returns whether the method carries a packet (N-11, N-18, T-21, T-28, T-35).
    pub(crate) fn carries(&self, packet: &Packet) -> bool {
        let whole = packet.part == Part::Whole;
        match (self.kind, packet.protocol) {
            (MethodKind::Instance | MethodKind::Pool | MethodKind::Circuit, TCP | UDP | ICMP) => {
                true
            }
            (MethodKind::Instance, protocol) => protocol == ESP,
            (MethodKind::Pool | MethodKind::Circuit, _) => self.rules.other_protocols,
            (_, TCP | UDP) => whole,
            _ => false,
        }
    }

    /// Returns how it translates a protocol. A load balancer is a port-restricted cone for UDP
    /// (N-22).
    pub(crate) fn rules(&self, protocol: u8) -> PoolRules {
        match (self.kind, protocol) {
            (MethodKind::Balancer, UDP) => {
                PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE }
            }
            _ => self.rules,
        }
    }

    /// Returns its timers. An idle timeout of its own applies to TCP only (N-15).
    pub(crate) fn timers(&self, protocol: u8) -> TimerProfile {
        // N-14, N-23: a load balancer's timers differ from the gateway's.
        if self.kind == MethodKind::Balancer {
            return TimerProfile::Balancer(self.idle.unwrap_or_default());
        }
        self.idle.map_or(self.rules(protocol).timers, TimerProfile::Azure)
    }

    pub(crate) fn has(&self, external: SocketAddrV4) -> bool {
        self.pieces
            .iter()
            .any(|(address, ports)| address == external.ip() && ports.contains(&external.port()))
    }

    pub(crate) fn is_at(&self, address: Ipv4Addr) -> bool {
        self.pieces.iter().any(|piece| piece.0 == address)
    }
}

/// Returns all methods of a sender. New flows take the first (N-01, C-07). A plain pool takes the
/// place of a NAT gateway.
pub(crate) fn methods(net: &Network, edge: Edge) -> Vec<Method> {
    let (subnet, nic) = match edge {
        Edge::Subnet(id) => (id, None),
        Edge::Nic(id) => match net.nic(id) {
            Ok(nic) => (nic.subnet, Some((id, nic))),
            Err(_) => return Vec::new(),
        },
        Edge::Site(id) => {
            let Ok(site) = net.site(id) else { return Vec::new() };
            let circuit = site.peering.as_ref().map_or(&[][..], Peering::addresses);
            let all = [(MethodKind::Circuit, circuit), (MethodKind::Pool, &site.nat)];
            let all = all.into_iter().filter(|(_, addresses)| !addresses.is_empty());
            return all.map(|(kind, at)| Method::new(kind, at, &(1024..=65_535))).collect();
        }
        _ => return Vec::new(),
    };
    let Ok(subnet) = net.subnet(subnet) else { return Vec::new() };
    let all = |kind| Method::new(kind, subnet.outbound.addresses(), &(1024..=65_535));
    let (first, last) = match &subnet.outbound {
        Outbound::Private => (None, None),
        Outbound::Default(_) => (None, Some(all(MethodKind::Default))),
        Outbound::NatGateway(_) => {
            (Some(Method { idle: subnet.idle, ..all(MethodKind::NatGateway) }), None)
        }
        Outbound::Pool { addresses, first_port, last_port, rules } => {
            let pool = Method::new(MethodKind::Pool, addresses, &(*first_port..=*last_port));
            (Some(Method { rules: *rules, ..pool }), None)
        }
    };
    let instance = nic.and_then(|(_, nic)| {
        let own = Method::new(MethodKind::Instance, &[nic.public?], &(0..=65_535));
        Some(Method { idle: nic.idle, ..own })
    });
    let balanced = nic.and_then(|(id, _)| {
        let (_, balancer) = net.load_balancers().find(|it| it.1.members.contains_key(&id))?;
        let none = Method::new(MethodKind::Balancer, &[], &(1..=1));
        Some(Method { pieces: ports_of(balancer, id), idle: balancer.rule.idle, ..none })
    });
    // N-29: the platform's address that the machine keeps comes before the subnet's.
    let kept = nic.and_then(|(_, nic)| {
        Some(Method::new(MethodKind::Default, &[nic.kept?], &(1024..=65_535)))
    });
    [first, instance, balanced, kept, last].into_iter().flatten().collect()
}

/// Returns the method that new flows of a sender to a public address take (N-01). A circuit's
/// peering leads to services only (S-38).
pub(crate) fn method_to(net: &Network, edge: Edge, at: Ipv4Addr) -> Option<Method> {
    let leads =
        |method: &Method| method.kind != MethodKind::Circuit || service_at(net, at).is_some();
    methods(net, edge).into_iter().find(leads)
}

/// Returns the method that has a public source of a sender, whichever method new flows take. A
/// subnet's is found by the address, and an interface's also by the port where members have ports
/// (N-07, N-08).
pub(crate) fn method_behind(
    net: &Network,
    edge: Edge,
    external: SocketAddrV4,
) -> Option<MethodKind> {
    let of_nic = |kind| matches!(kind, MethodKind::Instance | MethodKind::Balancer);
    let all = methods(net, edge);
    let site = matches!(edge, Edge::Site(_));
    let by_address = all.iter().find(|it| !site && !of_nic(it.kind) && it.is_at(*external.ip()));
    let by_port = || all.iter().find(|it| (site || of_nic(it.kind)) && it.has(external));
    let found = by_address.or_else(by_port).map(|method| method.kind);
    let subnet = match edge {
        Edge::Subnet(id) => Some(id),
        Edge::Nic(id) => net.nic(id).ok().map(|nic| nic.subnet),
        _ => None,
    };
    let former = subnet.and_then(|id| net.subnet(id).ok()).map(|subnet| &subnet.former);
    let is_former = former.is_some_and(|all| all.contains(external.ip()));
    found.or(is_former.then_some(MethodKind::Default))
}

/// Returns the ports of a member, in the order in which its flows take them. The control plane
/// chooses them, and [`check`](super::blocks::check) checks its choice.
fn ports_of(balancer: &LoadBalancer, member: NicId) -> Vec<Piece> {
    let blocks = balancer.members.get(&member).into_iter().flatten();
    blocks.map(|block| (block.address, block.first..=block.last)).collect()
}
