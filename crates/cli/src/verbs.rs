//! `vnetem trace` and `vnetem routes`: questions to a model.

use vnetem::{AccessVerdict, Disposition, Verdict};
use vnetem_scenario::{Options, Runner, route_table};

use crate::arguments::{Common, Model, Output, Protocol, Routes, Trace};
use crate::{Answer, Failure, json, load};

pub(crate) fn trace(common: &Common, asked: &Trace) -> Result<Answer, Failure> {
    let stage = stage(common, &asked.model)?;
    ports(asked)?;
    let rest = match (asked.protocol, asked.rest.join(" ")) {
        (Protocol::Tcp, rest) if rest.is_empty() => "tcp S".to_owned(),
        (Protocol::Tcp, rest) => format!("tcp {rest}"),
        (Protocol::Udp, rest) => format!("udp {rest}"),
        (Protocol::Icmp, rest) if rest.is_empty() => "icmp echo id 1".to_owned(),
        (Protocol::Icmp, rest) => format!("icmp {rest}"),
    };
    let packet = format!("{} > {} {rest}", asked.source, asked.destination);
    let trace = stage.trace(&asked.from, &packet).map_err(|problem| problem.to_string())?;
    let text = match common.output {
        Output::Text => format!("{trace}\n"),
        Output::Json => json::trace(&trace),
    };
    Ok(Answer { text, notes: Vec::new(), good: comes_in(&trace.verdict) })
}

pub(crate) fn routes(common: &Common, asked: &Routes) -> Result<Answer, Failure> {
    let stage = stage(common, &asked.model)?;
    let routes = stage.routes(&asked.subnet).map_err(|problem| problem.to_string())?;
    let text = match common.output {
        Output::Text => route_table(&routes.routes, asked.all).join("\n") + "\n",
        Output::Json => json::routes(&routes),
    };
    Ok(Answer { text, notes: Vec::new(), good: true })
}

/// Names the address that lacks its port. With further words of the packet its own reader
/// complains, since a later fragment has no ports.
fn ports(asked: &Trace) -> Result<(), Failure> {
    let protocol = match asked.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => return Ok(()),
    };
    let lacks = |text: &str| text.parse::<core::net::Ipv4Addr>().is_ok();
    let lacking: Vec<String> = [("source", &asked.source), ("destination", &asked.destination)]
        .into_iter()
        .filter(|(_, text)| asked.rest.is_empty() && lacks(text))
        .map(|(which, text)| format!("the {which} {text} has no port"))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let lacking = lacking.join(", and ");
    Err(format!("{lacking}: {protocol} goes from a port to a port, such as 10.0.0.4:50000").into())
}

fn stage(common: &Common, model: &Model) -> Result<Runner<'static>, Failure> {
    let scenario = load::scenario(model.model.as_deref())?;
    let options = Options { seed: common.seed, tags: load::tags(&model.list)?, tap: None };
    let stage = scenario.play_until(model.at, options)?;
    // The answer would be of another model than the file means.
    if let Some(refused) = stage.refused_changes().first() {
        let name = model.model.as_deref().map(|path| path.display().to_string());
        let name = name.unwrap_or("founding-story.scn".to_owned());
        return Err(format!("{name} {refused}").into());
    }
    Ok(stage)
}

/// Whether a packet is forwarded, and nobody at its far side refuses it.
fn comes_in(verdict: &Verdict) -> bool {
    matches!(verdict.disposition, Disposition::Forward(forward) if !matches!(forward.access, AccessVerdict::Refused(_)))
}
