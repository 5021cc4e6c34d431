//! `vnetem trace`, `routes` and `next-hop` on a user's own files.

use core::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use vnetem::{
    DataPlane, Edge, Network, Settings, Snapshot, SubnetId, Time,
    control::{Choice, NextHop as Hop, NextHopType},
    trace::Trace as Explained,
};
use vnetem_azure::import::Importer;
use vnetem_scenario::report::Routes as Shown;
use vnetem_whatif::files::{ChangeFiles, Switch};
use vnetem_whatif::{Estate, subnets_named};

use crate::arguments::{Common, Model, Output};
use crate::questions::{NextHop, Sources};
use crate::{Answer, Failure, against, json, load};

/// A network of files with its snapshot.
pub(crate) struct Loaded {
    pub(crate) estate: Estate,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) notes: Vec<String>,
}

impl Loaded {
    pub(crate) fn network(&self) -> &Network {
        &self.estate.loaded().network
    }
}

/// Loads the files, as they are behind the change if one holds a change.
pub(crate) fn load(sources: &Sources, on: &[Switch], off: &[Switch]) -> Result<Loaded, Failure> {
    let mut notes = Vec::new();
    let files = sources.files();
    let importer = files.read(&[], &mut notes)?;
    let mut estate = files.estate(&[&importer])?;
    estate.load(&importer.inventory());
    let (enable, disable) = (on.to_vec(), off.to_vec());
    ChangeFiles { enable, disable, ..ChangeFiles::default() }.switch(&mut estate)?;
    let snapshot = estate.network_mut().commit();
    for one in estate.left_out() {
        notes.push(format!("left out: {one}"));
    }
    Ok(Loaded { estate, snapshot, notes })
}

/// Explains one packet.
pub(crate) fn trace(
    sources: &Sources,
    from: &str,
    packet: &[u8],
    on: &[Switch],
    off: &[Switch],
) -> Result<(Explained, Vec<String>), Failure> {
    let loaded = load(sources, on, off)?;
    let source =
        Ipv4Addr::from(packet.get(12..16).and_then(|at| at.try_into().ok()).unwrap_or([0; 4]));
    let edge = edge(loaded.network(), from, source)?;
    let plane = DataPlane::new(loaded.snapshot, Settings::replayable(1));
    let explained = plane.trace(Time(0), edge, packet);
    let mut notes = loaded.notes;
    notes.extend(loaded.estate.stand_ins_in(&explained.to_string()));
    Ok((explained, notes))
}

/// Where a host's packets enter: by its interface, if one is declared at its address.
fn edge(network: &Network, from: &str, source: Ipv4Addr) -> Result<Edge, Failure> {
    if from.eq_ignore_ascii_case("internet") {
        return Ok(Edge::Internet);
    }
    if let Some(name) = from.strip_prefix("nic ") {
        let found = network.nics().find(|(_, nic)| nic.name.eq_ignore_ascii_case(name));
        return found
            .map(|(id, _)| Edge::Nic(id))
            .ok_or_else(|| format!("no interface is named {name}").into());
    }
    let places = subnets_named(network, from)?;
    let nic = network.nics().find(|(_, nic)| nic.address == source && places.contains(&nic.subnet));
    if let Some((id, _)) = nic {
        return Ok(Edge::Nic(id));
    }
    Ok(Edge::Subnet(holder(network, &places, source)?))
}

/// Of a subnet of several ranges, the one that has the address.
fn holder(network: &Network, places: &[SubnetId], source: Ipv4Addr) -> Result<SubnetId, Failure> {
    let inside =
        |id: &&SubnetId| network.subnet(**id).is_ok_and(|subnet| subnet.prefix.contains(&source));
    let found = places.iter().find(inside).or_else(|| places.first());
    found.copied().ok_or_else(|| "there is no such subnet".into())
}

