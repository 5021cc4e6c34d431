//! What flows of a pool have in common: the inside address that is limited, the inside socket that
//! keeps its port, the remotes that it talked to, the block of ports that it has. Touched when a
//! flow opens and when it ends, and by no packet in between; flows of pools that want none of it
//! cost nothing here.

use core::net::SocketAddrV4;

use vnetem_packet::FiveTuple;

use crate::mapping::choose::{NoTuple, Wanted};
use crate::mapping::mapping_policy::{Block, Inbound, MappingPolicy, SocketRule};
use crate::mapping::mapping_policy::{
    endpoint_independent, host_key, permitted_remote, socket_key,
};
use crate::mapping::rules::{Filtering, Limits};
use crate::settings::Shared;
use crate::table::key::{Key, Secret};
use crate::table::keyed::Keyed;
use crate::table::slab::NIL;
use crate::table::{BLOCKS, HOSTS, PERMITTED_REMOTES, SOCKETS, TableQuota};
use crate::time::nanoseconds;
use crate::{NewFlow, Side, Tenant, Zone};

pub(crate) struct MappingState {
    /// By the slot of the flow; shorter than the table as long as no later flow shares anything.
    of: Vec<Share>,
    hosts: Keyed<Host>,
    sockets: Keyed<Socket>,
    /// Whole sockets by their external tuple.
    externals: Keyed<u32>,
    /// Flows of whole sockets by external tuple and remote address.
    permitted_remotes: Keyed<PermittedRemote>,
    blocks: Keyed<BlockUse>,
    /// Whether there ever was a whole socket.
    has_whole: bool,
    /// Where the search for forgotten hosts goes on.
    hand: u32,
    capacity: usize,
}

/// The groups that one flow belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    host: u32,
    socket: u32,
    permitted_remote: u32,
    block: u32,
}

#[derive(Clone, Copy, Default)]
struct Host {
    tenant: Tenant,
    flows: u32,
    ports: u32,
    /// When the next flow may open if no burst is left; behind the present by as much as the burst
    /// has left.
    paid_until: u64,
    blocks: [Option<u32>; 4],
}

#[derive(Clone, Copy)]
struct PermittedRemote {
    tenant: Tenant,
    flows: u32,
}

#[derive(Clone, Copy)]
struct Socket {
    tenant: Tenant,
    external: SocketAddrV4,
    filtering: Option<Filtering>,
    flows: u32,
    host: u32,
    block: u32,
    /// Until when its port rests, by the flows that ended so far.
    rests_until: u64,
}

#[derive(Clone, Copy)]
struct BlockUse {
    tenant: Tenant,
    flows: u32,
    host: u32,
    last: u16,
}

/// What a whole socket leaves behind.
pub(crate) struct Left {
    /// Its external tuple, towards all remotes.
    pub(crate) key: Key,
    pub(crate) until: u64,
}

impl MappingState {
    pub(crate) fn new(flows: u32, room: &Shared, secret: Secret) -> Self {
        let flows = if *room == Shared::NONE { 0 } else { flows };
        let sockets = room.sockets.min(flows);
        Self {
            of: Vec::with_capacity(flows as usize),
            hosts: Keyed::new(room.hosts, secret),
            sockets: Keyed::new(sockets, secret),
            externals: Keyed::new(sockets, secret),
            permitted_remotes: Keyed::new(sockets, secret),
            blocks: Keyed::new(room.blocks, secret),
            has_whole: false,
            hand: 0,
            capacity: flows as usize,
        }
    }

    /// Flows that may share something.
    pub(crate) fn flows(&self) -> u32 {
        u32::try_from(self.capacity).unwrap_or(u32::MAX)
    }

