//! Measures the full table: every kind of look-up, beside other Rust crates and bare loads.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_fib::{Layout, LiveTable, ValueId, Width};

use super::peers::Peers;
use super::tables::{Routes, STREAMS, stream};
use super::{figure, median, time};

/// A loop that answers all queries and returns a sum over the answers.
pub(crate) type Pass<'a> = Box<dyn Fn(&[u32]) -> u64 + 'a>;

pub(crate) fn full_table(routes: &Routes, rounds: usize, queries: usize) {
    let live = LiveTable::from_routes(routes.iter().copied()).unwrap();
    let frozen = [Layout::Fast, Layout::Compact].map(|layout| live.freeze(layout));
    let peers = Peers::new(routes);
    let bare = Bare::new();
    let view = live.view();

    let mut passes: Vec<(&str, Pass)> = vec![
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
            "vnetem single, prefix and value",
            Box::new(|queries| {
                batches_of(queries, |a| {
                    live.lookup(a).map_or(0, |(prefix, value)| both(prefix, *value))
                })
            }),
        ),
        ("vnetem frozen, fast, single", Box::new(|q| batches_of(q, |a| frozen[0].id(a).number()))),
        (
            "vnetem frozen, compact, single",
            Box::new(|q| batches_of(q, |a| frozen[1].id(a).number())),
        ),
        ("one load, 4 MiB", Box::new(|queries| batches_of(queries, |a| bare.load_4(a)))),
        ("one load, 16 MiB", Box::new(|queries| batches_of(queries, |a| bare.load_16(a)))),
        ("one load, 32 MiB", Box::new(|queries| batches_of(queries, |a| bare.load_32(a)))),
    ];
    passes.extend(peers.passes());
    let streams: Vec<(&str, Vec<u32>)> =
        STREAMS.map(|name| (name, stream(name, routes, queries))).into();

    for (name, queries) in &streams {
        for query in queries {
            let found = live.view().value(*query).copied().unwrap_or(0);
            let address = Ipv4Addr::from_bits(*query);
            peers.compare(*query, found).unwrap_or_else(|peer| panic!("{peer}, {name}: {address}"));
            for table in &frozen {
                assert_eq!(found, table.value(*query).copied().unwrap_or(0));
            }
        }
    }

    let mut times = BTreeMap::<(usize, usize), Vec<f64>>::new();
    for _ in 0..rounds {
        for (peer, (_, pass)) in passes.iter().enumerate() {
            for (stream, (_, queries)) in streams.iter().enumerate() {
                pass(queries);
                let best = (0..3).map(|_| time(|| pass(queries)) / queries.len() as f64);
                times.entry((peer, stream)).or_default().push(best.fold(f64::INFINITY, f64::min));
            }
        }
    }
    println!("| ns per lookup | uniform | covered | zipf | sequential |\n|---|---|---|---|---|");
    for (peer, (name, _)) in passes.iter().enumerate() {
        let revalidation_keys: Vec<String> =
            (0..streams.len()).map(|s| figure(&mut times[&(peer, s)].clone())).collect();
        println!("| {name} | {} |", revalidation_keys.join(" | "));
    }
    println!();
    let floor = match live.width() {
        Width::One => "one load, 16 MiB",
        Width::Two | Width::Four => "one load, 32 MiB",
    };
    for (over, under) in [
        ("vnetem batch", floor),
        ("vnetem frozen, fast, batch", floor),
        ("vnetem single", floor),
        ("vnetem frozen, compact, batch", "one load, 4 MiB"),
        ("prefix-trie single", "vnetem batch"),
        ("vnetem single, prefix and value", "prefix-trie single, prefix and value"),
        ("poptrie (Rust) single", "vnetem single"),
    ] {
        let at = |name| passes.iter().position(|(known, _)| *known == name).unwrap();
        let ratios: Vec<String> = (0..streams.len())
            .map(|stream| {
                let (over, under) = (&times[&(at(over), stream)], &times[&(at(under), stream)]);
                format!("{:.2}", median(over.iter().zip(under).map(|(over, under)| over / under)))
            })
            .collect();
        println!("| {over} / {under} | {} |", ratios.join(" | "));
    }
    let memory = live.memory();
    println!(
        "\nmemory: {:.1} bytes a prefix with all writer state: {memory:?}; frozen {:.1}, compact {:.2}, prefix-trie {:.1}\n",
        memory.total() as f64 / routes.len() as f64,
        frozen[0].bytes() as f64 / routes.len() as f64,
        frozen[1].bytes() as f64 / routes.len() as f64,
        peers.trie.mem_size() as f64 / routes.len() as f64
    );
}

/// Answers in batches of 1,024.
pub(crate) fn batches(queries: &[u32], mut batch: impl FnMut(&[u32], &mut [ValueId])) -> u64 {
    let mut ids = [ValueId::NONE; 1024];
    for queries in queries.chunks(1024) {
        batch(queries, &mut ids[..queries.len()]);
        black_box(&mut ids);
    }
    u64::from(ids[0].number())
}

/// Answers in batches by a function of one address.
pub(crate) fn batches_of(queries: &[u32], lookup: impl Fn(u32) -> u32) -> u64 {
    let mut answers = [0u32; 1024];
    for queries in queries.chunks(1024) {
        for (answer, query) in answers.iter_mut().zip(queries) {
            *answer = lookup(*query);
        }
        black_box(&mut answers);
    }
    u64::from(answers[0])
}

/// Folds prefix and value together. The compiler would drop a prefix that nobody reads.
#[inline(always)]
pub(crate) fn both(prefix: Ipv4Net, value: u32) -> u32 {
    value ^ prefix.addr().to_bits() ^ u32::from(prefix.prefix_len())
}

/// Answers one by one: each look-up waits for the one before.
pub(crate) fn chained(queries: &[u32], lookup: impl Fn(u32) -> u32) -> u64 {
    let mut last = 0;
    for query in queries {
        // The highest bit of an answer is never set, but the compiler does not know.
        last = black_box(lookup(query ^ (last & 0x8000_0000)));
    }
    u64::from(last)
}

/// One load by address, from memory of these sizes. No table of that size can be faster.
struct Bare {
    mib_4: Box<[u8]>,
    mib_16: Box<[u8]>,
    mib_32: Box<[u16]>,
}

impl Bare {
    fn new() -> Self {
        Self {
            mib_4: vec![1; 1 << 22].into(),
            mib_16: vec![1; 1 << 24].into(),
            mib_32: vec![1; 1 << 24].into(),
        }
    }

    #[inline(always)]
    fn load_4(&self, address: u32) -> u32 {
        self.mib_4.first_chunk::<{ 1 << 22 }>().unwrap()[(address >> 10) as usize].into()
    }

    #[inline(always)]
    fn load_16(&self, address: u32) -> u32 {
        self.mib_16.first_chunk::<{ 1 << 24 }>().unwrap()[(address >> 8) as usize].into()
    }

    #[inline(always)]
    fn load_32(&self, address: u32) -> u32 {
        self.mib_32.first_chunk::<{ 1 << 24 }>().unwrap()[(address >> 8) as usize].into()
    }
}
