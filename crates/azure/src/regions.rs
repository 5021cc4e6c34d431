//! Regions of the public cloud, by the names that resources use for them.

/// Returns the region by the name that resources use for it: the published list shortens or turns
/// round some.
#[must_use]
pub fn region_name(published: &str) -> &str {
    SHORTENED
        .iter()
        .find(|(short, _)| short.eq_ignore_ascii_case(published))
        .map_or(published, |(_, name)| name)
}

/// Returns the region that a text names in any spelling that Azure uses: `westeurope`, `WestEurope`
/// as in the names of tags, `West Europe` as people read it, or as the published list shortens it.
/// `None` if it is no region of the public cloud.
///
/// ```
/// assert_eq!(vnetem_azure::known_region("West Europe"), Some("westeurope"));
/// assert_eq!(vnetem_azure::known_region("west-europe"), None);
/// ```
#[must_use]
pub fn known_region(text: &str) -> Option<&'static str> {
    let plain: String = text
        .split_whitespace()
        .collect::<String>()
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let name = region_name(&plain);
    REGIONS.iter().copied().find(|region| *region == name)
}

/// Returns the known region whose name is nearest to a text, for those who mistyped one; `None` if
/// none is near.
#[must_use]
pub fn nearest_region(text: &str) -> Option<&'static str> {
    nearest(text, REGIONS)
}

