//! The comparison: every flow before and after, the open ones across the change itself.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use vnetem::packet::FiveTuple;
use vnetem::{
    authz::RuleDirection,
    control::{NextHopType, TiePolicy},
};
use vnetem_azure::import::Assumption;

use crate::groups::{Groups, Target, Writer, target};
use crate::part::{self, Part, Trial};
use crate::places::Targets;
use crate::replay::{SPLIT_ABOVE, Unit};
use crate::report::{DeadRule, Finding, Report, TrafficReport};
use crate::side::{Hinge, Hit, Origin, Side, StandsFor};
use crate::spread::{Case, Spread};
use crate::{Change, Traffic, probes, rules, steps};

/// What the comparison is told beside the change and the traffic.
#[derive(Default)]
pub struct Options<'a> {
    /// Which networks the things are that flow logs are of.
    pub targets: Targets,
    /// Says what an address stands for that is in no file.
    pub stands_for: Option<&'a dyn Fn(Ipv4Addr) -> Option<String>>,
    /// Is told how far the work is.
    pub progress: Option<&'a dyn Fn(Progress)>,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub what: &'static str,
    /// Flows that are done.
    pub done: u64,
    /// Flows in all.
    pub all: u64,
}

impl Progress {
    /// Makes a report of progress.
    #[must_use]
    pub fn new(what: &'static str, done: u64, all: u64) -> Self {
        Self { what, done, all }
    }
}

/// Tries traffic on a network before and after a change. Without traffic every subnet tries
/// everything that is known.
#[must_use]
pub fn compare(change: &Change, traffic: &Traffic, options: &Options<'_>) -> Report {
    let nothing = |_: Ipv4Addr| None;
    let stands_for = options.stands_for.unwrap_or(&nothing);
    let silent = |_: Progress| {};
    let progress = options.progress.unwrap_or(&silent);
    let mut said = TrafficReport {
        sources: traffic.sources().to_vec(),
        tuples: traffic.tuples(),
        denied: traffic.denied(),
        ..TrafficReport::default()
    };
    let skipped = traffic.skipped().iter().map(|(why, count)| ((*why).into(), *count));
    said.skipped.extend(skipped);
    let mut spread = Spread::new(change, &options.targets, SPLIT_ABOVE);
    let cases = match traffic.sources().is_empty() && traffic.is_empty() {
        true => of_probes(change, &mut spread),
        false => spread.cases(traffic, &mut said.skipped),
    };
    let parts = cases.into_iter().map(|(unit, cases)| {
        let settings = spread.units().settings(unit, 0);
        part::part(change, unit, settings, cases, stands_for, progress)
    });
    let parts: Vec<Part> = parts.collect();
    report(change, &parts, said, stands_for)
}

/// Joins what the parts of the units say. `said` has what was read.
pub(crate) fn report(
    change: &Change,
    parts: &[Part],
    mut said: TrafficReport,
    stands_for: StandsFor<'_>,
) -> Report {
    let mut trial = Trial::new(change, stands_for);
    let (groups, tried) = part::merge(parts, &mut trial);
    for part in parts {
        said.flows += part.flows;
        said.open += part.open;
        said.closed += part.closed;
        said.resets += part.resets;
        part::add_all(&mut said.skipped, &part.skipped);
        part::add_all(&mut said.causes, &part.causes);
        part::add_all(&mut said.unopened, &part.unopened);
    }
    let Trial { before, after, mut shared, .. } = trial;
    let plan = steps::plan(change, &tried, stands_for, &mut shared, &before, &after);
    let report = groups.report(&before, &after, &shared);
    let dead_rules = dead_rules(&before, &after);
    let writer = Writer { before: &before, after: &after, shared: &shared };
    let findings = findings(&groups, &writer);
    let different = report.iter().any(|group| group.different) || !dead_rules.is_empty();
    let hinges: BTreeSet<Hinge> = before.hinges.union(&after.hinges).copied().collect();
    Report {
        schema: "vnetem/1",
        verb: "what-if",
        tags: None,
        different,
        changes: change.list(),
        traffic: said,
        groups: report,
        dead_rules,
        findings,
        steps: plan.0,
        plan: plan.1,
        unresolved: Vec::new(),
        ignored: BTreeMap::new(),
        assumptions: assumptions(&hinges, TiePolicy::default()),
        contradictions: Vec::new(),
    }
}

