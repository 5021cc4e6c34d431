//! A network as its files have it, with what the files leave open.

use core::fmt;
use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use vnetem::{EditError, Network, ServiceId, SubnetId};
use vnetem_azure::import::{Assumption, Inventory, LoadedNetwork, Unresolved};
use vnetem_azure::{EndpointService, ServiceTags};

use crate::compare::report;
use crate::part;
use crate::replay::{Unit, Units};
use crate::steps::azure_subnet;
use crate::{
    Change, Options, Part, Progress, Report, Spread, Targets, Traffic, TrafficReport, UnitFlows,
    compare,
};

/// A network made of an [`Inventory`], which can change and be asked what that does.
///
/// ```
/// use vnetem_azure::ServiceTags;
/// use vnetem_azure::import::Importer;
/// use vnetem_whatif::{Estate, Traffic};
///
/// let file = br#"{
///     "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub",
///     "location": "West Europe",
///     "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
///     "subnets": [ { "name": "web", "addressPrefix": "10.0.1.0/24" } ]
/// }"#;
/// let mut importer = Importer::new();
/// importer.read("hub.json", file)?;
///
/// let mut estate = Estate::new(ServiceTags::embedded(), &[]);
/// estate.load(&importer.inventory());
/// let change = estate.edit(|estate| estate.enable("Microsoft.KeyVault", "hub/web"))?;
/// let report = estate.report(&change, &Traffic::new(), None);
/// assert!(report.different);
/// assert_eq!(report.changes[0].kind, "endpoint-enabled");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Estate {
    loaded: LoadedNetwork,
    inventory: Inventory,
    tags: Option<String>,
    targets: Targets,
    /// What could not be put into the network before the change.
    left_out: Vec<Unresolved>,
    assumptions: Vec<Assumption>,
}

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EstateError {
    /// No subnet has this name; those that there are.
    NoSubnet(String, Vec<String>),
    /// No service with endpoints has this name; those that there are.
    NoService(String, Vec<String>),
    /// The network refuses the edit.
    Refused(EditError),
}

impl Estate {
    /// Makes an estate without networks. `addresses` says where resources answer, by name or id.
    #[must_use]
    pub fn new(tags: ServiceTags, addresses: &[(String, Ipv4Addr)]) -> Self {
        let day = tags.date().map(|day| day.to_string());
        let mut loaded = LoadedNetwork::new(tags);
        for (resource, address) in addresses {
            loaded.place_at(resource, *address);
        }
        Self {
            loaded,
            inventory: Inventory::default(),
            tags: day,
            targets: Targets::default(),
            left_out: Vec::new(),
            assumptions: Vec::new(),
        }
    }

    /// Makes the network as an inventory says, and keeps what that leaves open.
    pub fn load(&mut self, inventory: &Inventory) {
        self.loaded.update(inventory);
        self.left_out.clone_from(&self.loaded.left_out);
        self.assumptions.clone_from(&self.loaded.assumptions);
        self.targets = Targets::new(inventory, &self.loaded);
        self.inventory = inventory.clone();
    }

    /// Changes the network to be as another inventory says.
    pub fn change_to(&mut self, inventory: &Inventory) -> Change {
        let begun = Change::begin(&mut self.loaded.network);
        self.update(inventory);
        begun.end(&mut self.loaded.network)
    }

    /// Makes the network as another inventory says, as a part of an edit.
    pub fn update(&mut self, inventory: &Inventory) {
        self.loaded.update(inventory);
        for one in &self.loaded.left_out {
            if !self.left_out.contains(one) {
                self.left_out.push(one.clone());
            }
        }
        let known =
            |list: &[Assumption], one: &Assumption| list.iter().any(|it| it.code == one.code);
        for one in &self.loaded.assumptions {
            if !known(&self.assumptions, one) {
                self.assumptions.push(one.clone());
            }
        }
        for one in &inventory.unresolved {
            if !self.inventory.unresolved.contains(one) {
                self.inventory.unresolved.push(one.clone());
            }
        }
        for one in &inventory.assumptions {
            if !known(&self.inventory.assumptions, one) {
                self.inventory.assumptions.push(one.clone());
            }
        }
        for one in &inventory.contradictions {
            if !self.inventory.contradictions.contains(one) {
                self.inventory.contradictions.push(one.clone());
            }
        }
        for (name, count) in &inventory.ignored {
            let held = self.inventory.ignored.entry(name.clone()).or_default();
            *held = (*held).max(*count);
        }
    }

