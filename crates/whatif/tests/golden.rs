//! Small changes, each for one trap, with the whole answer beside it.
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

/// The files of a case whose names begin so, in the order of their names.
fn read(case: &Path, beginnings: &[&str]) -> Importer {
    let mut names: Vec<String> = fs::read_dir(case)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| beginnings.iter().any(|beginning| name.starts_with(beginning)))
        .collect();
    names.sort();
    let mut importer = Importer::new();
    for name in names {
        importer.read(&name, &fs::read(case.join(&name)).unwrap()).unwrap();
    }
    importer
}

/// Answers a case as the command does: a plan or a deployment what-if holds the change, or two
/// networks do.
fn answer(case: &Path) -> Report {
    let hosts = fs::read_to_string(case.join("hosts")).unwrap_or_default();
    let hosts: Vec<(String, Ipv4Addr)> = hosts
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(address, name)| (name.to_owned(), address.parse().unwrap()))
        .collect();
    let (before, after) = if case.join("before.json").exists() {
        (read(case, &["before"]).inventory(), read(case, &["after"]).inventory())
    } else {
        let importer = read(case, &["now", "plan", "whatif"]);
        assert!(importer.has_change(), "{}", case.display());
        (importer.before(), importer.inventory())
    };
    let mut estate = Estate::new(ServiceTags::embedded(), &hosts);
    estate.load(&before);
    let change = estate.change_to(&after);
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
    assert!(cases.len() >= 46, "{}", cases.len());
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
