//! What docs/data/statements.tsv and docs/data/invariants.tsv define.

use std::collections::BTreeSet;

use crate::names::{KINDS, Number, number};
use crate::table::table;

pub(crate) const STATEMENTS: &str = "docs/data/statements.tsv";
pub(crate) const INVARIANTS: &str = "docs/data/invariants.tsv";

/// How far a statement is modelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Modelled {
    Yes,
    Partly(String),
    No(String),
}

pub(crate) struct Statement {
    pub number: Number,
    pub holds: String,
    pub choice: String,
    pub source: String,
    pub modelled: Modelled,
}

pub(crate) struct Invariant {
    pub place: String,
    pub chapter: String,
    pub name: String,
    pub holds: String,
    /// Why nothing cites it, if nothing does.
    pub reason: String,
}

/// Reads all statements.
pub(crate) fn statements() -> Vec<Statement> {
    let rows = table(STATEMENTS, &["number", "holds", "choice", "source", "remark"]);
    rows.into_iter()
        .map(|row| {
            let number = number(row.get(0))
                .unwrap_or_else(|| panic!("{}: no statement: {}", row.place, row.get(0)));
            let modelled = match row.get(4).split_once(": ") {
                None if row.get(4).is_empty() => Modelled::Yes,
                Some(("partly", reason)) => Modelled::Partly(reason.to_owned()),
                Some(("not modelled", reason)) => Modelled::No(reason.to_owned()),
                _ => panic!("{}: no remark: {}", row.place, row.get(4)),
            };
            let [holds, choice, source] = [1, 2, 3].map(|column| row.get(column).to_owned());
            assert!(!holds.is_empty() && !source.is_empty(), "{}: an empty cell", row.place);
            Statement { number, holds, choice, source, modelled }
        })
        .collect()
}

/// Reads all invariants.
pub(crate) fn invariants() -> Vec<Invariant> {
    let rows = table(INVARIANTS, &["chapter", "name", "holds", "not cited because"]);
    rows.into_iter()
        .map(|row| {
            let [chapter, name, holds, reason] =
                [0, 1, 2, 3].map(|column| row.get(column).to_owned());
            Invariant { place: row.place, chapter, name, holds, reason }
        })
        .collect()
}

#[test]
fn statements_are_numbered_in_order() {
    let found: Vec<_> = statements().iter().map(|statement| statement.number).collect();
    let expected: Vec<_> = KINDS
        .into_iter()
        .flat_map(|(kind, _)| {
            let count = found.iter().filter(|number| number.kind == kind).count();
            (1..=count).map(move |at| Number { kind, at: u8::try_from(at).unwrap() })
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn invariants_have_names_of_words() {
    let mut names = BTreeSet::new();
    for Invariant { place, chapter, name, holds, .. } in invariants() {
        let words = name.strip_prefix("INV-").map_or(0, |name| name.split('-').count());
        assert!((2..=5).contains(&words), "{place}: {name}: 2 to 5 words behind INV-");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name[4..].chars().all(plain), "{place}: {name}: lower case and hyphens");
        assert!(!chapter.is_empty() && !holds.is_empty(), "{place}: an empty cell");
        assert!(names.insert(name.clone()), "{place}: {name} is defined twice");
    }
}
