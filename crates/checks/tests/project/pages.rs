//! Writes docs/requirements.md and docs/invariants.md from the tables that define them.

use std::fmt::Write as _;

use crate::files::generated;
use crate::names::KINDS;
use crate::statements::{INVARIANTS, Modelled, STATEMENTS, invariants, statements};

#[test]
fn the_definition_pages_are_current() {
    let pages = [("docs/requirements.md", requirements()), ("docs/invariants.md", page())];
    let stale: Vec<_> = pages.iter().filter_map(|(path, text)| generated(path, text)).collect();
    assert!(stale.is_empty(), "\n{}\n", stale.join("\n"));
}

fn requirements() -> String {
    let statements = statements();
    let count = |which: fn(&Modelled) -> bool| {
        statements.iter().filter(|statement| which(&statement.modelled)).count()
    };
    let mut page = String::from(
        "# Requirements\n\n\
         What vnetem reproduces, in numbered statements. Code, tests and docs cite them, as `S-17`.\n\n",
    );
    let (all, part) = (statements.len(), count(|one| matches!(one, Modelled::Partly(_))));
    let none = count(|one| matches!(one, Modelled::No(_)));
    write!(
        page,
        "- {all} statements: {} modelled, {part} in part, {none} not modelled.\n\
         - *Choice* says what vnetem does where sources leave it open. C- and U- rows have the details.\n\
         - *Source* says in a word who states it. \"Inferred\" marks a conclusion of this project.\n\
         - [conformance.md](conformance.md) tells which tests hold each statement.\n\
         - Written from `{STATEMENTS}` by `VNETEM_BLESS=1 cargo test -p vnetem-checks`.\n",
        all - part - none,
    )
    .unwrap();
    for (kind, title) in KINDS {
        let question = matches!(kind, 'C' | 'U');
        let holds = if question { "question" } else { "what holds" };
        write!(
            page,
            "\n## {kind}: {title}\n\n| | {holds} | choice | source |\n|---|---|---|---|\n"
        )
        .unwrap();
        for one in statements.iter().filter(|one| one.number.kind == kind) {
            let choice = match &one.modelled {
                Modelled::Yes => one.choice.clone(),
                Modelled::Partly(reason) => join(&one.choice, &format!("In part: {reason}.")),
                Modelled::No(reason) => join(&one.choice, &format!("Not modelled: {reason}.")),
            };
            writeln!(page, "| {} | {} | {choice} | {} |", one.number, one.holds, one.source)
                .unwrap();
        }
    }
    page
}

fn join(choice: &str, more: &str) -> String {
    if choice.is_empty() { more.to_owned() } else { format!("{choice} {more}") }
}

fn page() -> String {
    let mut page = format!(
        "# Invariants\n\n\
         What holds whatever happens. Code, tests and docs cite them by name.\n\n\
         - Written from `{INVARIANTS}` by `VNETEM_BLESS=1 cargo test -p vnetem-checks`.\n\
         - A row that nothing cites says in brackets why.\n",
    );
    let mut chapter = String::new();
    for one in invariants() {
        if one.chapter != chapter {
            write!(page, "\n## {}\n\n| name | what holds |\n|---|---|\n", one.chapter).unwrap();
            chapter.clone_from(&one.chapter);
        }
        let reason =
            if one.reason.is_empty() { String::new() } else { format!(" ({})", one.reason) };
        writeln!(page, "| `{}` | {}{reason} |", one.name, one.holds).unwrap();
    }
    page
}