/// Flows to everything that is known, as if each were open.
pub(crate) fn of_probes(change: &Change, spread: &mut Spread<'_>) -> BTreeMap<Unit, Vec<Case>> {
    let mut cases: BTreeMap<Unit, Vec<Case>> = BTreeMap::new();
    for (origin, tuple) in probes::all(change) {
        let case = Case { origin, tuple, packets: 0, bytes: 0, open: true };
        cases.entry(spread.unit(origin, &tuple)).or_default().push(case);
    }
    cases
}

/// Where a flow goes, by the side that knows more of it.
pub(crate) fn aim(
    before: &Side<'_>,
    after: &Side<'_>,
    origin: Origin,
    tuple: &FiveTuple,
) -> Target {
    match target(before, origin, tuple) {
        Target::Service(_, None) | Target::Internet | Target::Private => {
            match (target(before, origin, tuple), target(after, origin, tuple)) {
                (Target::Service(..), found @ Target::Service(_, Some(_))) => found,
                (Target::Private, found) => found,
                (found, _) => found,
            }
        }
        found => found,
    }
}

/// Rules that matched before, are still there, and match nothing.
fn dead_rules(before: &Side<'_>, after: &Side<'_>) -> Vec<DeadRule> {
    let mut dead = BTreeSet::new();
    for hit in before.hits.keys().filter(|hit| !after.hits.contains_key(hit)) {
        let name = |id| after.network.resource(id).ok().map(|resource| resource.name.clone());
        let (resource, rule) = match *hit {
            Hit::Address(id, range) => {
                let Some(resource) = name(id) else { continue };
                (resource, format!("ip {}", rules::plain(range)))
            }
            Hit::Subnet(id, subnet) => {
                let Some(resource) = name(id) else { continue };
                (resource, format!("subnet {}", crate::change::subnet_name(before.network, subnet)))
            }
            Hit::Ordered(id, number) => {
                let Some(resource) = name(id) else { continue };
                let is_it = |(name, _): &(String, _)| name.starts_with(&format!("{number} "));
                let subnet = |id| crate::change::subnet_name(before.network, id);
                let held = before.network.resource(id).map(|one| rules::names(&one.rules, subnet));
                let found = held.ok().and_then(|names| names.into_iter().find(is_it));
                (resource, found.map_or_else(|| number.to_string(), |(name, _)| name))
            }
            // Default rules stand in every group.
            Hit::Security(_, _, 65_000..) => continue,
            Hit::Security(group, direction, number) => {
                let Ok(held) = after.network.security_rules(group) else { continue };
                let rule = held
                    .rules()
                    .find(|rule| rule.priority == number && rule.direction == direction);
                let Some(rule) = rule else { continue };
                let way = match direction {
                    RuleDirection::Inbound => "inbound",
                    RuleDirection::Outbound => "outbound",
                };
                let group = after.snapshot.security_group_name(group);
                (group, format!("{way} {number} {}", rule.name))
            }
        };
        dead.insert(DeadRule { resource, rule });
    }
    // A rule that is gone is part of the change, and no loss.
    let gone: BTreeSet<(String, String)> = before
        .network
        .resources()
        .filter_map(|(id, old)| Some((old, after.network.resource(id).ok()?)))
        .flat_map(|(old, new)| {
            let names = |resource: &vnetem::control::Resource,
                         side: &Side<'_>|
             -> BTreeSet<String> {
                let subnet = |id| crate::change::subnet_name(side.network, id);
                rules::names(&resource.rules, subnet).into_iter().map(|(name, _)| name).collect()
            };
            let (was, is) = (names(old, before), names(new, after));
            was.difference(&is).map(|rule| (new.name.clone(), rule.clone())).collect::<Vec<_>>()
        })
        .collect();
    dead.retain(|rule| !gone.contains(&(rule.resource.clone(), rule.rule.clone())));
    dead.into_iter().collect()
}

