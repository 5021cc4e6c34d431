//! What an answer has beside its network: what is missing, what was passed over, what was assumed.

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The file, as the caller named it.
    pub file: Arc<str>,
    /// The way to the value: a path in JSON, or the address of a Terraform resource.
    pub path: String,
}

/// Something that was needed and could not be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unresolved {
    /// Where the file should have it.
    #[serde(flatten)]
    pub place: Place,
    /// Why it is not known.
    pub why: String,
}

/// Something that the answer takes for granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Assumption {
    /// A name that never changes, `endpoint-is-worldwide`.
    pub code: Cow<'static, str>,
    /// What is assumed, in a sentence.
    pub text: String,
}

/// Two statements that cannot both hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Contradiction {
    /// What is wrong.
    pub what: String,
    /// Where the one stands.
    pub first: Place,
    /// Where the other stands.
    pub second: Place,
}

/// Notes of what is missing, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missing {
    list: Vec<Unresolved>,
    known: BTreeSet<Unresolved>,
}

impl Missing {
    pub(crate) fn add(&mut self, one: Unresolved) {
        if self.known.insert(one.clone()) {
            self.list.push(one);
        }
    }

    pub(crate) fn into_list(self) -> Vec<Unresolved> {
        self.list
    }
}

/// Adds an assumption that is not there yet.
pub(crate) fn assume(list: &mut Vec<Assumption>, code: impl Into<Cow<'static, str>>, text: String) {
    let code = code.into();
    if list.iter().all(|one| one.code != code) {
        list.push(Assumption { code, text });
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.path)
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}; {})", self.what, self.first, self.second)
    }
}
