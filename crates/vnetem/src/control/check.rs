//! Checks what must hold before an edit, and looks things up for edits and readers.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use ipnet::Ipv4Net;
use vnetem_authz::DenyMode;
use vnetem_nat::{Blocks, Filtering, PoolRules};
use vnetem_packet::{AddressClass, SiteId, SubnetId, VnetId};

use super::{Circuit, Network, Nic, Outbound, Resource, Service, Site, Subnet, Vnet};
use crate::snapshot::ranges::is_reserved;
use crate::{EditError, LoadBalancerId, NextHop, NicId, ResourceId, ServiceId, TiePolicy};

/// Who has a public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublicOwner {
    Vnet(VnetId),
    Site(SiteId),
    Nic(NicId),
    LoadBalancer(LoadBalancerId),
}

/// The most addresses of one NAT gateway (N-09).
const MAX_NAT_ADDRESSES: usize = 16;

pub(super) fn canonical(prefix: Ipv4Net) -> Result<(), EditError> {
    if prefix == prefix.trunc() { Ok(()) } else { Err(EditError::HostBits { prefix }) }
}

pub(super) fn ranges(kind: &'static str, name: &str, ranges: &[Ipv4Net]) -> Result<(), EditError> {
    if ranges.is_empty() {
        return Err(EditError::NoRanges { kind, name: name.into() });
    }
    let owner = format!("{kind} {name}");
    for (at, &range) in ranges.iter().enumerate() {
        canonical(range)?;
        let later = ranges.get(at + 1..).unwrap_or_default();
        disjoint((&[range], &owner), (later, &owner))?;
    }
    Ok(())
}

pub(super) fn disjoint(
    (new, owner): (&[Ipv4Net], &str),
    (existing, holder): (&[Ipv4Net], &str),
) -> Result<(), EditError> {
    for &new in new {
        if let Some(&existing) = existing.iter().find(|other| overlap(new, **other)) {
            let (owner, holder) = (owner.into(), holder.into());
            return Err(EditError::Overlap { new, owner, existing, holder });
        }
    }
    Ok(())
}

pub(super) fn internal(
    inner: Ipv4Net,
    owner: &str,
    containers: &[Ipv4Net],
    container: impl FnOnce() -> String,
) -> Result<(), EditError> {
    if containers.iter().any(|outer| outer.contains(&inner)) {
        return Ok(());
    }
    Err(EditError::Outside { inner, owner: owner.into(), container: container() })
}

/// Checks that the platform does not keep the address in its subnet.
pub(super) fn free(address: Ipv4Addr, owner: &str, subnet: &Subnet) -> Result<(), EditError> {
    if !is_reserved(subnet.prefix, address) {
        return Ok(());
    }
    let (owner, subnet) = (owner.into(), format!("{} of subnet {}", subnet.prefix, subnet.name));
    Err(EditError::Reserved { address, owner, subnet })
}

/// Checks the rules of a pool with `ports + 1` ports.
fn pool_rules(rules: &PoolRules, ports: u16) -> Result<(), &'static str> {
    let fits = |size: u16| size > 0 && size - 1 <= ports;
    match rules.blocks {
        Blocks::Dynamic { size, .. } | Blocks::Deterministic { size, .. } if !fits(size) => {
            return Err("a block has at least one port and no more than the pool");
        }
        Blocks::Dynamic { most, .. } if !(1..=4).contains(&most) => {
            return Err("an inside address has one to four blocks");
        }
        _ => {}
    }
    if rules.filtering != Filtering::AddressAndPort && !rules.is_independent() {
        return Err("only an endpoint-independent mapping can let in what no flow asked for");
    }
    if rules.limits.rate.is_some_and(|rate| rate.burst == 0 || rate.interval.is_zero()) {
        return Err("a rate has a burst of at least one and an interval");
    }
    if rules.segment_size == Some(0) {
        return Err("a segment has at least one byte");
    }
    // RFC 5382 REQ-4 asks for at least six seconds.
    if rules.unsolicited_syn.is_some_and(|after| after < Duration::from_secs(6)) {
        return Err("an unsolicited SYN is not answered before 6 seconds");
    }
    Ok(())
}

pub(super) fn outbound(outbound: &Outbound, name: &str) -> Result<(), EditError> {
    if let Outbound::Pool { first_port: first, last_port: last, rules, .. } = *outbound {
        if first == 0 || first > last {
            return Err(EditError::Ports { first, last });
        }
        if let Err(why) = pool_rules(&rules, last - first) {
            return Err(EditError::PoolRules { subnet: name.into(), why });
        }
    }
    let addresses = outbound.addresses();
    if addresses.len() > MAX_NAT_ADDRESSES {
        return Err(EditError::Limit {
            what: "addresses of an outbound method",
            limit: MAX_NAT_ADDRESSES,
        });
    }
    if addresses.is_empty() && *outbound != Outbound::Private {
        return Err(EditError::NoRanges { kind: "the outbound method of", name: name.into() });
    }
    Ok(())
}

