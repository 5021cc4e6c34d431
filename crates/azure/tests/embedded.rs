//! What is true of the list that the crate carries, and of the catalogue beside it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_azure::{
    Assumption, EndpointService, Scope, ServiceTag, ServiceTags, paired_regions, region_name,
};

/// Tag, prefixes, prefixes of its regional tags together: the list of 2025-10-28, change number
/// 375.
const NINE: [(&str, usize, usize); 9] = [
    ("AppService", 1089, 1075),
    ("AzureActiveDirectory", 200, 0),
    ("AzureContainerRegistry", 590, 567),
    ("AzureCosmosDB", 604, 582),
    ("AzureKeyVault", 335, 302),
    ("EventHub", 363, 347),
    ("ServiceBus", 456, 438),
    ("Sql", 1113, 1069),
    ("Storage", 495, 1686),
];

#[test]
fn list_has_header_and_generator_format() {
    let tags = ServiceTags::embedded();
    assert_eq!((tags.cloud(), tags.change_number()), ("Public", 375));
    assert_eq!(tags.date().map(|date| date.to_string()).as_deref(), Some("2025-10-28"));
    assert_eq!(tags.to_string(), include_str!("../data/service-tags.txt"));
}

#[test]
fn tags_have_published_prefix_counts() {
    let tags = ServiceTags::embedded();
    let mut total = 0;
    for (name, count, regional) in NINE {
        assert_eq!(prefixes(&tags, name).len(), count, "{name}");
        let parts = tags.sub_tags(name).filter(|tag| tag.region().is_some());
        assert_eq!(parts.map(|tag| tag.prefixes().len()).sum::<usize>(), regional, "{name}");
        total += count;
    }
    assert_eq!(total, 5245);
    let part = tags.tag("AzureActiveDirectory.ServiceEndpoint").unwrap();
    assert_eq!((part.prefixes().len(), part.region()), (809, None));
    assert_eq!(prefixes(&tags, "CognitiveServicesManagement").len(), 1253);
    assert_eq!(tags.endpoint_tags().tags().count(), 567);
}

/// E-01, E-02: nine tags are marked, no sub-tag is, and the catalogue names the nine.
#[test]
fn nine_marked_tags_match_the_catalogue() {
    let tags = ServiceTags::embedded();
    let marked: Vec<_> =
        tags.tags().filter(|tag| tag.is_endpoint()).map(ServiceTag::name).collect();
    assert_eq!(marked, NINE.map(|(name, ..)| name));
    let known: BTreeSet<_> = EndpointService::ALL
        .iter()
        .filter(|service| service.assumption != Some(Assumption::Tag))
        .map(|service| service.tag)
        .collect();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), marked);
    assert_eq!(tags.common_tags(), tags);
}

#[test]
fn every_prefix_is_canonical_and_ascending() {
    for tag in ServiceTags::embedded().tags() {
        assert!(tag.prefixes().iter().all(|prefix| *prefix == prefix.trunc()), "{}", tag.name());
        assert!(tag.prefixes().is_sorted_by(|one, next| one < next), "{}", tag.name());
    }
}

/// an address belongs to one service.
#[test]
fn the_nine_tags_are_disjoint() {
    let tags = ServiceTags::embedded();
    assert_eq!(overlap(NINE.iter().map(|(name, ..)| prefixes(&tags, name))), None);
}

/// nothing to nest, nothing to merge.
#[test]
fn tag_prefixes_are_disjoint_and_merged() {
    let tags = ServiceTags::embedded();
    for (name, ..) in NINE {
        let prefixes = prefixes(&tags, name);
        assert_eq!(Ipv4Net::aggregate(&prefixes.to_vec()), prefixes, "{name}");
    }
}

/// merging across services would lose whose address it is.
#[test]
fn merging_across_services_loses_172_prefixes() {
    let tags = ServiceTags::embedded();
    let all: Vec<_> = NINE.iter().flat_map(|(name, ..)| prefixes(&tags, name)).copied().collect();
    assert_eq!(all.len() - Ipv4Net::aggregate(&all).len(), 172);
}

