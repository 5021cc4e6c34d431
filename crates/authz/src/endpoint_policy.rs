//! Endpoint policies: the resources that a subnet may call over its endpoint.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use crate::Refusal;

/// A list of resources that subnets with this policy may call over their endpoints (S-45).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// Its name, unique among the policies of a subnet.
    pub name: String,
    /// Its region, which is that of the virtual network (P-07).
    pub region: String,
    /// The parts that together say what it allows.
    pub definitions: Vec<PolicyDefinition>,
}

/// A part of a policy: resources of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDefinition {
    service: PolicyService,
    resources: Vec<PolicyResource>,
}

/// The services that a definition may cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyService {
    /// Storage: subscriptions, resource groups and accounts.
    Storage,
    /// Azure's own services, by their aliases (P-04).
    Global,
}

/// A subscription, a resource group, one storage account, or an alias. Each covers all resources
/// below it (P-03, P-04).
///
/// Ids are paths and compare without regard to case. An alias is a path, too. A service's own
/// accounts are named below it, for example `/services/Azure/Batch/stpool7`.
#[derive(Clone, Debug, Eq)]
pub struct PolicyResource {
    path: String,
    service: PolicyService,
}

/// The policies that are attached to one subnet.
///
/// ```
/// use std::sync::Arc;
/// use vnetem_authz::{EndpointPolicies, EndpointPolicy, PolicyDefinition, PolicyService, Refusal};
///
/// let group = "/subscriptions/7/resourceGroups/logs".parse()?;
/// let policy = EndpointPolicy {
///     name: "logs-only".into(),
///     region: "westeurope".into(),
///     definitions: vec![PolicyDefinition::new(PolicyService::Storage, vec![group])?],
/// };
/// let mut policies = EndpointPolicies::default();
/// policies.attach(Arc::new(policy), "westeurope", true)?;
///
/// let account = "providers/Microsoft.Storage/storageAccounts/st1";
/// let id = |group: &str| format!("/subscriptions/7/resourceGroups/{group}/{account}");
/// assert!(policies.judge(&id("Logs")).is_allowed());
/// assert_eq!(policies.judge(&id("other")).refusal(), Some(Refusal::NotInEndpointPolicy));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPolicies(Vec<Arc<EndpointPolicy>>);

/// The answer of a subnet's policies about a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Coverage<'a> {
    /// No policy is attached, so every resource may be called (P-01).
    NoPolicy,
    /// A policy names the resource, or something above it (P-02, P-03).
    Listed {
        /// The policy.
        policy: &'a EndpointPolicy,
        /// The entry that covers the resource.
        resource: &'a PolicyResource,
    },
    /// No policy covers the resource.
    NotListed,
    /// The resource is a classic account, which no policy can allow (P-06).
    Classic,
}

/// Why a policy could not be made or attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// The text is neither the id of a subscription, resource group or storage account, nor an
    /// alias (P-04).
    NotAResource(String),
    /// The resource does not belong in a definition of this service. Aliases belong in Global, all
    /// others in Storage (P-04).
    OtherService {
        /// The resource.
        resource: String,
        /// The definition's service.
        service: PolicyService,
    },
    /// The definition names more resources than permitted (P-07).
    TooManyResources {
        /// The limit.
        limit: usize,
    },
    /// The subnet has as many policies as permitted (P-07).
    TooManyPolicies {
        /// The limit.
        limit: usize,
    },
    /// The subnet already has a policy of this name.
    NameTaken {
        /// The name.
        policy: String,
    },
    /// Policy and virtual network are in different regions (P-07).
    OtherRegion {
        /// The policy.
        policy: String,
        /// Its region.
        region: String,
        /// The virtual network's region.
        network: String,
    },
    /// The subnet has no endpoint for Storage, which must exist first (P-07).
    EndpointOff {
        /// The policy.
        policy: String,
    },
}

impl EndpointPolicy {
    /// The most policies of one subscription, which its control plane counts (P-07).
    pub const PER_SUBSCRIPTION: usize = 500;

