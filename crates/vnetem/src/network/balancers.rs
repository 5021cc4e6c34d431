//! Load balancers, as far as flows leave by them: outbound rules and the ports that each member of the pool has (N-10, N-19 to N-25).

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use vnetem_nat::IdleMinutes;
use vnetem_packet::VnetId;

use super::Network;
use super::check::PublicOwner;
use crate::{EditError, LoadBalancerId, NicId};

/// A load balancer of a virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Its name, unique among load balancers.
    pub name: String,
    /// The virtual network of its members.
    pub vnet: VnetId,
    /// Its public addresses.
    pub frontends: Vec<Ipv4Addr>,
    /// How members' flows leave.
    pub rule: OutboundRule,
    /// Ports of its addresses that load-balancing and inbound rules listen on; each costs the eight ports around it (N-21).
    pub inbound: BTreeSet<(Ipv4Addr, u16)>,
    /// The members of the pool, each with the number of its block of ports.
    pub members: BTreeMap<NicId, usize>,
}

/// The outbound rule of a load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboundRule {
    /// Ports for each member, over all addresses together, a multiple of 8; 0 means the table of N-19, for each address.
    pub ports: u16,
    /// Whether both ends of an established TCP flow get a reset when it idles out (N-23).
    pub resets: bool,
    /// After how long TCP flows idle out, if not after 4 minutes (N-23). Flows that are open keep what they have.
    pub idle: Option<IdleMinutes>,
}

/// Ports of one public address, in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortBlock {
    /// The address.
    pub address: Ipv4Addr,
    /// Its first port.
    pub first: u16,
    /// Its last port.
    pub last: u16,
}

/// Members of one pool (N-19).
const MAX_MEMBERS: usize = 1000;

/// Ports of one address: 64,000 from 1024 on (N-10, C-08), in aligned blocks of eight.
const FIRST_PORT: usize = 1024;
const BLOCKS: usize = 8000;
const BLOCK: usize = 8;

impl LoadBalancer {
    /// Ports for each member: of each address by the table of N-19, or of all together as the rule says.
    #[must_use]
    pub fn ports_per_member(&self) -> usize {
        match (self.rule.ports, self.members.len()) {
            (0, ..=50) => 1024,
            (0, ..=100) => 512,
            (0, ..=200) => 256,
            (0, ..=400) => 128,
            (0, ..=800) => 64,
            (0, _) => 32,
            (ports, _) => ports.into(),
        }
    }

    /// The ports of a member, in order; none for an interface that is no member.
    pub fn blocks_of(&self, member: NicId) -> impl Iterator<Item = PortBlock> {
        let size = self.ports_per_member() / BLOCK;
        let mine = self.members.get(&member).map(|slot| (slot * size, size));
        let mut pieces = Vec::new();
        let Some((mut start, mut left)) = mine else { return pieces.into_iter() };
        for &address in &self.frontends {
            let lost = self.lost(address);
            let usable = BLOCKS - lost.len();
            let taken = usable.saturating_sub(start).min(left);
            pieces.extend(runs(&lost, start, taken).into_iter().filter_map(|(first, count)| {
                let port = |block: usize| u16::try_from(FIRST_PORT + block * BLOCK).ok();
                let last = port(first + count)?.checked_sub(1)?;
                Some(PortBlock { address, first: port(first)?, last })
            }));
            if self.rule.ports > 0 {
                start = start.saturating_sub(usable);
                left -= taken;
            }
        }
        pieces.into_iter()
    }

    /// To whom the multiplexer gives what arrives at a public address and port (N-25).
    #[must_use]
    pub fn member_behind(&self, address: Ipv4Addr, port: u16) -> Option<NicId> {
        let has = |block: PortBlock| {
            block.address == address && (block.first..=block.last).contains(&port)
        };
        self.members.keys().copied().find(|member| self.blocks_of(*member).any(has))
    }

    /// Blocks of eight that rules for arriving traffic cost an address (N-21).
    fn lost(&self, address: Ipv4Addr) -> BTreeSet<usize> {
        let here = self.inbound.iter().filter(|(of, _)| *of == address);
        here.filter_map(|(_, port)| usize::from(*port).checked_sub(FIRST_PORT))
            .map(|port| port / BLOCK)
            .filter(|block| *block < BLOCKS)
            .collect()
    }

