//! Tenants, which share all bounded resources (docs/shares.md). Each virtual network is one, and so
//! is each site.

use core::net::Ipv4Addr;

use vnetem_nat::{RevalidationKey, Tenant};
use vnetem_packet::{SiteId, SubnetId, VnetId};

use crate::edge::{Place, place_of};
use crate::{EdgeId, Snapshot};

/// Returns the tenant of a virtual network. Numbers of networks and sites are two sequences; 0 is
/// nobody.
pub(crate) const fn tenant_of_vnet(id: VnetId) -> Tenant {
    Tenant(id.0.wrapping_mul(2).wrapping_add(2))
}

/// Returns the tenant of a site.
pub(crate) const fn tenant_of_site(id: SiteId) -> Tenant {
    Tenant(id.0.wrapping_mul(2).wrapping_add(1))
}

impl Snapshot {
    /// Returns the tenant that is charged for the flows of a revalidation key: the network or site
    /// of its place, even if the place was removed.
    #[inline]
    pub(crate) fn tenant_of(&self, revalidation_key: RevalidationKey) -> Tenant {
        let number = place_of(revalidation_key);
        match self.vnet_by_subnet.get(number) {
            Some(vnet) => tenant_of_vnet(*vnet),
            None => {
                self.site(SiteId(number)).map_or(Tenant::NOBODY, |site| tenant_of_site(site.id))
            }
        }
    }

    /// Returns the tenant that is charged for an answer to a packet that entered by an edge. It is
    /// the network or site that sent it. For a packet from the public side it is the owner of the
    /// public address that it was sent to.
    pub(crate) fn tenant_at(&self, edge: EdgeId, destination: Ipv4Addr) -> Tenant {
        match edge.place() {
            Place::Subnet(id)
            | Place::Platform(id)
            | Place::SameRegion(_, id)
            | Place::Endpoint(_, id) => self.tenant_of_subnet(id),
            Place::Nic(id) => {
                self.nic(id).map_or(Tenant::NOBODY, |nic| self.tenant_of_subnet(nic.subnet))
            }
            Place::Private(id) => {
                let view = self.private.get(&id);
                view.map_or(Tenant::NOBODY, |view| self.tenant_of_subnet(view.subnet))
            }
            Place::Site(id) => tenant_of_site(id),
            Place::Internet | Place::Public(_) => {
                self.public.get(&destination).map_or(Tenant::NOBODY, |owner| owner.tenant)
            }
        }
    }

    fn tenant_of_subnet(&self, id: SubnetId) -> Tenant {
        self.vnet_of(id).map_or(Tenant::NOBODY, tenant_of_vnet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_sites_are_different_tenants() {
        let numbers = [0, 1, 2, 3];
        let mut all: Vec<_> = numbers
            .into_iter()
            .flat_map(|number| [tenant_of_vnet(VnetId(number)), tenant_of_site(SiteId(number))])
            .chain([Tenant::NOBODY])
            .collect();
        // No site has the number 0, which is the internet's place.
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9);
    }
}
