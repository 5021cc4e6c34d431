//! A report as plain text.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use vnetem::{DenyReason, DropReason, Time, authz::Refusal, nat::Cause};
use vnetem_scenario::report::{ProbeCall, Report};
use vnetem_scenario::route_table;

/// The whole report.
pub(crate) fn report(name: &str, report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = header(&mut out, name, report)
        .and_then(|()| timeline(&mut out, report))
        .and_then(|()| matrix(&mut out, report))
        .and_then(|()| routes(&mut out, report))
        .and_then(|()| refusals(&mut out, report))
        .and_then(|()| closings(&mut out, report))
        .and_then(|()| counters(&mut out, report));
    out
}

fn header(out: &mut String, name: &str, report: &Report) -> core::fmt::Result {
    let tags = &report.tags;
    let date = tags.date.map_or_else(|| "of unknown date".to_owned(), |date| date.to_string());
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        out,
        "vnetem {version}   {name}   tags {date} ({} services, {} prefixes)   seed {}",
        tags.services, tags.prefixes, report.seed
    )?;
    writeln!(out, "{}", report.title)
}

fn timeline(out: &mut String, report: &Report) -> core::fmt::Result {
    let mut last = None;
    for moment in &report.timeline {
        // Tables have sections of their own.
        let table = moment.step.starts_with("probe") || moment.step.starts_with("show routes");
        let at = if last == Some(moment.at) { String::new() } else { seconds(moment.at) };
        if last != Some(moment.at) {
            writeln!(out)?;
        }
        last = Some(moment.at);
        let below = if table { "   (in a table below)" } else { "" };
        writeln!(out, "{at:>10}  {}{below}", moment.step)?;
        if !table {
            for line in &moment.outcome {
                writeln!(out, "{:14}{line}", "")?;
            }
        }
    }
    Ok(())
}

/// One row for each pair, one column for each time that everybody called everybody.
fn matrix(out: &mut String, report: &Report) -> core::fmt::Result {
    if report.probes.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for call in report.probes.iter().flat_map(|probe| &probe.calls) {
        if !rows.contains(&(&call.from, &call.to)) {
            rows.push((&call.from, &call.to));
        }
    }
    let labels = report.probes.iter().map(|probe| match probe.label.as_str() {
        "" => seconds(probe.at),
        label => label.to_owned(),
    });
    let head = ["from".to_owned(), "to".to_owned()].into_iter().chain(labels);
    let mut table: Vec<Vec<String>> = vec![head.collect()];
    for (from, to) in rows {
        let mut row = vec![from.to_owned(), to.to_owned()];
        let mut before = String::new();
        for probe in &report.probes {
            let call = probe.calls.iter().find(|call| call.from == from && call.to == to);
            let cell = call.map_or_else(|| "-".to_owned(), cell);
            row.push(if cell == before { "same".to_owned() } else { cell.clone() });
            before = cell;
        }
        table.push(row);
    }
    writeln!(out, "\nWho reaches what: the answer, the source that the far side saw, and the way")?;
    columns(out, &table)
}

fn cell(call: &ProbeCall) -> String {
    let answer = call.answer.split(' ').next().unwrap_or_default();
    let answer = if call.answer.starts_with("no ") { call.answer.as_str() } else { answer };
    let answer = if answer == "error" { call.answer.as_str() } else { answer };
    let mut text = if call.reached { answer.to_owned() } else { format!("{answer} NO") };
    if let Some(source) = call.source {
        text = format!("{text} {source}");
    }
    if call.by_endpoint {
        text.push_str(" endpoint");
    }
    for appliance in &call.appliances {
        let name = appliance.strip_prefix("nic ").unwrap_or(appliance);
        let _ = write!(text, " via {name}");
    }
    text
}

fn columns(out: &mut String, table: &[Vec<String>]) -> core::fmt::Result {
    let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
    for row in table {
        for (at, cell) in row.iter().enumerate() {
            let width = widths.entry(at).or_default();
            *width = cell.len().max(*width);
        }
    }
    for row in table {
        let mut line = String::from("  ");
        for (at, cell) in row.iter().enumerate() {
            let width = widths.get(&at).copied().unwrap_or_default();
            write!(line, "{cell:<width$}  ")?;
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Each table that differs from the one before it of the same subnet.
fn routes(out: &mut String, report: &Report) -> core::fmt::Result {
    let mut shown: BTreeMap<&str, (&[vnetem::control::EffectiveRoute], bool)> = BTreeMap::new();
    for routes in &report.routes {
        let table = (routes.routes.as_slice(), routes.all);
        if shown.insert(&routes.subnet, table) == Some(table) {
            continue;
        }
        writeln!(
            out,
            "\nEffective routes of {} at {}, generation {}",
            routes.subnet,
            seconds(routes.at),
            routes.generation.0
        )?;
        for line in route_table(&routes.routes, routes.all) {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

fn refusals(out: &mut String, report: &Report) -> core::fmt::Result {
    if report.refusals.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWhy callers did not come in, each reason once")?;
    for refused in &report.refusals {
        writeln!(
            out,
            "  {}  {} to {}: {}, {}",
            seconds(refused.at),
            refused.from,
            refused.to,
            refused.answer,
            refused.reason
        )?;
        for line in refused.trace.lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

fn closings(out: &mut String, report: &Report) -> core::fmt::Result {
    if report.closings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nFlows that changes closed, and who was notified")?;
    for closing in &report.closings {
        let notified = if closing.notified.is_empty() {
            "nobody".to_owned()
        } else {
            closing.notified.join(", ")
        };
        let event = &closing.event;
        writeln!(out, "  {}  {}", seconds(event.at), closing.change)?;
        let cause = event.kind.cause().map_or("opened", Cause::name);
        writeln!(out, "    {}  {cause}; notified: {notified}", event.tuple)?;
    }
    Ok(())
}

fn counters(out: &mut String, report: &Report) -> core::fmt::Result {
    let counters = &report.counters;
    writeln!(out, "\nCounters at {}, generation {}", seconds(report.end), report.generation.0)?;
    writeln!(
        out,
        "  packets   in {} + made {} = out {} + sent {} + denied {} + dropped {} + queued {}",
        counters.received.packets,
        counters.generated.packets,
        counters.forwarded.packets,
        counters.transmitted.packets,
        counters.denied.packets,
        counters.dropped.packets,
        report.queued
    )?;
    for reason in DropReason::all().filter(|reason| counters.drops(*reason) > 0) {
        writeln!(out, "  drop      {reason} {}", counters.drops(reason))?;
    }
    for reason in DenyReason::all().filter(|reason| counters.denies(*reason) > 0) {
        writeln!(out, "  deny      {reason} {}", counters.denies(reason))?;
    }
    for refusal in Refusal::ALL {
        if counters.refusals(refusal) > 0 {
            writeln!(
                out,
                "  refused   {refusal} {}, delivered so that the service says so",
                counters.refusals(refusal)
            )?;
        }
    }
    let flows = report.flows;
    writeln!(
        out,
        "  flows     opened {} = ended {} + live {} + closed and answering {}",
        flows.opened,
        flows.total_ended(),
        flows.live,
        flows.tombstones
    )?;
    if report.undelivered > 0 {
        writeln!(
            out,
            "  nobody    {} packets left for a place where nobody is",
            report.undelivered
        )?;
    }
    Ok(())
}

fn seconds(time: Time) -> String {
    format!("{}.{:03} s", time.0 / 1_000_000_000, time.0 / 1_000_000 % 1_000)
}