    /// Numbers the members anew if the size of their blocks has changed, and says whether all have room.
    fn arrange(&mut self, before: usize) -> Result<(), EditError> {
        if self.ports_per_member() != before {
            for (slot, number) in self.members.values_mut().zip(0..) {
                *slot = number;
            }
        }
        if self.members.len() > MAX_MEMBERS {
            return Err(EditError::Limit { what: "members of a pool", limit: MAX_MEMBERS });
        }
        let blocks = self.frontends.iter().map(|address| BLOCKS - self.lost(*address).len());
        let available = BLOCK * blocks.sum::<usize>();
        let slots = self.members.values().max().map_or(0, |slot| slot + 1);
        let needed = slots * self.ports_per_member();
        if self.rule.ports > 0 && needed > available {
            let name = format!("load balancer {}", self.name);
            return Err(EditError::PortSum { name, needed, available });
        }
        Ok(())
    }
}

/// So many blocks from `start` on, not counting those that are lost, as runs of neighbours: first and count.
fn runs(lost: &BTreeSet<usize>, start: usize, count: usize) -> Vec<(usize, usize)> {
    let (mut at, mut left) = (start, count);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &hole in lost {
        if hole <= at {
            at += 1;
        } else if left > 0 {
            let run = left.min(hole - at);
            runs.push((at, run));
            left -= run;
            at = hole + 1;
        }
    }
    if left > 0 {
        runs.push((at, left));
    }
    runs
}

impl Network {
    /// Makes a load balancer with public addresses, without members, and with the outbound rule that is the default.
    ///
    /// # Errors
    ///
    /// The network does not exist, the name is taken, or an address is missing, not public, a service's or in use.
    pub fn add_load_balancer(
        &mut self,
        vnet: VnetId,
        name: &str,
        frontends: &[Ipv4Addr],
    ) -> Result<LoadBalancerId, EditError> {
        self.vnet(vnet)?;
        if self.balancers.values().any(|balancer| balancer.name == name) {
            return Err(EditError::NameTaken { kind: "load balancer", name: name.into() });
        }
        if frontends.is_empty() {
            return Err(EditError::NoRanges { kind: "load balancer", name: name.into() });
        }
        let id = LoadBalancerId(self.next_balancer);
        let owner = PublicOwner::LoadBalancer(id);
        self.check_public(frontends, owner, &format!("load balancer {name}"))?;
        self.take_public(frontends, owner);
        self.next_balancer += 1;
        let balancer = LoadBalancer {
            name: name.into(),
            vnet,
            frontends: frontends.to_vec(),
            rule: OutboundRule::default(),
            inbound: BTreeSet::new(),
            members: BTreeMap::new(),
        };
        self.balancers.insert(id, balancer);
        self.dirty.vnets.insert(vnet);
        Ok(id)
    }

    /// Removes a load balancer.
    ///
    /// # Errors
    ///
    /// It does not exist, or has members.
    pub fn remove_load_balancer(&mut self, id: LoadBalancerId) -> Result<(), EditError> {
        let balancer = self.load_balancer(id)?;
        if !balancer.members.is_empty() {
            let name = format!("load balancer {}", balancer.name);
            return Err(EditError::InUse { name, by: "a member".into() });
        }
        let (frontends, vnet) = (balancer.frontends.clone(), balancer.vnet);
        self.release_public(&frontends);
        self.balancers.remove(&id);
        self.dirty.vnets.insert(vnet);
        Ok(())
    }

    /// Replaces the public addresses of a load balancer; flows behind ports that their member has no more are ended (N-08).
    ///
    /// # Errors
    ///
    /// It does not exist, an address is missing, not public, a service's or in use, or the members' ports have no room (N-20).
    pub fn set_frontends(
        &mut self,
        id: LoadBalancerId,
        frontends: &[Ipv4Addr],
    ) -> Result<(), EditError> {
        let name = format!("load balancer {}", self.load_balancer(id)?.name);
        if frontends.is_empty() {
            return Err(EditError::NoRanges { kind: "the outbound rule of", name });
        }
        let owner = PublicOwner::LoadBalancer(id);
        self.check_public(frontends, owner, &name)?;
        let old = self.load_balancer(id)?.frontends.clone();
        self.edit_balancer(id, |balancer| balancer.frontends = frontends.to_vec())?;
        self.take_public(frontends, owner);
        self.release_public(&old);
        Ok(())
    }

