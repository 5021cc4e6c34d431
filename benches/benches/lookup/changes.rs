//! Measures what a change costs, and what a writer costs its readers.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use ipnet::Ipv4Net;
use prefix_trie::PrefixMap;
use vnetem_fib::LiveTable;

use super::full::batches;
use super::tables::{Random, Routes, STREAMS, stream};
use super::{figure, median, time};

pub(crate) fn updates(routes: &Routes, count: usize) {
    let mut random = Random(77);
    let mut chosen = routes.clone();
    for at in 0..count.min(chosen.len()) {
        let other = at + random.below(chosen.len() - at);
        chosen.swap(at, other);
    }
    chosen.truncate(count);
    let mut live = LiveTable::from_routes(routes.iter().copied()).unwrap();
    let mut trie: PrefixMap<Ipv4Net, u32> = routes.iter().copied().collect();
    println!("| ns per change, median (mean) | delete | insert | replace |\n|---|---|---|---|");
    let row = |name: &str, steps: [Vec<f64>; 3]| {
        let revalidation_keys = steps.map(|mut times| {
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            times.sort_by(f64::total_cmp);
            format!("{:.0} ({mean:.0})", times[times.len() / 2])
        });
        println!("| {name} | {} |", revalidation_keys.join(" | "));
    };
    let each = |change: &mut dyn FnMut(Ipv4Net, u32)| -> Vec<f64> {
        let once = |(prefix, value): &(Ipv4Net, u32)| {
            let start = Instant::now();
            change(*prefix, *value);
            start.elapsed().as_nanos() as f64
        };
        chosen.iter().map(once).collect()
    };
    let steps = [
        each(&mut |prefix, _| {
            black_box(live.remove(prefix));
        }),
        each(&mut |prefix, value| {
            let _ = black_box(live.insert(prefix, value));
        }),
        each(&mut |prefix, value| {
            let _ = black_box(live.replace(prefix, 1 + value % 100));
        }),
    ];
    row("vnetem", steps);
    let steps = [
        each(&mut |prefix, _| {
            black_box(trie.remove(&prefix));
        }),
        each(&mut |prefix, value| {
            black_box(trie.insert(prefix, value));
        }),
        each(&mut |prefix, value| {
            black_box(trie.insert(prefix, 1 + value % 100));
        }),
    ];
    row("prefix-trie", steps);
    row("the clock alone", [(); 3].map(|()| each(&mut |_, _| ())));
    assert!(live.iter().map(|(p, v)| (p, *v)).eq(trie.iter().map(|(p, v)| (p, *v))));

    let wide: Vec<Ipv4Net> = (1..224u32)
        .map(|n| Ipv4Net::new(Ipv4Addr::from_bits(n << 24), 8).unwrap())
        .filter(|prefix| live.get(*prefix).is_none())
        .take(64)
        .collect();
    let insert = time(|| {
        for prefix in &wide {
            live.insert(*prefix, 77).unwrap();
        }
    }) / wide.len() as f64;
    let remove = time(|| {
        for prefix in &wide {
            live.remove(*prefix);
        }
    }) / wide.len() as f64;
    println!(
        "\na /8 over the full table: insert {:.1} us, delete {:.1} us\n",
        insert / 1e3,
        remove / 1e3
    );
}

pub(crate) fn loading(routes: &Routes, rounds: usize) {
    let mut random = Random(5);
    let mut shuffled = routes.clone();
    for at in (1..shuffled.len()).rev() {
        shuffled.swap(at, random.below(at + 1));
    }
    println!("| ms for the whole table | at once | one by one | prefix-trie |\n|---|---|---|---|");
    for (name, routes) in [("sorted", routes), ("shuffled", &shuffled)] {
        let (mut bulk, mut single, mut peer) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            bulk.push(time(|| LiveTable::from_routes(routes.iter().copied()).unwrap()) / 1e6);
            single.push(
                time(|| {
                    let mut table = LiveTable::new();
                    for (prefix, value) in routes {
                        table.insert(*prefix, *value).unwrap();
                    }
                    table
                }) / 1e6,
            );
            peer.push(time(|| routes.iter().copied().collect::<PrefixMap<Ipv4Net, u32>>()) / 1e6);
        }
        let [bulk, single, peer] = [&mut bulk, &mut single, &mut peer].map(|times| figure(times));
        println!("| {name} | {bulk} | {single} | {peer} |");
    }
    println!();
}

/// Measures batches of a reader while the writer deletes and inserts at a given rate on another
/// core. Each is paired with the same batches without a writer a moment earlier.
pub(crate) fn beside_a_writer(routes: &Routes, small: bool) {
    /// Long enough that a writer gets its turn, even if it shares its core.
    const PASSES: usize = 8;
    let mut live = LiveTable::from_routes(routes.iter().copied()).unwrap();
    let mut reader = live.reader();
    let (rate, stop, done) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    println!(
        "| reader, ns, alone and beside changes: their ratio | uniform | covered | zipf | sequential |\n|---|---|---|---|---|"
    );
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut random = Random(5);
            let (mut start, mut changes, mut at) = (Instant::now(), 0u64, 0);
            while !stop.load(Relaxed) {
                let wanted = rate.load(Relaxed);
                if wanted != at {
                    (start, changes, at) = (Instant::now(), 0, wanted);
                }
                if wanted == 0 {
                    std::thread::yield_now();
                    continue;
                }
                if changes as f64 >= start.elapsed().as_secs_f64() * wanted as f64 {
                    std::hint::spin_loop();
                    continue;
                }
                let (prefix, value) = routes[random.below(routes.len())];
                live.remove(prefix);
                live.insert(prefix, value).unwrap();
                changes += 2;
                done.fetch_add(2, Relaxed);
            }
        });
        for wanted in [100_000u64, 1_000_000] {
            let mut reached = (0, 0.0);
            let revalidation_keys = STREAMS.map(|name| {
                let queries = stream(name, routes, if small { 1 << 12 } else { 1 << 20 });
                let mut pass = |wanted| {
                    rate.store(wanted, Relaxed);
                    let before = (done.load(Relaxed), Instant::now());
                    let whole = time(|| {
                        for _ in 0..PASSES {
                            batches(&queries, |q, ids| reader.view().lookup_batch(q, ids));
                        }
                    });
                    if wanted > 0 {
                        reached.0 += done.load(Relaxed) - before.0;
                        reached.1 += before.1.elapsed().as_secs_f64();
                    }
                    whole / (PASSES * queries.len()) as f64
                };
                let rounds: Vec<[f64; 2]> = (0..if small { 1 } else { 25 })
                    .map(|_| {
                        pass(0);
                        [pass(0), pass(wanted)]
                    })
                    .collect();
                let [alone, beside] = [0, 1].map(|at| median(rounds.iter().map(|round| round[at])));
                let ratio = median(rounds.iter().map(|[alone, beside]| beside / alone));
                format!("{alone:.2}, {beside:.2}: {ratio:.2}")
            });
            let rate = reached.0 as f64 / reached.1;
            println!("| {rate:.0} changes a second | {} |", revalidation_keys.join(" | "));
        }
        stop.store(true, Relaxed);
        writer.join().unwrap();
    });
    println!();
}
