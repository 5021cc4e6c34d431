//! The JSON of `vnetem model`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model_more::More;
use super::{
    Assumption, Contradiction, DefaultAction, Inventory, IpConfiguration, Names, PublicAccess,
    Resource, Route, RoutePrefix, RouteTarget, Subnet, Unresolved, VirtualNetwork,
};

/// What was understood, as `vnetem model -o json` prints it. Fields are added, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    schema: &'static str,
    verb: &'static str,
    vnets: Vec<VnetModel>,
    subnets: Vec<SubnetModel>,
    resources: Vec<ResourceModel>,
    nics: Vec<NicModel>,
    #[serde(flatten)]
    more: More,
    unresolved: Vec<Unresolved>,
    ignored: BTreeMap<String, usize>,
    assumptions: Vec<Assumption>,
    contradictions: Vec<Contradiction>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct VnetModel {
    name: String,
    id: String,
    region: String,
    ranges: Vec<String>,
    peers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SubnetModel {
    name: String,
    prefixes: Vec<String>,
    endpoints: Vec<String>,
    endpoint_locations: BTreeMap<String, Vec<String>>,
    policies: Vec<String>,
    outbound: OutboundModel,
    route_table: Option<String>,
    routes: Vec<RouteModel>,
    security_group: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct OutboundModel {
    method: &'static str,
    addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RouteModel {
    name: String,
    prefix: Option<String>,
    next_hop: String,
    address: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ResourceModel {
    name: String,
    kind: &'static str,
    addresses: Vec<String>,
    public_access: &'static str,
    default: Option<&'static str>,
    ip_rules: Vec<String>,
    subnet_rules: Vec<String>,
    bypass: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct NicModel {
    name: String,
    address: Option<String>,
    subnet: Option<String>,
    public: Option<String>,
    forwarding: bool,
}

impl Inventory {
    /// Names of the elements, unique among those of one kind.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::new(self)
    }

    /// Returns the JSON of `vnetem model`, ready to be written.
    #[must_use]
    pub fn model(&self) -> Model {
        let names = self.names();
        let nics = self.nics.iter().flat_map(|nic| {
            let configurations = nic.configurations.iter().enumerate();
            configurations.map(move |(place, one)| (nic, place, one))
        });
        let nics = nics.map(|(nic, place, one)| NicModel {
            name: match (place, names.of(&nic.id)) {
                (0, name) => name,
                (_, name) => format!("{name}/{}", one.name),
            },
            address: one.address.map(|address| address.to_string()),
            subnet: names.linked(&one.subnet),
            public: self.public_of(one, &names),
            forwarding: nic.forwarding,
        });
        Model {
            schema: "vnetem/1",
            verb: "model",
            vnets: self.vnets.iter().map(|vnet| self.vnet_model(vnet, &names)).collect(),
            subnets: self.subnets.iter().map(|subnet| self.subnet_model(subnet, &names)).collect(),
            resources: self.resources.iter().map(|one| resource_model(one, &names)).collect(),
            nics: nics.collect(),
            more: More::new(self, &names),
            unresolved: self.unresolved.clone(),
            ignored: self.ignored.clone(),
            assumptions: self.assumptions.clone(),
            contradictions: self.contradictions.clone(),
        }
    }

    fn vnet_model(&self, vnet: &VirtualNetwork, names: &Names) -> VnetModel {
        let peers = vnet.peerings.iter().filter_map(|peering| names.linked(&peering.remote));
        VnetModel {
            name: names.of(&vnet.id),
            id: vnet.id.to_string(),
            region: vnet.region.clone(),
            ranges: vnet.ranges.iter().map(ToString::to_string).collect(),
            peers: peers.collect(),
        }
    }

    fn subnet_model(&self, subnet: &Subnet, names: &Names) -> SubnetModel {
        let table = subnet.route_table.id();
        let table = table.and_then(|id| self.route_tables.iter().find(|table| table.id == *id));
        let routes = table.map(|table| table.routes.iter().map(route_model).collect());
        let located = subnet.endpoints.iter().filter(|one| !one.locations.is_empty());
        let located = located.map(|one| (one.service.clone(), one.locations.clone()));
        SubnetModel {
            name: names.of(&subnet.id),
            prefixes: subnet.prefixes.iter().map(ToString::to_string).collect(),
            endpoints: subnet.endpoints.iter().map(|one| one.service.clone()).collect(),
            endpoint_locations: located.collect(),
            policies: subnet.policies.iter().filter_map(|link| names.linked(link)).collect(),
            outbound: self.outbound_model(subnet),
            route_table: names.linked(&subnet.route_table),
            routes: routes.unwrap_or_default(),
            security_group: names.linked(&subnet.security_group),
        }
    }

    fn outbound_model(&self, subnet: &Subnet) -> OutboundModel {
        let (method, addresses) = self.outbound_of(subnet);
        OutboundModel { method, addresses }
    }

    /// Returns the outbound method of a subnet by its own settings, and the addresses that are
    /// known.
    ///
    /// A load balancer or an interface's own public address goes before some of these; that hangs
    /// on the interface and is not said here.
    #[must_use]
    pub fn outbound_of(&self, subnet: &Subnet) -> (&'static str, Vec<String>) {
        if subnet.nat_gateway != super::Link::None {
            let gateway = subnet.nat_gateway.id();
            let gateway = gateway.and_then(|id| self.nat_gateways.iter().find(|one| one.id == *id));
            let mut addresses = Vec::new();
            for link in gateway.map(|gateway| &gateway.public_ips).into_iter().flatten() {
                let address = link.id().and_then(|id| self.address_of(id));
                addresses.extend(address.map(|address| address.to_string()));
            }
            for link in gateway.map(|gateway| &gateway.public_ip_prefixes).into_iter().flatten() {
                let one = self.public_ip_prefixes.iter().find(|one| Some(&one.id) == link.id());
                addresses.extend(one.and_then(|one| one.prefix).map(|prefix| prefix.to_string()));
            }
            return ("nat-gateway", addresses);
        }
        match subnet.default_outbound {
            Some(false) => ("private", Vec::new()),
            _ => ("default", Vec::new()),
        }
    }

    pub(crate) fn address_of(&self, id: &super::Id) -> Option<core::net::Ipv4Addr> {
        self.public_ips.iter().find(|one| one.id == *id)?.address
    }

    fn public_of(&self, one: &IpConfiguration, names: &Names) -> Option<String> {
        let id = one.public.id();
        let address = id.and_then(|id| self.address_of(id)).map(|address| address.to_string());
        address.or_else(|| names.linked(&one.public))
    }
}

pub(super) fn route_model(route: &Route) -> RouteModel {
    let (next_hop, addresses) = match &route.next_hop {
        RouteTarget::VirtualAppliance(addresses) => ("VirtualAppliance", addresses.as_slice()),
        RouteTarget::VirtualNetworkGateway => ("VirtualNetworkGateway", &[][..]),
        RouteTarget::VnetLocal => ("VnetLocal", &[][..]),
        RouteTarget::Internet => ("Internet", &[][..]),
        RouteTarget::None => ("None", &[][..]),
        RouteTarget::Other(word) => (word.as_str(), &[][..]),
    };
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    RouteModel {
        name: route.name.clone(),
        prefix: match &route.prefix {
            RoutePrefix::Net(prefix) => Some(prefix.to_string()),
            RoutePrefix::Tag(tag) => Some(tag.clone()),
            RoutePrefix::Unresolved => None,
        },
        next_hop: next_hop.to_owned(),
        address: (!addresses.is_empty()).then(|| addresses.join(",")),
    }
}

fn resource_model(one: &Resource, names: &Names) -> ResourceModel {
    let rules = one.ip_rules.iter().map(|rule| match rule.deny {
        false => rule.to_string(),
        true => format!("deny {rule}"),
    });
    let subnets = one.subnet_rules.iter().filter_map(|rule| {
        let name = names.linked(&rule.subnet)?;
        Some(if rule.deny { format!("deny {name}") } else { name })
    });
    ResourceModel {
        name: names.of(&one.id),
        kind: one.kind.name(),
        addresses: Vec::new(),
        public_access: match one.public_access {
            PublicAccess::Enabled => "enabled",
            PublicAccess::Disabled => "disabled",
            PublicAccess::SecuredByPerimeter => "secured-by-perimeter",
        },
        default: match one.default {
            DefaultAction::Allow => Some("allow"),
            DefaultAction::Deny => Some("deny"),
            DefaultAction::Unresolved => None,
        },
        ip_rules: rules.collect(),
        subnet_rules: subnets.collect(),
        bypass: one.bypass.clone(),
    }
}
