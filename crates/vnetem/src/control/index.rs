//! Finds what edits and commits ask for, without a scan. Everything here follows from the intent.

use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use ipnet::Ipv4Net;
use vnetem_authz::Tags;
use vnetem_nat::Tenant;
use vnetem_packet::{SiteId, SubnetId, VnetId};

use super::{Network, Subnet};
use crate::shared::{Map, Set};
use crate::{LoadBalancerId, NicId, PrivateEndpointId, ResourceId};

/// Indexes of the intent.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) vnets: Map<Arc<str>, VnetId>,
    subnet_names: Map<(VnetId, Arc<str>), SubnetId>,
    /// The subnets of a name in all networks.
    namesakes: Set<(Arc<str>, SubnetId)>,
    pub(super) nics: Map<Arc<str>, NicId>,
    pub(super) resources: Map<Arc<str>, ResourceId>,
    pub(super) private: Map<Arc<str>, PrivateEndpointId>,
    /// The subnets of a network by their first address.
    subnets: Map<(VnetId, Ipv4Addr), SubnetId>,
    /// The private endpoint of each address of a virtual network.
    pub(super) private_hosts: Map<(VnetId, Ipv4Addr), PrivateEndpointId>,
    /// The networks to which a site is connected.
    pub(super) connected: Set<(SiteId, VnetId)>,
    /// The load balancer in whose pool an interface is.
    pub(super) balancers: Map<NicId, LoadBalancerId>,
    /// Interfaces that forward, by network.
    pub(super) forwarders: Set<(VnetId, NicId)>,
    /// The subnets whose outbound method has a public address.
    pub(super) outbound: Set<(Ipv4Addr, SubnetId)>,
    /// The resources with a rule for a subnet.
    pub(super) ruled: Set<(SubnetId, ResourceId)>,
    /// How many subnets have a pool that limits the size of segments.
    pub(super) clamping: u32,
    /// All networks and sites.
    pub(super) tenants: Set<Tenant>,
    /// What the names in security rules stand for, once somebody has asked.
    pub(super) meanings: OnceLock<Arc<Tags>>,
    /// The last removed subnets, by the order of their removal.
    removed: Map<u64, SubnetId>,
}

/// How many removed subnets are remembered. Late answers to their flows carry their identity.
const REMEMBERED: usize = 1 << 14;

/// Finding things by their names.
impl Network {
    /// Returns the virtual network with a name.
    #[must_use]
    pub fn vnet_named(&self, name: &str) -> Option<VnetId> {
        self.index.vnets.get(name).copied()
    }

    /// Returns the subnet of a virtual network with a name.
    #[must_use]
    pub fn subnet_named(&self, vnet: VnetId, name: &str) -> Option<SubnetId> {
        self.index.subnet_names.get(&(vnet, name.into())).copied()
    }

    /// Iterates over the subnets with a name in any virtual network, by number.
    pub fn subnets_named(&self, name: &str) -> impl Iterator<Item = SubnetId> {
        let name: Arc<str> = name.into();
        let all = (Arc::clone(&name), SubnetId(0))..=(name, SubnetId(u32::MAX));
        self.index.namesakes.range(all).map(|((_, id), ())| *id)
    }

    /// Returns the network interface with a name.
    #[must_use]
    pub fn nic_named(&self, name: &str) -> Option<NicId> {
        self.index.nics.get(name).copied()
    }

    /// Returns the resource with a name.
    #[must_use]
    pub fn resource_named(&self, name: &str) -> Option<ResourceId> {
        self.index.resources.get(name).copied()
    }
}

impl Network {
    /// Returns the subnets of a virtual network, by address.
    pub(super) fn subnets_in(&self, vnet: VnetId) -> impl Iterator<Item = (SubnetId, &Subnet)> {
        let of_vnet = self.index.subnets.range(all_of(vnet));
        of_vnet.filter_map(|(_, &id)| Some((id, &**self.subnets.get(&id)?)))
    }

    /// Returns a subnet of a network that overlaps a prefix, the one with the lowest address.
    pub(super) fn subnet_beside(&self, vnet: VnetId, prefix: Ipv4Net) -> Option<&Subnet> {
        let (first, last) = ((vnet, prefix.network()), (vnet, prefix.broadcast()));
        let before = self.index.subnets.up_to(&first).filter(|((of, _), _)| *of == vnet);
        let near = before.into_iter().chain(self.index.subnets.range(first..=last));
        let mut subnets = near.filter_map(|(_, id)| self.subnets.get(id));
        subnets
            .find(|it| it.prefix.contains(&prefix) || prefix.contains(&it.prefix))
            .map(|it| &**it)
    }

    /// Returns the interfaces of a network whose addresses lie in a range, by address.
    pub(super) fn nics_in(
        &self,
        vnet: VnetId,
        range: Ipv4Net,
    ) -> impl Iterator<Item = NicId> + use<'_> {
        self.hosts.range((vnet, range.network())..=(vnet, range.broadcast())).map(|(_, nic)| *nic)
    }

    pub(super) fn index_subnet(&mut self, id: SubnetId, subnet: &Subnet) {
        let vnet = subnet.vnet;
        self.index.subnets.insert((vnet, subnet.prefix.network()), id);
        let name: Arc<str> = subnet.name.as_str().into();
        self.index.subnet_names.insert((vnet, Arc::clone(&name)), id);
        self.index.namesakes.add((name, id));
        self.vnet_by_subnet.set(id.0, Some(vnet));
    }

    /// Forgets a removed subnet, and later to which network it belonged.
    pub(super) fn forget_subnet(&mut self, id: SubnetId, subnet: &Subnet) {
        let index = &mut self.index;
        index.subnets.remove(&(subnet.vnet, subnet.prefix.network()));
        let name: Arc<str> = subnet.name.as_str().into();
        index.subnet_names.remove(&(subnet.vnet, Arc::clone(&name)));
        index.namesakes.has((name, id), false);
        let next = index.removed.last_key().map_or(0, |last| last + 1);
        index.removed.insert(next, id);
        if index.removed.len() > REMEMBERED
            && let Some(oldest) = index.removed.first_key().copied()
            && let Some(gone) = index.removed.remove(&oldest)
        {
            self.vnet_by_subnet.set(gone.0, None);
        }
    }
}

/// Returns the keys of everything in a virtual network that is found by its address.
pub(super) const fn all_of(vnet: VnetId) -> RangeInclusive<(VnetId, Ipv4Addr)> {
    (vnet, Ipv4Addr::UNSPECIFIED)..=(vnet, Ipv4Addr::BROADCAST)
}
