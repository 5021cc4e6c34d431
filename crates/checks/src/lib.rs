//! What tests share: environment variables that are read strictly, and skips that somebody sees.
//!
//! A test that cannot run here calls [`skip`] and returns. The test harness of cargo keeps what a
//! passing test prints to itself, so the skip is written past it, and into the file that
//! `VNETEM_SKIPS` names; `.ci/run` shows that file as its last words. With `VNETEM_NO_SKIPS=1` a
//! skip is a failure.
//!
//! ```
//! use vnetem_checks::{flag, number, skip};
//!
//! assert!(!flag("VNETEM_EXAMPLE"), "nobody has set it");
//! assert_eq!(number("VNETEM_EXAMPLE"), None);
//! let captures = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
//! if !captures.is_dir() {
//!     skip("captures are read", format!("there is no {}", captures.display()));
//! }
//! ```

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes every skip a failure if it is 1.
pub const NO_SKIPS: &str = "VNETEM_NO_SKIPS";
/// Names the file to which skips are added, a line each.
pub const SKIPS: &str = "VNETEM_SKIPS";

/// Says that something is not shown here, and why: on standard error, and in the file of [`SKIPS`].
///
/// # Panics
///
/// If [`NO_SKIPS`] is 1, or the file cannot be written.
#[expect(clippy::panic, reason = "a test fails by panic")]
pub fn skip(what: &str, why: impl Display) {
    let line = format!("{what}: {why}");
    if flag(NO_SKIPS) {
        panic!("skipped, but {NO_SKIPS} is 1: {line}");
    }
    // Not by a macro, whose text the test harness would keep to itself.
    let _ = writeln!(io::stderr(), "skipped {line}");
    if let Some(file) = std::env::var_os(SKIPS).filter(|file| !file.is_empty()) {
        let file = PathBuf::from(file);
        if let Err(error) = add(&file, &line) {
            panic!("{}: {error}", file.display());
        }
    }
}

/// Reads a variable that is 1 or 0; unset or empty is 0.
///
/// # Panics
///
/// If it is anything else: whoever sets it means something by it.
#[must_use]
#[expect(clippy::panic, reason = "a test fails by panic")]
pub fn flag(name: &str) -> bool {
    match read_flag(std::env::var_os(name)) {
        Ok(on) => on,
        Err(found) => panic!("{name} is {found:?}, expected 1 or 0"),
    }
}

/// Reads a variable that is a number from 1 on; `None` if it is unset or empty.
///
/// # Panics
///
/// If it is anything else.
#[must_use]
#[expect(clippy::panic, reason = "a test fails by panic")]
pub fn number(name: &str) -> Option<u32> {
    match read_number(std::env::var_os(name)) {
        Ok(number) => number,
        Err(found) => panic!("{name} is {found:?}, expected a number from 1 on"),
    }
}

fn read_flag(value: Option<OsString>) -> Result<bool, OsString> {
    let value = value.unwrap_or_default();
    match value.to_str() {
        Some("" | "0") => Ok(false),
        Some("1") => Ok(true),
        _ => Err(value),
    }
}

fn read_number(value: Option<OsString>) -> Result<Option<u32>, OsString> {
    let value = value.unwrap_or_default();
    if value.is_empty() {
        return Ok(None);
    }
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.map(Some).ok_or(value)
}

/// Adds a line in one write, since many tests do so at once.
fn add(file: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_or_refused() {
        let flag = |text: &str| read_flag(Some(text.into()));
        assert_eq!([flag(""), flag("0"), flag("1")], [Ok(false), Ok(false), Ok(true)]);
        assert_eq!(read_flag(None), Ok(false));
        for wrong in ["yes", "true", "2", " 1", "on"] {
            assert_eq!(flag(wrong), Err(wrong.into()));
        }
        let number = |text: &str| read_number(Some(text.into()));
        assert_eq!([number(""), number("7")], [Ok(None), Ok(Some(7))]);
        assert_eq!(read_number(None), Ok(None));
        for wrong in ["many", "0", "-1", "1e3", "10k", "4294967296"] {
            assert_eq!(number(wrong), Err(wrong.into()));
        }
    }
}
