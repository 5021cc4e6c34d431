//! Words for private endpoints: their place, their approval, and where their names resolve.

use core::net::Ipv4Addr;

use vnetem::{
    EditError, PrivateEndpointId,
    control::{NetworkPolicies, PrivateEndpointState, VnetEndpointPolicy, ZoneLink},
};

use super::edit::{Edit, found, name};
use super::error::Problem;
use super::topology::Topology;
use super::words::Words;

/// One edit of a private endpoint, or of the policies of a subnet that apply to private endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrivateEdit {
    Add {
        name: String,
        address: Ipv4Addr,
        subnet: String,
        resource: String,
        state: PrivateEndpointState,
    },
    State {
        name: String,
        state: PrivateEndpointState,
    },
    Remove(String),
    /// Lets the name of its resource resolve to it in a network.
    Names {
        name: String,
        vnet: String,
    },
    VnetPolicy {
        vnet: String,
        policy: VnetEndpointPolicy,
    },
    /// Links the zone of a service's private names to a network, or ends that.
    Zone {
        service: String,
        vnet: String,
        link: Option<ZoneLink>,
    },
    Policies {
        subnet: String,
        policies: NetworkPolicies,
    },
}

const ENDPOINT: &str = "the name of a private endpoint";
const STATE: &str = "approved, pending, rejected or disconnected";

pub(super) fn endpoint(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, ENDPOINT)?;
    if words.peek().is_some_and(|word| word.parse::<Ipv4Addr>().is_err()) {
        return Ok(Edit::Private(PrivateEdit::State { name, state: state(words)? }));
    }
    let address = words.parse("an IPv4 address, or approved, pending, rejected, disconnected")?;
    words.expect("in")?;
    let subnet = self::name(words, "the name of a subnet")?;
    words.expect("to")?;
    let resource = self::name(words, "the name of a resource")?;
    let state = match words.peek() {
        Some(word) if word != ";" => state(words)?,
        _ => PrivateEndpointState::Approved,
    };
    Ok(Edit::Private(PrivateEdit::Add { name, address, subnet, resource, state }))
}

pub(super) fn remove(words: &mut Words<'_>) -> Result<Edit, Problem> {
    name(words, ENDPOINT).map(PrivateEdit::Remove).map(Edit::Private)
}

pub(super) fn names(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, ENDPOINT)?;
    words.expect("in")?;
    let vnet = self::name(words, "the name of a virtual network")?;
    Ok(Edit::Private(PrivateEdit::Names { name, vnet }))
}

/// Reads `zone SERVICE in VNET [fallback]`, also behind `remove`.
pub(super) fn zone(words: &mut Words<'_>, linked: bool) -> Result<Edit, Problem> {
    let service = name(words, "the name of a service")?;
    words.expect("in")?;
    let vnet = name(words, "the name of a virtual network")?;
    let link = if linked { Some(ZoneLink { fallback: words.accept("fallback") }) } else { None };
    Ok(Edit::Private(PrivateEdit::Zone { service, vnet, link }))
}

pub(super) fn policies(words: &mut Words<'_>) -> Result<Edit, Problem> {
    const EXPECTED: &str = "routes, security-groups, all or none";
    let subnet = name(words, "the name of a subnet")?;
    let (routes, security_groups) = match words.take(EXPECTED)? {
        "routes" => (true, false),
        "security-groups" => (false, true),
        "all" => (true, true),
        "none" => (false, false),
        other => return Err(found(other, EXPECTED)),
    };
    let policies = NetworkPolicies { routes, security_groups };
    Ok(Edit::Private(PrivateEdit::Policies { subnet, policies }))
}

pub(super) fn vnet_policy(words: &mut Words<'_>) -> Result<Edit, Problem> {
    const EXPECTED: &str = "basic or disabled";
    let vnet = name(words, "the name of a virtual network")?;
    let policy = match words.take(EXPECTED)? {
        "basic" => VnetEndpointPolicy::Basic,
        "disabled" => VnetEndpointPolicy::Disabled,
        other => return Err(found(other, EXPECTED)),
    };
    Ok(Edit::Private(PrivateEdit::VnetPolicy { vnet, policy }))
}

fn state(words: &mut Words<'_>) -> Result<PrivateEndpointState, Problem> {
    match words.take(STATE)?.to_ascii_lowercase().as_str() {
        "approved" => Ok(PrivateEndpointState::Approved),
        "pending" => Ok(PrivateEndpointState::Pending),
        "rejected" => Ok(PrivateEndpointState::Rejected),
        "disconnected" => Ok(PrivateEndpointState::Disconnected),
        other => Err(found(other, STATE)),
    }
}

impl Topology {
    pub(super) fn apply_private(
        &mut self,
        edit: &PrivateEdit,
    ) -> Result<(), Box<dyn core::error::Error>> {
        match edit {
            PrivateEdit::Add { name, address, subnet, resource, state } => {
                let (subnet, resource) = (self.subnet(subnet)?, self.resource(resource)?);
                let id = self.network.add_private_endpoint(subnet, name, *address, resource)?;
                self.network.set_private_endpoint_state(id, *state)?;
            }
            PrivateEdit::State { name, state } => {
                self.network.set_private_endpoint_state(self.private(name)?, *state)?;
            }
            PrivateEdit::Remove(name) => {
                self.network.remove_private_endpoint(self.private(name)?)?;
            }
            PrivateEdit::Names { name, vnet } => {
                self.network.link_names(self.private(name)?, self.vnet(vnet)?, true)?;
            }
            PrivateEdit::VnetPolicy { vnet, policy } => {
                self.network.set_private_endpoint_policy(self.vnet(vnet)?, *policy)?;
            }
            PrivateEdit::Zone { service, vnet, link } => {
                let (service, vnet) = (self.service(service)?, self.vnet(vnet)?);
                match link {
                    Some(link) => self.network.link_zone(service, vnet, *link)?,
                    None => self.network.unlink_zone(service, vnet)?,
                }
            }
            PrivateEdit::Policies { subnet, policies } => {
                self.network.set_network_policies(self.subnet(subnet)?, *policies)?;
            }
        }
        Ok(())
    }

    fn private(&self, name: &str) -> Result<PrivateEndpointId, EditError> {
        let found = self.network.private_endpoints().find(|(_, endpoint)| endpoint.name == name);
        let unknown = || EditError::Unknown { kind: "private endpoint", name: name.to_owned() };
        found.map(|(id, _)| id).ok_or_else(unknown)
    }
}
