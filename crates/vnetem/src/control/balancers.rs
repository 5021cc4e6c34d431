//! Load balancers, as far as outbound flows use them: outbound rules, and the ports of each member
//! of the pool (N-10, N-19 to N-25).

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// How the members' flows leave.
    pub rule: OutboundRule,
    /// Ports of its addresses on which load-balancing and inbound rules listen. Each costs the
    /// eight ports around it (N-21).
    pub inbound: BTreeSet<(Ipv4Addr, u16)>,
    /// The members of the pool, each with its ports in the order in which flows take them: all of
    /// the first address before any of the next (N-27).
    pub members: BTreeMap<NicId, Vec<PortBlock>>,
}

/// The outbound rule of a load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboundRule {
    /// Ports for each member, over all addresses together, a multiple of 8. With 0 the table of
    /// N-19 decides, for each address.
    pub ports: u16,
    /// Whether both ends of an established TCP flow get a reset when it idles out (N-23).
    pub resets: bool,
    /// The idle timeout of TCP flows, if it is not 4 minutes (N-23). Open flows keep their own.
    pub idle: Option<IdleMinutes>,
}

/// A contiguous range of ports of one public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortBlock {
    /// The address.
    pub address: Ipv4Addr,
    /// Its first port.
    pub first: u16,
    /// Its last port.
    pub last: u16,
}

/// The most members of one pool (N-19).
const MAX_MEMBERS: usize = 1000;

/// The ports of one address: 64,000 from 1024 on, in aligned blocks of eight (N-10, C-08).
const FIRST_PORT: usize = 1024;
const BLOCKS: usize = 8000;
const BLOCK: usize = 8;

impl LoadBalancer {
    /// Returns the ports of each member: of each address by the table of N-19, or of all together
    /// as the rule says.
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

    /// Returns the ports of a member, in order. An interface that is no member has none.
    pub fn blocks_of(&self, member: NicId) -> impl Iterator<Item = PortBlock> {
        self.members.get(&member).into_iter().flatten().copied()
    }

    /// Returns the member that gets what arrives at a public address and port (N-25).
    #[must_use]
    pub fn member_behind(&self, address: Ipv4Addr, port: u16) -> Option<NicId> {
        let has = |block: &PortBlock| {
            block.address == address && (block.first..=block.last).contains(&port)
        };
        self.members.iter().find(|(_, blocks)| blocks.iter().any(has)).map(|(nic, _)| *nic)
    }

    /// Returns the blocks of eight that inbound rules cost an address (N-21).
    fn lost(&self, address: Ipv4Addr) -> BTreeSet<usize> {
        let here = self.inbound.iter().filter(|(of, _)| *of == address);
        here.filter_map(|(_, port)| usize::from(*port).checked_sub(FIRST_PORT))
            .map(|port| port / BLOCK)
            .filter(|block| *block < BLOCKS)
            .collect()
    }

