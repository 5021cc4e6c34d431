//! Route tables and endpoint policies.

use core::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::{Extract, net, symbol};
use crate::import::batch::Record;
use crate::import::value::Value;
use crate::import::{
    EndpointPolicy, Inventory, PolicyDefinition, Route, RoutePrefix, RouteTable, RouteTarget,
};

impl Extract<'_> {
    pub(super) fn route_table(&mut self, record: &Record, inventory: &mut Inventory) {
        let left = record.fields.get("routes").clone();
        for item in left.items().iter().filter(|item| item.is_unknown()) {
            self.missing(record, "routes", item, "a route");
        }
        let parts = self.parts_of(record, "routes");
        let routes = parts.into_iter().filter_map(|part| self.route(part)).collect();
        inventory.route_tables.push(RouteTable {
            id: record.id.clone(),
            name: record.name.clone(),
            routes,
            bgp_propagation: !self.truth(record, "disableBgpRoutePropagation", false),
            place: record.place.clone(),
        });
    }

    /// Reads a route. One whose appliance is not known keeps its place; an IPv6 one is passed over.
    fn route(&mut self, part: &Record) -> Option<Route> {
        let prefix = part.fields.get("addressPrefix");
        let prefix = match prefix.as_text() {
            Some(text) if symbol(text).is_some() => {
                self.missing(part, "addressPrefix", prefix, "an address range");
                RoutePrefix::Unresolved
            }
            Some(text) => match net(text) {
                Some(IpNet::V4(prefix)) => RoutePrefix::Net(prefix),
                Some(IpNet::V6(_)) => {
                    self.ipv6();
                    return None;
                }
                None if is_tag(text) => RoutePrefix::Tag(text.to_owned()),
                None => {
                    self.missing(part, "addressPrefix", prefix, "a range or a service tag");
                    RoutePrefix::Unresolved
                }
            },
            None => {
                self.missing(part, "addressPrefix", prefix, "the route's prefix");
                RoutePrefix::Unresolved
            }
        };
        let next_hop = self.target(part);
        Some(Route { name: part.name.clone(), prefix, next_hop, place: part.place.clone() })
    }

    fn target(&mut self, part: &Record) -> RouteTarget {
        let kind = part.fields.get("nextHopType");
        let Some(word) = kind.as_text() else {
            self.missing(part, "nextHopType", kind, "the type of the next hop");
            return RouteTarget::Other(String::new());
        };
        match word.to_ascii_lowercase().as_str() {
            "virtualappliance" | "virtualapplianceecmp" => {
                RouteTarget::VirtualAppliance(self.appliances(part))
            }
            "virtualnetworkgateway" => RouteTarget::VirtualNetworkGateway,
            "vnetlocal" => RouteTarget::VnetLocal,
            "internet" => RouteTarget::Internet,
            "none" | "null" => RouteTarget::None,
            _ => {
                self.missing(part, "nextHopType", kind, "a known type of next hop");
                RouteTarget::Other(word.to_owned())
            }
        }
    }

    fn appliances(&mut self, part: &Record) -> Vec<Ipv4Addr> {
        let several = part.fields.get("nextHop");
        let field = if several.is_null() { "nextHopIpAddress" } else { "nextHop" };
        let value = match several {
            Value::Null => part.fields.get("nextHopIpAddress"),
            Value::Object(_) => several.first(&["nextHopIpAddresses", "ipAddresses"]),
            other => other,
        };
        let mut addresses = Vec::new();
        for item in value.items() {
            match item.as_text().map(str::trim).map(str::parse) {
                Some(Ok(IpAddr::V4(address))) => addresses.push(address),
                _ => self.missing(part, field, item, "an address"),
            }
        }
        if value.items().is_empty() {
            self.missing(part, field, &Value::Null, "the appliance's address");
        }
        addresses
    }

    pub(super) fn endpoint_policy(&mut self, record: &Record, inventory: &mut Inventory) {
        let parts = self.parts_of(record, "serviceEndpointPolicyDefinitions");
        let definitions = parts.into_iter().map(|part| {
            let mut resources = Vec::new();
            for item in part.fields.get("serviceResources").items() {
                match item.as_text() {
                    Some(text) => resources.push(text.to_owned()),
                    None => self.missing(part, "serviceResources", item, "an id or a name"),
                }
            }
            let service = self.text(part, "service");
            PolicyDefinition { name: part.name.clone(), service, resources }
        });
        let definitions = definitions.collect();
        inventory.endpoint_policies.push(EndpointPolicy {
            id: record.id.clone(),
            name: record.name.clone(),
            definitions,
            place: record.place.clone(),
        });
    }
}

/// Whether a text can be the name of a service tag: `Storage.WestEurope`, no address.
pub(super) fn is_tag(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_')
        && !text.eq_ignore_ascii_case("string")
}
