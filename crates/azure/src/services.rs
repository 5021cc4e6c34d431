//! What a service endpoint can be enabled for.

use core::time::Duration;

use vnetem::control::EndpointFirst;

use crate::{known_region, paired_regions};

/// The IPv4 protocol number that takes an endpoint's path: TCP, and no other (E-13).
pub const ENDPOINT_PROTOCOL: u8 = 6;

/// A service for which an endpoint can be enabled on a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointService {
    /// The name as subnets carry it, `Microsoft.Storage`.
    pub name: &'static str,
    /// The service tag that has its addresses (E-03).
    pub tag: &'static str,
    /// Where the resources must be that it leads to.
    pub scope: Scope,
    /// What of this entry is assumed, because it has not been seen.
    pub assumption: Option<Assumption>,
    /// What it switches, all at once (E-12, S-35).
    pub products: &'static [Product],
    /// What it asks of a subnet before it takes a rule for it (E-14).
    pub rules: RuleCheck,
    /// Whether networks of a resource's own region reach it privately without an endpoint. That is
    /// documented for Storage alone (F-07, N-04, N-06); of every other service nothing of the kind
    /// is said, so it is off (C-03).
    pub same_region_path: bool,
    /// Whether endpoint policies can be attached to its endpoints: to those of Storage alone
    /// (P-33).
    pub takes_policies: bool,
}

/// What a service asks of a subnet before it takes a rule for it, and how that is known (E-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleCheck {
    /// What it asks.
    pub endpoint_first: EndpointFirst,
    /// Where that is said: public issues, by repository and number, and pages of the services'
    /// interfaces.
    pub source: &'static str,
}

/// Something that a customer buys, and that goes by the endpoint of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// What it is called.
    pub name: &'static str,
    /// What the names of its resources end with, `blob.core.windows.net`.
    pub domain: &'static str,
    /// Whether Azure's own list of 2025 does not name it any more (C-17).
    pub legacy: bool,
    /// How long its changes take, where that is published (E-15): for a `vnetem::control::Rollout`.
    pub rollout: Option<RolloutTimes>,
}

/// How long a change takes at most until it holds everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutTimes {
    /// An endpoint that is switched on or off.
    pub endpoint: Duration,
    /// New rules of a firewall.
    pub firewall: Duration,
}

/// What of an entry of the catalogue is assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assumption {
    /// The tag: none is marked for the service, and this one is the nearest (U-11).
    Tag,
    /// The scope: its locations have not been seen on a subnet.
    Scope,
}

/// Where the resources must be that an endpoint leads to (E-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In the subnet's region only (S-30).
    OwnRegion,
    /// In the subnet's region or one that is paired with it (E-09).
    OwnRegionAndPairs,
    /// Anywhere.
    Worldwide,
}

impl EndpointService {
    /// All of them, by name.
    pub const ALL: [Self; 11] = [
        // The store, not the directory: who signs in is not restricted by it (S-33, S-34).
        Self::seen("Microsoft.AzureActiveDirectory", "AzureActiveDirectory", Scope::Worldwide)
            .with(&[Product {
                rollout: Some(RolloutTimes {
                    endpoint: Duration::from_secs(15 * 60),
                    firewall: Duration::from_secs(5 * 60),
                }),
                ..legacy("Data Lake Storage Gen1", "azuredatalakestore.net")
            }])
            .asking(Always, "assumed: a rule of Data Lake Storage Gen1 has no flag"),
        Self::seen("Microsoft.AzureCosmosDB", "AzureCosmosDB", Scope::Worldwide)
            .with(&[product("Cosmos DB", "documents.azure.com")])
            .asking(UnlessIgnored, "terraform-provider-azurerm 6712, 7348; its rule has the flag"),
        Self::seen("Microsoft.CognitiveServices", "CognitiveServicesManagement", Scope::Worldwide)
            .with(&[product("AI services", "cognitiveservices.azure.com")])
            .asking(UnlessIgnored, "arm-cognitiveservices: its VirtualNetworkRule has the flag")
            .assuming(Assumption::Tag),
        Self::seen("Microsoft.ContainerRegistry", "AzureContainerRegistry", Scope::Worldwide)
            .with(&[product("Container Registry", "azurecr.io")])
            .asking(Always, "assumed: a rule of a registry has an action and an id, and no flag")
            .assuming(Assumption::Scope),
        Self::seen("Microsoft.EventHub", "EventHub", Scope::Worldwide)
            .with(&[product("Event Hubs", "servicebus.windows.net")])
            .asking(UnlessIgnored, "network rule sets of Event Hubs: their rules have the flag")
            .assuming(Assumption::Scope),
        Self::seen("Microsoft.KeyVault", "AzureKeyVault", Scope::Worldwide)
            .with(&[product("Key Vault", "vault.azure.net")])
            .asking(
                Always,
                "terraform-provider-azurerm 11759; the flag of 2021-10-01 had no effect: azure-rest-api-specs 22128",
            ),
        Self::seen("Microsoft.ServiceBus", "ServiceBus", Scope::Worldwide)
            .with(&[product("Service Bus", "servicebus.windows.net")])
            .asking(UnlessIgnored, "network rule sets of Service Bus: their rules have the flag")
            .assuming(Assumption::Scope),
        Self::seen("Microsoft.Sql", "Sql", Scope::OwnRegion).with(&[
            product("SQL Database", "database.windows.net"),
            product("Synapse dedicated pool", "sql.azuresynapse.net"),
            legacy("Database for PostgreSQL", "postgres.database.azure.com"),
            legacy("Database for MySQL", "mysql.database.azure.com"),
            product("Database for MariaDB", "mariadb.database.azure.com"),
        ])
        .asking(UnlessIgnored, "virtualNetworkRules of servers: ignoreMissingVnetServiceEndpoint"),
        Self::seen("Microsoft.Storage", "Storage", Scope::OwnRegionAndPairs).storage(),
        Self::seen("Microsoft.Storage.Global", "Storage", Scope::Worldwide).storage(),
        Self::seen("Microsoft.Web", "AppService", Scope::Worldwide)
            .with(&[product("App Service", "azurewebsites.net")])
            .asking(UnlessIgnored, "access restrictions: --ignore-missing-endpoint"),
    ];

