//! The captures of a run, read second by second.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use vnetem::Snapshot;
use vnetem_io::{CaptureReader, CapturedPacket};
use vnetem_whatif::replay::{Finder, Unit, Units};

use crate::DistError;

/// Nanoseconds of an epoch.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Bytes that are read of a file at once.
const BUFFER: usize = 1 << 16;

/// Bits of a packet's number within its file.
const NUMBER_BITS: u32 = 40;

/// Finds the files of patterns such as `day/*.pcapng`, in the order of their names.
pub(crate) fn find(patterns: &[String]) -> Result<Vec<PathBuf>, DistError> {
    let mut found = Vec::new();
    for pattern in patterns {
        let wrong = |why: &dyn core::fmt::Display| DistError::new(format!("{pattern}: {why}"));
        let before = found.len();
        for path in glob::glob(pattern).map_err(|error| wrong(&error))? {
            let path = path.map_err(|error| wrong(&error))?;
            if path.is_file() {
                found.push(path);
            }
        }
        if found.len() == before {
            return Err(wrong(&"no such file"));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The captures that one worker reads.
pub(crate) struct Captures<'a> {
    files: Vec<Capture<'a>>,
    /// The second of the next packet of each file.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    start: u64,
    not_ipv4: u64,
}

/// How the packets of a file find their units.
pub(crate) enum Sorting<'a> {
    /// Each packet is looked at, and numbered by its file and place.
    By(&'a Units, &'a Snapshot),
    /// The file was cut before: its interfaces name the units, and packets have their numbers.
    Cut,
}

struct Capture<'a> {
    path: PathBuf,
    /// Its number among all files of the run.
    number: u64,
    sorting: &'a Sorting<'a>,
    open: Option<Open<'a>>,
}

struct Open<'a> {
    reader: CaptureReader<BufReader<File>>,
    finder: Option<Finder<'a>>,
    next: CapturedPacket,
    /// The time at which the next packet is played, which never goes back within a file.
    time: u64,
    count: u64,
    /// The unit of each interface of a file that was cut.
    units: Vec<Option<Unit>>,
}

/// A packet with its unit.
pub(crate) struct Sorted<'a> {
    pub(crate) unit: Unit,
    /// Nanoseconds since the first packet of all captures.
    pub(crate) time: u64,
    pub(crate) id: u64,
    pub(crate) bytes: &'a [u8],
}

/// Returns the time of the first packet of all captures, by their first packets.
pub(crate) fn start(files: &[PathBuf]) -> Result<u64, DistError> {
    let mut start = None;
    for path in files {
        let first = open(path)?.next().transpose();
        let first = first.map_err(|error| DistError::of(path, error))?.map(|packet| packet.time);
        start = start.into_iter().chain(first).min();
    }
    Ok(start.unwrap_or_default())
}

fn open(path: &Path) -> Result<CaptureReader<BufReader<File>>, DistError> {
    let file = File::open(path).map_err(|error| DistError::of(path, error))?;
    let file = BufReader::with_capacity(BUFFER, file);
    CaptureReader::new(file).map_err(|error| DistError::of(path, error))
}

impl<'a> Captures<'a> {
    /// Takes those of all files that `mine` accepts. `start` is the time of the first packet.
    pub(crate) fn new(
        files: &[PathBuf],
        sorting: &'a Sorting<'a>,
        start: u64,
        mine: impl Fn(usize) -> bool,
    ) -> Result<Self, DistError> {
        let mut captures = Self { files: Vec::new(), next: BinaryHeap::new(), start, not_ipv4: 0 };
        for (number, path) in files.iter().enumerate().filter(|(number, _)| mine(*number)) {
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            let capture = Capture { path: path.clone(), number, sorting, open: None };
            // Files of a long day are opened one after the other.
            let first = open(path)?.next().transpose();
            let first = first.map_err(|error| DistError::of(path, error))?;
            let second = first.map_or(0, |first| first.time.saturating_sub(start) / SECOND);
            captures.next.push(Reverse((second, captures.files.len())));
            captures.files.push(capture);
        }
        Ok(captures)
    }

