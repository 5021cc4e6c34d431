//! The checks of DPDK's LPM and FIB unit tests, restated for these tables. DPDK's extension level
//! is a block here.
//!
//! Other files hold the rest. In `live_table.rs`: all depths in both orders, a thousand rounds,
//! reuse of one block, bad arguments. In `beside_a_writer.rs`: a reader beside a writer, and one
//! that holds what was removed.

mod common;

use common::{Random, net, prefix};
use vnetem_fib::{FrozenTable, Layout, LiveTable, Table, ValueId, Width};

/// A hundred tables of growing size are made and dropped.
#[test]
fn tables_of_growing_size_are_recreated() {
    for size in 1..=100u32 {
        let routes = (0..size * size).map(|n| (prefix(n << 12, 20), n % 200));
        let table = LiveTable::from_routes(routes.clone()).unwrap();
        assert_eq!(table.len(), (size * size) as usize);
        let last = size * size - 1;
        assert_eq!(table.value(last << 12 | 7), Some(&(last % 200)));
        assert_eq!(table.value((last + 1) << 12), None);
        let small: Table<u32> = routes.collect();
        assert_eq!(small.lookup(last << 12), Some((prefix(last << 12, 20), &(last % 200))));
    }
}

/// Tries no route, one of up to 24 bits, one behind it, both, and a third above, removed in either
/// order.
#[test]
fn every_level_combination_gives_its_route() {
    let levels =
        [("10.0.0.0/8", 8), ("10.1.1.0/24", 24), ("10.1.1.128/25", 25), ("10.1.1.200/32", 32)];
    for set in 0..16usize {
        for first in 0..4usize {
            let mut table = LiveTable::new();
            let mut there: Vec<(usize, u8)> = Vec::new();
            let check = |table: &LiveTable<u8>, there: &[(usize, u8)]| {
                for (address, deepest) in [
                    ([10, 9, 9, 9], 0),
                    ([10, 1, 1, 1], 1),
                    ([10, 1, 1, 129], 2),
                    ([10, 1, 1, 200], 3),
                ] {
                    let longest = there.iter().filter(|(level, _)| *level <= deepest).max();
                    assert_eq!(
                        table.value(address),
                        longest.map(|(_, value)| value),
                        "{set} {address:?}"
                    );
                }
                assert_eq!(table.value([11, 0, 0, 0]), None);
            };
            for at in (0..4).map(|n| (first + n) % 4).filter(|at| set >> at & 1 == 1) {
                table.insert(net(levels[at].0), levels[at].1).unwrap();
                there.push((at, levels[at].1));
                check(&table, &there);
            }
            while !there.is_empty() {
                let (at, value) = there.remove(first % there.len());
                assert_eq!(table.remove(net(levels[at].0)), Some(value));
                check(&table, &there);
            }
            assert!(table.is_empty());
        }
    }
}

/// A /24 covers, is split, replaced and removed; removing it again is refused.
#[test]
fn route_24_under_32_is_restored() {
    let mut table = LiveTable::new();
    assert_eq!(table.remove(net("192.168.1.7/32")), None);
    table.insert(net("192.168.1.7/32"), 1).unwrap();
    assert_eq!(table.insert(net("192.168.1.0/24"), 2), Ok(None));
    assert_eq!(
        (table.value([192, 168, 1, 7]), table.value([192, 168, 1, 8])),
        (Some(&1), Some(&2))
    );
    assert_eq!(table.insert(net("192.168.1.0/24"), 3), Ok(Some(2)));
    assert_eq!(
        (table.value([192, 168, 1, 7]), table.value([192, 168, 1, 8])),
        (Some(&1), Some(&3))
    );
    assert_eq!(table.remove(net("192.168.1.7/32")), Some(1));
    assert_eq!(table.value([192, 168, 1, 7]), Some(&3));
    assert_eq!(table.remove(net("192.168.1.7/32")), None);
    assert_eq!(table.remove(net("192.168.1.0/24")), Some(3));
    assert_eq!(table.value([192, 168, 1, 8]), None);
}