    /// Finds the entry that covers a resource.
    fn covering(&self, id: &str) -> Option<&PolicyResource> {
        let entries = self.definitions.iter().flat_map(|definition| &definition.resources);
        entries.into_iter().find(|resource| resource.covers(id))
    }
}

impl PolicyDefinition {
    /// The most resources of one definition (P-07).
    pub const MAXIMUM_RESOURCES: usize = 200;

    /// Makes a definition of these resources.
    ///
    /// # Errors
    ///
    /// There are more than 200 (P-07), or one does not belong to this service (P-04).
    pub fn new(
        service: PolicyService,
        resources: Vec<PolicyResource>,
    ) -> Result<Self, PolicyError> {
        if resources.len() > Self::MAXIMUM_RESOURCES {
            return Err(PolicyError::TooManyResources { limit: Self::MAXIMUM_RESOURCES });
        }
        if let Some(resource) = resources.iter().find(|resource| resource.service != service) {
            let resource = resource.path.clone();
            return Err(PolicyError::OtherService { resource, service });
        }
        Ok(Self { service, resources })
    }

    /// Gives the service.
    #[must_use]
    pub fn service(&self) -> PolicyService {
        self.service
    }

    /// Gives the resources.
    #[must_use]
    pub fn resources(&self) -> &[PolicyResource] {
        &self.resources
    }
}

impl PolicyResource {
    /// Says whether this is the resource with the id, or something above it (P-03).
    ///
    /// An account also covers its read-only secondary, which has its name followed by `-secondary`
    /// (P-05).
    #[must_use]
    pub fn covers(&self, id: &str) -> bool {
        let id = primary(without_slash(id));
        match id.split_at_checked(self.path.len()) {
            Some((head, rest)) => {
                head.eq_ignore_ascii_case(&self.path) && (rest.is_empty() || rest.starts_with('/'))
            }
            None => false,
        }
    }
}

impl EndpointPolicies {
    /// The most policies of one subnet (P-07).
    pub const MAXIMUM: usize = 100;

    /// Attaches a policy to a subnet of a virtual network in `region`. `endpoint` says whether the
    /// subnet has an endpoint for Storage.
    ///
    /// # Errors
    ///
    /// The endpoint is off, the regions differ, or there are 100 policies already (P-07); or one
    /// has this name.
    pub fn attach(
        &mut self,
        policy: Arc<EndpointPolicy>,
        region: &str,
        endpoint: bool,
    ) -> Result<(), PolicyError> {
        let name = policy.name.clone();
        if !endpoint {
            return Err(PolicyError::EndpointOff { policy: name });
        }
        if !policy.region.eq_ignore_ascii_case(region) {
            let (region, network) = (policy.region.clone(), region.to_owned());
            return Err(PolicyError::OtherRegion { policy: name, region, network });
        }
        if self.place(&name).is_some() {
            return Err(PolicyError::NameTaken { policy: name });
        }
        if self.0.len() >= Self::MAXIMUM {
            return Err(PolicyError::TooManyPolicies { limit: Self::MAXIMUM });
        }
        self.0.push(policy);
        Ok(())
    }

    /// Detaches the policy of this name; `false` if there is none.
    pub fn detach(&mut self, name: &str) -> bool {
        self.place(name).map(|place| self.0.remove(place)).is_some()
    }

    /// Lists the attached policies.
    pub fn iter(&self) -> impl Iterator<Item = &EndpointPolicy> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Decides about a call of the resource with this id. What any policy allows is allowed, all
    /// else is refused (P-02).
    ///
    /// An invalid id is refused (INV-denied-by-default). The function does not allocate.
    pub fn judge(&self, id: &str) -> Coverage<'_> {
        if self.0.is_empty() {
            return Coverage::NoPolicy;
        }
        if is_classic(id) {
            return Coverage::Classic;
        }
        let listed = self.iter().find_map(|policy| {
            policy.covering(id).map(|resource| Coverage::Listed { policy, resource })
        });
        listed.unwrap_or(Coverage::NotListed)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|policy| policy.name.eq_ignore_ascii_case(name))
    }
}

