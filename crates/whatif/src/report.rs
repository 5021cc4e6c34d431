//! The answer, as data: schema `vnetem/1`, whose fields are added and never changed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use vnetem_azure::import::{Assumption, Contradiction, Unresolved};

use crate::Changed;

/// What a change does to traffic, as `vnetem what-if -o json` prints it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this form.
    pub schema: &'static str,
    /// The question that was asked.
    pub verb: &'static str,
    /// The day of the list of service tags.
    pub tags: Option<String>,
    /// Whether anything of the traffic fares differently.
    pub different: bool,
    /// What the change is.
    pub changes: Vec<Changed>,
    /// The traffic that it was tried on.
    pub traffic: TrafficReport,
    /// Flows that behave alike, those that change first.
    pub groups: Vec<Group>,
    /// Rules that matched before and match nothing afterwards.
    pub dead_rules: Vec<DeadRule>,
    /// What else the change does, each with a stable code.
    pub findings: Vec<Finding>,
    /// What to do, in order.
    pub steps: Vec<String>,
    /// How the steps came out when they were run.
    pub plan: Plan,
    /// What was needed and could not be had.
    pub unresolved: Vec<Unresolved>,
    /// Types that are not used, with how many there are of each.
    pub ignored: BTreeMap<String, usize>,
    /// What the answer takes for granted.
    pub assumptions: Vec<Assumption>,
    /// Statements of the files that cannot both hold.
    pub contradictions: Vec<Contradiction>,
}

/// The traffic that a change was tried on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrafficReport {
    /// The files; none where every subnet was tried with everything that is known.
    pub sources: Vec<String>,
    /// Lines of flow logs and packets of captures.
    pub tuples: u64,
    /// Distinct flows that were tried.
    pub flows: u64,
    /// Lines of flows that were refused when they were logged, not tried.
    pub denied: u64,
    /// What was passed over, by reason.
    pub skipped: BTreeMap<Cow<'static, str>, u64>,
    /// Flows that were open when the change came.
    pub open: u64,
    /// Open flows that it closed.
    pub closed: u64,
    /// Why it closed them.
    pub causes: BTreeMap<Cow<'static, str>, u64>,
    /// Flows that could not be open at the same time, by reason.
    pub unopened: BTreeMap<Cow<'static, str>, u64>,
    /// Resets that the closings sent.
    pub resets: u64,
}

/// Flows that behave alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Group {
    /// How many there are.
    pub flows: u64,
    /// Their packets, both ways, as far as the traffic says them.
    pub packets: u64,
    /// Their bytes, both ways.
    pub bytes: u64,
    /// Where they come from: a subnet, `vnet1/snet-app`, or `internet`.
    pub subnet: String,
    /// Where they go.
    pub destination: Destination,
    /// How they fare as things are.
    pub before: Outcome,
    /// How they will fare.
    pub after: Outcome,
    /// How many were open and are closed by the change.
    pub closed: u64,
    /// How many of these could be opened again, and nobody refused it.
    pub reopened: u64,
    /// Whether they fare differently.
    pub different: bool,
    /// What each account says that may be meant, where the traffic does not say which.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
}

/// Where flows go.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Destination {
    /// `service`, `private-endpoint`, `network`, `site`, `internet` or `private` (of no network
    /// here).
    pub kind: &'static str,
    /// The service.
    pub service: Option<String>,
    /// The resource, where it is known which; or the subnet of a host.
    pub resource: Option<String>,
    /// The address, if all have one.
    pub address: Option<String>,
    /// How many addresses there are.
    pub addresses: u64,
    /// The port, if all have one.
    pub port: Option<u16>,
    /// `tcp`, `udp`, `icmp` or `ip-NUMBER`.
    pub protocol: String,
}

/// How flows fare.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// `forward`, `deny` or `drop`.
    pub disposition: &'static str,
    /// The type of the next hop, in Azure's words.
    pub next_hop: Option<&'static str>,
    /// The address of the appliance, if the next hop is one and the files say it.
    pub next_hop_address: Option<String>,
    /// The source that the far side sees; a range where it sees several.
    pub source: Option<String>,
    /// What kind of source that is: `private`, `public`, `public-unknown` or `unknown`.
    pub source_kind: Option<&'static str>,
    /// `allow`, `deny` or `unknown`; none where nobody is asked.
    pub access: Option<&'static str>,
    /// Why it is denied or dropped.
    pub reason: Option<&'static str>,
}

/// What one account says before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// The account.
    pub resource: String,
    /// What it says as things are.
    pub before: Option<&'static str>,
    /// What it will say.
    pub after: Option<&'static str>,
    /// Why it will refuse.
    pub reason: Option<&'static str>,
}

/// A rule that matched before and matches nothing afterwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct DeadRule {
    /// The resource, or the security group.
    pub resource: String,
    /// The rule: `ip 52.160.0.9`.
    pub rule: String,
}

/// Something that a change does beside what it is meant for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// A name that never changes: `leaves-forced-tunnel`.
    pub code: &'static str,
    /// Where flows come from.
    pub subnet: String,
    /// Where they go.
    pub destination: String,
    /// How many.
    pub flows: u64,
    /// What it means, in a sentence.
    pub text: String,
}

/// How the suggested steps came out when they were run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Newly refused flows if the change is applied alone.
    pub refused_without: u64,
    /// The stages that were run, in order.
    pub stages: Vec<Stage>,
    /// Refusals in between that no order avoids.
    pub gaps: Vec<Gap>,
    /// What still refuses after the last step.
    pub remaining: Vec<Remaining>,
}

/// A stage of the plan, as it was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stage {
    /// What is done.
    pub step: String,
    /// Flows that are refused after it and were not at first.
    pub newly_refused: u64,
}

/// A time in which flows are refused that no order of steps avoids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Gap {
    /// The resource that refuses.
    pub resource: String,
    /// The subnet that it refuses.
    pub subnet: String,
    /// How many flows.
    pub flows: u64,
    /// How long, and why.
    pub why: String,
}

/// What still refuses after the last step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Remaining {
    /// The resource that refuses.
    pub resource: String,
    /// The subnet that it refuses.
    pub subnet: String,
    /// Why.
    pub reason: &'static str,
    /// How many flows.
    pub flows: u64,
}

impl Report {
    /// Writes the report as JSON, one value on many lines.
    #[must_use]
    pub fn json(&self) -> String {
        // Nothing in it is a map with keys that are no text, so writing cannot fail.
        serde_json::to_string_pretty(self).map(|json| json + "\n").unwrap_or_default()
    }
}
