//! Replays a directory of captures through the data plane in five setups. The reference model and
//! every invariant check each packet:
//!
//! ```text
//! cargo run --release -p vnetem-verify --example replay -- DIR [--seed S]
//! ```
//!
//! If there is a `DIR/MANIFEST.tsv`, the counts of what was read must equal its counts. The setups:
//!
//! - nothing is translated;
//! - behind a NAT gateway;
//! - an endpoint is toggled every 1,000 packets;
//! - 16 networks with the same addresses;
//! - packets are cut short, have bits flipped or come in another order.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use vnetem_verify::captures::{Compared, check_manifest, read_captures};
use vnetem_verify::harness::{Coverage, Replay, Setup};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().ok_or("usage: replay DIR [--seed S]")?);
    let seed = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => 1,
        (Some("--seed"), Some(seed)) => seed.parse()?,
        _ => return Err("usage: replay DIR [--seed S]".into()),
    };
    let captures = read_captures(&root)?;
    let packets: usize = captures.iter().map(|capture| capture.packets.len()).sum();
    println!("{} captures, {packets} IPv4 packets", captures.len());
    for capture in &captures {
        if let Some(why) = &capture.broken {
            println!("{}: read up to packet {}: {why}", capture.name, capture.packets.len());
        }
    }
    match check_manifest(&root, &captures)? {
        Some(Compared { equal, differing }) => {
            println!(
                "{equal} files are as their manifest counts them, {} are not",
                differing.len()
            );
            differing.iter().for_each(|line| println!("  {line}"));
        }
        None => println!("no manifest to compare with"),
    }
    println!(
        "setup       packets  forward  reverse translated endpoint  stopped   opened  closed  made toggles  packets/s"
    );
    for setup in Setup::ALL {
        let begun = Instant::now();
        let mut replay = Replay::new(setup, seed)?;
        for capture in &captures {
            let packets = capture.packets.iter().map(|(at, bytes)| (*at, bytes.as_slice()));
            let replayed = replay.capture(packets);
            replayed.map_err(|found| format!("{} {}: {found}", setup.name(), capture.name))?;
        }
        let replayed = replay.replayed();
        let Coverage {
            forward, reverse, translated, endpoint, stopped, closed, originated, ..
        } = replayed.coverage;
        let rate = replayed.packets as f64 / begun.elapsed().as_secs_f64();
        println!(
            "{:10} {:8} {forward:8} {reverse:8} {translated:10} {endpoint:8} {stopped:8} {:8} {closed:7} {originated:5} {:7} {rate:10.0}",
            setup.name(),
            replayed.packets,
            replayed.opened,
            replayed.toggles,
        );
    }
    println!(
        "every packet: fate, bytes, counters and events as the model says; the invariants of accounting, rewriting and isolation hold"
    );
    Ok(())
}
