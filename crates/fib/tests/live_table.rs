//! Compares the live table with a linear scan and with an independent trie.

mod common;

use common::{Random, Scan, net, prefix, prefixes};
use ipnet::Ipv4Net;
use prefix_trie::PrefixMap;
use proptest::prelude::*;
use vnetem_fib::{LiveTable, RouteError, ValueId, Width};

#[derive(Clone, Debug)]
enum Change {
    Insert(Ipv4Net, u16),
    Replace(Ipv4Net, u16),
    Remove(Ipv4Net),
    ReplaceAll(Vec<(Ipv4Net, u16)>),
}

fn changes() -> impl Strategy<Value = Change> {
    let value = 0u16..9;
    prop_oneof![
        8 => (prefixes(), value.clone()).prop_map(|(p, v)| Change::Insert(p, v)),
        2 => (prefixes(), value.clone()).prop_map(|(p, v)| Change::Replace(p, v)),
        6 => prefixes().prop_map(Change::Remove),
        1 => prop::collection::vec((prefixes(), value), 0..20).prop_map(Change::ReplaceAll),
    ]
}

/// Applies a change to the table and the reference implementation, and compares their answers.
fn apply(table: &mut LiveTable<u16>, reference: &mut Scan<u16>, change: Change) {
    match change {
        Change::Insert(p, v) => assert_eq!(table.insert(p, v), Ok(reference.0.insert(p, v))),
        Change::Replace(p, v) => {
            let known = reference.0.get_mut(&p).map(|known| std::mem::replace(known, v));
            assert_eq!(table.replace(p, v), Ok(known));
        }
        Change::Remove(p) => assert_eq!(table.remove(p), reference.0.remove(&p)),
        Change::ReplaceAll(routes) => {
            assert_eq!(table.replace_all(routes.clone()), Ok(()));
            reference.0 = routes.into_iter().collect();
        }
    }
}

