//! `vnetem trace` and `vnetem routes`: questions to a model.

use vnetem::{AccessVerdict, Disposition, Verdict};
use vnetem_packet_text::Packet;
use vnetem_scenario::route_table;

use crate::arguments::{Common, Output, Protocol, Routes, Trace};
use crate::{Answer, Failure, estate_verbs, json, load};

pub(crate) fn trace(common: &Common, asked: &Trace) -> Result<Answer, Failure> {
    ports(asked)?;
    let rest = match (asked.protocol, asked.rest.join(" ")) {
        (Protocol::Tcp, rest) if rest.is_empty() => "tcp S".to_owned(),
        (Protocol::Tcp, rest) => format!("tcp {rest}"),
        (Protocol::Udp, rest) => format!("udp {rest}"),
        (Protocol::Icmp, rest) if rest.is_empty() => "icmp echo id 1".to_owned(),
        (Protocol::Icmp, rest) => format!("icmp {rest}"),
    };
    let packet = format!("{} > {} {rest}", asked.source, asked.destination);
    let (trace, notes) = if asked.model.sources.has_files()? {
        let parsed: Packet = packet.parse().map_err(|error| format!("{packet}: {error}"))?;
        let bytes = parsed.build();
        let sources = &asked.model.sources;
        estate_verbs::trace(sources, &asked.from, &bytes, &asked.enable, &asked.disable)?
    } else {
        let stage = load::stage(common, &asked.model)?;
        let explained = if asked.enable.is_empty() && asked.disable.is_empty() {
            stage.trace(&asked.from, &packet)
        } else {
            stage.trace_with(&asked.from, &packet, |network| {
                vnetem_whatif::files::switch(network, &asked.enable, &asked.disable)
            })?
        };
        (explained.map_err(|problem| problem.to_string())?, Vec::new())
    };
    let text = match common.output {
        Output::Text => format!("{trace}\n"),
        Output::Json => json::trace(&trace),
    };
    Ok(Answer { text, notes, good: comes_in(&trace.verdict) })
}

pub(crate) fn routes(common: &Common, asked: &Routes) -> Result<Answer, Failure> {
    if asked.model.sources.has_files()? {
        let (sources, with) = (&asked.model.sources, asked.against.as_deref());
        return estate_verbs::routes(common, sources, &asked.subnet, asked.all, with);
    }
    let stage = load::stage(common, &asked.model)?;
    let routes = stage.routes(&asked.subnet).map_err(|problem| problem.to_string())?;
    if let Some(path) = &asked.against {
        return estate_verbs::against(common, &routes, path);
    }
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

/// Whether a packet is forwarded, and nobody at its far side refuses it.
fn comes_in(verdict: &Verdict) -> bool {
    let is_refused = |access| matches!(access, AccessVerdict::Refused(_));
    matches!(verdict.disposition, Disposition::Forward(to) if !is_refused(to.access()))
}
