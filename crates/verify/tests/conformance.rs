//! `docs/conformance.md` says of every statement of the semantics whether it is modelled and which tests hold it; this keeps it true.
//! `VNETEM_BLESS=1 cargo test -p vnetem-verify --test conformance` writes the page.
//!
//! A test holds a statement if it names it: in its own name (`r_09_...`), in the comment right above it, or, for a scenario, in the
//! comment at its top. `F-01 to F-04` names four.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Kinds of statements and how many there are of each: 219 in all.
const KINDS: [(char, u8); 8] =
    [('S', 50), ('E', 20), ('R', 30), ('N', 29), ('F', 26), ('P', 33), ('W', 20), ('L', 11)];

const PAGE: &str = "docs/conformance.md";

/// Patches that break one rule each, which docs/assurance.md lists.
const BREAKS: &str = ".ci/breaks";

/// `(kind, number)`, written `S-01`.
type Number = (char, u8);

#[test]
fn the_conformance_page_is_current_and_leaves_no_statement_out() {
    let chapters = chapters(include_str!("conformance/statements.txt"));
    let mut tests = tests_of_the_workspace();
    let known: Vec<Number> =
        chapters.iter().flat_map(|chapter| &chapter.statements).map(|one| one.number).collect();
    let all = KINDS.into_iter().flat_map(|(kind, count)| (1..=count).map(move |at| (kind, at)));
    assert_eq!(known, all.collect::<Vec<_>>(), "statements.txt lists every statement, in order");

    let mut wrong = Vec::new();
    for (number, names) in &tests {
        if !known.contains(number) {
            wrong.push(format!("{}, named by {}, does not exist", show(*number), names.join(", ")));
        }
    }
    for statement in chapters.iter().flat_map(|chapter| &chapter.statements) {
        let external = matches!(statement.remark, Remark::NotModelled(_));
        if !external && !tests.contains_key(&statement.number) {
            wrong.push(format!("{} is named by no test", show(statement.number)));
        }
    }
    let page = page(&chapters, &mut tests);
    let path = root().join(PAGE);
    if vnetem_checks::flag("VNETEM_BLESS") {
        fs::write(&path, &page).unwrap();
    } else if fs::read_to_string(&path).unwrap_or_default() != page {
        wrong.push(format!("{PAGE} is stale: VNETEM_BLESS=1 cargo test -p vnetem-verify"));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Each patch of `.ci/breaks` says in its first line which statements it breaks, and below it what catches it.
#[test]
fn every_modelled_statement_is_broken_on_purpose_under_a_test_that_names_it() {
    let tests = tests_of_the_workspace();
    let (mut broken, mut wrong) = (BTreeSet::new(), Vec::new());
    for patch in fs::read_dir(root().join(BREAKS)).unwrap() {
        let patch = patch.unwrap().path();
        let text = fs::read_to_string(&patch).unwrap();
        let catching = catching(&text);
        let (claim, _) = text.split_once(": ").unwrap();
        for number in named(claim) {
            let names = tests.get(&number).map_or(&[][..], Vec::as_slice);
            if names.iter().any(|test| catching.iter().any(|end| test.ends_with(end))) {
                broken.insert(number);
            } else {
                let patch = patch.file_stem().unwrap().display();
                wrong.push(format!("{patch}: what catches it names {} nowhere", show(number)));
            }
        }
    }
    let chapters = chapters(include_str!("conformance/statements.txt"));
    for statement in chapters.iter().flat_map(|chapter| &chapter.statements) {
        let external = matches!(statement.remark, Remark::NotModelled(_));
        if !external && !broken.contains(&statement.number) {
            wrong.push(format!("{} is broken by no patch", show(statement.number)));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_test_names_statements_in_its_name_and_in_the_comment_above_it() {
    let found = |text: &str| named(text).into_iter().map(show).collect::<Vec<_>>().join(" ");
    assert_eq!(found("/// S-17, (R-09). N-18:"), "S-17 R-09 N-18");
    assert_eq!(found("W-13 to W-15, and F-01 to 04"), "W-13 W-14 W-15 F-01");
    assert_eq!(found("UTF-80, S-1, S-170, xS-17, T-22, U-17, C-06"), "");
    assert_eq!(found(&spelled_out("r_09_a_route_beats_s_17_and_n_1")), "R-09 S-17");

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
    assert_eq!(
        tests_in(source),
        [
            ("the_longest_wins".to_owned(), vec![('R', 5), ('R', 6)]),
            ("n_12_ports_are_shared".to_owned(), vec![('N', 12)]),
            ("of_nothing".to_owned(), vec![]),
        ]
    );
}

struct Chapter {
    title: String,
    statements: Vec<Statement>,
}

struct Statement {
    number: Number,
    sentence: String,
    remark: Remark,
}

enum Remark {
    None,
    Partly(String),
    NotModelled(String),
}

/// Reads `statements.txt`, whose top says what may stand in it.
fn chapters(text: &str) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let statements = chapters.last_mut().map(|chapter| &mut chapter.statements);
        if let Some(remark) = line.strip_prefix("  ") {
            let statement = statements.and_then(|statements| statements.last_mut()).unwrap();
            assert!(matches!(statement.remark, Remark::None), "two remarks: {line}");
            statement.remark = if let Some(reason) = remark.strip_prefix("partly: ") {
                Remark::Partly(reason.to_owned())
            } else if let Some(reason) = remark.strip_prefix("not modelled: ") {
                Remark::NotModelled(reason.to_owned())
            } else {
                panic!("not a remark: {line}")
            };
        } else if let Some((_, title)) = line.split_once(": ").filter(|(kind, _)| kind.len() == 1) {
            chapters.push(Chapter { title: title.to_owned(), statements: Vec::new() });
        } else {
            let (number, sentence) = line.split_once(' ').unwrap();
            let &[number] = named(number).as_slice() else { panic!("not a statement: {line}") };
            let sentence = sentence.to_owned();
            statements.unwrap().push(Statement { number, sentence, remark: Remark::None });
        }
    }
    chapters
}

fn page(chapters: &[Chapter], tests: &mut BTreeMap<Number, Vec<String>>) -> String {
    let all = || chapters.iter().flat_map(|chapter| &chapter.statements);
    let count = |which: fn(&Remark) -> bool| all().filter(|one| which(&one.remark)).count();
    let mut page = String::from(
        "# Conformance\n\n\
         What a service endpoint does, in numbered statements, whether vnetem models it, and which tests hold it. Code, tests and docs\n\
         name the statements by these numbers. Written by `crates/verify/tests/conformance.rs` from the comments of the tests; a file's name\n\
         is below `crates/`. Each modelled statement was also broken on purpose, and a test that is listed for it failed\n\
         ([docs/assurance.md](assurance.md#broken-on-purpose)).\n\n",
    );
    writeln!(
        page,
        "{} statements: {} modelled, {} in part, {} not modelled.",
        all().count(),
        count(|remark| matches!(remark, Remark::None)),
        count(|remark| matches!(remark, Remark::Partly(_))),
        count(|remark| matches!(remark, Remark::NotModelled(_))),
    )
    .unwrap();
    for Chapter { title, statements } in chapters {
        write!(page, "\n## {title}\n\n| | what holds | modelled | tests |\n|---|---|---|---|\n")
            .unwrap();
        for Statement { number, sentence, remark } in statements {
            let modelled = match remark {
                Remark::None => "yes".to_owned(),
                Remark::Partly(reason) => format!("in part: {reason}"),
                Remark::NotModelled(reason) => format!("no: {reason}"),
            };
            let tests = tests.remove(number).unwrap_or_default();
            let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
            let (number, tests) = (show(*number), tests.join("<br>"));
            writeln!(page, "| {number} | {sentence} | {modelled} | {tests} |").unwrap();
        }
    }
    page
}

/// What catches a break, as the names of tests end: the test that its patch names, and the scenarios where that is the one that plays them.
fn catching(patch: &str) -> Vec<String> {
    let line = |start| patch.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
    let test = line("Caught by: cargo test ").rsplit([':', ' ']).next().unwrap_or_default();
    let scenarios = line("Scenarios: ").split(", ").filter(|name| !name.is_empty());
    let scenarios = scenarios.map(|name| format!("/{name}.scn"));
    scenarios.chain([format!("::{test}")]).collect()
}

/// The tests that name each statement, in the order of files and lines.
fn tests_of_the_workspace() -> BTreeMap<Number, Vec<String>> {
    let crates = root().join("crates");
    let mut files = Vec::new();
    collect(&crates, &mut files);
    files.sort();
    let mut tests: BTreeMap<Number, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let parts: Vec<_> = file
            .strip_prefix(&crates)
            .unwrap()
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        let name = parts.join("/");
        let found = if name.ends_with(".scn") {
            let top: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
            vec![(name, named(&top.join(" ")))]
        } else {
            let tests = tests_in(&text).into_iter();
            tests.map(|(test, numbers)| (format!("{name}::{test}"), numbers)).collect()
        };
        for (test, numbers) in found {
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

/// Sources and scenarios below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|end| end == "rs" || end == "scn") {
            files.push(path);
        }
    }
}

/// Every `#[test]` of a source, with the statements that it names.
fn tests_in(source: &str) -> Vec<(String, Vec<Number>)> {
    let mut tests = Vec::new();
    let (mut above, mut is_test) = (String::new(), false);
    for line in source.lines().map(str::trim) {
        if line.starts_with("//") {
            above.push_str(line);
            above.push(' ');
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
            if let Some(name) = name.filter(|_| is_test) {
                above.push_str(&spelled_out(name));
                tests.push((name.to_owned(), named(&above)));
            }
            (above, is_test) = (String::new(), false);
        }
    }
    tests
}

/// `r_09_a_route` as `R-09 A ROUTE`, so that one reader does for names and for comments.
fn spelled_out(name: &str) -> String {
    let mut text = String::new();
    let mut words = name.split('_').peekable();
    while let Some(word) = words.next() {
        text.push_str(&word.to_uppercase());
        let number =
            words.peek().is_some_and(|next| next.bytes().all(|byte| byte.is_ascii_digit()));
        text.push(if word.len() == 1 && number { '-' } else { ' ' });
    }
    text
}

/// The statements that a text names, in its order, each once; `F-01 to F-04` are four.
fn named(text: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let (mut last, mut range) = (None, None);
    for word in words.filter(|word| !word.is_empty()) {
        let number = number(word);
        let first = match (range.take(), number) {
            (Some((kind, from)), Some((same, to))) if kind == same => {
                (from..=to).map(|at| (kind, at)).collect()
            }
            (_, number) => Vec::from_iter(number),
        };
        for number in first {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        range = if word == "to" { last } else { None };
        last = number;
    }
    numbers
}

fn number(word: &str) -> Option<Number> {
    let (kind, digits) = word.split_once('-')?;
    let kind = kind.parse().ok().filter(|kind| KINDS.iter().any(|(known, _)| known == kind))?;
    (digits.len() == 2).then(|| digits.parse().ok()).flatten().map(|at| (kind, at))
}

fn show((kind, number): Number) -> String {
    format!("{kind}-{number:02}")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