    /// Replaces the outbound rule of a load balancer. With another number of ports members get other blocks, and flows behind ports that
    /// their member has no more are ended.
    ///
    /// # Errors
    ///
    /// It does not exist, the count is no multiple of 8, or the sum is more than the addresses have (N-20).
    pub fn set_outbound_rule(
        &mut self,
        id: LoadBalancerId,
        rule: OutboundRule,
    ) -> Result<(), EditError> {
        self.load_balancer(id)?;
        if !usize::from(rule.ports).is_multiple_of(BLOCK) {
            return Err(EditError::PortCount { count: rule.ports });
        }
        self.edit_balancer(id, |balancer| balancer.rule = rule)
    }

    /// Puts an interface into the pool of a load balancer; in it already, nothing changes (D4).
    ///
    /// # Errors
    ///
    /// One does not exist, the interface is in another network or in another pool, or its ports have no room (N-20).
    pub fn add_member(&mut self, id: LoadBalancerId, nic: NicId) -> Result<(), EditError> {
        let (balancer, member) = (self.load_balancer(id)?, self.nic(nic)?);
        let name = format!("nic {}", member.name);
        if self.subnet(member.subnet)?.vnet != balancer.vnet {
            let kind = "nic of the load balancer's network";
            return Err(EditError::Unknown { kind, name: member.name.clone() });
        }
        let elsewhere = self.balancers.iter().find(|(_, it)| it.members.contains_key(&nic));
        match elsewhere {
            Some((other, _)) if *other == id => return Ok(()),
            Some((_, other)) => {
                return Err(EditError::InUse { name, by: format!("load balancer {}", other.name) });
            }
            None => {}
        }
        self.edit_balancer(id, |balancer| {
            let taken: BTreeSet<usize> = balancer.members.values().copied().collect();
            let free = (0..).find(|slot| !taken.contains(slot)).unwrap_or(taken.len());
            balancer.members.insert(nic, free);
        })
    }

    /// Takes an interface out of the pool of a load balancer; its flows are ended. Not in it, nothing changes (D4).
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn remove_member(&mut self, id: LoadBalancerId, nic: NicId) -> Result<(), EditError> {
        self.nic(nic)?;
        self.edit_balancer(id, |balancer| {
            balancer.members.remove(&nic);
        })
    }

    /// Notes that a load-balancing or inbound rule listens on a port of one of the addresses: outbound flows lose the block of eight around
    /// it (N-21). What arrives there is not balanced.
    ///
    /// # Errors
    ///
    /// It does not exist, the address is none of its, or the members' ports have no room any more (N-20).
    pub fn add_inbound_rule(
        &mut self,
        id: LoadBalancerId,
        address: Ipv4Addr,
        port: u16,
    ) -> Result<(), EditError> {
        if !self.load_balancer(id)?.frontends.contains(&address) {
            let kind = "address of the load balancer";
            return Err(EditError::Unknown { kind, name: address.to_string() });
        }
        self.edit_balancer(id, |balancer| {
            balancer.inbound.insert((address, port));
        })
    }

    /// A load balancer.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn load_balancer(&self, id: LoadBalancerId) -> Result<&LoadBalancer, EditError> {
        let unknown = || EditError::Unknown { kind: "load balancer", name: id.to_string() };
        self.balancers.get(&id).ok_or_else(unknown)
    }

    /// All load balancers, by number.
    pub fn load_balancers(&self) -> impl Iterator<Item = (LoadBalancerId, &LoadBalancer)> {
        self.balancers.iter().map(|(&id, balancer)| (id, balancer))
    }

    fn edit_balancer(
        &mut self,
        id: LoadBalancerId,
        edit: impl FnOnce(&mut LoadBalancer),
    ) -> Result<(), EditError> {
        let mut draft = self.load_balancer(id)?.clone();
        let before = draft.ports_per_member();
        edit(&mut draft);
        draft.arrange(before)?;
        self.dirty.vnets.insert(draft.vnet);
        self.balancers.insert(id, draft);
        Ok(())
    }
}
