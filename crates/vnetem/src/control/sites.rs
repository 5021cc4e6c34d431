//! Edits of on-premises sites and of their connections.

use core::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_packet::{SiteId, VnetId};

use super::check::{self, PublicOwner};
use super::{Circuit, Connection, Network, Peering, Site};
use crate::snapshot::tenant::tenant_of_site;
use crate::{EditError, NextHop};

/// Edits of sites and their connections.
impl Network {
    /// Makes an on-premises site that reaches the internet behind `nat`, or not at all if `nat` is
    /// empty (S-36).
    ///
    /// # Errors
    ///
    /// - The name is taken, or ranges are missing or overlap.
    /// - An address of `nat` is in use or not public.
    /// - Too many subnets, sites and interfaces were made.
    pub fn add_site(
        &mut self,
        name: &str,
        ranges: &[Ipv4Net],
        nat: &[Ipv4Addr],
    ) -> Result<SiteId, EditError> {
        if self.sites.values().any(|site| site.name == name) {
            return Err(EditError::NameTaken { kind: "site", name: name.into() });
        }
        check::ranges("site", name, ranges)?;
        let id = SiteId(self.next_place + 1);
        self.check_public(nat, PublicOwner::Site(id), &format!("site {name}"))?;
        let id = SiteId(self.take_place()?);
        self.take_public(nat, PublicOwner::Site(id));
        let (ranges, nat) = (ranges.to_vec(), nat.to_vec());
        let site = Site { name: name.into(), ranges, nat, peering: None };
        self.sites.insert(id, Arc::new(site));
        self.index.tenants.add(tenant_of_site(id));
        self.dirty.places.add(id.0);
        Ok(id)
    }

    /// Removes a site.
    ///
    /// # Errors
    ///
    /// It does not exist, or a gateway connects it.
    pub fn remove_site(&mut self, id: SiteId) -> Result<(), EditError> {
        let site = self.site(id)?;
        if let Some(vnet) = self.connected_to(id).next().and_then(|vnet| self.vnets.get(&vnet)) {
            let (name, by) = (format!("site {}", site.name), format!("vnet {}", vnet.name));
            return Err(EditError::InUse { name, by });
        }
        let addresses: Vec<_> = site.addresses().collect();
        self.release_public(&addresses);
        self.sites.remove(&id);
        self.index.tenants.remove(&tenant_of_site(id));
        self.dirty.places.add(id.0);
        Ok(())
    }

    /// Connects a site to a virtual network through its VPN gateway. The site announces `prefixes`
    /// by BGP. Connecting again replaces the connection.
    ///
    /// # Errors
    ///
    /// One does not exist, or a prefix has host bits.
    pub fn connect(
        &mut self,
        vnet: VnetId,
        site: SiteId,
        prefixes: &[Ipv4Net],
    ) -> Result<(), EditError> {
        self.connect_by(vnet, site, Circuit::Vpn, prefixes)
    }

    /// Connects a site to a virtual network through an ExpressRoute gateway, to which no user route
    /// may lead.
    ///
    /// # Errors
    ///
    /// One does not exist, a prefix has host bits, or a user route leads to the VPN connection that
    /// this would replace.
    pub fn connect_express_route(
        &mut self,
        vnet: VnetId,
        site: SiteId,
        prefixes: &[Ipv4Net],
    ) -> Result<(), EditError> {
        self.no_route_to(vnet, site)?;
        self.connect_by(vnet, site, Circuit::ExpressRoute, prefixes)
    }

    fn connect_by(
        &mut self,
        vnet: VnetId,
        site: SiteId,
        circuit: Circuit,
        prefixes: &[Ipv4Net],
    ) -> Result<(), EditError> {
        self.vnet(vnet)?;
        self.site(site)?;
        prefixes.iter().try_for_each(|&prefix| check::canonical(prefix))?;
        if let Some(vnet) = self.vnets.get_mut(&vnet) {
            vnet.gateways.insert(site, Connection { circuit, announced: prefixes.to_vec() });
        }
        self.index.connected.add((site, vnet));
        self.dirty.vnets.add(vnet);
        self.dirty.places.add(site.0);
        Ok(())
    }

    /// Ends the connection of a site to a virtual network. Without one, nothing changes
    /// (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// One does not exist, or a user route leads to the connection.
    pub fn disconnect(&mut self, vnet: VnetId, site: SiteId) -> Result<(), EditError> {
        self.vnet(vnet)?;
        self.site(site)?;
        self.no_route_to(vnet, site)?;
        if let Some(vnet) = self.vnets.get_mut(&vnet) {
            vnet.gateways.remove(&site);
        }
        self.index.connected.remove(&(site, vnet));
        self.dirty.vnets.add(vnet);
        self.dirty.places.add(site.0);
        Ok(())
    }

    /// Sets or removes the peering by which the site's circuit reaches services (S-38).
    ///
    /// # Errors
    ///
    /// The site does not exist, or an address is missing, not public or another owner's.
    pub fn set_peering(&mut self, id: SiteId, peering: Option<Peering>) -> Result<(), EditError> {
        let name = format!("site {}", self.site(id)?.name);
        let owner = PublicOwner::Site(id);
        let addresses = peering.as_ref().map_or(&[][..], Peering::addresses);
        if peering.is_some() && addresses.is_empty() {
            return Err(EditError::NoRanges { kind: "the peering of", name });
        }
        self.check_public(addresses, owner, &name)?;
        self.take_public(addresses, owner);
        let Some(site) = self.sites.get_mut(&id) else { return Ok(()) };
        if let Some(old) = core::mem::replace(&mut site.peering, peering) {
            self.release_public(old.addresses());
        }
        self.dirty.places.add(id.0);
        Ok(())
    }

    /// Returns the virtual networks to which a site is connected.
    pub(super) fn connected_to(&self, site: SiteId) -> impl Iterator<Item = VnetId> {
        let all = self.index.connected.range((site, VnetId(0))..=(site, VnetId(u32::MAX)));
        all.map(|(&(_, vnet), ())| vnet)
    }

    /// Checks that no user route of a virtual network leads to its connection with a site.
    fn no_route_to(&self, vnet: VnetId, site: SiteId) -> Result<(), EditError> {
        let mut subnets = self.subnets_in(vnet);
        let to_site = NextHop::VirtualNetworkGateway(site);
        match subnets.find(|(_, subnet)| subnet.table.next_hops().any(|hop| hop == to_site)) {
            None => Ok(()),
            Some((_, subnet)) => Err(EditError::InUse {
                name: format!("the connection to site {}", self.site(site)?.name),
                by: format!("a route of subnet {}", subnet.name),
            }),
        }
    }
}
