//! Cuts seeds for the fuzz targets from a directory of captures, each into a file below
//! `OUT/TARGET`:
//!
//! ```text
//! cargo run --release -p vnetem-verify --example seeds -- DIR OUT
//! ```

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use vnetem_verify::captures::read_captures;
use vnetem_verify::seeds::{Seed, cut};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).map(PathBuf::from).collect();
    let [captures, out] = arguments.as_slice() else { return Err("usage: seeds DIR OUT".into()) };
    let seeds: Vec<_> = read_captures(captures)?.iter().flat_map(cut).collect();
    for Seed { target, name, bytes } in &seeds {
        fs::create_dir_all(out.join(target))?;
        fs::write(out.join(target).join(name), bytes)?;
    }
    println!("{} seeds", seeds.len());
    Ok(())
}
