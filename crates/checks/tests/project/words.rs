//! Words of the old glossary, which `words.tsv` lists with what to say instead.

use std::collections::BTreeMap;

use crate::files::File;
use crate::table::table;

/// Names that clippy, the standard library and pyo3 chose.
const FOREIGN: [&str; 4] = ["clippy::cast", ".cast()", ".cast_signed()", ".cast_exact::<"];

/// The old words, by where they are not to stand.
pub(crate) struct Words {
    text: Vec<(String, String)>,
    code: BTreeMap<String, String>,
}

impl Words {
    /// Reads `words.tsv`.
    pub(crate) fn read() -> Self {
        let mut words = Self { text: Vec::new(), code: BTreeMap::new() };
        for row in table("crates/checks/words.tsv", &["word", "where", "say instead"]) {
            words.add(row.get(0), row.get(1), row.get(2), &row.place);
        }
        words
    }

    fn add(&mut self, word: &str, place: &str, instead: &str, row: &str) {
        let both = place == "both";
        assert!(both || place == "text" || place == "code", "{row}: text, code or both: {place}");
        if both || place == "text" {
            self.text.push((format!(" {} ", word.to_lowercase()), instead.to_owned()));
        }
        if both || place == "code" {
            self.code.insert(word.to_owned(), instead.to_owned());
        }
    }

    /// Finds old words in comments, pages and identifiers: line, word, what to say instead.
    pub(crate) fn find(&self, file: &File) -> Vec<(usize, String, String)> {
        let mut found = Vec::new();
        for (at, line) in file.text.lines().enumerate() {
            let (code, text) = parts(file, line);
            let words = spaced(text);
            for (word, instead) in &self.text {
                for _ in words.matches(word.as_str()) {
                    found.push((at + 1, word.trim().to_owned(), instead.clone()));
                }
            }
            let code = FOREIGN.iter().fold(code.to_owned(), |code, name| code.replace(name, ""));
            for name in code.split(|c: char| !c.is_alphanumeric() && c != '_') {
                let hit = self
                    .code
                    .get_key_value(name)
                    .or_else(|| name.split('_').find_map(|part| self.code.get_key_value(part)));
                if let Some((word, instead)) = hit {
                    found.push((at + 1, word.clone(), instead.clone()));
                }
            }
        }
        found
    }
}

/// The code of a line, and its comment or text.
fn parts<'a>(file: &File, line: &'a str) -> (&'a str, &'a str) {
    if file.is("rs") {
        line.find("//").map_or((line, ""), |at| line.split_at(at))
    } else if file.is("scn") {
        ("", line.strip_prefix('#').unwrap_or_default())
    } else {
        ("", line)
    }
}

/// A text in lower case, with one space around each word. Words in backticks are left out.
fn spaced(text: &str) -> String {
    let mut spaced = String::from(" ");
    for piece in text.split('`').step_by(2) {
        for word in piece.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_') {
            if !word.is_empty() {
                spaced.push_str(&word.to_lowercase());
                spaced.push(' ');
            }
        }
    }
    spaced
}

#[test]
fn old_words_are_found_whole() {
    let mut words = Words { text: Vec::new(), code: BTreeMap::new() };
    words.add("crowd", "both", "port bitmap", "row");
    words.add("long way", "text", "slow path", "row");
    words.add("Fate", "code", "disposition", "row");
    let found = |words: &Words, path: &str, text: &str| -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let found = words.find(&file).into_iter();
        found.map(|(line, word, _)| format!("{line} {word}")).collect()
    };
    let source =
        "let crowd_of = Fate::Drop; // A crowd\nfn crowded(fate: u8) {} // by the long way\n";
    assert_eq!(found(&words, "a.rs", source), ["1 crowd", "1 crowd", "1 Fate", "2 long way"]);
    words.add("cast", "code", "declarations", "row");
    assert_eq!(
        found(&words, "a.rs", "#[allow(clippy::cast_lossless)] at.cast(); cast.at"),
        ["1 cast"]
    );
    assert_eq!(found(&words, "a.md", "A Crowd, not `crowd`. Fate."), ["1 crowd"]);
}
