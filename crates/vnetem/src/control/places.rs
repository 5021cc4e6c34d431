//! Edits of virtual networks, subnets and interfaces.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use vnetem_nat::IdleMinutes;
use vnetem_packet::{SubnetId, VnetId};

use super::check::{self, PublicOwner};
use super::{Network, Nic, Outbound, Placement, RouteTable, Subnet, Vnet, VnetEndpointPolicy};
use crate::edge::MAX_PLACES;
use crate::{EditError, NicId};

/// Edits of virtual networks, subnets and interfaces.
impl Network {
    /// Makes a virtual network.
    ///
    /// # Errors
    ///
    /// The name is taken, there is no range, a range has host bits or two overlap.
    pub fn add_vnet(&mut self, name: &str, ranges: &[Ipv4Net]) -> Result<VnetId, EditError> {
        if self.vnet_named(name).is_some() {
            return Err(EditError::NameTaken { kind: "vnet", name: name.into() });
        }
        check::ranges("vnet", name, ranges)?;
        let id = VnetId(self.next_vnet);
        self.next_vnet += 1;
        let vnet = Vnet {
            name: name.into(),
            placement: Placement::default(),
            classic: false,
            ranges: ranges.to_vec(),
            peers: BTreeSet::new(),
            gateways: BTreeMap::new(),
            private_endpoint_policy: VnetEndpointPolicy::default(),
        };
        self.vnets.insert(id, vnet);
        self.dirty.vnets.insert(id);
        Ok(id)
    }

    /// Makes a virtual network of the classic model, which has no endpoints (S-09).
    ///
    /// # Errors
    ///
    /// As [`Network::add_vnet`].
    pub fn add_classic_vnet(
        &mut self,
        name: &str,
        ranges: &[Ipv4Net],
    ) -> Result<VnetId, EditError> {
        let id = self.add_vnet(name, ranges)?;
        if let Some(vnet) = self.vnets.get_mut(&id) {
            vnet.classic = true;
        }
        Ok(id)
    }

    /// Removes a virtual network.
    ///
    /// # Errors
    ///
    /// It does not exist, or has subnets, peerings or gateways.
    pub fn remove_vnet(&mut self, id: VnetId) -> Result<(), EditError> {
        let vnet = self.vnet(id)?;
        let by = if let Some(subnet) = self.subnets.values().find(|subnet| subnet.vnet == id) {
            Some(format!("subnet {}", subnet.name))
        } else if !vnet.peers.is_empty() {
            Some("a peering".into())
        } else if !vnet.gateways.is_empty() {
            Some("a gateway connection".into())
        } else {
            let balancer = self.balancers.values().find(|it| it.vnet == id);
            balancer.map(|balancer| format!("load balancer {}", balancer.name))
        };
        if let Some(by) = by {
            return Err(EditError::InUse { name: format!("vnet {}", vnet.name), by });
        }
        self.vnets.remove(&id);
        self.forget_names(id);
        self.dirty.vnets.insert(id);
        Ok(())
    }

    /// Peers two virtual networks with each other. Peering them again changes nothing
    /// (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// One does not exist, they are the same, or their ranges overlap.
    pub fn peer(&mut self, a: VnetId, b: VnetId) -> Result<(), EditError> {
        let (left, right) = (self.vnet(a)?, self.vnet(b)?);
        check::disjoint(
            (&left.ranges, &format!("vnet {}", left.name)),
            (&right.ranges, &format!("vnet {}", right.name)),
        )?;
        for (one, other) in [(a, b), (b, a)] {
            if let Some(vnet) = self.vnets.get_mut(&one) {
                vnet.peers.insert(other);
            }
            self.dirty.vnets.insert(one);
        }
        Ok(())
    }