/// Collects policies that were each found attachable.
impl FromIterator<Arc<EndpointPolicy>> for EndpointPolicies {
    fn from_iter<T: IntoIterator<Item = Arc<EndpointPolicy>>>(policies: T) -> Self {
        Self(policies.into_iter().collect())
    }
}

impl Coverage<'_> {
    /// Says whether the resource may be called.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::NoPolicy | Self::Listed { .. })
    }

    /// Gives the refusal, if it is one. It has its own reason, since the service refuses and not
    /// the network (U-06).
    #[must_use]
    pub fn refusal(self) -> Option<Refusal> {
        if self.is_allowed() { None } else { Some(Refusal::NotInEndpointPolicy) }
    }
}

/// Parses ids of subscriptions, resource groups and storage accounts, and aliases.
impl FromStr for PolicyResource {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let path = without_slash(text);
        let lower = path.to_ascii_lowercase();
        let parts: Vec<_> = lower.split('/').collect();
        let service = match parts.as_slice() {
            ["", rest @ ..] if rest.iter().any(|part| part.is_empty()) => None,
            ["", "subscriptions", _]
            | ["", "subscriptions", _, "resourcegroups", _]
            | [
                "",
                "subscriptions",
                _,
                "resourcegroups",
                _,
                "providers",
                "microsoft.storage",
                "storageaccounts",
                _,
            ] => Some(PolicyService::Storage),
            ["", "services", "azure"] => Some(PolicyService::Global),
            ["", "services", "azure", alias] if ALIASES.contains(alias) => {
                Some(PolicyService::Global)
            }
            _ => None,
        };
        match service {
            Some(service) => Ok(Self { path: path.to_owned(), service }),
            None => Err(PolicyError::NotAResource(text.to_owned())),
        }
    }
}

impl PartialEq for PolicyResource {
    fn eq(&self, other: &Self) -> bool {
        self.path.eq_ignore_ascii_case(&other.path)
    }
}

impl fmt::Display for PolicyResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl fmt::Display for PolicyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Storage => "Microsoft.Storage",
            Self::Global => "Global",
        })
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAResource(text) => write!(
                f,
                "\"{text}\" is no subscription, resource group, storage account or service alias"
            ),
            Self::OtherService { resource, service } => {
                write!(f, "{resource} does not belong in a definition for {service}")
            }
            Self::TooManyResources { limit } => {
                write!(f, "a definition may name {limit} resources at most")
            }
            Self::TooManyPolicies { limit } => {
                write!(f, "the subnet already has {limit} policies, the most it may have")
            }
            Self::NameTaken { policy } => write!(f, "the subnet already has a policy {policy}"),
            Self::OtherRegion { policy, region, network } => {
                write!(f, "policy {policy} is in {region}, the virtual network in {network}")
            }
            Self::EndpointOff { policy } => {
                write!(f, "policy {policy} needs the subnet's endpoint for Microsoft.Storage first")
            }
        }
    }
}

impl core::error::Error for PolicyError {}

/// The aliases below `/services/Azure`, in lower case (P-04).
const ALIASES: [&str; 6] =
    ["batch", "databricks", "datafactory", "machinelearning", "managedinstance", "webpi"];

/// Turns the id of a read-only secondary into its account's. Account names have no hyphen.
fn primary(id: &str) -> &str {
    const SECONDARY: &str = "-secondary";
    let account = id.len().checked_sub(SECONDARY.len()).and_then(|cut| id.split_at_checked(cut));
    match account {
        Some((account, tail)) if tail.eq_ignore_ascii_case(SECONDARY) && is_account(id) => account,
        _ => id,
    }
}

fn is_account(id: &str) -> bool {
    id.rsplit('/').nth(1).is_some_and(|kind| kind.eq_ignore_ascii_case("storageAccounts"))
}

fn without_slash(id: &str) -> &str {
    id.strip_suffix('/').unwrap_or(id)
}

fn is_classic(id: &str) -> bool {
    id.split('/').any(|part| part.eq_ignore_ascii_case("Microsoft.ClassicStorage"))
}
