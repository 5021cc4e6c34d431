//! From an inventory to a network that packets can be sent through.

mod balancers;
mod endpoint_policies;
mod outbound;
mod places;
mod private_endpoints;
mod resources;
mod routes;
mod security;
mod stand_ins;

use core::fmt;
use core::net::Ipv4Addr;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;
use vnetem::{Network, NicId, PrivateEndpointId, ResourceId, ServiceId, SubnetId, VnetId};

use super::notes::{Missing, assume};
use super::{
    Assumption, Id, Inventory, IpConfiguration, Link, Names, NetworkInterface, Place, Unresolved,
};
use crate::{EndpointService, ServiceTags};
use stand_ins::StandIns;

/// A network made of inventories, and where each of their elements is in it.
///
/// [`LoadedNetwork::update`] edits it to be as an inventory says. Called again with the inventory
/// after a change, it does what the change does and no more, so that a live data plane can apply
/// it: what stays keeps its numbers.
///
/// ```
/// use vnetem_azure::ServiceTags;
/// use vnetem_azure::import::{Importer, LoadedNetwork};
///
/// let file = br#"{
///     "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub",
///     "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
///     "subnets": [ { "name": "web", "addressPrefix": "10.0.1.0/24" } ]
/// }"#;
/// let mut importer = Importer::new();
/// importer.read("hub.json", file)?;
///
/// let mut loaded = LoadedNetwork::new(ServiceTags::embedded());
/// let inventory = importer.inventory();
/// loaded.update(&inventory);
/// let web = loaded.subnets_of(&inventory.subnets[0].id)[0];
/// assert_eq!(loaded.network.subnet(web)?.name, "web");
/// assert!(loaded.left_out.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoadedNetwork {
    /// The network.
    pub network: Network,
    /// What of the last inventory could not be put into it, and why.
    pub left_out: Vec<Unresolved>,
    /// What it takes for granted beside the inventory's own assumptions.
    pub assumptions: Vec<Assumption>,
    missing: Missing,
    tags: ServiceTags,
    names: Names,
    /// Where resources answer, by name in small letters or by id.
    addresses: BTreeMap<String, Ipv4Addr>,
    stand_ins: StandIns,
    /// Ranges in which resources may be, by tag and region.
    stand_in_ranges: BTreeMap<(&'static str, String), Arc<[Ipv4Net]>>,
    services: BTreeMap<&'static str, ServiceId>,
    vnets: BTreeMap<Id, VnetId>,
    subnets: BTreeMap<Id, Vec<SubnetId>>,
    nics: BTreeMap<Id, Vec<NicId>>,
    resources: BTreeMap<Id, ResourceId>,
    private_endpoints: BTreeMap<Id, PrivateEndpointId>,
    policies: BTreeMap<Id, (vnetem::EndpointPolicyId, vnetem::authz::EndpointPolicy)>,
    groups: BTreeMap<Id, vnetem::SecurityGroupId>,
    balancers: BTreeMap<Id, vnetem::LoadBalancerId>,
}

impl LoadedNetwork {
    /// Makes a network that has the services of these tags and nothing else.
    #[must_use]
    pub fn new(tags: ServiceTags) -> Self {
        let mut loaded = Self {
            network: Network::new(),
            left_out: Vec::new(),
            assumptions: Vec::new(),
            missing: Missing::default(),
            tags,
            names: Names::default(),
            addresses: BTreeMap::new(),
            stand_ins: StandIns::default(),
            stand_in_ranges: BTreeMap::new(),
            services: BTreeMap::new(),
            vnets: BTreeMap::new(),
            subnets: BTreeMap::new(),
            nics: BTreeMap::new(),
            resources: BTreeMap::new(),
            private_endpoints: BTreeMap::new(),
            policies: BTreeMap::new(),
            groups: BTreeMap::new(),
            balancers: BTreeMap::new(),
        };
        for service in &EndpointService::ALL {
            // A list that lacks a tag has no such service; what uses it is left out below.
            if let Ok(id) = service.add_to(&mut loaded.network, &loaded.tags) {
                loaded.services.insert(service.name, id);
            }
        }
        loaded
    }

    /// Says where a resource answers, by its name or id.
    pub fn place_at(&mut self, resource: &str, address: Ipv4Addr) {
        self.addresses.insert(resource.to_ascii_lowercase(), address);
    }

