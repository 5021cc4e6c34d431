//! Compiles the intent into a snapshot. Only what an edit concerns is compiled again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_nat::{Generation, IdleMinutes, PoolRules, RevalidationKey, Tenant, TimerProfile};
use vnetem_packet::{SiteId, SubnetId, VnetId};

use super::check::PublicOwner;
use super::compile_routes::Winners;
use super::services::region_key;
use super::{Endpoint, LoadBalancer, Network, Outbound, Resource, RouteTable, Scope, Subnet, Vnet};
use crate::snapshot::ranges::is_somebodys;
use crate::snapshot::tenant::{tenant_of_site, tenant_of_vnet};
use crate::snapshot::{
    EndpointView, Invalidated, Method, NicView, OutboundView, PlaceView, PortPool, ResourceMap,
    ResourceView, RolloutStateView, ServiceMap, SiteView, SubnetView, Translator, VnetView,
};
use crate::{NicId, Snapshot};

/// First and last port of an address of a NAT gateway or of the platform, 64,512 in all (N-09,
/// C-08).
const GATEWAY_PORTS: (u16, u16) = (1024, u16::MAX);

/// The ports of an interface's own public address (N-11).
const ALL_PORTS: (u16, u16) = (0, u16::MAX);

/// Compiled tables by their input, so that equal tables are shared.
type Shared<'a> = BTreeMap<(VnetId, &'a RouteTable), Winners>;

impl Network {
    pub(super) fn compile(&self, generation: Generation) -> Snapshot {
        let old = &*self.compiled;
        let mut invalidated = BTreeSet::new();
        let mut snapshot = Snapshot {
            generation,
            lineage: old.lineage.next(generation),
            tie_policy: self.tie_policy,
            deny_mode: self.deny_mode,
            ..old.clone()
        };
        if self.dirty.services {
            snapshot.services = Arc::new(self.compile_services());
            self.invalidate_services(old, &snapshot, &mut invalidated);
        }
        if self.dirty.resources {
            self.invalidate_resources(old, &mut invalidated);
            snapshot.resources = Arc::new(self.compile_resources());
        }
        for &id in &self.dirty.vnets {
            match self.vnets.get(&id) {
                Some(vnet) => snapshot.vnets.insert(id, Arc::new(self.compile_vnet(id, vnet))),
                None => snapshot.vnets.remove(&id),
            };
        }
        if !self.dirty.vnets.is_empty() {
            snapshot.vnet_by_subnet = Arc::new(self.vnet_by_subnet.clone());
            snapshot.nics = Arc::new(self.compile_nics());
            snapshot.private = Arc::new(self.compile_private());
        }
        let is_subnet = |number: &u32| self.subnets.contains_key(&SubnetId(*number));
        if !self.dirty.vnets.is_empty() || !self.dirty.places.iter().all(is_subnet) {
            let tenants = self.tenants();
            if *snapshot.tenants != tenants {
                snapshot.tenants = Arc::new(tenants);
            }
        }
        self.compile_places(old, &mut snapshot, &mut invalidated);
        snapshot.guards = self.compile_guards(old);
        snapshot.policies = self.compile_policies(old, &mut invalidated);
        if !self.dirty.places.is_empty() || !self.dirty.vnets.is_empty() {
            snapshot.public = Arc::new(self.compile_public());
            let ends = (snapshot.public.first_key_value(), snapshot.public.last_key_value());
            snapshot.public_bounds = ends.0.zip(ends.1).map(|((low, _), (high, _))| (*low, *high));
            snapshot.ingress_table.set_internet(snapshot.public_bounds);
            snapshot.clamps = self.subnets.values().any(|subnet| match &subnet.outbound {
                Outbound::Pool { rules, .. } => rules.segment_size.is_some(),
                _ => false,
            });
        }
        let invalidated = if self.dirty.policies {
            Invalidated::Everything
        } else {
            Invalidated::Cells(invalidated.into_iter().collect())
        };
        snapshot.log = Arc::new(old.log.with(generation, invalidated));
        snapshot
    }