    /// Returns the service of this name, without regard to case.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        static ALL: [EndpointService; 11] = EndpointService::ALL;
        ALL.iter().find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// Returns whether one subnet cannot have both, because they are two endpoints for the
    /// same addresses (E-07, U-17).
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        self.name != other.name && self.tag == other.tag
    }

    const fn seen(name: &'static str, tag: &'static str, scope: Scope) -> Self {
        Self {
            name,
            tag,
            scope,
            assumption: None,
            products: &[],
            rules: RuleCheck { endpoint_first: EndpointFirst::NotAsked, source: "" },
            same_region_path: false,
            takes_policies: false,
        }
    }

    const fn asking(self, endpoint_first: EndpointFirst, source: &'static str) -> Self {
        Self { rules: RuleCheck { endpoint_first, source }, ..self }
    }

    /// What is true of both names of Storage.
    const fn storage(self) -> Self {
        let asking = self.with(STORAGE).asking(Always, "terraform-provider-azurerm 3730, 16547");
        Self { same_region_path: true, takes_policies: true, ..asking }
    }

    const fn with(self, products: &'static [Product]) -> Self {
        Self { products, ..self }
    }

    const fn assuming(self, assumption: Assumption) -> Self {
        Self { assumption: Some(assumption), ..self }
    }
}

use EndpointFirst::{Always, UnlessIgnored};

const STORAGE: &[Product] = &[
    product("Blob storage", "blob.core.windows.net"),
    product("Data Lake Storage Gen2", "dfs.core.windows.net"),
    product("Files", "file.core.windows.net"),
    product("Queue storage", "queue.core.windows.net"),
    product("Table storage", "table.core.windows.net"),
];

const fn product(name: &'static str, domain: &'static str) -> Product {
    Product { name, domain, legacy: false, rollout: None }
}

const fn legacy(name: &'static str, domain: &'static str) -> Product {
    Product { legacy: true, ..product(name, domain) }
}

impl Scope {
    /// Returns the locations that a subnet in `region` shows for an endpoint of this scope: names
    /// of regions, or `*` for all (E-06).
    #[must_use]
    pub fn locations(self, region: &str) -> Vec<&str> {
        let region = known_region(region).unwrap_or(region);
        match self {
            Self::OwnRegion => vec![region],
            Self::OwnRegionAndPairs => {
                core::iter::once(region).chain(paired_regions(region)).collect()
            }
            Self::Worldwide => vec!["*"],
        }
    }

    /// Returns whether an endpoint of a subnet in `region` leads to resources in the region
    /// `other`.
    #[must_use]
    pub fn covers(self, region: &str, other: &str) -> bool {
        let other = known_region(other).unwrap_or(other);
        self.locations(region)
            .into_iter()
            .any(|location| location == "*" || location.eq_ignore_ascii_case(other))
    }
}
