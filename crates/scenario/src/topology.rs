//! The model that a scenario edits, with names.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vnetem::{
    Edge, EditError, Identity, Network, NicId, ResourceId, ServiceId, SiteId, SubnetId, Time,
    VnetId,
    authz::Firewall,
    control::{Endpoint, MissingEndpoint, Outbound, Placement, Resource, Rollout, Scope},
};
use vnetem_azure::{
    EndpointService, ServiceTag, ServiceTags, known_region, nearest, nearest_region,
};

use super::edit::{Edit, Method, Prefixes};
use super::step::Place;

/// The model, and the meaning of names in it.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) network: Network,
    /// Lets endpoints reach their hosts over time.
    pub(crate) rollout: Rollout,
    /// The time of an edit.
    pub(crate) now: Time,
    pub(super) tags: Arc<ServiceTags>,
    regions: BTreeMap<VnetId, String>,
    /// Declared regions outside Azure.
    own_regions: BTreeSet<String>,
    /// Names of removed subnets, since late packets still carry their identity.
    removed: BTreeMap<SubnetId, String>,
}

/// The model's reason for refusing an edit.
pub(crate) type Refused = String;

impl Topology {
    pub(crate) fn new(tags: Arc<ServiceTags>) -> Self {
        let (rollout, now) = (Rollout::default(), Time(0));
        Self {
            network: Network::new(),
            rollout,
            now,
            tags,
            regions: BTreeMap::new(),
            own_regions: BTreeSet::new(),
            removed: BTreeMap::new(),
        }
    }

    /// Makes several edits one: all are done, or none (INV-failed-edit-changes-nothing).
    pub(crate) fn change(&mut self, edits: &[Edit]) -> Result<(), Refused> {
        let mut draft = self.clone();
        edits.iter().try_for_each(|edit| draft.apply(edit))?;
        *self = draft;
        Ok(())
    }

    pub(crate) fn vnet(&self, name: &str) -> Result<VnetId, Refused> {
        self.network.vnet_named(name).ok_or_else(|| format!("there is no vnet {name}"))
    }

