//! Who was seen as what: a line a call.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use serde_json::{Value, json};
use vnetem::{
    AccessVerdict, Disposition, Edge, Event, FiveTuple, Forward, Snapshot, Time, Verdict,
};
use vnetem_scenario::Model;

/// A call, as it was seen at its far side, or where it ended.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    at: Time,
    from: String,
    source: SocketAddrV4,
    /// The name of who was called, or the address.
    to: String,
    destination: SocketAddrV4,
    protocol: String,
    /// By which edge it left.
    by: String,
    seen: Option<SocketAddrV4>,
    /// The subnet that the far side knows the caller to be of.
    subnet: Option<String>,
    /// What was said against it.
    refused: Option<String>,
}

/// The latest calls.
#[derive(Default)]
pub(super) struct Sights {
    latest: VecDeque<Sight>,
    /// When something was last said to have gone nowhere.
    dropped: HashMap<(String, SocketAddrV4, String), Time>,
}

/// Calls that are kept for questions.
const KEPT: usize = 10_000;
/// How long a packet that goes nowhere is not said again.
const QUIET: Duration = Duration::from_secs(1);

impl Sights {
    /// A flow was opened by a packet that left.
    pub(super) fn opened(
        &mut self,
        from: &str,
        event: &Event,
        forward: &Forward,
        model: &Model,
        snapshot: &Snapshot,
    ) -> Option<&Sight> {
        let FiveTuple { source, destination, .. } = event.tuple;
        let to = forward.edge(snapshot);
        let subnet = match to {
            Edge::Service { identity: Some(identity), .. } => {
                Some(snapshot.subnet_name(identity.subnet))
            }
            _ => None,
        };
        let refused = match forward.access() {
            AccessVerdict::Refused(refusal) => Some(refusal.to_string()),
            _ => None,
        };
        self.keep(Sight {
            at: event.at,
            from: from.to_owned(),
            source,
            to: named(to, destination, model, snapshot),
            destination,
            protocol: event.tuple.protocol.to_string(),
            by: model.place(to),
            seen: Some(event.external),
            subnet,
            refused,
        })
    }

    /// A packet that would have opened a flow goes nowhere; nothing if that was said just now.
    pub(super) fn lost(
        &mut self,
        at: Time,
        from: &str,
        tuple: &FiveTuple,
        verdict: &Verdict,
    ) -> Option<&Sight> {
        let refused = match verdict.disposition {
            Disposition::Deny(reason) => format!("denied: {reason}"),
            Disposition::Drop(reason) => format!("dropped: {reason}"),
            Disposition::Forward(_) => return None,
        };
        let key = (from.to_owned(), tuple.destination, refused.clone());
        if self.dropped.get(&key).is_some_and(|last| at < *last + QUIET) {
            return None;
        }
        if self.dropped.len() >= KEPT {
            self.dropped.clear();
        }
        self.dropped.insert(key, at);
        self.keep(Sight {
            at,
            from: from.to_owned(),
            source: tuple.source,
            to: tuple.destination.ip().to_string(),
            destination: tuple.destination,
            protocol: tuple.protocol.to_string(),
            by: String::new(),
            seen: None,
            subnet: None,
            refused: Some(refused),
        })
    }

    /// The latest calls of or to somebody; all without a name.
    pub(super) fn of(&self, name: &str) -> Vec<&Sight> {
        let fits = |sight: &&Sight| name.is_empty() || sight.from == name || sight.to == name;
        self.latest.iter().filter(fits).collect()
    }

    fn keep(&mut self, sight: Sight) -> Option<&Sight> {
        if self.latest.len() >= KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(sight);
        self.latest.back()
    }
}

impl Sight {
    /// `12.3s vm-a 10.0.0.4 > stdata:443 seen as 20.31.0.10`.
    pub(super) fn line(&self) -> String {
        let seconds = self.at.0 as f64 / 1e9;
        let (from, source, to) = (&self.from, self.source.ip(), &self.to);
        let port = match self.destination.port() {
            0 => String::new(),
            port => format!(":{port}"),
        };
        let protocol = match self.protocol.as_str() {
            "tcp" => String::new(),
            other => format!(" {other}"),
        };
        let mut line = format!("{seconds:>8.3}s {from} {source} > {to}{port}{protocol}");
        if let Some(seen) = self.seen {
            line = format!("{line} seen as {}", seen.ip());
        }
        if let Some(subnet) = &self.subnet {
            line = format!("{line} of {subnet}");
        }
        match (&self.refused, self.seen) {
            (Some(why), Some(_)) => format!("{line}, to be refused: {why}"),
            (Some(why), None) => format!("{line} {why}"),
            (None, _) => line,
        }
    }

    pub(super) fn value(&self) -> Value {
        json!({
            "at": self.at.0 as f64 / 1e9,
            "from": self.from,
            "source": self.source.to_string(),
            "to": self.to,
            "destination": self.destination.to_string(),
            "protocol": self.protocol,
            "by": self.by,
            "seen_as": self.seen.map(|seen| seen.ip().to_string()),
            "seen_port": self.seen.map(|seen| seen.port()),
            "subnet": self.subnet,
            "refused": self.refused,
        })
    }
}

/// Who is at a destination, in a word.
fn named(to: Edge, destination: SocketAddrV4, model: &Model, snapshot: &Snapshot) -> String {
    let name = match to {
        Edge::Service { .. } | Edge::SameRegion { .. } => {
            match snapshot.resources_at(*destination.ip()) {
                [one] => Some(snapshot.resource_name(*one)),
                _ => None,
            }
        }
        Edge::PrivateEndpoint(id) => {
            snapshot.resource_behind(id).map(|resource| snapshot.resource_name(resource))
        }
        Edge::Nic(id) => model.network().nic(id).ok().map(|nic| nic.name.clone()),
        _ => None,
    };
    name.unwrap_or_else(|| destination.ip().to_string())
}
