//! `vnetem model`: what was understood of the files, and what was not.

use core::fmt::Write as _;

use serde_json::Value;

use crate::arguments::{Common, Model, Output};
use crate::questions::ShowModel;
use crate::{Answer, Failure, load};

pub(crate) fn model(common: &Common, asked: &ShowModel) -> Result<Answer, Failure> {
    if asked.files.is_empty() && asked.sources.scenario()?.is_some() {
        return of_scenario(common, asked);
    }
    if asked.sources.model.is_empty() && asked.files.is_empty() {
        return Err("of which files? Give -m FILE".into());
    }
    let mut notes = Vec::new();
    let importer = asked.sources.files().read(&[&asked.files], &mut notes)?;
    let inventory = if asked.before { importer.before() } else { importer.inventory() };
    let mut estate = asked.sources.files().estate(&[&importer])?;
    estate.load(&inventory);
    let mut value = serde_json::to_value(inventory.model())?;
    complete(&mut value, &estate);
    let text = match common.output {
        Output::Text => text(&value)?,
        Output::Json => format!("{value:#}\n"),
    };
    Ok(Answer { text, notes, good: true })
}

/// The network of a scenario, as it is declared.
fn of_scenario(common: &Common, asked: &ShowModel) -> Result<Answer, Failure> {
    if asked.before {
        return Err("a scenario holds no change that --before would leave out".into());
    }
    let model = Model { sources: asked.sources.clone(), at: None };
    let value = vnetem_whatif::model(load::stage(common, &model)?.network());
    let text = match common.output {
        Output::Text => text(&value)?,
        Output::Json => format!("{value:#}\n"),
    };
    Ok(Answer { text, notes: Vec::new(), good: true })
}

/// Adds what only the network says: where resources answer, what could not be put into it.
fn complete(value: &mut Value, estate: &vnetem_whatif::Estate) {
    let network = &estate.loaded().network;
    let resources = value.get_mut("resources").and_then(Value::as_array_mut);
    for resource in resources.into_iter().flatten() {
        let name = resource.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let held = network.resource_named(&name).and_then(|id| network.resource(id).ok());
        let known = held.into_iter().flat_map(vnetem::control::Resource::addresses);
        let known = known.filter(|address| estate.loaded().stands_for(*address).is_none());
        let known: Vec<Value> = known.map(|address| address.to_string().into()).collect();
        if let Some(fields) = resource.as_object_mut() {
            fields.insert("addresses".to_owned(), known.into());
        }
    }
    let unresolved = value.get_mut("unresolved").and_then(Value::as_array_mut);
    if let Some(list) = unresolved {
        let more = estate.left_out().iter().filter_map(|one| serde_json::to_value(one).ok());
        let more: Vec<Value> = more.filter(|one| !list.contains(one)).collect();
        list.extend(more);
    }
    let assumptions = value.get_mut("assumptions").and_then(Value::as_array_mut);
    if let Some(list) = assumptions {
        let more = &estate.loaded().assumptions;
        let more = more.iter().filter_map(|one| serde_json::to_value(one).ok());
        let more: Vec<Value> = more.filter(|one| !list.contains(one)).collect();
        list.extend(more);
    }
}

/// The same for people.
fn text(value: &Value) -> Result<String, core::fmt::Error> {
    let mut out = String::new();
    let list = |name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for vnet in list("vnets") {
        let peers = words(&vnet, "peers");
        let peers = if peers.is_empty() { peers } else { format!("  peers {peers}") };
        writeln!(
            out,
            "network   {}  {}  {}{peers}",
            word(&vnet, "name"),
            words(&vnet, "ranges"),
            word(&vnet, "region")
        )?;
    }
    for subnet in list("subnets") {
        write!(out, "subnet    {}  {}", word(&subnet, "name"), words(&subnet, "prefixes"))?;
        let outbound = subnet.get("outbound").cloned().unwrap_or_default();
        let addresses = words(&outbound, "addresses");
        write!(out, "  out by {}", word(&outbound, "method"))?;
        if !addresses.is_empty() {
            write!(out, " {addresses}")?;
        }
        for (label, field) in [("endpoints", "endpoints"), ("policies", "policies")] {
            let held = words(&subnet, field);
            if !held.is_empty() {
                write!(out, "  {label} {held}")?;
            }
        }
        for (label, field) in [("table", "route_table"), ("guarded by", "security_group")] {
            let held = word(&subnet, field);
            if !held.is_empty() {
                write!(out, "  {label} {held}")?;
            }
        }
        writeln!(out)?;
        for route in subnet.get("routes").and_then(Value::as_array).into_iter().flatten() {
            let address = match (word(route, "address"), word(route, "next_hop").as_str()) {
                (address, "VirtualAppliance") if address.is_empty() => {
                    "(address unknown)".to_owned()
                }
                (address, _) => address,
            };
            let prefix = word(route, "prefix");
            let prefix = if prefix.is_empty() { "(unknown)".to_owned() } else { prefix };
            writeln!(out, "  route   {prefix} to {} {address}", word(route, "next_hop"))?;
        }
    }
    for one in list("resources") {
        let default = word(&one, "default");
        let default = if default.is_empty() { "unknown".to_owned() } else { default };
        write!(
            out,
            "resource  {}  {}  public {}",
            word(&one, "name"),
            word(&one, "kind"),
            word(&one, "public_access")
        )?;
        write!(out, "  default {default}")?;
        for (label, field) in [("at", "addresses"), ("ip", "ip_rules"), ("subnets", "subnet_rules")]
        {
            let held = words(&one, field);
            if !held.is_empty() {
                write!(out, "  {label} {held}")?;
            }
        }
        writeln!(out)?;
    }
    for nic in list("nics") {
        let address = word(&nic, "address");
        let address = if address.is_empty() { "address unknown".to_owned() } else { address };
        let public = word(&nic, "public");
        let public = if public.is_empty() { public } else { format!("  public {public}") };
        let forwards = nic.get("forwarding").and_then(Value::as_bool).unwrap_or_default();
        let forwards = if forwards { "  forwards" } else { "" };
        writeln!(
            out,
            "interface {}  {address} in {}{public}{forwards}",
            word(&nic, "name"),
            word(&nic, "subnet")
        )?;
    }
    for one in list("unresolved") {
        writeln!(
            out,
            "unresolved  {}: {}: {}",
            word(&one, "file"),
            word(&one, "path"),
            word(&one, "why")
        )?;
    }
    for one in list("contradictions") {
        writeln!(out, "contradicts {}", word(&one, "what"))?;
    }
    let ignored = value.get("ignored").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, count) in ignored {
        writeln!(out, "ignored     {count} {name}")?;
    }
    for one in list("assumptions") {
        writeln!(out, "assuming    {}: {}", word(&one, "code"), word(&one, "text"))?;
    }
    Ok(out)
}

fn word(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn words(value: &Value, field: &str) -> String {
    let list = value.get(field).and_then(Value::as_array);
    let words = list.into_iter().flatten().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(" ")
}
