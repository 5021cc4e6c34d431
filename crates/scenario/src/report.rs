//! The results of a run as typed values, from which the command makes text and JSON.

use core::net::Ipv4Addr;

use vnetem::{Counters, Event, Generation, Time, control::EffectiveRoute, nat::FlowCounters};
use vnetem_azure::Date;

/// The results of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file's first line, which is its claim.
    pub title: String,
    /// The seed.
    pub seed: u64,
    /// The list of service tags that was used.
    pub tags: TagList,
    /// Every step with its outcome.
    pub timeline: Vec<Moment>,
    /// Every probe, in which each host calls each target.
    pub probes: Vec<Probe>,
    /// Effective routes that `show routes` asked for.
    pub routes: Vec<Routes>,
    /// Why callers were refused, each reason of each pair once.
    pub refusals: Vec<Refused>,
    /// Flows that changes closed.
    pub closings: Vec<Closing>,
    /// Packets and bytes in and out of the data plane.
    pub counters: Counters,
    /// Packets that the data plane made and that still wait.
    pub queued: u64,
    /// Packets that left for a place without a host.
    pub undelivered: u64,
    /// Flows opened, ended and held.
    pub flows: FlowCounters,
    /// The generation in force at the end.
    pub generation: Generation,
    /// The time at the end.
    pub end: Time,
    /// Steps whose outcome differs from the file's; none if the file has no outcomes.
    pub differences: Vec<Difference>,
    /// Changes that the model refused and whose refusal the file does not expect.
    pub refused_changes: Vec<RefusedChange>,
}

/// The list of service tags of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagList {
    /// The day of its publication, where known.
    pub date: Option<Date>,
    /// The number of services with an endpoint.
    pub services: usize,
    /// The number of their prefixes.
    pub prefixes: usize,
}

/// One step and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The line of the file.
    pub line: usize,
    /// When the step began.
    pub at: Time,
    /// The step as written in the file.
    pub step: String,
    /// Whether it changed the network, or was refused by it.
    pub is_change: bool,
    /// The outcome, line by line.
    pub outcome: Vec<String>,
}

/// A probe: each host called each target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When.
    pub at: Time,
    /// Its label in the file.
    pub label: String,
    /// The calls, in the order of the file's hosts and resources.
    pub calls: Vec<ProbeCall>,
}

/// One real call over TCP, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeCall {
    /// The host that calls.
    pub from: String,
    /// The resource or host that is called.
    pub to: String,
    /// What the caller was notified: `200`, `403 AuthorizationFailure`, `login`, `no answer`.
    pub answer: String,
    /// Whether it means that the call succeeded.
    pub reached: bool,
    /// Where its opening packet left the data plane, once for each time that it entered.
    pub path: Vec<String>,
    /// Appliances on its path.
    pub appliances: Vec<String>,
    /// Whether it reached the service over an endpoint.
    pub by_endpoint: bool,
    /// The source that the far side saw, if it saw the call.
    pub source: Option<Ipv4Addr>,
    /// How the far side identified the caller: an address, or address and subnet.
    pub seen_as: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// The effective routes of a subnet at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// When.
    pub at: Time,
    /// The generation that was in force.
    pub generation: Generation,
    /// The subnet, with its network.
    pub subnet: String,
    /// Whether every prefix of an endpoint is listed, instead of their number.
    pub all: bool,
    /// The routes, as Azure lists them.
    pub routes: Vec<EffectiveRoute>,
}

/// A refused caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: Time,
    /// The caller.
    pub from: String,
    /// The target.
    pub to: String,
    /// What the caller was notified.
    pub answer: String,
    /// Why.
    pub reason: String,
    /// The trace of its opening packet.
    pub trace: String,
}

/// A flow that a change closed, and the places that got a reset.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The change, as written in the file.
    pub change: String,
    /// The event of the data plane.
    pub event: Event,
    /// Places to which a reset went.
    pub notified: Vec<String>,
}

/// A change that the model refused, without the file expecting it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedChange {
    /// The line of the step.
    pub line: usize,
    /// The step.
    pub step: String,
    /// The model's reason.
    pub why: String,
}

impl core::fmt::Display for RefusedChange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {}: {}: refused: {}", self.line, self.step, self.why)
    }
}

/// A step whose outcome differs from the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of the step.
    pub line: usize,
    /// The step.
    pub step: String,
    /// The outcome in the file.
    pub expected: Vec<String>,
    /// The outcome of the run.
    pub found: Vec<String>,
}

/// Writes a diff: lines that only the file has with `-`, lines that only the run has with `+`.
impl core::fmt::Display for Difference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {}: {}", self.line, self.step)?;
        let (expected, found) = (&self.expected, &self.found);
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
        let rest = expected.len().min(found.len()) - same;
        let tail = expected.iter().rev().zip(found.iter().rev()).take(rest);
        let tail = tail.take_while(|(a, b)| a == b).count();
        let middle = |lines: &'_ [String]| same..lines.len() - tail;
        for line in expected.iter().take(same) {
            write!(f, "\n      {line}")?;
        }
        for line in expected.get(middle(expected)).unwrap_or_default() {
            write!(f, "\n    - {line}")?;
        }
        for line in found.get(middle(found)).unwrap_or_default() {
            write!(f, "\n    + {line}")?;
        }
        for line in expected.iter().skip(expected.len() - tail) {
            write!(f, "\n      {line}")?;
        }
        Ok(())
    }
}

impl Report {
    /// Returns whether all outcomes are as the file says. Without outcomes, returns whether no
    /// change was refused.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.differences.is_empty() && self.refused_changes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_reads_as_a_diff() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let difference = Difference {
            line: 7,
            step: "enable storage on web".into(),
            expected: lines("a b c d"),
            found: lines("a x y d"),
        };
        let text =
            "line 7: enable storage on web\n      a\n    - b\n    - c\n    + x\n    + y\n      d";
        assert_eq!(difference.to_string(), text);
    }
}
