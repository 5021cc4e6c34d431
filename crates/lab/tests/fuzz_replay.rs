//! What the fuzzers started from, and what they once found, through the same bodies on stable.

use std::path::{Path, PathBuf};
use std::{fs, io};

use vnetem_lab::fuzz;

/// Runs a body over every file of `fuzz/corpus/NAME` and `fuzz/regressions/NAME`, by name.
fn replay(name: &str, body: fn(&[u8])) -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut files = Vec::<PathBuf>::new();
    for kind in ["corpus", "regressions"] {
        // A package without its repository has neither.
        let Ok(directory) = fs::read_dir(fuzz.join(kind).join(name)) else { continue };
        for entry in directory {
            files.push(entry?.path());
        }
    }
    assert!(!files.is_empty() || !fuzz.is_dir(), "nothing to replay for {name}");
    files.sort();
    for file in files {
        println!("{}", file.display());
        body(&fs::read(file)?);
    }
    Ok(())
}

#[test]
fn parse_ipv4_finds_nothing_in_its_corpus() -> io::Result<()> {
    replay("parse_ipv4", fuzz::parse_ipv4)
}

#[test]
fn checksum_incremental_finds_nothing_in_its_corpus() -> io::Result<()> {
    replay("checksum_incremental", fuzz::checksum_incremental)
}

#[test]
fn pipeline_bytes_finds_nothing_in_its_corpus() -> io::Result<()> {
    replay("pipeline_bytes", fuzz::pipeline_bytes)
}

#[test]
fn pipeline_ops_finds_nothing_in_its_corpus() -> io::Result<()> {
    replay("pipeline_ops", fuzz::pipeline_ops)
}

#[test]
fn fib_ops_finds_nothing_in_its_corpus() -> io::Result<()> {
    replay("fib_ops", fuzz::fib_ops)
}
