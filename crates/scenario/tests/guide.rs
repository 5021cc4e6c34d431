//! Plays the scenarios of the guide.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use vnetem_scenario::{Options, Scenario};

/// The blocks of text of the guide, which a package without its repository lacks.
fn blocks() -> Option<Vec<String>> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/scenarios.md");
    let Ok(page) = fs::read_to_string(guide) else {
        vnetem_checks::skip("the guide of scenarios", "there is no docs folder above the crate");
        return None;
    };
    let pieces = page.split("```text\n").skip(1);
    Some(pieces.map(|piece| piece.split("```").next().unwrap().to_owned()).collect())
}

#[test]
fn guide_shows_what_comes_out() {
    let Some(blocks) = blocks() else { return };
    let scenario = Scenario::parse("first.scn", &blocks[0]).unwrap();
    let report = scenario.play(Options::embedded()).unwrap();
    let text = scenario.with_outcomes(&report);
    let played = text.split_once("\nat 0ms").map(|(_, steps)| format!("at 0ms{steps}")).unwrap();
    assert_eq!(blocks[1], played);
    assert!(report.is_as_expected(), "no change was refused");
    let golden = Scenario::parse("first.scn", &text).unwrap();
    assert!(golden.play(Options::embedded()).unwrap().is_as_expected());
}

#[test]
fn guide_declares_hosts_that_play() {
    let Some(blocks) = blocks() else { return };
    let (model, _) = blocks[0].split_once("\nat 0ms").unwrap();
    let (declared, steps) = blocks[2].split_once("\nat 1s").unwrap();
    let text = format!("{model}\n{declared}\nat 1s{steps}");
    let report = Scenario::parse("tcp.scn", &text).unwrap().play(Options::embedded()).unwrap();
    let outcome = |step: &str| {
        let moment = report.timeline.iter().find(|moment| moment.step.starts_with(step));
        moment.unwrap_or_else(|| panic!("no {step}")).outcome.join("\n")
    };
    assert!(outcome("enable storage").contains("closed"), "{}", outcome("enable storage"));
    assert!(outcome("status backup").starts_with("reset"), "{}", outcome("status backup"));
    assert!(report.is_as_expected());
}