/// Checks a next hop. It may be an appliance by a private address or by one of the network's
/// or a peer's, the internet, the network, none, or an existing VPN gateway. It may not be a
/// peering.
pub(super) fn next_hop<'a>(
    next_hop: NextHop,
    vnet: &'a Vnet,
    peers: impl Iterator<Item = &'a Vnet>,
) -> Result<(), EditError> {
    match next_hop {
        NextHop::VirtualAppliance(address)
            if !matches!(
                AddressClass::of(address),
                AddressClass::Private | AddressClass::Shared
            ) && !peers
                .chain([vnet])
                .any(|near| near.ranges.iter().any(|range| range.contains(&address))) =>
        {
            Err(EditError::NextHop { address, why: "an appliance needs a private address" })
        }
        NextHop::VirtualNetworkGateway(site)
            if vnet.gateways.get(&site).map(|it| it.circuit) != Some(Circuit::Vpn) =>
        {
            Err(EditError::Unknown { kind: "VPN connection to", name: site.to_string() })
        }
        NextHop::InterfaceEndpoint(id) => Err(EditError::Unsupported {
            kind: "user route by private endpoint to",
            name: id.to_string(),
        }),
        NextHop::VnetPeering(peer) => {
            Err(EditError::Unsupported { kind: "user route by peering to", name: peer.to_string() })
        }
        _ => Ok(()),
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

fn unknown(kind: &'static str, id: impl ToString) -> EditError {
    EditError::Unknown { kind, name: id.to_string() }
}

/// Reading the intent back.
impl Network {
    /// Returns a virtual network.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn vnet(&self, id: VnetId) -> Result<&Vnet, EditError> {
        self.vnets.get(&id).map(AsRef::as_ref).ok_or_else(|| unknown("vnet", id))
    }

    /// Returns a subnet.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn subnet(&self, id: SubnetId) -> Result<&Subnet, EditError> {
        self.subnets.get(&id).map(AsRef::as_ref).ok_or_else(|| unknown("subnet", id))
    }

    /// Returns a network interface.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn nic(&self, id: NicId) -> Result<&Nic, EditError> {
        self.nics.get(&id).map(AsRef::as_ref).ok_or_else(|| unknown("nic", id))
    }

    /// Returns an on-premises site.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn site(&self, id: SiteId) -> Result<&Site, EditError> {
        self.sites.get(&id).map(AsRef::as_ref).ok_or_else(|| unknown("site", id))
    }

    /// Returns a service.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn service(&self, id: ServiceId) -> Result<&Service, EditError> {
        self.services.get(usize::from(id.0)).ok_or_else(|| unknown("service", id))
    }

    /// Returns a resource.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn resource(&self, id: ResourceId) -> Result<&Resource, EditError> {
        self.resources.get(&id).map(AsRef::as_ref).ok_or_else(|| unknown("resource", id))
    }

    /// Iterates over all virtual networks, by number.
    pub fn vnets(&self) -> impl Iterator<Item = (VnetId, &Vnet)> {
        self.vnets.iter().map(|(&id, vnet)| (id, &**vnet))
    }

    /// Iterates over all subnets, by number.
    pub fn subnets(&self) -> impl Iterator<Item = (SubnetId, &Subnet)> {
        self.subnets.iter().map(|(&id, subnet)| (id, &**subnet))
    }

    /// Iterates over all network interfaces, by number.
    pub fn nics(&self) -> impl Iterator<Item = (NicId, &Nic)> {
        self.nics.iter().map(|(&id, nic)| (id, &**nic))
    }

    /// Iterates over all on-premises sites, by number.
    pub fn sites(&self) -> impl Iterator<Item = (SiteId, &Site)> {
        self.sites.iter().map(|(&id, site)| (id, &**site))
    }

    /// Iterates over all services, by number.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        (0..).map(ServiceId).zip(self.services.iter())
    }

    /// Iterates over all resources, by number.
    pub fn resources(&self) -> impl Iterator<Item = (ResourceId, &Resource)> {
        self.resources.iter().map(|(&id, resource)| (id, &**resource))
    }

    /// Returns how equal prefixes of a user route and an endpoint are decided (C-01).
    #[must_use]
    pub const fn tie_policy(&self) -> TiePolicy {
        self.tie_policy
    }

    /// Returns what the data plane does with packets that a resource refuses.
    #[must_use]
    pub const fn deny_mode(&self) -> DenyMode {
        self.deny_mode
    }

    /// Returns the service with a name, its own or a further one.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<ServiceId> {
        self.services().find(|(_, service)| service.is_named(name)).map(|(id, _)| id)
    }
}