    /// Returns the second of the next packet.
    pub(crate) fn next_second(&self) -> Option<u64> {
        self.next.peek().map(|Reverse((second, _))| *second)
    }

    /// Returns the frames without a packet so far.
    pub(crate) fn not_ipv4(&self) -> u64 {
        self.not_ipv4
    }

    /// Reads the packets of a second.
    pub(crate) fn read(
        &mut self,
        second: u64,
        mut take: impl FnMut(Sorted<'_>) -> Result<(), DistError>,
    ) -> Result<(), DistError> {
        while let Some(Reverse((_, place))) =
            self.next.peek().copied().filter(|Reverse((next, _))| *next <= second)
        {
            self.next.pop();
            let Some(file) = self.files.get_mut(place) else { continue };
            match file.read(self.start, second, &mut take)? {
                Ok(next) => self.next.push(Reverse((next, place))),
                Err(not_ipv4) => self.not_ipv4 += not_ipv4,
            }
        }
        Ok(())
    }
}

impl Capture<'_> {
    /// Reads up to the end of a second. Returns the second of the next packet, or at the end of the
    /// file how many frames had none.
    fn read(
        &mut self,
        start: u64,
        second: u64,
        take: &mut impl FnMut(Sorted<'_>) -> Result<(), DistError>,
    ) -> Result<Result<u64, u64>, DistError> {
        let wrong = |error| DistError::of(&self.path, error);
        if self.open.is_none() {
            let mut reader = open(&self.path)?;
            let Some(next) = reader.next().transpose().map_err(wrong)? else {
                return Ok(Err(reader.skipped().total()));
            };
            let finder = match self.sorting {
                Sorting::By(units, snapshot) => Some(Finder::new(units, snapshot)),
                Sorting::Cut => None,
            };
            let time = next.time.saturating_sub(start);
            self.open = Some(Open { reader, finder, next, time, count: 1, units: Vec::new() });
        }
        let Some(open) = &mut self.open else { return Ok(Err(0)) };
        loop {
            if open.time / SECOND > second {
                return Ok(Ok(open.time / SECOND));
            }
            let (unit, id) = match &mut open.finder {
                Some(finder) => {
                    let id = self.number << NUMBER_BITS | open.count;
                    (finder.unit(&open.next.bytes), id)
                }
                None => open.cut().ok_or_else(|| {
                    DistError::of(&self.path, "not a file of `vnetem-dist shard`")
                })?,
            };
            take(Sorted { unit, time: open.time, id, bytes: &open.next.bytes })?;
            match open.reader.next().transpose().map_err(wrong)? {
                Some(next) => {
                    open.time = open.time.max(next.time.saturating_sub(start));
                    open.next = next;
                    open.count += 1;
                }
                None => {
                    let skipped = open.reader.skipped().total();
                    self.open = None;
                    return Ok(Err(skipped));
                }
            }
        }
    }
}

impl Open<'_> {
    /// Returns what the file says of the next packet: its unit, by the name of the interface, and
    /// its number.
    fn cut(&mut self) -> Option<(Unit, u64)> {
        let place = usize::try_from(self.next.interface).ok()?;
        if place >= self.units.len() {
            self.units.resize(place + 1, None);
        }
        let unit = match self.units.get(place).copied().flatten() {
            Some(unit) => unit,
            None => {
                let name = self.reader.interface_name(self.next.interface)?;
                let unit = name.strip_prefix(UNIT)?.parse().ok()?;
                *self.units.get_mut(place)? = Some(unit);
                unit
            }
        };
        Some((unit, self.next.id?))
    }
}

/// What the interfaces of a cut file are named by, with the number of the unit.
pub(crate) const UNIT: &str = "unit-";