/// Lists effective routes, or compares them with Azure's.
pub(crate) fn routes(
    common: &Common,
    sources: &Sources,
    subnet: &str,
    all: bool,
    with: Option<&Path>,
) -> Result<Answer, Failure> {
    let loaded = load(sources, &[], &[])?;
    let places = subnets_named(loaded.network(), subnet)?;
    let Some(place) = places.first() else { return Err("there is no such subnet".into()) };
    let shown = Shown {
        at: Time(0),
        generation: loaded.snapshot.generation(),
        subnet: loaded.snapshot.subnet_name(*place),
        all,
        routes: loaded.snapshot.effective_routes(*place),
    };
    let Some(path) = with else {
        let text = match common.output {
            Output::Text => vnetem_scenario::route_table(&shown.routes, all).join("\n") + "\n",
            Output::Json => json::routes(&shown),
        };
        let mut notes = loaded.notes;
        notes.extend(loaded.estate.stand_ins_in(&text));
        return Ok(Answer { text, notes, good: true });
    };
    let mut answer = against(common, &shown, path)?;
    answer.notes = loaded.notes;
    Ok(answer)
}

/// Compares effective routes with those that Azure says.
pub(crate) fn against(common: &Common, shown: &Shown, path: &Path) -> Result<Answer, Failure> {
    let mut importer = Importer::new();
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    importer.read(&name, &bytes)?;
    let [(_, theirs)] = importer.effective_routes() else {
        return Err(format!(
            "{name}: no effective routes; they come from `az network nic show-effective-route-table`"
        )
        .into());
    };
    let found = against::compare(shown, theirs);
    let text = match common.output {
        Output::Text => found.text(),
        Output::Json => found.json(),
    };
    Ok(Answer { text, notes: Vec::new(), good: found.is_equal() })
}

/// Says where packets to an address go.
pub(crate) fn next_hop(common: &Common, asked: &NextHop) -> Result<Answer, Failure> {
    let (snapshot, place, notes) =
        asked_subnet(common, &asked.model, &asked.subnet, asked.destination)?;
    let choice = snapshot.next_hop(place, asked.destination);
    let kind = choice.map_or("None", |choice| Choice::next_hop_type(choice).name());
    let (address, prefix, source, service) = match choice {
        Some(Choice::Endpoint { service, prefix }) => {
            (None, Some(prefix), "Default".to_owned(), Some(snapshot.service_name(service)))
        }
        Some(Choice::Route(route)) => {
            let address = match route.next_hop {
                Hop::VirtualAppliance(address) => Some(address),
                _ => None,
            };
            (address, Some(route.prefix), route.source.to_string(), None)
        }
        None => (None, None, "no route".to_owned(), None),
    };
    let text = match common.output {
        Output::Text => {
            let address = address.map(|address| format!(" {address}")).unwrap_or_default();
            let prefix = prefix.map(|prefix| format!(" {prefix}")).unwrap_or_default();
            let service = service.map(|service| format!(" of {service}")).unwrap_or_default();
            format!("{kind}{address}   by {source}{prefix}{service}\n")
        }
        Output::Json => {
            let value: Value = json!({
                "schema": "vnetem/1",
                "verb": "next-hop",
                "subnet": snapshot.subnet_name(place),
                "address": asked.destination.to_string(),
                "next_hop": kind,
                "next_hop_address": address.map(|address| address.to_string()),
                "prefix": prefix.map(|prefix| prefix.to_string()),
                "source": source,
                "service": service,
            });
            format!("{value:#}\n")
        }
    };
    let good = choice.is_some_and(|choice| choice.next_hop_type() != NextHopType::None);
    Ok(Answer { text, notes, good })
}

/// The subnet of a scenario's model or of files, with its snapshot.
fn asked_subnet(
    common: &Common,
    model: &Model,
    subnet: &str,
    to: Ipv4Addr,
) -> Result<(Arc<Snapshot>, SubnetId, Vec<String>), Failure> {
    let first = |network: &Network| -> Result<SubnetId, Failure> {
        let places = subnets_named(network, subnet)?;
        places.first().copied().ok_or_else(|| "there is no such subnet".into())
    };
    if model.sources.has_files()? {
        let loaded = load(&model.sources, &[], &[])?;
        let place = first(loaded.network())?;
        let mut notes = loaded.notes;
        if let Some(Choice::Route(route)) = loaded.snapshot.next_hop(place, to) {
            notes.extend(loaded.estate.stand_ins_in(&route.to_string()));
        }
        return Ok((loaded.snapshot, place, notes));
    }
    let stage = load::stage(common, model)?;
    let mut network = stage.network().clone();
    let place = first(&network)?;
    Ok((network.commit(), place, Vec::new()))
}
