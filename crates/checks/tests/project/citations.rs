//! Every citation leads somewhere, and every definition is cited or says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::files::{File, all, root, tables};
use crate::names::{Number, cited, invariants, spelled_out};
use crate::statements::{Modelled, invariants as defined_invariants, statements};

/// Pages that are written from the definitions.
const GENERATED: [&str; 2] = ["docs/requirements.md", "docs/invariants.md"];

#[test]
fn cited_statements_and_invariants_exist() {
    let numbers: BTreeSet<Number> = statements().iter().map(|one| one.number).collect();
    let names: BTreeSet<String> = defined_invariants().into_iter().map(|one| one.name).collect();
    let mut wrong = Vec::new();
    for file in all().into_iter().chain(tables()) {
        for (at, line) in file.text.lines().enumerate() {
            let place = format!("{}:{}", file.path, at + 1);
            let missing = cited(line).into_iter().filter(|number| !numbers.contains(number));
            wrong.extend(missing.map(|number| format!("{place}: {number} is not defined")));
            let missing = invariants(line).into_iter().filter(|name| !names.contains(*name));
            wrong.extend(missing.map(|name| format!("{place}: {name} is not defined")));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn definitions_are_cited_or_excused() {
    let mut numbers = BTreeSet::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for file in all().iter().filter(|file| holds(file)) {
        numbers.extend(cited(&file.text));
        if file.is("rs") {
            numbers.extend(
                file.text.lines().filter_map(test_name).flat_map(|name| cited(&spelled_out(name))),
            );
        }
        for name in invariants(&file.text) {
            names.entry(name.to_owned()).or_insert_with(|| file.path.clone());
        }
    }
    let mut wrong = Vec::new();
    for one in statements() {
        let excused = matches!(one.modelled, Modelled::No(_));
        if !excused && !numbers.contains(&one.number) {
            wrong.push(format!("{} is cited by no source or test", one.number));
        }
    }
    for one in defined_invariants() {
        match (names.get(&one.name), one.reason.is_empty()) {
            (None, true) => wrong.push(format!("{}: {} is cited nowhere", one.place, one.name)),
            (Some(path), false) => {
                wrong.push(format!("{}: {path} cites it, so no excuse is due", one.place));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn cited_documents_exist() {
    let document = Regex::new(r"(?:https?://\S*)|([A-Za-z0-9_./-]*[A-Za-z0-9_-]\.md)\b").unwrap();
    let root = root();
    let mut wrong = Vec::new();
    for file in all() {
        for (at, line) in file.text.lines().enumerate() {
            if line.contains("DESIGN") {
                wrong.push(format!("{}:{}: there is no DESIGN", file.path, at + 1));
            }
            for found in document.captures_iter(line).filter_map(|found| found.get(1)) {
                let name = found.as_str().trim_start_matches('/');
                let folders = Path::new(&file.path).ancestors().skip(1);
                let exists =
                    folders.map(|folder| root.join(folder).join(name)).any(|path| path.is_file());
                if !exists {
                    wrong.push(format!("{}:{}: there is no {name}", file.path, at + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Says whether a file is a source, a scenario or a test: not a page about them.
fn holds(file: &File) -> bool {
    (file.is("rs") || file.is("scn")) && !GENERATED.contains(&file.path.as_str())
}

fn test_name(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("fn ")?.split(['(', '<']).next()
}
