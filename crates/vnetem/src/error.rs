//! Why an edit of the control plane was refused. A refused edit has changed nothing
//! (INV-failed-edit-changes-nothing).

use core::fmt;
use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_authz::{PolicyError, SecurityRuleError};

/// Why an edit was refused; names what was wrong and what it clashed with
/// (INV-contradiction-refused).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The edit names something that does not exist.
    Unknown {
        /// What kind of thing: `vnet`, `subnet`, `nic`, `site`, `service`, `resource`, `route`.
        kind: &'static str,
        /// Its name or number.
        name: String,
    },
    /// A name is taken by another thing of the kind.
    NameTaken {
        /// What kind of thing.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A prefix has host bits set.
    HostBits {
        /// The prefix as given.
        prefix: Ipv4Net,
    },
    /// A list of ranges is empty where at least one is needed.
    NoRanges {
        /// What kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Two ranges that must be disjoint overlap.
    Overlap {
        /// The new range.
        new: Ipv4Net,
        /// Whose it would be.
        owner: String,
        /// The range it overlaps.
        existing: Ipv4Net,
        /// Whose that is.
        holder: String,
    },
    /// A range or address lies outside of what must contain it.
    Outside {
        /// The range (an address is a /32).
        inner: Ipv4Net,
        /// Whose it would be.
        owner: String,
        /// What must contain it.
        container: String,
    },
    /// An address belongs to something else already.
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// Whose it would be.
        owner: String,
        /// Whose it is.
        holder: String,
    },
    /// The platform keeps the first four addresses of a subnet and the last.
    Reserved {
        /// The address.
        address: Ipv4Addr,
        /// Whose it would be.
        owner: String,
        /// The subnet.
        subnet: String,
    },
    /// A public address is needed and this one is not.
    NotPublic {
        /// The address.
        address: Ipv4Addr,
        /// Whose it would be.
        owner: String,
    },
    /// The thing is used by something else, which must be removed first (INV-used-object-kept).
    InUse {
        /// What cannot be removed.
        name: String,
        /// What uses it.
        by: String,
    },
    /// Two endpoints for the same addresses cannot stand on one subnet (E-07, U-17).
    Excluded {
        /// The name of the new endpoint.
        new: String,
        /// The name of the one that stands.
        standing: String,
        /// Where it stands.
        on: String,
    },
    /// A rule would name subnets that have no endpoint for the service, which asks for it first
    /// (E-14).
    EndpointMissing {
        /// The service.
        service: String,
        /// The subnet.
        subnet: String,
        /// Whether the rule may be told to ignore that the endpoint is missing.
        may_ignore: bool,
    },
    /// An endpoint would catch no address of its service: all lie in regions outside its scope.
    CatchesNothing {
        /// The name of the endpoint.
        endpoint: String,
        /// The regions in its scope.
        scope: Vec<String>,
        /// Where it would stand.
        on: String,
    },
    /// Endpoint policies cannot be attached to the endpoints of this service (P-33).
    NoPolicies {
        /// The policy.
        policy: String,
        /// The service.
        service: String,
    },
    /// An endpoint policy needs the endpoint of the subnet first (P-07).
    PolicyNeedsEndpoint {
        /// The policy.
        policy: String,
        /// The service.
        service: String,
        /// The subnet.
        subnet: String,
    },
    /// A bound of the model is reached.
    Limit {
        /// What there would be too many of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A size is less than the least that is of any use.
    TooSmall {
        /// What is too small.
        what: &'static str,
        /// The least that it may be.
        least: usize,
    },
    /// The network is of the classic model, which has no endpoints (S-09).
    Classic {
        /// The network.
        vnet: String,
    },
    /// A rule would let in a subnet of another directory tenant, which this service does not
    /// promise to serve (S-11, C-13).
    OtherTenant {
        /// The resource and its tenant.
        resource: String,
        /// The network and its tenant.
        vnet: String,
    },
    /// Rules of one service tie a network to as many subscriptions and regions as may be (S-13).
    TooManyTies {
        /// The network.
        vnet: String,
        /// The service.
        service: String,
        /// How many there may be.
        limit: usize,
    },
    /// Who asks may not do it (S-12).
    NotPermitted {
        /// The action that they lack.
        action: &'static str,
        /// On what.
        on: String,
    },
    /// An endpoint policy cannot be attached (P-07).
    EndpointPolicy {
        /// To what.
        subnet: String,
        /// Which policy, and why not.
        why: PolicyError,
    },
    /// A rule of a security group cannot stand.
    SecurityRule {
        /// The group.
        group: String,
        /// Which rule, and why not.
        why: SecurityRuleError,
    },
    /// A port range is empty or begins at 0.
    Ports {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// A load balancer gives ports in eights (N-20).
    PortCount {
        /// The count as given.
        count: u16,
    },
    /// The members of a load balancer's pool would need more ports than its addresses have (N-20).
    PortSum {
        /// The load balancer.
        name: String,
        /// Ports for all members.
        needed: usize,
        /// Ports that there are.
        available: usize,
    },
    /// The rules of a pool contradict each other, or what it has.
    PoolRules {
        /// The subnet whose pool it is.
        subnet: String,
        /// What must hold.
        why: &'static str,
    },
    /// A next hop address cannot be an appliance of this subnet.
    NextHop {
        /// The address.
        address: Ipv4Addr,
        /// Why not.
        why: &'static str,
    },
}

impl std::error::Error for EditError {}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind, name } => write!(f, "there is no {kind} {name}"),
            Self::NameTaken { kind, name } => write!(f, "there is a {kind} {name} already"),
            Self::HostBits { prefix } => {
                write!(f, "{prefix} has host bits set; did you mean {}?", prefix.trunc())
            }
            Self::NoRanges { kind, name } => write!(f, "{kind} {name} needs at least one range"),
            Self::Overlap { new, owner, existing, holder } => {
                write!(f, "{new} of {owner} overlaps {existing} of {holder}")
            }
            Self::Outside { inner, owner, container } => {
                write!(f, "{inner} of {owner} is not inside {container}")
            }
            Self::AddressTaken { address, owner, holder } => {
                write!(f, "{address} cannot be given to {owner}: it belongs to {holder}")
            }
            Self::Reserved { address, owner, subnet } => write!(
                f,
                "{address} cannot be given to {owner}: Azure keeps the first four addresses and the last of {subnet}"
            ),
            Self::NotPublic { address, owner } => {
                write!(f, "{address} of {owner} is not a public address")
            }
            Self::InUse { name, by } => write!(f, "{name} is used by {by}"),
            Self::Excluded { new, standing, on } => {
                write!(f, "{new} cannot stand on {on} beside {standing}")
            }
            Self::EndpointMissing { service, subnet, may_ignore } => {
                write!(
                    f,
                    "SubnetsHaveNoServiceEndpointsConfigured: subnet {subnet} has no endpoint for {service}, so no rule of {service} can name it; enable the endpoint first"
                )?;
                if *may_ignore {
                    f.write_str(", or let the rule ignore that it is missing")?;
                }
                Ok(())
            }
            Self::CatchesNothing { endpoint, scope, on } => write!(
                f,
                "{endpoint} on {on} would catch nothing: none of its addresses is in {}",
                scope.join(", ")
            ),
            Self::NoPolicies { policy, service } => write!(
                f,
                "endpoint policy {policy} cannot be attached for {service}: endpoint policies are for Storage only"
            ),
            Self::PolicyNeedsEndpoint { policy, service, subnet } => write!(
                f,
                "{subnet}: policy {policy} needs the subnet's endpoint for {service} first"
            ),
            Self::Limit { what, limit } => write!(f, "there can be at most {limit} {what}"),
            Self::TooSmall { what, least } => write!(f, "{what} must be at least {least}"),
            Self::Classic { vnet } => {
                write!(f, "vnet {vnet} is of the classic model and has no endpoints")
            }
            Self::OtherTenant { resource, vnet } => {
                write!(f, "{resource} cannot let in a subnet of {vnet}")
            }
            Self::TooManyTies { vnet, service, limit } => write!(
                f,
                "rules of {service} tie vnet {vnet} to {limit} subscriptions and regions already"
            ),
            Self::NotPermitted { action, on } => write!(f, "{action} is not permitted on {on}"),
            Self::EndpointPolicy { subnet, why } => write!(f, "{subnet}: {why}"),
            Self::SecurityRule { group, why } => write!(f, "security group {group}: {why}"),
            Self::Ports { first, last } => write!(f, "{first}-{last} is no range of ports"),
            Self::PortCount { count } => {
                write!(f, "{count} ports cannot be given: a count must be a multiple of 8")
            }
            Self::PortSum { name, needed, available } => {
                write!(f, "the members of {name} would need {needed} ports of {available}")
            }
            Self::PoolRules { subnet, why } => write!(f, "the pool of {subnet}: {why}"),
            Self::NextHop { address, why } => write!(f, "next hop {address}: {why}"),
        }
    }
}
