//! Why a list was not taken, and where in it.

use core::fmt;

use ipnet::Ipv4Net;

/// Why a list of service tags was not taken, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagsError {
    /// Where in the list.
    pub place: Place,
    /// What is wrong there.
    pub problem: Problem,
}

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A value in JSON, such as `values[3].properties.addressPrefixes[0]`; empty for the whole.
    Path(String),
    /// A line of text, counted from 1.
    Line(usize),
}

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not JSON at all; the parser's own words, with line and column.
    Syntax(String),
    /// A value of another type than this one.
    Expected(&'static str),
    /// A field that must be there is not.
    Missing(&'static str),
    /// Neither an IPv4 nor an IPv6 prefix.
    Prefix(String),
    /// A prefix with bits set behind its length.
    HostBits(Ipv4Net),
    /// Not a name: empty, or with white space in it.
    Name(String),
    /// Not a day written as `2025-10-28`.
    Date(String),
    /// A second tag of one name.
    Repeated(String),
    /// One page of several; the next one is at this address.
    Incomplete(String),
    /// A line that the text form does not know.
    Line(String),
}

impl fmt::Display for TagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Path(path) if path.is_empty() => write!(f, "{}", self.problem),
            Place::Path(path) => write!(f, "{}: {}", Shown(path), self.problem),
            Place::Line(line) => write!(f, "line {line}: {}", self.problem),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(words) => write!(f, "not JSON: {}", Shown(words)),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::Missing(field) => write!(f, "\"{field}\" is missing"),
            Self::Prefix(text) => write!(f, "\"{}\" is not a prefix", Shown(text)),
            Self::HostBits(prefix) => {
                write!(f, "{prefix} has bits behind its length; {} is meant", prefix.trunc())
            }
            Self::Name(text) => write!(f, "\"{}\" is not a name", Shown(text)),
            Self::Date(text) => {
                write!(f, "\"{}\" is not a day such as 2025-10-28", Shown(text))
            }
            Self::Repeated(name) => write!(f, "there is a tag {} already", Shown(name)),
            Self::Incomplete(link) => write!(f, "one page only, the next is at {}", Shown(link)),
            Self::Line(text) => {
                write!(f, "\"{}\" is neither a prefix nor a known word", Shown(text))
            }
        }
    }
}

/// Text of a list as a terminal may have it: without control characters, and cut where it is
/// endless.
struct Shown<'a>(&'a str);

/// Letters that are shown.
const LETTERS: usize = 200;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars().take(LETTERS) {
            if letter.is_control() {
                write!(f, "{}", letter.escape_default())?;
            } else {
                write!(f, "{letter}")?;
            }
        }
        if self.0.chars().nth(LETTERS).is_some() { f.write_str("...") } else { Ok(()) }
    }
}

impl core::error::Error for TagsError {}

impl core::error::Error for Problem {}