    /// Changes the network by edits, such as [`Estate::enable`].
    ///
    /// # Errors
    ///
    /// An edit fails; those before it stay.
    pub fn edit<E>(&mut self, edits: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<Change, E> {
        let begun = Change::begin(&mut self.loaded.network);
        edits(self)?;
        Ok(begun.end(&mut self.loaded.network))
    }

    /// Enables the endpoint of a service on a subnet, as Azure does: for the regions of its scope.
    ///
    /// # Errors
    ///
    /// There is no such subnet or service, or the network refuses it.
    pub fn enable(&mut self, service: &str, subnet: &str) -> Result<(), EstateError> {
        enable(&mut self.loaded.network, service, subnet)
    }

    /// Disables the endpoint of a service on a subnet.
    ///
    /// # Errors
    ///
    /// There is no such subnet or service, or the subnet does not have the endpoint.
    pub fn disable(&mut self, service: &str, subnet: &str) -> Result<(), EstateError> {
        disable(&mut self.loaded.network, service, subnet)
    }

    /// Says what a change of this estate does to traffic.
    #[must_use]
    pub fn report(
        &self,
        change: &Change,
        traffic: &Traffic,
        progress: Option<&dyn Fn(Progress)>,
    ) -> Report {
        let stands_for = |address: Ipv4Addr| self.loaded.stands_for(address).map(str::to_owned);
        let options =
            Options { targets: self.targets.clone(), stands_for: Some(&stands_for), progress };
        self.complete(compare(change, traffic, &options))
    }

    /// Sorts traffic by the units of this estate. Domains of more addresses than `most` are split.
    #[must_use]
    pub fn spread<'a>(&'a self, change: &'a Change, most: u64) -> Spread<'a> {
        Spread::new(change, &self.targets, most)
    }

    /// Says what a change does to the flows of one unit.
    #[must_use]
    pub fn part(&self, change: &Change, units: &Units, unit: Unit, flows: UnitFlows) -> Part {
        let mut skipped = BTreeMap::new();
        let cases = flows.cases(&mut skipped);
        let stands_for = |address: Ipv4Addr| self.loaded.stands_for(address).map(str::to_owned);
        let settings = units.settings(unit, 0);
        let part = part::part(change, unit, settings, cases, &stands_for, &|_| {});
        Part { skipped, ..part }
    }

    /// Joins what a change does to the flows of all units. `read` has what was read: its files,
    /// lines and what was passed over.
    #[must_use]
    pub fn joined(&self, change: &Change, parts: &[Part], read: TrafficReport) -> Report {
        let stands_for = |address: Ipv4Addr| self.loaded.stands_for(address).map(str::to_owned);
        self.complete(report(change, parts, read, &stands_for))
    }

    /// Adds what the files leave open.
    fn complete(&self, mut report: Report) -> Report {
        for changed in &mut report.changes {
            for side in [&mut changed.before, &mut changed.after].into_iter().flatten() {
                *side = self.without_stand_ins(side);
            }
        }
        report.tags.clone_from(&self.tags);
        report.unresolved.clone_from(&self.inventory.unresolved);
        let new = |one: &&Unresolved| !self.inventory.unresolved.contains(one);
        report.unresolved.extend(self.left_out.iter().filter(new).cloned());
        report.ignored.clone_from(&self.inventory.ignored);
        report.contradictions.clone_from(&self.inventory.contradictions);
        let mut assumptions = self.inventory.assumptions.clone();
        assumptions.extend(self.assumptions.iter().cloned());
        assumptions.append(&mut report.assumptions);
        assumptions.sort();
        assumptions.dedup_by(|one, other| one.code == other.code);
        report.assumptions = assumptions;
        report
    }

    /// A text whose addresses that are in no file are called unknown.
    fn without_stand_ins(&self, text: &str) -> String {
        let plain = |word: &str| {
            let stands_for = word.parse().ok().and_then(|at| self.loaded.stands_for(at));
            stands_for.map_or(word, |_| "(address unknown)").to_owned()
        };
        let parts = text.split(' ').map(|part| {
            let words: Vec<String> = part.split(',').map(plain).collect();
            words.join(",")
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    /// Returns what each address in a text stands for that is in no file, a line each.
    #[must_use]
    pub fn stand_ins_in(&self, text: &str) -> Vec<String> {
        let words = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let mut found: Vec<String> = words
            .filter_map(|word| {
                let address = word.trim_end_matches('.').parse().ok()?;
                let what = self.loaded.stands_for(address)?;
                Some(format!("{address} stands for an address that is in no file: {what}"))
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Returns the network, as it is now.
    #[must_use]
    pub fn loaded(&self) -> &LoadedNetwork {
        &self.loaded
    }

    /// Returns the network, to be edited or committed.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.loaded.network
    }

    /// Returns what the files say, before the change.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Returns what could not be put into the network.
    #[must_use]
    pub fn left_out(&self) -> &[Unresolved] {
        &self.left_out
    }

    /// Returns whether a subnet of the network has an address.
    #[must_use]
    pub fn is_inside(&self, address: Ipv4Addr) -> bool {
        self.loaded.network.subnets().any(|(_, subnet)| subnet.prefix.contains(&address))
    }
}

/// Enables the endpoint of a service on a subnet of any network, by names.
///
/// # Errors
///
/// There is no such subnet or service, or the network refuses it.
pub fn enable(network: &mut Network, service: &str, subnet: &str) -> Result<(), EstateError> {
    let (name, id) = service_of(network, service)?;
    for place in subnets_named(network, subnet)? {
        let vnet = network.subnet(place).and_then(|held| network.vnet(held.vnet));
        let region = vnet.map(|vnet| vnet.placement.region.clone()).ok();
        let region = region.filter(|region| !region.is_empty());
        match EndpointService::named(&name) {
            Some(known) => network.set_endpoint(place, id, known.endpoint(region.as_deref())),
            None => network.enable_endpoint(place, id, vnetem::control::Scope::Worldwide),
        }?;
    }
    Ok(())
}

/// Disables the endpoint of a service on a subnet of any network, by names.
///
/// # Errors
///
/// There is no such subnet or service, or the subnet does not have the endpoint.
pub fn disable(network: &mut Network, service: &str, subnet: &str) -> Result<(), EstateError> {
    let (_, id) = service_of(network, service)?;
    for place in subnets_named(network, subnet)? {
        network.disable_endpoint(place, id)?;
    }
    Ok(())
}

/// Returns the subnets of a name, `vnet/subnet` or the last part where one network has it; several
/// for one of several ranges.
///
/// # Errors
///
/// There is none, or several networks have one.
pub fn subnets_named(network: &Network, name: &str) -> Result<Vec<SubnetId>, EstateError> {
    let full = |id, subnet: &vnetem::control::Subnet| {
        let vnet = network.vnet(subnet.vnet).map_or_else(|_| String::new(), |it| it.name.clone());
        (id, azure_subnet(&format!("{vnet}/{}", subnet.name)))
    };
    let all: Vec<(SubnetId, String)> =
        network.subnets().map(|(id, subnet)| full(id, subnet)).collect();
    let same = |one: &str| one.eq_ignore_ascii_case(name);
    let exact: Vec<_> = all.iter().filter(|(_, one)| same(one)).collect();
    let last = |one: &str| one.rsplit('/').next().is_some_and(same);
    let by_last: Vec<_> = all.iter().filter(|(_, one)| last(one)).collect();
    let is_one = by_last.windows(2).all(|pair| match pair {
        [(_, one), (_, other)] => one == other,
        _ => true,
    });
    let found = if exact.is_empty() && is_one { by_last } else { exact };
    if found.is_empty() {
        let mut names: Vec<_> = all.into_iter().map(|(_, name)| name).collect();
        names.dedup();
        return Err(EstateError::NoSubnet(name.to_owned(), names));
    }
    Ok(found.into_iter().map(|(id, _)| *id).collect())
}

/// The service of a name, without regard to case, and the name as it is spelt.
fn service_of(network: &Network, name: &str) -> Result<(String, ServiceId), EstateError> {
    let all: Vec<(String, ServiceId)> = network
        .services()
        .flat_map(|(id, service)| {
            let further = service.further_names.iter().cloned();
            core::iter::once(service.name.clone()).chain(further).map(move |name| (name, id))
        })
        .collect();
    let found = all.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).cloned();
    found.ok_or_else(|| {
        let names = all.into_iter().map(|(name, _)| name).collect();
        EstateError::NoService(name.to_owned(), names)
    })
}

impl From<EditError> for EstateError {
    fn from(error: EditError) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for EstateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let few = |names: &[String]| match names {
            [] => "there is none".to_owned(),
            names if names.len() > 12 => {
                let shown: Vec<_> = names.iter().take(12).map(String::as_str).collect();
                format!("there are {} and {} more", shown.join(", "), names.len() - 12)
            }
            names => format!("there is {}", names.join(", ")),
        };
        match self {
            Self::NoSubnet(name, names) => {
                write!(f, "no subnet, or more than one, is named {name}; {}", few(names))
            }
            Self::NoService(name, names) => write!(f, "no service is named {name}; {}", few(names)),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EstateError {}
