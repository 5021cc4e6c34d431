//! Says why the control plane refused an edit. A refused edit changes nothing
//! (INV-failed-edit-changes-nothing).

use core::fmt;
use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_authz::{PolicyError, SecurityRuleError};

/// Why the control plane refused an edit: what was wrong, and what it conflicts with
/// (INV-contradiction-refused).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditError {
    /// The edit names something that does not exist.
    Unknown {
        /// What kind of thing: `vnet`, `subnet`, `nic`, `site`, `service`, `resource`, `route`.
        kind: &'static str,
        /// Its name or number.
        name: String,
    },
    /// Azure has no such thing, or this crate does not have it.
    Unsupported {
        /// What kind of thing, such as `user route by peering to`.
        kind: &'static str,
        /// Its name or number.
        name: String,
    },
    /// Another thing of the same kind has the name.
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
        /// Who asked for it.
        owner: String,
        /// The range it overlaps.
        existing: Ipv4Net,
        /// Who has that range.
        holder: String,
    },
    /// A range or address lies outside of the range that must contain it.
    Outside {
        /// The range (an address is a /32).
        inner: Ipv4Net,
        /// Who asked for it.
        owner: String,
        /// The range that must contain it.
        container: String,
    },
    /// The address belongs to something else.
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// Who asked for it.
        owner: String,
        /// Who has it.
        holder: String,
    },
    /// The platform reserves the first four addresses of a subnet and the last.
    Reserved {
        /// The address.
        address: Ipv4Addr,
        /// Who asked for it.
        owner: String,
        /// The subnet.
        subnet: String,
    },
    /// The address is not public, and a public one is needed.
    NotPublic {
        /// The address.
        address: Ipv4Addr,
        /// Who asked for it.
        owner: String,
    },
    /// The thing is used by something else, which must be removed first (INV-used-object-kept).
    InUse {
        /// What cannot be removed.
        name: String,
        /// What uses it.
        by: String,
    },
    /// A subnet can have one endpoint for the same addresses at a time (E-07, U-17).
    Excluded {
        /// The name of the new endpoint.
        new: String,
        /// The name of the existing endpoint.
        standing: String,
        /// The subnet.
        on: String,
    },
    /// The service takes a rule only for subnets that have its endpoint, and these have none
    /// (E-14).
    EndpointMissing {
        /// The service.
        service: String,
        /// The subnet.
        subnet: String,
        /// Whether the rule may ignore that the endpoint is missing.
        may_ignore: bool,
    },
    /// An endpoint would match no address of its service, since all lie in regions outside its
    /// scope.
    CatchesNothing {
        /// The name of the endpoint.
        endpoint: String,
        /// The regions in its scope.
        scope: Vec<String>,
        /// The subnet.
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
    /// A limit of the model is reached.
    Limit {
        /// What exceeds the limit.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A size is below its lower limit.
    TooSmall {
        /// What is too small.
        what: &'static str,
        /// The lower limit.
        least: usize,
    },
    /// The network is of the classic model, which has no endpoints (S-09).
    Classic {
        /// The network.
        vnet: String,
    },
    /// A rule names a subnet of another directory tenant, and this service serves one tenant only
    /// (S-11, C-13).
    OtherTenant {
        /// The resource and its tenant.
        resource: String,
        /// The network and its tenant.
        vnet: String,
    },
    /// Rules of one service tie a network to more subscriptions and regions than the limit (S-13).
    TooManyTies {
        /// The network.
        vnet: String,
        /// The service.
        service: String,
        /// The limit.
        limit: usize,
    },
    /// The user lacks a permission (S-12).
    NotPermitted {
        /// The action that needs it.
        action: &'static str,
        /// The object of the action.
        on: String,
    },
    /// An endpoint policy cannot be attached (P-07).
    EndpointPolicy {
        /// The subnet.
        subnet: String,
        /// The policy, and the reason.
        why: PolicyError,
    },
    /// A rule of a security group is not valid.
    SecurityRule {
        /// The group.
        group: String,
        /// The rule, and the reason.
        why: SecurityRuleError,
    },
    /// A port range is empty or begins at 0.
    Ports {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// A load balancer gives ports in multiples of eight (N-20).
    PortCount {
        /// The count as given.
        count: u16,
    },
    /// The members of a load balancer's pool need more ports than its addresses have (N-20).
    PortSum {
        /// The load balancer.
        name: String,
        /// Ports that all members need.
        needed: usize,
        /// Ports that the addresses have.
        available: usize,
    },
    /// The rules of a pool contradict each other, or the pool's ports.
    PoolRules {
        /// The subnet of the pool.
        subnet: String,
        /// What must hold.
        why: &'static str,
    },
    /// The next hop address cannot be an appliance of this subnet.
    NextHop {
        /// The address.
        address: Ipv4Addr,
        /// The reason.
        why: &'static str,
    },
}

impl std::error::Error for EditError {}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind, name } => write!(f, "there is no {kind} {name}"),
            Self::Unsupported { kind, name } => write!(f, "{kind} {name} is not supported"),
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
                "{address} cannot be given to {owner}: Azure reserves the first four addresses and \
                 the last of {subnet}"
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
