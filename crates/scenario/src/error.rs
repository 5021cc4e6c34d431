//! Says why a scenario cannot be played, and where in the file.

use core::fmt;

/// Why a scenario cannot be played: file, line, what was found and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a line of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The line has one thing where another was expected.
    Expected {
        /// What it has.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The line is well formed, but the model refuses it, for this reason.
    Refused(String),
    /// An invariant of the data plane does not hold after this line. This is a bug in vnetem, not
    /// in the file.
    Broken(String),
}

impl Problem {
    pub(crate) fn at(self, file: &str, line: usize) -> ScenarioError {
        ScenarioError { file: file.to_owned(), line, problem: self }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected { found, expected } => {
                write!(f, "found {}, expected {}", Shown(found), Shown(expected))
            }
            Self::Refused(why) => Shown(why).fmt(f),
            Self::Broken(what) => write!(f, "vnetem itself is at fault: {}", Shown(what)),
        }
    }
}

/// Words of a file, safe for a terminal: without control characters, and cut where they are too
/// long.
struct Shown<'a>(&'a str);

/// The most letters of a word that are shown.
const LETTERS: usize = 100;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut length = 0;
        for letter in self.0.chars() {
            length = if letter == ' ' { 0 } else { length + 1 };
            match length {
                ..=LETTERS if letter == '\n' => f.write_str("\n")?,
                ..=LETTERS if letter.is_control() => write!(f, "{}", letter.escape_default())?,
                ..=LETTERS => write!(f, "{letter}")?,
                _ if length == LETTERS + 1 => f.write_str("...")?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl core::error::Error for ScenarioError {}

impl core::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_hide_escapes_and_long_words() {
        let found = format!("\"\u{1b}[31m{}\"", "x".repeat(1_000_000));
        let problem = Problem::Expected { found, expected: "a name".to_owned() };
        let text = problem.to_string();
        assert!(text.starts_with("found \"\\u{1b}[31mxxx"), "{text}");
        assert!(text.ends_with("xxx..., expected a name"), "{text}");
        assert!(text.len() < 200, "{}", text.len());
        let words = Problem::Refused("word ".repeat(100));
        assert_eq!(words.to_string().len(), 500, "many words are no endless one");
    }
}
