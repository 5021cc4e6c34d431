//! State that flows of a pool share: limits of internal addresses, ports of sockets, permitted
//! remotes, blocks of ports.
//!
//! It changes only when a flow opens or ends. Flows of pools without such rules cost nothing here.

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
    /// By the slot of the flow. It is shorter than the table while no later flow shares anything.
    pub(crate) of: Vec<Share>,
    pub(crate) hosts: Keyed<Host>,
    pub(crate) sockets: Keyed<Socket>,
    /// Endpoint-independent mappings by external tuple.
    pub(crate) externals: Keyed<u32>,
    /// Flows of endpoint-independent mappings by external tuple and remote address.
    pub(crate) permitted_remotes: Keyed<PermittedRemote>,
    pub(crate) blocks: Keyed<BlockUse>,
    /// Whether there ever was an endpoint-independent mapping.
    pub(crate) has_independent: bool,
    /// Where the search for idle hosts continues.
    pub(crate) hand: u32,
    pub(crate) capacity: usize,
}

/// The groups of one flow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) host: u32,
    pub(crate) socket: u32,
    pub(crate) permitted_remote: u32,
    pub(crate) block: u32,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Host {
    pub(crate) tenant: Tenant,
    pub(crate) flows: u32,
    pub(crate) ports: u32,
    /// The theoretical arrival time of the rate limiter (GCRA).
    pub(crate) paid_until: u64,
    pub(crate) blocks: [Option<u32>; 4],
}

#[derive(Clone, Copy)]
pub(crate) struct PermittedRemote {
    pub(crate) tenant: Tenant,
    pub(crate) flows: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct Socket {
    pub(crate) tenant: Tenant,
    pub(crate) external: SocketAddrV4,
    pub(crate) filtering: Option<Filtering>,
    pub(crate) flows: u32,
    pub(crate) host: u32,
    pub(crate) block: u32,
    /// When the hold-down of its port ends, by the flows that have ended so far.
    pub(crate) held_until: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct BlockUse {
    pub(crate) tenant: Tenant,
    pub(crate) flows: u32,
    pub(crate) host: u32,
    pub(crate) last: u16,
}

/// The external tuple that an ended endpoint-independent mapping leaves.
pub(crate) struct Left {
    /// The tuple, towards all remotes.
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
            has_independent: false,
            hand: 0,
            capacity: flows as usize,
        }
    }

    /// Gives the number of flows that may share state.
    pub(crate) fn flows(&self) -> u32 {
        u32::try_from(self.capacity).unwrap_or(u32::MAX)
    }

    /// Says whether an internal address may open one more flow (T-10). At the limit it may replace
    /// its finished flow, whose slot is `gives_way`.
    pub(crate) fn admit(
        &self,
        now: u64,
        limits: &Limits,
        wanted: &Wanted,
        gives_way: impl FnOnce() -> Option<u32>,
    ) -> Result<(), NoTuple> {
        // Nearly every pool has no such limits.
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

    /// Says whether an internal address may have one more port.
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

    /// Gives the external tuple of an internal socket.
    #[inline]
    pub(crate) fn external(&self, rule: SocketRule, wanted: &Wanted) -> Option<SocketAddrV4> {
        let key = socket_key(rule, wanted.internal_zone, wanted.protocol, wanted.internal)?;
        let socket = self.sockets.get(self.sockets.find(&key)?)?;
        Some(socket.external)
    }

    /// Says whether a key is the external tuple of an endpoint-independent mapping.
    pub(crate) fn has_external(&self, key: &Key) -> bool {
        self.externals.find(key).is_some()
    }

    /// Says whether external tuples may be in hold-down towards all remotes.
    pub(crate) fn has_independent(&self) -> bool {
        self.has_independent
    }

    /// Gives the internal socket that a packet from the external side may reach without a flow
    /// (T-03).
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
            socket: SocketRule::Independent(filtering),
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

    /// Lists the keys of the state that a flow needs: internal address, socket, permitted remote,
    /// block.
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

    /// Says whether there is room for what [`join`](Self::join) would add. If a flow opens together
    /// with another, that one's additions count too.
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

    /// Says whether another socket owns the external tuple that the flow's socket wants to own.
    pub(crate) fn is_anothers<T: Copy>(&self, new: &NewFlow<T>) -> bool {
        let SocketRule::Independent(_) = new.mapping_policy.socket else { return false };
        let key =
            socket_key(new.mapping_policy.socket, new.internal_zone, new.protocol, new.internal);
        let number = key.and_then(|key| self.sockets.find(&key));
        let external = endpoint_independent(&new.key(Side::External));
        let owner = self.externals.find(&external).and_then(|at| self.externals.get(at));
        owner != number.as_ref()
    }

    /// Says whether the flow in a slot has an endpoint-independent mapping, which then also owns
    /// the hold-down.
    pub(crate) fn is_independent(&self, slot: u32) -> bool {
        let share = self.of.get(slot as usize);
        share
            .and_then(|share| self.sockets.get(share.socket))
            .is_some_and(|socket| socket.filtering.is_some())
    }

    /// Gives the block of the flow in a slot, and how many flows have ports of it.
    pub(crate) fn block_of(&self, slot: u32) -> Option<(Block, u32)> {
        let number = self.of.get(slot as usize)?.block;
        Some((self.block(number)?, self.blocks.get(number)?.flows))
    }

    /// Lists the blocks of an internal address.
    pub(crate) fn blocks_of(&self, wanted: &Wanted) -> impl Iterator<Item = Block> {
        let blocks = self.host(wanted).map_or([None; 4], |host| host.blocks);
        blocks.into_iter().flatten().filter_map(|number| self.block(number))
    }

    /// Says whether nobody has a block.
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

    /// Finds an idle host of a tenant among the next few, which can be dropped to make room.
    pub(crate) fn idle(&self, now: u64, tenant: Tenant) -> Option<u32> {
        let all = self.hosts.used();
        let mut next = (0..8).filter_map(|step| self.hand.wrapping_add(step).checked_rem(all));
        next.find(|&at| {
            self.hosts.get(at).is_some_and(|host| host.tenant == tenant && host.is_idle(now))
        })
    }
}

impl Host {
    /// Says whether a host has no flow or block, and no delay before its next flow.
    pub(crate) fn is_idle(&self, now: u64) -> bool {
        self.flows == 0 && self.ports == 0 && self.paid_until <= now
    }
}

impl Share {
    pub(crate) const NONE: Self =
        Self { host: NIL, socket: NIL, permitted_remote: NIL, block: NIL };

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }
}
