//! No lookup allocates, in any table (INV-lookup-allocates-nothing).
//!
//! The test counts all allocations of its process. So it has a process of its own, without a test
//! harness.
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
    grown_and_shrunk_it_returns_the_memory();
    drop(profiler);
    println!("no allocation in {} lookups", addresses.len() * 12);
}

/// Memory returns, by the allocator's count and not the table's own (INV-table-memory-returns).
///
/// Routes of all lengths come and go for a thousand rounds. In two rounds the codes are widened and
/// the table is copied.
fn grown_and_shrunk_it_returns_the_memory() {
    let stays =
        || (0..500u32).map(|n| (net(n.wrapping_mul(0x9e37_79b9), 8 + (n % 25) as u8), n % 50));
    let mut table = LiveTable::from_routes(stays()).unwrap();
    let mut reader = table.reader();
    let before = dhat::HeapStats::get().curr_bytes;
    for round in 0..1_000u32 {
        let comes = |n: u32| (round * 31 + n).wrapping_mul(0x85eb_ca6b);
        let wide = if round % 500 == 250 { 400 } else { 20 };
        for n in 0..wide {
            table.insert(net(comes(n), 9 + (n % 24) as u8), 50 + n).unwrap();
        }
        for n in 0..wide {
            table.remove(net(comes(n), 9 + (n % 24) as u8));
        }
        std::hint::black_box(reader.view().value(round));
    }
    table.replace_all(stays()).unwrap();
    assert!(reader.view().value(0x9e37_79b9u32).is_some());
    let after = dhat::HeapStats::get().curr_bytes;
    assert!(after < before + 65_536, "{before} bytes became {after}");
}

fn net(address: u32, length: u8) -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::from_bits(address), length).unwrap().trunc()
}
