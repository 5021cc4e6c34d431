//! Evidence in docs/data: each table is whole, and names things that exist.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use regex::Regex;

use crate::conformance::tests_in;
use crate::files::{all, generated, root, tables};
use crate::statements::invariants;
use crate::table::table;

const FAULTS: &str = "docs/data/seeded-faults.tsv";

/// Every other table of docs/data, and its columns.
const TABLES: [(&str, &[&str]); 15] = [
    ("captures", &CAPTURES),
    ("coverage", &["crate", "lines", "reached"]),
    ("faults", &["number", "fault", "what holds", "test"]),
    ("figures", &["what", "command", "goal", "reached"]),
    ("flows", &FLOWS),
    ("found", &["by", "what", "kept in"]),
    ("fuzzing", &["target", "executions", "a run"]),
    ("lookup-batches", &["batch", "measured", "ratio to DPDK", "goal", "anchor", "reached"]),
    ("lookup-others", &["what", "measured", "goal", "anchor", "reached"]),
    ("lookup-proof", &["what", "where it holds"]),
    ("model-faults", &["what", "sequences"]),
    ("mutants", &["crate", "files", "viable", "caught", "then"]),
    ("exhaustive", &["invariant", "what", "states"]),
    ("small-layouts", &["layout", "10", "20 + 1,000", "500 + 1,000", "prototype in that run"]),
    ("small-tables", &SMALL),
];

const CAPTURES: [&str; 8] = [
    "setup",
    "packets",
    "forward",
    "back",
    "over the endpoint",
    "stopped",
    "flows",
    "closed by a toggle",
];

const FLOWS: [&str; 6] = [
    "what (ns a packet at 1k / 100k / 1M / 10M flows)",
    "measured",
    "goal",
    "safe prototype",
    "prefetching prototype",
    "reached",
];

const SMALL: [&str; 8] = [
    "own routes over shared ones",
    "bytes a table",
    "goal",
    "ns",
    "prototype in that run",
    "ratio",
    "ratio asked for by the goal",
    "reached",
];

#[test]
fn the_seeded_faults_are_listed() {
    let mut table = String::from("fault\twhat it breaks\tcaught by cargo test\tscenarios\n");
    let mut wrong = Vec::new();
    for patch in all().iter().filter(|file| file.is("patch")) {
        let name = patch.path.rsplit('/').next().unwrap_or_default();
        let name = name.trim_end_matches(".patch");
        let line = |start| patch.text.lines().find_map(|line| line.strip_prefix(start));
        let claim = patch.text.lines().next().unwrap_or_default().trim_end_matches('.');
        match line("Caught by: cargo test ") {
            Some(test) => {
                let scenarios = line("Scenarios: ").unwrap_or_default();
                writeln!(table, "{name}\t{claim}\t{test}\t{scenarios}").unwrap();
            }
            None => wrong.push(format!("{}:1: does not say what catches it", patch.path)),
        }
    }
    wrong.extend(generated(FAULTS, &table));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_table_has_its_columns() {
    for (name, columns) in TABLES {
        let rows = table(&format!("docs/data/{name}.tsv"), columns);
        assert!(!rows.is_empty(), "docs/data/{name}.tsv has no rows");
        for row in rows {
            assert!(!row.get(0).is_empty(), "{}: an empty first cell", row.place);
        }
    }
    let checked_elsewhere = ["conformance", "invariants", "seeded-faults", "statements"];
    let known: BTreeSet<String> = TABLES
        .iter()
        .map(|(name, _)| *name)
        .chain(checked_elsewhere)
        .map(|name| format!("docs/data/{name}.tsv"))
        .collect();
    let found: BTreeSet<String> = tables().into_iter().map(|file| file.path).collect();
    assert_eq!(found, known, "each table of docs/data is checked");
}

#[test]
fn evidence_names_what_exists() {
    let mut wrong = Vec::new();
    let read = |name: &str| {
        let (_, columns) = TABLES.into_iter().find(|(known, _)| *known == name).unwrap();
        table(&format!("docs/data/{name}.tsv"), columns)
    };
    let names: BTreeSet<String> = invariants().into_iter().map(|one| one.name).collect();
    for row in read("exhaustive") {
        for name in row.get(0).split(", ").filter(|name| !names.contains(*name)) {
            wrong.push(format!("{}: {name} is not defined", row.place));
        }
    }
    for row in read("fuzzing") {
        let target = format!("fuzz/fuzz_targets/{}.rs", row.get(0));
        if !root().join(&target).is_file() {
            wrong.push(format!("{}: there is no {target}", row.place));
        }
    }
    let tests = test_names();
    let faults = read("faults");
    for (at, row) in faults.iter().enumerate() {
        let number = format!("{}", at + 1);
        let prefix = format!("fault_{:02}_", at + 1);
        if row.get(0) != number || !row.get(3).starts_with(&prefix) || !tests.contains(row.get(3)) {
            wrong.push(format!("{}: {}: no such test, or not in order", row.place, row.get(3)));
        }
    }
    let numbered = tests.iter().filter(|name| name.starts_with("fault_")).count();
    assert_eq!(faults.len(), numbered, "docs/data/faults.tsv lists every fault that is tested");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Pages name tests as `nat/tests/it/ports.rs::name`, below `crates/`, or by a name of four words.
#[test]
fn tests_named_by_pages_exist() {
    let with_file = Regex::new(r"([a-z]+/(?:src|tests)/[\w/]+\.rs)::(\w+)").unwrap();
    let alone = Regex::new(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`").unwrap();
    let function = Regex::new(r"\bfn (\w+)").unwrap();
    let files = all();
    let sources = files.iter().filter(|file| file.is("rs"));
    let functions: BTreeSet<&str> = sources
        .flat_map(|file| function.captures_iter(&file.text))
        .filter_map(|found| found.get(1).map(|name| name.as_str()))
        .collect();
    let (mut wrong, mut count) = (Vec::new(), 0);
    let pages = files.iter().filter(|file| file.is("md"));
    for page in pages.chain(&tables()) {
        for (at, line) in page.text.lines().enumerate() {
            for found in with_file.captures_iter(line).filter(|_| page.is("md")) {
                count += 1;
                let path = format!("crates/{}", &found[1]);
                let source = files.iter().find(|file| file.path == path);
                let name = format!("fn {}(", &found[2]);
                if !source.is_some_and(|source| source.text.contains(&name)) {
                    wrong.push(format!("{}:{}: there is no {}", page.path, at + 1, &found[0]));
                }
            }
            for found in alone.captures_iter(line) {
                count += 1;
                if !functions.contains(&found[1]) {
                    wrong.push(format!("{}:{}: there is no {}", page.path, at + 1, &found[1]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(count > 20, "pages name only {count} tests");
}

/// The names of all tests.
fn test_names() -> BTreeSet<String> {
    let files = all();
    let sources = files.iter().filter(|file| file.is("rs"));
    sources.flat_map(|file| tests_in(&file.text)).map(|test| test.name).collect()
}
