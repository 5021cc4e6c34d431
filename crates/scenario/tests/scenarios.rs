//! Checks that every `.scn` file of this crate has the outcomes that it says.
//! `VNETEM_BLESS=1 cargo test -p vnetem-scenario` writes the present ones instead.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vnetem_azure::ServiceTags;
use vnetem_scenario::Options;
use vnetem_scenario::Scenario;

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
fn every_scenario_gives_its_outcomes() {
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

/// Each file is a claim: its first line states it, the comment below cites the statements, and its
/// name is a short form.
#[test]
fn every_scenario_names_claim_and_statements() {
    let files = files();
    assert!(files.len() > 30, "{} scenarios", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        let below = text.lines().skip(1).take_while(|line| line.starts_with('#'));
        let statement = |word: &str| {
            let word = word.trim_end_matches([',', '.', ')']);
            word.split_once('-').is_some_and(|(kind, number)| {
                ["S", "R", "N", "F", "E", "P", "T", "U", "C"].contains(&kind)
                    && number.parse::<u8>().is_ok()
            })
        };
        assert!(first.starts_with("# "), "{}", name(&path));
        assert!(
            below.flat_map(str::split_whitespace).any(statement),
            "{} cites no statement below its claim",
            name(&path)
        );
        // The demo scenario alone has a name of one word.
        let is_claim = name(&path).contains('-') || name(&path) == "demo.scn";
        assert!(is_claim, "{}", name(&path));
    }
}

/// A time that the claim names occurs in the file: two steps are that far apart, or a line says it.
#[test]
fn every_scenario_takes_its_claimed_times() {
    let mut named = 0;
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (claim, story) = text.split_once('\n').unwrap();
        let mut now = Duration::ZERO;
        let mut moments = vec![now];
        let mut said = Vec::new();
        for line in story.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let times = times(line);
            match line.split_whitespace().next() {
                Some("at") => now = times.first().copied().unwrap_or(now),
                Some("wait") => now += times.iter().sum(),
                _ => said.extend(times),
            }
            moments.push(now);
        }
        for time in times(claim) {
            named += 1;
            let is_apart = moments.iter().any(|one| moments.contains(&(*one + time)));
            assert!(is_apart || said.contains(&time), "{}: no {time:?} in it", name(&path));
        }
    }
    assert!(named > 1, "{named} times in all claims");
}

/// Returns the times in a line: numbers with their units, together or apart.
fn times(line: &str) -> Vec<Duration> {
    let words: Vec<&str> =
        line.split_whitespace().map(|word| word.trim_end_matches([',', '.', ':', ';'])).collect();
    let numbered = words.iter().enumerate().filter_map(|(at, word)| {
        let digits = word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len());
        let (number, unit) = word.split_at(digits);
        let unit = if unit.is_empty() { words.get(at + 1).copied()? } else { unit };
        let milliseconds = match unit {
            "ms" => 1,
            "s" | "second" | "seconds" => 1000,
            "min" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            _ => return None,
        };
        Some(Duration::from_millis(number.parse::<u64>().ok()? * milliseconds))
    });
    numbered.collect()
}
