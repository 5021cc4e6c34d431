//! The meanings of names in security rules.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::ranges::Ranges;

/// Names with the same meaning in every virtual network: service tags and application security
/// groups.
///
/// `AzureLoadBalancer` and the platform's own tags are known from the start (P-15). Names compare
/// without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, Ranges>);

/// The addresses of `VirtualNetwork` and `Internet`, seen from one subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpace {
    pub(crate) virtual_network: Ranges,
    pub(crate) internet: Ranges,
}

/// A platform service that security groups allow unless a rule names its tag (P-15).
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformService {
    pub(crate) tag: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
}

/// DHCP, DNS, licences and health probes.
const HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// Instance metadata.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The platform services that have their own tags.
pub(crate) const PLATFORM_SERVICES: [PlatformService; 3] = [
    PlatformService { tag: "AzurePlatformDNS", address: HOST, port: 53 },
    PlatformService { tag: "AzurePlatformIMDS", address: METADATA, port: 80 },
    PlatformService { tag: "AzurePlatformLKM", address: HOST, port: 1688 },
];

/// The addresses of platform services (P-15, R-28).
pub const PLATFORM_ADDRESSES: [Ipv4Addr; 2] = [HOST, METADATA];

impl Tags {
    /// Sets the addresses of a name, and replaces earlier ones.
    pub fn insert(&mut self, name: &str, prefixes: impl IntoIterator<Item = Ipv4Net>) {
        self.0.insert(name.to_ascii_lowercase(), prefixes.into_iter().collect());
    }

    /// Says whether a name is known. `VirtualNetwork` and `Internet` depend on the subnet and are
    /// not included.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Ranges> {
        self.0.get(&name.to_ascii_lowercase())
    }
}

impl NetworkSpace {
    /// Makes the space of a subnet from an address space and the prefixes of the subnet's user
    /// routes.
    ///
    /// The address space is that of the network, its peers, and the sites behind its gateway.
    ///
    /// - `VirtualNetwork` contains both. So a user route for 0.0.0.0/0 makes it contain everything
    ///   (P-14).
    /// - `Internet` contains all public addresses outside the address space, Azure's own included
    ///   (P-12). User routes do not change it, so that rules about the internet keep their meaning.
    /// - Service endpoints add nothing to either (U-09).
    #[must_use]
    pub fn new(
        space: impl IntoIterator<Item = Ipv4Net>,
        user_routes: impl IntoIterator<Item = Ipv4Net>,
    ) -> Self {
        let space: Ranges = space.into_iter().collect();
        let host: Ranges = [HOST].into_iter().collect();
        let elsewhere: Ranges = NOT_PUBLIC.into_iter().collect();
        Self {
            internet: elsewhere.union(&host).union(&space).complement(),
            virtual_network: space.union(&user_routes.into_iter().collect()),
        }
    }
}

impl Default for Tags {
    fn default() -> Self {
        let mut tags = Self(BTreeMap::new());
        tags.insert("AzureLoadBalancer", [Ipv4Net::from(HOST)]);
        for service in PLATFORM_SERVICES {
            tags.insert(service.tag, [Ipv4Net::from(service.address)]);
        }
        tags
    }
}

/// Ranges without public unicast addresses (RFC 6890).
const NOT_PUBLIC: [Ipv4Net; 8] = [
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3),
];
