//! What a service endpoint can be enabled for.

use crate::paired_regions;

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
        Self::seen("Microsoft.AzureActiveDirectory", "AzureActiveDirectory", Scope::Worldwide),
        Self::seen("Microsoft.AzureCosmosDB", "AzureCosmosDB", Scope::Worldwide),
        Self {
            assumption: Some(Assumption::Tag),
            ..Self::seen(
                "Microsoft.CognitiveServices",
                "CognitiveServicesManagement",
                Scope::Worldwide,
            )
        },
        Self::of_assumed_scope("Microsoft.ContainerRegistry", "AzureContainerRegistry"),
        Self::of_assumed_scope("Microsoft.EventHub", "EventHub"),
        Self::seen("Microsoft.KeyVault", "AzureKeyVault", Scope::Worldwide),
        Self::of_assumed_scope("Microsoft.ServiceBus", "ServiceBus"),
        Self::seen("Microsoft.Sql", "Sql", Scope::OwnRegion),
        Self::seen("Microsoft.Storage", "Storage", Scope::OwnRegionAndPairs),
        Self::seen("Microsoft.Storage.Global", "Storage", Scope::Worldwide),
        Self::seen("Microsoft.Web", "AppService", Scope::Worldwide),
    ];

    /// The service of this name, without regard to case.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        static ALL: [EndpointService; 11] = EndpointService::ALL;
        ALL.iter().find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// Whether the two cannot stand on one subnet, because they are two endpoints for the same addresses (E-07, U-17).
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        self.name != other.name && self.tag == other.tag
    }

    const fn seen(name: &'static str, tag: &'static str, scope: Scope) -> Self {
        Self { name, tag, scope, assumption: None }
    }

    const fn of_assumed_scope(name: &'static str, tag: &'static str) -> Self {
        Self { name, tag, scope: Scope::Worldwide, assumption: Some(Assumption::Scope) }
    }
}

impl Scope {
    /// The locations that a subnet in `region` shows for an endpoint of this scope: names of regions, or `*` for all (E-06).
    #[must_use]
    pub fn locations(self, region: &str) -> Vec<&str> {
        match self {
            Self::OwnRegion => vec![region],
            Self::OwnRegionAndPairs => {
                core::iter::once(region).chain(paired_regions(region)).collect()
            }
            Self::Worldwide => vec!["*"],
        }
    }

    /// Whether an endpoint of a subnet in `region` leads to resources in the region `other`.
    #[must_use]
    pub fn covers(self, region: &str, other: &str) -> bool {
        self.locations(region)
            .into_iter()
            .any(|location| location == "*" || location.eq_ignore_ascii_case(other))
    }
}