/// A regional prefix is one region's, and a part of the service (C-06).
#[test]
fn regional_tags_are_disjoint_within_parent() {
    let tags = ServiceTags::embedded();
    for (name, ..) in NINE {
        assert_eq!(overlap(tags.sub_tags(name).map(ServiceTag::prefixes)), None, "{name}");
        let parent = prefixes(&tags, name);
        for part in tags.sub_tags(name).flat_map(ServiceTag::prefixes) {
            assert!(parent.iter().any(|whole| whole.contains(part)), "{name} {part}");
        }
    }
}

/// the worldwide tag of Storage has coarser blocks than the regional ones.
#[test]
fn worldwide_storage_tag_is_coarser() {
    let tags = ServiceTags::embedded();
    let whole: BTreeSet<_> = prefixes(&tags, "Storage").iter().collect();
    let parts: BTreeSet<_> = tags.sub_tags("Storage").flat_map(ServiceTag::prefixes).collect();
    assert_eq!((whole.difference(&parts).count(), parts.difference(&whole).count()), (29, 1220));
    let [block, piece]: [Ipv4Net; 2] =
        ["20.60.0.0/16", "20.60.26.0/23"].map(|text| text.parse().unwrap());
    assert!(whole.contains(&block) && parts.contains(&piece));
}

/// A region is written as resources write it, which is the tag's own name; stages of a region are
/// the exception.
#[test]
fn regional_tag_has_its_regions_name() {
    for tag in ServiceTags::embedded().tags() {
        let (Some((_, part)), Some(region)) = (tag.name().split_once('.'), tag.region()) else {
            continue;
        };
        let name = part.to_lowercase();
        let name = name.strip_suffix("stage").unwrap_or(&name);
        // The parts of AzureCloud bear the shortened names of the published list.
        assert!(name == region || region_name(name) == region, "{}", tag.name());
    }
}

/// The published list cuts some names short and turns others round.
#[test]
fn published_region_names_are_in_list() {
    let tags = ServiceTags::embedded();
    let regions: BTreeSet<_> = tags.tags().filter_map(ServiceTag::region).collect();
    for short in
        ["chilec", "germanyn", "germanywc", "norwaye", "norwayw", "switzerlandn", "switzerlandw"]
    {
        let (name, stem) = (region_name(short), short.trim_end_matches('c'));
        assert!(regions.contains(name) && name.starts_with(stem), "{short} {name}");
    }
    for (turned, one, other) in [
        ("brazilse", "brazil", "southeast"),
        ("centralfrance", "france", "central"),
        ("southfrance", "france", "south"),
        ("usstagec", "southcentralus", "stg"),
        ("usstagee", "eastus", "stg"),
    ] {
        assert_eq!(region_name(turned), format!("{one}{other}"));
        assert!(regions.contains(region_name(turned)));
    }
    assert_eq!(region_name("westeurope"), "westeurope");
}

/// E-06, as subnets in East US show it, and the one-way pair West US 3.
#[test]
fn locations_are_those_that_subnets_show() {
    let locations =
        |name: &str, region| EndpointService::named(name).unwrap().scope.locations(region);
    assert_eq!(locations("Microsoft.Storage", "eastus"), ["eastus", "westus", "westus3"]);
    assert_eq!(locations("Microsoft.Storage", "westus3"), ["westus3", "eastus"]);
    assert_eq!(locations("Microsoft.Storage", "italynorth"), ["italynorth"]);
    assert_eq!(locations("Microsoft.Sql", "eastus"), ["eastus"]);
    for name in ["AzureActiveDirectory", "KeyVault", "AzureCosmosDB", "Web", "CognitiveServices"] {
        assert_eq!(locations(&format!("Microsoft.{name}"), "eastus"), ["*"]);
    }
}

