//! The control plane: intent in, snapshots out. It has no live state and never sees a packet.

mod check;
mod compile;
mod intent;

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem_authz::{DenyMode, RuleSet};
use vnetem_nat::Generation;
use vnetem_packet::{SiteId, SubnetId, VnetId};

pub use intent::{Nic, Outbound, Resource, Scope, Service, Site, Subnet, Vnet};

use crate::edge::{MAX_PLACES, MAX_SERVICES};
use crate::{EditError, NextHop, NicId, ResourceId, ServiceId, Snapshot, TiePolicy};
use check::PublicOwner;

/// The model of a cloud network and the only place where it is changed.
///
/// Every edit is checked against all that stands and is then wholly done or, with an [`EditError`] that names both parts, wholly
/// refused (C2, C6, D3). [`Network::edit`] makes several edits one. Nothing reaches packets before [`Network::commit`], whose
/// [`Snapshot`] is given to [`DataPlane::apply`](crate::DataPlane::apply). Deleting what is used is refused, nothing is deleted
/// implicitly (D5), and numbers are never used again, so that a recreated subnet does not inherit a rule (E-17).
#[derive(Clone, Debug, Default)]
pub struct Network {
    vnets: BTreeMap<VnetId, Vnet>,
    subnets: BTreeMap<SubnetId, Subnet>,
    nics: BTreeMap<NicId, Nic>,
    sites: BTreeMap<SiteId, Site>,
    services: Vec<Service>,
    resources: BTreeMap<ResourceId, Resource>,
    tie_policy: TiePolicy,
    deny_mode: DenyMode,

    next_vnet: u32,
    /// Subnets and sites share one sequence of numbers, which also numbers their cells; 0 is the internet.
    next_place: u32,
    next_nic: u32,
    next_resource: u32,

    /// The network of every subnet there ever was, by number.
    homes: Vec<Option<VnetId>>,
    /// Which interface has an address of a virtual network.
    hosts: BTreeMap<(VnetId, Ipv4Addr), NicId>,
    /// Whose a public address is, and how many uses it has.
    public: BTreeMap<Ipv4Addr, (PublicOwner, u32)>,
    /// Every service prefix by its first address.
    service_prefixes: BTreeMap<Ipv4Addr, (Ipv4Net, ServiceId)>,

    dirty: Dirty,
    compiled: Arc<Snapshot>,
}

/// What has to be compiled anew.
#[derive(Clone, Debug, Default)]
struct Dirty {
    vnets: BTreeSet<VnetId>,
    places: BTreeSet<u32>,
    services: bool,
    resources: bool,
    policies: bool,
}

impl Network {
    /// An empty network: the internet and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes several edits one: all are done, or none.
    ///
    /// # Errors
    ///
    /// Whatever `edits` returns; the network is then as it was.
    pub fn edit<R, E>(&mut self, edits: impl FnOnce(&mut Self) -> Result<R, E>) -> Result<R, E> {
        let mut draft = self.clone();
        let done = edits(&mut draft)?;
        *self = draft;
        Ok(done)
    }

