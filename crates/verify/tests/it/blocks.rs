//! Checks the ports of a load balancer's members through any edits of its pool.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::net::Ipv4Addr;

use proptest::prelude::*;
use vnetem::{
    LoadBalancerId, Network, NicId,
    control::{LoadBalancer, OutboundRule},
};
use vnetem_verify::model::check_ports;

const FRONTENDS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(20, 1, 1, 1), Ipv4Addr::new(20, 1, 1, 2), Ipv4Addr::new(20, 1, 1, 3)];

/// Makes a balancer with two addresses, and machines that may be its members.
fn pool(machines: u8) -> (Network, LoadBalancerId, Vec<NicId>) {
    let mut network = Network::new();
    let vnet = network.add_vnet("aks", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let nodes = network.add_subnet(vnet, "nodes", "10.0.0.0/23".parse().unwrap()).unwrap();
    let nics = (0..u16::from(machines)).map(|number| {
        let [third, fourth] = (number + 4).to_be_bytes();
        let address = Ipv4Addr::new(10, 0, third, fourth);
        network.add_nic(nodes, &format!("n{number}"), address).unwrap()
    });
    let nics = nics.collect();
    let balancer = network.add_load_balancer(vnet, "lb", &FRONTENDS[..2]).unwrap();
    (network, balancer, nics)
}

fn ports(balancer: &LoadBalancer, member: NicId) -> Vec<(Ipv4Addr, u16, u16)> {
    balancer.blocks_of(member).map(|block| (block.address, block.first, block.last)).collect()
}

/// N-19, N-28: beyond fifty members each gives back half of its ports, and gets more when the pool
/// shrinks again.
#[test]
fn blocks_shrink_and_grow_at_ends() {
    let (mut network, lb, nics) = pool(51);
    for nic in &nics[..50] {
        network.add_member(lb, *nic).unwrap();
    }
    let before = network.load_balancer(lb).unwrap().clone();
    let [first, second, ..] = FRONTENDS;
    assert_eq!(ports(&before, nics[0]), [(first, 1024, 2047), (second, 1024, 2047)]);
    network.add_member(lb, nics[50]).unwrap();
    let grown = network.load_balancer(lb).unwrap().clone();
    assert_eq!(ports(&grown, nics[0]), [(first, 1024, 1535), (second, 1024, 1535)]);
    assert_eq!(ports(&grown, nics[50]), [(first, 1536, 2047), (second, 1536, 2047)]);
    network.remove_member(lb, nics[50]).unwrap();
    assert_eq!(*network.load_balancer(lb).unwrap(), before);
}

/// N-27: with an explicit count each member has an equal part of every address.
#[test]
fn members_share_the_first_address() {
    let (mut network, lb, nics) = pool(3);
    network.set_outbound_rule(lb, OutboundRule { ports: 64_000, ..Default::default() }).unwrap();
    for nic in &nics[..2] {
        network.add_member(lb, *nic).unwrap();
    }
    let [first, second, third] = FRONTENDS;
    let both = network.load_balancer(lb).unwrap().clone();
    assert_eq!(ports(&both, nics[0]), [(first, 1024, 33_023), (second, 1024, 33_023)]);
    assert_eq!(ports(&both, nics[1]), [(first, 33_024, 65_023), (second, 33_024, 65_023)]);
    // A further address is for new members.
    network.set_frontends(lb, &FRONTENDS).unwrap();
    network.add_member(lb, nics[2]).unwrap();
    let three = network.load_balancer(lb).unwrap();
    assert_eq!(ports(three, nics[0]), ports(&both, nics[0]));
    assert_eq!(ports(three, nics[2]), [(third, 1024, 65_023)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// N-10, N-19 to N-21, N-27, N-28: checks the ports after every edit, including refused ones.
    #[test]
    fn edits_take_no_port_needlessly(
        edits in proptest::collection::vec((0_u8..10, any::<u8>(), any::<u16>()), 1..40),
    ) {
        let (mut network, lb, nics) = pool(110);
        let mut before = network.load_balancer(lb).unwrap().clone();
        for (kind, which, port) in edits {
            let which = usize::from(which);
            // Many at once, so that the steps of the table are reached.
            let some = || nics.iter().cycle().skip(which).take(which % 60);
            let _ = match kind {
                0..=2 => some().try_for_each(|nic| network.add_member(lb, *nic)),
                3 => some().try_for_each(|nic| network.remove_member(lb, *nic)),
                4 => network.add_member(lb, nics[which % nics.len()]),
                5 => network.remove_member(lb, nics[which % nics.len()]),
                6 | 7 => {
                    let ports = [0, 8, 24, 1000, 32_000, 64_000][which % 6];
                    network.set_outbound_rule(lb, OutboundRule { ports, ..Default::default() })
                }
                8 => {
                    let sets = [&FRONTENDS[..1], &FRONTENDS[..2], &FRONTENDS, &FRONTENDS[1..]];
                    network.set_frontends(lb, sets[which % 4])
                }
                _ => network.add_inbound_rule(lb, FRONTENDS[which % 3], 1000 + port % 3000),
            };
            let after = network.load_balancer(lb).unwrap().clone();
            prop_assert_eq!(check_ports(Some(&before), &after), Ok(()), "{} {}", kind, which);
            before = after;
        }
    }
}
