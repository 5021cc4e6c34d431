//! Lookup: the tables of `vnetem-fib` beside other Rust crates and beside one bare load, interleaved in one
//! run, answers compared.
//!
//! ```text
//! cargo bench -p vnetem-benches --bench lookup
//! cargo bench -p vnetem-benches --bench lookup -- --table FILE --values 1000 --longer 1000 --rounds 9
//! cargo bench -p vnetem-benches --bench lookup -- --prove 1000000000 --table FILE
//! ```
//!
//! FILE holds lines of `prefix [number]`, gzipped if its name ends in `.gz`; `VNETEM_FIB_TABLE` names it
//! as well. Without one a seeded table is made that has the lengths of the full table of June 2026.
//! `--longer` adds so many prefixes of 25 to 32 bits. Figures are nanoseconds by the clock: the median of
//! the rounds and, behind it, the least.
//!
//! `--prove` measures nothing: it makes so many lookups in a thousand tables, in those of the embedded
//! service tags, in the full table and in one that changes, and compares each with a sweep over elementary
//! intervals, which it first compares with a linear scan.
#![allow(missing_docs, clippy::cast_possible_truncation, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench may stop when its input is wrong")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ip_network_table_deps_treebitmap::IpLookupTable;
use ipnet::Ipv4Net;
use prefix_trie::PrefixMap;
use vnetem_fib::{BaseTable, Hit, IdTable, Layout, LiveTable, SharedValues, ValueId, lookup_pairs};

#[path = "lookup/prove.rs"]
mod prove;

type Routes = Vec<(Ipv4Net, u32)>;

fn main() {
    let small = flag("--test");
    let values = option("--values").map_or(120, |values| values.parse().unwrap());
    let rounds = option("--rounds").map_or(if small { 1 } else { 7 }, |n| n.parse().unwrap());
    let path = option("--table").or_else(|| std::env::var("VNETEM_FIB_TABLE").ok());
    let mut routes = match path {
        Some(path) => read(&path, values),
        None => seeded(values, if small { 64 } else { 1 }),
    };
    if let Some(count) = option("--longer") {
        longer(&mut routes, values, count.parse().unwrap());
    }
    if let Some(lookups) = option("--prove") {
        return prove::prove(&routes, lookups.parse().unwrap());
    }
    if small {
        prove::prove(&routes, 100_000);
    }
    println!("{} prefixes, {values} values, {rounds} rounds: median (least)\n", routes.len());
    full_table(&routes, rounds, if small { 1 << 14 } else { 1 << 20 });
    updates(&routes, if small { 500 } else { 20_000 });
    loading(&routes, rounds.min(5));
    beside_a_writer(&routes, small);
    let tables = if small { 200 } else { 20_000 };
    many_small_tables(tables * if small { 1 } else { 5 }, 10, 0, rounds.min(5));
    many_small_tables(tables, 20, 1_000, rounds.min(5));
    many_small_tables(tables, 500, 1_000, rounds.min(5));
}

// ---- the full table ----

/// A loop that answers all queries and returns a sum over the answers.
type Pass<'a> = Box<dyn Fn(&[u32]) -> u64 + 'a>;