    /// Whether an inside address may open one more flow by these limits (T-10). Whoever is at the
    /// limit may open anew what is over: `gives_way` is the slot of that, if there is one.
    pub(crate) fn admit(
        &self,
        now: u64,
        limits: &Limits,
        wanted: &Wanted,
        gives_way: impl FnOnce() -> Option<u32>,
    ) -> Result<(), NoTuple> {
        // Nearly every pool.
        if limits.flows == 0 && limits.rate.is_none() {
            return Ok(());
        }
        let Some(host) = self.host(wanted) else { return Ok(()) };
        if limits.flows > 0 && host.flows >= limits.flows {
            let counts =
                |slot: u32| self.of.get(slot as usize).is_some_and(|share| share.host != NIL);
            if host.flows > limits.flows || !gives_way().is_some_and(counts) {
                return Err(NoTuple::Quota);
            }
        }
        let Some(rate) = limits.rate else { return Ok(()) };
        let interval = nanoseconds(rate.interval);
        let burst = interval.saturating_mul(u64::from(rate.burst).saturating_sub(1));
        match host.paid_until <= now.saturating_add(burst) {
            true => Ok(()),
            false => Err(NoTuple::Rate),
        }
    }

    /// Whether an inside address may have one more port.
    #[inline]
    pub(crate) fn admit_port(&self, limits: &Limits, wanted: &Wanted) -> Result<(), NoTuple> {
        if limits.ports == 0 {
            return Ok(());
        }
        match self.host(wanted) {
            Some(host) if host.ports >= limits.ports => Err(NoTuple::Quota),
            _ => Ok(()),
        }
    }

    /// The external tuple that an inside socket has.
    #[inline]
    pub(crate) fn external(&self, rule: SocketRule, wanted: &Wanted) -> Option<SocketAddrV4> {
        let key = socket_key(rule, wanted.internal_zone, wanted.protocol, wanted.internal)?;
        let socket = self.sockets.get(self.sockets.find(&key)?)?;
        Some(socket.external)
    }

    /// Whether a key is the external tuple of a whole socket, towards all remotes.
    pub(crate) fn has_external(&self, key: &Key) -> bool {
        self.externals.find(key).is_some()
    }

    /// Whether external tuples may rest towards all remotes.
    pub(crate) fn has_whole(&self) -> bool {
        self.has_whole
    }

    /// The inside socket to which a packet from the outside may come without a flow (T-03).
    pub(crate) fn inbound(&self, zone: Zone, tuple: &FiveTuple) -> Option<Inbound> {
        let key = Key::new(zone, tuple);
        let number = *self.externals.get(self.externals.find(&endpoint_independent(&key))?)?;
        let socket = self.sockets.get(number)?;
        let filtering = socket.filtering?;
        let open = match filtering {
            Filtering::AddressAndPort => false,
            Filtering::Address => self.permitted_remotes.find(&permitted_remote(&key)).is_some(),
            Filtering::Independent => true,
        };
        let internal = self.sockets.key(number)?;
        let mapping_policy = MappingPolicy {
            socket: SocketRule::Whole(filtering),
            counts: self.hosts.get(socket.host).is_some(),
            delays: 0,
            block: self.block(socket.block),
            ..MappingPolicy::default()
        };
        open.then(|| Inbound {
            internal: internal.tuple().source,
            zone: internal.zone(),
            mapping_policy,
        })
    }

    /// What a flow would have to make that it shares with others: the keys of its inside address,
    /// its socket, whom it talks to, and its block.
    fn wants<T: Copy>(&self, new: &NewFlow<T>) -> [Option<Key>; 4] {
        let mapping_policy = &new.mapping_policy;
        let mut wants = [None; 4];
        if mapping_policy.is_none() {
            return wants;
        }
        let [host, socket, contacted, block] = &mut wants;
        if mapping_policy.counts || mapping_policy.block.is_some() {
            let key = host_key(new.internal_zone, new.internal);
            *host = Some(key).filter(|key| self.hosts.find(key).is_none());
        }
        if let Some(wanted) = mapping_policy.block {
            let key = wanted.key(new.external_zone);
            *block = Some(key).filter(|key| self.blocks.find(key).is_none());
        }
        if let Some(key) =
            socket_key(mapping_policy.socket, new.internal_zone, new.protocol, new.internal)
        {
            let number = self.sockets.find(&key);
            *socket = Some(key).filter(|_| number.is_none());
            let known = number.and_then(|number| self.sockets.get(number));
            let filtering = known.map_or(mapping_policy.filtering(), |socket| socket.filtering);
            if filtering == Some(Filtering::Address) {
                let key = permitted_remote(&new.key(Side::External));
                *contacted = Some(key).filter(|key| self.permitted_remotes.find(key).is_none());
            }
        }
        wants
    }

