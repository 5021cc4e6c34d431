//! What can be held of plain prose: columns, words, names and sentences.
//!
//! `known.tsv` counts what was there before. A count may fall and never rise.

use crate::conformance::tests_in;
use crate::files::{File, all};
use crate::known::compare;
use crate::words::Words;

/// The most columns of a comment, or of a line of a page.
const COLUMNS: usize = 100;
/// A test or a scenario has no more words in its name.
const NAME: usize = 6;
/// A sentence of a page has no more words.
const SENTENCE: usize = 30;

/// Something to mend: which rule, in which file and line, and what.
pub(crate) struct Finding {
    pub rule: &'static str,
    pub file: String,
    pub line: usize,
    pub what: String,
}

#[test]
fn prose_is_no_worse_than_known() {
    let words = Words::read();
    let mut findings = Vec::new();
    for file in all().iter().filter(|file| file.is("rs") || file.is("md") || file.is("scn")) {
        let mut find = |rule, line, what: String| {
            findings.push(Finding { rule, file: file.path.clone(), line, what });
        };
        for (line, length) in long_lines(file) {
            find("columns", line, format!("{length} columns, at most {COLUMNS}"));
        }
        for (line, name, count) in long_names(file) {
            find("names", line, format!("{name}: {count} words, at most {NAME}"));
        }
        for (line, count) in long_sentences(file) {
            find("sentences", line, format!("{count} words in a sentence, at most {SENTENCE}"));
        }
        for (line, word, instead) in words.find(file) {
            find("words", line, format!("{word}: say {instead}"));
        }
    }
    compare(&findings);
}

/// Finds comments of sources and scenarios, and lines of pages, that are too long.
///
/// Tables of a page may be longer, and so may output, which stands in blocks of `text`.
fn long_lines(file: &File) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut output = false;
    for (at, line) in file.text.lines().enumerate() {
        let text = line.trim_start();
        if text.starts_with("```") {
            output = file.is("md") && text.starts_with("```text");
        }
        let is_prose = if file.is("rs") {
            text.starts_with("//")
        } else if file.is("scn") {
            text.starts_with('#')
        } else {
            !text.starts_with('|') && !output
        };
        let length = line.chars().count();
        if is_prose && length > COLUMNS {
            found.push((at + 1, length));
        }
    }
    found
}

/// Tests, or a scenario, whose name has too many words. The number of a statement is none.
fn long_names(file: &File) -> Vec<(usize, String, usize)> {
    let mut names = Vec::new();
    if file.is("rs") {
        for test in tests_in(&file.text) {
            let numbered =
                test.name.split('_').nth(1).is_some_and(|word| word.parse::<u8>().is_ok());
            let words = test.name.split('_').count() - if numbered { 2 } else { 0 };
            names.push((test.line, test.name, words));
        }
    } else if file.is("scn") {
        let name = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".scn");
        names.push((1, name.to_owned(), name.split('-').count()));
    }
    names.retain(|(_, _, words)| *words > NAME);
    names
}

/// Sentences of a page that are too long, by the line on which they begin.
fn long_sentences(file: &File) -> Vec<(usize, usize)> {
    if !file.is("md") {
        return Vec::new();
    }
    let mut found = Vec::new();
    let (mut begun, mut words, mut code) = (1, 0_usize, false);
    for (at, line) in file.text.lines().enumerate() {
        let text = line.trim_start();
        code ^= text.starts_with("```");
        let item = text.starts_with(['-', '*', '#', '>', '|'])
            || text.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        if text.is_empty() || item || code || text.starts_with("```") {
            finish(&mut found, begun, &mut words);
        }
        if text.starts_with('|') || code || text.starts_with("```") {
            continue;
        }
        for word in text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)) {
            if words == 0 {
                begun = at + 1;
            }
            words += 1;
            if word.trim_end_matches([')', '"', '*', '`', ']']).ends_with(['.', '!', '?']) {
                finish(&mut found, begun, &mut words);
            }
        }
    }
    finish(&mut found, begun, &mut words);
    found
}

fn finish(found: &mut Vec<(usize, usize)>, begun: usize, words: &mut usize) {
    if *words > SENTENCE {
        found.push((begun, *words));
    }
    *words = 0;
}

#[test]
fn long_prose_is_found_by_line() {
    let file = |path: &str, text: String| File { path: path.to_owned(), text };
    let page = file(
        "a.md",
        format!("# A\n\nShort one. {}end.\n| {} |\n", "word ".repeat(30), "cell ".repeat(40)),
    );
    assert_eq!(long_sentences(&page), [(3, 31)]);
    assert_eq!(long_lines(&page), [(3, 165)], "tables may be wide");
    let output = file("b.md", format!("```text\n{0}\n```\n\n```sh\n{0}\n```\n", "o".repeat(101)));
    assert_eq!(long_lines(&output), [(6, 101)], "output is shown as it comes");
    let scenario = file("a.scn", format!("# {0}\n    {0}\n", "s".repeat(99)));
    assert_eq!(long_lines(&scenario), [(1, 101)]);
    let source = file("a.rs", format!("// {}\nlet x = \"{}\";\n", "c".repeat(98), "s".repeat(98)));
    assert_eq!(long_lines(&source), [(1, 101)]);
    let test =
        "#[test]\nfn s_17_one_two_three_four_five_six() {}\n#[test]\nfn a_b_c_d_e_f_g() {}\n";
    let long = long_names(&file("b.rs", test.to_owned()));
    assert_eq!(long, [(4, "a_b_c_d_e_f_g".to_owned(), 7)]);
    assert_eq!(long_names(&file("x/a-b-c-d-e-f-g.scn", String::new())).len(), 1);
}
