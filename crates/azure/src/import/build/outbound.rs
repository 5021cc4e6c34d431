//! How subnets and interfaces reach public addresses.

use core::net::Ipv4Addr;

use vnetem::{control::Outbound, nat::IdleMinutes};

use super::LoadedNetwork;
use crate::import::{Inventory, Link, NatGateway, Subnet};

/// Addresses that one NAT gateway can have.
const MAX_ADDRESSES: usize = 16;

impl LoadedNetwork {
    pub(super) fn set_outbound(&mut self, inventory: &Inventory) {
        for subnet in &inventory.subnets {
            let places = self.subnets.get(&subnet.id).cloned().unwrap_or_default();
            let (method, idle) = self.method(subnet, inventory);
            for place in places {
                self.set_method(subnet, place, method.clone());
                let held = self.network.subnet(place).map(|held| held.idle);
                if matches!(method, Outbound::NatGateway(_)) && held != Ok(idle) {
                    let set = self.network.set_gateway_idle(place, idle);
                    self.done(&subnet.place, set);
                }
            }
        }
        for nic in &inventory.nics {
            let places = self.nics.get(&nic.id).cloned().unwrap_or_default();
            let known = nic.configurations.iter().filter(|one| one.address.is_some());
            for (place, one) in places.into_iter().zip(known) {
                let address = match &one.public {
                    Link::None => None,
                    Link::To(id) => self.public_address(id, inventory),
                    Link::Unresolved => {
                        self.stand_ins.public(&format!("public address of {}", nic.id))
                    }
                };
                if self.network.nic(place).is_ok_and(|held| held.public == address) {
                    continue;
                }
                let set = self.network.set_public_address(place, address);
                self.done(&nic.place, set);
            }
        }
    }

    fn method(
        &mut self,
        subnet: &Subnet,
        inventory: &Inventory,
    ) -> (Outbound, Option<IdleMinutes>) {
        match &subnet.nat_gateway {
            Link::To(id) => {
                let gateway = inventory.nat_gateways.iter().find(|one| one.id == *id);
                let mut addresses =
                    gateway.map(|one| self.addresses(one, inventory)).unwrap_or_default();
                if addresses.is_empty() {
                    addresses.extend(self.stand_in(&format!("public address of {id}")));
                }
                let minutes = gateway.and_then(|one| one.idle_minutes);
                let idle =
                    minutes.and_then(|minutes| IdleMinutes::new(u8::try_from(minutes).ok()?));
                (Outbound::NatGateway(addresses), idle)
            }
            Link::Unresolved => {
                let address = self.stand_in(&format!("NAT gateway of {}", subnet.id));
                (Outbound::NatGateway(address.into_iter().collect()), None)
            }
            Link::None if subnet.default_outbound == Some(false) => (Outbound::Private, None),
            Link::None => {
                let what = format!("default outbound address of {}", subnet.id);
                self.assume(
                    "default-outbound-as-before-2026",
                    "A subnet without an outbound method of its own has the platform's default \
                     address, unless its file says otherwise.",
                );
                let address = self.stand_in(&what);
                (address.map_or(Outbound::Private, Outbound::Default), None)
            }
        }
    }

    fn addresses(&mut self, gateway: &NatGateway, inventory: &Inventory) -> Vec<Ipv4Addr> {
        let mut addresses = Vec::new();
        for link in &gateway.public_ips {
            addresses.extend(match link {
                Link::To(id) => self.public_address(id, inventory),
                _ => self.stand_in(&format!("public address of {}", gateway.id)),
            });
        }
        for link in &gateway.public_ip_prefixes {
            let range = inventory.public_ip_prefixes.iter().find(|one| Some(&one.id) == link.id());
            match range.and_then(|range| range.prefix) {
                Some(prefix) => {
                    let first = u32::from(prefix.network());
                    let count = 1_u32 << (32 - prefix.prefix_len()).min(5);
                    addresses.extend((0..count).map(|at| Ipv4Addr::from(first.saturating_add(at))));
                }
                None => addresses.extend(self.stand_in(&format!("public range of {}", gateway.id))),
            }
        }
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }

    /// The address of a public address; a stand-in if it is given at run time.
    pub(super) fn public_address(
        &mut self,
        id: &crate::import::Id,
        inventory: &Inventory,
    ) -> Option<Ipv4Addr> {
        inventory.address_of(id).or_else(|| self.stand_in(&format!("public address {id}")))
    }

    fn stand_in(&mut self, what: &str) -> Option<Ipv4Addr> {
        self.assume(
            "public-addresses-stand-in",
            "Public addresses that no file says are stood in for by addresses for documents \
             (RFC 5737).",
        );
        self.stand_ins.public(what)
    }
}
