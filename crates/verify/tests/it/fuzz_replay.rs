//! Runs the fuzz bodies on stable, over their seeds and over every input that once failed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use vnetem_verify::fuzz;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Returns whether the fuzz package exists, which a package without its repository lacks.
fn is_here(what: &str) -> bool {
    let here = home().is_dir();
    if !here {
        vnetem_checks::skip(what, format!("there is no {}", home().display()));
    }
    here
}

/// Runs a body over every file of `fuzz/corpus/NAME` and `fuzz/crashes/NAME`, by name.
fn replay(name: &str, body: fn(&[u8])) -> io::Result<()> {
    let mut files = Vec::<PathBuf>::new();
    for kind in ["corpus", "crashes"] {
        // A package without its repository has neither folder.
        let Ok(directory) = fs::read_dir(home().join(kind).join(name)) else { continue };
        for entry in directory {
            files.push(entry?.path());
        }
    }
    if !is_here(name) {
        return Ok(());
    }
    assert!(!files.is_empty(), "nothing to replay for {name}");
    files.sort();
    for file in files {
        println!("{}", file.display());
        body(&fs::read(file)?);
    }
    Ok(())
}

macro_rules! targets {
    ($($target:ident $test:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $test() -> io::Result<()> {
            replay(stringify!($target), fuzz::$target)
        })*
    };
}

targets! {
    parse_ipv4 parse_ipv4_finds_nothing_in_its_corpus
    rewrite_roundtrip rewrite_roundtrip_finds_nothing_in_its_corpus
    checksum_incremental checksum_incremental_finds_nothing_in_its_corpus
    icmp_inner icmp_inner_finds_nothing_in_its_corpus
    frag_tracker frag_tracker_finds_nothing_in_its_corpus
    fib_ops fib_ops_finds_nothing_in_its_corpus
    import_file import_file_finds_nothing
    import_flow_log import_flow_log_finds_nothing
    port_pool_ops port_pool_ops_finds_nothing_in_its_corpus
    authz_rules authz_rules_finds_nothing_in_its_corpus
    pipeline_bytes pipeline_bytes_finds_nothing_in_its_corpus
    pipeline_ops pipeline_ops_finds_nothing_in_its_corpus
}

/// Every fuzz target has a corpus and is replayed here, so that a broken target fails `cargo test`.
#[test]
fn every_fuzz_target_is_replayed() -> io::Result<()> {
    if !is_here("targets have a corpus") {
        return Ok(());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(home().join("fuzz_targets"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        found.push(name.trim_end_matches(".rs").to_owned());
    }
    found.sort();
    let mut known = TARGETS.to_vec();
    known.sort_unstable();
    assert_eq!(found, known);
    for target in known {
        assert!(home().join("corpus").join(target).is_dir(), "{target} has no seeds");
    }
    Ok(())
}

/// Every crash file has a line that says what it broke.
#[test]
fn every_crash_has_its_line() -> io::Result<()> {
    if !is_here("crashes have their lines") {
        return Ok(());
    }
    let crashes = home().join("crashes");
    let lines = fs::read_to_string(crashes.join("README.md"))?;
    for target in TARGETS {
        let Ok(directory) = fs::read_dir(crashes.join(target)) else { continue };
        for entry in directory {
            let name = format!("| {target}/{} |", entry?.file_name().to_string_lossy());
            assert!(lines.contains(&name), "no line says what {name} broke");
        }
    }
    Ok(())
}
