//! Counts of what was there before a rule: `known.tsv` has a row for each rule and file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use crate::files::root;
use crate::prose::Finding;
use crate::table::table;

const KNOWN: &str = "crates/checks/known.tsv";
/// Findings that a failure shows of one file.
const SHOWN: usize = 20;

type Counts = BTreeMap<(String, String), usize>;

/// Fails if a file has more findings of a rule than are known.
///
/// With `VNETEM_BLESS=1` it writes the counts of now, unless a rule has more findings in all than
/// before: a file that was moved or split may take its count along.
pub(crate) fn compare(findings: &[Finding]) {
    let known = known();
    let mut now = Counts::new();
    for one in findings {
        *now.entry((one.rule.to_owned(), one.file.clone())).or_default() += 1;
    }
    let more = more(&known, &now);
    let bless = vnetem_checks::flag("VNETEM_BLESS");
    if bless && sums(&now).iter().all(|(rule, sum)| *sum <= sums(&known)[rule]) {
        write(&now);
        return;
    }
    let mut wrong = String::new();
    for (rule, file) in &more {
        let here = findings.iter().filter(|one| one.rule == rule && one.file == *file);
        let count = known.get(&(rule.clone(), file.clone())).copied().unwrap_or_default();
        writeln!(
            wrong,
            "{file}: {rule}: {count} are known, now there are {}",
            here.clone().count()
        )
        .unwrap();
        for one in here.take(SHOWN) {
            writeln!(wrong, "  {}:{}: {}", one.file, one.line, one.what).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for (key, count) in &known {
        let left = now.get(key).copied().unwrap_or_default();
        if left < *count {
            let (rule, file) = key;
            // Not by a macro, whose text the test harness would keep to itself.
            let _ = writeln!(
                std::io::stderr(),
                "{KNOWN}: {rule} of {file}: {left} of {count} are left; shrink me by \
                 VNETEM_BLESS=1 cargo test -p vnetem-checks"
            );
        }
    }
}

fn known() -> Counts {
    let rows = table(KNOWN, &["rule", "file", "count"]);
    rows.into_iter()
        .map(|row| {
            let count = row.get(2).parse();
            let count =
                count.unwrap_or_else(|_| panic!("{}: no number: {}", row.place, row.get(2)));
            ((row.get(0).to_owned(), row.get(1).to_owned()), count)
        })
        .collect()
}

/// Rules and files of which there is more now.
fn more(known: &Counts, now: &Counts) -> Vec<(String, String)> {
    let grown = now.iter().filter(|(key, count)| **count > known.get(*key).copied().unwrap_or(0));
    grown.map(|(key, _)| key.clone()).collect()
}

/// Findings of each rule in all.
fn sums(counts: &Counts) -> BTreeMap<String, usize> {
    let mut sums: BTreeMap<String, usize> = ["columns", "names", "sentences", "words"]
        .map(|rule| (rule.to_owned(), 0))
        .into_iter()
        .collect();
    for ((rule, _), count) in counts {
        *sums.entry(rule.clone()).or_default() += count;
    }
    sums
}

fn write(counts: &Counts) {
    let mut text = String::from("rule\tfile\tcount\n");
    for ((rule, file), count) in counts {
        writeln!(text, "{rule}\t{file}\t{count}").unwrap();
    }
    std::fs::write(root().join(KNOWN), text).unwrap();
}

#[test]
fn counts_may_fall_and_move() {
    let counts = |rows: &[(&str, &str, usize)]| -> Counts {
        rows.iter().map(|(rule, file, n)| (((*rule).to_owned(), (*file).to_owned()), *n)).collect()
    };
    let known = counts(&[("words", "a", 3), ("names", "a", 1)]);
    assert!(more(&known, &counts(&[("words", "a", 2)])).is_empty());
    let moved = counts(&[("words", "b", 3)]);
    assert_eq!(more(&known, &moved), [("words".to_owned(), "b".to_owned())]);
    assert!(sums(&moved)["words"] <= sums(&known)["words"], "so it may be blessed");
    assert_eq!(sums(&known)["columns"], 0);
}