    /// Whether there is room for what [`join`](Self::join) would make; if it is asked for a flow
    /// that opens after another, with what that will have made.
    pub(crate) fn has_room<T: Copy>(
        &self,
        now: u64,
        new: &NewFlow<T>,
        quota: &TableQuota,
        before: Option<&NewFlow<T>>,
    ) -> bool {
        if new.mapping_policy.is_none() {
            return true;
        }
        let made = before.map_or([None; 4], |before| self.wants(before));
        let tables = [HOSTS, SOCKETS, PERMITTED_REMOTES, BLOCKS];
        tables.into_iter().zip(self.wants(new)).zip(made).all(|((table, wanted), made)| {
            if wanted.is_none() || wanted == made {
                return true;
            }
            let other = before.filter(|_| made.is_some()).map(|before| before.tenant);
            quota.has_room_beside(table, new.tenant, other)
                || table == HOSTS && self.idle(now, new.tenant).is_some()
        })
    }

    /// Whether the external tuple that a flow's socket is to have for itself belongs to another.
    pub(crate) fn is_anothers<T: Copy>(&self, new: &NewFlow<T>) -> bool {
        let SocketRule::Whole(_) = new.mapping_policy.socket else { return false };
        let key =
            socket_key(new.mapping_policy.socket, new.internal_zone, new.protocol, new.internal);
        let number = key.and_then(|key| self.sockets.find(&key));
        let external = endpoint_independent(&new.key(Side::External));
        let owner = self.externals.find(&external).and_then(|at| self.externals.get(at));
        owner != number.as_ref()
    }

    /// Lets a new flow share what it is to, before it has a slot. Whether its socket takes the
    /// external tuple as such, towards all remotes, is the second answer.
    pub(crate) fn join<T: Copy>(
        &mut self,
        now: u64,
        new: &NewFlow<T>,
        quota: &mut TableQuota,
    ) -> Option<(Share, bool)> {
        let mut share = Share::NONE;
        if new.mapping_policy.is_none() {
            return Some((share, false));
        }
        match self.enter(now, new, &mut share, quota) {
            Some(takes) => Some((share, takes)),
            None => {
                self.part(now, share, 0, &new.key(Side::External), quota);
                None
            }
        }
    }

    /// Notes what the flow in a slot shares.
    #[inline]
    pub(crate) fn seat(&mut self, slot: u32, share: Share) {
        let at = slot as usize;
        if share.is_none() || at >= self.capacity {
            return;
        }
        if self.of.len() <= at {
            self.of.resize(at.saturating_add(1), Share::NONE);
        }
        if let Some(place) = self.of.get_mut(at) {
            *place = share;
        }
    }

