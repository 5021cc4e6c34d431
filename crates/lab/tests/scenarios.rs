//! Every `.scn` file of this crate comes out as it says. `VNETEM_BLESS=1 cargo test -p vnetem-lab` writes what comes out instead.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vnetem_azure::ServiceTags;
use vnetem_lab::Scenario;
use vnetem_lab::scenario::Options;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scn"))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_scenario_comes_out_as_its_file_says() {
    let bless = vnetem_checks::flag("VNETEM_BLESS");
    let tags = Arc::new(ServiceTags::embedded());
    let mut wrong = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let options = Options { seed: None, tags: Arc::clone(&tags), tap: None };
        let played = Scenario::parse(name(&path), &text)
            .and_then(|scenario| Ok((scenario.play(options)?, scenario)));
        let (report, scenario) = match played {
            Ok(played) => played,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        let played = scenario.with_outcomes(&report);
        if bless {
            std::fs::write(&path, played).unwrap();
            continue;
        }
        wrong.extend(
            report.differences.iter().map(|difference| format!("{} {difference}", name(&path))),
        );
        if report.is_as_expected() && played != text {
            wrong.push(format!("{}: not laid out as it would be written", name(&path)));
        }
        if !scenario.is_golden() {
            wrong.push(format!("{}: says nothing of what comes out", name(&path)));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n\n"));
}

/// Each file is a claim: its first line states it with the numbers of the statements, and its name says it in short.
#[test]
fn every_scenario_names_its_claim_and_its_statements() {
    let files = files();
    assert!(files.len() > 30, "{} scenarios", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        let statement = |word: &str| {
            let word = word.trim_end_matches([',', '.', ')']);
            word.split_once('-').is_some_and(|(kind, number)| {
                ["S", "R", "N", "F", "E", "P", "T", "U", "C"].contains(&kind)
                    && number.parse::<u8>().is_ok()
            })
        };
        assert!(first.starts_with("# "), "{}", name(&path));
        assert!(
            first.split_whitespace().any(statement),
            "{} names no statement: {first}",
            name(&path)
        );
        assert!(name(&path).contains('-'), "{}", name(&path));
    }
}
