//! Why a file was not taken.

use core::fmt;

/// Why a file was not taken: which one, where in it, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// The file, as the caller named it.
    pub file: String,
    /// What is wrong.
    pub problem: ImportProblem,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportProblem {
    /// It is not JSON.
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What the parser found.
        found: String,
    },
    /// It is something else than a file that can be read; the sentence says what, and what to do.
    NotOurs(String),
    /// A value of it makes no sense there.
    Value {
        /// The way to the value, `resources[0].properties.addressSpace`.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// It asks for more than is read: copies, nesting or steps.
    TooLarge {
        /// The way to what is too large.
        path: String,
        /// Which limit it passes.
        what: String,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line, column, found } => {
                write!(f, "line {line} column {column}: not JSON: {found}")
            }
            Self::NotOurs(what) => f.write_str(what),
            Self::Value { path, what } | Self::TooLarge { path, what } => {
                write!(f, "{path}: {what}")
            }
        }
    }
}

impl core::error::Error for ImportError {}

impl core::error::Error for ImportProblem {}
