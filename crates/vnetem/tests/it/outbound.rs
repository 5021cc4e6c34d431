//! How many ports each outbound method has, who gets which, and what is refused.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem::{
    DataPlane, Disposition, DropReason, Edge, EditError, LoadBalancerId, Network, NicId, Settings,
    SourceMode, Time, VnetId,
    control::{Outbound, OutboundRule},
    nat::{IdleMinutes, Timers},
};

use crate::packets::{datagram, end, ip, net};

const ONE: &str = "20.1.1.1";
const TWO: &str = "20.1.1.2";

struct World {
    network: Network,
    alpha: VnetId,
    balancer: LoadBalancerId,
    nics: Vec<NicId>,
}

/// A load balancer with these addresses and so many members.
fn world(frontends: &[&str], members: usize) -> World {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let pool = network.add_subnet(alpha, "pool", net("10.0.0.0/20")).unwrap();
    let frontends: Vec<_> = frontends.iter().map(|text| ip(text)).collect();
    let balancer = network.add_load_balancer(alpha, "lb", &frontends).unwrap();
    let mut nics = Vec::new();
    for number in 0..members {
        let [.., high, low] = (number + 4).to_be_bytes();
        let address = Ipv4Addr::new(10, 0, high, low);
        let nic = network.add_nic(pool, &format!("nic{number}"), address).unwrap();
        network.add_member(balancer, nic).unwrap();
        nics.push(nic);
    }
    World { network, alpha, balancer, nics }
}

impl World {
    fn rule(&mut self, ports: u16) -> Result<(), EditError> {
        let rule = OutboundRule { ports, ..OutboundRule::default() };
        self.network.set_outbound_rule(self.balancer, rule)
    }

    /// The ports of a member by address.
    fn ports(&self, member: usize) -> BTreeMap<Ipv4Addr, Vec<u16>> {
        let balancer = self.network.load_balancer(self.balancer).unwrap();
        let mut ports = BTreeMap::<_, Vec<u16>>::new();
        for block in balancer.blocks_of(self.nics[member]) {
            ports.entry(block.address).or_default().extend(block.first..=block.last);
        }
        ports
    }
}

/// N-05: private since 2026-03-31; older versions leave the setting open, which allows default
/// outbound access.
#[test]
fn n_05_new_subnets_private_by_version() {
    let platform = ip("20.1.1.9");
    let private = |version: &str| Outbound::of_new_subnet(version, platform) == Outbound::Private;
    for old in ["2017-10-01", "2025-07-01", "2026-03-31", "2026-03-31-preview"] {
        assert_eq!(Outbound::of_new_subnet(old, platform), Outbound::Default(platform), "{old}");
    }
    for new in ["2026-04-01", "2026-07-01-preview", "2027-01-01"] {
        assert!(private(new), "{new}");
    }
}

/// N-19: the table of sizes, by the number of members, for each address.
#[test]
fn n_19_pool_size_gives_port_count() {
    for (members, ports) in [
        (1, 1024),
        (50, 1024),
        (51, 512),
        (100, 512),
        (101, 256),
        (200, 256),
        (201, 128),
        (400, 128),
        (401, 64),
        (800, 64),
        (801, 32),
        (1000, 32),
    ] {
        let world = world(&[ONE, TWO], members);
        for member in [0, members / 2, members - 1] {
            let counts: Vec<_> =
                world.ports(member).into_iter().map(|(at, ports)| (at, ports.len())).collect();
            assert_eq!(counts, [(ip(ONE), ports), (ip(TWO), ports)], "{member} of {members}");
        }
    }
}

/// N-19: a pool of more than a thousand is none.
#[test]
fn n_19_pool_has_at_most_1000() {
    let mut world = world(&[ONE], 1000);
    let pool = world.network.subnets().next().unwrap().0;
    let nic = world.network.add_nic(pool, "one too many", ip("10.0.15.9")).unwrap();
    let error = world.network.add_member(world.balancer, nic).unwrap_err();
    assert_eq!(error.to_string(), "there can be at most 1000 members of a pool");
}

