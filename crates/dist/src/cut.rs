//! Cuts captures by unit, so that each worker reads only what it plays.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vnetem_io::{CaptureWriter, Direction, Record};
use vnetem_whatif::files::ModelFiles;
use vnetem_whatif::replay::{Unit, Units};

use crate::batch::{Batch, in_order};
use crate::captures::{self, Captures, Sorting, UNIT};
use crate::{DistError, job};

/// What to cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Shard {
    /// The network.
    pub model: ModelFiles,
    /// The captures: files and patterns such as `day/*.pcapng`.
    pub captures: Vec<String>,
    /// The folder for the parts.
    pub write: PathBuf,
    /// How many parts: as many as workers, or a multiple of that.
    pub parts: usize,
    /// Addresses above which a domain is split.
    pub split_above: u64,
}

/// The parts of captures that were cut, as the folder describes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// How many there are.
    pub parts: usize,
    /// The time of the first packet, in nanoseconds since 1970.
    pub start: u64,
    /// Packets in all parts.
    pub packets: u64,
    /// Frames without an IPv4 packet, which are in no part.
    pub not_ipv4: u64,
    /// Tells the way in which the network is split.
    pub split: u64,
}

/// The file that describes a folder of parts.
const LIST: &str = "parts.json";

impl Parts {
    pub(crate) fn read(folder: &Path) -> Result<Self, DistError> {
        let path = folder.join(LIST);
        let text = fs::read_to_string(&path).map_err(|error| DistError::of(&path, error))?;
        let parts: Self = serde_json::from_str(&text).map_err(|it| DistError::of(&path, it))?;
        Ok(parts)
    }

    pub(crate) fn files(&self, folder: &Path) -> Vec<PathBuf> {
        (0..self.parts).map(|number| file_of(folder, number)).collect()
    }
}

fn file_of(folder: &Path, part: usize) -> PathBuf {
    folder.join(format!("part-{part:03}.pcapng"))
}

/// Cuts captures into parts, each with all packets of its units in the order of their times.
///
/// # Errors
///
/// A file cannot be read or written.
pub fn shard(asked: &Shard) -> Result<Parts, DistError> {
    if asked.parts == 0 || asked.parts > usize::from(Unit::MAX) {
        return Err(DistError::new(format!("--parts {}: from 1 to 255", asked.parts)));
    }
    let (mut network, _) = job::network(&asked.model)?;
    let snapshot = network.commit();
    let units = Units::new(&network, &[&snapshot], asked.split_above);
    let files = captures::find(&asked.captures)?;
    let start = captures::start(&files)?;
    let folder = &asked.write;
    fs::create_dir_all(folder).map_err(|error| DistError::of(folder, error))?;
    let mut writers = Vec::new();
    for part in 0..asked.parts {
        let path = file_of(folder, part);
        let same = |file: &PathBuf| fs::canonicalize(file).ok() == fs::canonicalize(&path).ok();
        if path.exists() && files.iter().any(same) {
            return Err(DistError::of(&path, "would be overwritten while it is read"));
        }
        let file = File::create(&path).map_err(|error| DistError::of(&path, error))?;
        let writer = CaptureWriter::new(BufWriter::with_capacity(1 << 16, file));
        writers.push((writer.map_err(|error| DistError::of(&path, error))?, path));
    }
    let sorting = Sorting::By(&units, &snapshot);
    let mut captures = Captures::new(&files, &sorting, start, |_| true)?;
    let mut packets = 0;
    while let Some(second) = captures.next_second() {
        let mut batches: Vec<Batch> = (0..=Unit::MAX).map(Batch::new).collect();
        let mut ready: Vec<Batch> = Vec::new();
        captures.read(second, |packet| {
            packets += 1;
            let batch = batches.get_mut(usize::from(packet.unit));
            ready.extend(batch.and_then(|it| it.add(packet.time, packet.id, packet.bytes)));
            Ok(())
        })?;
        ready.append(&mut batches);
        ready.sort_by_key(|batch| usize::from(batch.unit) % asked.parts);
        for batches in ready.chunk_by_mut(|one, other| {
            usize::from(one.unit) % asked.parts == usize::from(other.unit) % asked.parts
        }) {
            let part = batches.first().map_or(0, |batch| usize::from(batch.unit) % asked.parts);
            let Some((writer, path)) = writers.get_mut(part) else { continue };
            let mut result = Ok(());
            in_order(batches, |unit, head, bytes| {
                if result.is_ok() {
                    let record = Record {
                        time: start.saturating_add(head.time),
                        packet_id: head.id,
                        direction: Direction::Inbound,
                        comment: "",
                        bytes,
                    };
                    result = writer.write(&format!("{UNIT}{unit}"), &record);
                }
            });
            result.map_err(|error| DistError::of(path, error))?;
        }
    }
    for (writer, path) in writers {
        writer.finish().map_err(|error| DistError::of(&path, error))?;
    }
    let parts = Parts {
        parts: asked.parts,
        start,
        packets,
        not_ipv4: captures.not_ipv4(),
        split: job::split_of(&network, &units),
    };
    let path = folder.join(LIST);
    let text = serde_json::to_string_pretty(&parts).unwrap_or_default() + "\n";
    fs::write(&path, text).map_err(|error| DistError::of(&path, error))?;
    Ok(parts)
}
