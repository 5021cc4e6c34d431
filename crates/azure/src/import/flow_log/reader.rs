//! Reads a log as a stream, one record at a time.

use core::fmt;
use core::hash::{Hash, Hasher};
use std::collections::{BTreeMap, HashSet};
use std::hash::DefaultHasher;
use std::io::{self, Read};

use super::record::{self, Found, RecordHead};
use super::tuple::{FlowState, FlowTuple, Line};

/// How much is read at once.
const CHUNK: usize = 1 << 18;

/// The longest record that is taken. A minute of a busy interface is some megabytes.
const MAX_RECORD: usize = 1 << 28;

/// What was in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowLogSummary {
    /// Records, one an interface and minute; repeated ones are not among them.
    pub records: u64,
    /// Records that came a second time and were passed over.
    pub repeated: u64,
    /// Lines that were given on.
    pub tuples: u64,
    /// Lines of refused flows among them.
    pub denied: u64,
    /// Lines with IPv6 addresses, passed over.
    pub ipv6: u64,
    /// Lines that no version has, passed over.
    pub wrong: u64,
    /// The first of them.
    pub first_wrong: Option<String>,
    /// Records of other logs, by category, passed over.
    pub others: BTreeMap<String, usize>,
}

/// Why a log was not read to its end.
#[derive(Debug)]
pub enum FlowLogError {
    /// It could not be read.
    Io(io::Error),
    /// A record is broken.
    Record {
        /// The line on which the record begins, counted from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// It holds records of other logs only.
    NotFlows(BTreeMap<String, usize>),
}

/// Reads a log and gives each line on with what its record says of itself.
///
/// # Errors
///
/// The log cannot be read, a record is broken, or no record is a flow log's. Lines before it have
/// been given on.
pub fn read<R: Read>(
    source: R,
    mut sink: impl FnMut(&RecordHead, &FlowTuple),
) -> Result<FlowLogSummary, FlowLogError> {
    let mut splitter = Splitter::new(source);
    let mut summary = FlowLogSummary::default();
    let mut seen: HashSet<u64> = HashSet::new();
    let mut found = Found::default();
    while let Some(json) = splitter.next()? {
        found.lines.clear();
        found.heads.clear();
        record::read(json, &mut found, 0);
        if let Some(what) = found.wrong.take() {
            return Err(FlowLogError::Record { line: splitter.line_of_record, what });
        }
        give_on(&found, &mut seen, &mut summary, &mut sink);
    }
    summary.others = found.others;
    if summary.records == 0 && !summary.others.is_empty() {
        return Err(FlowLogError::NotFlows(summary.others));
    }
    Ok(summary)
}

fn give_on(
    found: &Found,
    seen: &mut HashSet<u64>,
    summary: &mut FlowLogSummary,
    sink: &mut impl FnMut(&RecordHead, &FlowTuple),
) {
    // What a record says, whatever the order of its lines.
    let mut sums = vec![0_u64; found.heads.len()];
    for (place, line) in &found.lines {
        if let (Line::Tuple(tuple), Some(sum)) = (line, sums.get_mut(*place)) {
            *sum = sum.wrapping_add(mixed(tuple));
        }
    }
    let fresh: Vec<bool> = found
        .heads
        .iter()
        .zip(&sums)
        .map(|(head, sum)| {
            let mut hasher = DefaultHasher::new();
            (&head.head, &head.identity, sum).hash(&mut hasher);
            let fresh = seen.insert(hasher.finish());
            *if fresh { &mut summary.records } else { &mut summary.repeated } += 1;
            fresh
        })
        .collect();
    for (place, line) in &found.lines {
        if fresh.get(*place) != Some(&true) {
            continue;
        }
        match line {
            Line::Tuple(tuple) => {
                summary.tuples += 1;
                summary.denied += u64::from(tuple.state == FlowState::Denied);
                if let Some(head) = found.heads.get(*place) {
                    sink(&head.head, tuple);
                }
            }
            Line::Ipv6 => summary.ipv6 += 1,
            Line::Wrong(text) => {
                summary.wrong += 1;
                summary.first_wrong.get_or_insert_with(|| text.clone());
            }
        }
    }
}

/// A hash of a line, quick enough for ten million of them.
fn mixed(tuple: &FlowTuple) -> u64 {
    let addresses =
        u64::from(u32::from(tuple.source)) << 32 | u64::from(u32::from(tuple.destination));
    let ports = u64::from(tuple.source_port) << 32
        | u64::from(tuple.destination_port) << 16
        | u64::from(tuple.protocol) << 8
        | u64::from(tuple.inbound) << 4
        | tuple.state as u64;
    let words = [tuple.millis, addresses, ports, tuple.bytes_sent, tuple.bytes_received];
    words.iter().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, word| {
        (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29)
    })
}