    fn compile_places(
        &self,
        old: &Snapshot,
        new: &mut Snapshot,
        invalidated: &mut BTreeSet<RevalidationKey>,
    ) {
        // A change of a virtual network concerns its subnets, those of its peers, and the sites
        // that are connected to it.
        let mut near: BTreeSet<VnetId> = self.dirty.vnets.clone();
        let mut places = self.dirty.places.clone();
        for id in &self.dirty.vnets {
            if let Some(vnet) = self.vnets.get(id) {
                near.extend(&vnet.peers);
                places.extend(vnet.gateways.keys().map(|site| site.0));
            }
        }
        if !near.is_empty() {
            let subnets = self.subnets.iter().filter(|(_, subnet)| near.contains(&subnet.vnet));
            places.extend(subnets.map(|(id, _)| id.0));
        }
        if self.dirty.services {
            // Regions are numbered again with the services.
            places.extend(self.subnets.keys().map(|id| id.0));
        }
        new.places.resize(self.next_place as usize + 1, None);
        new.ingress_table.resize(new.places.len());
        let mut shared = Shared::new();
        for number in places {
            let view = self.compile_place(number, &new.services, &mut shared);
            let before = old.place(number);
            if let Some(before) = before {
                let delivery = match before {
                    PlaceView::Subnet(view) => near.contains(&view.vnet),
                    PlaceView::Site(_) => !self.dirty.vnets.is_empty(),
                };
                self.invalidate_place(number, before, view.as_ref(), delivery, invalidated);
            }
            new.ingress_table.set(number, view.as_ref());
            if let Some(slot) = new.places.get_mut(number as usize) {
                *slot = view;
            }
        }
    }

