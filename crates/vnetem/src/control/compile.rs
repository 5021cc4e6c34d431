//! Compiles the intent into a snapshot. Only what an edit concerns is compiled again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use core::net::Ipv4Addr;

use vnetem_nat::{Generation, IdleMinutes, PoolRules, RevalidationKey, TimerProfile};
use vnetem_packet::{SiteId, SubnetId, VnetId};

use super::check::PublicOwner;
use super::compile_routes::Winners;
use super::services::region_key;
use super::{Endpoint, Network, Nic, Outbound, Resource, RouteTable, Scope, Subnet, Vnet};
use crate::shared::Set;
use crate::snapshot::ranges::is_somebodys;
use crate::snapshot::tenant::{tenant_of_site, tenant_of_vnet};
use crate::snapshot::{
    EndpointView, Invalidated, Method, NicView, OutboundView, PlaceView, PortPool, ResourceView,
    RolloutStateView, ServiceMap, Services, SiteView, SubnetView, Translator, VnetView,
};
use crate::{NicId, Snapshot};

/// First and last port of an address of a NAT gateway or of the platform, 64,512 in all (N-09,
/// C-08).
const GATEWAY_PORTS: (u16, u16) = (1024, u16::MAX);

/// The ports of an interface's own public address (N-11).
const ALL_PORTS: (u16, u16) = (0, u16::MAX);

/// Compiled tables by their input, so that equal tables are shared.
type Shared<'a> = BTreeMap<(VnetId, &'a RouteTable), Winners>;

/// What a commit invalidates.
#[derive(Debug, Default)]
pub(super) struct Invalidation {
    pub(super) keys: BTreeSet<RevalidationKey>,
    /// For every place: the keys of these services, or of everything else.
    pub(super) everywhere: Services,
    /// Networks whose subnets answer callers differently.
    pub(super) callers: BTreeSet<VnetId>,
}

impl Network {
    pub(super) fn compile(&self, generation: Generation) -> Snapshot {
        let old = &*self.compiled;
        let mut invalidation = Invalidation::default();
        let mut snapshot = Snapshot {
            generation,
            lineage: old.lineage.next(generation),
            tie_policy: self.tie_policy,
            deny_mode: self.deny_mode,
            vnet_by_subnet: self.vnet_by_subnet.clone(),
            hosts: self.hosts.clone(),
            tenants: self.index.tenants.clone(),
            clamps: self.index.clamping > 0,
            ..old.clone()
        };
        if !self.dirty.services.is_empty() {
            snapshot.services = Arc::new(self.compile_services());
            self.invalidate_services(old, &snapshot, &mut invalidation);
        }
        self.compile_resources(old, &mut snapshot, &mut invalidation);
        for &id in self.dirty.vnets.keys() {
            let view = self.vnets.get(&id).map(|vnet| Arc::new(self.compile_vnet(id, vnet)));
            snapshot.vnets.set(id.0, view);
        }
        for &id in self.dirty.nics.keys() {
            let view = self.nics.get(&id).map(|nic| Arc::new(self.compile_nic(id, nic)));
            snapshot.nics.set(id.0, view);
        }
        for &id in self.dirty.private.keys() {
            let view = self.private_endpoint(id).map(|it| Arc::new(self.compile_private(it)));
            snapshot.private.set(id, view.ok());
        }
        let tables = self.compile_places(old, &mut snapshot, &mut invalidation);
        snapshot.guards = self.compile_guards(old, &tables);
        snapshot.policies = self.compile_policies(old, &mut invalidation.keys);
        self.compile_public(&mut snapshot);
        if self.dirty.policies {
            invalidation.everywhere = Services::ALL;
        }
        let invalidated = Invalidated {
            keys: invalidation.keys.into_iter().collect(),
            everywhere: invalidation.everywhere,
        };
        snapshot.log = Arc::new(old.log.with(generation, invalidated));
        snapshot
    }

