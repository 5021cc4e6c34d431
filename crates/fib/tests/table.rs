//! Compares the flat table with a linear scan.

mod common;

use common::{Random, Scan, cases, net, prefix, prefixes};
use proptest::prelude::*;
use vnetem_fib::{
    BaseTable, Hit, IdTable, RouteError, SharedValues, Table, ValueId, lookup_layered, lookup_pairs,
};

fn agree(table: &Table<u16>, scan: &Scan<u16>, random: &mut Random) {
    let probes = scan.boundaries().into_iter().chain((0..64).map(|_| random.address()));
    for address in probes.collect::<Vec<_>>() {
        assert_eq!(table.lookup(address), scan.lookup(address), "at {address:#010x}");
    }
}

proptest! {
    #![proptest_config(cases(256))]

    /// INV-lookup-equals-scan, INV-equal-tables-equal.
    #[test]
    fn table_equals_scan_with_all_routes(
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

    /// The longest match of all layers wins; of two equal prefixes the earlier layer's.
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
    }

    /// A burst for many tables over a base equals the scan over both, pair by pair.
    #[test]
    fn burst_over_base_equals_the_scan(
        base in prop::collection::vec((prefixes(), 0u16..6), 0..60),
        own in prop::collection::vec(prop::collection::vec((prefixes(), 0u16..6), 0..30), 1..5),
        addresses in prop::collection::vec(any::<u32>(), 20),
    ) {
        let mut values = SharedValues::new();
        let base_table = BaseTable::new(values.table(base.iter().copied()).unwrap());
        let tables: Vec<IdTable> =
            own.iter().map(|routes| values.table(routes.iter().copied()).unwrap()).collect();
        let base: Scan<u16> = Scan(base.into_iter().collect());
        let scans: Vec<(Scan<u16>, Scan<u16>)> = own
            .into_iter()
            .map(|routes| {
                let own: Scan<u16> = Scan(routes.into_iter().collect());
                let mut both = base.clone();
                both.0.extend(own.0.clone());
                (own, both)
            })
            .collect();
        for over in [None, Some(&base_table)] {
            let scans: Vec<&Scan<u16>> =
                scans.iter().map(|(own, both)| if over.is_some() { both } else { own }).collect();
            let addresses: Vec<u32> = scans.iter().flat_map(|scan| scan.boundaries())
                .chain(base.boundaries()).chain(addresses.iter().copied()).collect();
            let asked: Vec<usize> = (0..addresses.len()).map(|n| n % tables.len()).collect();
            let pairs: Vec<(&IdTable, u32)> =
                addresses.iter().zip(&asked).map(|(a, table)| (&tables[*table], *a)).collect();
            let mut hits = vec![Hit::NONE; pairs.len()];
            lookup_pairs(&pairs, over, &mut hits);
            for (((table, address), hit), asked) in pairs.into_iter().zip(hits).zip(asked) {
                let found = hit.prefix(address).zip(values.value_of(hit.id()));
                prop_assert_eq!(found, scans[asked].lookup(address), "at {:#010x}", address);
                let single = over.map_or(Hit::NONE, |base| base.lookup(address));
                prop_assert_eq!(table.lookup(address).or_longer(single), hit);
            }
        }
        let scan = &scans[0].0;
        prop_assert!(tables[0].iter().map(|(p, id)| (p, values.value_of(id)))
            .eq(scan.0.iter().map(|(p, v)| (*p, Some(v)))));
        prop_assert_eq!(&tables[0], &values.table(scan.0.clone()).unwrap());
    }
}

/// A base asks its table if a /16 has more than 16 intervals, or a number more than ten bits.
#[test]
fn base_answers_like_its_table() {
    let mut random = Random(8);
    let mut values = SharedValues::new();
    for (routes, numbers) in [(0, 1), (30, 3), (900, 5), (900, u16::MAX)] {
        let mut list: Vec<(ipnet::Ipv4Net, u16)> = (0..routes)
            .map(|_| {
                (
                    prefix(random.address() & 0xff0f_ffff, random.length(8, 32)),
                    random.value(numbers),
                )
            })
            .collect();
        list.extend((0..routes / 10).map(|n| (prefix(0x0a00_0000 + (n << 9), 24), 1)));
        let scan: Scan<u16> = Scan(list.into_iter().collect());
        let base = BaseTable::new(values.table(scan.0.clone()).unwrap());
        for address in scan.boundaries().into_iter().take(2_000) {
            let hit = base.lookup(address);
            assert_eq!(hit, base.table().lookup(address), "at {address:#010x}");
            assert_eq!(hit.prefix(address).zip(values.value_of(hit.id())), scan.lookup(address));
        }
    }
    assert!(!values.is_empty() && values.value_of(ValueId::NONE).is_none());
}

