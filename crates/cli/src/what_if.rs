//! `vnetem what-if`: what a change does to a user's own traffic.

use core::net::Ipv4Addr;
use std::path::Path;

use vnetem_azure::import::Importer;
use vnetem_scenario::{Options as Playing, Scenario};
use vnetem_whatif::files::{ChangeFiles, switch};
use vnetem_whatif::{Change, Options, Report, Traffic, compare};

use crate::arguments::{Common, Output};
use crate::progress::Bar;
use crate::questions::{Sources, WhatIf};
use crate::{Answer, Failure, load, sources};

/// The plan, the flow log and the names that the command brings along.
const PLAN: &str = include_str!("../demo/plan.json");
const FLOWS: &str = include_str!("../demo/PT1H.json");
const HOSTS: [(&str, [u8; 4]); 3] =
    [("stdata", [20, 60, 26, 10]), ("stlogs", [20, 60, 26, 20]), ("sqlsrv", [13, 69, 104, 10])];

pub(crate) fn what_if(common: &Common, asked: &WhatIf) -> Result<Answer, Failure> {
    let mut notes = Vec::new();
    let bar = Bar::new();
    let report = if is_demo(asked)? {
        notes.push(
            "a plan and a flow log that vnetem brings along; with your own: vnetem what-if --plan \
             plan.json --flows PT1H.json"
                .to_owned(),
        );
        demo()?
    } else if let Some(scenario) = asked.sources.scenario()? {
        of_scenario(common, asked, scenario, &bar, &mut notes)?
    } else {
        of_files(asked, &bar, &mut notes)?
    };
    bar.end();
    if let Some(path) = &asked.html {
        let page = report.html();
        std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
        notes.push(format!("the same as a page: {}", path.display()));
    }
    let text = match common.output {
        Output::Text => report.to_string(),
        Output::Json => report.json(),
    };
    Ok(Answer { text, notes, good: !report.different })
}

/// Whether nothing of one's own is asked about.
fn is_demo(asked: &WhatIf) -> Result<bool, Failure> {
    let lists = [&asked.plan, &asked.arm_what_if, &asked.before, &asked.sources.model];
    let models = lists.iter().any(|list| !list.is_empty());
    let rest = [&asked.flows, &asked.pcap, &asked.sources.hosts, &asked.sources.parameters];
    let more = rest.iter().any(|list| !list.is_empty())
        || !asked.enable.is_empty()
        || !asked.disable.is_empty()
        || !asked.sources.address.is_empty()
        || asked.sources.list.tags.is_some();
    match (models, more) {
        (false, true) => Err("of which network? Give --plan, -m, --before and --after, or \
                              --arm-what-if"
            .into()),
        (models, _) => Ok(!models),
    }
}

fn demo() -> Result<Report, Failure> {
    let mut importer = Importer::new();
    importer.read("demo/plan.json", PLAN.as_bytes())?;
    let sources = Sources {
        address: HOSTS.iter().map(|(name, at)| ((*name).to_owned(), Ipv4Addr::from(*at))).collect(),
        ..Sources::default()
    };
    let mut estate = sources.files().estate(&[&importer])?;
    estate.load(&importer.before());
    let change = estate.change_to(&importer.inventory());
    let mut traffic = Traffic::new();
    traffic.read_flow_log("demo/PT1H.json", FLOWS.as_bytes())?;
    Ok(estate.report(&change, &traffic, None))
}

fn of_files(asked: &WhatIf, bar: &Bar, notes: &mut Vec<String>) -> Result<Report, Failure> {
    let files = ChangeFiles {
        plan: asked.plan.clone(),
        arm_what_if: asked.arm_what_if.clone(),
        before: asked.before.clone(),
        after: asked.after.clone(),
        enable: asked.enable.clone(),
        disable: asked.disable.clone(),
    };
    let (estate, change) = files.read(&asked.sources.files(), notes)?;
    let inside = |address| estate.is_inside(address);
    let traffic = sources::traffic(&asked.flows, &asked.pcap, inside, bar, notes)?;
    let show = |progress| bar.show(progress);
    let mut report = estate.report(&change, &traffic, Some(&show));
    report.traffic.sources = traffic.sources().to_vec();
    Ok(report)
}

fn of_scenario(
    common: &Common,
    asked: &WhatIf,
    path: &Path,
    bar: &Bar,
    notes: &mut Vec<String>,
) -> Result<Report, Failure> {
    if asked.enable.is_empty() && asked.disable.is_empty() {
        return Err(format!("{}: what changes? Give --enable or --disable", path.display()).into());
    }
    let scenario: Scenario = load::scenario(Some(path))?;
    let tags = load::tags(&asked.sources.list)?;
    let day = tags.date().map(|day| day.to_string());
    let stage = scenario.play_until(None, Playing { seed: common.seed, tags, tap: None })?;
    let mut network = stage.network().clone();
    let begun = Change::begin(&mut network);
    switch(&mut network, &asked.enable, &asked.disable)?;
    let change = begun.end(&mut network);
    let inside = |address| network.subnets().any(|(_, subnet)| subnet.prefix.contains(&address));
    let traffic = sources::traffic(&asked.flows, &asked.pcap, inside, bar, notes)?;
    let show = |progress| bar.show(progress);
    let options = Options { progress: Some(&show), ..Options::default() };
    let mut report = compare(&change, &traffic, &options);
    report.tags = day;
    Ok(report)
}
