//! From intent to snapshot: only what an edit concerns is compiled anew, and the cells it touches are found by comparing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_fib::{RouteTable, Table};
use vnetem_nat::{Cell, Generation};
use vnetem_packet::{SiteId, SubnetId, VnetId};

use super::{Network, Outbound, Scope, Subnet, Vnet};
use crate::edge::{INTERNET_PLACE, cell};
use crate::snapshot::{
    Method, NicView, OutboundView, PlaceView, ResourceMap, ResourceView, ServiceMap, SiteView,
    SubnetView, Touched, Translator, VnetView,
};
use crate::{NextHop, NicId, Route, RouteSource, ServiceId, Snapshot};

/// ranges that lead nowhere until something else is said of them.
const RESERVED: [Ipv4Net; 4] =
    [net(10, 0, 0, 0, 8), net(172, 16, 0, 0, 12), net(192, 168, 0, 0, 16), net(100, 64, 0, 0, 10)];

/// First and last port of an address of a NAT gateway or of the platform: 64,512 in all (N-09, C-08).
const GATEWAY_PORTS: (u16, u16) = (1024, u16::MAX);

/// Compiled tables by what they were made of, so that equal ones are one.
type Shared = BTreeMap<(VnetId, Vec<(Ipv4Net, NextHop)>), (Table<(RouteSource, NextHop)>, Losers)>;
type Losers = Arc<Vec<(Route, RouteSource)>>;

impl Network {
    pub(super) fn compile(&self, generation: Generation) -> Snapshot {
        let old = &*self.compiled;
        let mut touched = BTreeSet::new();
        let mut snapshot = Snapshot {
            generation,
            tie_policy: self.tie_policy,
            deny_mode: self.deny_mode,
            ..old.clone()
        };
        if self.dirty.services {
            snapshot.services = Arc::new(self.compile_services());
            self.touch_services(old, &snapshot, &mut touched);
        }
        if self.dirty.resources {
            self.touch_resources(old, &mut touched);
            snapshot.resources = Arc::new(self.compile_resources());
        }
        for &id in &self.dirty.vnets {
            match self.vnets.get(&id) {
                Some(vnet) => snapshot.vnets.insert(id, Arc::new(self.compile_vnet(id, vnet))),
                None => snapshot.vnets.remove(&id),
            };
        }
        if !self.dirty.vnets.is_empty() {
            snapshot.homes = Arc::new(self.homes.clone());
            snapshot.nics = Arc::new(self.compile_nics());
        }
        self.compile_places(old, &mut snapshot, &mut touched);
        if !self.dirty.places.is_empty() {
            snapshot.public = Arc::new(self.compile_public());
        }
        let touched = if self.dirty.policies {
            Touched::Everything
        } else {
            Touched::Cells(touched.into_iter().collect())
        };
        snapshot.log = Arc::new(old.log.with(generation, touched));
        snapshot
    }

