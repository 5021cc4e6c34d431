//! Edits of network interfaces.

use core::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_nat::IdleMinutes;
use vnetem_packet::{SubnetId, VnetId};

use super::check::{self, PublicOwner};
use super::{Network, Nic};
use crate::edge::MAX_PLACES;
use crate::{EditError, NicId};

/// Edits of network interfaces.
impl Network {
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
        if self.nic_named(name).is_some() {
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
        self.index.nics.insert(name.into(), id);
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
        self.nics.insert(id, Arc::new(nic));
        self.hosts.insert((vnet, address), id);
        self.mark_nic(id, vnet);
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
        let (address, subnet, vnet) = (nic.address, nic.subnet, self.subnet(nic.subnet)?.vnet);
        if let Some(balancer) = self.balancer_of(id) {
            let by = format!("load balancer {}", balancer.name);
            return Err(EditError::InUse { name: format!("nic {}", nic.name), by });
        }
        let (public, kept) = (nic.public, nic.kept);
        self.release_public(public.as_slice());
        self.release_public(kept.as_slice());
        if let Some(nic) = self.nics.remove(&id) {
            self.index.nics.remove(nic.name.as_str());
        }
        self.index.forwarders.remove(&(vnet, id));
        self.forget_nic_security(id, subnet);
        self.hosts.remove(&(vnet, address));
        self.mark_nic(id, vnet);
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
        self.mark_nic(id, vnet);
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
        self.mark_nic(id, vnet);
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
        self.mark_nic(id, vnet);
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
        self.index.forwarders.has((vnet, id), on);
        self.mark_nic(id, vnet);
        Ok(())
    }

    /// Notes that an interface of a network has changed.
    pub(super) fn mark_nic(&mut self, id: NicId, vnet: VnetId) {
        self.dirty.nics.add(id);
        self.dirty.hosts.add(vnet);
    }
}
