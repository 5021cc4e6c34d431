//! Which tests hold which statement: docs/data/conformance.tsv.
//!
//! A test holds a statement if it cites it: in its own name (`r_09_...`), in the comment right
//! above it, or, for a scenario, in the comment at its top.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::files::{File, all, generated};
use crate::names::{Number, cited, spelled_out};
use crate::statements::{Modelled, statements};

const TABLE: &str = "docs/data/conformance.tsv";

/// Kinds whose every statement is also broken on purpose, by a patch of `.ci/seeded-faults`.
const BROKEN: &str = "SERNFPWL";

#[test]
fn every_modelled_statement_has_tests() {
    let tests = tests_of_the_workspace();
    let mut wrong = Vec::new();
    for one in statements().iter().filter(|one| one.number.kind != 'C' && one.number.kind != 'U') {
        if !matches!(one.modelled, Modelled::No(_)) && !tests.contains_key(&one.number) {
            wrong.push(format!("{} is cited by no test", one.number));
        }
    }
    let mut table = String::from("statement\ttest\n");
    for (number, names) in &tests {
        for name in names {
            writeln!(table, "{number}\t{name}").unwrap();
        }
    }
    wrong.extend(generated(TABLE, &table));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The first line of a patch says which statements it breaks, and below it what catches it.
#[test]
fn every_modelled_statement_is_broken() {
    let tests = tests_of_the_workspace();
    let (mut broken, mut wrong) = (BTreeSet::new(), Vec::new());
    for patch in all().iter().filter(|file| file.is("patch")) {
        let catching = catching(&patch.text);
        let claim = patch.text.split_once(": ").map_or("", |(claim, _)| claim);
        for number in cited(claim).into_iter().filter(|number| BROKEN.contains(number.kind)) {
            let names = tests.get(&number).map_or(&[][..], Vec::as_slice);
            if names.iter().any(|test| catching.iter().any(|end| test.ends_with(end))) {
                broken.insert(number);
            } else {
                wrong.push(format!("{}:1: what catches it cites {number} nowhere", patch.path));
            }
        }
    }
    for one in statements().iter().filter(|one| BROKEN.contains(one.number.kind)) {
        if !matches!(one.modelled, Modelled::No(_)) && !broken.contains(&one.number) {
            wrong.push(format!("{} is broken by no patch", one.number));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// What catches a seeded fault, as names of tests end: its test, and the scenarios it names.
fn catching(patch: &str) -> Vec<String> {
    let line = |start| patch.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
    let test = line("Caught by: cargo test ").rsplit([':', ' ']).next().unwrap_or_default();
    let scenarios = line("Scenarios: ").split(", ").filter(|name| !name.is_empty());
    let scenarios = scenarios.map(|name| format!("/{name}.scn"));
    scenarios.chain([format!("::{test}")]).collect()
}

/// The tests that cite each statement, in the order of files and lines.
fn tests_of_the_workspace() -> BTreeMap<Number, Vec<String>> {
    let mut tests: BTreeMap<Number, Vec<String>> = BTreeMap::new();
    for file in all() {
        let Some(name) = file.path.strip_prefix("crates/") else { continue };
        for (test, numbers) in tests_of(&file, name) {
            for number in numbers {
                let tests = tests.entry(number).or_default();
                if tests.last() != Some(&test) {
                    tests.push(test.clone());
                }
            }
        }
    }
    tests
}

fn tests_of(file: &File, name: &str) -> Vec<(String, Vec<Number>)> {
    if file.is("scn") {
        let top: Vec<_> = file.text.lines().take_while(|line| line.starts_with('#')).collect();
        return vec![(name.to_owned(), cited(&top.join(" ")))];
    }
    if !file.is("rs") {
        return Vec::new();
    }
    let tests = tests_in(&file.text).into_iter();
    tests.map(|test| (format!("{name}::{}", test.name), test.cites)).collect()
}

/// A test of a source: its name, its line and the statements that it cites.
pub(crate) struct Test {
    pub name: String,
    pub line: usize,
    pub cites: Vec<Number>,
}

/// Finds every `#[test]` of a source.
pub(crate) fn tests_in(source: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let (mut above, mut is_test) = (String::new(), false);
    for (at, line) in source.lines().map(str::trim).enumerate() {
        if line.starts_with("//") {
            above.push_str(line);
            above.push(' ');
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
            if let Some(name) = name.filter(|_| is_test) {
                above.push_str(&spelled_out(name));
                tests.push(Test { name: name.to_owned(), line: at + 1, cites: cited(&above) });
            }
            (above, is_test) = (String::new(), false);
        }
    }
    tests
}

#[test]
fn tests_cite_by_name_and_comment() {
    let source = "
        /// R-05: of longer ones.
        // And R-06.
        #[test]
        #[allow(clippy::unwrap_used, reason = \"S-01\")]
        fn the_longest_wins() {}
        /// R-07, of no test.
        fn helper() {}
        #[test]
        fn n_12_ports_are_shared(x in 0..3) {}
        #[test]
        fn of_nothing() {}";
    let found: Vec<_> = tests_in(source)
        .into_iter()
        .map(|test| (test.name, test.line, cites(&test.cites)))
        .collect();
    let expected = [("the_longest_wins", 6, "R-05 R-06"), ("n_12_ports_are_shared", 10, "N-12")];
    let expected = expected.into_iter().chain([("of_nothing", 12, "")]);
    let expected: Vec<_> =
        expected.map(|(name, line, cites)| (name.to_owned(), line, cites.to_owned())).collect();
    assert_eq!(found, expected);
}

fn cites(numbers: &[Number]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
