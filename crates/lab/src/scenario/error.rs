//! Why a scenario cannot be played, and where in the file.

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
    /// The line says one thing where another was expected.
    Expected {
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// The line is well formed, but the model refuses it; the model's own words.
    Refused(String),
    /// An invariant of the data plane does not hold after this line; this is a bug in vnetem, not in the file.
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
            Self::Expected { found, expected } => write!(f, "found {found}, expected {expected}"),
            Self::Refused(why) => f.write_str(why),
            Self::Broken(what) => write!(f, "vnetem itself is at fault: {what}"),
        }
    }
}

impl core::error::Error for ScenarioError {}
