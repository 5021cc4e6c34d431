//! What a unit writes: its packets, and after each second how far they go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_128;
use vnetem_io::CaptureWriter;
use vnetem_whatif::replay::{Happening, Unit};

use crate::DistError;

/// The seconds of a unit, each with a digest of what came out, and the files of them.
pub(crate) struct Output {
    files: Option<Files>,
    /// Time of the capture at which the replay begins.
    start: u64,
    second: XxHash3_128,
    /// Whether anything came out in this second.
    is_used: bool,
    /// Seconds that a former run completed.
    done: Vec<Second>,
    done_at: usize,
    total: XxHash3_128,
}

/// A second that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Second {
    second: u64,
    /// The length of the file of packets behind it.
    length: u64,
    digest: u128,
}

struct Files {
    path: PathBuf,
    packets: CaptureWriter<Rest<BufWriter<File>>>,
    seconds: BufWriter<File>,
    closed: BufWriter<File>,
}

/// Writes what comes after the bytes that the file has already.
struct Rest<W> {
    there: u64,
    length: u64,
    inner: W,
}

impl<W: Write> Write for Rest<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.there.saturating_sub(self.length);
        let skip = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.inner.write_all(bytes.get(skip..).unwrap_or_default())?;
        self.length += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Output {
    /// Begins the output of a unit, in a folder if one is given. With `resume` it goes on behind
    /// the last second that is complete.
    pub(crate) fn new(
        unit: Unit,
        start: u64,
        folder: Option<&Path>,
        resume: bool,
    ) -> Result<Self, DistError> {
        let mut done = Vec::new();
        let files = match folder {
            Some(folder) => Some(Files::open(folder, unit, resume, &mut done)?),
            None => None,
        };
        Ok(Self {
            files,
            start,
            second: XxHash3_128::new(),
            is_used: false,
            done,
            done_at: 0,
            total: XxHash3_128::new(),
        })
    }

    /// Takes what came out.
    pub(crate) fn see(&mut self, seen: Happening<'_>) -> Result<(), DistError> {
        self.is_used = true;
        let is_new = self.done_at >= self.done.len();
        match seen {
            Happening::Packet(played) => {
                if is_new {
                    let mut head = [0; 32];
                    head[..8].copy_from_slice(&played.time.0.to_le_bytes());
                    head[8..16].copy_from_slice(&played.id.to_le_bytes());
                    head[16..24].copy_from_slice(&length(played.place.as_bytes()));
                    head[24..].copy_from_slice(&length(played.comment.as_bytes()));
                    self.second.write(&head);
                    self.second.write(played.place.as_bytes());
                    self.second.write(played.comment.as_bytes());
                    self.second.write(played.bytes);
                }
                let Some(files) = &mut self.files else { return Ok(()) };
                let record = played.record(self.start.saturating_add(played.time.0));
                let written = files.packets.write(played.place, &record);
                written.map_err(|error| DistError::of(&files.path, error))
            }
            Happening::Closed(at, tuple, cause) => {
                let line = format!("{}\t{tuple}\t{cause}\n", at.0);
                if is_new {
                    self.second.write(line.as_bytes());
                }
                let Some(files) = &mut self.files else { return Ok(()) };
                let written = files.closed.write_all(line.as_bytes());
                written.map_err(|error| DistError::of(&files.path, error))
            }
        }
    }

    /// Ends a second, whose packets are then in the file.
    pub(crate) fn end(&mut self, second: u64) -> Result<(), DistError> {
        if !core::mem::take(&mut self.is_used) {
            return Ok(());
        }
        let digest = match self.done.get(self.done_at) {
            Some(done) if done.second == second => {
                self.done_at += 1;
                done.digest
            }
            Some(done) => {
                let text = format!(
                    "second {second} has packets, and the former run went on to {}",
                    done.second
                );
                return Err(DistError::new(text));
            }
            None => {
                let digest = core::mem::replace(&mut self.second, XxHash3_128::new()).finish_128();
                if let Some(files) = &mut self.files {
                    let written = files.end(second, digest);
                    written.map_err(|error| DistError::of(&files.path, error))?;
                }
                digest
            }
        };
        self.total.write(&second.to_le_bytes());
        self.total.write(&digest.to_le_bytes());
        Ok(())
    }

    /// Returns the digest of all seconds and how many of them were complete before.
    pub(crate) fn finish(self) -> Result<(u128, u64), DistError> {
        if let Some(files) = self.files {
            let path = files.path;
            let wrong = |error: io::Error| DistError::of(&path, error);
            let finished = files.packets.finish();
            finished.map_err(|error| DistError::of(&path, error))?;
            files.seconds.into_inner().map_err(|error| wrong(error.into_error()))?;
            files.closed.into_inner().map_err(|error| wrong(error.into_error()))?;
        }
        Ok((self.total.finish_128(), u64::try_from(self.done_at).unwrap_or_default()))
    }
}

