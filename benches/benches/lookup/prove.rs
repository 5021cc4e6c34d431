//! Compares many look-ups in every kind of table with a sweep over elementary intervals.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_azure::ServiceTags;
use vnetem_fib::{
    BaseTable, Hit, IdTable, Layout, LiveTable, SharedValues, Table, ValueId, lookup_pairs,
};

use super::option;
use super::tables::{Random, Routes, prefix};

/// Compares this many look-ups, and prints their number.
pub(crate) fn prove(full: &Routes, lookups: u64) {
    sweep_equals_scan();
    let mut done = 0;
    let report = |what: &str, done: u64| println!("{done:>13} lookups as expected: {what}");

    let mut random = Random(1_000);
    for _ in 0..lookups.div_ceil(1_000_000).min(1_000) {
        let routes = crowded(&mut random);
        done += small(&routes, &mut random, lookups / 4_000);
        done += large(&LiveTable::from_routes(routes.iter().copied()).unwrap(), &routes, 0);
    }
    report("tables of 1 to 3,000 routes", done);

    for routes in service_tags() {
        done += small(&routes, &mut random, lookups / 1_000);
        done += large(&LiveTable::from_routes(routes.iter().copied()).unwrap(), &routes, 0);
    }
    report("service tags", done);
    done += churn(lookups / 1_000);
    report("seven years of their changes", done);

    let mut live = LiveTable::from_routes(full.iter().copied()).unwrap();
    done += large(&live, full, lookups / 8);
    report("the full table", done);
    let mut round = 0;
    while round < 2 || done < lookups {
        // In each round a different share of the routes is removed, and then returns.
        let part = 2 + round % 50;
        let (away, stay): (Routes, Routes) = full
            .iter()
            .partition(|(prefix, _)| u32::from(prefix.addr()) / 256 % part == round % part);
        away.iter().for_each(|(prefix, value)| assert_eq!(live.remove(*prefix), Some(*value)));
        done += large(&live, &stay, lookups / 16);
        away.iter().for_each(|(prefix, value)| assert_eq!(live.insert(*prefix, *value), Ok(None)));
        done += large(&live, full, lookups / 64);
        round += 1;
        report("the full table with routes that go and come", done);
    }
    println!("no difference\n");
}

/// The slow reference implementation: where the answer changes, and the answers; 0 where nothing
/// matches.
struct Sweep(Vec<(u32, u32)>);

impl Sweep {
    fn new(routes: &[(Ipv4Net, u32)]) -> Self {
        let mut cuts = BTreeMap::from([(0, 0)]);
        let mut by_length: Vec<&(Ipv4Net, u32)> = routes.iter().collect();
        by_length.sort_by_key(|(prefix, _)| prefix.prefix_len());
        for (prefix, value) in by_length {
            // Only shorter prefixes are in, so the answer changes at the borders only.
            if let Some(behind) = prefix.broadcast().to_bits().checked_add(1) {
                let before = *cuts.range(..=behind).next_back().unwrap().1;
                cuts.insert(behind, before);
            }
            cuts.insert(prefix.network().to_bits(), *value);
        }
        Self(cuts.into_iter().collect())
    }

    /// Returns the first, last and neighbouring address of each interval, and about `more`
    /// addresses in even steps. All are in rising order, with their answers.
    fn answers(&self, more: u64, offset: u64) -> impl Iterator<Item = (u32, u32)> {
        let ends = self.0.iter().skip(1).map(|(start, _)| start - 1).chain([u32::MAX]);
        let step = (1u64 << 32) / more.max(1);
        let mut next = if more == 0 { 1 << 32 } else { offset % step };
        self.0.iter().zip(ends).flat_map(move |((start, value), end)| {
            let mut internal =
                vec![*start, start + u32::from(start < &end), end - u32::from(start < &end), end];
            while next <= u64::from(end) {
                internal.push(next as u32);
                next += step;
            }
            internal.into_iter().map(|address| (address, *value))
        })
    }
}

fn sweep_equals_scan() {
    let mut random = Random(10_000);
    let mut compared = 0u64;
    for size in [1, 10, 100, 1_000, 10_000] {
        let mut routes = BTreeMap::new();
        while routes.len() < size {
            let length = random.below(33) as u8;
            routes.insert(
                prefix(random.next() as u32 & 0xc3ff_c3ff, length),
                1 + random.below(9) as u32,
            );
        }
        let routes: Routes = routes.into_iter().collect();
        let sweep = Sweep::new(&routes);
        for (address, value) in sweep.answers(100, 7).step_by(1 + size / 200) {
            let address = Ipv4Addr::from_bits(address);
            let covering = routes.iter().filter(|(prefix, _)| prefix.contains(&address));
            let longest = covering.max_by_key(|(prefix, _)| prefix.prefix_len());
            assert_eq!(value, longest.map_or(0, |(_, value)| *value), "{address}");
            compared += 1;
        }
    }
    println!("{compared:>13} answers of the sweep are those of a linear scan");
}

