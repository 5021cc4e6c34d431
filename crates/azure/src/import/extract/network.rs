//! Virtual networks, subnets, peerings, interfaces.

use super::{Extract, symbol};
use crate::import::batch::Record;
use crate::import::value::Value;
use crate::import::{
    Id, Inventory, IpConfiguration, Link, NetworkInterface, Peering, ServiceEndpoint, Subnet,
    VirtualNetwork,
};

impl Extract<'_> {
    pub(super) fn vnet(&mut self, record: &Record, inventory: &mut Inventory) {
        let space = record.fields.get("addressSpace");
        let ranges = match space {
            Value::Object(_) => space.get("addressPrefixes"),
            other => other,
        };
        let ranges = self.prefixes(record, "addressSpace.addressPrefixes", ranges);
        if ranges.is_empty() && space.is_null() {
            self.missing(record, "addressSpace", space, "the address space");
        }
        for field in ["subnets", "virtualNetworkPeerings"] {
            // What is left here is not known as a whole; the others are records.
            let left = record.fields.get(field).clone();
            for item in left.items().iter().filter(|item| item.is_unknown()) {
                self.missing(record, field, item, "a part");
            }
        }
        inventory.vnets.push(VirtualNetwork {
            id: record.id.clone(),
            name: record.name.clone(),
            region: self.region(record),
            ranges,
            peerings: self.peerings(record),
            flow_timeout: self.minutes(record, "flowTimeoutInMinutes"),
            place: record.place.clone(),
        });
    }

    fn peerings(&mut self, record: &Record) -> Vec<Peering> {
        let parts = self.parts_of(record, "virtualNetworkPeerings");
        parts.into_iter().map(|part| self.peering(part)).collect()
    }

    fn peering(&mut self, part: &Record) -> Peering {
        let remote = part.fields.get("remoteVirtualNetwork").clone();
        let remote = self.link(part, "remoteVirtualNetwork.id", &remote);
        if remote == Link::None {
            self.missing(part, "remoteVirtualNetwork.id", &Value::Null, "the remote network");
        }
        Peering {
            name: part.name.clone(),
            remote,
            allows_access: self.truth(part, "allowVirtualNetworkAccess", true),
            state: self.text(part, "peeringState"),
            place: part.place.clone(),
        }
    }

    pub(super) fn subnet(&mut self, record: &Record, inventory: &mut Inventory) {
        let fields = &record.fields;
        let range = fields.first(&["addressPrefixes", "addressPrefix"]).clone();
        let range = if range.items().is_empty() { fields.get("addressPrefix") } else { &range };
        let prefixes = self.prefixes(record, "addressPrefix", range);
        if range.is_null() {
            self.missing(record, "addressPrefix", range, "the subnet's range");
        }
        let vnet = record.parent.clone().or_else(|| record.id.parent());
        let policies = self.links(record, "serviceEndpointPolicies");
        let delegations = fields.get("delegations").items().iter();
        let delegations = delegations
            .filter_map(|item| item.get("serviceName").as_text())
            .map(str::to_owned)
            .collect();
        let outbound = fields.get("defaultOutboundAccess");
        let default_outbound = outbound.as_bool();
        if outbound.is_unknown() {
            self.missing(record, "defaultOutboundAccess", outbound, "true or false");
        }
        let mut linked = |field: &str| self.link(record, field, record.fields.get(field));
        let route_table = linked("routeTable");
        let nat_gateway = linked("natGateway");
        let security_group = linked("networkSecurityGroup");
        inventory.subnets.push(Subnet {
            id: record.id.clone(),
            name: record.name.clone(),
            vnet: vnet.map_or(Link::Unresolved, Link::To),
            prefixes,
            endpoints: self.endpoints(record),
            policies,
            route_table,
            nat_gateway,
            security_group,
            default_outbound,
            private_endpoint_policies: self.text(record, "privateEndpointNetworkPolicies"),
            delegations,
            place: record.place.clone(),
        });
    }

    fn endpoints(&mut self, record: &Record) -> Vec<ServiceEndpoint> {
        let mut endpoints: Vec<ServiceEndpoint> = Vec::new();
        for item in record.fields.get("serviceEndpoints").clone().items() {
            // Some write the name alone.
            let service = if item.as_text().is_some() { item } else { item.get("service") };
            let Some(name) = service.as_text().filter(|name| symbol(name).is_none()) else {
                self.missing(record, "serviceEndpoints", service, "a service");
                continue;
            };
            let mut locations = Vec::new();
            for location in item.get("locations").items() {
                match location.as_text() {
                    Some(text) => locations.push(super::region_of(text)),
                    None => {
                        self.missing(record, "serviceEndpoints.locations", location, "a region");
                    }
                }
            }
            let network_identifier = match item.get("networkIdentifier").at("id") {
                Value::Text(id) => Some(Id::new(id)),
                _ => None,
            };
            let service = crate::EndpointService::named(name)
                .map_or_else(|| name.to_owned(), |service| service.name.to_owned());
            if endpoints.iter().all(|other| other.service != service) {
                endpoints.push(ServiceEndpoint { service, locations, network_identifier });
            }
        }
        endpoints.sort();
        endpoints
    }

    pub(super) fn nic(&mut self, record: &Record, inventory: &mut Inventory) {
        let list = record.fields.get("ipConfigurations").clone();
        let mut configurations = Vec::new();
        for item in list.items() {
            if item.is_unknown() {
                self.missing(record, "ipConfigurations", item, "an address configuration");
                continue;
            }
            let version = item.get("privateIPAddressVersion").as_text().unwrap_or("IPv4");
            if version.eq_ignore_ascii_case("IPv6") {
                self.ipv6();
                continue;
            }
            let primary = item.get("primary").as_bool().unwrap_or(false);
            configurations.push((!primary, self.configuration(record, item)));
        }
        configurations.sort_by_key(|(secondary, _)| *secondary);
        let forwarding = match record.fields.get("enableIPForwarding") {
            Value::Null => false,
            _ => self.truth(record, "enableIPForwarding", false),
        };
        let group = record.fields.get("networkSecurityGroup").clone();
        inventory.nics.push(NetworkInterface {
            id: record.id.clone(),
            name: record.name.clone(),
            configurations: configurations.into_iter().map(|(_, one)| one).collect(),
            forwarding,
            security_group: self.link(record, "networkSecurityGroup.id", &group),
            place: record.place.clone(),
        });
    }

    fn configuration(&mut self, record: &Record, item: &Value) -> IpConfiguration {
        let private = item.get("privateIPAddress");
        let several = |extract: &mut Self, field: &str| -> Vec<Link> {
            let links = item.get(field).items().iter();
            links.map(|link| extract.link(record, field, link)).collect()
        };
        IpConfiguration {
            name: item.get("name").as_text().unwrap_or_default().to_owned(),
            address: self.address(record, "ipConfigurations.privateIPAddress", private),
            subnet: self.link(record, "ipConfigurations.subnet.id", item.get("subnet")),
            public: self.link(
                record,
                "ipConfigurations.publicIPAddress.id",
                item.get("publicIPAddress"),
            ),
            backend_pools: several(self, "loadBalancerBackendAddressPools"),
            application_groups: several(self, "applicationSecurityGroups"),
        }
    }

    /// Says which subnets stand in a network that no file has.
    pub(super) fn network_parts(&mut self, inventory: &mut Inventory) {
        const PARTS: [&str; 6] = [
            "microsoft.network/virtualnetworks/subnets",
            "microsoft.network/virtualnetworks/virtualnetworkpeerings",
            "microsoft.network/routetables/routes",
            "microsoft.network/networksecuritygroups/securityrules",
            "microsoft.network/privatednszones/a",
            "microsoft.network/privatednszones/virtualnetworklinks",
        ];
        let records = self.records;
        for id in &records.order {
            let Some(record) = records.by_id.get(id) else { continue };
            let parent = record.parent.clone().or_else(|| id.parent());
            let Some(parent) = parent.filter(|_| PARTS.contains(&record.kind.as_str())) else {
                continue;
            };
            if !records.by_id.contains_key(&parent) {
                let what = match record.kind.split('/').nth(1) {
                    Some("virtualnetworks") => "virtual network",
                    Some("routetables") => "route table",
                    Some("networksecuritygroups") => "network security group",
                    _ => "private DNS zone",
                };
                let why = format!("no file has the {what} {}", parent.name());
                self.missing(record, "", &Value::unknown("", why), "");
            }
        }
        let located = |endpoint: &ServiceEndpoint| endpoint.locations.is_empty();
        let subnets = &inventory.subnets;
        if subnets.iter().flat_map(|subnet| &subnet.endpoints).any(located) {
            self.assume(
                "endpoint-locations-by-catalogue",
                "A file names no locations for a service endpoint: those of the catalogue are taken, \
                 by the region of the network, or all where the region is not known.",
            );
        }
    }

    /// Takes links that only the other side has: a route table, NAT gateway, security group or
    /// endpoint policy lists its subnets, a public address the gateway that has it.
    pub(super) fn back_references(&mut self, inventory: &mut Inventory) {
        let index: std::collections::BTreeMap<Id, usize> = inventory
            .subnets
            .iter()
            .enumerate()
            .map(|(place, subnet)| (subnet.id.clone(), place))
            .collect();
        for id in &self.records.order {
            let Some(record) = self.records.by_id.get(id) else { continue };
            for item in record.fields.get("subnets").items() {
                let Some(id) = item.at("id").as_text() else { continue };
                let Some(subnet) =
                    index.get(&Id::new(id)).and_then(|&place| inventory.subnets.get_mut(place))
                else {
                    continue;
                };
                let to = Link::To(record.id.clone());
                let link = match record.kind.as_str() {
                    "microsoft.network/routetables" => &mut subnet.route_table,
                    "microsoft.network/natgateways" => &mut subnet.nat_gateway,
                    "microsoft.network/networksecuritygroups" => &mut subnet.security_group,
                    "microsoft.network/serviceendpointpolicies" => {
                        if !subnet.policies.contains(&to) {
                            subnet.policies.push(to);
                        }
                        continue;
                    }
                    _ => continue,
                };
                if *link == Link::None {
                    *link = to;
                }
            }
            let gateway = record.fields.get("natGateway").at("id");
            if record.kind.starts_with("microsoft.network/publicip")
                && let Some(gateway) = gateway.as_text().map(Id::new)
                && let Some(gateway) =
                    inventory.nat_gateways.iter_mut().find(|other| other.id == gateway)
            {
                let prefix = record.kind.ends_with("prefixes");
                let links =
                    if prefix { &mut gateway.public_ip_prefixes } else { &mut gateway.public_ips };
                let to = Link::To(record.id.clone());
                if !links.contains(&to) {
                    links.push(to);
                }
            }
        }
    }
}
