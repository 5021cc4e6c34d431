//! L7: no lookup allocates, in any table. By a counting allocator, so alone in its process and without a
//! test harness, since all that the process does counts.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may fail by panic"
)]

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_fib::{
    BaseTable, Hit, Layout, LiveTable, SharedValues, Table, ValueId, lookup_layered, lookup_pairs,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    let routes = || {
        (0..3_000u32).map(|n| {
            let address = Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9));
            (Ipv4Net::new(address, 8 + (n % 25) as u8).unwrap().trunc(), n % 300)
        })
    };
    let live = LiveTable::from_routes(routes()).unwrap();
    let mut reader = live.reader();
    let frozen = [Layout::Fast, Layout::Compact].map(|layout| live.freeze(layout));
    let table = Table::new(routes());
    let mut values = SharedValues::new();
    let small = values.table(routes().take(40)).unwrap();
    let large = values.table(routes()).unwrap();
    let base = BaseTable::new(values.table(routes()).unwrap());
    let addresses: Vec<u32> = (0..10_000u32).map(|n| n.wrapping_mul(0x85eb_ca6b)).collect();
    let mut pairs = Vec::new();
    pairs.extend(addresses.iter().map(|a| (if a % 3 == 0 { &large } else { &small }, *a)));
    let mut ids = vec![ValueId::NONE; addresses.len()];
    let mut hits = vec![Hit::NONE; addresses.len()];

    let profiler = dhat::Profiler::builder().testing().build();
    let start = dhat::HeapStats::get();
    let mut found = 0;
    let view = reader.view();
    view.lookup_batch(&addresses, &mut ids);
    view.lookup_batch_at_once(addresses.first_chunk::<64>().unwrap(), &mut ids).unwrap();
    frozen.iter().for_each(|table| table.lookup_batch(&addresses, &mut ids));
    lookup_pairs(&pairs, Some(&base), &mut hits);
    for (address, hit) in addresses.iter().zip(&hits) {
        found += usize::from(view.lookup(*address).unwrap().is_some());
        found += usize::from(view.value(*address).is_some() && live.lookup(*address).is_some());
        found += usize::from(frozen.iter().all(|table| table.value(*address).is_some()));
        found += usize::from(table.lookup(*address).is_some());
        found += usize::from(lookup_layered([&table, &table], *address).is_some());
        found += usize::from(values.value_of(hit.id()).is_some());
    }
    let allocated = dhat::HeapStats::get().total_blocks - start.total_blocks;
    assert_eq!(allocated, 0, "{allocated} allocations");
    assert!(found > 10_000, "{found}");
    drop(profiler);
    println!("no allocation in {} lookups", addresses.len() * 12);
}
