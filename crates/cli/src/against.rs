//! Our effective routes beside Azure's.

use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use vnetem::{
    Ipv4Net,
    control::{NextHop, RouteState},
};
use vnetem_azure::import::ShownRoute;
use vnetem_scenario::report::Routes;

/// Ranges that Azure drops by default and that are of its own (2021).
const PLATFORM: [&str; 2] = ["25.33.80.0/20", "25.41.3.0/25"];

/// Prefixes that are named in full before the rest is counted.
const FEW: usize = 6;

/// Where a route leads: source, type of the next hop, address.
type Way = (String, String, String);

/// What differs.
#[derive(Debug, Default)]
pub(crate) struct Found {
    subnet: String,
    /// Prefixes that only ours have, by where they lead.
    ours: BTreeMap<Way, Vec<Ipv4Net>>,
    /// Prefixes that only Azure's have.
    theirs: BTreeMap<Way, Vec<Ipv4Net>>,
    /// Prefixes that lead elsewhere: ours, then Azure's.
    other: Vec<(Ipv4Net, Way, Way)>,
    same: usize,
}

const ENDPOINT: &str = "VirtualNetworkServiceEndpoint";

/// Compares the routes in force.
pub(crate) fn compare(ours: &Routes, theirs: &[ShownRoute]) -> Found {
    let mut found = Found { subnet: ours.subnet.clone(), ..Found::default() };
    let mut own: BTreeMap<(bool, Ipv4Net), Way> = BTreeMap::new();
    for route in ours.routes.iter().filter(|route| route.state == RouteState::Active) {
        let kind = route.next_hop_type().to_owned();
        let address = match route.next_hop {
            Some(NextHop::VirtualAppliance(address)) => address.to_string(),
            _ => String::new(),
        };
        let way = (route.source.to_string(), kind.clone(), address);
        for prefix in &route.prefixes {
            own.insert((kind == ENDPOINT, *prefix), way.clone());
        }
    }
    let mut azure: BTreeMap<(bool, Ipv4Net), Way> = BTreeMap::new();
    for route in theirs.iter().filter(|route| route.active) {
        let is_endpoint = route.next_hop.eq_ignore_ascii_case(ENDPOINT);
        let appliance = route.next_hop.eq_ignore_ascii_case("VirtualAppliance");
        let address = route.addresses.first().filter(|_| appliance);
        let address = address.map(ToString::to_string).unwrap_or_default();
        let way = (route.source.clone(), route.next_hop.clone(), address);
        for prefix in &route.prefixes {
            azure.insert((is_endpoint, *prefix), way.clone());
        }
    }
    let keys: BTreeSet<_> = own.keys().chain(azure.keys()).copied().collect();
    for key in keys {
        let prefix = key.1;
        match (own.get(&key), azure.get(&key)) {
            (Some(one), Some(other)) if alike(one, other) => found.same += 1,
            (Some(one), Some(other)) => found.other.push((prefix, one.clone(), other.clone())),
            (Some(one), None) => found.ours.entry(one.clone()).or_default().push(prefix),
            (None, Some(_)) if PLATFORM.contains(&prefix.to_string().as_str()) => found.same += 1,
            (None, Some(other)) => found.theirs.entry(other.clone()).or_default().push(prefix),
            (None, None) => {}
        }
    }
    found
}

/// Azure's words have spellings.
fn alike(one: &Way, other: &Way) -> bool {
    let hop = one.1.eq_ignore_ascii_case(&other.1);
    let peering = |word: &str| word.to_ascii_lowercase().contains("peering");
    one.0.eq_ignore_ascii_case(&other.0)
        && (hop || peering(&one.1) && peering(&other.1))
        && one.2 == other.2
}

impl Found {
    pub(crate) fn is_equal(&self) -> bool {
        self.ours.is_empty() && self.theirs.is_empty() && self.other.is_empty()
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> core::fmt::Result {
        let count = self.ours.len() + self.theirs.len() + self.other.len();
        writeln!(out, "{}: {} prefixes alike, {count} differences", self.subnet, self.same)?;
        for (prefix, one, other) in &self.other {
            writeln!(out, "  {prefix}  ours {}, Azure's {}", words(one), words(other))?;
        }
        for (label, side) in [("only ours", &self.ours), ("only Azure's", &self.theirs)] {
            for (way, prefixes) in side {
                let shown: Vec<_> = prefixes.iter().take(FEW).map(ToString::to_string).collect();
                let more = match prefixes.len().saturating_sub(FEW) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                writeln!(out, "  {label}: {}  {}{more}", words(way), shown.join(" "))?;
            }
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> String {
        let way = |way: &Way| json!({ "source": way.0, "next_hop": way.1, "address": way.2 });
        let side = |side: &BTreeMap<Way, Vec<Ipv4Net>>| -> Vec<_> {
            let entry = |(route, prefixes): (&Way, &Vec<Ipv4Net>)| {
                let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
                json!({ "route": way(route), "prefixes": prefixes })
            };
            side.iter().map(entry).collect()
        };
        let other: Vec<_> = self
            .other
            .iter()
            .map(|(prefix, one, other)| {
                json!({ "prefix": prefix.to_string(), "ours": way(one), "azure": way(other) })
            })
            .collect();
        let value = json!({
            "schema": "vnetem/1",
            "verb": "routes-against",
            "subnet": self.subnet,
            "different": !self.is_equal(),
            "same": self.same,
            "only_ours": side(&self.ours),
            "only_azure": side(&self.theirs),
            "elsewhere": other,
        });
        format!("{value:#}\n")
    }
}

fn words((source, hop, address): &Way) -> String {
    format!("{source} {hop} {address}").trim_end().to_owned()
}
