//! Adds what a new flow shares to the mapping state, and removes what an ended one shared.

use crate::mapping::mapping_policy::{
    endpoint_independent, host_key, permitted_remote, socket_key,
};
use crate::mapping::mappings::{
    BlockUse, Host, Left, MappingState, PermittedRemote, Share, Socket,
};
use crate::mapping::rules::Filtering;
use crate::table::key::Key;
use crate::table::{BLOCKS, HOSTS, PERMITTED_REMOTES, SOCKETS, TableQuota};
use crate::{NewFlow, Side, Tenant};

impl MappingState {
    /// Adds the state that a new flow shares, before it has a slot. The second result says whether
    /// its socket now owns the external tuple towards all remotes.
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
                Socket { tenant, external, filtering, flows: 0, host, block, held_until: 0 };
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
                self.has_independent = true;
                takes = true;
            }
            // A port keeps the filtering with which it was given.
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

    /// Adds an internal address, in place of an idle one if there is no room.
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

    /// Removes an ended flow, whose tuple would be in hold-down until then. An endpoint-independent
    /// mapping ends with its last flow.
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
        socket.held_until = socket.held_until.max(until);
        if socket.flows > 0 {
            return None;
        }
        let Socket { tenant, filtering, host, held_until: until, .. } = *socket;
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
}
