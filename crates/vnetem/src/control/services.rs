//! Edits of services.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::{EndpointFirst, Network, Service, check};
use crate::edge::MAX_SERVICES;
use crate::{EditError, ServiceId};

/// Edits of services.
impl Network {
    /// Makes a service with the prefixes of its tag.
    ///
    /// # Errors
    ///
    /// - The name is taken, or there are [`MAX_SERVICES`] services.
    /// - A prefix has host bits, or overlaps one of another service (U-17).
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
        let service = Service {
            name: name.into(),
            further_names: BTreeSet::new(),
            prefixes: prefixes.to_vec(),
            regions: BTreeMap::new(),
            same_region_path: None,
            endpoint_first: EndpointFirst::default(),
            takes_policies: false,
        };
        Arc::make_mut(&mut self.services).push(service);
        self.index_service_prefixes(id);
        self.dirty.services.add(id);
        Ok(id)
    }

    /// Gives a service a further name under which its endpoint can be enabled, as Storage has two
    /// (S-32, E-07).
    ///
    /// # Errors
    ///
    /// The service does not exist, or the name is taken.
    pub fn add_service_name(&mut self, id: ServiceId, name: &str) -> Result<(), EditError> {
        self.service(id)?;
        if self.service_named(name).is_some() {
            return Err(EditError::NameTaken { kind: "service", name: name.into() });
        }
        if let Some(service) = self.service_mut(id) {
            service.further_names.insert(name.into());
        }
        Ok(())
    }

    /// Sets whether networks of a prefix's own region reach a service by private sources without an
    /// endpoint. The service then sees the private address and no identity, so that no rule matches
    /// (F-07, F-09). The catalogue of Azure's services turns it on for Storage, where it is
    /// documented. Any other service has it off (C-03).
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn set_same_region_path(&mut self, id: ServiceId, on: bool) -> Result<(), EditError> {
        self.service(id)?;
        if let Some(service) = self.service_mut(id) {
            service.same_region_path = Some(on);
        }
        self.dirty.services.add(id);
        Ok(())
    }

    /// Sets whether a service requires the subnet's endpoint before it takes a rule for the subnet
    /// (E-14). Existing rules are not checked again.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn set_endpoint_first(
        &mut self,
        id: ServiceId,
        asks: EndpointFirst,
    ) -> Result<(), EditError> {
        self.service(id)?;
        if let Some(service) = self.service_mut(id) {
            service.endpoint_first = asks;
        }
        Ok(())
    }

    /// Sets whether endpoint policies can be attached to the endpoints of a service. Of Azure's
    /// services only Storage allows it (P-33).
    ///
    /// # Errors
    ///
    /// It does not exist, or a policy is attached to one of its endpoints.
    pub fn set_takes_policies(&mut self, id: ServiceId, on: bool) -> Result<(), EditError> {
        let name = format!("service {}", self.service(id)?.name);
        if !on && let Some(by) = self.policy_on(id) {
            return Err(EditError::InUse { name, by });
        }
        if let Some(service) = self.service_mut(id) {
            service.takes_policies = on;
        }
        Ok(())
    }

    /// Replaces the prefixes of a service. Only flows whose decision changes are closed
    /// (INV-prefix-change-exact, U-02).
    ///
    /// # Errors
    ///
    /// - It does not exist.
    /// - A prefix has host bits, or overlaps one of another service.
    /// - A resource would be outside the prefixes.
    pub fn set_service_prefixes(
        &mut self,
        id: ServiceId,
        prefixes: &[Ipv4Net],
    ) -> Result<(), EditError> {
        let service = self.service(id)?;
        self.check_service_prefixes(id, &service.name, prefixes)?;
        for (_, resource) in self.resources().filter(|(_, resource)| resource.service == id) {
            let owner = format!("resource {}", resource.name);
            let container = || format!("service {}", service.name);
            for address in resource.addresses() {
                check::internal(Ipv4Net::from(address), &owner, prefixes, container)?;
            }
        }
        if let Some(service) = self.service_mut(id) {
            service.prefixes = prefixes.to_vec();
        }
        self.index_service_prefixes(id);
        self.dirty.services.add(id);
        Ok(())
    }

    /// Sets in which region prefixes of a service lie (its regional tags), and replaces what was
    /// set before.
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
        if let Some(service) = self.service_mut(id) {
            service.regions = regions;
        }
        self.dirty.services.add(id);
        self.dirty.regions = true;
        Ok(())
    }

    fn service_mut(&mut self, id: ServiceId) -> Option<&mut Service> {
        Arc::make_mut(&mut self.services).get_mut(usize::from(id.0))
    }
}

/// Returns a region's name without differences of spelling: `West Europe`, `WestEurope` and
/// `westeurope` are the same.
pub(super) fn region_key(name: &str) -> String {
    name.split_whitespace().flat_map(str::chars).map(|letter| letter.to_ascii_lowercase()).collect()
}

impl Service {
    /// Returns whether an endpoint of this scope would match no address of the service, because all
    /// lie in other regions (C-06).
    pub(super) fn is_outside(&self, scope: &BTreeSet<String>) -> bool {
        let scope: BTreeSet<String> = scope.iter().map(|name| region_key(name)).collect();
        let region_at = |address: Ipv4Addr| {
            let around = (0..=32).rev().filter_map(|length| Ipv4Net::new(address, length).ok());
            around.map(|net| net.trunc()).find_map(|net| self.regions.get(&net))
        };
        let is_outside =
            |address| region_at(address).is_some_and(|region| !scope.contains(&region_key(region)));
        // The region of an address can change at the start of a part and behind its end.
        let turns = |prefix: &Ipv4Net| {
            let prefix = *prefix;
            let behind =
                |part: &Ipv4Net| Ipv4Addr::from_bits(part.broadcast().to_bits().wrapping_add(1));
            let parts = self.regions.keys().filter(move |part| prefix.contains(*part));
            parts
                .flat_map(move |part| [part.network(), behind(part)])
                .chain([prefix.network()])
                .filter(move |at| prefix.contains(at))
        };
        !self.prefixes.is_empty() && self.prefixes.iter().flat_map(turns).all(is_outside)
    }
}
