//! Writes a cloud network, its captures and its flow logs, to measure replays with:
//! `cargo run --release -p vnetem-dist --example made_day -- FOLDER vnets=64 hosts=100`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it writes test data")]

use std::path::Path;

use made::Day;

#[path = "../tests/it/made.rs"]
mod made;

fn main() -> Result<(), String> {
    let mut day = Day { vnets: 64, hosts: 16, seconds: 60, segments: 8, payload: 200, files: 4 };
    let mut hours = 0;
    let mut words = std::env::args().skip(1);
    let folder = words.next().ok_or("give a folder")?;
    for word in words {
        let (name, value) =
            word.split_once('=').ok_or("expected NAME=NUMBER, such as hosts=100")?;
        let number: u16 = value.parse().map_err(|_| format!("{value} is no number to 65535"))?;
        match name {
            "vnets" => day.vnets = number,
            "hosts" => day.hosts = number,
            "seconds" => day.seconds = number.into(),
            "segments" => day.segments = number,
            "payload" => day.payload = number,
            "files" => day.files = number,
            "hours" => hours = number,
            _ => {
                return Err(format!(
                    "{name}: vnets, hosts, seconds, segments, payload, files, hours"
                ));
            }
        }
    }
    day.write(Path::new(&folder));
    day.write_logs(Path::new(&folder), hours);
    Ok(())
}
