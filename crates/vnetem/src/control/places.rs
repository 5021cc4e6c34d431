//! Edits of virtual networks and subnets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_nat::IdleMinutes;
use vnetem_packet::{SubnetId, VnetId};

use super::check::{self, PublicOwner};
use super::{Network, Outbound, Placement, RouteTable, Subnet, Vnet, VnetEndpointPolicy};
use crate::snapshot::tenant::tenant_of_vnet;
use crate::{EditError, ResourceId};

/// Edits of virtual networks and subnets.
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
        self.vnets.insert(id, Arc::new(vnet));
        self.index.vnets.insert(name.into(), id);
        self.index.tenants.add(tenant_of_vnet(id));
        self.dirty.vnets.add(id);
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
        let by = if let Some((_, subnet)) = self.subnets_in(id).next() {
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
        let name: Arc<str> = vnet.name.as_str().into();
        self.vnets.remove(&id);
        self.index.vnets.remove(&name);
        self.index.tenants.remove(&tenant_of_vnet(id));
        self.forget_names(id);
        self.dirty.vnets.add(id);
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
            self.dirty.vnets.add(one);
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
            self.dirty.vnets.add(one);
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
        if self.subnet_named(vnet, name).is_some() {
            return Err(EditError::NameTaken { kind: "subnet", name: name.into() });
        }
        let owner = format!("subnet {name}");
        check::canonical(prefix)?;
        check::internal(prefix, &owner, &network.ranges, || format!("vnet {}", network.name))?;
        if let Some(other) = self.subnet_beside(vnet, prefix) {
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
        self.index_subnet(id, &subnet);
        self.subnets.insert(id, Arc::new(subnet));
        self.dirty.vnets.add(vnet);
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
        let mut nics = self.nics_in(subnet.vnet, subnet.prefix);
        if let Some(nic) = nics.next().and_then(|nic| self.nics.get(&nic)) {
            let (name, by) = (format!("subnet {}", subnet.name), format!("nic {}", nic.name));
            return Err(EditError::InUse { name, by });
        }
        let mut private = self.private_between(subnet.vnet, subnet.prefix);
        if let Some((_, endpoint)) = private.next() {
            let by = format!("private endpoint {}", endpoint.name);
            return Err(EditError::InUse { name: format!("subnet {}", subnet.name), by });
        }
        drop((nics, private));
        let Some(subnet) = self.subnets.remove(&id) else { return Ok(()) };
        let addresses: Vec<_> =
            subnet.outbound.addresses().iter().chain(&subnet.former).copied().collect();
        self.release_public(&addresses);
        self.index_outbound(id, Some(&subnet.outbound), None);
        self.forget_subnet(id, &subnet);
        let last = (id, ResourceId(u32::MAX));
        let ruled = self.index.ruled.range((id, ResourceId(0))..=last);
        for resource in ruled.map(|(&(_, resource), ())| resource).collect::<Vec<_>>() {
            if let Some(resource) = self.resources.get_mut(&resource) {
                resource.rules.source_deleted(id);
            }
            self.dirty.resources.add(resource);
        }
        self.forget_subnet_security(id);
        self.forget_subnet_policies(id);
        self.forget_private_policies(id);
        self.dirty.vnets.add(subnet.vnet);
        self.dirty.places.add(id.0);
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
        let old = core::mem::replace(&mut subnet.outbound, outbound.clone());
        let released = match old {
            Outbound::Default(address) if explicit && subnet.former.insert(address) => vec![],
            old => old.addresses().to_vec(),
        };
        self.index_outbound(id, before.as_ref().map(|(_, old)| old), Some(&outbound));
        self.keep_default(id, before.as_ref());
        self.release_public(&released);
        self.dirty.places.add(id.0);
        Ok(())
    }

    /// Notes which subnets have a public address, and which limit the size of segments.
    fn index_outbound(&mut self, id: SubnetId, old: Option<&Outbound>, new: Option<&Outbound>) {
        let index = &mut self.index;
        for address in old.into_iter().flat_map(Outbound::addresses) {
            index.outbound.remove(&(*address, id));
        }
        for address in new.into_iter().flat_map(Outbound::addresses) {
            index.outbound.add((*address, id));
        }
        let clamps = |outbound: Option<&Outbound>| match outbound {
            Some(Outbound::Pool { rules, .. }) => u32::from(rules.segment_size.is_some()),
            _ => 0,
        };
        index.clamping = index.clamping + clamps(new) - clamps(old);
    }

    /// Lets the machines of a subnet keep the platform's address that the subnet had (N-29).
    fn keep_default(&mut self, id: SubnetId, before: Option<&(VnetId, Outbound)>) {
        let after = self.subnets.get(&id).map(|subnet| &subnet.outbound);
        let Some((vnet, Outbound::Default(address))) = before else { return };
        if matches!(after, Some(Outbound::Default(_))) {
            return;
        }
        let Some(prefix) = self.subnets.get(&id).map(|subnet| subnet.prefix) else { return };
        for id in self.nics_in(*vnet, prefix).collect::<Vec<_>>() {
            let Some(nic) = self.nics.get_mut(&id) else { continue };
            if !nic.deallocated && nic.kept.is_none() {
                nic.kept = Some(*address);
                self.take_public(&[*address], PublicOwner::Vnet(*vnet));
                self.mark_nic(id, *vnet);
            }
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
        self.dirty.places.add(id.0);
        Ok(())
    }
}
