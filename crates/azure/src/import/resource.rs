//! What the services' own firewalls protect, and by which rules.

use core::fmt;
use core::net::Ipv4Addr;

use super::{Id, Link, Place};

/// An account, a server, a vault: what a service's own firewall protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ResourceKind,
    /// Its region, as resources name it; empty where it is not said.
    pub region: String,
    /// Whether its public endpoint is open at all.
    pub public_access: PublicAccess,
    /// What happens to a caller that no rule names.
    pub default: DefaultAction,
    /// Rules for public addresses.
    pub ip_rules: Vec<IpRule>,
    /// Rules for subnets.
    pub subnet_rules: Vec<SubnetRule>,
    /// Whose traffic passes by the rules, `AzureServices`.
    pub bypass: Vec<String>,
    /// Where the file has it.
    pub place: Place,
}

/// The kind of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ResourceKind {
    /// A storage account.
    Storage,
    /// A key vault.
    KeyVault,
    /// An Azure SQL server.
    Sql,
    /// A database for PostgreSQL server.
    PostgreSql,
    /// A database for MySQL server.
    MySql,
    /// A database for MariaDB server.
    MariaDb,
    /// A Cosmos DB account.
    CosmosDb,
    /// An Event Hubs namespace.
    EventHubs,
    /// A Service Bus namespace.
    ServiceBus,
    /// A web or function app.
    AppService,
    /// A container registry.
    ContainerRegistry,
    /// An AI services account.
    AiServices,
}

/// Whether the public endpoint of a resource is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublicAccess {
    /// Open to the sources that the rules accept; also where the file does not say it.
    #[default]
    Enabled,
    /// It is not.
    Disabled,
    /// A network security perimeter decides.
    SecuredByPerimeter,
}

/// What happens to a caller that no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// It may come in.
    Allow,
    /// It may not.
    Deny,
    /// The file does not say it.
    Unresolved,
}

/// A rule for public addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpRule {
    /// The first address.
    pub first: Ipv4Addr,
    /// The last address.
    pub last: Ipv4Addr,
    /// Whether it keeps out instead of letting in; App Service has such rules.
    pub deny: bool,
    /// Its place among the rules of the resource, where the order counts.
    pub priority: Option<i64>,
}

/// A rule for a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetRule {
    /// The subnet.
    pub subnet: Link,
    /// Whether it is taken although the subnet has no endpoint yet.
    pub ignore_missing_endpoint: bool,
    /// `Succeeded`, `NetworkSourceDeleted`, ...; empty where it is not said.
    pub state: String,
    /// Whether it keeps out instead of letting in.
    pub deny: bool,
    /// Its place among the rules of the resource, where the order counts.
    pub priority: Option<i64>,
}

impl ResourceKind {
    /// Returns the kind as the JSON of `vnetem model` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::KeyVault => "key-vault",
            Self::Sql => "sql",
            Self::PostgreSql => "postgresql",
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
            Self::CosmosDb => "cosmos-db",
            Self::EventHubs => "event-hubs",
            Self::ServiceBus => "service-bus",
            Self::AppService => "app-service",
            Self::ContainerRegistry => "container-registry",
            Self::AiServices => "ai-services",
        }
    }

    /// Returns the service whose endpoint leads to resources of this kind.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Storage => "Microsoft.Storage",
            Self::KeyVault => "Microsoft.KeyVault",
            Self::Sql | Self::PostgreSql | Self::MySql | Self::MariaDb => "Microsoft.Sql",
            Self::CosmosDb => "Microsoft.AzureCosmosDB",
            Self::EventHubs => "Microsoft.EventHub",
            Self::ServiceBus => "Microsoft.ServiceBus",
            Self::AppService => "Microsoft.Web",
            Self::ContainerRegistry => "Microsoft.ContainerRegistry",
            Self::AiServices => "Microsoft.CognitiveServices",
        }
    }
}

impl IpRule {
    /// Returns whether it means "services of Azure" instead of addresses, as SQL's `0.0.0.0` does.
    #[must_use]
    pub fn is_azure_services(&self) -> bool {
        self.first.is_unspecified() && self.last.is_unspecified()
    }
}

impl fmt::Display for IpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (u32::from(self.first), u32::from(self.last));
        let size = u64::from(last.wrapping_sub(first)) + 1;
        let length = 32 - size.trailing_zeros().min(32);
        let aligned = size.is_power_of_two() && u64::from(first).is_multiple_of(size);
        match size {
            1 => write!(f, "{}", self.first),
            _ if aligned => write!(f, "{}/{length}", self.first),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}
