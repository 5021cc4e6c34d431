//! `vnetem trace` and `vnetem routes`: questions to a model.

use vnetem::{Fate, Mark, Verdict};
use vnetem_lab::scenario::{Options, Stage, route_table};

use crate::arguments::{Common, Model, Output, Protocol, Routes, Trace};
use crate::{Answer, Failure, json, load};

pub(crate) fn trace(common: &Common, asked: &Trace) -> Result<Answer, Failure> {
    let stage = stage(common, &asked.model)?;
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

fn stage(common: &Common, model: &Model) -> Result<Stage<'static>, Failure> {
    if common.pcap.is_some() {
        return Err("--pcap is for run: nothing is sent here".into());
    }
    let scenario = load::scenario(model.model.as_deref())?;
    let options = Options { seed: common.seed, tags: load::tags(common)?, tap: None };
    Ok(scenario.play_until(model.at, options)?)
}

/// Whether a packet is forwarded, and nobody at its far side refuses it.
fn comes_in(verdict: &Verdict) -> bool {
    matches!(verdict.fate, Fate::Forward(forward) if !matches!(forward.mark, Mark::Refused(_)))
}
