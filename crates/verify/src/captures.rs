//! Reads directories of captures, and compares them with their manifest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use vnetem_io::{CaptureReader, CapturedPacket, Skip};

/// One file, read to its end or to the first record that cannot be read.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Its path below the directory.
    pub name: String,
    /// Its IPv4 packets with their times in nanoseconds.
    pub packets: Vec<(u64, Vec<u8>)>,
    /// Records that are announced as IPv4 and are not.
    pub not_ipv4: u64,
    /// Records that gave no packet, including those.
    pub skipped: u64,
    /// Why reading stopped early, if it did.
    pub broken: Option<String>,
}

/// The result of a comparison with a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Files that have all counts of the manifest.
    pub equal: u64,
    /// The first count that differs, for each file that has one.
    pub differing: Vec<String>,
}

/// Reads all captures in a directory and below it, in order of name.
///
/// # Errors
///
/// The directory or a file in it cannot be read, or a file that begins as a capture is not one.
pub fn read_captures(root: &Path) -> io::Result<Vec<Capture>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    files.iter().map(|file| read(root, file)).collect()
}

/// Compares what was read with `MANIFEST.tsv` in the directory, which holds counts that another
/// program made. Its first line names the columns. Returns nothing if there is no manifest.
///
/// # Errors
///
/// A file that the manifest names does not exist.
pub fn check_manifest(root: &Path, captures: &[Capture]) -> Result<Option<Compared>, String> {
    let Ok(text) = fs::read_to_string(root.join("MANIFEST.tsv")) else { return Ok(None) };
    let mut rows = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = rows.next().unwrap_or_default();
    let mut compared = Compared::default();
    for row in rows {
        let field = |name: &str| {
            let place = names.iter().position(|field| *field == name);
            place.and_then(|place| row.get(place)).copied().unwrap_or_default()
        };
        let file = field("file");
        let capture = captures.iter().find(|capture| capture.name == file);
        let capture = capture.ok_or_else(|| format!("{file} is not there"))?;
        let differs = |(name, count): &(&str, u64)| field(name).parse() != Ok(*count);
        match counts(capture).into_iter().find(differs) {
            None => compared.equal += 1,
            Some((name, count)) => {
                let wanted = field(name);
                let unread = capture.skipped;
                compared.differing.push(format!(
                    "{file}: {count} {name}, {wanted} by the manifest; {unread} records gave no packet"
                ));
            }
        }
    }
    Ok(Some(compared))
}

/// Counts what a manifest counts, straight from the bytes.
fn counts(capture: &Capture) -> [(&'static str, u64); 9] {
    let count = |claim: fn(&[u8]) -> bool| {
        capture.packets.iter().filter(|(_, bytes)| claim(bytes)).count() as u64
    };
    [
        ("packets", capture.packets.len() as u64 + capture.skipped),
        ("ipv4", capture.packets.len() as u64),
        ("ipv4_bad", capture.not_ipv4),
        ("frags", count(|bytes| word(bytes, 6) & 0x3fff != 0)),
        ("tcp", count(|bytes| bytes.get(9) == Some(&6))),
        ("udp", count(|bytes| bytes.get(9) == Some(&17))),
        ("icmp", count(|bytes| bytes.get(9) == Some(&1))),
        ("ip_opts", count(|bytes| bytes.first().is_some_and(|first| first & 15 > 5))),
        ("bad_ip_ck", count(has_wrong_sum)),
    ]
}

fn word(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok()).map_or(0, u16::from_be_bytes)
}

/// Returns whether the header checksum is wrong. A header that is cut short counts as right.
fn has_wrong_sum(bytes: &[u8]) -> bool {
    let length = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
    let Some(header) = bytes.get(..length).filter(|header| header.len() >= 20) else {
        return false;
    };
    let sum: u32 = (0..length).step_by(2).map(|at| u32::from(word(header, at))).sum();
    !sum.is_multiple_of(0xffff)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if is_capture(&path)? {
            files.push(path);
        }
    }
    Ok(())
}

/// Returns whether a file is a capture by its first bytes: pcap in either byte order, in
/// microseconds or nanoseconds, or pcapng.
fn is_capture(file: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    File::open(file)?.take(4).read_to_end(&mut first)?;
    Ok(matches!(
        first.as_slice(),
        [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0xc3, 0xd4]
            | [0x4d, 0x3c, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x0a, 0x0d, 0x0d, 0x0a]
    ))
}

fn read(root: &Path, file: &Path) -> io::Result<Capture> {
    let bytes = fs::read(file)?;
    let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
    let mut reader = CaptureReader::new(bytes.as_slice())
        .map_err(|error| io::Error::other(format!("{name}: {error}")))?;
    let (mut packets, mut broken) = (Vec::new(), None);
    for packet in reader.by_ref() {
        match packet {
            Ok(CapturedPacket { time, bytes, .. }) => packets.push((time, bytes)),
            Err(error) => broken = Some(error.to_string()),
        }
    }
    let skipped = reader.skipped();
    let not_ipv4 = skipped.count(Skip::NotIpv4);
    Ok(Capture { name, packets, not_ipv4, skipped: skipped.total(), broken })
}