    /// Gives every member as many ports as it may have now (N-28):
    ///
    /// - A member that may have as many as before keeps all that still exist.
    /// - A member that may have fewer gives back its last ones.
    /// - A member that may have more gets free ones besides its own.
    ///
    /// Fails if there is not room for all.
    fn arrange(&mut self) -> Result<(), EditError> {
        if self.members.len() > MAX_MEMBERS {
            return Err(EditError::Limit { what: "members of a pool", limit: MAX_MEMBERS });
        }
        let each = self.ports_per_member() / BLOCK;
        let mut free: Vec<Vec<bool>> =
            self.frontends.iter().map(|address| self.usable(*address)).collect();
        let available = BLOCK * free.iter().flatten().filter(|usable| **usable).count();
        let needed = self.members.len() * self.ports_per_member();
        if self.rule.ports > 0 && needed > available {
            let name = format!("load balancer {}", self.name);
            return Err(EditError::PortSum { name, needed, available });
        }
        // N-27: each address gives a part of every member's ports, so that no member has all of the
        // first address.
        let count = self.frontends.len();
        let share = |at: usize| match self.rule.ports {
            0 => each,
            _ => (each + count - 1 - at) / count.max(1),
        };
        let total = if self.rule.ports == 0 { each * count } else { each };
        let mut kept: BTreeMap<NicId, Vec<Vec<usize>>> = BTreeMap::new();
        for (nic, blocks) in &self.members {
            let held = self.frontends.iter().zip(&free);
            let mut held: Vec<Vec<usize>> =
                held.map(|(address, usable)| eights_of(blocks, *address, usable)).collect();
            let mut surplus = held.iter().map(Vec::len).sum::<usize>().saturating_sub(total);
            for (at, eights) in held.iter_mut().enumerate().rev() {
                let over = eights.len().saturating_sub(share(at));
                let back = if self.rule.ports == 0 { over } else { over.min(surplus) };
                eights.truncate(eights.len() - back);
                surplus -= back.min(surplus);
            }
            kept.insert(*nic, held);
        }
        for (at, eight) in kept
            .values()
            .flat_map(|held| held.iter().enumerate())
            .flat_map(|(at, eights)| eights.iter().map(move |eight| (at, *eight)))
        {
            if let Some(place) = free.get_mut(at).and_then(|free| free.get_mut(eight)) {
                *place = false;
            }
        }
        // The first round takes a part of every address. The second round takes more of one where
        // another has too few.
        for makes_up in [false, true] {
            for held in kept.values_mut().filter(|_| !makes_up || self.rule.ports > 0) {
                for at in 0..count {
                    let missing = total.saturating_sub(held.iter().map(Vec::len).sum());
                    if let (Some(eights), Some(free)) = (held.get_mut(at), free.get_mut(at)) {
                        let all = eights.len() + missing;
                        fill(eights, free, if makes_up { all } else { all.min(share(at)) });
                    }
                }
            }
        }
        for (nic, held) in kept {
            let pieces = self.frontends.iter().zip(held);
            let blocks = pieces.flat_map(|(address, eights)| runs(*address, &eights)).collect();
            self.members.insert(nic, blocks);
        }
        Ok(())
    }

    /// Says for each block of eight of an address whether members may have it.
    fn usable(&self, address: Ipv4Addr) -> Vec<bool> {
        let lost = self.lost(address);
        (0..BLOCKS).map(|eight| !lost.contains(&eight)).collect()
    }
}

/// Returns the usable blocks of eight of an address that lie in blocks of ports, in their order.
fn eights_of(blocks: &[PortBlock], address: Ipv4Addr, usable: &[bool]) -> Vec<usize> {
    let here = blocks.iter().filter(|block| block.address == address);
    let eights = here.flat_map(|block| {
        let at = |port: u16| usize::from(port).saturating_sub(FIRST_PORT) / BLOCK;
        at(block.first)..=at(block.last)
    });
    eights.filter(|eight| usable.get(*eight) == Some(&true)).collect()
}

/// Takes free blocks of eight until `wanted` is reached, those behind the last one first.
fn fill(eights: &mut Vec<usize>, free: &mut [bool], wanted: usize) {
    let start = eights.last().map_or(0, |last| last + 1);
    for at in (start..free.len()).chain(0..start) {
        if eights.len() >= wanted {
            break;
        }
        if let Some(is_free) = free.get_mut(at).filter(|is_free| **is_free) {
            *is_free = false;
            eights.push(at);
        }
    }
    eights.sort_unstable();
}

/// Merges blocks of eight, in their order, into blocks of ports.
fn runs(address: Ipv4Addr, eights: &[usize]) -> Vec<PortBlock> {
    let port = |eight: usize| u16::try_from(FIRST_PORT + eight * BLOCK).unwrap_or(u16::MAX);
    let next_to = |one: &usize, other: &usize| one + 1 == *other;
    let runs = eights.chunk_by(next_to).filter_map(|run| run.first().zip(run.last()));
    runs.map(|(first, last)| PortBlock {
        address,
        first: port(*first),
        last: port(last + 1).saturating_sub(1),
    })
    .collect()
}