/// Parts a stream into records: objects that stand in no other object but one with `records`.
struct Splitter<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where the next record may begin.
    start: usize,
    /// Line breaks before `start`.
    lines: u64,
    line_of_record: u64,
    ended: bool,
}

impl<R: Read> Splitter<R> {
    fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), start: 0, lines: 0, line_of_record: 0, ended: false }
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool, FlowLogError> {
        if self.ended {
            return Ok(false);
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let length = self.buffer.len();
        // A long record is read in ever larger pieces.
        self.buffer.resize(length + CHUNK.max(length), 0);
        let read = loop {
            match self.source.read(self.buffer.get_mut(length..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(FlowLogError::Io)?,
            }
        };
        self.buffer.truncate(length + read);
        self.ended = read == 0;
        Ok(read > 0)
    }

    fn pass(&mut self, to: usize) {
        let passed = self.buffer.get(self.start..to).unwrap_or_default();
        let lines = memchr::memchr_iter(b'\n', passed).count();
        self.lines += u64::try_from(lines).unwrap_or(u64::MAX);
        self.start = to;
    }

    /// The bytes of the next record.
    fn next(&mut self) -> Result<Option<&[u8]>, FlowLogError> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let Some(brace) = memchr::memchr(b'{', rest) else {
                self.pass(self.buffer.len());
                if self.fill()? {
                    continue;
                }
                return Ok(None);
            };
            self.pass(self.start + brace);
            // `{ "records": [` around the records is passed over.
            match self.wrapping() {
                Some(0) => break,
                Some(length) => self.pass(self.start + length),
                None if self.fill()? => {}
                None => break,
            }
        }
        self.line_of_record = self.lines + 1;
        let mut scan = Scan::default();
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            if let Some(length) = scan.end(rest) {
                let begin = self.start;
                self.pass(begin + length);
                return Ok(self.buffer.get(begin..begin + length));
            }
            let too_long = rest.len() > MAX_RECORD;
            if too_long || !self.fill()? {
                let what = if too_long {
                    "a record longer than 256 MB"
                } else {
                    "the file ends inside it"
                };
                let line = self.line_of_record;
                return Err(FlowLogError::Record { line, what: what.to_owned() });
            }
        }
    }

    /// The length of a wrapping that begins here; zero if there is none, none if more must be read.
    fn wrapping(&self) -> Option<usize> {
        let rest = self.buffer.get(self.start + 1..).unwrap_or_default();
        let mut at = 0;
        for token in [&b"\"records\""[..], b":", b"["] {
            let left = rest.get(at..).unwrap_or_default();
            let blanks = left.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let left = left.get(blanks..).unwrap_or_default();
            if left.len() < token.len() && token.starts_with(left) {
                return None;
            }
            if !left.starts_with(token) {
                return Some(0);
            }
            at += blanks + token.len();
        }
        Some(at + 1)
    }
}

/// How far the end of an object has been looked for.
#[derive(Default)]
struct Scan {
    at: usize,
    depth: usize,
    quoted: bool,
}

impl Scan {
    /// The length of the object that begins at the first byte, if its end is there.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let rest = bytes.get(self.at..)?;
            if self.quoted {
                let quote = memchr::memchr2(b'"', b'\\', rest)?;
                if rest.get(quote) == Some(&b'\\') {
                    // The letter behind it may not be there yet.
                    rest.get(quote + 1)?;
                    self.at += quote + 2;
                } else {
                    self.quoted = false;
                    self.at += quote + 1;
                }
                continue;
            }
            let place = memchr::memchr3(b'"', b'{', b'}', rest)?;
            self.at += place + 1;
            match rest.get(place) {
                Some(b'"') => self.quoted = true,
                Some(b'{') => self.depth += 1,
                _ => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
            }
        }
    }
}

impl fmt::Display for FlowLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Record { line, what } => {
                write!(f, "the record that begins on line {line}: {what}")
            }
            Self::NotFlows(others) => {
                f.write_str("no flow log but records of ")?;
                let names: Vec<_> = others.keys().map(String::as_str).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

impl core::error::Error for FlowLogError {}
