//! What names in security rules stand for.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::ranges::Ranges;

/// Names that mean the same to every virtual network: service tags, and application security groups
/// as the addresses of their members.
///
/// Known from the start are `AzureLoadBalancer` and the platform's own tags of P-15; names compare
/// without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, Ranges>);

/// What `VirtualNetwork` and `Internet` stand for, seen from one subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpace {
    pub(crate) virtual_network: Ranges,
    pub(crate) internet: Ranges,
}

/// A service of the platform that security groups let through unless a rule names its tag (P-15).
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

/// The platform's services that have a tag of their own.
pub(crate) const PLATFORM_SERVICES: [PlatformService; 3] = [
    PlatformService { tag: "AzurePlatformDNS", address: HOST, port: 53 },
    PlatformService { tag: "AzurePlatformIMDS", address: METADATA, port: 80 },
    PlatformService { tag: "AzurePlatformLKM", address: HOST, port: 1688 },
];

/// Where the platform's services are: 168.63.129.16 and 169.254.169.254 (P-15, R-28).
pub const PLATFORM_ADDRESSES: [Ipv4Addr; 2] = [HOST, METADATA];

impl Tags {
    /// Says what a name stands for; replaces what it stood for before.
    pub fn insert(&mut self, name: &str, prefixes: impl IntoIterator<Item = Ipv4Net>) {
        self.0.insert(name.to_ascii_lowercase(), prefixes.into_iter().collect());
    }

    /// Whether it is known what a name stands for; `VirtualNetwork` and `Internet` depend on the
    /// place and are not among these.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Ranges> {
        self.0.get(&name.to_ascii_lowercase())
    }
}

impl NetworkSpace {
    /// From the address space, which is the network's own, its peers' and that of sites behind its
    /// gateway, and from the prefixes of the subnet's user routes.
    ///
    /// Both belong to `VirtualNetwork`, so that a user route for 0.0.0.0/0 makes that tag contain
    /// everything (P-14). `Internet` is what is public and not in the address space: Azure's own
    /// addresses too (P-12), and whatever user routes say, so that a rule about the internet keeps
    /// its meaning. Service endpoints add nothing to either (U-09).
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

/// Ranges that are no public unicast addresses (RFC 6890).
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
