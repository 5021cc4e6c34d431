//! Reads the records of a capture one after the other, whatever their length.

use std::io::{self, BufRead, BufReader, Read};

use crate::CaptureError;

/// The most bytes of a record or block that are kept. An IPv4 packet has at most 65,535; the rest
/// is room for what a link and the format add.
const LONGEST: u64 = 16 << 20;

/// How much is read from the file at once.
const BUFFER: usize = 1 << 16;

/// A file that is read record by record.
pub(crate) struct Records<R: Read> {
    reader: BufReader<R>,
    /// The record that was read last.
    bytes: Vec<u8>,
}

/// How a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// It is complete.
    Kept,
    /// It is too long to be kept. Only its head is here, and after that its last bytes where the
    /// format repeats the length there.
    TooLong,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER, reader), bytes: Vec::new() }
    }

    /// Returns the bytes of the last record.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads this many bytes at the start of a record. Returns less than four, such as none, only
    /// at the end of the file.
    pub(crate) fn begin(&mut self, head: u64) -> io::Result<usize> {
        self.bytes.clear();
        self.extend(head)
    }

    /// Reads on until the record has this many bytes. The last `tail` of them are always kept.
    pub(crate) fn finish(&mut self, length: u64, tail: u64) -> Result<Length, CaptureError> {
        let have = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        if length <= LONGEST {
            return self.extend_exactly(length.saturating_sub(have)).map(|()| Length::Kept);
        }
        let between = length.saturating_sub(have).saturating_sub(tail);
        if io::copy(&mut self.reader.by_ref().take(between), &mut io::sink())? < between {
            return Err(CaptureError::Truncated);
        }
        self.extend_exactly(tail).map(|()| Length::TooLong)
    }

    fn extend_exactly(&mut self, count: u64) -> Result<(), CaptureError> {
        let read = u64::try_from(self.extend(count)?).unwrap_or(u64::MAX);
        if read < count { Err(CaptureError::Truncated) } else { Ok(()) }
    }

    /// Reads more bytes. Memory grows with what the file has, not with what it announces.
    fn extend(&mut self, count: u64) -> io::Result<usize> {
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        let before = self.bytes.len();
        while left > 0 {
            let there = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let part = there.get(..left).unwrap_or(there);
            if part.is_empty() {
                break;
            }
            self.bytes.extend_from_slice(part);
            let length = part.len();
            self.reader.consume(length);
            left -= length;
        }
        Ok(self.bytes.len() - before)
    }
}