fn full_table(routes: &Routes, rounds: usize, queries: usize) {
    let live = LiveTable::from_routes(routes.iter().copied()).unwrap();
    let frozen = [Layout::Fast, Layout::Compact].map(|layout| live.freeze(layout));
    let trie: PrefixMap<Ipv4Net, u32> = routes.iter().copied().collect();
    let mut bits = IpLookupTable::new();
    for (prefix, value) in routes {
        bits.insert(prefix.addr(), u32::from(prefix.prefix_len()), *value);
    }
    let in_bits = |address: u32| {
        bits.longest_match(Ipv4Addr::from_bits(address)).map_or(0, |(_, _, value)| *value)
    };
    let bare: Box<[u8]> = vec![1; 1 << 24].into();
    let bare = bare.first_chunk::<{ 1 << 24 }>().unwrap();
    let view = live.view();
    let host = |address: u32| Ipv4Net::new(Ipv4Addr::from_bits(address), 32).unwrap();
    let in_trie = |address: u32| trie.get_lpm(&host(address)).map_or(0, |(_, value)| *value);

    let peers: Vec<(&str, Pass)> = vec![
        ("vnetem batch", Box::new(|queries| batches(queries, |q, ids| view.lookup_batch(q, ids)))),
        (
            "vnetem frozen, fast, batch",
            Box::new(|queries| batches(queries, |q, ids| frozen[0].lookup_batch(q, ids))),
        ),
        (
            "vnetem frozen, compact, batch",
            Box::new(|queries| batches(queries, |q, ids| frozen[1].lookup_batch(q, ids))),
        ),
        (
            "vnetem single",
            Box::new(|queries| {
                batches(queries, |queries, ids| {
                    for (id, query) in ids.iter_mut().zip(queries) {
                        *id = view.id(*query);
                    }
                })
            }),
        ),
        ("vnetem latency", Box::new(|queries| chained(queries, |a| view.id(a).number()))),
        (
            "one load, 16 MiB",
            Box::new(|queries| batches_of(queries, |a| u32::from(bare[(a >> 8) as usize]))),
        ),
        (
            "vnetem single, prefix and value",
            Box::new(|queries| {
                batches_of(queries, |a| live.lookup(a).map_or(0, |(_, value)| *value))
            }),
        ),
        ("prefix-trie single", Box::new(|queries| batches_of(queries, in_trie))),
        ("prefix-trie latency", Box::new(|queries| chained(queries, in_trie))),
        ("treebitmap single", Box::new(|queries| batches_of(queries, in_bits))),
    ];
    let streams: Vec<(&str, Vec<u32>)> =
        STREAMS.map(|name| (name, stream(name, routes, queries))).into();

    for (name, queries) in &streams {
        for query in queries {
            let found = live.view().value(*query).copied().unwrap_or(0);
            assert_eq!(found, in_trie(*query), "{name}: {}", Ipv4Addr::from_bits(*query));
            assert_eq!(found, in_bits(*query), "{name}: {}", Ipv4Addr::from_bits(*query));
            for table in &frozen {
                assert_eq!(found, table.value(*query).copied().unwrap_or(0));
            }
        }
    }

    let mut times = BTreeMap::<(usize, usize), Vec<f64>>::new();
    for _ in 0..rounds {
        for (peer, (_, pass)) in peers.iter().enumerate() {
            for (stream, (_, queries)) in streams.iter().enumerate() {
                pass(queries);
                let best = (0..3).map(|_| time(|| pass(queries)) / queries.len() as f64);
                times.entry((peer, stream)).or_default().push(best.fold(f64::INFINITY, f64::min));
            }
        }
    }
    println!("| ns per lookup | uniform | covered | zipf | sequential |\n|---|---|---|---|---|");
    for (peer, (name, _)) in peers.iter().enumerate() {
        let cells: Vec<String> =
            (0..streams.len()).map(|s| figure(&mut times.remove(&(peer, s)).unwrap())).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    let memory = live.memory();
    println!(
        "\nmemory: {:.1} bytes a prefix with all writer state: {memory:?}; frozen {:.1}, compact {:.2}, prefix-trie {:.1}\n",
        memory.total() as f64 / routes.len() as f64,
        frozen[0].bytes() as f64 / routes.len() as f64,
        frozen[1].bytes() as f64 / routes.len() as f64,
        trie.mem_size() as f64 / routes.len() as f64
    );
}

/// Answers in batches of 1,024.
fn batches(queries: &[u32], mut batch: impl FnMut(&[u32], &mut [ValueId])) -> u64 {
    let mut ids = [ValueId::NONE; 1024];
    for queries in queries.chunks(1024) {
        batch(queries, &mut ids[..queries.len()]);
        black_box(&mut ids);
    }
    u64::from(ids[0].number())
}

/// The same for a function of one address.
fn batches_of(queries: &[u32], lookup: impl Fn(u32) -> u32) -> u64 {
    let mut answers = [0u32; 1024];
    for queries in queries.chunks(1024) {
        for (answer, query) in answers.iter_mut().zip(queries) {
            *answer = lookup(*query);
        }
        black_box(&mut answers);
    }
    u64::from(answers[0])
}

/// Each lookup waits for the one before.
fn chained(queries: &[u32], lookup: impl Fn(u32) -> u32) -> u64 {
    let mut last = 0;
    for query in queries {
        // The highest bit of an answer is never set, but only we know.
        last = black_box(lookup(query ^ (last & 0x8000_0000)));
    }
    u64::from(last)
}

// ---- changes ----

fn updates(routes: &Routes, count: usize) {
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
        let cells = steps.map(|mut times| {
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            times.sort_by(f64::total_cmp);
            format!("{:.0} ({mean:.0})", times[times.len() / 2])
        });
        println!("| {name} | {} |", cells.join(" | "));
    };
    let each = |change: &mut dyn FnMut(Ipv4Net, u32)| -> Vec<f64> {
        chosen.iter().map(|(prefix, value)| time(|| change(*prefix, *value))).collect()
    };
    let steps = [
        each(&mut |prefix, _| {
            black_box(live.remove(prefix));
        }),
        each(&mut |prefix, value| {
            let _ = black_box(live.insert(prefix, value));
        }),
        each(&mut |prefix, value| {
            let _ = black_box(live.insert(prefix, 1 + value % 100));
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

fn loading(routes: &Routes, rounds: usize) {
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

/// Batches of a reader while the writer deletes and inserts at a given rate on another core.
fn beside_a_writer(routes: &Routes, small: bool) {
    let mut live = LiveTable::from_routes(routes.iter().copied()).unwrap();
    println!(
        "| changes a second beside the reader | uniform | covered | zipf | sequential |\n|---|---|---|---|---|"
    );
    for rate in [0u64, 100_000, u64::MAX] {
        let mut reader = live.reader();
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let start = Instant::now();
        let cells: Vec<String> = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut random = Random(5);
                while rate > 0 && !stop.load(Ordering::Relaxed) {
                    let (prefix, value) = routes[random.below(routes.len())];
                    live.remove(prefix);
                    live.insert(prefix, value).unwrap();
                    let changes = done.fetch_add(2, Ordering::Relaxed) + 2;
                    while rate != u64::MAX
                        && changes as f64 > start.elapsed().as_secs_f64() * rate as f64
                    {
                        std::hint::spin_loop();
                    }
                }
            });
            let cells = STREAMS.map(|name| {
                let queries = stream(name, routes, if small { 1 << 12 } else { 1 << 20 });
                let mut times: Vec<f64> = (0..9)
                    .map(|_| {
                        time(|| batches(&queries, |q, ids| reader.view().lookup_batch(q, ids)))
                    })
                    .map(|whole| whole / queries.len() as f64)
                    .collect();
                figure(&mut times)
            });
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap();
            cells.into()
        });
        let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        println!("| {rate:.0} | {} |", cells.join(" | "));
    }
    println!();
}

// ---- many small tables ----

fn many_small_tables(tables: usize, own: usize, shared: usize, rounds: usize) {
    let base_routes: Routes = {
        let mut random = Random(2);
        (0..shared)
            .map(|_| (prefix(random.next() as u32, 16 + random.below(13) as u8), 500))
            .collect()
    };
    let routes = |seed: u64| own_routes(&mut Random(seed), own);
    let mut values = SharedValues::new();
    let base = BaseTable::new(values.table(base_routes.iter().copied()).unwrap());
    let built: Vec<IdTable> =
        (0..tables as u64).map(|seed| values.table(routes(seed)).unwrap()).collect();
    let mut whole: Vec<Routes> = (0..tables.min(1_000) as u64).map(routes).collect();
    let count = whole.len() as f64;
    let sample = whole.clone();
    let build =
        time(|| sample.into_iter().map(|r| values.table(r).unwrap()).collect::<Vec<_>>()) / count;
    whole.iter_mut().for_each(|routes| routes.extend(base_routes.iter().copied()));
    let build_whole =
        time(|| whole.into_iter().map(|r| values.table(r).unwrap()).collect::<Vec<_>>()) / count;

    // Half in routes of the table, a quarter in a shared prefix, a quarter anywhere.
    let mut random = Random(9);
    let queries: Vec<(u32, u32)> = (0..if tables < 1_000 { 1 << 10 } else { 1 << 18 })
        .map(|_| {
            let table = random.below(tables);
            let within = match (random.below(4), shared) {
                (0 | 1, _) => Some(routes(table as u64)),
                (2, 1..) => Some(base_routes.clone()),
                _ => None,
            };
            let address = match within {
                Some(routes) => covered(&routes, &mut random),
                None => random.next() as u32,
            };
            (table as u32, address)
        })
        .collect();
    let over = (shared > 0).then_some(&base);
    let single_hit = |(table, address): (u32, u32)| {
        let own = built[table as usize].lookup(address);
        over.map_or(own, |base| own.or_longer(base.lookup(address)))
    };

    let (mut single, mut batch) = (Vec::new(), Vec::new());
    let mut hits = [Hit::NONE; 256];
    for _ in 0..rounds {
        let work = || {
            for queries in queries.chunks(256) {
                for (hit, query) in hits.iter_mut().zip(queries) {
                    *hit = single_hit(*query);
                }
                black_box(&mut hits);
            }
        };
        single.push(time(work) / queries.len() as f64);
        let work = || {
            for queries in queries.chunks(256) {
                let mut pairs = [(base.table(), 0); 256];
                for (pair, (table, address)) in pairs.iter_mut().zip(queries) {
                    *pair = (&built[*table as usize], *address);
                }
                lookup_pairs(&pairs[..queries.len()], over, &mut hits);
                black_box(&mut hits);
            }
        };
        batch.push(time(work) / queries.len() as f64);
    }
    for query in queries.iter().take(2_000) {
        let mut trie: PrefixMap<Ipv4Net, u32> = base_routes.iter().copied().collect();
        for (prefix, value) in routes(u64::from(query.0)) {
            trie.insert(prefix, value);
        }
        let host = Ipv4Net::new(Ipv4Addr::from_bits(query.1), 32).unwrap();
        let found = values.value_of(single_hit(*query).id());
        assert_eq!(found, trie.get_lpm(&host).map(|(_, value)| value));
    }
    let bytes = built.iter().map(IdTable::bytes).sum::<usize>() / built.len();
    println!(
        "{tables} tables of {own} over {shared} shared: {bytes} B a table, build {:.2} us (with the shared ones inside {:.1} us), single {} ns, batch {} ns",
        build / 1e3,
        build_whole / 1e3,
        figure(&mut single),
        figure(&mut batch)
    );
}

/// System routes, the VNet, then peerings and user routes in private space.
fn own_routes(random: &mut Random, count: usize) -> Routes {
    let system =
        [(0, 0), (0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16), (0x6440_0000, 10)];
    let mut routes: BTreeMap<Ipv4Net, u32> =
        system.iter().map(|(a, l)| (prefix(*a, *l), 2)).collect();
    while routes.len() < count {
        let length = [16u8, 20, 22, 24, 24, 24, 28, 32][random.below(8)];
        let address = 0x0a00_0000 | (random.next() as u32 & 0x00ff_ffff);
        routes.insert(prefix(address, length), 4 + random.below(200) as u32);
    }
    routes.into_iter().collect()
}

// ---- tables and streams ----

/// Prefixes by length in the full table of 19 June 2026.
const LENGTHS: [(u8, usize); 17] = [
    (8, 16),
    (9, 14),
    (10, 39),
    (11, 97),
    (12, 306),
    (13, 599),
    (14, 1_223),
    (15, 2_249),
    (16, 14_310),
    (17, 9_053),
    (18, 15_072),
    (19, 27_788),
    (20, 49_815),
    (21, 57_824),
    (22, 122_384),
    (23, 126_268),
    (24, 741_888),
];

/// A table with the real lengths. Neighbours often say the same, as those of one origin do.
fn seeded(values: u32, part: usize) -> Routes {
    let mut random = Random(2026);
    let mut routes = BTreeMap::new();
    for (length, count) in LENGTHS {
        let (mut left, mut run) = (count.div_ceil(part), None);
        while left > 0 {
            // Runs of neighbours, four long on average.
            let network = match run.filter(|_| random.below(4) > 0) {
                Some(last) => u32::wrapping_add(last, 1 << (32 - length)),
                None => random.next() as u32,
            };
            run = Some(network);
            let prefix = prefix(network, length);
            let value = 1 + mixed(network >> 11) % values;
            if (1..224).contains(&prefix.addr().octets()[0])
                && routes.insert(prefix, value).is_none()
            {
                left -= 1;
            }
        }
    }
    routes.into_iter().collect()
}

/// Splits /24s here and there, as routers of one network do inside.
fn longer(routes: &mut Routes, values: u32, count: usize) {
    let mut random = Random(25);
    let mut all: BTreeMap<Ipv4Net, u32> = routes.iter().copied().collect();
    for _ in 0..count {
        let address = covered(routes, &mut random);
        all.insert(prefix(address, 25 + random.below(8) as u8), 1 + mixed(address) % values);
    }
    *routes = all.into_iter().collect();
}

fn read(path: &str, values: u32) -> Routes {
    let text = if path.ends_with(".gz") {
        let unpacked = std::process::Command::new("gzip").args(["-dc", path]).output().unwrap();
        String::from_utf8(unpacked.stdout).unwrap()
    } else {
        std::fs::read_to_string(path).unwrap()
    };
    let routes = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split_whitespace();
        let prefix: Ipv4Net = fields.next().unwrap().parse().unwrap();
        let number = fields.next().and_then(|field| field.parse().ok());
        let value = number.unwrap_or(u32::from(prefix.addr()) ^ u32::from(prefix.prefix_len()));
        (prefix.trunc(), 1 + mixed(value) % values)
    });
    routes.collect::<BTreeMap<_, _>>().into_iter().collect()
}