/// Checks the tables for many small tables, alone and in pairs over a base.
fn small(routes: &Routes, random: &mut Random, more: u64) -> u64 {
    let mut values = SharedValues::new();
    let table: Table<u32> = routes.iter().copied().collect();
    let whole = values.table(routes.iter().copied()).unwrap();
    let (own, base): (Routes, Routes) = routes.iter().partition(|_| random.below(2) == 0);
    let own = values.table(own).unwrap();
    let base = BaseTable::new(values.table(base).unwrap());
    let answers: Vec<(u32, u32)> = Sweep::new(routes).answers(more, random.next()).collect();
    let said = |hit: Hit| values.value_of(hit.id()).copied().unwrap_or(0);
    let mut hits = [Hit::NONE; 512];
    for answers in answers.chunks(256) {
        let pairs: Vec<(&IdTable, u32)> = answers
            .iter()
            .flat_map(|(address, _)| [(&whole, *address), (&own, *address)])
            .collect();
        lookup_pairs(&pairs, Some(&base), &mut hits);
        for ((address, value), hits) in answers.iter().zip(hits.chunks(2)) {
            assert_eq!(
                [said(hits[0]), said(hits[1])],
                [*value; 2],
                "{}",
                Ipv4Addr::from_bits(*address)
            );
            assert_eq!(table.lookup(*address).map_or(0, |(_, value)| *value), *value);
        }
    }
    3 * answers.len() as u64
}

/// Checks the live table, and the tables that it freezes to.
fn large(live: &LiveTable<u32>, routes: &Routes, more: u64) -> u64 {
    let frozen = [Layout::Fast, Layout::Compact].map(|layout| live.freeze(layout));
    let sweep = Sweep::new(routes);
    let mut answers = sweep.answers(more / 3, more);
    let mut ids = [ValueId::NONE; 1_024];
    let mut done = 0;
    loop {
        let chunk: Vec<(u32, u32)> = answers.by_ref().take(ids.len()).collect();
        let addresses: Vec<u32> = chunk.iter().map(|(address, _)| *address).collect();
        if chunk.is_empty() {
            return done;
        }
        live.lookup_batch(&addresses, &mut ids);
        for ((address, value), id) in chunk.iter().zip(&ids) {
            let found = live.value_of(*id).copied().unwrap_or(0);
            assert_eq!(found, *value, "{}", Ipv4Addr::from_bits(*address));
        }
        for table in &frozen {
            table.lookup_batch(&addresses, &mut ids);
            for ((address, value), id) in chunk.iter().zip(&ids) {
                let found = table.value_of(*id).copied().unwrap_or(0);
                assert_eq!(found, *value, "{}", Ipv4Addr::from_bits(*address));
            }
        }
        done += 3 * chunk.len() as u64;
    }
}

/// Makes 1 to 3,000 routes that nest and touch.
fn crowded(random: &mut Random) -> Routes {
    let most = [10, 100, 1_000, 3_000][random.below(4)];
    let count = 1 + random.below(most);
    let bits = random.next() as u32 | random.next() as u32;
    let route = |_| {
        (prefix(random.next() as u32 & bits, random.below(33) as u8), 1 + random.below(300) as u32)
    };
    (0..count).map(route).collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Returns all prefixes of the embedded service tags, and of published files that `--tags` names,
/// by commas.
fn service_tags() -> Vec<Routes> {
    let mut clouds = vec![ServiceTags::embedded().endpoint_tags()];
    for file in option("--tags").iter().flat_map(|files| files.split(',')) {
        clouds.push(ServiceTags::from_json(&std::fs::read_to_string(file).unwrap(), None).unwrap());
    }
    let routes = |cloud: &ServiceTags| {
        let tags = cloud.tags().zip(1..);
        let routes =
            tags.flat_map(|(tag, number)| tag.prefixes().iter().map(move |p| (*p, number)));
        routes.collect::<BTreeMap<_, _>>().into_iter().collect()
    };
    clouds.iter().map(routes).collect()
}

/// Replays the history of each tag that `--churn` names: lines with lists `base`, `add`, `del`.
fn churn(more: u64) -> u64 {
    let Some(file) = option("--churn") else { return 0 };
    let mut live = LiveTable::new();
    let mut routes: BTreeMap<Ipv4Net, u32> = BTreeMap::new();
    let mut done = 0;
    for (line, number) in std::fs::read_to_string(file).unwrap().lines().zip(0..) {
        let list = |name: &str| -> Vec<Ipv4Net> {
            let Some((_, rest)) = line.split_once(&format!("\"{name}\":[")) else {
                return Vec::new();
            };
            let (list, _) = rest.split_once(']').unwrap();
            list.split(',').filter_map(|text| text.trim().trim_matches('"').parse().ok()).collect()
        };
        for prefix in list("del") {
            assert_eq!(live.remove(prefix), routes.remove(&prefix));
        }
        for prefix in list("base").into_iter().chain(list("add")) {
            assert_eq!(
                live.insert(prefix, 1 + number % 9),
                Ok(routes.insert(prefix, 1 + number % 9))
            );
        }
        if number % 20 == 0 {
            let routes: Routes = routes.iter().map(|(prefix, value)| (*prefix, *value)).collect();
            done += large(&live, &routes, more);
            done += small(&routes, &mut Random(u64::from(number)), more);
        }
    }
    done
}
