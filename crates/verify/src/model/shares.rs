//! The share of every bounded table that is guaranteed to each network and site (docs/shares.md).

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::said::Disposition;
use vnetem::{
    DropReason, Edge, ServiceId, SubnetId,
    control::Outbound,
    nat::{Block, Filtering},
};

use super::flow::{Flow, Share, Tenant, Zone};
use super::route;
use super::{Model, drop};

/// An internal address with limits or blocks, and its tenant. It is kept while it still has to wait
/// for its next flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitedHost {
    host: (Zone, Ipv4Addr),
    tenant: Option<Tenant>,
}

/// A revalidation key: the tenant, the place, and the service or none.
type CellOf = (Option<Tenant>, Option<Edge>, Option<ServiceId>);

impl Model {
    /// Returns the network or site of an edge that has hosts.
    pub(super) fn tenant(&self, edge: Edge) -> Option<Tenant> {
        let of_subnet =
            |id: SubnetId| self.network.subnet(id).ok().map(|subnet| Tenant::Vnet(subnet.vnet));
        match edge {
            Edge::Subnet(id) | Edge::Platform(id) => of_subnet(id),
            Edge::Nic(id) => of_subnet(self.network.nic(id).ok()?.subnet),
            Edge::Site(id) => Some(Tenant::Site(id)),
            _ => None,
        }
    }

    /// Returns the network that leaves by a public address.
    pub(super) fn owner(&self, address: Ipv4Addr) -> Option<Tenant> {
        let has = |outbound: &Outbound| outbound.addresses().contains(&address);
        let mut subnets = self.network.subnets();
        subnets.find_map(|(_, it)| has(&it.outbound).then_some(Tenant::Vnet(it.vnet)))
    }

    /// Returns the place of a flow's initiator, and the service that it calls.
    pub(super) fn revalidation_key(&self, flow: &Flow) -> (Option<Edge>, Option<ServiceId>) {
        let place = match flow.edges[0] {
            Edge::Subnet(id) | Edge::Platform(id) => Some(Edge::Subnet(id)),
            Edge::Nic(id) => self.network.nic(id).ok().map(|nic| Edge::Subnet(nic.subnet)),
            edge @ Edge::Site(_) => Some(edge),
            _ => None,
        };
        (place, route::service_at(&self.network, *flow.remote.ip()).map(|(service, _)| service))
    }

    /// Checks that the tables have room for a flow and its mapping state, where the flows in `gone`
    /// make way.
    pub(super) fn find_place(&self, flow: &Flow, gone: &[usize]) -> Result<(), Disposition> {
        let old = || gone.iter().filter_map(|at| self.flows.get(*at));
        let capacity = self.settings.flows.capacity as usize;
        if gone.is_empty() && self.flows.len() >= capacity {
            return drop(DropReason::FlowTableFull);
        }
        let owners: Vec<_> = self.flows.iter().map(|flow| flow.tenant).collect();
        if !old().any(|old| old.tenant == flow.tenant)
            && !self.has_room(capacity, &owners, flow.tenant)
        {
            return drop(DropReason::FlowShareUsed);
        }
        if !self.has_cell(flow, old()) {
            return drop(DropReason::CellTableFull);
        }
        if !self.has_room_to_share(flow) {
            return drop(DropReason::MappingTableFull);
        }
        Ok(())
    }

    /// Returns whether a tenant may have one more entry of a table of which others have taken this
    /// much.
    pub(super) fn has_room(
        &self,
        total: usize,
        owners: &[Option<Tenant>],
        tenant: Option<Tenant>,
    ) -> bool {
        let networks = self.network.vnets().map(|(id, _)| Tenant::Vnet(id));
        let sites = self.network.sites().map(|(id, _)| Tenant::Site(id));
        let tenants: Vec<Tenant> = networks.chain(sites).collect();
        let part = total / (2 * tenants.len()).max(1);
        let used = |tenant: Tenant| owners.iter().filter(|owner| **owner == Some(tenant)).count();
        let lacks = |tenant: Tenant| part.saturating_sub(used(tenant));
        let own = tenant.filter(|own| tenants.contains(own)).map_or(0, lacks);
        let lacking: usize = tenants.iter().map(|tenant| lacks(*tenant)).sum();
        let free = total.saturating_sub(owners.len());
        free > 0 && (own > 0 || free > lacking)
    }