/// What the change does beside what it is meant for.
fn findings(groups: &Groups, writer: &Writer<'_>) -> Vec<Finding> {
    let mut found: BTreeMap<(&'static str, String, String), (u64, String)> = BTreeMap::new();
    for (key, flows) in groups.keys().filter(|(key, _)| key.is_different()) {
        let (before, after) = (key.before.next_hop, key.after.next_hop);
        let tunnel = |hop: Option<NextHopType>| {
            matches!(hop, Some(NextHopType::VirtualAppliance | NextHopType::VirtualNetworkGateway))
        };
        let subnet = writer.origin(key.origin);
        let to = writer.target(key.target);
        let name = |hop: Option<NextHopType>| hop.map_or("no route", NextHopType::name);
        let mut add = |code, text: String| {
            let entry = found.entry((code, subnet.clone(), to.clone()));
            entry.or_insert((0, text)).0 += flows;
        };
        if tunnel(before) && !tunnel(after) && after.is_some() {
            let by = match key.before.appliance {
                Some(address) => format!("{} {address}", name(before)),
                None => name(before).to_owned(),
            };
            add(
                "leaves-forced-tunnel",
                format!(
                    "{subnet} reaches {to} by {} instead of {by}: what is behind that sees and \
                     audits it no more",
                    name(after)
                ),
            );
        }
        if !tunnel(before) && before.is_some() && tunnel(after) {
            add(
                "enters-forced-tunnel",
                format!("{subnet} reaches {to} by {} instead of {}", name(after), name(before)),
            );
        }
        let goes = |seen: &crate::seen::Seen| seen.disposition == crate::seen::Delivery::Forward;
        if goes(&key.before) && !goes(&key.after) {
            let why = key.after.reason.unwrap_or("unknown");
            add("path-lost", format!("{subnet} does not reach {to} any more: {why}"));
        }
        if !goes(&key.before) && goes(&key.after) {
            let why = key.before.reason.unwrap_or("unknown");
            add("path-gained", format!("{subnet} reaches {to}, which it did not: {why}"));
        }
    }
    let finding = |((code, subnet, destination), (flows, text))| Finding {
        code,
        subnet,
        destination,
        flows,
        text,
    };
    found.into_iter().map(finding).collect()
}

/// What the answer hangs on, and what the other choice gives.
fn assumptions(hinges: &BTreeSet<Hinge>, tie: TiePolicy) -> Vec<Assumption> {
    let mut list = vec![(
        "switch-is-instant",
        "The change holds everywhere at once; Azure lets it reach hosts one after the other.",
    )];
    for hinge in hinges {
        list.push(match (hinge, tie) {
            (Hinge::Tie, TiePolicy::Documented) => (
                "tie-documented",
                "Where a user route and an endpoint have equal prefixes the endpoint wins, as \
                 documented; as observed in labs the user route would.",
            ),
            (Hinge::Tie, TiePolicy::Observed) => (
                "tie-observed",
                "Where a user route and an endpoint have equal prefixes the user route wins, as \
                 observed in labs; as documented the endpoint would.",
            ),
            (Hinge::Region, _) => (
                "same-region-path",
                "Storage of the subnet's own region sees its private source without an endpoint; \
                 without this it would see the public one.",
            ),
            (Hinge::ApplianceTranslates, _) => (
                "appliance-translates",
                "An appliance sends on what goes to public addresses under its own address; one \
                 that kept the source would lose it.",
            ),
            (Hinge::ApplianceUnknown, _) => (
                "appliance-not-in-model",
                "What an appliance does that is in no file is not known: the packet is taken to \
                 arrive, from an unknown source.",
            ),
            (Hinge::SiteUnknown, _) => (
                "site-not-in-model",
                "What a site does with packets to public addresses is not known: they are taken \
                 to arrive, from an unknown source.",
            ),
            (Hinge::PublicAddressUnknown, _) => (
                "public-address-unknown",
                "A public source that is in no file may or may not be in an address rule: such \
                 access is unknown.",
            ),
            (Hinge::AccountUnknown, _) => (
                "account-unknown",
                "Traffic has addresses and no names: a flow to an address of a service is tried \
                 on every account of it whose address is not known.",
            ),
        });
    }
    let one = |(code, text): (&'static str, &str)| Assumption {
        code: code.into(),
        text: text.to_owned(),
    };
    list.into_iter().map(one).collect()
}