const STREAMS: [&str; 4] = ["uniform", "covered", "zipf", "sequential"];

fn stream(name: &str, routes: &Routes, count: usize) -> Vec<u32> {
    let mut random = Random(0x5eed);
    match name {
        "uniform" => (0..count).map(|_| random.next() as u32).collect(),
        "covered" => (0..count).map(|_| covered(routes, &mut random)).collect(),
        "zipf" => {
            // 100,000 flows; the n-th has weight 1/n.
            let flows: Vec<u32> = (0..100_000).map(|_| covered(routes, &mut random)).collect();
            let mut sum = 0.0;
            let weights = (1..=flows.len()).map(|n| {
                sum += 1.0 / n as f64;
                sum
            });
            let weights: Vec<f64> = weights.collect();
            let pick =
                |part: f64| weights.partition_point(|weight| *weight < part).min(flows.len() - 1);
            let whole = weights[weights.len() - 1];
            (0..count)
                .map(|_| flows[pick((random.next() >> 11) as f64 / (1u64 << 53) as f64 * whole)])
                .collect()
        }
        _ => (0..count).map(|n| 0x0100_0000 + n as u32).collect(),
    }
}

/// A random host of a random route.
fn covered(routes: &Routes, random: &mut Random) -> u32 {
    let (prefix, _) = routes[random.below(routes.len())];
    prefix.network().to_bits() | (random.next() as u32 & prefix.hostmask().to_bits())
}

fn prefix(address: u32, length: u8) -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::from_bits(address), length).unwrap().trunc()
}

/// The finaliser of MurmurHash3.
fn mixed(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

// ---- measuring ----

fn time<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().max(Duration::from_nanos(1)).as_nanos() as f64
}

/// The median and the least.
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