/// N-20: what is no multiple of 8, or more than there is, is refused; 0 is the table.
#[test]
fn n_20_explicit_counts_are_multiples_of_8() {
    let mut world = world(&[ONE], 7);
    let sum = "the members of load balancer lb would need 70000 ports of 64000";
    assert_eq!(world.rule(10_000).unwrap_err().to_string(), sum);
    assert_eq!(
        world.rule(12).unwrap_err().to_string(),
        "12 ports cannot be given: a count must be a multiple of 8"
    );
    assert_eq!(world.ports(6)[&ip(ONE)].len(), 1024);
    world.rule(9136).unwrap();
    assert_eq!(world.ports(6)[&ip(ONE)].len(), 9136);
    world.rule(0).unwrap();
    assert_eq!(world.ports(6)[&ip(ONE)].len(), 1024);
    // A further member may be one too many, and so may a rule that costs ports.
    world.rule(9136).unwrap();
    let lost = world.network.add_inbound_rule(world.balancer, ip(ONE), 80);
    assert_eq!(lost, Ok(()), "a port below 1024 costs none");
    let pool = world.network.subnets().next().unwrap().0;
    let nic = world.network.add_nic(pool, "eighth", ip("10.0.15.9")).unwrap();
    let error = world.network.add_member(world.balancer, nic).unwrap_err();
    let sum = "the members of load balancer lb would need 73088 ports of 64000";
    assert_eq!(error.to_string(), sum);
    // With another address there is room, and a block may lie on both.
    world.network.set_frontends(world.balancer, &[ip(ONE), ip(TWO)]).unwrap();
    world.network.add_member(world.balancer, nic).unwrap();
    world.nics.push(nic);
    let last: Vec<_> = world.ports(7).into_iter().map(|(at, ports)| (at, ports.len())).collect();
    assert_eq!(last, [(ip(ONE), 64_000 - 7 * 9136), (ip(TWO), 8 * 9136 - 64_000)]);
}

/// N-09, N-17, C-08: an address of a gateway has 64,512 ports towards one remote, 1024 to 65535,
/// each once and no more.
#[test]
fn n_09_gateway_address_has_64512_ports() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![ip(ONE)])).unwrap();
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let remote = end("203.0.113.80:443");
    let mut open = |host: u8, port: u16| {
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), port);
        plane.process(Time(0), Edge::Subnet(web), &mut datagram(source, remote, &[])).disposition
    };
    let mut ports: Vec<u16> = (0..64_512)
        .map(|port| match open(4, port) {
            Disposition::Forward(forward) => match forward.source() {
                SourceMode::Translated(external) => external.port(),
                SourceMode::Preserved => panic!("not translated"),
            },
            other => panic!("{port}: {other:?}"),
        })
        .collect();
    assert_eq!(open(5, 1), Disposition::Drop(DropReason::SnatExhausted));
    ports.sort_unstable();
    assert_eq!(ports, (1024..=65_535).collect::<Vec<u16>>());
}

/// N-10, C-08: 64,000 ports of an address, 1024 to 65023, no port twice, and not one more.
#[test]
fn n_10_balancer_address_has_64000_ports() {
    let mut world = world(&[ONE], 10);
    world.rule(6400).unwrap();
    let mut all: Vec<_> =
        (0..10).flat_map(|member| world.ports(member)[&ip(ONE)].clone()).collect();
    all.sort_unstable();
    assert_eq!(all, (1024..=65_023).collect::<Vec<u16>>());
    let sum = "the members of load balancer lb would need 64080 ports of 64000";
    assert_eq!(world.rule(6408).unwrap_err().to_string(), sum);
}

/// N-21: each aligned block of eight that a rule for arriving traffic touches is lost, once.
#[test]
fn n_21_inbound_rule_costs_eight_ports() {
    let mut world = world(&[ONE], 1);
    world.rule(64_000).unwrap();
    let whole: Vec<u16> = (1024..=65_023).collect();
    assert_eq!(world.ports(0)[&ip(ONE)], whole);
    world.rule(63_000).unwrap();
    for port in [80, 1024, 1031, 1030, 3389, 65_023, 65_024] {
        world.network.add_inbound_rule(world.balancer, ip(ONE), port).unwrap();
    }
    // Those of 1024 to 1031, of 3384 to 3391, and of 65,016 to 65,023.
    let usable = |port: &u16| !matches!(port, 1024..=1031 | 3384..=3391 | 65_016..);
    let left: Vec<u16> = whole.into_iter().filter(usable).collect();
    assert_eq!(left.len(), 64_000 - 24);
    assert_eq!(world.ports(0)[&ip(ONE)], left[..63_000]);
    world.rule(63_976).unwrap();
    assert_eq!(world.ports(0)[&ip(ONE)], left);
    let sum = "the members of load balancer lb would need 63984 ports of 63976";
    assert_eq!(world.rule(63_984).unwrap_err().to_string(), sum);
    let elsewhere = world.network.add_inbound_rule(world.balancer, ip("20.1.1.3"), 80).unwrap_err();
    assert_eq!(elsewhere.to_string(), "there is no address of the load balancer 20.1.1.3");
}

