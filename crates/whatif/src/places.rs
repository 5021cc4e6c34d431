//! Where in a network an address of the traffic is.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use vnetem::{Ipv4Net, Network, SubnetId, VnetId};
use vnetem_azure::import::{Id, Inventory, LoadedNetwork};

use crate::side::Origin;

/// Which networks and subnets the things are that logs are of, by id.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    by_id: BTreeMap<Id, Scope>,
}

/// What the addresses of a log belong to.
#[derive(Clone, Debug)]
enum Scope {
    Vnet(VnetId),
    Subnets(Vec<SubnetId>),
}

impl Targets {
    /// Collects the targets that an inventory names; two networks of one range are told apart by
    /// them.
    #[must_use]
    pub fn new(inventory: &Inventory, loaded: &LoadedNetwork) -> Self {
        let mut by_id = BTreeMap::new();
        for vnet in &inventory.vnets {
            if let Some(place) = loaded.vnet_of(&vnet.id) {
                by_id.insert(vnet.id.clone(), Scope::Vnet(place));
            }
        }
        let mut groups: BTreeMap<&Id, Vec<SubnetId>> = BTreeMap::new();
        for subnet in &inventory.subnets {
            let places = loaded.subnets_of(&subnet.id).to_vec();
            if let Some(group) = subnet.security_group.id() {
                groups.entry(group).or_default().extend(&places);
            }
            by_id.insert(subnet.id.clone(), Scope::Subnets(places));
        }
        for nic in &inventory.nics {
            let own = nic.configurations.iter().filter_map(|one| one.subnet.id());
            let places: Vec<_> = own.flat_map(|id| loaded.subnets_of(id)).copied().collect();
            if let Some(group) = nic.security_group.id() {
                groups.entry(group).or_default().extend(&places);
            }
            by_id.insert(nic.id.clone(), Scope::Subnets(places));
        }
        by_id.extend(groups.into_iter().map(|(id, places)| (id.clone(), Scope::Subnets(places))));
        Self { by_id }
    }
}

/// Why a flow cannot be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nowhere {
    /// No subnet of the model has its source.
    NotInModel,
    /// Subnets of several networks have it.
    Ambiguous,
    /// It came from the internet to an address that is not public in the model.
    FromInternet,
}

impl Nowhere {
    /// The reason as a plain number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::NotInModel => 0,
            Self::Ambiguous => 1,
            Self::FromInternet => 2,
        }
    }

    pub(crate) fn of_code(code: u8) -> Self {
        match code {
            0 => Self::NotInModel,
            1 => Self::Ambiguous,
            _ => Self::FromInternet,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotInModel => "source-not-in-model",
            Self::Ambiguous => "source-in-several-networks",
            Self::FromInternet => "from-internet",
        }
    }
}

/// Finds the subnets of addresses.
pub(crate) struct Places<'a> {
    network: &'a Network,
    targets: &'a Targets,
    names: HashMap<String, u32>,
    by_range: BTreeMap<u8, HashMap<Ipv4Addr, Vec<SubnetId>>>,
    known: HashMap<(Option<u32>, Ipv4Addr), Result<SubnetId, Nowhere>, RandomState>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(network: &'a Network, targets: &'a Targets) -> Self {
        let mut by_range: BTreeMap<u8, HashMap<Ipv4Addr, Vec<SubnetId>>> = BTreeMap::new();
        for (id, subnet) in network.subnets() {
            let of_length = by_range.entry(subnet.prefix.prefix_len()).or_default();
            of_length.entry(subnet.prefix.network()).or_default().push(id);
        }
        Self { network, targets, names: HashMap::new(), by_range, known: HashMap::default() }
    }

    /// The subnets that have an address, whatever the network.
    fn holders(&self, address: Ipv4Addr) -> Vec<SubnetId> {
        let mut found = Vec::new();
        for (length, ranges) in &self.by_range {
            let Ok(range) = Ipv4Net::new(address, *length) else { continue };
            found.extend(ranges.get(&range.network()).into_iter().flatten());
        }
        found
    }

    /// Whether a subnet has an address.
    pub(crate) fn is_inside(&self, address: Ipv4Addr) -> bool {
        !self.holders(address).is_empty()
    }

    /// Where the sender of a flow is, by what its log is of.
    pub(crate) fn origin(
        &mut self,
        target: Option<&str>,
        source: Ipv4Addr,
    ) -> Result<Origin, Nowhere> {
        let number = target.map(|name| self.number(name));
        if let Some(known) = self.known.get(&(number, source)) {
            return known.map(Origin::Subnet);
        }
        let found = self.find(target, source);
        self.known.insert((number, source), found);
        found.map(Origin::Subnet)
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.insert(name.to_owned(), number);
        number
    }

    fn find(&self, target: Option<&str>, source: Ipv4Addr) -> Result<SubnetId, Nowhere> {
        let holders = self.holders(source);
        let scope = target.and_then(|name| self.targets.by_id.get(&Id::new(name)));
        let vnet_of = |id: SubnetId| self.network.subnet(id).ok().map(|subnet| subnet.vnet);
        let near: Vec<VnetId> = match scope {
            Some(Scope::Vnet(vnet)) => vec![*vnet],
            Some(Scope::Subnets(subnets)) => subnets.iter().filter_map(|id| vnet_of(*id)).collect(),
            None => Vec::new(),
        };
        // The other end of a logged flow is in the network itself or in a peer of it.
        let peers: Vec<VnetId> = near
            .iter()
            .filter_map(|vnet| self.network.vnet(*vnet).ok())
            .flat_map(|vnet| vnet.peers.iter().copied())
            .collect();
        let among = |vnets: &[VnetId]| -> Vec<SubnetId> {
            let own = |id: &&SubnetId| vnet_of(**id).is_some_and(|vnet| vnets.contains(&vnet));
            holders.iter().filter(own).copied().collect()
        };
        for tried in [among(&near), among(&peers)] {
            if let [first, ..] = tried.as_slice() {
                return Ok(*first);
            }
        }
        match holders.as_slice() {
            [] => Err(Nowhere::NotInModel),
            [one] => Ok(*one),
            [..] => Err(Nowhere::Ambiguous),
        }
    }
}

/// A host of a subnet: a declared interface, or an address that the platform does not keep.
pub(crate) fn host_of(network: &Network, id: SubnetId) -> Option<Ipv4Addr> {
    let nic = network.nics().find(|(_, nic)| nic.subnet == id).map(|(_, nic)| nic.address);
    let range = network.subnet(id).ok()?.prefix;
    // The first four addresses and the last are the platform's.
    nic.or_else(|| range.hosts().nth(3).or_else(|| range.hosts().last()))
}
