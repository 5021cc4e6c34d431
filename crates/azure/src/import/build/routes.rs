//! Route tables and service endpoints of subnets.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use vnetem::{
    SubnetId,
    control::{Circuit, Endpoint, NextHop, Scope, TagLevel},
};

use super::LoadedNetwork;
use crate::EndpointService;
use crate::import::{Id, Inventory, Link, Route, RoutePrefix, RouteTable, RouteTarget, Subnet};

impl LoadedNetwork {
    pub(super) fn set_routes(&mut self, inventory: &Inventory) {
        let tables: BTreeMap<&Id, &RouteTable> =
            inventory.route_tables.iter().rev().map(|table| (&table.id, table)).collect();
        for subnet in &inventory.subnets {
            let places = self.subnets.get(&subnet.id).cloned().unwrap_or_default();
            let table = match &subnet.route_table {
                Link::None => None,
                Link::To(id) => {
                    let table = tables.get(id).copied();
                    if table.is_none() {
                        let why = format!("no file has the route table {}", id.name());
                        self.leave_out(&subnet.place, why);
                    }
                    table
                }
                Link::Unresolved => {
                    self.leave_out(&subnet.place, "a route table that is not known");
                    None
                }
            };
            for place in places {
                self.set_table(place, table);
            }
        }
    }

    fn set_table(&mut self, place: SubnetId, table: Option<&RouteTable>) {
        let mut prefixes: BTreeMap<Ipv4Net, NextHop> = BTreeMap::new();
        let mut tags: BTreeMap<String, NextHop> = BTreeMap::new();
        let routes =
            table.into_iter().flat_map(|table| table.routes.iter().map(move |it| (table, it)));
        for (table, route) in routes {
            let Some(next_hop) = self.next_hop(place, table, route) else { continue };
            match &route.prefix {
                RoutePrefix::Net(prefix) => _ = prefixes.insert(*prefix, next_hop),
                RoutePrefix::Tag(tag) => _ = tags.insert(tag.to_ascii_lowercase(), next_hop),
                RoutePrefix::Unresolved => {
                    self.leave_out(&route.place, "a route whose prefix is not known");
                }
            }
        }
        let Ok(held) = self.network.subnet(place) else { return };
        let held = held.table.clone();
        for prefix in held.routes.keys().filter(|prefix| !prefixes.contains_key(prefix)) {
            _ = self.network.remove_route(place, *prefix);
        }
        let gone = |tag: &&String| !tags.contains_key(&tag.to_ascii_lowercase());
        for tag in held.tags.keys().filter(gone) {
            _ = self.network.remove_tag_route(place, tag);
        }
        let Some(table) = table else {
            if !held.bgp_propagation {
                _ = self.network.set_bgp_propagation(place, true);
            }
            return;
        };
        for (prefix, next_hop) in prefixes {
            if held.routes.get(&prefix).is_none_or(|route| route.next_hop != next_hop) {
                let set = self.network.set_route(place, prefix, next_hop);
                self.done(&table.place, set);
            }
        }
        for (tag, next_hop) in tags {
            let Some(listed) = self.tags.tag(&tag) else {
                self.leave_out(&table.place, format!("the list of tags has no tag {tag}"));
                continue;
            };
            let (name, level) = (listed.name().to_owned(), level(listed.name()));
            let prefixes = listed.prefixes().to_vec();
            let same = held.tags.get(&name).is_some_and(|route| {
                route.next_hop == next_hop && route.prefixes == prefixes && route.level == level
            });
            if same {
                continue;
            }
            let set = self.network.set_tag_route(place, &name, level, &prefixes, next_hop);
            self.done(&table.place, set);
        }
        if held.bgp_propagation != table.bgp_propagation {
            let set = self.network.set_bgp_propagation(place, table.bgp_propagation);
            self.done(&table.place, set);
        }
    }

