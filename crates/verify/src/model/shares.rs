//! The share of the flow table that is guaranteed to each network and site (docs/shares.md).

use vnetem::{Disposition, DropReason, Edge, SubnetId};

use super::flow::{Flow, Tenant};
use super::{Model, drop};

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

    /// Checks that the table has room for a flow, where the flows in `gone` make way.
    pub(super) fn find_place(&self, flow: &Flow, gone: &[usize]) -> Result<(), Disposition> {
        let mut old = gone.iter().filter_map(|at| self.flows.get(*at));
        let capacity = self.settings.flows.capacity as usize;
        if gone.is_empty() && self.flows.len() >= capacity {
            return drop(DropReason::FlowTableFull);
        }
        if old.any(|old| old.tenant == flow.tenant) {
            return Ok(());
        }
        let networks = self.network.vnets().map(|(id, _)| Tenant::Vnet(id));
        let sites = self.network.sites().map(|(id, _)| Tenant::Site(id));
        let tenants: Vec<Tenant> = networks.chain(sites).collect();
        let part = capacity / (2 * tenants.len()).max(1);
        let used =
            |tenant: Tenant| self.flows.iter().filter(|flow| flow.tenant == Some(tenant)).count();
        let lacks = |tenant: Tenant| part.saturating_sub(used(tenant));
        let own = flow.tenant.filter(|own| tenants.contains(own)).map_or(0, lacks);
        let lacking: usize = tenants.iter().map(|tenant| lacks(*tenant)).sum();
        let free = capacity.saturating_sub(self.flows.len());
        if free > 0 && (own > 0 || free > lacking) {
            Ok(())
        } else {
            drop(DropReason::FlowShareUsed)
        }
    }
}