    fn compile_place<'a>(
        &'a self,
        number: u32,
        services: &ServiceMap,
        shared: &mut Shared<'a>,
    ) -> Option<PlaceView> {
        if let Some(subnet) = self.subnets.get(&SubnetId(number)) {
            let view = self.compile_subnet(SubnetId(number), subnet, services, shared)?;
            return Some(PlaceView::Subnet(Arc::new(view)));
        }
        let id = SiteId(number);
        let site = self.sites.get(&id)?;
        let connected = self.vnets.iter().filter(|(_, vnet)| vnet.gateways.contains_key(&id));
        let ranges =
            connected.flat_map(|(&id, vnet)| vnet.ranges.iter().map(move |&net| (net, id)));
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
        services: &ServiceMap,
        shared: &mut Shared<'a>,
    ) -> Option<SubnetView> {
        let vnet = self.vnets.get(&subnet.vnet)?;
        let (routes, overridden) = shared
            .entry((subnet.vnet, &subnet.table))
            .or_insert_with_key(|(_, table)| self.compile_routes(subnet.vnet, vnet, table))
            .clone();
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
            nics: self.nics_in(subnet.vnet, subnet.prefix),
            private: self.private_endpoints_of(id).map(|endpoint| endpoint.address).collect(),
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
        let subnets = self.subnets.iter().filter(|(_, subnet)| subnet.vnet == id);
        let sites = vnet.gateways.keys().filter_map(|site| self.sites.get(site));
        let announced = vnet.gateways.values().flat_map(|gateway| &gateway.announced);
        VnetView {
            name: vnet.name.clone(),
            ranges: vnet.ranges.clone(),
            subnets: subnets.map(|(&id, subnet)| (subnet.prefix, id)).collect(),
            peers: vnet.peers.iter().copied().collect(),
            sites: vnet.gateways.keys().copied().collect(),
            learned: sites
                .flat_map(|site| &site.ranges)
                .chain(announced)
                .filter(|prefix| is_somebodys(prefix))
                .copied()
                .collect(),
            nics: self.nics_in(id, Ipv4Net::default()),
            private: self.private_in(id).map(|(id, endpoint)| (endpoint.address, id)).collect(),
        }
    }

    /// Returns the declared interfaces of a network that lie in a range, by address.
    fn nics_in(&self, vnet: VnetId, range: Ipv4Net) -> Vec<(Ipv4Addr, NicId)> {
        let hosts = self.hosts.range((vnet, range.network())..=(vnet, range.broadcast()));
        hosts.map(|(&(_, address), &nic)| (address, nic)).collect()
    }

    fn compile_nics(&self) -> Vec<Option<NicView>> {
        let mut views = vec![None; self.next_nic as usize + 1];
        for (&NicId(id), nic) in &self.nics {
            if let Some(slot) = views.get_mut(id as usize) {
                *slot = Some(NicView {
                    name: nic.name.clone(),
                    subnet: nic.subnet,
                    address: nic.address,
                    ip_forwarding: nic.ip_forwarding,
                    instance: nic.public.map(|address| {
                        single(Method::Instance, &[address], ALL_PORTS).idling(nic.idle)
                    }),
                    balanced: self.compile_balanced(NicId(id)),
                    frontends: self
                        .balancer_of(NicId(id))
                        .map_or_else(Vec::new, |balancer| balancer.frontends.clone()),
                    kept: nic
                        .kept
                        .map(|address| single(Method::Default, &[address], GATEWAY_PORTS)),
                    deallocated: nic.deallocated,
                });
            }
        }
        views
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

    fn compile_resources(&self) -> ResourceMap {
        let mut map = ResourceMap::default();
        for (&id, resource) in &self.resources {
            for address in resource.addresses() {
                map.by_address.entry(address).or_default().push(id);
            }
            let Resource { name, service, secondary, path, rules, .. } = resource.clone();
            map.by_id.insert(id, ResourceView { name, service, secondary, path, rules });
        }
        map
    }

    fn balancer_of(&self, member: NicId) -> Option<&LoadBalancer> {
        self.balancers.values().find(|balancer| balancer.members.contains_key(&member))
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

    fn compile_public(&self) -> BTreeMap<Ipv4Addr, Translator> {
        let mut public: BTreeMap<_, _> =
            self.public.keys().map(|&address| (address, Translator::default())).collect();
        for subnet in self.subnets.values() {
            if let Outbound::NatGateway(addresses) = &subnet.outbound {
                for address in addresses {
                    public.insert(*address, Translator { resets: true, ..Translator::default() });
                }
            }
        }
        for balancer in self.balancers.values().filter(|balancer| balancer.rule.resets) {
            for address in &balancer.frontends {
                let silent = Translator::default();
                public.insert(*address, Translator { resets_when_idle: true, ..silent });
            }
        }
        for subnet in self.subnets.values() {
            let Outbound::Pool { addresses, rules, .. } = &subnet.outbound else { continue };
            for address in addresses {
                let translator: &mut Translator = public.entry(*address).or_default();
                // Of several pools that share an address the longest wait counts.
                translator.unsolicited_syn = translator.unsolicited_syn.max(rules.unsolicited_syn);
            }
        }
        for (&id, nic) in &self.nics {
            if let Some(address) = nic.public {
                public.insert(address, Translator { instance: Some(id), ..Translator::default() });
            }
        }
        for (address, translator) in &mut public {
            translator.tenant = self.tenant_behind(*address);
        }
        public
    }

    /// Lists all networks and sites, by number.
    fn tenants(&self) -> Vec<Tenant> {
        let networks = self.vnets.keys().map(|id| tenant_of_vnet(*id));
        let mut all: Vec<_> =
            networks.chain(self.sites.keys().map(|id| tenant_of_site(*id))).collect();
        all.sort_unstable();
        all
    }

    /// Returns the network or site that has a public address.
    fn tenant_behind(&self, address: Ipv4Addr) -> Tenant {
        let of_nic = |id| {
            let subnet = self.nics.get(&id).and_then(|nic| self.subnets.get(&nic.subnet));
            subnet.map(|subnet| subnet.vnet)
        };
        match self.public.get(&address).map(|(owner, _)| *owner) {
            Some(PublicOwner::Vnet(id)) => tenant_of_vnet(id),
            Some(PublicOwner::Site(id)) => tenant_of_site(id),
            Some(PublicOwner::Nic(id)) => of_nic(id).map_or(Tenant::NOBODY, tenant_of_vnet),
            Some(PublicOwner::LoadBalancer(id)) => {
                let balancer = self.balancers.get(&id);
                balancer.map_or(Tenant::NOBODY, |balancer| tenant_of_vnet(balancer.vnet))
            }
            None => Tenant::NOBODY,
        }
    }
}

impl ServiceMap {
    /// Returns the number of a region in any spelling; `None` if no service has a prefix there.
    fn region_number(&self, name: &str) -> Option<u16> {
        let at = self.region_keys.binary_search(&region_key(name)).ok()?;
        u16::try_from(at).ok()
    }
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