#[test]
fn paired_regions_exist_and_pair_back() {
    let tags = ServiceTags::embedded();
    let regions: BTreeSet<_> = tags.tags().filter_map(ServiceTag::region).collect();
    let mut pairs = 0;
    for &region in &regions {
        for other in paired_regions(region) {
            assert!(regions.contains(other), "{other}");
            assert!(paired_regions(other).any(|back| back == region), "{other} {region}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 2 * 24, "each of the 24 pairs is met from both its regions");
}

/// E-07, U-17: two endpoints for the same addresses.
#[test]
fn only_storage_endpoints_exclude_each_other() {
    let excluding: Vec<_> = EndpointService::ALL
        .iter()
        .flat_map(|one| {
            EndpointService::ALL.map(|other| (one.excludes(&other), one.name, other.name))
        })
        .filter_map(|(excludes, one, other)| excludes.then_some((one, other)))
        .collect();
    let (local, global) = ("Microsoft.Storage", "Microsoft.Storage.Global");
    assert_eq!(excluding, [(local, global), (global, local)]);
}

/// C-06, E-09, with the two addresses of R-18 and a block that no region lists.
#[test]
fn storage_of_other_region_needs_worldwide() {
    let tags = ServiceTags::embedded();
    let in_scope = |service: &str, region, address: [u8; 4]| {
        let service = EndpointService::named(service).unwrap();
        let address = Ipv4Addr::from(address);
        assert!(prefixes(&tags, service.tag).iter().any(|prefix| prefix.contains(&address)));
        !tags.out_of_scope(service, region).iter().any(|prefix| prefix.contains(&address))
    };
    let (west_europe, north_europe) = ([191, 239, 203, 1], [191, 235, 255, 192]);
    for address in [west_europe, north_europe] {
        for region in ["westeurope", "northeurope"] {
            assert!(in_scope("Microsoft.Storage", region, address));
        }
        assert!(!in_scope("Microsoft.Storage", "eastus", address));
        assert!(in_scope("Microsoft.Storage.Global", "eastus", address));
    }
}

/// The slow way: an address is out of scope if some regional tag with it is of a region that is
/// none of the locations.
#[test]
fn scope_agrees_with_reference() {
    let tags = ServiceTags::embedded();
    for service in &EndpointService::ALL {
        for region in ["eastus", "westus3", "swedencentral", "italynorth"] {
            let locations = service.scope.locations(region);
            let outside = tags.out_of_scope(service, region);
            assert!(outside.is_sorted());
            for tag in tags.sub_tags(service.tag) {
                let elsewhere = service.scope != Scope::Worldwide
                    && tag.region().is_some_and(|other| !locations.contains(&other));
                for prefix in tag.prefixes() {
                    assert_eq!(
                        outside.contains(prefix),
                        elsewhere,
                        "{} {region} {prefix}",
                        tag.name()
                    );
                }
            }
        }
    }
}

/// What security rules and routes name is there without a file, as it was published.
#[test]
fn common_tags_of_rules_are_embedded() {
    let tags = ServiceTags::embedded();
    for (name, count) in [
        ("AzureCloud", 9_585),
        ("AzureCloud.westeurope", 418),
        ("AzureMonitor", 1_590),
        ("AzureActiveDirectory", 200),
        ("AzureResourceManager", 214),
        ("AzureBackup", 332),
        ("AzureFrontDoor.Backend", 106),
        ("Storage.WestEurope", 97),
        ("Sql.NorthEurope", 41),
        ("AzureDevOps", 24),
    ] {
        let found = tags.tag(name).map(|tag| tag.prefixes().len());
        assert_eq!(found, Some(count), "{name}");
    }
    // The data stay small: one list of every tag would be four times as long.
    assert!(include_str!("../data/service-tags.txt").len() < 450_000);
}

fn prefixes<'a>(tags: &'a ServiceTags, name: &str) -> &'a [Ipv4Net] {
    tags.tag(name).map(ServiceTag::prefixes).unwrap_or_default()
}

/// Two prefixes of the lists that share an address.
fn overlap<'a>(lists: impl Iterator<Item = &'a [Ipv4Net]>) -> Option<(Ipv4Net, Ipv4Net)> {
    let mut all: Vec<Ipv4Net> = lists.flatten().copied().collect();
    all.sort();
    let neighbours = all.iter().zip(all.iter().skip(1));
    neighbours
        .map(|(&one, &next)| (one, next))
        .find(|(one, next)| one.broadcast() >= next.network())
}
