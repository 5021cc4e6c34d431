//! A published list of service tags.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net};

use crate::{Date, EndpointService, Problem};

/// A published list of service tags, IPv4 only.
///
/// Names are found without regard to case, as Azure's tools do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTags {
    cloud: String,
    change_number: u64,
    date: Option<Date>,
    /// By name in lower case, so that a tag stands just before its sub-tags.
    tags: BTreeMap<String, ServiceTag>,
}

/// A named set of prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTag {
    name: String,
    region: Option<String>,
    change_number: u64,
    endpoint: bool,
    prefixes: Vec<Ipv4Net>,
}

impl ServiceTags {
    /// Returns the list that this crate carries, public cloud, 2025-10-28: the tags of service
    /// endpoints with their sub-tags, and the [common tags](Self::common_tags) of security rules
    /// and routes.
    #[must_use]
    pub fn embedded() -> Self {
        #[allow(clippy::expect_used, reason = "the text is a part of the crate, and tests read it")]
        Self::from_text(include_str!("../data/service-tags.txt")).expect("the embedded list")
    }

    pub(crate) fn new(cloud: String, change_number: u64, date: Option<Date>) -> Self {
        Self { cloud, change_number, date, tags: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, tag: ServiceTag) -> Result<(), Problem> {
        let key = tag.name.to_ascii_lowercase();
        if self.tags.contains_key(&key) {
            return Err(Problem::Repeated(tag.name));
        }
        self.tags.insert(key, tag);
        Ok(())
    }

    /// Returns the cloud, `Public` or another.
    #[must_use]
    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    /// Returns the number of the list's last change; 0 where the list does not say it.
    #[must_use]
    pub fn change_number(&self) -> u64 {
        self.change_number
    }

    /// Returns the day of the list, where it is known.
    #[must_use]
    pub fn date(&self) -> Option<Date> {
        self.date
    }

    /// Returns the tag of this name.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&ServiceTag> {
        self.tags.get(&name.to_ascii_lowercase())
    }

    /// Returns all tags, by name.
    pub fn tags(&self) -> impl Iterator<Item = &ServiceTag> {
        self.tags.values()
    }

    /// Returns the parts of a tag, such as `Storage.WestEurope` of `Storage`; nearly all are
    /// regions.
    pub fn sub_tags(&self, name: &str) -> impl Iterator<Item = &ServiceTag> {
        let start = format!("{}.", name.to_ascii_lowercase());
        let parts = self.tags.range(start.clone()..);
        parts.take_while(move |(key, _)| key.starts_with(&start)).map(|(_, tag)| tag)
    }

    /// Returns the tag of which this one is a part, if the list has it.
    #[must_use]
    pub fn parent(&self, tag: &ServiceTag) -> Option<&ServiceTag> {
        let (parent, _) = tag.name.split_once('.')?;
        self.tag(parent)
    }

    /// Returns the same list with only the tags that are known to be those of endpoint services,
    /// and their sub-tags.
    ///
    /// They are known by name: not every form of the list marks them (E-01), and one of them is
    /// assumed (U-11).
    #[must_use]
    pub fn endpoint_tags(&self) -> Self {
        let known = |tag: &ServiceTag| {
            let name = tag.name.split('.').next().unwrap_or_default();
            EndpointService::ALL.iter().any(|service| service.tag.eq_ignore_ascii_case(name))
        };
        let mut kept = self.clone();
        kept.tags.retain(|_, tag| known(tag));
        kept
    }

    /// Keeps what security rules and routes of users often name: the tags of endpoint services and
    /// their sub-tags, `AzureCloud` with its regions, and of some others the whole tag. So much is
    /// embedded; any other tag needs a published list.
    #[must_use]
    pub fn common_tags(&self) -> Self {
        let mut kept = self.endpoint_tags();
        for tag in self.tags() {
            let name = tag.name.as_str();
            let (parent, part) = name.split_once('.').unwrap_or((name, ""));
            let whole = COMMON.iter().any(|common| common.eq_ignore_ascii_case(name));
            let part =
                !part.is_empty() && WITH_PARTS.iter().any(|it| it.eq_ignore_ascii_case(parent));
            if whole || part {
                kept.tags.entry(name.to_ascii_lowercase()).or_insert_with(|| tag.clone());
            }
        }
        kept
    }