    /// Ends the peering of two virtual networks. Without one, nothing changes
    /// (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn unpeer(&mut self, a: VnetId, b: VnetId) -> Result<(), EditError> {
        self.vnet(a)?;
        self.vnet(b)?;
        for (one, other) in [(a, b), (b, a)] {
            if let Some(vnet) = self.vnets.get_mut(&one) {
                vnet.peers.remove(&other);
            }
            self.dirty.vnets.insert(one);
        }
        Ok(())
    }

    /// Makes a subnet, which is private until [`Network::set_outbound`].
    ///
    /// # Errors
    ///
    /// - The network does not exist, or the name is taken in it.
    /// - The prefix has host bits, lies outside of the network's ranges, or overlaps another
    ///   subnet.
    /// - Too many subnets, sites and interfaces were made.
    pub fn add_subnet(
        &mut self,
        vnet: VnetId,
        name: &str,
        prefix: Ipv4Net,
    ) -> Result<SubnetId, EditError> {
        let network = self.vnet(vnet)?;
        if self.subnets.values().any(|other| other.vnet == vnet && other.name == name) {
            return Err(EditError::NameTaken { kind: "subnet", name: name.into() });
        }
        let owner = format!("subnet {name}");
        check::canonical(prefix)?;
        check::internal(prefix, &owner, &network.ranges, || format!("vnet {}", network.name))?;
        for other in self.subnets.values().filter(|other| other.vnet == vnet) {
            let holder = format!("subnet {}", other.name);
            check::disjoint((&[prefix], &owner), (&[other.prefix], &holder))?;
        }
        let id = SubnetId(self.take_place()?);
        let subnet = Subnet {
            name: name.into(),
            vnet,
            prefix,
            table: RouteTable::default(),
            endpoints: BTreeMap::new(),
            rollout_states: BTreeMap::new(),
            outbound: Outbound::Private,
            idle: None,
            former: BTreeSet::new(),
        };
        self.subnets.insert(id, subnet);
        self.vnet_by_subnet.resize(id.0 as usize, None);
        self.vnet_by_subnet.push(Some(vnet));
        self.dirty.vnets.insert(vnet);
        Ok(id)
    }

    /// Removes a subnet. Rules that name it stay in the state networkSourceDeleted (E-18). They
    /// match nothing, even if a subnet of the same name is made (E-17).
    ///
    /// # Errors
    ///
    /// It does not exist, or has interfaces or private endpoints.
    pub fn remove_subnet(&mut self, id: SubnetId) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        if let Some(nic) = self.nics.values().find(|nic| nic.subnet == id) {
            let (name, by) = (format!("subnet {}", subnet.name), format!("nic {}", nic.name));
            return Err(EditError::InUse { name, by });
        }
        if let Some((_, endpoint)) = self.private_endpoints().find(|(_, it)| it.subnet == id) {
            let by = format!("private endpoint {}", endpoint.name);
            return Err(EditError::InUse { name: format!("subnet {}", subnet.name), by });
        }
        let vnet = subnet.vnet;
        let addresses: Vec<_> =
            subnet.outbound.addresses().iter().chain(&subnet.former).copied().collect();
        self.release_public(&addresses);
        self.subnets.remove(&id);
        self.resources.values_mut().for_each(|resource| resource.rules.source_deleted(id));
        self.forget_subnet_security(id);
        self.forget_subnet_policies(id);
        self.dirty.vnets.insert(vnet);
        self.dirty.places.insert(id.0);
        self.dirty.resources = true;
        Ok(())
    }

    /// Chooses how the subnet's flows to public addresses leave. Flows on the former method go on
    /// until they end (N-07). Flows end whose address has no owner any more (N-08).
    ///
    /// Where default outbound access is taken away, declared interfaces keep the platform's address
    /// until they are [deallocated](Self::deallocate). New flows use it too, unless a method with
    /// precedence exists (N-29). Hosts without an interface lose it at once, since they cannot be
    /// deallocated.
    ///
    /// # Errors
    ///
    /// - The subnet does not exist, or the port range is empty.
    /// - There are no addresses, or more than 16.
    /// - An address is not public, lies in a service's prefixes or belongs to another owner.
    pub fn set_outbound(&mut self, id: SubnetId, outbound: Outbound) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        let owner = PublicOwner::Vnet(subnet.vnet);
        let name = format!("subnet {}", subnet.name);
        check::outbound(&outbound, &name)?;
        self.check_public(outbound.addresses(), owner, &name)?;
        self.take_public(outbound.addresses(), owner);
        let before = self.subnets.get(&id).map(|subnet| (subnet.vnet, subnet.outbound.clone()));
        let Some(subnet) = self.subnets.get_mut(&id) else {
            return Err(EditError::Unknown { kind: "subnet", name: id.to_string() });
        };
        if !matches!(
            (&subnet.outbound, &outbound),
            (Outbound::NatGateway(_), Outbound::NatGateway(_))
        ) {
            subnet.idle = None;
        }
        let explicit = !matches!(outbound, Outbound::Private | Outbound::Default(_));
        let released = match core::mem::replace(&mut subnet.outbound, outbound) {
            Outbound::Default(address) if explicit && subnet.former.insert(address) => vec![],
            old => old.addresses().to_vec(),
        };
        self.keep_default(id, before.as_ref());
        self.release_public(&released);
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Lets the machines of a subnet keep the platform's address that the subnet had (N-29).
    fn keep_default(&mut self, id: SubnetId, before: Option<&(VnetId, Outbound)>) {
        let after = self.subnets.get(&id).map(|subnet| &subnet.outbound);
        let Some((vnet, Outbound::Default(address))) = before else { return };
        if matches!(after, Some(Outbound::Default(_))) {
            return;
        }
        let running = self.nics.values_mut().filter(|nic| nic.subnet == id && !nic.deallocated);
        let mut keepers = 0;
        for nic in running.filter(|nic| nic.kept.is_none()) {
            nic.kept = Some(*address);
            keepers += 1;
        }
        for _ in 0..keepers {
            self.take_public(&[*address], PublicOwner::Vnet(*vnet));
        }
        if keepers > 0 {
            self.dirty.vnets.insert(*vnet);
        }
    }

    /// Sets the idle timeout of TCP flows behind a subnet's NAT gateway, or leaves it to the data
    /// plane (the default, N-15). Open flows keep their own, as they keep their method when another
    /// is attached (N-07). Setting another method removes the timeout.
    ///
    /// # Errors
    ///
    /// The subnet does not exist, or has no NAT gateway.
    pub fn set_gateway_idle(
        &mut self,
        id: SubnetId,
        idle: Option<IdleMinutes>,
    ) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        if !matches!(subnet.outbound, Outbound::NatGateway(_)) {
            let (kind, name) = ("NAT gateway of subnet", subnet.name.clone());
            return Err(EditError::Unknown { kind, name });
        }
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.idle = idle;
        }
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Declares a network interface: a host that may send under its own address only, unless it
    /// forwards (INV-spoofed-source-dropped, R-24).
    ///
    /// # Errors
    ///
    /// - The subnet does not exist, or the name or the address is taken.
    /// - The address is outside of the subnet, or one of the five that the platform keeps there.
    /// - Too many subnets, sites and interfaces were made.
    pub fn add_nic(
        &mut self,
        subnet: SubnetId,
        name: &str,
        address: Ipv4Addr,
    ) -> Result<NicId, EditError> {
        let place = self.subnet(subnet)?;
        if self.nics.values().any(|nic| nic.name == name) {
            return Err(EditError::NameTaken { kind: "nic", name: name.into() });
        }
        let owner = format!("nic {name}");
        let container = || format!("subnet {}", place.name);
        check::internal(Ipv4Net::from(address), &owner, &[place.prefix], container)?;
        check::free(address, &owner, place)?;
        let vnet = place.vnet;
        self.check_host(vnet, address, &owner)?;
        if self.next_nic >= MAX_PLACES {
            return Err(EditError::Limit { what: "interfaces", limit: MAX_PLACES as usize });
        }
        self.next_nic += 1;
        let id = NicId(self.next_nic);
        let name = name.into();
        let nic = Nic {
            name,
            subnet,
            address,
            ip_forwarding: false,
            public: None,
            idle: None,
            kept: None,
            deallocated: false,
        };
        self.nics.insert(id, nic);
        self.hosts.insert((vnet, address), id);
        self.dirty.vnets.insert(vnet);
        Ok(id)
    }

    /// Removes a network interface. Any host may then have its address, and its public address is
    /// free.
    ///
    /// # Errors
    ///
    /// It does not exist, or is in a load balancer's pool.
    pub fn remove_nic(&mut self, id: NicId) -> Result<(), EditError> {
        let nic = self.nic(id)?;
        let (address, vnet) = (nic.address, self.subnet(nic.subnet)?.vnet);
        if let Some((_, balancer)) =
            self.load_balancers().find(|(_, it)| it.members.contains_key(&id))
        {
            let by = format!("load balancer {}", balancer.name);
            return Err(EditError::InUse { name: format!("nic {}", nic.name), by });
        }
        let (public, kept) = (nic.public, nic.kept);
        self.release_public(public.as_slice());
        self.release_public(kept.as_slice());
        self.nics.remove(&id);
        self.forget_nic_security(id);
        self.hosts.remove(&(vnet, address));
        self.dirty.vnets.insert(vnet);
        Ok(())
    }

    /// Sets, replaces or removes the public address of an interface (N-11). Flows behind the old
    /// one end.
    ///
    /// # Errors
    ///
    /// It does not exist, or the address is not public, a service's or in use.
    pub fn set_public_address(
        &mut self,
        id: NicId,
        address: Option<Ipv4Addr>,
    ) -> Result<(), EditError> {
        let nic = self.nic(id)?;
        let (owner, name) = (PublicOwner::Nic(id), format!("nic {}", nic.name));
        let vnet = self.subnet(nic.subnet)?.vnet;
        self.check_public(address.as_slice(), owner, &name)?;
        self.take_public(address.as_slice(), owner);
        if let Some(nic) = self.nics.get_mut(&id) {
            let old = core::mem::replace(&mut nic.public, address);
            nic.idle = nic.idle.filter(|_| address.is_some());
            self.release_public(old.as_slice());
        }
        self.dirty.vnets.insert(vnet);
        Ok(())
    }

    /// Sets the idle timeout of flows behind an interface's own public address, or leaves it to the
    /// data plane (the default). Open flows keep their own.
    ///
    /// # Errors
    ///
    /// It does not exist, or has no public address.
    pub fn set_address_idle(
        &mut self,
        id: NicId,
        idle: Option<IdleMinutes>,
    ) -> Result<(), EditError> {
        let nic = self.nic(id)?;
        let vnet = self.subnet(nic.subnet)?.vnet;
        if nic.public.is_none() {
            let (kind, name) = ("public address of nic", nic.name.clone());
            return Err(EditError::Unknown { kind, name });
        }
        if let Some(nic) = self.nics.get_mut(&id) {
            nic.idle = idle;
        }
        self.dirty.vnets.insert(vnet);
        Ok(())
    }

    /// Stops and deallocates the machine of an interface. It neither sends nor receives, and its
    /// flows end silently. It keeps its addresses and its place in a load balancer's pool, but not
    /// default outbound access that its subnet has lost (N-29). If it is deallocated, nothing
    /// changes.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn deallocate(&mut self, id: NicId) -> Result<(), EditError> {
        self.set_deallocated(id, true)
    }

    /// Starts the machine of an interface. If it is running, nothing changes.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn start(&mut self, id: NicId) -> Result<(), EditError> {
        self.set_deallocated(id, false)
    }

    fn set_deallocated(&mut self, id: NicId, deallocated: bool) -> Result<(), EditError> {
        let nic = self.nic(id)?;
        if nic.deallocated == deallocated {
            return Ok(());
        }
        let vnet = self.subnet(nic.subnet)?.vnet;
        if let Some(nic) = self.nics.get_mut(&id) {
            nic.deallocated = deallocated;
            let kept = if deallocated { nic.kept.take() } else { None };
            self.release_public(kept.as_slice());
        }
        self.dirty.vnets.insert(vnet);
        Ok(())
    }

    /// Lets an interface send packets with other hosts' sources, or forbids it.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn set_ip_forwarding(&mut self, id: NicId, on: bool) -> Result<(), EditError> {
        let vnet = self.subnet(self.nic(id)?.subnet)?.vnet;
        if let Some(nic) = self.nics.get_mut(&id) {
            nic.ip_forwarding = on;
        }
        self.dirty.vnets.insert(vnet);
        Ok(())
    }
}