    /// Compiles what has changed into a snapshot of the next generation; the same snapshot as before if nothing has.
    pub fn commit(&mut self) -> Arc<Snapshot> {
        if !self.dirty.is_clean() {
            let generation = Generation(self.compiled.generation().0.wrapping_add(1));
            self.compiled = Arc::new(self.compile(generation));
            self.dirty = Dirty::default();
        }
        Arc::clone(&self.compiled)
    }

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
            ranges: ranges.to_vec(),
            peers: BTreeSet::new(),
            gateways: BTreeMap::new(),
        };
        self.vnets.insert(id, vnet);
        self.dirty.vnets.insert(id);
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
            None
        };
        if let Some(by) = by {
            return Err(EditError::InUse { name: format!("vnet {}", vnet.name), by });
        }
        self.vnets.remove(&id);
        self.dirty.vnets.insert(id);
        Ok(())
    }

    /// Peers two virtual networks with each other; peering them again changes nothing (D4).
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

    /// Ends the peering of two virtual networks; without one nothing changes (D4).
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

    /// Makes a subnet, private until [`Network::set_outbound`].
    ///
    /// # Errors
    ///
    /// The network does not exist, the name is taken in it, the prefix has host bits, lies outside of the network's ranges or overlaps
    /// another subnet, or too many subnets, sites and interfaces were made.
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
        check::inside(prefix, &owner, &network.ranges, || format!("vnet {}", network.name))?;
        for other in self.subnets.values().filter(|other| other.vnet == vnet) {
            let holder = format!("subnet {}", other.name);
            check::disjoint((&[prefix], &owner), (&[other.prefix], &holder))?;
        }
        let id = SubnetId(self.take_place()?);
        let subnet = Subnet {
            name: name.into(),
            vnet,
            prefix,
            routes: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            outbound: Outbound::Private,
            former: BTreeSet::new(),
        };
        self.subnets.insert(id, subnet);
        self.homes.resize(id.0 as usize, None);
        self.homes.push(Some(vnet));
        self.dirty.vnets.insert(vnet);
        Ok(id)
    }

    /// Removes a subnet. Rules that name it stay and match nothing, even if one of the same name is made (E-17).
    ///
    /// # Errors
    ///
    /// It does not exist, or has interfaces.
    pub fn remove_subnet(&mut self, id: SubnetId) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        if let Some(nic) = self.nics.values().find(|nic| nic.subnet == id) {
            let (name, by) = (format!("subnet {}", subnet.name), format!("nic {}", nic.name));
            return Err(EditError::InUse { name, by });
        }
        let vnet = subnet.vnet;
        let addresses: Vec<_> =
            subnet.outbound.addresses().iter().chain(&subnet.former).copied().collect();
        self.release_public(&addresses);
        self.subnets.remove(&id);
        self.dirty.vnets.insert(vnet);
        self.dirty.places.insert(id.0);
        self.dirty.resources = true;
        Ok(())
    }

    /// Chooses how the subnet's flows to public addresses leave. Flows on another method go on until they end (N-07), those behind an
    /// address that nobody has any more are ended (N-08).
    ///
    /// # Errors
    ///
    /// The subnet does not exist, there are no addresses or more than 16, one is not public, lies in a service's prefixes or belongs to
    /// another owner, or the port range is empty.
    pub fn set_outbound(&mut self, id: SubnetId, outbound: Outbound) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        let owner = PublicOwner::Vnet(subnet.vnet);
        let name = format!("subnet {}", subnet.name);
        check::outbound(&outbound, &name)?;
        self.check_public(outbound.addresses(), owner, &name)?;
        self.take_public(outbound.addresses(), owner);
        let Some(subnet) = self.subnets.get_mut(&id) else {
            return Err(EditError::Unknown { kind: "subnet", name: id.to_string() });
        };
        let explicit = !matches!(outbound, Outbound::Private | Outbound::Default(_));
        let released = match core::mem::replace(&mut subnet.outbound, outbound) {
            Outbound::Default(address) if explicit && subnet.former.insert(address) => vec![],
            old => old.addresses().to_vec(),
        };
        self.release_public(&released);
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Sets a user-defined route of the subnet; the one with the same prefix is replaced.
    ///
    /// # Errors
    ///
    /// The subnet does not exist, the prefix has host bits, or the next hop is a peering, an unconnected gateway or an address that
    /// is no private one.
    pub fn set_route(
        &mut self,
        id: SubnetId,
        prefix: Ipv4Net,
        next_hop: NextHop,
    ) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        check::canonical(prefix)?;
        check::next_hop(next_hop, self.vnet(subnet.vnet)?)?;
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.routes.insert(prefix, next_hop);
        }
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Removes a user-defined route; without one nothing changes (D4).
    ///
    /// # Errors
    ///
    /// The subnet does not exist.
    pub fn remove_route(&mut self, id: SubnetId, prefix: Ipv4Net) -> Result<(), EditError> {
        self.subnet(id)?;
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.routes.remove(&prefix);
        }
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Enables the endpoint of a service on a subnet; enabling it again replaces its scope (E7, S-03).
    ///
    /// # Errors
    ///
    /// The subnet or the service does not exist.
    pub fn enable_endpoint(
        &mut self,
        id: SubnetId,
        service: ServiceId,
        scope: Scope,
    ) -> Result<(), EditError> {
        self.subnet(id)?;
        self.service(service)?;
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.endpoints.insert(service, scope);
        }
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Disables the endpoint of a service on a subnet; if it is not enabled nothing changes (D4).
    ///
    /// # Errors
    ///
    /// The subnet or the service does not exist.
    pub fn disable_endpoint(&mut self, id: SubnetId, service: ServiceId) -> Result<(), EditError> {
        self.subnet(id)?;
        self.service(service)?;
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.endpoints.remove(&service);
        }
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Declares a network interface: a host whose packets must carry its own address, unless it forwards (P8, R-24).
    ///
    /// # Errors
    ///
    /// The subnet does not exist, the name or the address is taken, the address is outside of the subnet, or too many were made.
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
        check::inside(Ipv4Net::from(address), &owner, &[place.prefix], container)?;
        let vnet = place.vnet;
        if let Some(holder) = self.hosts.get(&(vnet, address)).and_then(|nic| self.nics.get(nic)) {
            let holder = format!("nic {}", holder.name);
            return Err(EditError::AddressTaken { address, owner, holder });
        }
        if self.next_nic >= MAX_PLACES {
            return Err(EditError::Limit { what: "interfaces", limit: MAX_PLACES as usize });
        }
        self.next_nic += 1;
        let id = NicId(self.next_nic);
        let nic = Nic { name: name.into(), subnet, address, ip_forwarding: false };
        self.nics.insert(id, nic);
        self.hosts.insert((vnet, address), id);
        self.dirty.vnets.insert(vnet);
        Ok(id)
    }

    /// Removes a network interface; the address is then any host's again.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn remove_nic(&mut self, id: NicId) -> Result<(), EditError> {
        let nic = self.nic(id)?;
        let (address, vnet) = (nic.address, self.subnet(nic.subnet)?.vnet);
        self.nics.remove(&id);
        self.hosts.remove(&(vnet, address));
        self.dirty.vnets.insert(vnet);
        Ok(())
    }

    /// Lets an interface send packets of others, or forbids it.
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

    /// Makes an on-premises site that reaches the internet behind `nat`, or not at all if that is empty (S-36).
    ///
    /// # Errors
    ///
    /// The name is taken, ranges are missing or overlap, an address of `nat` is not free and public, or too many places were made.
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
        let site = Site { name: name.into(), ranges: ranges.to_vec(), nat: nat.to_vec() };
        self.sites.insert(id, site);
        self.dirty.places.insert(id.0);
        Ok(id)
    }

    /// Connects a site to a virtual network through its gateway; the site announces `prefixes` by BGP. Connecting again replaces them.
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
        self.vnet(vnet)?;
        self.site(site)?;
        prefixes.iter().try_for_each(|&prefix| check::canonical(prefix))?;
        if let Some(vnet) = self.vnets.get_mut(&vnet) {
            vnet.gateways.insert(site, prefixes.to_vec());
        }
        self.dirty.vnets.insert(vnet);
        self.dirty.places.insert(site.0);
        Ok(())
    }

    /// Makes a service with the prefixes of its tag.
    ///
    /// # Errors
    ///
    /// The name is taken, there are [`MAX_SERVICES`] already, or a prefix has host bits or overlaps one of a service (U-17).
    pub fn add_service(
        &mut self,
        name: &str,
        prefixes: &[Ipv4Net],
    ) -> Result<ServiceId, EditError> {
        if self.service_named(name).is_some() {
            return Err(EditError::NameTaken { kind: "service", name: name.into() });
        }
        let id = match u8::try_from(self.services.len()) {
            Ok(id) if usize::from(id) < MAX_SERVICES => ServiceId(id),
            _ => return Err(EditError::Limit { what: "services", limit: MAX_SERVICES }),
        };
        self.check_service_prefixes(id, name, prefixes)?;
        let service =
            Service { name: name.into(), prefixes: prefixes.to_vec(), regions: BTreeMap::new() };
        self.services.push(service);
        self.index_service_prefixes(id);
        self.dirty.services = true;
        Ok(id)
    }

    /// Replaces the prefixes of a service; only flows whose decision changes will be closed (E9, U-02).
    ///
    /// # Errors
    ///
    /// It does not exist, a prefix has host bits or overlaps one of another service, or a resource would be left outside.
    pub fn set_service_prefixes(
        &mut self,
        id: ServiceId,
        prefixes: &[Ipv4Net],
    ) -> Result<(), EditError> {
        let service = self.service(id)?;
        self.check_service_prefixes(id, &service.name, prefixes)?;
        for resource in self.resources.values().filter(|resource| resource.service == id) {
            let owner = format!("resource {}", resource.name);
            let container = || format!("service {}", service.name);
            check::inside(Ipv4Net::from(resource.address), &owner, prefixes, container)?;
        }
        if let Some(service) = self.services.get_mut(usize::from(id.0)) {
            service.prefixes = prefixes.to_vec();
        }
        self.index_service_prefixes(id);
        self.dirty.services = true;
        Ok(())
    }

    /// Says in which region prefixes of a service lie (its regional tags); replaces what was said before.
    ///
    /// # Errors
    ///
    /// It does not exist, or a prefix has host bits.
    pub fn set_service_regions(
        &mut self,
        id: ServiceId,
        regions: impl IntoIterator<Item = (Ipv4Net, String)>,
    ) -> Result<(), EditError> {
        self.service(id)?;
        let regions: BTreeMap<_, _> = regions.into_iter().collect();
        regions.keys().try_for_each(|&prefix| check::canonical(prefix))?;
        if let Some(service) = self.services.get_mut(usize::from(id.0)) {
            service.regions = regions;
        }
        self.dirty.services = true;
        Ok(())
    }

    /// Makes a resource that answers at an address of its service. Several may share one address; the front end, which alone sees the
    /// name, then asks [`Snapshot::judge`].
    ///
    /// # Errors
    ///
    /// The service does not exist, the name is taken, or the address is none of the service's.
    pub fn add_resource(
        &mut self,
        service: ServiceId,
        name: &str,
        address: Ipv4Addr,
        rules: RuleSet,
    ) -> Result<ResourceId, EditError> {
        let holder = self.service(service)?;
        if self.resource_named(name).is_some() {
            return Err(EditError::NameTaken { kind: "resource", name: name.into() });
        }
        let owner = format!("resource {name}");
        let container = || format!("service {}", holder.name);
        check::inside(Ipv4Net::from(address), &owner, &holder.prefixes, container)?;
        let id = ResourceId(self.next_resource);
        self.next_resource += 1;
        let resource = Resource { name: name.into(), service, address, rules };
        self.resources.insert(id, resource);
        self.dirty.resources = true;
        Ok(id)
    }

    /// Replaces the rules of a resource as a whole (D1). Live flows are judged again and their mark changes; they are not closed.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn set_rules(&mut self, id: ResourceId, rules: RuleSet) -> Result<(), EditError> {
        let Some(resource) = self.resources.get_mut(&id) else {
            return Err(EditError::Unknown { kind: "resource", name: id.to_string() });
        };
        resource.rules = rules;
        self.dirty.resources = true;
        Ok(())
    }

    /// Removes a resource; its address is then the service's, without rules that the data plane knows.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn remove_resource(&mut self, id: ResourceId) -> Result<(), EditError> {
        self.resource(id)?;
        self.resources.remove(&id);
        self.dirty.resources = true;
        Ok(())
    }

    /// Chooses how equal prefixes of a user route and an endpoint are decided (C-01).
    pub fn set_tie_policy(&mut self, policy: TiePolicy) {
        self.tie_policy = policy;
        self.dirty.policies = true;
    }

    /// Chooses what becomes of a packet that a resource refuses.
    pub fn set_deny_mode(&mut self, mode: DenyMode) {
        self.deny_mode = mode;
        self.dirty.policies = true;
    }

    fn take_place(&mut self) -> Result<u32, EditError> {
        if self.next_place >= MAX_PLACES {
            return Err(EditError::Limit { what: "subnets and sites", limit: MAX_PLACES as usize });
        }
        self.next_place += 1;
        Ok(self.next_place)
    }
}

impl Dirty {
    fn is_clean(&self) -> bool {
        self.vnets.is_empty()
            && self.places.is_empty()
            && !self.services
            && !self.resources
            && !self.policies
    }
}
