//! Small plans, each for one trap, with the whole answer beside it.
//!
//! `VNETEM_BLESS=1 cargo test -p vnetem-whatif --test golden` writes the answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use vnetem_azure::ServiceTags;
use vnetem_azure::import::Importer;
use vnetem_whatif::{Estate, Report, Traffic};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn answer(case: &Path) -> Report {
    let mut importer = Importer::new();
    importer.read("plan.json", &fs::read(case.join("plan.json")).unwrap()).unwrap();
    let hosts = fs::read_to_string(case.join("hosts")).unwrap_or_default();
    let hosts: Vec<(String, Ipv4Addr)> = hosts
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(address, name)| (name.to_owned(), address.parse().unwrap()))
        .collect();
    let mut estate = Estate::new(ServiceTags::embedded(), &hosts);
    estate.load(&importer.before());
    let change = estate.change_to(&importer.inventory());
    let mut traffic = Traffic::new();
    if let Ok(log) = fs::read(case.join("PT1H.json")) {
        traffic.read_flow_log("PT1H.json", &log[..]).unwrap();
    }
    estate.report(&change, &traffic, None)
}

#[test]
fn answers_are_as_blessed() {
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let report = answer(case);
        let claim = fs::read_to_string(case.join("claim.txt")).unwrap();
        for (name, text) in
            [("answer.txt", format!("{claim}\n{report}")), ("answer.json", report.json())]
        {
            let path = case.join(name);
            if std::env::var_os("VNETEM_BLESS").is_some() {
                fs::write(&path, &text).unwrap();
            } else if fs::read_to_string(&path).unwrap_or_default() != text {
                wrong.push(path.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?} differ; VNETEM_BLESS=1 writes them");
    assert!(cases.len() >= 14, "{}", cases.len());
}

/// The steps are no guess: after the last one nothing is refused that a rule can let in.
#[test]
fn last_step_leaves_no_refusal() {
    for case in cases() {
        let report = answer(&case);
        let Some(last) = report.plan.stages.last().filter(|_| !report.steps.is_empty()) else {
            continue;
        };
        assert_eq!(last.newly_refused, 0, "{}\n{report}", case.display());
    }
}
