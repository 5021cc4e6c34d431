//! `docs/nat-conformance.md` names for every behaviour of the translator the tests that hold it; this keeps the names true.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::fs;
use std::path::Path;

#[test]
fn every_behaviour_is_listed_and_every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A published package has no such page.
    let page = match fs::read_to_string(root.join("docs/nat-conformance.md")) {
        Ok(text) => text,
        Err(error) => {
            let page = "docs/nat-conformance.md";
            return vnetem_checks::skip("tests named by a page", format!("{page}: {error}"));
        }
    };
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| T-")).collect();
    let numbers: Vec<_> = rows.iter().map(|row| row[4..6].parse::<u8>().unwrap()).collect();
    assert_eq!(numbers, (1..=39).collect::<Vec<_>>());
    for (row, number) in rows.iter().zip(numbers) {
        assert!(row.contains(".rs::"), "tests of T-{number:02}");
    }
    let names: Vec<_> = page.split('`').filter_map(|words| words.split_once(".rs::")).collect();
    assert!(names.len() > 60);
    for (file, name) in names {
        let source = fs::read_to_string(root.join("crates").join(format!("{file}.rs")));
        let found = source.is_ok_and(|source| source.contains(&format!("fn {name}(")));
        assert!(found, "{file}.rs::{name} does not exist");
    }
}