/// Compares every kind of lookup with the reference implementation at these addresses.
fn agree(table: &LiveTable<u16>, reference: &Scan<u16>, addresses: &[u32]) {
    let mut ids = vec![ValueId::NONE; addresses.len()];
    table.lookup_batch(addresses, &mut ids);
    for (address, id) in addresses.iter().zip(ids) {
        let wanted = reference.lookup(*address);
        assert_eq!(table.lookup(*address), wanted, "at {address:#010x}");
        assert_eq!(table.value(*address), wanted.map(|(_, value)| value));
        assert_eq!(table.value_of(id), wanted.map(|(_, value)| value));
        assert_eq!(table.view().id(*address), id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// INV-lookup-equals-scan, INV-routes-order-free, INV-removal-restores-cover,
    /// INV-equal-tables-equal.
    #[test]
    fn any_history_equals_the_scan(
        history in prop::collection::vec(changes(), 1..60),
        seed: u64,
        other in prefixes(),
    ) {
        let (mut table, mut reference) = (LiveTable::new(), Scan::default());
        let mut reader = table.reader();
        let mut random = Random(seed);
        for (step, change) in history.into_iter().enumerate() {
            apply(&mut table, &mut reference, change);
            if step % 8 == 0 {
                let mut addresses = reference.boundaries();
                addresses.extend((0..16).map(|_| random.address()));
                agree(&table, &reference, &addresses);
                for address in addresses {
                    let value = reference.lookup(address).map(|(_, value)| value);
                    prop_assert_eq!(reader.view().value(address), value);
                }
            }
        }
        agree(&table, &reference, &reference.boundaries());
        prop_assert_eq!(table.len(), reference.0.len());
        prop_assert!(table.iter().eq(reference.0.iter().map(|(p, v)| (*p, v))));
        for p in reference.0.keys().copied().take(20).chain([other]) {
            prop_assert_eq!(table.get(p), reference.0.get(&p));
            prop_assert!(table.covered(p).map(|(q, _)| q)
                .eq(reference.0.keys().copied().filter(|q| p.contains(q))));
            let mut above: Vec<_> = reference.0.keys().copied().filter(|q| q.contains(&p)).collect();
            above.sort_by_key(Ipv4Net::prefix_len);
            prop_assert!(table.covering(p).map(|(q, _)| q).eq(above));
        }
        let afresh = LiveTable::from_routes(reference.0.clone()).unwrap();
        prop_assert_eq!(&table, &afresh);
    }
}

/// Every depth goes in, shallow to deep and deep to shallow, and out again, with lookups between
/// (INV-all-depths-nest, DPDK test8 and test10).
#[test]
fn all_depths_nest_in_both_orders() {
    let address = 0x8081_8283;
    for deep_first in [false, true] {
        let order: Vec<u8> = if deep_first { (0..=32).rev().collect() } else { (0..=32).collect() };
        let (mut table, mut reference) = (LiveTable::new(), Scan::default());
        let probes: Vec<u32> = (0..32).map(|bit| address ^ (1 << bit)).chain([address]).collect();
        for length in &order {
            let insert = Change::Insert(prefix(address, *length), u16::from(*length));
            apply(&mut table, &mut reference, insert);
            agree(&table, &reference, &probes);
        }
        for length in order.iter().rev() {
            apply(&mut table, &mut reference, Change::Remove(prefix(address, *length)));
            agree(&table, &reference, &probes);
        }
        assert!(table.is_empty());
    }
}

#[test]
fn wrong_input_changes_nothing() {
    let mut table = LiveTable::limited(Width::One);
    let wrong: Ipv4Net = "10.0.0.1/8".parse().unwrap();
    assert_eq!(table.insert(wrong, 1), Err(RouteError::HostBits(wrong)));
    assert_eq!(table.remove(wrong), None);
    assert_eq!(LiveTable::from_routes([(wrong, 1)]), Err(RouteError::HostBits(wrong)));
    assert_eq!(table.replace_all([(wrong, 1)]), Err(RouteError::HostBits(wrong)));
    for value in 0..254u32 {
        table.insert(prefix(value << 16, 16), value).unwrap();
    }
    let exhausted = RouteError::ValuesExhausted { limit: 254 };
    assert_eq!(table.insert(net("99.0.0.0/8"), 254), Err(exhausted));
    assert_eq!(exhausted.to_string(), "all 254 distinct values that the table can hold are in use");
    assert_eq!((table.len(), table.get(net("99.0.0.0/8"))), (254, None));
    // A value without routes makes room.
    table.remove(prefix(7 << 16, 16)).unwrap();
    assert_eq!(table.insert(net("99.0.0.0/8"), 254), Ok(None));
    assert_eq!(table.lookup([99, 9, 9, 9]), Some((net("99.0.0.0/8"), &254)));
    assert_eq!(table.lookup(0x0008_0001), Some((prefix(8 << 16, 16), &8)));
    assert_eq!(table.lookup(0x0007_0001), None);
}

#[test]
fn codes_widen_as_values_grow() {
    let mut table = LiveTable::new();
    let mut reader = table.reader();
    for value in 0..70_000u32 {
        table.insert(prefix(value << 8, 24), value).unwrap();
        if [0, 253, 254, 255, 65_533, 65_534, 65_535, 69_999].contains(&value) {
            let wide = match value {
                0..254 => Width::One,
                254..65_534 => Width::Two,
                _ => Width::Four,
            };
            assert_eq!(table.width(), wide, "{value}");
            for known in [0, value / 2, value] {
                assert_eq!(reader.view().value(known << 8), Some(&known));
            }
            assert_eq!(reader.view().value((value + 1) << 8), None);
        }
    }
    // With few values left, the next rebuild has narrow codes again.
    table.replace_all((0..100u32).map(|value| (prefix(value << 8, 24), value))).unwrap();
    assert_eq!(table.width(), Width::One);
    assert_eq!(reader.view().value(99 << 8), Some(&99));
}

/// Values that come and go take new numbers after each rebuild, never wider codes.
#[test]
fn removed_values_do_not_widen_codes() {
    let mut table = LiveTable::new();
    for value in 0..1_000u32 {
        table.insert(net("10.0.0.0/8"), value).unwrap();
        assert_eq!(table.value([10, 1, 1, 1]), Some(&value));
    }
    assert_eq!(table.width(), Width::One);
}

/// Blocks come and go, and memory returns (INV-table-memory-returns, DPDK test11 to test18).
#[test]
fn thousand_splits_and_joins_leak_nothing() {
    let routes = || (0..300u32).map(|n| (prefix(n << 16, 8 + (n % 17) as u8), n % 50));
    let mut table = LiveTable::from_routes(routes()).unwrap();
    let before = table.memory();
    let afresh = LiveTable::from_routes(routes()).unwrap();
    let mut random = Random(3);
    for _ in 0..1_000 {
        let hosts: Vec<Ipv4Net> =
            (0..20).map(|_| prefix(random.address(), random.length(25, 32))).collect();
        for host in &hosts {
            table.insert(*host, 7).unwrap();
        }
        // Room for blocks depends on how many are in use, not on how many there ever were.
        assert_eq!(table.memory().blocks, before.blocks);
        for host in &hosts {
            table.remove(*host);
        }
    }
    assert_eq!(table, afresh);
    let after = table.memory();
    assert_eq!((after.array, after.prefixes), (before.array, before.prefixes));
    assert!(after.codes < before.codes + 65_536, "{after:?} {before:?}");
}

#[test]
fn rejoined_prefix_reuses_its_block() {
    let mut table = LiveTable::new();
    table.insert(net("10.0.0.0/24"), 1).unwrap();
    let mut first = None;
    for value in 0..1_000 {
        table.insert(net("10.0.0.9/32"), 2 + value % 2).unwrap();
        table.insert(net("10.0.0.0/24"), 4 + value % 3).unwrap();
        assert_eq!(table.value([10, 0, 0, 9]), Some(&(2 + value % 2)));
        assert_eq!(table.value([10, 0, 0, 8]), Some(&(4 + value % 3)));
        table.remove(net("10.0.0.9/32")).unwrap();
        assert_eq!(table.value([10, 0, 0, 9]), Some(&(4 + value % 3)));
        let blocks = table.memory().blocks;
        assert_eq!(*first.get_or_insert(blocks), blocks);
    }
}

/// A second, independent implementation agrees over many changes in a dense space.
#[test]
fn live_table_agrees_with_prefix_trie() {
    let mut random = Random(11);
    let mut table = LiveTable::new();
    let mut trie: PrefixMap<Ipv4Net, u16> = PrefixMap::new();
    let mut known: Vec<Ipv4Net> = Vec::new();
    for step in 0..60_000 {
        if random.below(5) < 3 || known.is_empty() {
            let length = random.length(6, 32);
            let p = prefix((random.address() & 0x0fff_ffff) | 0x0a00_0000, length);
            let value = random.value(400);
            assert_eq!(table.insert(p, value), Ok(trie.insert(p, value)));
            known.push(p);
        } else {
            let p = known.swap_remove(random.below(known.len()));
            assert_eq!(table.remove(p), trie.remove(&p));
        }
        if step % 20 == 0 {
            for _ in 0..40 {
                let near = known[random.below(known.len().max(1)) % known.len().max(1)];
                let address = near.network().to_bits() ^ (random.address() & 0x1ff);
                let wanted = trie.get_lpm(&prefix(address, 32));
                let found = table.lookup(address);
                assert_eq!(found.map(|(p, v)| (p, *v)), wanted.map(|(p, v)| (p, *v)));
            }
        }
    }
    assert!(table.iter().map(|(p, v)| (p, *v)).eq(trie.iter().map(|(p, v)| (p, *v))));
}
