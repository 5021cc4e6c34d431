//! What `vnetem ctl` can ask and do.

use serde_json::{Value, json};
use vnetem::{AccessVerdict, DenyReason, DropReason, authz::Refusal, nat::Cause};
use vnetem_scenario::{counter_lines, route_table};

use super::router::Router;
use super::stations::{Body, Place};
use crate::Answer;

const HELP: &str = "\
EDIT [; EDIT]           an edit as scenarios write it: enable Microsoft.Storage on net-a/app
seen [NAME]             the latest calls, of or to a host or resource: who was seen as what
trace PLACE PACKET      where a packet goes and why: trace nic vm-a 10.0.0.4:1 > 8.8.8.8:53 udp
routes SUBNET [all]     the effective routes
rules RESOURCE          who may come in
flows                   all flows
counters                what went in, what came out, and why the rest did not
hosts                   who is where
down                    ends the network";

impl Router {
    /// Answers a question, or makes an edit.
    pub(super) fn answer(&mut self, words: &str) -> Answer {
        let words = words.trim();
        let question = words.strip_prefix("show ").unwrap_or(words);
        let (verb, rest) = question.split_once(' ').unwrap_or((question, ""));
        match (verb, rest.trim()) {
            ("" | "help", _) => Answer::lines(HELP.lines().map(str::to_owned).collect()),
            ("seen", name) => self.seen(name),
            ("trace", rest) => self.trace(rest),
            ("routes", rest) => self.routes(rest),
            ("rules", resource) => match self.model.rules(resource) {
                Ok(lines) => Answer::lines(lines),
                Err(problem) => Answer::refused(problem),
            },
            ("flows", "") => self.flows(),
            ("counters", "") => self.counters(),
            ("hosts", "") => self.hosts(),
            _ => self.edit(words),
        }
    }

    fn edit(&mut self, words: &str) -> Answer {
        let before = self.plane.generation();
        let of_names = match self.model.change(self.now(), words) {
            Ok(of_names) => of_names,
            Err(problem) => return Answer::refused(problem),
        };
        let changed = self.come_into_force();
        let after = self.plane.generation();
        let mut lines = self.model.outcome(before, after, &changed.closed, &changed.made);
        if of_names && before == after {
            lines = vec!["names change, packets go on as before".to_owned()];
        }
        let closed = changed.closed.iter().map(|event| {
            let cause = event.kind.cause().map_or("opened", Cause::name);
            json!({
                "flow": event.tuple.to_string(),
                "external": event.external.to_string(),
                "cause": cause,
            })
        });
        let closed: Vec<Value> = closed.collect();
        let value = json!({
            "generation": after.0,
            "closed": closed,
            "resets": changed.made.len(),
        });
        Answer::lines(lines).with(value)
    }

    fn seen(&self, name: &str) -> Answer {
        let sights = self.sights.of(name);
        let value = sights.iter().map(|sight| sight.value()).collect();
        Answer::lines(sights.iter().map(|sight| sight.line()).collect()).with(value)
    }

    fn trace(&self, words: &str) -> Answer {
        match self.model.packet(words) {
            Err(problem) => Answer::refused(problem),
            Ok((edge, packet)) => {
                let trace = self.plane.trace(self.now(), edge, &packet);
                Answer::lines(trace.to_string().lines().map(str::to_owned).collect())
            }
        }
    }

    fn routes(&self, words: &str) -> Answer {
        let (name, all) = match words.strip_suffix(" all") {
            Some(name) => (name, true),
            None => (words, false),
        };
        match self.model.subnet(name.trim()) {
            Err(problem) => Answer::refused(problem),
            Ok(subnet) => {
                let routes = self.plane.snapshot().effective_routes(subnet);
                Answer::lines(route_table(&routes, all))
            }
        }
    }

    fn flows(&self) -> Answer {
        let flows = self.plane.flows().filter(|flow| !flow.state.is_tombstone());
        let described = flows.map(|flow| {
            let tuple = flow.tuple;
            let external = match flow.external == tuple.source {
                true => String::new(),
                false => format!(" as {}", flow.external),
            };
            let refused = match flow.access {
                AccessVerdict::Refused(refusal) => format!(", to be refused: {refusal}"),
                _ => String::new(),
            };
            let state = kebab(&format!("{:?}", flow.state));
            let line = format!("{tuple}{external}, {state}{refused}");
            let value = json!({
                "flow": tuple.to_string(),
                "external": flow.external.to_string(),
                "state": state,
            });
            (line, value)
        });
        let (lines, values): (Vec<String>, Vec<Value>) = described.unzip();
        Answer::lines(lines).with(Value::Array(values))
    }

    fn counters(&self) -> Answer {
        let carried = self.carried;
        let mut lines = counter_lines(&self.plane);
        lines.push(format!("read {} that stand for {}", carried.read, carried.segments));
        for (count, what) in [
            (carried.nowhere, "left for where nobody is"),
            (carried.refused, "not taken by a host's kernel"),
            (carried.other, "of IPv6, not carried"),
            (carried.names, "questions to the name server"),
        ] {
            if count > 0 {
                lines.push(format!("{count} {what}"));
            }
        }
        let (counters, flows) = (self.plane.counters(), self.plane.flow_counters());
        let drops = DropReason::all().map(|it| (it.name(), counters.drops(it)));
        let denies = DenyReason::all().map(|it| (it.name(), counters.denies(it)));
        let refusals = Refusal::ALL.into_iter().map(|it| (it.name(), counters.refusals(it)));
        let value = json!({
            "received": counters.received.packets,
            "generated": counters.generated.packets,
            "forwarded": counters.forwarded.packets,
            "forwarded_bytes": counters.forwarded.bytes,
            "transmitted": counters.transmitted.packets,
            "denied": counters.denied.packets,
            "dropped": counters.dropped.packets,
            "queued": self.plane.queued().0,
            "drops": counted(drops),
            "denies": counted(denies),
            "refusals": counted(refusals),
            "flows": { "opened": flows.opened, "live": flows.live, "tombstones": flows.tombstones },
            "segments": carried.segments,
            "nowhere": carried.nowhere,
            "not_taken": carried.refused,
        });
        Answer::lines(lines).with(value)
    }

    fn hosts(&self) -> Answer {
        let described = self.stations.all.iter().map(|station| {
            let kind = match station.body {
                Body::Real(..) => "real",
                Body::Attached(_) => "attached device",
                Body::Server(_) => "simulated server",
                Body::Appliance(_) => "simulated appliance",
            };
            let place = match station.place {
                Place::At(edge) => self.model.place(edge),
                Place::Resource(service, _) => {
                    format!("service {}", self.plane.snapshot().service_name(service))
                }
            };
            let (name, address) = (&station.name, station.address);
            let line = format!("{name:<12}  {address:<15}  {place:<30}  {kind}");
            let value =
                json!({ "name": name, "address": address.to_string(), "place": place, "kind": kind });
            (line, value)
        });
        let (lines, values): (Vec<String>, Vec<Value>) = described.unzip();
        Answer::lines(lines).with(Value::Array(values))
    }
}

fn counted(all: impl Iterator<Item = (&'static str, u64)>) -> Value {
    all.filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect()
}

/// `SynSent` as `syn-sent`.
fn kebab(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
