//! Edits of services and of their resources.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use vnetem_authz::RuleSet;

use super::{Network, Resource, Service, check};
use crate::edge::MAX_SERVICES;
use crate::{EditError, ResourceId, ServiceId};

impl Network {
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
    /// name, then asks [`Snapshot::judge`](crate::Snapshot::judge).
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
}