/// Public addresses and service prefixes: each has one owner.
impl Network {
    pub(super) fn check_public(
        &self,
        addresses: &[Ipv4Addr],
        owner: PublicOwner,
        name: &str,
    ) -> Result<(), EditError> {
        for &address in addresses {
            if AddressClass::of(address) != AddressClass::Public {
                return Err(EditError::NotPublic { address, owner: name.into() });
            }
            let holder = match self.public.get(&address) {
                Some((other, _)) if *other != owner => Some(self.owner_name(*other)),
                _ => self.service_prefix_of(address).map(|(prefix, service)| {
                    let name = self.service(service).map_or("?", |service| service.name.as_str());
                    format!("{prefix} of service {name}")
                }),
            };
            if let Some(holder) = holder {
                return Err(EditError::AddressTaken { address, owner: name.into(), holder });
            }
        }
        Ok(())
    }

    pub(super) fn take_public(&mut self, addresses: &[Ipv4Addr], owner: PublicOwner) {
        for &address in addresses {
            match self.public.value_mut(&address) {
                Some((_, uses)) => *uses += 1,
                None => _ = self.public.insert(address, (owner, 1)),
            }
            self.dirty.public.add(address);
        }
    }

    pub(super) fn release_public(&mut self, addresses: &[Ipv4Addr]) {
        for address in addresses {
            self.dirty.public.add(*address);
            if let Some((_, uses)) = self.public.value_mut(address) {
                *uses -= 1;
                if *uses == 0 {
                    self.public.remove(address);
                }
            }
        }
    }

    /// Checks that a service address belongs to one service (U-17), and that no outbound address is
    /// one.
    pub(super) fn check_service_prefixes(
        &self,
        id: ServiceId,
        name: &str,
        prefixes: &[Ipv4Net],
    ) -> Result<(), EditError> {
        let owner = format!("service {name}");
        let mut own: Vec<Ipv4Net> = prefixes.to_vec();
        own.sort_unstable();
        for pair in own.windows(2) {
            if let [before, after] = *pair {
                disjoint((&[after], &owner), (&[before], &owner))?;
            }
        }
        for &prefix in prefixes {
            canonical(prefix)?;
            let before = self.service_prefixes.range(..=prefix.network()).rev();
            let within = self.service_prefixes.range(prefix.network()..=prefix.broadcast());
            let other = |(_, (_, service)): &(_, &(Ipv4Net, ServiceId))| *service != id;
            for (_, (existing, service)) in
                before.filter(other).take(1).chain(within.filter(other).take(1))
            {
                let holder = format!("service {}", self.service(*service)?.name);
                disjoint((&[prefix], &owner), (&[*existing], &holder))?;
            }
            if let Some((&address, (holder, _))) =
                self.public.range(prefix.network()..=prefix.broadcast()).next()
            {
                let holder = self.owner_name(*holder);
                return Err(EditError::AddressTaken { address, owner, holder });
            }
        }
        Ok(())
    }

    pub(super) fn index_service_prefixes(&mut self, id: ServiceId) {
        self.index.meanings = OnceLock::new();
        let all = Arc::make_mut(&mut self.service_prefixes);
        all.retain(|_, (_, service)| *service != id);
        if let Some(service) = self.services.get(usize::from(id.0)) {
            for &prefix in &service.prefixes {
                all.insert(prefix.network(), (prefix, id));
            }
        }
    }

    /// Returns the service prefix that covers an address.
    pub(super) fn service_prefix_of(&self, address: Ipv4Addr) -> Option<(Ipv4Net, ServiceId)> {
        let (_, &(prefix, service)) = self.service_prefixes.range(..=address).next_back()?;
        prefix.contains(&address).then_some((prefix, service))
    }

    fn owner_name(&self, owner: PublicOwner) -> String {
        match owner {
            PublicOwner::Vnet(id) => {
                format!("vnet {}", self.vnet(id).map_or("?", |vnet| vnet.name.as_str()))
            }
            PublicOwner::Nic(id) => {
                format!("nic {}", self.nic(id).map_or("?", |nic| nic.name.as_str()))
            }
            PublicOwner::LoadBalancer(id) => {
                let name = self.load_balancer(id).map_or("?", |it| it.name.as_str());
                format!("load balancer {name}")
            }
            PublicOwner::Site(id) => {
                format!("site {}", self.site(id).map_or("?", |site| site.name.as_str()))
            }
        }
    }
}