    fn enter<T: Copy>(
        &mut self,
        now: u64,
        new: &NewFlow<T>,
        share: &mut Share,
        quota: &mut TableQuota,
    ) -> Option<bool> {
        let (mapping_policy, tenant) = (new.mapping_policy, new.tenant);
        if mapping_policy.counts || mapping_policy.block.is_some() {
            let key = host_key(new.internal_zone, new.internal);
            share.host = match self.hosts.find(&key) {
                Some(number) => number,
                None => self.add_host(now, key, tenant, quota)?,
            };
            let host = self.hosts.get_mut(share.host)?;
            host.flows = host.flows.saturating_add(1);
            host.paid_until = host.paid_until.max(now).saturating_add(mapping_policy.delays);
        }
        if let Some(block) = mapping_policy.block {
            let owner = BlockUse { tenant, flows: 0, host: share.host, last: block.last };
            share.block = self.blocks.find_or_insert(block.key(new.external_zone), owner)?;
            let used = self.blocks.get_mut(share.block)?;
            used.flows = used.flows.saturating_add(1);
            let (is_new, number) = (used.flows == 1, share.block);
            if is_new {
                quota.take(BLOCKS, tenant);
            }
            let host = self.hosts.get_mut(share.host)?;
            if is_new && let Some(place) = host.blocks.iter_mut().find(|place| place.is_none()) {
                *place = Some(number);
            }
        }
        let external_side = new.key(Side::External);
        let mut takes = false;
        if let Some(key) =
            socket_key(mapping_policy.socket, new.internal_zone, new.protocol, new.internal)
        {
            let filtering = mapping_policy.filtering();
            let Share { host, block, .. } = *share;
            let external = new.external;
            let socket =
                Socket { tenant, external, filtering, flows: 0, host, block, rests_until: 0 };
            share.socket = self.sockets.find_or_insert(key, socket)?;
            let number = share.socket;
            let socket = self.sockets.get_mut(number)?;
            socket.flows = socket.flows.saturating_add(1);
            let (is_new, filtering) = (socket.flows == 1, socket.filtering);
            if is_new {
                quota.take(SOCKETS, tenant);
            }
            if is_new && let Some(host) = self.hosts.get_mut(share.host) {
                host.ports = host.ports.saturating_add(1);
            }
            if is_new && filtering.is_some() {
                self.externals.find_or_insert(endpoint_independent(&external_side), number)?;
                self.has_whole = true;
                takes = true;
            }
            // A port keeps the filter with which it was given.
            if filtering == Some(Filtering::Address) {
                let none = PermittedRemote { tenant, flows: 0 };
                share.permitted_remote = self
                    .permitted_remotes
                    .find_or_insert(permitted_remote(&external_side), none)?;
                let permitted_remote = self.permitted_remotes.get_mut(share.permitted_remote)?;
                permitted_remote.flows = permitted_remote.flows.saturating_add(1);
                if permitted_remote.flows == 1 {
                    quota.take(PERMITTED_REMOTES, tenant);
                }
            }
        }
        Some(takes)
    }

    /// Adds an inside address, in place of one that may be forgotten if there is no room.
    fn add_host(
        &mut self,
        now: u64,
        key: Key,
        tenant: Tenant,
        quota: &mut TableQuota,
    ) -> Option<u32> {
        if !quota.has_room(HOSTS, tenant) {
            let idle = self.idle(now, tenant)?;
            quota.give_back(HOSTS, self.hosts.get(idle)?.tenant);
            self.hosts.remove(idle);
            self.hand = idle.wrapping_add(1);
        }
        let number = self.hosts.find_or_insert(key, Host { tenant, ..Host::default() })?;
        quota.take(HOSTS, tenant);
        Some(number)
    }

    /// Whether the flow in a slot has its external tuple from a whole socket, and so leaves the
    /// rest to that.
    pub(crate) fn is_of_whole(&self, slot: u32) -> bool {
        let share = self.of.get(slot as usize);
        share
            .and_then(|share| self.sockets.get(share.socket))
            .is_some_and(|socket| socket.filtering.is_some())
    }

    /// The block of the flow in a slot, and how many flows have ports of it.
    pub(crate) fn block_of(&self, slot: u32) -> Option<(Block, u32)> {
        let number = self.of.get(slot as usize)?.block;
        Some((self.block(number)?, self.blocks.get(number)?.flows))
    }

    /// The flow in a slot has ended, and its tuple would rest until then. A whole socket that has
    /// no other flow is gone.
    pub(crate) fn leave(
        &mut self,
        now: u64,
        slot: u32,
        until: u64,
        external: &Key,
        quota: &mut TableQuota,
    ) -> Option<Left> {
        let place = self.of.get_mut(slot as usize)?;
        let share = core::mem::replace(place, Share::NONE);
        self.part(now, share, until, external, quota)
    }