    /// Compiles places again, and returns the subnets whose route tables were.
    fn compile_places(
        &self,
        old: &Snapshot,
        new: &mut Snapshot,
        invalidation: &mut Invalidation,
    ) -> BTreeSet<u32> {
        // A change of a virtual network concerns its subnets, those of its peers, and the sites
        // that are connected to it. The change of a host concerns only flows there.
        let mut places: BTreeSet<u32> = self.dirty.places.keys().copied().collect();
        let mut tables: BTreeSet<u32> = self.dirty.tables.keys().copied().collect();
        let mut delivered = BTreeSet::new();
        for (number, is_subnet) in self.places_near(&self.dirty.vnets) {
            places.insert(number);
            delivered.insert(number);
            if is_subnet {
                tables.insert(number);
            }
        }
        delivered.extend(self.places_near(&self.dirty.hosts).map(|(number, _)| number));
        for id in self.dirty.nics.keys() {
            let before = old.nic(*id).map(|nic| nic.subnet);
            places.extend(self.nics.get(id).map(|nic| nic.subnet).or(before).map(|it| it.0));
        }
        if old.services.region_keys != new.services.region_keys {
            // Regions are numbered again.
            places.extend(self.subnets.keys().map(|id| id.0));
        }
        let mut shared = Shared::new();
        for &number in &places {
            let before = old.place(number);
            let standing = match before {
                Some(PlaceView::Subnet(view)) if !tables.contains(&number) => Some(&**view),
                _ => None,
            };
            let view = self.compile_place(number, standing, &new.services, &mut shared);
            if let Some(before) = before {
                let delivery = delivered.contains(&number);
                self.invalidate_place(number, before, view.as_ref(), delivery, invalidation);
            }
            new.ingress_table.set(number, view.as_ref());
            new.places.set(number, view);
        }
        for &number in delivered.difference(&places) {
            if let Some(view) = old.place(number) {
                self.invalidate_place(number, view, Some(view), true, invalidation);
            }
        }
        for vnet in core::mem::take(&mut invalidation.callers) {
            self.invalidate_callers(vnet, &mut invalidation.keys);
        }
        tables
    }

    /// Lists the subnets of some networks and of their peers, and the sites that are connected to
    /// them. Says of each whether it is a subnet.
    fn places_near(&self, vnets: &Set<VnetId>) -> impl Iterator<Item = (u32, bool)> {
        let mut near: BTreeSet<VnetId> = vnets.keys().copied().collect();
        let mut sites = BTreeSet::new();
        for vnet in vnets.keys().filter_map(|id| self.vnets.get(id)) {
            near.extend(&vnet.peers);
            sites.extend(vnet.gateways.keys().map(|site| site.0));
        }
        let subnets = near.into_iter().flat_map(|id| self.subnets_in(id));
        subnets.map(|(id, _)| (id.0, true)).chain(sites.into_iter().map(|number| (number, false)))
    }