    /// Edits the network to be as an inventory says.
    pub fn update(&mut self, inventory: &Inventory) {
        self.assumptions.clear();
        let inventory = &*with_firewalls(inventory);
        self.names = inventory.names();
        self.stand_ins.keep_free(used_addresses(inventory, &self.addresses));
        self.remove_balancers(inventory);
        self.remove_what_is_gone(inventory);
        self.add_places(inventory);
        self.add_peerings(inventory);
        self.add_gateways(inventory);
        self.add_nics(inventory);
        self.set_outbound(inventory);
        self.add_balancers(inventory);
        self.set_routes(inventory);
        self.set_security(inventory);
        self.set_policies(inventory, true);
        self.set_endpoints(inventory);
        // Storage and Key Vault take a rule only where the endpoint is there (E-14).
        self.add_resources(inventory);
        self.set_policies(inventory, false);
        self.add_private_endpoints(inventory);
        self.left_out = core::mem::take(&mut self.missing).into_list();
        self.assume_tags();
        self.assumptions.sort();
    }

    /// Names the day of the list of tags: an old list sends traffic astray.
    fn assume_tags(&mut self) {
        let (code, text) = match self.tags.date() {
            Some(date) => {
                (format!("tags-of-{date}"), format!("Services have the addresses of {date}."))
            }
            None => {
                let change = self.tags.change_number();
                let text =
                    format!("Services have the addresses of change {change}, of no known day.");
                (format!("tags-of-change-{change}"), text)
            }
        };
        assume(&mut self.assumptions, code, text);
    }

    /// Returns the virtual network of an id.
    #[must_use]
    pub fn vnet_of(&self, id: &Id) -> Option<VnetId> {
        self.vnets.get(id).copied()
    }

    /// Returns the subnet of an id; several for one of several ranges, the first range first.
    #[must_use]
    pub fn subnets_of(&self, id: &Id) -> &[SubnetId] {
        self.subnets.get(id).map_or(&[], Vec::as_slice)
    }

    /// Returns the interface of an id; several for one of several addresses, the primary one first.
    #[must_use]
    pub fn nics_of(&self, id: &Id) -> &[NicId] {
        self.nics.get(id).map_or(&[], Vec::as_slice)
    }

    /// Returns the resource of an id.
    #[must_use]
    pub fn resource_of(&self, id: &Id) -> Option<ResourceId> {
        self.resources.get(id).copied()
    }

    /// Returns the service of a name, `Microsoft.Storage`.
    #[must_use]
    pub fn service_of(&self, name: &str) -> Option<ServiceId> {
        let service = EndpointService::named(name)?;
        self.services.get(service.name).copied()
    }

    /// Returns what an address stands for that no file has: an appliance, a public address, a
    /// resource.
    #[must_use]
    pub fn stands_for(&self, address: Ipv4Addr) -> Option<&str> {
        self.stand_ins.what(address)
    }

    /// Names of the elements of the last inventory.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    fn leave_out(&mut self, place: &Place, why: impl fmt::Display) {
        self.missing.add(Unresolved { place: place.clone(), why: why.to_string() });
    }

    fn assume(&mut self, code: &'static str, text: &str) {
        assume(&mut self.assumptions, code, text.to_owned());
    }

    /// Takes the outcome of an edit; one that the network refuses is left out.
    fn done<T>(&mut self, place: &Place, outcome: Result<T, impl fmt::Display>) -> Option<T> {
        outcome.map_err(|error| self.leave_out(place, error)).ok()
    }
}

/// The inventory with an interface for each Azure Firewall whose address is known: it forwards, and
/// reaches the internet by its own public address.
fn with_firewalls(inventory: &Inventory) -> Cow<'_, Inventory> {
    let mut changed = Cow::Borrowed(inventory);
    for firewall in inventory.firewalls.iter().filter(|one| one.address.is_some()) {
        let own = IpConfiguration {
            name: firewall.name.clone(),
            address: firewall.address,
            subnet: firewall.subnet.clone(),
            public: firewall.public_ips.first().cloned().unwrap_or_default(),
            backend_pools: Vec::new(),
            application_groups: Vec::new(),
        };
        changed.to_mut().nics.push(NetworkInterface {
            id: firewall.id.clone(),
            name: firewall.name.clone(),
            configurations: vec![own],
            forwarding: true,
            security_group: Link::None,
            place: firewall.place.clone(),
        });
    }
    changed
}

/// Addresses that the files use, which must not stand for others.
fn used_addresses(inventory: &Inventory, given: &BTreeMap<String, Ipv4Addr>) -> BTreeSet<Ipv4Addr> {
    let own = inventory.public_ips.iter().filter_map(|one| one.address);
    let ranges = inventory.public_ip_prefixes.iter().filter_map(|one| one.prefix);
    let ranges = ranges.filter(|range| range.prefix_len() >= 24).flat_map(|range| {
        let first = u32::from(range.network());
        (0..1_u32 << (32 - range.prefix_len())).map(move |at| Ipv4Addr::from(first + at))
    });
    let rules = inventory.resources.iter().flat_map(|one| &one.ip_rules);
    let rules = rules.flat_map(|rule| [rule.first, rule.last]);
    own.chain(ranges).chain(rules).chain(given.values().copied()).collect()
}
