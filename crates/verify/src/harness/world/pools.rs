//! Narrow pools of every kind, by number.

use core::net::Ipv4Addr;
use core::time::Duration;

use vnetem::{
    control::{Outbound, OutboundRule, Peering},
    nat::{
        Blocks, Filtering, IdleMinutes, Limits, LoosePickup, Mapping, OnExhaustion, PoolRules,
        Rate, TimerProfile,
    },
};

/// The ports of the pools that give them out in blocks.
pub(crate) const BLOCKS: core::ops::RangeInclusive<u16> = 5000..=5011;

/// Returns the outbound methods of a subnet. Networks have different addresses, and subnets of one
/// network share them.
pub(crate) fn outbound(subnet: u8, to: u8) -> Outbound {
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
    match to % 25 {
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
        8 => {
            with(3000..=3001, PoolRules { on_exhaustion: OnExhaustion::Prohibited, ..INDEPENDENT })
        }
        9 => with(
            1000..=1030,
            PoolRules {
                preserve_port: true,
                keep_parity: true,
                loose_pickup: LoosePickup::Reset,
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
                on_exhaustion: OnExhaustion::HostUnreachable,
                keep_port: true,
                timers: TimerProfile::Rfc,
                ..PoolRules::AZURE
            },
        ),
        11 => with(1022..=1027, PoolRules { preserve_port: true, ..INDEPENDENT }),
        // Two open filters, with mappings that depend on the remote or not, and hairpin.
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
            let unsolicited_syn = Some(Duration::from_secs(6));
            let segment_size = Some(536);
            with(
                BLOCKS,
                PoolRules { blocks: PAIRS, segment_size, unsolicited_syn, ..PoolRules::AZURE },
            )
        }
        17 => both(
            BLOCKS,
            PoolRules {
                blocks: PAIRS,
                limits: Limits { flows: 0, ports: 5, rate: None },
                on_exhaustion: OnExhaustion::Prohibited,
                // Differs from the pool above, which also has the first address (T-16).
                unsolicited_syn: Some(Duration::from_secs(20)),
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
                // Less patient than another pool, which may have the same address.
                unsolicited_syn: Some(Duration::from_secs(7)),
                other_protocols: true,
                ..PoolRules::AZURE
            },
        ),
        20 => both(1000..=1030, PoolRules { unsolicited_syn: None, ..PoolRules::RFC }),
        // One block of one port, so that the third is refused.
        21 => with(
            BLOCKS,
            PoolRules { blocks: Blocks::Dynamic { size: 1, most: 2 }, ..PoolRules::AZURE },
        ),
        // Connections are picked up in the middle.
        22 => with(1000..=1030, PoolRules::LINUX),
        23 => both(
            2000..=2007,
            PoolRules { loose_pickup: LoosePickup::PickUp, filtering: Filtering::Address, ..OPEN },
        ),
        _ => Outbound::Pool {
            addresses: vec![address(1), address(2)],
            first_port: 1024,
            last_port: 1025,
            rules: PoolRules::AZURE,
        },
    }
}

/// Widens a method: each shard gets as many ports as all had, at addresses of its own. Nothing is
/// left that hosts of two shards would share (hairpin, blocks).
///
/// Shards divide the ports of an address by its last pool, so an address must not move between
/// pools.
pub(crate) fn widened(outbound: Outbound, subnet: u8, to: u8) -> Outbound {
    let apart = |address: &Ipv4Addr| {
        let [first, vnet, _, last] = address.octets();
        Ipv4Addr::new(first, vnet, 100 + to % 25, last + 100 * (subnet % 2))
    };
    let addresses: Vec<_> = outbound.addresses().iter().map(apart).collect();
    match outbound {
        Outbound::Private => Outbound::Private,
        Outbound::Default(address) => Outbound::Default(apart(&address)),
        Outbound::NatGateway(_) => Outbound::NatGateway(addresses),
        Outbound::Pool { first_port, last_port, rules, .. } => {
            let count = 64 * (u32::from(last_port - first_port) + 1);
            let first = u32::from(first_port).min(65_536 - count) as u16;
            Outbound::Pool {
                addresses,
                first_port: first,
                last_port: (u32::from(first) + count - 1) as u16,
                rules: PoolRules { hairpin: false, blocks: Blocks::None, ..rules },
            }
        }
    }
}

/// At most two blocks of two ports for each internal address.
const PAIRS: Blocks = Blocks::Dynamic { size: 2, most: 2 };

/// Lets anybody in, also from inside.
const OPEN: PoolRules =
    PoolRules { filtering: Filtering::Independent, hairpin: true, ..INDEPENDENT };

/// Returns rules of the load balancer.
pub(crate) fn outbound_rule(with: u8) -> OutboundRule {
    let ports = [8, 16, 0, 32_000, 8][usize::from(with % 5)];
    OutboundRule { ports, resets: with % 3 != 1, idle: IdleMinutes::new(4 + with % 2) }
}

/// One port of an internal socket towards all remotes.
const INDEPENDENT: PoolRules = PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE };

/// Returns how the site's circuit reaches services.
pub(crate) fn peering(to: u8) -> Option<Peering> {
    let address = |last| Ipv4Addr::new(203, 0, 113, last);
    match to % 4 {
        0 => None,
        1 | 2 => Some(Peering::Public([address(60), address(61)])),
        _ => Some(Peering::Microsoft(vec![address(62)])),
    }
}
