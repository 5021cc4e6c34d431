//! Compares Linux's NAT with vnetem's for as long as you like:
//!
//! ```text
//! cargo run --release -p vnetem-oracle --example compare -- PACKETS FIRST-SEED
//! ```
//!
//! Each 50,000 packets have a seed, a kernel and a data plane of their own.

#[cfg(target_os = "linux")]
fn main() -> Result<(), vnetem_oracle::Failure> {
    use vnetem_oracle::{Summary, run};

    const ROUND: u64 = 50_000;
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u64>());
    let (packets, first) = (number(1_000_000)?, number(1)?);
    let mut summary = Summary::default();
    for (seed, round) in (first..).zip(0..packets.div_ceil(ROUND)) {
        // In a thread of its own, with which the namespace ends.
        let of_round = std::thread::spawn(move || run(seed, ROUND, false));
        summary.add(of_round.join().map_err(|_| "a round failed")??);
        if round % 20 == 19 {
            println!("up to seed {seed}: {summary}");
        }
    }
    println!("seeds {first} to {}: {summary}", first + packets.div_ceil(ROUND) - 1);
    if summary.differences.is_empty() { Ok(()) } else { Err("differences".into()) }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