    /// Finds a subnet by `vnet/subnet`, or by its own name if that is unique.
    pub(crate) fn subnet(&self, name: &str) -> Result<SubnetId, Refused> {
        if let Some((vnet, own)) = name.split_once('/') {
            let found = self.network.subnet_named(self.vnet(vnet)?, own);
            return found.ok_or_else(|| format!("there is no subnet {name}"));
        }
        let mut found = self.network.subnets_named(name);
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err(format!("there is no subnet {name}")),
            (Some(one), Some(other)) => Err(format!(
                "subnet {name} is in two networks: write {} or {}",
                self.full_name(one),
                self.full_name(other)
            )),
        }
    }

    pub(crate) fn nic(&self, name: &str) -> Result<NicId, Refused> {
        self.network.nic_named(name).ok_or_else(|| format!("there is no nic {name}"))
    }

    pub(crate) fn site(&self, name: &str) -> Result<SiteId, Refused> {
        let found = self.network.sites().find(|(_, site)| site.name == name);
        found.map(|(id, _)| id).ok_or_else(|| format!("there is no site {name}"))
    }

    /// Finds a service by its name. Names of Azure's services ignore case.
    pub(crate) fn service(&self, name: &str) -> Result<ServiceId, Refused> {
        let known = || EndpointService::named(name).map(|known| known.name);
        let found = self.network.service_named(name);
        let found = found.or_else(|| self.network.service_named(known()?));
        found.ok_or_else(|| {
            if let Some(known) = known() {
                return format!("there is no service {name}; declare it: \"service {known}\"");
            }
            let names = self.network.services().flat_map(|(_, service)| {
                core::iter::once(&service.name).chain(&service.further_names)
            });
            format!("there is no service {name}{}", meant(name, names.map(String::as_str)))
        })
    }

    /// Returns a region in the spelling that resources use: one of Azure's, of the list of tags, or
    /// a declared one.
    pub(crate) fn region(&self, text: &str) -> Result<String, Refused> {
        if self.own_regions.contains(text) {
            return Ok(text.to_owned());
        }
        if let Some(known) = known_region(text) {
            return Ok(known.to_owned());
        }
        // Other clouds have their own regions.
        let mut listed = self.tags.tags().filter_map(ServiceTag::region);
        if let Some(region) = listed.find(|region| region.eq_ignore_ascii_case(text)) {
            return Ok(region.to_owned());
        }
        let own = self.own_regions.iter().map(String::as_str);
        let near = nearest_region(text).or_else(|| nearest(text, own));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        Err(format!(
            "there is no region {text}{near} (a region of your own is declared by \"own-region {text}\")"
        ))
    }

    pub(crate) fn resource(&self, name: &str) -> Result<ResourceId, Refused> {
        self.network.resource_named(name).ok_or_else(|| format!("there is no resource {name}"))
    }

    /// Returns the edge by which a packet to `destination` enters.
    pub(crate) fn edge(&self, place: &Place, destination: Ipv4Addr) -> Result<Edge, Refused> {
        match place {
            Place::Internet => Ok(Edge::Internet),
            Place::Subnet(name) => self.subnet(name).map(Edge::Subnet),
            Place::Nic(name) => self.nic(name).map(Edge::Nic),
            Place::Site(name) => self.site(name).map(Edge::Site),
            Place::Platform(name) => self.subnet(name).map(Edge::Platform),
            Place::Service { name, subnet } => {
                let service = self.service(name)?;
                let identity = match subnet {
                    None => None,
                    Some(subnet) => {
                        let subnet = self.subnet(subnet)?;
                        let vnet =
                            self.network.subnet(subnet).map_err(|error| error.to_string())?.vnet;
                        Some(Identity { vnet, subnet, address: destination })
                    }
                };
                Ok(Edge::Service { service, identity })
            }
            Place::Named(name) => {
                let subnet = self.subnet(name);
                if let Err(why) = &subnet
                    && why.contains("two networks")
                {
                    return Err(why.clone());
                }
                let found: Vec<Edge> = [
                    subnet.ok().map(Edge::Subnet),
                    self.nic(name).ok().map(Edge::Nic),
                    self.site(name).ok().map(Edge::Site),
                    self.service(name)
                        .ok()
                        .map(|service| Edge::Service { service, identity: None }),
                ]
                .into_iter()
                .flatten()
                .collect();
                match *found.as_slice() {
                    [edge] => Ok(edge),
                    [] => Err(format!("there is no subnet, nic, site or service {name}")),
                    _ => Err(format!(
                        "{name} is the name of two things: write subnet, nic, site or service before it"
                    )),
                }
            }
        }
    }

    /// Returns the shortest unique name of a subnet: without its network if no other subnet has the
    /// name.
    pub(crate) fn short_name(&self, id: SubnetId) -> String {
        let Ok(subnet) = self.network.subnet(id) else { return self.removed_name(id) };
        let mut alike = self.network.subnets_named(&subnet.name);
        if alike.nth(1).is_some() { self.full_name(id) } else { subnet.name.clone() }
    }

    /// Returns a subnet's name with that of its network, `alpha/web`.
    pub(crate) fn full_name(&self, id: SubnetId) -> String {
        let Ok(subnet) = self.network.subnet(id) else { return self.removed_name(id) };
        let vnet = self.network.vnet(subnet.vnet).map_or("?", |vnet| vnet.name.as_str());
        format!("{vnet}/{}", subnet.name)
    }

    fn removed_name(&self, id: SubnetId) -> String {
        let name = self.removed.get(&id);
        name.map_or_else(|| id.to_string(), |name| format!("{name} (removed)"))
    }

    /// Returns an edge as scenarios write it.
    pub(crate) fn place(&self, edge: Edge) -> String {
        match edge {
            Edge::Internet => "internet".into(),
            Edge::Subnet(id) => format!("subnet {}", self.short_name(id)),
            Edge::Nic(id) => {
                format!("nic {}", self.network.nic(id).map_or("?", |nic| nic.name.as_str()))
            }
            Edge::SameRegion { service, subnet } => {
                let name =
                    self.network.service(service).map_or("?", |service| service.name.as_str());
                format!("service {name} inside the region of {}", self.full_name(subnet))
            }
            Edge::Platform(id) => format!("platform for {}", self.short_name(id)),
            Edge::Site(id) => {
                format!("site {}", self.network.site(id).map_or("?", |site| site.name.as_str()))
            }
            Edge::PrivateEndpoint(id) => {
                let name = self.network.private_endpoint(id).map_or("?", |it| it.name.as_str());
                format!("private-endpoint {name}")
            }
            Edge::Service { service, identity } => {
                let name =
                    self.network.service(service).map_or("?", |service| service.name.as_str());
                match identity {
                    None => format!("service {name} public"),
                    Some(identity) => {
                        format!("service {name} as {}", self.full_name(identity.subnet))
                    }
                }
            }
        }
    }

    fn apply(&mut self, edit: &Edit) -> Result<(), Refused> {
        self.try_apply(edit).map_err(|error| error.to_string())
    }

    fn try_apply(&mut self, edit: &Edit) -> Result<(), Box<dyn core::error::Error>> {
        match edit {
            Edit::Vnet { name, ranges, region } => {
                let id = self.network.add_vnet(name, ranges)?;
                if let Some(region) = region {
                    let region = self.region(region)?;
                    self.regions.insert(id, region.clone());
                    self.network.place_vnet(id, Placement { region, ..Placement::default() })?;
                }
            }
            Edit::Peer { a, b, on: true } => self.network.peer(self.vnet(a)?, self.vnet(b)?)?,
            Edit::Peer { a, b, on: false } => self.network.unpeer(self.vnet(a)?, self.vnet(b)?)?,
            Edit::Subnet { name, prefix, vnet, method } => {
                let id = self.network.add_subnet(self.vnet(vnet)?, name, *prefix)?;
                self.set_method(id, method)?;
            }
            Edit::Outbound { subnet, method } => self.set_method(self.subnet(subnet)?, method)?,
            Edit::Nic { name, address, subnet, forwarding } => {
                let id = self.network.add_nic(self.subnet(subnet)?, name, *address)?;
                self.network.set_ip_forwarding(id, *forwarding)?;
            }
            Edit::Deallocated { nic, deallocated: true } => {
                self.network.deallocate(self.nic(nic)?)?;
            }
            Edit::Deallocated { nic, deallocated: false } => self.network.start(self.nic(nic)?)?,
            Edit::Forwarding { nic, on } => {
                self.network.set_ip_forwarding(self.nic(nic)?, *on)?;
            }
            Edit::Routing(edit) => self.reroute(edit)?,
            Edit::Service { name, prefixes } => self.add_service(name, prefixes)?,
            Edit::Prefixes { service, prefixes } => {
                self.network.set_service_prefixes(self.service(service)?, prefixes)?;
            }
            Edit::Regions { service, region, prefixes } => {
                let (id, region) = (self.service(service)?, self.region(region)?);
                let mut regions = self.network.service(id)?.regions.clone();
                regions.extend(prefixes.iter().map(|prefix| (*prefix, region.clone())));
                self.network.set_service_regions(id, regions)?;
            }
            Edit::OwnRegions(regions) => self.own_regions.extend(regions.iter().cloned()),
            Edit::Resource { name, address, service, kind, rules } => {
                let service = self.service(service)?;
                let mut firewall = self.firewall(service, *kind);
                rules.iter().try_for_each(|rule| self.change_rule(&mut firewall, rule, false))?;
                self.check_rules(service, rules, None)?;
                let missing = MissingEndpoint::Ignore;
                self.network.add_resource_with(service, name, *address, firewall, missing)?;
            }
            Edit::Secondary { resource, address } => {
                self.network.set_secondary(self.resource(resource)?, Some(*address))?;
            }
            Edit::Rule { resource, rule, remove } => {
                let id = self.resource(resource)?;
                let standing = self.network.resource(id)?;
                let mut set = standing.rules.clone();
                if !remove {
                    let rules = core::slice::from_ref(rule);
                    self.check_rules(standing.service, rules, Some(&standing.rules))?;
                }
                self.change_rule(&mut set, rule, *remove)?;
                self.network.set_rules_with(id, set, MissingEndpoint::Ignore)?;
            }
            Edit::Enable { service, subnet, regions } => {
                let (id, subnet) = (self.service(service)?, self.subnet(subnet)?);
                let regions: Option<Result<BTreeSet<_>, _>> = regions
                    .as_ref()
                    .map(|all| all.iter().map(|region| self.region(region)).collect());
                let endpoint = self.endpoint(service, subnet, regions.transpose()?);
                let (now, network) = (self.now, &mut self.network);
                self.rollout.set_endpoint(now, network, subnet, id, Some(endpoint))?;
            }
            Edit::Disable { service, subnet } => {
                let (id, subnet) = (self.service(service)?, self.subnet(subnet)?);
                self.rollout.set_endpoint(self.now, &mut self.network, subnet, id, None)?;
            }
            Edit::Tie(policy) => self.network.set_tie_policy(*policy),
            Edit::Deny(mode) => self.network.set_deny_mode(*mode),
            Edit::Security(edit) => self.apply_security(edit)?,
            Edit::Private(edit) => self.apply_private(edit)?,
            Edit::Policy(edit) => self.apply_policy(edit)?,
            Edit::RemoveVnet(name) => self.network.remove_vnet(self.vnet(name)?)?,
            Edit::RemoveSubnet(name) => {
                let id = self.subnet(name)?;
                let name = self.full_name(id);
                self.network.remove_subnet(id)?;
                self.removed.insert(id, name);
            }
            Edit::RemoveNic(name) => self.network.remove_nic(self.nic(name)?)?,
            Edit::RemoveResource(name) => self.network.remove_resource(self.resource(name)?)?,
        }
        Ok(())
    }

    fn set_method(&mut self, subnet: SubnetId, method: &Method) -> Result<(), EditError> {
        self.network.set_outbound(subnet, method.outbound.clone())?;
        match method.outbound {
            Outbound::NatGateway(_) => self.network.set_gateway_idle(subnet, method.idle),
            _ => Ok(()),
        }
    }

    fn add_service(
        &mut self,
        name: &str,
        prefixes: &Prefixes,
    ) -> Result<(), Box<dyn core::error::Error>> {
        match prefixes {
            Prefixes::Given(prefixes) => {
                self.network.add_service(name, prefixes)?;
            }
            Prefixes::Tag(tag) => {
                let (tags, tag) = (Arc::clone(&self.tags), self.tag(tag)?.name().to_owned());
                tags.add_service(&mut self.network, name, &tag)?;
            }
            Prefixes::Known => {
                let known = EndpointService::named(name).ok_or_else(|| {
                    let near = meant(name, EndpointService::ALL.iter().map(|known| known.name));
                    format!("{name} is no endpoint service that is known{near}; write \"service {name} tag TAG\" or give its prefixes")
                })?;
                known.add_to(&mut self.network, &self.tags)?;
            }
        }
        Ok(())
    }

    /// Returns the endpoint that a file means: for its regions, or else those of the service as
    /// seen from the network's region (E-06), or else all.
    fn endpoint(
        &self,
        name: &str,
        subnet: SubnetId,
        regions: Option<BTreeSet<String>>,
    ) -> Endpoint {
        let region =
            self.network.subnet(subnet).ok().and_then(|subnet| self.regions.get(&subnet.vnet));
        match (regions, EndpointService::named(name)) {
            (None, Some(known)) => known.endpoint(region.map(String::as_str)),
            (regions, known) => Endpoint {
                name: known.map_or(name, |known| known.name).to_owned(),
                scope: regions.map_or(Scope::Worldwide, Scope::Regions),
                network_identifier: None,
            },
        }
    }

    /// Finds a tag in the list of service tags.
    pub(super) fn tag(&self, name: &str) -> Result<&ServiceTag, Refused> {
        self.tags.tag(name).ok_or_else(|| {
            let near = meant(name, self.tags.tags().map(ServiceTag::name));
            format!("the list of tags has no tag {name} (--tags FILE gives another list){near}")
        })
    }

    /// Returns the suffix of a resource's name. It is that of its kind of service, or else of the
    /// service's first product in the catalogue, or else the service's name.
    pub(super) fn domain(&self, resource: &Resource) -> String {
        let service = self.network.service(resource.service);
        let own = service.map_or("", |service| service.name.as_str());
        let known = match &resource.rules {
            Firewall::Storage(_) => Some("Microsoft.Storage"),
            Firewall::Sql(_) => Some("Microsoft.Sql"),
            Firewall::CosmosDb(_) => Some("Microsoft.AzureCosmosDB"),
            Firewall::KeyVault(_) => Some("Microsoft.KeyVault"),
            Firewall::EventHubs(..) => Some("Microsoft.EventHub"),
            Firewall::ServiceBus(_) => Some("Microsoft.ServiceBus"),
            Firewall::AppService(_) => Some("Microsoft.Web"),
            Firewall::ContainerRegistry(_) => Some("Microsoft.ContainerRegistry"),
            Firewall::Other(_) => None,
        };
        let known = EndpointService::named(known.unwrap_or(own));
        let product = known.and_then(|known| known.products.first());
        product.map_or_else(|| own.to_ascii_lowercase(), |product| product.domain.to_owned())
    }

    /// Returns the service tag of a service, if it is known.
    pub(super) fn tag_of(&self, service: ServiceId) -> Option<&'static str> {
        let name = self.network.service(service).ok()?.name.as_str();
        EndpointService::named(name).map(|known| known.tag)
    }
}

/// Suggests the most similar of some names.
fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(name, names).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}
