//! Why a run cannot go on.

use core::fmt::{self, Display};
use std::path::Path;

/// Why a run cannot go on, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistError(String);

impl DistError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn of(path: &Path, why: impl Display) -> Self {
        Self(format!("{}: {why}", path.display()))
    }
}

impl Display for DistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for DistError {}

impl From<vnetem_whatif::files::FilesError> for DistError {
    fn from(error: vnetem_whatif::files::FilesError) -> Self {
        Self(error.to_string())
    }
}

impl From<vnetem_whatif::EstateError> for DistError {
    fn from(error: vnetem_whatif::EstateError) -> Self {
        Self(error.to_string())
    }
}
