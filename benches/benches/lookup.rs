//! Measures look-ups: the tables of `vnetem-fib` beside other Rust crates and beside one bare load,
//! interleaved in one run, with compared answers.
//!
//! ```text
//! cargo bench -p vnetem-benches --bench lookup
//! cargo bench -p vnetem-benches --bench lookup -- --table FILE --values 1000 --rounds 9
//! cargo bench -p vnetem-benches --bench lookup -- --prove 1000000000 --table FILE
//! ```
//!
//! - FILE holds lines of `prefix [number]`, gzipped if its name ends in `.gz`. `VNETEM_FIB_TABLE`
//!   names it as well. Without one a seeded table has the lengths of the full table of June 2026.
//! - `--longer N` adds this many prefixes of 25 to 32 bits.
//! - `--part` is `full`, `changes` or `small`.
//! - Figures are nanoseconds of processor time of the thread: the median of the rounds and, behind
//!   it, the least. Candidates take turns in each round.
//! - A writer beside readers needs a second core, so do not pin `changes` to one.
//!
//! `--prove` measures nothing. It makes this many look-ups in a thousand tables, in those of the
//! embedded service tags, in the full table and in one that changes. It compares each with a sweep
//! over elementary intervals, which it first compares with a linear scan.
#![allow(missing_docs, clippy::cast_possible_truncation, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench may stop when its input is wrong")]

use std::hint::black_box;

use nix::time::{ClockId, clock_gettime};

#[path = "lookup/changes.rs"]
mod changes;
#[path = "lookup/full.rs"]
mod full;
#[path = "lookup/peers.rs"]
mod peers;
#[path = "lookup/prove.rs"]
mod prove;
#[path = "lookup/small.rs"]
mod small;
#[path = "lookup/tables.rs"]
mod tables;

fn main() {
    let small = flag("--test");
    let values = option("--values").map_or(120, |values| values.parse().unwrap());
    let rounds = option("--rounds").map_or(if small { 1 } else { 7 }, |n| n.parse().unwrap());
    let path = option("--table").or_else(|| std::env::var("VNETEM_FIB_TABLE").ok());
    let mut routes = match path {
        Some(path) => tables::read(&path, values),
        None => tables::seeded(values, if small { 64 } else { 1 }),
    };
    if let Some(count) = option("--longer") {
        tables::longer(&mut routes, values, count.parse().unwrap());
    }
    if let Some(lookups) = option("--prove") {
        return prove::prove(&routes, lookups.parse().unwrap());
    }
    if small {
        prove::prove(&routes, 100_000);
    }
    println!("{} prefixes, {values} values, {rounds} rounds: median (least)\n", routes.len());
    let part = option("--part");
    let parts = ["full", "changes", "small"];
    if let Some(part) = part.as_deref().filter(|part| !parts.contains(part)) {
        panic!("--part is {part:?}, expected one of {parts:?}");
    }
    let asked = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if asked("full") {
        full::full_table(&routes, rounds, if small { 1 << 14 } else { 1 << 20 });
    }
    if asked("changes") {
        changes::updates(&routes, if small { 500 } else { 20_000 });
        changes::loading(&routes, rounds.min(5));
        changes::beside_a_writer(&routes, small);
    }
    if asked("small") {
        let tables = if small { 200 } else { 20_000 };
        small::many_small_tables(tables * if small { 1 } else { 5 }, 10, 0, rounds);
        small::many_small_tables(tables, 20, 1_000, rounds);
        small::many_small_tables(tables, 500, 1_000, rounds);
    }
}

/// Measures the processor time of this thread in nanoseconds. Other work on the machine counts only
/// by the cache that it takes.
fn time<T>(work: impl FnOnce() -> T) -> f64 {
    let now = || {
        let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        now.tv_sec() as f64 * 1e9 + now.tv_nsec() as f64
    };
    let start = now();
    black_box(work());
    (now() - start).max(1.0)
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Formats the median and the least.
fn figure(times: &mut [f64]) -> String {
    times.sort_by(f64::total_cmp);
    format!("{:.2} ({:.2})", times[times.len() / 2], times[0])
}

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}
