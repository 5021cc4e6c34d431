//! Regions of the public cloud, by the names that resources use for them.

/// The region by the name that resources use for it: the published list shortens or turns round some.
#[must_use]
pub fn region_name(published: &str) -> &str {
    SHORTENED
        .iter()
        .find(|(short, _)| short.eq_ignore_ascii_case(published))
        .map_or(published, |(_, name)| name)
}

/// The regions paired with this one, in either direction, ascending.
///
/// A pair may be one-way: West US 3 is paired with East US, East US with West US. An endpoint in East US has all three in its locations
/// (E-06), so both directions count.
pub fn paired_regions(region: &str) -> impl Iterator<Item = &str> {
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

/// Region pairs of the public cloud, a public fact of Azure's list of regions as of September 2025. Each once, whether both regions
/// name each other or, as the four marked ones, only the second names the first.
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
