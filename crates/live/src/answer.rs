//! What a router answers, and what can go wrong.

use std::io;

use serde_json::{Value, json};
use vnetem_scenario::ScenarioError;

/// What the router of a live network answers to a question or an edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whether it was understood and done.
    pub good: bool,
    /// For people.
    pub lines: Vec<String>,
    /// For programs; null where the lines say it all.
    pub value: Value,
}

/// Why something about a live network could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The scenario cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The system refused.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Refused(String),
}

impl LiveError {
    /// Names what was tried when the system refused.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }
}

impl Answer {
    /// An answer whose lines say it all.
    pub(crate) fn lines(lines: Vec<String>) -> Self {
        Self { good: true, lines, value: Value::Null }
    }

    /// A refusal.
    pub(crate) fn refused(why: impl ToString) -> Self {
        Self { good: false, lines: vec![why.to_string()], value: Value::Null }
    }

    pub(crate) fn with(self, value: Value) -> Self {
        Self { value, ..self }
    }

    /// Writes the answer as it travels over the control socket, and as `-o json` prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "schema": "vnetem/1",
            "good": self.good,
            "lines": self.lines,
            "value": self.value,
        })
    }

    /// Reads what [`to_json`](Self::to_json) writes.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        let read: Value = serde_json::from_str(text).ok()?;
        let lines = read.get("lines")?.as_array()?;
        let lines = lines.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect();
        let value = read.get("value").cloned().unwrap_or_default();
        Some(Self { good: read.get("good")?.as_bool()?, lines, value })
    }
}