fn length(text: &[u8]) -> [u8; 8] {
    u64::try_from(text.len()).unwrap_or_default().to_le_bytes()
}

impl Files {
    fn open(
        folder: &Path,
        unit: Unit,
        resume: bool,
        done: &mut Vec<Second>,
    ) -> Result<Self, DistError> {
        let path = folder.join(format!("unit-{unit:03}.pcapng"));
        let list = path.with_extension("seconds");
        let wrong = |error: io::Error| DistError::of(&path, error);
        let mut new = OpenOptions::new();
        new.write(true).create(true).truncate(false);
        let mut packets = new.open(&path).map_err(wrong)?;
        let mut seconds = new.open(&list).map_err(wrong)?;
        let mut kept = 0;
        if resume {
            let length = packets.metadata().map_err(wrong)?.len();
            let text = fs::read_to_string(&list).map_err(wrong)?;
            for line in text.split_inclusive('\n') {
                // The last line may be cut short, and may be of bytes that never got there.
                match Second::read(line) {
                    Some(second) if second.length <= length => done.push(second),
                    _ => break,
                }
                kept += line.len();
            }
        }
        let there = done.last().map_or(0, |last| last.length);
        packets.set_len(there).map_err(wrong)?;
        packets.seek(io::SeekFrom::End(0)).map_err(wrong)?;
        seconds.set_len(u64::try_from(kept).unwrap_or_default()).map_err(wrong)?;
        seconds.seek(io::SeekFrom::End(0)).map_err(wrong)?;
        let closed = File::create(path.with_extension("closed")).map_err(wrong)?;
        let rest = Rest { there, length: 0, inner: BufWriter::new(packets) };
        let packets = CaptureWriter::new(rest).map_err(|error| DistError::of(&path, error))?;
        let (seconds, closed) = (BufWriter::new(seconds), BufWriter::new(closed));
        Ok(Self { path, packets, seconds, closed })
    }

    /// Writes that a second is complete, after its packets.
    fn end(&mut self, second: u64, digest: u128) -> io::Result<()> {
        let packets = self.packets.get_mut();
        packets.flush()?;
        let line = Second { second, length: packets.length, digest };
        self.closed.flush()?;
        writeln!(self.seconds, "{}\t{}\t{:032x}", line.second, line.length, line.digest)?;
        self.seconds.flush()
    }
}

impl Second {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split('\t');
        let second = words.next()?.parse().ok()?;
        let length = words.next()?.parse().ok()?;
        let digest = u128::from_str_radix(words.next()?, 16).ok()?;
        words.next().is_none().then_some(Self { second, length, digest })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn rest_skips_what_is_there() {
        let mut rest = Rest { there: 5, length: 0, inner: Vec::new() };
        for part in [&b"abc"[..], b"defg", b"hi"] {
            rest.write_all(part).unwrap();
        }
        assert_eq!((rest.inner.as_slice(), rest.length), (&b"fghi"[..], 9));
    }

    #[test]
    fn line_cut_short_is_no_second() {
        let whole = format!("7\t100\t{:032x}\n", 5);
        assert_eq!(Second::read(&whole), Some(Second { second: 7, length: 100, digest: 5 }));
        for cut in 0..whole.len() {
            assert_eq!(Second::read(&whole[..cut]), None, "{cut}");
        }
    }
}