/// N-25: address and port lead back to one member, the one that has them.
#[test]
fn n_25_port_leads_to_its_member() {
    for rule in [0, 640, 6392] {
        let mut world = world(&[ONE, TWO], 20);
        for port in [1024, 4000, 4001, 30_000] {
            world.network.add_inbound_rule(world.balancer, ip(ONE), port).unwrap();
        }
        world.rule(rule).unwrap();
        let balancer = world.network.load_balancer(world.balancer).unwrap();
        let mut owners = BTreeMap::new();
        for (member, nic) in world.nics.iter().enumerate() {
            for (address, ports) in world.ports(member) {
                for port in ports {
                    assert_eq!(owners.insert((address, port), *nic), None, "{address}:{port}");
                }
            }
        }
        let sample = owners.iter().step_by(97).chain(owners.iter().take(9));
        for ((address, port), nic) in sample {
            assert_eq!(balancer.member_behind(*address, *port), Some(*nic), "{address}:{port}");
        }
        for port in [0, 1023, 1024, 1031, 4007, 65_024] {
            let owner = owners.get(&(ip(ONE), port)).copied();
            assert_eq!(balancer.member_behind(ip(ONE), port), owner, "{port}");
        }
    }
}

/// A member that leaves frees its block for the next, and moves nobody while blocks keep their
/// size.
#[test]
fn members_keep_ports_while_others_change() {
    for rule in [0, 1024, 800] {
        let mut world = world(&[ONE], 5);
        world.rule(rule).unwrap();
        let before: Vec<_> = (0..5).map(|member| world.ports(member)).collect();
        world.network.remove_member(world.balancer, world.nics[1]).unwrap();
        assert_eq!(world.ports(1), BTreeMap::new());
        world.network.add_member(world.balancer, world.nics[1]).unwrap();
        for member in [0, 2, 3, 4] {
            assert_eq!(world.ports(member), before[member]);
        }
        assert_eq!(world.ports(1)[&ip(ONE)].len(), before[1][&ip(ONE)].len());
        // Blocks that were made smaller leave room between them.
        assert_eq!(world.ports(1) == before[1], rule != 800);
    }
}

/// N-15, N-23, C-09: 4 to 120 minutes for TCP, and 4 for UDP.
#[test]
fn n_15_idle_timeout_is_4_to_120() {
    let allowed: Vec<u8> =
        (0..=u8::MAX).filter(|minutes| IdleMinutes::new(*minutes).is_some()).collect();
    assert_eq!(allowed, (4..=120).collect::<Vec<u8>>());
    assert_eq!(Timers::azure(IdleMinutes::default()), Timers::AZURE);
    let longest = Timers::azure(IdleMinutes::MAX);
    assert_eq!(longest.established, Duration::from_secs(7200));
    assert_eq!(longest.udp_two_way, Duration::from_secs(240));
}

/// INV-used-object-kept, INV-contradiction-refused: a public address has one owner, and what is
/// used is not removed.
#[test]
fn public_address_has_one_permanent_owner() {
    let World { mut network, alpha, balancer, nics } = world(&[ONE], 2);
    let other = network.add_vnet("other", &[net("10.0.0.0/16")]).unwrap();
    let far = network.add_subnet(other, "far", net("10.0.0.0/24")).unwrap();
    let stranger = network.add_nic(far, "stranger", ip("10.0.0.4")).unwrap();
    let second = network.add_load_balancer(alpha, "second", &[ip("20.1.1.9")]).unwrap();
    network.set_public_address(nics[0], Some(ip("20.1.1.5"))).unwrap();
    let refused = |result: Result<(), EditError>| result.unwrap_err().to_string();
    for (words, result) in [
        (
            "20.1.1.1 cannot be given to nic nic1: it belongs to load balancer lb",
            network.set_public_address(nics[1], Some(ip(ONE))),
        ),
        (
            "20.1.1.5 cannot be given to nic nic1: it belongs to nic nic0",
            network.set_public_address(nics[1], Some(ip("20.1.1.5"))),
        ),
        (
            "10.0.0.4 of nic nic1 is not a public address",
            network.set_public_address(nics[1], Some(ip("10.0.0.4"))),
        ),
        (
            "20.1.1.5 cannot be given to load balancer third: it belongs to nic nic0",
            network.add_load_balancer(alpha, "third", &[ip("20.1.1.5")]).map(drop),
        ),
        ("there is a load balancer lb already", {
            network.add_load_balancer(alpha, "lb", &[ip("20.1.1.7")]).map(drop)
        }),
        ("load balancer third needs at least one range", {
            network.add_load_balancer(alpha, "third", &[]).map(drop)
        }),
        ("nic nic0 is used by load balancer lb", network.remove_nic(nics[0])),
        ("nic nic0 is used by load balancer lb", network.add_member(second, nics[0])),
        ("load balancer lb is used by a member", network.remove_load_balancer(balancer)),
        (
            "there is no nic of the load balancer's network stranger",
            network.add_member(balancer, stranger),
        ),
    ] {
        assert_eq!(refused(result), words);
    }
    network.remove_member(balancer, nics[0]).unwrap();
    network.remove_nic(nics[0]).unwrap();
    network.set_public_address(nics[1], Some(ip("20.1.1.5"))).unwrap();
    network.remove_member(balancer, nics[1]).unwrap();
    network.remove_load_balancer(balancer).unwrap();
    network.set_public_address(nics[1], Some(ip(ONE))).unwrap();
}