    /// Returns the addresses of a service that an endpoint does not serve from a subnet in
    /// `region`: those in regional tags of regions outside the endpoint's scope. What lies in no
    /// regional tag is in scope (C-06, E-09).
    #[must_use]
    pub fn out_of_scope(&self, service: &EndpointService, region: &str) -> Vec<Ipv4Net> {
        let outside = |tag: &&ServiceTag| {
            tag.region().is_some_and(|other| !service.scope.covers(region, other))
        };
        let tags = self.sub_tags(service.tag).filter(outside);
        sorted(tags.flat_map(|tag| &tag.prefixes).copied().collect())
    }
}

impl ServiceTag {
    pub(crate) fn new(
        name: String,
        region: Option<String>,
        change_number: u64,
        endpoint: bool,
        prefixes: Vec<Ipv4Net>,
    ) -> Self {
        Self { name, region, change_number, endpoint, prefixes: sorted(prefixes) }
    }

    /// Returns the name as published, `Storage.WestEurope`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the region, by the name that resources use for it, `francecentral`; none for a
    /// worldwide tag.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Returns the number of the tag's last change; 0 where the list does not say it.
    #[must_use]
    pub fn change_number(&self) -> u64 {
        self.change_number
    }

    /// Returns whether the list marks the tag for service endpoints, `VSE` (E-01). The API's form
    /// never does.
    #[must_use]
    pub fn is_endpoint(&self) -> bool {
        self.endpoint
    }

    /// Returns the IPv4 prefixes: canonical, ascending, none twice.
    #[must_use]
    pub fn prefixes(&self) -> &[Ipv4Net] {
        &self.prefixes
    }

    pub(crate) fn lists(&self, prefix: Ipv4Net) -> bool {
        self.prefixes.binary_search(&prefix).is_ok()
    }

    pub(crate) fn extend(&mut self, prefixes: impl Iterator<Item = Ipv4Net>) {
        self.prefixes.extend(prefixes);
        self.prefixes = sorted(core::mem::take(&mut self.prefixes));
    }
}

/// Tags without an endpoint that documentation asks for in security rules and routes most often: of
/// the cloud as a whole, of what machines need to be managed, monitored, backed up and updated, and
/// of what stands before applications.
const COMMON: [&str; 20] = [
    "ActionGroup",
    "ApiManagement",
    "AppServiceManagement",
    "AzureActiveDirectoryDomainServices",
    "AzureBackup",
    "AzureCloud",
    "AzureDevOps",
    "AzureMonitor",
    "AzureResourceManager",
    "AzureSiteRecovery",
    "AzureTrafficManager",
    "AzureUpdateDelivery",
    "BatchNodeManagement",
    "GatewayManager",
    "GuestAndHybridManagement",
    "HDInsight",
    "MicrosoftContainerRegistry",
    "SqlManagement",
    "StorageSyncService",
    "WindowsVirtualDesktop",
];

/// Those whose parts are common too: of `AzureCloud` they are its regions, `AzureFrontDoor` has
/// nothing but parts.
const WITH_PARTS: [&str; 2] = ["AzureCloud", "AzureFrontDoor"];

/// A name that the text form can carry.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(Problem::Name(text.to_owned()));
    }
    Ok(text.to_owned())
}

/// An IPv4 prefix, or nothing for one of IPv6; a bare address is the prefix of itself.
pub(crate) fn prefix(text: &str) -> Result<Option<Ipv4Net>, Problem> {
    let prefix = match text.parse() {
        Ok(IpNet::V4(prefix)) => prefix,
        Ok(IpNet::V6(_)) => return Ok(None),
        Err(_) if text.parse::<Ipv6Addr>().is_ok() => return Ok(None),
        Err(_) => match text.parse::<Ipv4Addr>() {
            Ok(address) => Ipv4Net::from(address),
            Err(_) => return Err(Problem::Prefix(text.to_owned())),
        },
    };
    if prefix != prefix.trunc() {
        return Err(Problem::HostBits(prefix));
    }
    Ok(Some(prefix))
}

fn sorted(mut prefixes: Vec<Ipv4Net>) -> Vec<Ipv4Net> {
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}
