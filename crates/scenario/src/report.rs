//! What a run showed, as typed values; the command line makes text and JSON of them.

use core::net::Ipv4Addr;

use vnetem::{Counters, EffectiveRoute, Event, FlowCounters, Generation, Time};
use vnetem_azure::Date;

/// What a run showed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file's first line: what it claims.
    pub title: String,
    /// The seed.
    pub seed: u64,
    /// The list of service tags behind it.
    pub tags: TagList,
    /// Every step with its outcome.
    pub timeline: Vec<Moment>,
    /// Who reaches what: one entry for each time that everybody called everybody.
    pub probes: Vec<Probe>,
    /// Effective routes that were asked for.
    pub routes: Vec<Routes>,
    /// Why callers were refused, each reason of each pair once.
    pub refusals: Vec<Refused>,
    /// Flows that changes have closed.
    pub closings: Vec<Closing>,
    /// What went in and out of the data plane.
    pub counters: Counters,
    /// Packets of its own making that the data plane still holds.
    pub queued: u64,
    /// Packets that left for a place where nobody is.
    pub undelivered: u64,
    /// Flows opened, ended and held.
    pub flows: FlowCounters,
    /// The generation in force at the end.
    pub generation: Generation,
    /// The time at the end.
    pub end: Time,
    /// Steps whose outcome is not what the file says; none if it says nothing at all.
    pub differences: Vec<Difference>,
    /// Changes that the model refused although the file does not say that it would.
    pub refused_changes: Vec<RefusedChange>,
}

/// The list of service tags of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagList {
    /// Its day, where that is known.
    pub date: Option<Date>,
    /// How many services with an endpoint it has.
    pub services: usize,
    /// How many prefixes these have.
    pub prefixes: usize,
}

/// One step and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The line of the file.
    pub line: usize,
    /// When the step began.
    pub at: Time,
    /// The step as the file says it.
    pub step: String,
    /// What came of it, line by line.
    pub outcome: Vec<String>,
}

/// Everybody called everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When.
    pub at: Time,
    /// What the file calls it.
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
    /// What the caller was told: `200`, `403 AuthorizationFailure`, `login`, `no answer`.
    pub answer: String,
    /// Whether that means it came in.
    pub reached: bool,
    /// Where its opening packet left the data plane, once for each time that it entered.
    pub path: Vec<String>,
    /// Appliances on its way.
    pub appliances: Vec<String>,
    /// Whether it came to the service over an endpoint.
    pub by_endpoint: bool,
    /// The source that the far side saw, if it saw the call.
    pub source: Option<Ipv4Addr>,
    /// Who the far side took it for: an address, or address and subnet.
    pub seen_as: Option<String>,
    /// Why it did not come in.
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
    /// Whether every prefix of an endpoint is wanted, instead of their number.
    pub all: bool,
    /// The routes, as Azure lists them.
    pub routes: Vec<EffectiveRoute>,
}

/// A caller was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: Time,
    /// Who.
    pub from: String,
    /// By whom.
    pub to: String,
    /// What it was told.
    pub answer: String,
    /// Why.
    pub reason: String,
    /// How its opening packet was decided.
    pub trace: String,
}

/// A flow that a change closed, and who was told.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The change, as the file says it.
    pub change: String,
    /// What the data plane says of it.
    pub event: Event,
    /// Places to which a reset went.
    pub told: Vec<String>,
}

/// A change that the model refused, which the file does not expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedChange {
    /// The line of the step.
    pub line: usize,
    /// The step.
    pub step: String,
    /// Why, in the model's words.
    pub why: String,
}

impl core::fmt::Display for RefusedChange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {}: {}: refused: {}", self.line, self.step, self.why)
    }
}

/// A step whose outcome is not what the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of the step.
    pub line: usize,
    /// The step.
    pub step: String,
    /// What the file says.
    pub expected: Vec<String>,
    /// What came out.
    pub found: Vec<String>,
}

/// As a diff: lines that only the file has with `-`, lines that only came out with `+`.
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
    /// Whether the outcome is what the file says, or the file says nothing and no change was
    /// refused.
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