    fn compile_place<'a>(
        &'a self,
        number: u32,
        standing: Option<&SubnetView>,
        services: &ServiceMap,
        shared: &mut Shared<'a>,
    ) -> Option<PlaceView> {
        if let Some(subnet) = self.subnets.get(&SubnetId(number)) {
            let id = SubnetId(number);
            let view = self.compile_subnet(id, subnet, standing, services, shared)?;
            return Some(PlaceView::Subnet(Arc::new(view)));
        }
        let id = SiteId(number);
        let site = self.sites.get(&id)?;
        let connected = self.connected_to(id).filter_map(|id| Some((id, self.vnets.get(&id)?)));
        let ranges = connected.flat_map(|(id, vnet)| vnet.ranges.iter().map(move |&net| (net, id)));
        Some(PlaceView::Site(Arc::new(SiteView {
            id,
            name: site.name.clone(),
            ranges: site.ranges.clone(),
            vnets: ranges.collect(),
            outbound: pool_of_site(&site.nat),
            peering: site.peering.as_ref().and_then(|peering| pool_of_site(peering.addresses())),
        })))
    }

    fn compile_subnet<'a>(
        &'a self,
        id: SubnetId,
        subnet: &'a Subnet,
        standing: Option<&SubnetView>,
        services: &ServiceMap,
        shared: &mut Shared<'a>,
    ) -> Option<SubnetView> {
        let vnet = self.vnets.get(&subnet.vnet)?;
        let (routes, overridden) = match standing {
            Some(view) => (view.routes.clone(), Arc::clone(&view.overridden)),
            None => shared
                .entry((subnet.vnet, &subnet.table))
                .or_insert_with_key(|(_, table)| self.compile_routes(subnet.vnet, vnet, table))
                .clone(),
        };
        let regions_of = |scope: &Scope| match scope {
            Scope::Worldwide => None,
            Scope::Regions(names) => {
                let mut numbers: Vec<u16> =
                    names.iter().filter_map(|name| services.region_number(name)).collect();
                numbers.sort_unstable();
                numbers.dedup();
                Some(numbers)
            }
        };
        // E-11: an endpoint with a policy has a worldwide scope.
        let scope_of = |service, endpoint: &Endpoint| {
            if self.has_policies(id, service) { None } else { regions_of(&endpoint.scope) }
        };
        let view_of = |service, endpoint: &Endpoint| EndpointView {
            service,
            name: endpoint.name.clone(),
            regions: scope_of(service, endpoint),
        };
        let endpoints =
            subnet.endpoints.iter().map(|(&service, endpoint)| view_of(service, endpoint));
        let rollout_states =
            subnet.rollout_states.iter().map(|(&service, rollout_state)| RolloutStateView {
                service,
                before: rollout_state.before.as_ref().map(|endpoint| view_of(service, endpoint)),
                seed: rollout_state.seed,
                reached: rollout_state.reached,
            });
        Some(SubnetView {
            id,
            name: subnet.name.clone(),
            vnet: subnet.vnet,
            prefix: subnet.prefix,
            has_nics: self.nics_in(subnet.vnet, subnet.prefix).next().is_some(),
            has_private: self.private_between(subnet.vnet, subnet.prefix).next().is_some(),
            overridden,
            routes,
            endpoints: endpoints.collect(),
            rollout_states: rollout_states.collect(),
            outbound: compile_outbound(&subnet.outbound, subnet.idle),
            region: services.region_number(&vnet.placement.region),
            is_placed: !vnet.placement.region.is_empty(),
            retained: subnet.outbound.addresses().iter().chain(&subnet.former).copied().collect(),
        })
    }

    fn compile_vnet(&self, id: VnetId, vnet: &Vnet) -> VnetView {
        let sites = vnet.gateways.keys().filter_map(|site| self.sites.get(site));
        let announced = vnet.gateways.values().flat_map(|gateway| &gateway.announced);
        VnetView {
            name: vnet.name.clone(),
            ranges: vnet.ranges.clone(),
            subnets: self.subnets_in(id).map(|(id, subnet)| (subnet.prefix, id)).collect(),
            peers: vnet.peers.iter().copied().collect(),
            sites: vnet.gateways.keys().copied().collect(),
            learned: sites
                .flat_map(|site| &site.ranges)
                .chain(announced)
                .filter(|prefix| is_somebodys(prefix))
                .copied()
                .collect(),
            private: self.private_in(id).map(|(id, endpoint)| (endpoint.address, id)).collect(),
        }
    }

    fn compile_nic(&self, id: NicId, nic: &Nic) -> NicView {
        NicView {
            name: nic.name.clone(),
            subnet: nic.subnet,
            address: nic.address,
            ip_forwarding: nic.ip_forwarding,
            instance: nic
                .public
                .map(|address| single(Method::Instance, &[address], ALL_PORTS).idling(nic.idle)),
            balanced: self.compile_balanced(id),
            frontends: self
                .balancer_of(id)
                .map_or_else(Vec::new, |balancer| balancer.frontends.clone()),
            kept: nic.kept.map(|address| single(Method::Default, &[address], GATEWAY_PORTS)),
            deallocated: nic.deallocated,
        }
    }

    fn compile_services(&self) -> ServiceMap {
        // A region may be spelled in several ways. The first spelling is shown.
        let mut spellings: BTreeMap<String, &String> = BTreeMap::new();
        let mut keys: BTreeMap<&String, String> = BTreeMap::new();
        for name in self.services.iter().flat_map(|service| service.regions.values()) {
            let key = keys.entry(name).or_insert_with(|| region_key(name));
            spellings.entry(key.clone()).or_insert(name);
        }
        let numbers: BTreeMap<&String, u16> = spellings.keys().zip(0..).collect();
        let number =
            |name| keys.get(name).and_then(|key| numbers.get(key)).copied().unwrap_or(u16::MAX);
        let prefixes = self
            .services()
            .flat_map(|(id, service)| service.prefixes.iter().map(move |&prefix| (prefix, id)));
        let placed = self.services.iter().flat_map(|service| &service.regions);
        ServiceMap {
            names: self.services.iter().map(|service| service.name.clone()).collect(),
            prefixes: prefixes.collect(),
            regions: placed.map(|(&prefix, name)| (prefix, number(name))).collect(),
            region_names: spellings.values().map(|name| (*name).clone()).collect(),
            region_keys: spellings.into_keys().collect(),
            same_region: self
                .services()
                .filter_map(|(id, service)| Some((id, service.same_region_path?)))
                .collect(),
        }
    }

    /// Compiles the resources that have changed. Flows to a service are revalidated if the rules of
    /// one have.
    fn compile_resources(
        &self,
        old: &Snapshot,
        new: &mut Snapshot,
        invalidation: &mut Invalidation,
    ) {
        if self.dirty.resources.is_empty() {
            return;
        }
        let map = Arc::make_mut(&mut new.resources);
        for &id in self.dirty.resources.keys() {
            let before = old.resources.by_id.get(&id);
            let after = self.resources.get(&id).map(|it| Arc::new(compile_resource(it)));
            if before.map(|view| view.said()) != after.as_ref().map(|view| view.said()) {
                let services = before.into_iter().chain(&after).map(|view| view.service);
                services.for_each(|service| invalidation.everywhere.add(Some(service)));
            }
            for address in before.into_iter().flat_map(|view| view.addresses()) {
                map.answers(address, id, false);
            }
            for address in after.iter().flat_map(|view| view.addresses()) {
                map.answers(address, id, true);
            }
            map.by_id.set(id, after);
        }
    }

    /// Returns the ports of a member of a load balancer's pool (N-25).
    fn compile_balanced(&self, nic: NicId) -> Option<OutboundView> {
        let balancer = self.balancer_of(nic)?;
        let pools = balancer.blocks_of(nic).map(|block| PortPool {
            addresses: vec![block.address],
            first_port: block.first,
            last_port: block.last,
        });
        let (method, pools) = (Method::LoadBalancer, pools.collect());
        // N-14, N-23: a load balancer has its own timers.
        let timers = TimerProfile::Balancer(balancer.rule.idle.unwrap_or_default());
        let rules = PoolRules { timers, ..PoolRules::AZURE };
        Some(OutboundView { method, pools, rules })
    }

    /// Compiles the public addresses that have changed.
    fn compile_public(&self, snapshot: &mut Snapshot) {
        for &address in self.dirty.public.keys() {
            let owner = self.public.get(&address);
            let view = owner.map(|(owner, _)| self.compile_translator(address, *owner));
            snapshot.public.set(address, view);
        }
        let public = &snapshot.public;
        let bounds = public.first_key().copied().zip(public.last_key().copied());
        snapshot.public_bounds = bounds;
        snapshot.ingress_table.set_internet(bounds);
    }

    fn compile_translator(&self, address: Ipv4Addr, owner: PublicOwner) -> Translator {
        let mut translator = Translator::default();
        match owner {
            PublicOwner::Vnet(id) => {
                translator.tenant = tenant_of_vnet(id);
                let users = (address, SubnetId(0))..=(address, SubnetId(u32::MAX));
                let users = self.index.outbound.range(users).map(|(&(_, subnet), ())| subnet);
                for subnet in users.filter_map(|subnet| self.subnets.get(&subnet)) {
                    match &subnet.outbound {
                        Outbound::NatGateway(_) => translator.resets = true,
                        // Of several pools that share an address the longest wait counts.
                        Outbound::Pool { rules, .. } => {
                            translator.unsolicited_syn =
                                translator.unsolicited_syn.max(rules.unsolicited_syn);
                        }
                        Outbound::Private | Outbound::Default(_) => {}
                    }
                }
            }
            PublicOwner::Site(id) => translator.tenant = tenant_of_site(id),
            PublicOwner::Nic(id) => {
                let subnet = self.nics.get(&id).and_then(|nic| self.subnets.get(&nic.subnet));
                let vnet = subnet.map(|subnet| tenant_of_vnet(subnet.vnet));
                translator.tenant = vnet.unwrap_or_default();
                translator.instance = Some(id);
            }
            PublicOwner::LoadBalancer(id) => {
                if let Some(balancer) = self.balancers.get(&id) {
                    translator.tenant = tenant_of_vnet(balancer.vnet);
                    translator.resets_when_idle = balancer.rule.resets;
                }
            }
        }
        translator
    }
}