    /// Where a route leads. An appliance whose address is not known keeps its route.
    fn next_hop(&mut self, place: SubnetId, table: &RouteTable, route: &Route) -> Option<NextHop> {
        Some(match &route.next_hop {
            RouteTarget::VirtualAppliance(addresses) => match addresses.as_slice() {
                [] => {
                    self.assume(
                        "appliance-address-unknown",
                        "An appliance whose address no file says is stood in for by an address of \
                         100.127.0.0/16.",
                    );
                    // By its id and not by its file: two files may show one route.
                    let what = format!("appliance of the route {} of {}", route.name, table.id);
                    NextHop::VirtualAppliance(self.stand_ins.private(&what)?)
                }
                [first, rest @ ..] => {
                    if !rest.is_empty() {
                        self.assume(
                            "one-appliance-of-several",
                            "A route to several appliances is taken to lead to the first of them.",
                        );
                    }
                    NextHop::VirtualAppliance(*first)
                }
            },
            RouteTarget::VirtualNetworkGateway => {
                let vnet = self.network.subnet(place).ok()?.vnet;
                let gateways = &self.network.vnet(vnet).ok()?.gateways;
                let vpn = gateways.iter().find(|(_, one)| one.circuit == Circuit::Vpn);
                let Some((&site, _)) = vpn else {
                    self.leave_out(
                        &route.place,
                        "a route to a gateway that the network does not have",
                    );
                    return None;
                };
                NextHop::VirtualNetworkGateway(site)
            }
            RouteTarget::VnetLocal => NextHop::VnetLocal,
            RouteTarget::Internet => NextHop::Internet,
            RouteTarget::None => NextHop::None,
            RouteTarget::Other(_) => {
                self.leave_out(&route.place, "a route to a next hop that is not known");
                return None;
            }
        })
    }

    pub(super) fn set_endpoints(&mut self, inventory: &Inventory) {
        let regions: BTreeMap<&Id, &str> =
            inventory.vnets.iter().rev().map(|vnet| (&vnet.id, vnet.region.as_str())).collect();
        for subnet in &inventory.subnets {
            let places = self.subnets.get(&subnet.id).cloned().unwrap_or_default();
            let region = subnet.vnet.id().and_then(|id| regions.get(id)).copied();
            let region = region.filter(|region| !region.is_empty() && !region.contains('<'));
            for place in places {
                self.set_endpoints_of(subnet, place, region);
            }
        }
    }

    fn set_endpoints_of(&mut self, subnet: &Subnet, place: SubnetId, region: Option<&str>) {
        let mut wanted = BTreeSet::new();
        for one in &subnet.endpoints {
            let known = EndpointService::named(&one.service);
            let Some((service, id)) =
                known.and_then(|service| Some((service, *self.services.get(service.name)?)))
            else {
                self.leave_out(&subnet.place, format!("the service {} is not known", one.service));
                continue;
            };
            if !wanted.insert(id) {
                let why = format!("{} excludes another endpoint of the subnet", one.service);
                self.leave_out(&subnet.place, why);
                continue;
            }
            let mut endpoint: Endpoint = service.endpoint(region);
            if one.locations.is_empty() && region.is_none() {
                self.assume(
                    "endpoint-is-worldwide",
                    "An endpoint without locations, on a network whose region is not known, is \
                     taken to hold worldwide.",
                );
            }
            if !one.locations.is_empty() {
                let all = one.locations.iter().any(|location| location == "*");
                endpoint.scope = if all {
                    Scope::Worldwide
                } else {
                    Scope::Regions(one.locations.iter().cloned().collect())
                };
            }
            endpoint.network_identifier = one.network_identifier.as_ref().map(ToString::to_string);
            let Ok(held) = self.network.subnet(place) else { return };
            let held = held.endpoints.get(&id).cloned();
            if held.as_ref() == Some(&endpoint) {
                continue;
            }
            if held.is_some_and(|held| held.name != endpoint.name) {
                _ = self.network.disable_endpoint(place, id);
            }
            let set = self.network.set_endpoint(place, id, endpoint);
            self.done(&subnet.place, set);
        }
        let Ok(held) = self.network.subnet(place) else { return };
        let gone: Vec<_> =
            held.endpoints.keys().filter(|id| !wanted.contains(id)).copied().collect();
        for id in gone {
            let disabled = self.network.disable_endpoint(place, id);
            self.done(&subnet.place, disabled);
        }
    }
}

/// How specific a tag is, by its name.
fn level(tag: &str) -> TagLevel {
    let (service, region) = tag.split_once('.').unwrap_or((tag, ""));
    match (service.eq_ignore_ascii_case("AzureCloud"), region.is_empty()) {
        (false, false) => TagLevel::Regional,
        (false, true) => TagLevel::Service,
        (true, false) => TagLevel::CloudRegion,
        (true, true) => TagLevel::Cloud,
    }
}