    fn compile_places(&self, old: &Snapshot, new: &mut Snapshot, touched: &mut BTreeSet<Cell>) {
        // A change of a virtual network concerns its own subnets, those of its peers and the sites it is connected to.
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
            // Regions are numbered anew with the services.
            places.extend(self.subnets.keys().map(|id| id.0));
        }
        new.places.resize(self.next_place as usize + 1, None);
        let mut shared = Shared::new();
        for number in places {
            let view = self.compile_place(number, &new.services, &mut shared);
            let before = old.place(number);
            if let Some(before) = before {
                let delivery = match before {
                    PlaceView::Subnet(view) => near.contains(&view.vnet),
                    PlaceView::Site(_) => !self.dirty.vnets.is_empty(),
                };
                self.touch_place(number, before, view.as_ref(), delivery, touched);
            }
            if let Some(slot) = new.places.get_mut(number as usize) {
                *slot = view;
            }
        }
    }

    fn compile_place(
        &self,
        number: u32,
        services: &ServiceMap,
        shared: &mut Shared,
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
            outbound: (!site.nat.is_empty()).then(|| OutboundView {
                method: Method::Pool,
                addresses: site.nat.clone(),
                first_port: GATEWAY_PORTS.0,
                last_port: GATEWAY_PORTS.1,
            }),
        })))
    }

    fn compile_subnet(
        &self,
        id: SubnetId,
        subnet: &Subnet,
        services: &ServiceMap,
        shared: &mut Shared,
    ) -> Option<SubnetView> {
        let vnet = self.vnets.get(&subnet.vnet)?;
        let own: Vec<_> = subnet.routes.iter().map(|(&prefix, &hop)| (prefix, hop)).collect();
        let (routes, losers) = shared
            .entry((subnet.vnet, own))
            .or_insert_with_key(|(_, own)| self.compile_routes(vnet, own))
            .clone();
        let regions_of = |scope: &Scope| match scope {
            Scope::Worldwide => None,
            Scope::Regions(names) => Some(
                (0..)
                    .zip(&services.region_names)
                    .filter(|(_, name)| names.contains(*name))
                    .map(|(number, _)| number)
                    .collect(),
            ),
        };
        let endpoints =
            subnet.endpoints.iter().map(|(&service, scope)| (service, regions_of(scope)));
        Some(SubnetView {
            id,
            name: subnet.name.clone(),
            vnet: subnet.vnet,
            prefix: subnet.prefix,
            nics: self.nics_in(subnet.vnet, subnet.prefix),
            losers,
            routes,
            endpoints: endpoints.collect(),
            outbound: compile_outbound(&subnet.outbound),
            keeps: subnet.outbound.addresses().iter().chain(&subnet.former).copied().collect(),
        })
    }

    /// All candidates of a subnet and what becomes of each.
    fn compile_routes(
        &self,
        vnet: &Vnet,
        own: &[(Ipv4Net, NextHop)],
    ) -> (Table<(RouteSource, NextHop)>, Losers) {
        let mut table = RouteTable::new();
        let mut losers = Vec::new();
        let mut add = |prefix, source, next_hop| {
            table.insert(prefix, source, next_hop);
        };
        let local: Vec<_> = vnet.ranges.iter().map(|&range| (range, NextHop::VnetLocal)).collect();
        let peered: Vec<_> = vnet
            .peers
            .iter()
            .filter_map(|&peer| Some((peer, self.vnets.get(&peer)?)))
            .flat_map(|(id, peer)| {
                peer.ranges.iter().map(move |&net| (net, NextHop::VnetPeering(id)))
            })
            .collect();
        let system = || local.iter().chain(&peered);
        for &(prefix, hop) in own {
            add(prefix, RouteSource::User, hop);
        }
        for (&site, prefixes) in &vnet.gateways {
            for &prefix in prefixes {
                let hop = NextHop::VirtualNetworkGateway(site);
                // routes of the network and its peerings override BGP routes of any length.
                if system().any(|(range, _)| range.contains(&prefix)) {
                    let route =
                        Route { prefix, source: RouteSource::VirtualNetworkGateway, next_hop: hop };
                    losers.push((route, RouteSource::Default));
                } else {
                    add(prefix, RouteSource::VirtualNetworkGateway, hop);
                }
            }
        }
        for &(prefix, hop) in system() {
            add(prefix, RouteSource::Default, hop);
        }
        let default = Ipv4Net::default();
        add(default, RouteSource::Default, NextHop::Internet);
        let tunnelled = own.iter().any(|(prefix, _)| *prefix == default);
        for reserved in RESERVED {
            // a range of the network that is or contains a reserved one stands in its place; R-04: so does a user's default.
            if !tunnelled && !vnet.ranges.iter().any(|range| range.contains(&reserved)) {
                add(reserved, RouteSource::Default, NextHop::None);
            }
        }
        let mut winners = Vec::new();
        for (prefix, candidates) in table.iter() {
            let mut candidates = candidates.iter();
            if let Some(&(source, next_hop)) = candidates.next() {
                winners.push((prefix, (source, next_hop)));
                for &(loser, next_hop) in candidates {
                    losers.push((Route { prefix, source: loser, next_hop }, source));
                }
            }
        }
        (winners.into_iter().collect(), Arc::new(losers))
    }

    fn compile_vnet(&self, id: VnetId, vnet: &Vnet) -> VnetView {
        let subnets = self.subnets.iter().filter(|(_, subnet)| subnet.vnet == id);
        VnetView {
            name: vnet.name.clone(),
            subnets: subnets.map(|(&id, subnet)| (subnet.prefix, id)).collect(),
            peers: vnet.peers.iter().copied().collect(),
            nics: self.nics_in(id, Ipv4Net::default()),
        }
    }

    /// The declared interfaces of a network that lie in a range, by address.
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
                });
            }
        }
        views
    }

    fn compile_services(&self) -> ServiceMap {
        let regions: BTreeSet<&String> =
            self.services.iter().flat_map(|service| service.regions.values()).collect();
        let numbers: BTreeMap<&String, u16> = regions.iter().copied().zip(0..).collect();
        let number = |name| numbers.get(name).copied().unwrap_or(u16::MAX);
        let prefixes = self
            .services()
            .flat_map(|(id, service)| service.prefixes.iter().map(move |&prefix| (prefix, id)));
        let placed = self.services.iter().flat_map(|service| &service.regions);
        ServiceMap {
            names: self.services.iter().map(|service| service.name.clone()).collect(),
            prefixes: prefixes.collect(),
            regions: placed.map(|(&prefix, name)| (prefix, number(name))).collect(),
            region_names: regions.into_iter().cloned().collect(),
        }
    }

    fn compile_resources(&self) -> ResourceMap {
        let mut map = ResourceMap::default();
        for (&id, resource) in &self.resources {
            map.by_address.entry(resource.address).or_default().push(id);
            let (name, service) = (resource.name.clone(), resource.service);
            map.by_id.insert(id, ResourceView { name, service, rules: resource.rules.clone() });
        }
        map
    }

    fn compile_public(&self) -> BTreeMap<Ipv4Addr, Translator> {
        let mut public: BTreeMap<_, _> =
            self.public.keys().map(|&address| (address, Translator { resets: false })).collect();
        for subnet in self.subnets.values() {
            if let Outbound::NatGateway(addresses) = &subnet.outbound {
                for address in addresses {
                    public.insert(*address, Translator { resets: true });
                }
            }
        }
        public
    }

    fn touch_place(
        &self,
        number: u32,
        before: &PlaceView,
        after: Option<&PlaceView>,
        delivery: bool,
        touched: &mut BTreeSet<Cell>,
    ) {
        let all = match (before, after) {
            (PlaceView::Subnet(before), Some(PlaceView::Subnet(after))) => {
                for service in 0..self.services.len() {
                    let service = ServiceId(u8::try_from(service).unwrap_or(u8::MAX));
                    let endpoint = |view: &SubnetView| {
                        view.endpoints.iter().find(|(id, _)| *id == service).cloned()
                    };
                    if endpoint(before) != endpoint(after) {
                        touched.insert(cell(number, Some(service)));
                    }
                }
                delivery
                    || before.routes != after.routes
                    || !before.keeps.iter().all(|address| after.keeps.contains(address))
            }
            (PlaceView::Site(before), Some(PlaceView::Site(after))) => delivery || before != after,
            _ => true,
        };
        if all {
            touched.insert(cell(number, None));
            touched.extend(self.services().map(|(id, _)| cell(number, Some(id))));
        }
    }

    /// E9, U-02: a change of prefixes concerns flows to that service, and flows to addresses that were nobody's before.
    fn touch_services(&self, old: &Snapshot, new: &Snapshot, touched: &mut BTreeSet<Cell>) {
        let changed = self.services().map(|(id, _)| id).filter(|&id| {
            let regions = |map: &ServiceMap| -> Vec<(Ipv4Net, Option<String>)> {
                map.prefixes_of(id)
                    .flat_map(|prefix| map.regions.covered(prefix))
                    .map(|(prefix, &region)| {
                        (prefix, map.region_names.get(usize::from(region)).cloned())
                    })
                    .collect()
            };
            !old.services.prefixes_of(id).eq(new.services.prefixes_of(id))
                || regions(&old.services) != regions(&new.services)
        });
        let changed: Vec<ServiceId> = changed.collect();
        if changed.is_empty() {
            return;
        }
        for number in INTERNET_PLACE..=self.next_place {
            touched.insert(cell(number, None));
            touched.extend(changed.iter().map(|&service| cell(number, Some(service))));
        }
    }

    /// Rules are judged again for every flow to a service whose resources changed.
    fn touch_resources(&self, old: &Snapshot, touched: &mut BTreeSet<Cell>) {
        let before =
            old.resources.by_id.iter().map(|(&id, view)| (id, (view.service, &view.rules)));
        let after = self.resources.iter().map(|(&id, view)| (id, (view.service, &view.rules)));
        let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (before.collect(), after.collect());
        let changed: BTreeSet<ServiceId> = before
            .keys()
            .chain(after.keys())
            .filter(|id| before.get(id) != after.get(id))
            .filter_map(|id| before.get(id).or(after.get(id)).map(|(service, _)| *service))
            .collect();
        for number in INTERNET_PLACE..=self.next_place {
            touched.extend(changed.iter().map(|&service| cell(number, Some(service))));
        }
    }
}

fn compile_outbound(outbound: &Outbound) -> Option<OutboundView> {
    let (method, (first_port, last_port)) = match *outbound {
        Outbound::Private => return None,
        Outbound::Default(_) => (Method::Default, GATEWAY_PORTS),
        Outbound::NatGateway(_) => (Method::NatGateway, GATEWAY_PORTS),
        Outbound::Pool { first_port, last_port, .. } => (Method::Pool, (first_port, last_port)),
    };
    let addresses = outbound.addresses().to_vec();
    Some(OutboundView { method, addresses, first_port, last_port })
}

const fn net(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}