    /// Undoes [`join`](Self::join).
    pub(crate) fn part(
        &mut self,
        now: u64,
        share: Share,
        until: u64,
        external: &Key,
        quota: &mut TableQuota,
    ) -> Option<Left> {
        if let Some(permitted_remote) = self.permitted_remotes.get_mut(share.permitted_remote) {
            permitted_remote.flows = permitted_remote.flows.saturating_sub(1);
            if permitted_remote.flows == 0 {
                quota.give_back(PERMITTED_REMOTES, permitted_remote.tenant);
                self.permitted_remotes.remove(share.permitted_remote);
            }
        }
        let left = self.leave_socket(share.socket, until, external, quota);
        if let Some(used) = self.blocks.get_mut(share.block) {
            used.flows = used.flows.saturating_sub(1);
            if used.flows == 0 {
                quota.give_back(BLOCKS, used.tenant);
                if let Some(host) = self.hosts.get_mut(used.host) {
                    host.blocks
                        .iter_mut()
                        .filter(|at| **at == Some(share.block))
                        .for_each(|at| *at = None);
                }
                self.blocks.remove(share.block);
            }
        }
        if let Some(host) = self.hosts.get_mut(share.host) {
            host.flows = host.flows.saturating_sub(1);
            if host.is_idle(now) {
                quota.give_back(HOSTS, host.tenant);
                self.hosts.remove(share.host);
            }
        }
        left
    }

    fn leave_socket(
        &mut self,
        number: u32,
        until: u64,
        external: &Key,
        quota: &mut TableQuota,
    ) -> Option<Left> {
        let socket = self.sockets.get_mut(number)?;
        socket.flows = socket.flows.saturating_sub(1);
        socket.rests_until = socket.rests_until.max(until);
        if socket.flows > 0 {
            return None;
        }
        let Socket { tenant, filtering, host, rests_until: until, .. } = *socket;
        quota.give_back(SOCKETS, tenant);
        self.sockets.remove(number);
        if let Some(host) = self.hosts.get_mut(host) {
            host.ports = host.ports.saturating_sub(1);
        }
        filtering?;
        let key = endpoint_independent(external);
        if let Some(at) = self.externals.find(&key) {
            self.externals.remove(at);
        }
        Some(Left { key, until })
    }

    /// The blocks that an inside address has now.
    pub(crate) fn blocks_of(&self, wanted: &Wanted) -> impl Iterator<Item = Block> {
        let blocks = self.host(wanted).map_or([None; 4], |host| host.blocks);
        blocks.into_iter().flatten().filter_map(|number| self.block(number))
    }

    /// Whether nobody has a block.
    pub(crate) fn is_unused(&self, zone: Zone, block: Block) -> bool {
        self.blocks.find(&block.key(zone)).is_none()
    }

    fn block(&self, number: u32) -> Option<Block> {
        let (used, key) = (self.blocks.get(number)?, self.blocks.key(number)?);
        let end = key.tuple().destination;
        Some(Block { address: *end.ip(), first: end.port(), last: used.last })
    }

    fn host(&self, wanted: &Wanted) -> Option<&Host> {
        self.hosts.get(self.hosts.find(&host_key(wanted.internal_zone, wanted.internal))?)
    }

    /// A host of a tenant that may be forgotten to make room, of the next few: those that only
    /// still had to wait for their next flow.
    fn idle(&self, now: u64, tenant: Tenant) -> Option<u32> {
        let all = self.hosts.used();
        let mut next = (0..8).filter_map(|step| self.hand.wrapping_add(step).checked_rem(all));
        next.find(|&at| {
            self.hosts.get(at).is_some_and(|host| host.tenant == tenant && host.is_idle(now))
        })
    }
}

impl Host {
    /// Whether it has nothing and owes nothing.
    fn is_idle(&self, now: u64) -> bool {
        self.flows == 0 && self.ports == 0 && self.paid_until <= now
    }
}

impl Share {
    const NONE: Self = Self { host: NIL, socket: NIL, permitted_remote: NIL, block: NIL };

    fn is_none(self) -> bool {
        self == Self::NONE
    }
}