#[test]
fn hits_say_what_matched() {
    let mut values = SharedValues::new();
    let table = values.table([(net("10.0.0.0/8"), "vnet")]).unwrap();
    let hit = table.lookup([10, 1, 1, 1]);
    assert_eq!((hit.length(), hit.prefix([10, 1, 1, 1])), (Some(8), Some(net("10.0.0.0/8"))));
    assert_eq!(table.lookup([11, 1, 1, 1]), Hit::NONE);
    assert_eq!(hit.or_longer(Hit::NONE), hit);
    assert_eq!(Hit::NONE.or_longer(hit), hit);
    let other = values.table([(net("10.0.0.0/8"), "peering")]).unwrap();
    assert_eq!(hit.or_longer(other.lookup([10, 1, 1, 1])), hit);
    assert_eq!(values.len(), 2);
    assert_eq!(
        RouteError::ValuesExhausted { limit: 67_108_863 }.to_string(),
        "all 67108863 distinct values that the table can hold are in use"
    );
    assert!(table.bytes() < 200 && table.same(&table.clone()) && !table.same(&other));
}

/// Tries every number of levels and every fill of the last line, with narrow and wide cells.
#[test]
fn tables_of_all_sizes_equal_scan() {
    let mut random = Random(1);
    let larger = if cfg!(miri) { &[120][..] } else { &[120, 128, 129, 250, 600, 1_100, 2_300] };
    for size in (0..70).step_by(if cfg!(miri) { 23 } else { 1 }).chain(larger.iter().copied()) {
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
            let mut shared = SharedValues::new();
            let same = shared.table(scan.0.clone()).unwrap();
            let pairs: Vec<_> = probes.iter().map(|address| (&same, *address)).collect();
            let mut hits = vec![Hit::NONE; pairs.len()];
            lookup_pairs(&pairs, None, &mut hits);
            for (address, hit) in probes.into_iter().zip(hits) {
                assert_eq!(table.lookup(address), scan.lookup(address));
                let found = hit.prefix(address).zip(shared.value_of(hit.id()));
                assert_eq!(found, scan.lookup(address));
            }
            assert!(table.iter().map(|(p, v)| (p, *v)).eq(scan.0));
        }
    }
}

#[test]
fn hidden_route_is_kept() {
    let table =
        Table::new([(net("10.0.0.0/8"), 1), (net("10.0.0.0/9"), 2), (net("10.128.0.0/9"), 2)]);
    assert_eq!(table.get(net("10.0.0.0/8")), Some(&1));
    assert_eq!(table.len(), 3);
    assert_eq!(table.lookup([10, 200, 0, 1]), Some((net("10.128.0.0/9"), &2)));
    let without = Table::new([(net("10.0.0.0/9"), 2), (net("10.128.0.0/9"), 2)]);
    assert_ne!(table, without);
}

/// Prefixes from /0 to /32 nest 33 deep (INV-all-depths-nest).
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
fn clone_is_same_rebuild_only_equal() {
    let build = || Table::new([(net("10.0.0.0/8"), 1)]);
    let table = build();
    assert!(table.same(&table.clone()));
    assert!(!table.same(&build()));
    assert_eq!(table, build());
}

/// Hidden routes are listed too, even where a shorter route could have begun before the range.
#[test]
fn covered_routes_are_those_inside() {
    let routes = [
        ("10.0.0.0/8", 1),
        ("10.0.0.0/9", 2),
        ("10.128.0.0/9", 3),
        ("20.0.0.0/8", 4),
        ("20.0.0.0/9", 5),
        ("20.128.0.0/9", 6),
        ("30.0.0.0/8", 7),
    ]
    .map(|(prefix, value)| (net(prefix), value));
    let table = Table::new(routes);
    let inside = |prefix: &str| -> Vec<i32> {
        table.covered(net(prefix)).map(|(_, value)| *value).collect()
    };
    assert_eq!(inside("0.0.0.0/0"), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(inside("10.0.0.0/8"), [1, 2, 3]);
    assert_eq!(inside("20.0.0.0/8"), [4, 5, 6]);
    assert_eq!(inside("20.128.0.0/9"), [6]);
    assert_eq!(inside("20.64.0.0/10"), []);
    assert_eq!(inside("16.0.0.0/5"), [4, 5, 6]);
    assert_eq!(inside("40.0.0.0/8"), []);
}
