//! The flat table against the linear scan.

mod common;

use common::{Random, Scan, net, prefix, prefixes};
use proptest::prelude::*;
use vnetem_fib::{Table, lookup_layered, lookup_pairs};

fn agree(table: &Table<u16>, scan: &Scan<u16>, random: &mut Random) {
    let probes = scan.boundaries().into_iter().chain((0..64).map(|_| random.address()));
    for address in probes.collect::<Vec<_>>() {
        assert_eq!(table.lookup(address), scan.lookup(address), "at {address:#010x}");
    }
}

proptest! {
    /// L1, L5.
    #[test]
    fn equals_the_scan_and_holds_every_route(
        routes in prop::collection::vec((prefixes(), 0u16..6), 0..80),
        seed: u64,
        other in prefixes(),
    ) {
        let scan = Scan(routes.iter().copied().collect());
        let table = Table::new(routes.clone());
        agree(&table, &scan, &mut Random(seed));
        let listed: Vec<_> = table.iter().map(|(p, v)| (p, *v)).collect();
        prop_assert_eq!(&listed, &scan.0.clone().into_iter().collect::<Vec<_>>());
        for p in scan.0.keys().copied().chain([other]) {
            prop_assert_eq!(table.get(p), scan.0.get(&p));
            let covered: Vec<_> = table.covered(p).map(|(q, _)| q).collect();
            let wanted: Vec<_> = scan.0.keys().copied().filter(|q| p.contains(q)).collect();
            prop_assert_eq!(covered, wanted);
        }
        let mut shuffled = routes;
        shuffled.sort_by_key(|(p, _)| p.network().to_bits().reverse_bits());
        prop_assert_eq!(&table, &shuffled.into_iter().collect::<Table<_>>());
    }

    /// The longest of all layers wins, the earlier layer of two equal prefixes.
    #[test]
    fn layers_answer_as_one_table_would(
        layers in prop::collection::vec(
            prop::collection::vec((prefixes(), 0u16..6), 0..20), 1..4),
        addresses in prop::collection::vec(any::<u32>(), 20),
    ) {
        let mut merged = Scan::default();
        for layer in layers.iter().rev() {
            // Inside one layer the last of equal prefixes counts, as in `Table::new`.
            merged.0.extend(layer.iter().copied());
        }
        let tables: Vec<Table<u16>> = layers.into_iter().map(Table::new).collect();
        let addresses: Vec<u32> = merged.boundaries().into_iter().chain(addresses).collect();
        for address in &addresses {
            prop_assert_eq!(lookup_layered(&tables, *address), merged.lookup(*address));
        }
        let pairs: Vec<(&Table<u16>, u32)> =
            addresses.iter().zip(tables.iter().cycle()).map(|(a, table)| (table, *a)).collect();
        let mut matches = vec![None; pairs.len()];
        lookup_pairs(&pairs, &mut matches);
        for ((table, address), found) in pairs.into_iter().zip(matches) {
            prop_assert_eq!(found, table.lookup(address));
        }
    }
}

/// Every number of levels and every shape of the last line, with narrow and with wide cells.
#[test]
fn tables_of_all_sizes_equal_the_scan() {
    let mut random = Random(1);
    for size in (0..70).chain([120, 128, 129, 250, 600, 1_100, 2_300]) {
        for values in [3, u16::MAX] {
            let scan: Scan<u16> = Scan(
                (0..size)
                    .map(|_| {
                        let length = random.length(8, 32);
                        (prefix(random.address(), length), random.value(values))
                    })
                    .collect(),
            );
            let table: Table<u16> = scan.0.clone().into_iter().collect();
            if size < 300 {
                agree(&table, &scan, &mut random);
            }
            let mut probes = scan.boundaries();
            probes.truncate(600);
            let pairs: Vec<_> = probes.iter().map(|address| (&table, *address)).collect();
            let mut matches = vec![None; pairs.len()];
            lookup_pairs(&pairs, &mut matches);
            for (address, found) in probes.into_iter().zip(matches) {
                assert_eq!(table.lookup(address), scan.lookup(address));
                assert_eq!(found, scan.lookup(address));
            }
            assert!(table.iter().map(|(p, v)| (p, *v)).eq(scan.0));
        }
    }
}

#[test]
fn a_hidden_route_is_kept_though_no_address_reaches_it() {
    let table =
        Table::new([(net("10.0.0.0/8"), 1), (net("10.0.0.0/9"), 2), (net("10.128.0.0/9"), 2)]);
    assert_eq!(table.get(net("10.0.0.0/8")), Some(&1));
    assert_eq!(table.len(), 3);
    assert_eq!(table.lookup([10, 200, 0, 1]), Some((net("10.128.0.0/9"), &2)));
    let without = Table::new([(net("10.0.0.0/9"), 2), (net("10.128.0.0/9"), 2)]);
    assert_ne!(table, without);
}

/// L3: /0 to /32 nested 33 deep.
#[test]
fn nested_33_deep() {
    let table = Table::new((0..=32).map(|length| (prefix(0x0a01_0203, length), length)));
    assert_eq!(table.lookup(0x0a01_0203), Some((net("10.1.2.3/32"), &32)));
    for length in 0..32 {
        let outside = 0x0a01_0203 ^ (1 << (31 - length));
        assert_eq!(table.lookup(outside), Some((prefix(0x0a01_0203, length), &length)));
    }
}

#[test]
fn a_clone_is_the_same_table_and_an_equal_one_is_not() {
    let build = || Table::new([(net("10.0.0.0/8"), 1)]);
    let table = build();
    assert!(table.same(&table.clone()));
    assert!(!table.same(&build()));
    assert_eq!(table, build());
}
