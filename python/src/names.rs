//! Finds things of a network by name, and names its edges.

use vnetem_whatif::subnets_named;

use crate::api::{
    Edge, EditError, EndpointPolicyId, Identity, LoadBalancerId, Network, NextHop, NicId,
    PrivateEndpointId, ResourceId, SecurityGroupId, ServiceId, SiteId, SubnetId, VnetId,
};
use crate::error::refused;
use core::net::Ipv4Addr;
use pyo3::PyResult;

fn found<T>(id: Option<T>, kind: &'static str, name: &str) -> PyResult<T> {
    id.ok_or_else(|| refused(EditError::Unknown { kind, name: name.to_owned() }))
}

pub(crate) fn vnet(network: &Network, name: &str) -> PyResult<VnetId> {
    found(network.vnet_named(name), "vnet", name)
}

/// Finds a subnet by `vnet/subnet`, or by the last part if one network has such a subnet.
pub(crate) fn subnet(network: &Network, name: &str) -> PyResult<SubnetId> {
    let exact = network.subnets().find(|(id, _)| subnet_name(network, *id) == name);
    if let Some((id, _)) = exact {
        return Ok(id);
    }
    match subnets_named(network, name).map_err(refused)?.as_slice() {
        [id] => Ok(*id),
        several => {
            let names: Vec<_> = several.iter().map(|id| subnet_name(network, *id)).collect();
            Err(refused(format!("{name} may be {}", names.join(", "))))
        }
    }
}

pub(crate) fn nic(network: &Network, name: &str) -> PyResult<NicId> {
    let id = network.nics().find(|(_, nic)| nic.name == name).map(|(id, _)| id);
    found(id, "nic", name)
}

pub(crate) fn site(network: &Network, name: &str) -> PyResult<SiteId> {
    let id = network.sites().find(|(_, site)| site.name == name).map(|(id, _)| id);
    found(id, "site", name)
}

/// Finds a service by any of its names, without regard to case.
pub(crate) fn service(network: &Network, name: &str) -> PyResult<ServiceId> {
    let same = |other: &String| other.eq_ignore_ascii_case(name);
    let mut services = network.services();
    let id = services.find(|(_, it)| same(&it.name) || it.further_names.iter().any(same));
    found(id.map(|(id, _)| id), "service", name)
}

pub(crate) fn resource(network: &Network, name: &str) -> PyResult<ResourceId> {
    found(network.resource_named(name), "resource", name)
}

pub(crate) fn group(network: &Network, name: &str) -> PyResult<SecurityGroupId> {
    found(network.security_group_named(name), "security group", name)
}

pub(crate) fn policy(network: &Network, name: &str) -> PyResult<EndpointPolicyId> {
    found(network.endpoint_policy_named(name), "endpoint policy", name)
}

pub(crate) fn balancer(network: &Network, name: &str) -> PyResult<LoadBalancerId> {
    let id = network.load_balancers().find(|(_, it)| it.name == name).map(|(id, _)| id);
    found(id, "load balancer", name)
}

pub(crate) fn private_endpoint(network: &Network, name: &str) -> PyResult<PrivateEndpointId> {
    let id = network.private_endpoints().find(|(_, it)| it.name == name).map(|(id, _)| id);
    found(id, "private endpoint", name)
}

/// Reads a next hop: an address of an appliance, a word of Azure's, or `site NAME`.
pub(crate) fn next_hop(network: &Network, text: &str) -> PyResult<NextHop> {
    if let Ok(appliance) = text.parse() {
        return Ok(NextHop::VirtualAppliance(appliance));
    }
    if let Some(name) = text.strip_prefix("site ") {
        return Ok(NextHop::VirtualNetworkGateway(site(network, name)?));
    }
    match text.to_ascii_lowercase().as_str() {
        "internet" => Ok(NextHop::Internet),
        "none" => Ok(NextHop::None),
        "vnetlocal" => Ok(NextHop::VnetLocal),
        _ => Err(refused(format!(
            "{text} is no next hop: expected the address of an appliance, \"Internet\", \"None\", \
             \"VnetLocal\" or \"site NAME\""
        ))),
    }
}

/// Reads an edge as [`edge_name`] writes it. A subnet may be named by its last part alone.
pub(crate) fn edge(network: &Network, text: &str) -> PyResult<Edge> {
    let (kind, name) = text.split_once(' ').unwrap_or(("", text));
    Ok(match kind {
        "nic" => Edge::Nic(nic(network, name)?),
        "site" => Edge::Site(site(network, name)?),
        "private-endpoint" => Edge::PrivateEndpoint(private_endpoint(network, name)?),
        "service" => {
            if let Some((name, place)) = name.split_once(" in the region of ") {
                let (service, subnet) = (service(network, name)?, subnet(network, place)?);
                return Ok(Edge::SameRegion { service, subnet });
            }
            let (name, caller) =
                name.split_once(" as ").map_or((name, None), |(name, caller)| (name, Some(caller)));
            let identity = caller.map(|caller| {
                let subnet = subnet(network, caller)?;
                let vnet = network.subnet(subnet).map_err(refused)?.vnet;
                PyResult::Ok(Identity { vnet, subnet, address: Ipv4Addr::UNSPECIFIED })
            });
            Edge::Service { service: service(network, name)?, identity: identity.transpose()? }
        }
        "platform" => Edge::Platform(subnet(network, name.strip_prefix("of ").unwrap_or(name))?),
        _ if text == "internet" => Edge::Internet,
        _ => Edge::Subnet(subnet(network, text)?),
    })
}

/// Names an edge.
pub(crate) fn edge_name(network: &Network, edge: Edge) -> String {
    let subnet = |id| subnet_name(network, id);
    let service = |id: ServiceId| {
        network.service(id).map_or_else(|_| id.to_string(), |service| service.name.clone())
    };
    match edge {
        Edge::Internet => "internet".to_owned(),
        Edge::Subnet(id) => subnet(id),
        Edge::Nic(id) => {
            format!("nic {}", network.nic(id).map_or_else(|_| id.to_string(), |it| it.name.clone()))
        }
        Edge::Site(id) => {
            let site = network.site(id);
            format!("site {}", site.map_or_else(|_| id.to_string(), |it| it.name.clone()))
        }
        Edge::PrivateEndpoint(id) => {
            let endpoint = network.private_endpoint(id);
            let name = endpoint.map_or_else(|_| id.to_string(), |it| it.name.clone());
            format!("private-endpoint {name}")
        }
        Edge::Platform(id) => format!("platform of {}", subnet(id)),
        Edge::SameRegion { service: id, subnet: place } => {
            format!("service {} in the region of {}", service(id), subnet(place))
        }
        Edge::Service { service: id, identity: None } => format!("service {}", service(id)),
        Edge::Service { service: id, identity: Some(identity) } => {
            format!("service {} as {}", service(id), subnet(identity.subnet))
        }
    }
}

pub(crate) fn subnet_name(network: &Network, id: SubnetId) -> String {
    let named = network.subnet(id).and_then(|subnet| {
        let vnet = network.vnet(subnet.vnet)?;
        Ok(format!("{}/{}", vnet.name, subnet.name))
    });
    named.unwrap_or_else(|_| id.to_string())
}