    /// Returns whether there is a revalidation key for a flow, or room for one, perhaps that of a
    /// flow that is replaced.
    fn has_cell<'a>(&self, flow: &Flow, mut old: impl Iterator<Item = &'a Flow>) -> bool {
        let of = |flow: &Flow| (flow.tenant, flow.revalidation_key.0, flow.revalidation_key.1);
        let own = of(flow);
        let mut revalidation_keys: Vec<CellOf> = Vec::new();
        for revalidation_key in self.flows.iter().map(of) {
            if !revalidation_keys.contains(&revalidation_key) {
                revalidation_keys.push(revalidation_key);
            }
        }
        let goes = |old: &Flow| self.flows.iter().filter(|flow| of(flow) == of(old)).count() == 1;
        let owners: Vec<_> =
            revalidation_keys.iter().map(|revalidation_key| revalidation_key.0).collect();
        revalidation_keys.contains(&own)
            || old.any(goes)
            || self.has_room(self.settings.flows.revalidation_keys as usize, &owners, flow.tenant)
    }

    /// Returns whether there is room for the mapping state of a flow: its internal address, its
    /// socket, its permitted remote, its block.
    fn has_room_to_share(&self, flow: &Flow) -> bool {
        let room = self.settings.flows.shared;
        let tenant = flow.tenant;
        let fits = |total: u32, owners: Vec<Option<Tenant>>| {
            self.has_room(total as usize, &owners, tenant)
        };
        let is_known = self.limited_hosts.iter().any(|known| known.host == flow.host());
        if flow.limited && !is_known {
            let owners = self.limited_hosts.iter().map(|known| known.tenant).collect();
            if !fits(room.hosts, owners) && self.idle_host(tenant).is_none() {
                return false;
            }
        }
        let sockets = room.sockets.min(self.settings.flows.capacity);
        if flow.share != Share::Nothing && self.mapping(flow).is_none() {
            let owners = self.mappings.iter().map(|mapping| mapping.tenant).collect();
            if !fits(sockets, owners) {
                return false;
            }
        }
        if let Some(remote) = self.permitted(flow) {
            let known = self.permitted_remotes();
            let owners = known.iter().map(|(_, tenant)| *tenant).collect();
            if !known.iter().any(|(known, _)| *known == remote) && !fits(sockets, owners) {
                return false;
            }
        }
        if let Some(block) = flow.block {
            let known = self.blocks_in_use();
            let owners = known.iter().map(|(_, tenant)| *tenant).collect();
            if !known.iter().any(|(known, _)| *known == block) && !fits(room.blocks, owners) {
                return false;
            }
        }
        true
    }

    /// Returns the permitted remote that a flow adds to its socket, where that filters by address
    /// (T-03).
    fn permitted(&self, flow: &Flow) -> Option<(u8, SocketAddrV4, Ipv4Addr)> {
        let share = self.mapping(flow).map_or(flow.share, |mapping| mapping.share);
        let filters = share == Share::Whole(Filtering::Address) && flow.share != Share::Nothing;
        filters.then_some((flow.protocol, flow.external, *flow.remote.ip()))
    }

    fn permitted_remotes(&self) -> Vec<((u8, SocketAddrV4, Ipv4Addr), Option<Tenant>)> {
        let mut all = Vec::new();
        for flow in &self.flows {
            if let Some(remote) = self.permitted(flow)
                && !all.iter().any(|(known, _)| *known == remote)
            {
                all.push((remote, flow.tenant));
            }
        }
        all
    }

    fn blocks_in_use(&self) -> Vec<(Block, Option<Tenant>)> {
        let mut all: Vec<(Block, Option<Tenant>)> = Vec::new();
        for flow in &self.flows {
            if let Some(block) = flow.block
                && !all.iter().any(|(known, _)| *known == block)
            {
                all.push((block, flow.tenant));
            }
        }
        all
    }

    /// Returns an internal address of a tenant that has no flow and does not have to wait (T-10).
    fn idle_host(&self, tenant: Option<Tenant>) -> Option<usize> {
        let is_idle = |known: &LimitedHost| known.tenant == tenant && self.is_idle(known.host);
        self.limited_hosts.iter().position(is_idle)
    }

    fn is_idle(&self, host: (Zone, Ipv4Addr)) -> bool {
        !self.flows.iter().any(|flow| flow.limited && flow.host() == host) && !self.owes(host)
    }

    /// Records that a flow opened which counts for its internal address.
    pub(super) fn note_host(&mut self, flow: &Flow) {
        let host = flow.host();
        if !flow.limited || self.limited_hosts.iter().any(|known| known.host == host) {
            return;
        }
        let total = self.settings.flows.shared.hosts as usize;
        let owners: Vec<_> = self.limited_hosts.iter().map(|known| known.tenant).collect();
        if !self.has_room(total, &owners, flow.tenant)
            && let Some(idle) = self.idle_host(flow.tenant)
        {
            self.limited_hosts.remove(idle);
        }
        self.limited_hosts.push(LimitedHost { host, tenant: flow.tenant });
    }

    /// Records that a flow ended which counted for its internal address.
    pub(super) fn forget_host(&mut self, flow: &Flow) {
        if flow.limited && self.is_idle(flow.host()) {
            self.limited_hosts.retain(|known| known.host != flow.host());
        }
    }
}