/// More /24s are split than there was room for, while others read. No route is refused, and the
/// memory returns.
#[test]
fn blocks_run_out_and_recover() {
    let mut table = LiveTable::from_routes([(net("10.0.0.0/8"), 1u32)]).unwrap();
    let mut reader = table.reader();
    let before = table.memory();
    let host = |n: u32| prefix(0x0a00_0000 | n << 8 | 9, 32);
    for n in 0..20_000 {
        table.insert(host(n), 2 + n % 100).unwrap();
        let view = reader.view();
        assert_eq!(view.value(0x0a00_0009 | n << 8), Some(&(2 + n % 100)));
        assert_eq!(view.value(0x0a00_0008 | n << 8), Some(&1));
        assert_eq!(view.value(0x0a00_0009 | (n / 2) << 8), Some(&(2 + n / 2 % 100)));
    }
    assert!(table.memory().blocks > before.blocks);
    for n in 0..20_000 {
        assert_eq!(table.remove(host(n)), Some(2 + n % 100));
        assert_eq!(reader.view().value(0x0a00_0009 | n << 8), Some(&1));
    }
    let routes: Vec<_> = table.iter().map(|(prefix, value)| (prefix, *value)).collect();
    table.replace_all(routes).unwrap();
    assert_eq!(table.memory(), before);
}

/// Each of 65,536 routes is looked up after its insertion, with the addresses before and behind it.
#[test]
fn all_65_536_routes_answer_immediately() {
    let mut table = LiveTable::new();
    for n in 0..65_536u32 {
        table.insert(prefix(n << 16, 16), n % 1_000).unwrap();
        assert_eq!(table.value(n << 16 | 0xffff), Some(&(n % 1_000)));
        assert_eq!(
            table.value((n << 16).wrapping_sub(1)),
            n.checked_sub(1).map(|n| n % 1_000).as_ref()
        );
        assert_eq!(table.value((n << 16).wrapping_add(0x1_0000)), (n == 65_535).then_some(&0));
    }
    assert_eq!((table.len(), table.width()), (65_536, Width::Two));
    for n in (0..65_536u32).rev() {
        assert_eq!(table.remove(prefix(n << 16, 16)), Some(n % 1_000));
        assert_eq!(table.value(n << 16), None);
    }
}

/// The live, both frozen and the small table agree over 2^20 addresses.
#[test]
fn all_tables_agree_on_million_addresses() {
    let mut random = Random(20);
    let routes: Vec<_> = (0..3_000)
        .map(|_| (prefix(random.address() & 0xf3ff_07ff, random.length(4, 32)), random.value(300)))
        .collect();
    let live = LiveTable::from_routes(routes.iter().copied()).unwrap();
    let frozen = [Layout::Fast, Layout::Compact]
        .map(|layout| FrozenTable::from_routes(routes.iter().copied(), layout).unwrap());
    let small: Table<u16> = routes.iter().copied().collect();
    let mut addresses: Vec<u32> = (0..1 << 19).map(|_| random.address()).collect();
    addresses.extend(routes.iter().cycle().take(1 << 19).map(|(prefix, _)| {
        prefix.network().to_bits() | (random.address() & prefix.hostmask().to_bits())
    }));
    let mut ids = vec![ValueId::NONE; addresses.len()];
    live.lookup_batch(&addresses, &mut ids);
    let of_live: Vec<Option<&u16>> = ids.iter().map(|id| live.value_of(*id)).collect();
    for table in &frozen {
        table.lookup_batch(&addresses, &mut ids);
        assert!(ids.iter().map(|id| table.value_of(*id)).eq(of_live.iter().copied()));
    }
    let of_small = addresses.iter().map(|address| small.lookup(*address).map(|(_, value)| value));
    assert!(of_small.eq(of_live.iter().copied()));
    assert!(of_live.iter().filter(|found| found.is_some()).count() > 1 << 19);
}