/// Returns the name with the smallest edit distance to a text, without regard to case.
///
/// `None` if the distance is above the limit: one, and a third of the letters of the text behind
/// the prefix that both share.
#[must_use]
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let changes = names.into_iter().map(|name| (distance(text, name), name));
    let (least, name) = changes.min()?;
    let agree =
        text.bytes().zip(name.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    (least <= 1 + (text.len() - agree) / 3).then_some(name)
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<u8> = other.bytes().map(|byte| byte.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, byte) in one.bytes().enumerate() {
        let mut next = vec![at + 1];
        for ((&there, &above), pair) in other.iter().zip(row.iter().skip(1)).zip(row.iter()) {
            let left = next.last().copied().unwrap_or_default();
            let change = usize::from(there != byte.to_ascii_lowercase());
            next.push((pair + change).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Returns the regions paired with this one, in either direction, ascending.
///
/// A pair may be one-way: West US 3 is paired with East US, East US with West US. An endpoint in
/// East US has all three in its locations (E-06), so both directions count.
pub fn paired_regions(region: &str) -> impl Iterator<Item = &str> {
    let region = known_region(region).unwrap_or(region);
    PAIRS.iter().filter_map(move |&(one, other)| match region {
        _ if one.eq_ignore_ascii_case(region) => Some(other),
        _ if other.eq_ignore_ascii_case(region) => Some(one),
        _ => None,
    })
}

/// As the list of 2025-10-28 writes them; the names are those of the tags, `Storage.FranceCentral`.
const SHORTENED: [(&str, &str); 12] = [
    ("brazilse", "brazilsoutheast"),
    ("centralfrance", "francecentral"),
    ("chilec", "chilecentral"),
    ("germanyn", "germanynorth"),
    ("germanywc", "germanywestcentral"),
    ("norwaye", "norwayeast"),
    ("norwayw", "norwaywest"),
    ("southfrance", "francesouth"),
    ("switzerlandn", "switzerlandnorth"),
    ("switzerlandw", "switzerlandwest"),
    ("usstagec", "southcentralusstg"),
    ("usstagee", "eastusstg"),
];

/// Region pairs of the public cloud, a public fact of Azure's list of regions as of September 2025.
/// Each once, whether both regions name each other or, as the four marked ones, only the second
/// names the first.
const PAIRS: [(&str, &str); 24] = [
    ("australiacentral", "australiacentral2"),
    ("australiaeast", "australiasoutheast"),
    ("brazilsouth", "brazilsoutheast"), // one-way
    ("canadacentral", "canadaeast"),
    ("centralindia", "southindia"),
    ("centralus", "eastus2"),
    ("eastasia", "southeastasia"),
    ("eastus", "westus"),
    ("eastus", "westus3"), // one-way
    ("francecentral", "francesouth"),
    ("germanynorth", "germanywestcentral"),
    ("japaneast", "japanwest"),
    ("koreacentral", "koreasouth"),
    ("northcentralus", "southcentralus"),
    ("northeurope", "westeurope"),
    ("norwayeast", "norwaywest"),
    ("southafricanorth", "southafricawest"),
    ("southcentralus", "brazilsouth"), // one-way
    ("southindia", "westindia"),       // one-way
    ("swedencentral", "swedensouth"),
    ("switzerlandnorth", "switzerlandwest"),
    ("uaecentral", "uaenorth"),
    ("uksouth", "ukwest"),
    ("westcentralus", "westus2"),
];

/// The regions of the public cloud that the list of 2025-10-28 has a tag for.
const REGIONS: [&str; 71] = [
    "australiacentral",
    "australiacentral2",
    "australiaeast",
    "australiasoutheast",
    "austriaeast",
    "belgiumcentral",
    "brazilne",
    "brazilsouth",
    "brazilsoutheast",
    "canadacentral",
    "canadaeast",
    "centralindia",
    "centralus",
    "centraluseuap",
    "chilecentral",
    "eastasia",
    "eastus",
    "eastus2",
    "eastus2euap",
    "eastusstg",
    "francecentral",
    "francesouth",
    "germanynorth",
    "germanywestcentral",
    "indonesiacentral",
    "israelcentral",
    "israelnorthwest",
    "italynorth",
    "japaneast",
    "japanwest",
    "jioindiacentral",
    "jioindiawest",
    "koreacentral",
    "koreasouth",
    "malaysiasouth",
    "malaysiawest",
    "mexicocentral",
    "newzealandnorth",
    "northcentralus",
    "northeurope",
    "northeurope2",
    "norwayeast",
    "norwaywest",
    "polandcentral",
    "qatarcentral",
    "southafricanorth",
    "southafricawest",
    "southcentralus",
    "southcentralus2",
    "southcentralusstg",
    "southeastasia",
    "southeastus",
    "southeastus3",
    "southindia",
    "spaincentral",
    "swedencentral",
    "swedensouth",
    "switzerlandnorth",
    "switzerlandwest",
    "taiwannorth",
    "taiwannorthwest",
    "uaecentral",
    "uaenorth",
    "uksouth",
    "ukwest",
    "westcentralus",
    "westeurope",
    "westindia",
    "westus",
    "westus2",
    "westus3",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{ServiceTag, ServiceTags};

    #[test]
    fn regions_are_those_of_the_list() {
        let tags = ServiceTags::embedded();
        let listed: BTreeSet<&str> = tags.tags().filter_map(ServiceTag::region).collect();
        assert_eq!(listed, BTreeSet::from(REGIONS));
        for (one, other) in PAIRS {
            assert!(listed.contains(one) && listed.contains(other), "{one} {other}");
        }
    }

    #[test]
    fn every_spelling_is_one_region() {
        for text in ["westeurope", "WestEurope", "West Europe", "WESTEUROPE", " west  europe "] {
            assert_eq!(known_region(text), Some("westeurope"), "{text}");
        }
        assert_eq!(known_region("France Central"), Some("francecentral"));
        assert_eq!(known_region("centralfrance"), Some("francecentral"));
        assert_eq!(known_region("West US 3"), Some("westus3"));
        assert_eq!(paired_regions("West Europe").collect::<Vec<_>>(), ["northeurope"]);
        let scope = crate::Scope::OwnRegionAndPairs;
        assert_eq!(scope.locations("North Europe"), ["northeurope", "westeurope"]);
        assert!(scope.covers("NorthEurope", "West Europe"));
        for text in ["", "west-europe", "westeurop", "Mars", "westeuropewesteurope"] {
            assert_eq!(known_region(text), None, "{text}");
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        for (text, name) in [
            ("westeurop", Some("westeurope")),
            ("west-europe", Some("westeurope")),
            ("NorthEurop", Some("northeurope")),
            ("eastus4", Some("eastus")),
            ("mars", None),
            ("", None),
        ] {
            assert_eq!(nearest_region(text), name, "{text}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