impl ServiceMap {
    /// Returns the number of a region in any spelling; `None` if no service has a prefix there.
    fn region_number(&self, name: &str) -> Option<u16> {
        let at = self.region_keys.binary_search(&region_key(name)).ok()?;
        u16::try_from(at).ok()
    }
}

fn compile_resource(resource: &Resource) -> ResourceView {
    let Resource { name, service, address, secondary, path, rules, .. } = resource.clone();
    ResourceView { name, service, address, secondary, path, rules }
}

/// Returns the translation of a site, whoever does it.
fn pool_of_site(addresses: &[Ipv4Addr]) -> Option<OutboundView> {
    (!addresses.is_empty()).then(|| single(Method::Pool, addresses, GATEWAY_PORTS))
}

fn compile_outbound(outbound: &Outbound, idle: Option<IdleMinutes>) -> Option<OutboundView> {
    let mut rules = PoolRules::AZURE;
    let (method, ports) = match *outbound {
        Outbound::Private => return None,
        Outbound::Default(_) => (Method::Default, GATEWAY_PORTS),
        Outbound::NatGateway(_) => (Method::NatGateway, GATEWAY_PORTS),
        Outbound::Pool { first_port, last_port, rules: own, .. } => {
            rules = own;
            (Method::Pool, (first_port, last_port))
        }
    };
    Some(OutboundView { rules, ..single(method, outbound.addresses(), ports) }.idling(idle))
}

impl OutboundView {
    /// Returns the method with an idle timeout of its own (N-15, N-23).
    fn idling(self, idle: Option<IdleMinutes>) -> Self {
        let timers = idle.map_or(self.rules.timers, TimerProfile::Azure);
        Self { rules: PoolRules { timers, ..self.rules }, ..self }
    }
}

fn single(method: Method, addresses: &[Ipv4Addr], ports: (u16, u16)) -> OutboundView {
    let addresses = addresses.to_vec();
    let pool = PortPool { addresses, first_port: ports.0, last_port: ports.1 };
    OutboundView { method, pools: vec![pool], rules: PoolRules::AZURE }
}
