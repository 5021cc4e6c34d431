//! Answers for programs: schema `vnetem/1`, which never loses a field.

use serde_json::{Map, Value, json};
use vnetem::{
    AccessVerdict, DenyReason, Disposition, DropReason, SourceMode, Time, TrafficCount,
    authz::Refusal,
    control::{EffectiveRoute, NextHop, RouteState},
    nat::Cause,
    trace::Trace,
};
use vnetem_scenario::report::{Closing, Moment, Probe, Refused, Report, Routes};

const SCHEMA: &str = "vnetem/1";

/// A whole run.
pub(crate) fn report(name: &str, report: &Report) -> String {
    let tags = json!({
        "date": report.tags.date.map(|date| date.to_string()),
        "services": report.tags.services,
        "prefixes": report.tags.prefixes,
    });
    write(&json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "scenario": name,
        "title": report.title,
        "seed": report.seed,
        "tags": tags,
        "asExpected": report.is_as_expected(),
        "timeline": report.timeline.iter().map(moment).collect::<Vec<_>>(),
        "probes": report.probes.iter().map(probe).collect::<Vec<_>>(),
        "routes": report.routes.iter().map(routes_value).collect::<Vec<_>>(),
        "refusals": report.refusals.iter().map(refused).collect::<Vec<_>>(),
        "closings": report.closings.iter().map(closing).collect::<Vec<_>>(),
        "counters": counters(report),
        "differences": report.differences.iter().map(|difference| json!({
            "line": difference.line,
            "step": difference.step,
            "expected": difference.expected,
            "found": difference.found,
        })).collect::<Vec<_>>(),
        "refusedChanges": report.refused_changes.iter().map(|refused| json!({
            "line": refused.line,
            "step": refused.step,
            "why": refused.why,
        })).collect::<Vec<_>>(),
        "endNanoseconds": report.end.0,
    }))
}

/// An explanation of one packet.
pub(crate) fn trace(trace: &Trace) -> String {
    let text = trace.to_string();
    let steps: Vec<Value> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(stage, said)| json!({ "stage": stage, "text": said.trim() }))
        .collect();
    let verdict = match trace.verdict.disposition {
        Disposition::Forward(forward) => json!({
            "verdict": "forward",
            "source": match forward.source() {
                SourceMode::Preserved => json!({ "mode": "preserved" }),
                SourceMode::Translated(external) => json!({ "mode": "translated", "external": external.to_string() }),
            },
            "access": match forward.access() {
                AccessVerdict::Unjudged => Value::Null,
                AccessVerdict::Allowed => json!({ "allowed": true }),
                AccessVerdict::Refused(refusal) => json!({ "allowed": false, "reason": refusal.name() }),
            },
        }),
        Disposition::Deny(reason) => json!({ "verdict": "deny", "reason": reason.name() }),
        Disposition::Drop(reason) => json!({ "verdict": "drop", "reason": reason.name() }),
    };
    write(&json!({
        "schema": SCHEMA,
        "generation": trace.verdict.generation.0,
        "packet": text.lines().next().and_then(|line| line.split("   ").next()),
        "steps": steps,
        "verdict": verdict,
    }))
}

/// The effective routes of one subnet.
pub(crate) fn routes(routes: &Routes) -> String {
    let mut value = routes_value(routes);
    if let Value::Object(fields) = &mut value {
        fields.insert("schema".to_owned(), SCHEMA.into());
    }
    write(&value)
}

fn moment(moment: &Moment) -> Value {
    json!({ "line": moment.line, "nanoseconds": moment.at.0, "step": moment.step, "outcome": moment.outcome })
}

fn probe(probe: &Probe) -> Value {
    let calls = probe.calls.iter().map(|call| {
        json!({
            "from": call.from,
            "to": call.to,
            "answer": call.answer,
            "reached": call.reached,
            "path": call.path,
            "appliances": call.appliances,
            "byEndpoint": call.by_endpoint,
            "source": call.source.map(|source| source.to_string()),
            "seenAs": call.seen_as,
            "reason": call.reason,
        })
    });
    json!({ "nanoseconds": probe.at.0, "label": probe.label, "calls": calls.collect::<Vec<_>>() })
}

/// With the names of Azure's own answer.
fn routes_value(routes: &Routes) -> Value {
    let list = routes.routes.iter().map(|route: &EffectiveRoute| {
        let (state, overridden) = match route.state {
            RouteState::Active => ("Active", None),
            RouteState::Invalid(by) => ("Invalid", Some(by.to_string())),
            RouteState::OutOfScope => ("Invalid", None),
        };
        let next_hop: Vec<String> = match route.next_hop {
            Some(NextHop::VirtualAppliance(address)) => vec![address.to_string()],
            _ => Vec::new(),
        };
        json!({
            "source": route.source.to_string(),
            "state": state,
            "overriddenBy": overridden,
            "addressPrefix": route.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "nextHopType": route.next_hop_type(),
            "nextHopIpAddress": next_hop,
            "service": route.service,
            "remark": vnetem_scenario::route_remark(route),
        })
    });
    json!({
        "subnet": routes.subnet,
        "nanoseconds": routes.at.0,
        "generation": routes.generation.0,
        "routes": list.collect::<Vec<_>>(),
    })
}

fn refused(refused: &Refused) -> Value {
    json!({
        "nanoseconds": refused.at.0,
        "from": refused.from,
        "to": refused.to,
        "answer": refused.answer,
        "reason": refused.reason,
        "trace": refused.trace.lines().collect::<Vec<_>>(),
    })
}

fn closing(closing: &Closing) -> Value {
    let event = &closing.event;
    let cause = event.kind.cause().map(Cause::name);
    let Time(at) = event.at;
    json!({
        "nanoseconds": at,
        "change": closing.change,
        "flow": event.tuple.to_string(),
        "external": event.external.to_string(),
        "cause": cause,
        "told": closing.notified,
    })
}

fn counters(report: &Report) -> Value {
    let counters = &report.counters;
    let tally = |tally: TrafficCount| json!({ "packets": tally.packets, "bytes": tally.bytes });
    let named = |counts: &mut dyn Iterator<Item = (&'static str, u64)>| -> Value {
        let counted = counts.filter(|(_, count)| *count > 0);
        counted.map(|(name, count)| (name.to_owned(), count.into())).collect::<Map<_, _>>().into()
    };
    json!({
        "received": tally(counters.received),
        "generated": tally(counters.generated),
        "forwarded": tally(counters.forwarded),
        "transmitted": tally(counters.transmitted),
        "denied": tally(counters.denied),
        "dropped": tally(counters.dropped),
        "queued": report.queued,
        "undelivered": report.undelivered,
        "drops": named(&mut DropReason::all().map(|reason| (reason.name(), counters.drops(reason)))),
        "denies": named(&mut DenyReason::all().map(|reason| (reason.name(), counters.denies(reason)))),
        "refusals": named(&mut Refusal::ALL.into_iter().map(|refusal| (refusal.name(), counters.refusals(refusal)))),
        "flows": {
            "opened": report.flows.opened,
            "ended": report.flows.total_ended(),
            "live": report.flows.live,
            "tombstones": report.flows.tombstones,
        },
        "generation": report.generation.0,
    })
}

fn write(value: &Value) -> String {
    format!("{value:#}\n")
}
