//! What became of the packets of a replay.

use core::fmt::Write as _;
use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vnetem::{AccessVerdict, Disposition, Verdict};

type Counts = BTreeMap<Cow<'static, str>, u64>;

/// What became of packets and flows, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayCount {
    /// Packets that were played.
    pub packets: u64,
    /// Packets that were forwarded.
    pub forwarded: u64,
    /// Forwarded packets that the resource will refuse.
    pub refused: Counts,
    /// Packets that policy denied.
    pub denied: Counts,
    /// Packets that were dropped.
    pub dropped: Counts,
    /// Flows that the change closed.
    pub closed: Counts,
    /// Resets that the closings sent.
    pub resets: u64,
    /// Frames of the captures without an IPv4 packet.
    pub not_ipv4: u64,
}

impl ReplayCount {
    /// Counts a verdict.
    pub(super) fn count(&mut self, verdict: Verdict) {
        match verdict.disposition {
            Disposition::Forward(forward) => {
                self.forwarded += 1;
                if let AccessVerdict::Refused(refusal) = forward.access() {
                    add(&mut self.refused, refusal.name());
                }
            }
            Disposition::Deny(reason) => add(&mut self.denied, reason.name()),
            Disposition::Drop(reason) => self.drop(reason.name()),
        }
    }

    pub(super) fn drop(&mut self, reason: &'static str) {
        add(&mut self.dropped, reason);
    }

    pub(super) fn close(&mut self, cause: &'static str) {
        add(&mut self.closed, cause);
    }

    /// Adds what became of other packets.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.forwarded += other.forwarded;
        self.resets += other.resets;
        self.not_ipv4 += other.not_ipv4;
        let maps = [
            (&mut self.refused, &other.refused),
            (&mut self.denied, &other.denied),
            (&mut self.dropped, &other.dropped),
            (&mut self.closed, &other.closed),
        ];
        for (mine, more) in maps {
            for (reason, count) in more {
                *mine.entry(reason.clone()).or_default() += count;
            }
        }
    }

    /// Returns whether everything was forwarded, nothing is refused and no flow was closed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        [&self.denied, &self.dropped, &self.refused, &self.closed].iter().all(|map| map.is_empty())
    }

    /// Returns the counts as lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        let sum = |map: &Counts| map.values().sum::<u64>();
        let mut out = format!(
            "{} packets   {} forward   {} deny   {} drop   closed {} flows   {} resets\n",
            self.packets,
            self.forwarded,
            sum(&self.denied),
            sum(&self.dropped),
            sum(&self.closed),
            self.resets
        );
        let lists = [
            ("delivered, to be refused:", &self.refused),
            ("deny", &self.denied),
            ("drop", &self.dropped),
            ("closed", &self.closed),
        ];
        for (label, map) in lists {
            for (reason, count) in map {
                let _ = writeln!(out, "  {label} {reason} {count}");
            }
        }
        if self.not_ipv4 > 0 {
            let _ = writeln!(out, "  passed over {} frames without an IPv4 packet", self.not_ipv4);
        }
        out
    }

    /// Returns the counts as a value of the schema `vnetem/1`.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "schema": "vnetem/1",
            "verb": "replay",
            "packets": self.packets,
            "forwarded": self.forwarded,
            "refused": self.refused,
            "denied": self.denied,
            "dropped": self.dropped,
            "closed": self.closed,
            "resets": self.resets,
            "skipped": { "no-ipv4": self.not_ipv4 },
        })
    }
}

fn add(counts: &mut Counts, reason: &'static str) {
    // Most reasons are there already.
    match counts.get_mut(reason) {
        Some(count) => *count += 1,
        None => _ = counts.insert(Cow::Borrowed(reason), 1),
    }
}