/// Edits of load balancers.
impl Network {
    /// Makes a load balancer with public addresses, the default outbound rule and no members.
    ///
    /// # Errors
    ///
    /// The network does not exist, the name is taken, or an address is missing, not public, a
    /// service's or in use.
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
        self.balancers.insert(id, Arc::new(balancer));
        self.dirty.hosts.add(vnet);
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
        self.dirty.hosts.add(vnet);
        Ok(())
    }

    /// Replaces the public addresses of a load balancer. Flows end whose port their member does not
    /// have any more (N-08).
    ///
    /// # Errors
    ///
    /// It does not exist, or the members' ports have no room (N-20). Or an address is missing, not
    /// public, a service's or in use.
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

    /// Replaces the outbound rule of a load balancer. With fewer ports, members give back their
    /// last ones, and the flows behind these end silently (N-28).
    ///
    /// # Errors
    ///
    /// It does not exist, the count is no multiple of 8, or the sum exceeds what the addresses have
    /// (N-20).
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

    /// Puts an interface into the pool of a load balancer. If it is a member, nothing changes
    /// (INV-edits-idempotent). At a step of the table each member gives back half of its ports, and
    /// the flows behind these end silently (N-19, N-28).
    ///
    /// # Errors
    ///
    /// One does not exist, the interface is in another network or in another pool, or its ports
    /// have no room (N-20).
    pub fn add_member(&mut self, id: LoadBalancerId, nic: NicId) -> Result<(), EditError> {
        let (balancer, member) = (self.load_balancer(id)?, self.nic(nic)?);
        let name = format!("nic {}", member.name);
        if self.subnet(member.subnet)?.vnet != balancer.vnet {
            let kind = "nic of the load balancer's network";
            return Err(EditError::Unknown { kind, name: member.name.clone() });
        }
        match self.index.balancers.get(&nic) {
            Some(other) if *other == id => return Ok(()),
            Some(other) => {
                let other = self.load_balancer(*other)?;
                return Err(EditError::InUse { name, by: format!("load balancer {}", other.name) });
            }
            None => {}
        }
        self.edit_balancer(id, |balancer| {
            balancer.members.insert(nic, Vec::new());
        })?;
        self.index.balancers.insert(nic, id);
        Ok(())
    }

    /// Takes an interface out of the pool of a load balancer, and ends its flows. If it is no
    /// member, nothing changes (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn remove_member(&mut self, id: LoadBalancerId, nic: NicId) -> Result<(), EditError> {
        self.nic(nic)?;
        self.edit_balancer(id, |balancer| {
            balancer.members.remove(&nic);
        })?;
        if self.index.balancers.get(&nic) == Some(&id) {
            self.index.balancers.remove(&nic);
        }
        Ok(())
    }

    /// Notes that a load-balancing or inbound rule listens on a port of one of the addresses.
    /// Outbound flows lose the block of eight around it (N-21), and flows behind these ports end
    /// silently. vnetem does not balance what arrives there.
    ///
    /// # Errors
    ///
    /// It does not exist, it does not have the address, or the members' ports have no room any more
    /// (N-20).
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

    /// Returns a load balancer.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn load_balancer(&self, id: LoadBalancerId) -> Result<&LoadBalancer, EditError> {
        let unknown = || EditError::Unknown { kind: "load balancer", name: id.to_string() };
        self.balancers.get(&id).map(AsRef::as_ref).ok_or_else(unknown)
    }

    /// Iterates over all load balancers, by number.
    pub fn load_balancers(&self) -> impl Iterator<Item = (LoadBalancerId, &LoadBalancer)> {
        self.balancers.iter().map(|(&id, balancer)| (id, &**balancer))
    }

    /// Returns the load balancer in whose pool an interface is.
    pub(super) fn balancer_of(&self, member: NicId) -> Option<&LoadBalancer> {
        self.load_balancer(*self.index.balancers.get(&member)?).ok()
    }

    fn edit_balancer(
        &mut self,
        id: LoadBalancerId,
        edit: impl FnOnce(&mut LoadBalancer),
    ) -> Result<(), EditError> {
        let before = self.load_balancer(id)?;
        let mut draft = before.clone();
        edit(&mut draft);
        draft.arrange()?;
        let members = before.members.keys().chain(draft.members.keys());
        let (members, vnet): (Vec<_>, _) = (members.copied().collect(), draft.vnet);
        members.into_iter().for_each(|nic| self.mark_nic(nic, vnet));
        draft.frontends.iter().for_each(|address| self.dirty.public.add(*address));
        self.dirty.hosts.add(vnet);
        self.balancers.insert(id, Arc::new(draft));
        Ok(())
    }
}
