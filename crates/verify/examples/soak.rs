//! Sends hostile packets through a live data plane for as long as you ask, with every check on:
//!
//! ```text
//! cargo run --release -p vnetem-verify --example soak -- [--packets N] [--seed S] [--resume FILE]
//! ```
//!
//! With `--resume` the state is read from the file, if it exists, and written to it after every few
//! rounds. So runs of several days add up. N counts from the beginning of the soak.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use vnetem_verify::harness::{Soak, Sums};

const USAGE: &str = "usage: soak [--packets N] [--seed S] [--resume FILE]";
const EVERY: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let (mut packets, mut seed, mut file) = (1_000_000_u64, 1, None::<PathBuf>);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match argument.as_str() {
            "--packets" => packets = value.replace('_', "").parse()?,
            "--seed" => seed = value.parse()?,
            "--resume" => file = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    let mut soak = match &file {
        Some(file) if file.exists() => fs::read_to_string(file)?.parse()?,
        _ => Soak::new(seed),
    };
    let (before, begun, mut saved) = (soak.sums().packets, Instant::now(), Instant::now());
    println!("seed {}, from packet {before} to {packets}", soak.seed());
    while soak.sums().packets < packets {
        let done = soak.round();
        let is_over = done.is_err() || soak.sums().packets >= packets;
        if saved.elapsed() > EVERY || is_over {
            save(&soak, file.as_ref())?;
            saved = Instant::now();
        }
        if io::stderr().is_terminal() {
            progress(soak.sums().packets, packets, begun.elapsed(), before);
        }
        done?;
    }
    let Sums { packets: done, .. } = soak.sums();
    let rate = (done - before) as f64 / begun.elapsed().as_secs_f64();
    print!("{soak}");
    println!("{rate:.0} packets a second in this run");
    println!(
        "held after every packet: accounting, rewriting, sources, one generation; every 1,024 packets: mappings and flows"
    );
    println!("the modelled ones: fate, bytes, counters and events as the reference model says");
    println!("toggles under TCP: both ends closed, nothing else touched (S-17, S-18)");
    Ok(())
}

fn save(soak: &Soak, file: Option<&PathBuf>) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    // A run that is killed never leaves half a file.
    let fresh = file.with_extension("new");
    fs::write(&fresh, soak.to_string())?;
    fs::rename(fresh, file)
}

fn progress(done: u64, of: u64, elapsed: Duration, before: u64) {
    let rate = (done - before) as f64 / elapsed.as_secs_f64().max(0.001);
    let filled = usize::try_from(done.min(of) * 40 / of.max(1)).unwrap_or_default();
    let bar = "#".repeat(filled) + &".".repeat(40_usize.saturating_sub(filled));
    let left = of.saturating_sub(done) as f64 / rate.max(1.0);
    eprint!("\r[{bar}] {done} of {of}, {rate:.0}/s, {left:.0} s left ");
    let end = if done >= of { "\n" } else { "" };
    eprint!("{end}");
    let _ = io::stderr().flush();
}
