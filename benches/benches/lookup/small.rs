//! Measures tens of thousands of small tables, with (table, address) pairs at random.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;

use ip_network_table_deps_treebitmap::IpLookupTable;
use ipnet::Ipv4Net;
use prefix_trie::PrefixMap;
use vnetem_fib::{BaseTable, Hit, IdTable, SharedValues, lookup_pairs};

use super::tables::{Random, Routes, covered, prefix};
use super::{figure, time};

pub(crate) fn many_small_tables(tables: usize, own: usize, shared: usize, rounds: usize) {
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

    let queries = queries(tables, own, &base_routes);
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
    let trie = |table: u64| -> PrefixMap<Ipv4Net, u32> {
        base_routes.iter().copied().chain(routes(table)).collect()
    };
    for query in queries.iter().take(2_000) {
        let trie = trie(u64::from(query.0));
        let found = values.value_of(single_hit(*query).id()).copied().unwrap_or(0);
        assert_eq!(found, in_trie(&trie, query.1));
    }
    let bytes = built.iter().map(IdTable::bytes).sum::<usize>() / built.len();
    println!(
        "{tables} tables of {own} over {shared} shared: {bytes} B a table, build {:.2} us (with the shared ones inside {:.1} us), single {} ns, batch {} ns",
        build / 1e3,
        build_whole / 1e3,
        figure(&mut single),
        figure(&mut batch)
    );
    peers(tables.min(2_000), rounds, own, &base_routes);
}

/// Measures other crates, whose tables each hold the shared routes too, with fewer tables.
fn peers(tables: usize, rounds: usize, own: usize, base_routes: &Routes) {
    let tries: Vec<PrefixMap<Ipv4Net, u32>> = (0..tables as u64)
        .map(|seed| base_routes.iter().copied().chain(own_routes(&mut Random(seed), own)).collect())
        .collect();
    let bits: Vec<IpLookupTable<Ipv4Addr, u32>> = tries
        .iter()
        .map(|trie| {
            let mut bits = IpLookupTable::new();
            for (prefix, value) in trie {
                bits.insert(prefix.addr(), prefix.prefix_len().into(), *value);
            }
            bits
        })
        .collect();
    let queries = queries(tables, own, base_routes);
    let (mut of_tries, mut of_bits) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let pass = |lookup: &dyn Fn(&(u32, u32)) -> u32| {
            time(|| queries.iter().map(lookup).fold(0, u32::wrapping_add)) / queries.len() as f64
        };
        of_tries.push(pass(&|(table, address)| in_trie(&tries[*table as usize], *address)));
        of_bits.push(pass(&|(table, address)| {
            let found = bits[*table as usize].longest_match(Ipv4Addr::from_bits(*address));
            found.map_or(0, |(_, _, value)| *value)
        }));
    }
    let bytes = |sum: usize| sum / tables;
    println!(
        "  {tables} of prefix-trie: {} B, single {} ns; of treebitmap: {} B, single {} ns",
        bytes(tries.iter().map(PrefixMap::mem_size).sum()),
        figure(&mut of_tries),
        bytes(bits.iter().map(|bits| bits.mem_usage()).map(|(nodes, values)| nodes + values).sum()),
        figure(&mut of_bits),
    );
}

fn in_trie(trie: &PrefixMap<Ipv4Net, u32>, address: u32) -> u32 {
    let host = Ipv4Net::new(Ipv4Addr::from_bits(address), 32).unwrap();
    trie.get_lpm(&host).map_or(0, |(_, value)| *value)
}

/// Returns tables and addresses: half in routes of the table, a quarter in a shared prefix, a
/// quarter anywhere.
fn queries(tables: usize, own: usize, base_routes: &Routes) -> Vec<(u32, u32)> {
    let mut random = Random(9);
    (0..if tables < 1_000 { 1 << 10 } else { 1 << 18 })
        .map(|_| {
            let table = random.below(tables);
            let address = match (random.below(4), base_routes.is_empty()) {
                (0 | 1, _) => covered(&own_routes(&mut Random(table as u64), own), &mut random),
                (2, false) => covered(base_routes, &mut random),
                _ => random.next() as u32,
            };
            (table as u32, address)
        })
        .collect()
}

/// Makes system routes, the VNet, then peerings and user routes in private space.
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
