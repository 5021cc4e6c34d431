//! Compares frozen tables with a linear scan.

mod common;

use common::{Random, Scan, net, prefix, prefixes};
use proptest::prelude::*;
use vnetem_fib::{FrozenTable, Layout, LiveTable, RouteError, ValueId};

fn agree<V: Clone + Eq + std::hash::Hash + std::fmt::Debug>(
    table: &FrozenTable<V>,
    scan: &Scan<V>,
    random: &mut Random,
) {
    let mut addresses = scan.boundaries();
    addresses.extend((0..64).map(|_| random.address()));
    let mut ids = vec![ValueId::NONE; addresses.len()];
    table.lookup_batch(&addresses, &mut ids);
    for (address, id) in addresses.into_iter().zip(ids) {
        let wanted = scan.lookup(address).map(|(_, value)| value);
        assert_eq!(table.value(address), wanted, "at {address:#010x}");
        assert_eq!(table.value_of(id), wanted);
        assert_eq!(table.id(address), id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// INV-lookup-equals-scan.
    #[test]
    fn both_layouts_equal_the_scan(
        routes in prop::collection::vec((prefixes(), 0u16..6), 0..60),
        seed: u64,
    ) {
        let scan: Scan<u16> = Scan(routes.iter().copied().collect());
        for layout in [Layout::Fast, Layout::Compact] {
            let table = FrozenTable::from_routes(routes.iter().copied(), layout).unwrap();
            agree(&table, &scan, &mut Random(seed));
            let thawed = LiveTable::from_routes(routes.iter().copied()).unwrap().freeze(layout);
            agree(&thawed, &scan, &mut Random(seed));
        }
    }
}

/// Codes of one, two and four bytes equal the scan at their limits, with split /24s.
#[test]
fn every_width_equals_the_scan() {
    for values in [1u32, 254, 255, 65_534, 65_535] {
        let mut routes: Vec<(ipnet::Ipv4Net, u32)> =
            (0..values).map(|value| (prefix(value << 15, 17), value)).collect();
        routes.extend((0..50).map(|n| (prefix(n * 0x0102_0304, 25 + (n % 8) as u8), n % values)));
        let live = LiveTable::from_routes(routes.iter().copied()).unwrap();
        for layout in [Layout::Fast, Layout::Compact] {
            let table = FrozenTable::from_routes(routes.iter().copied(), layout).unwrap();
            let mut random = Random(u64::from(values));
            let addresses: Vec<u32> = (0..20_000)
                .map(|n| if n % 2 == 0 { random.address() } else { (n % 50) * 0x0102_0304 })
                .collect();
            let (mut ids, mut of_live) = (vec![ValueId::NONE; 20_000], vec![ValueId::NONE; 20_000]);
            table.lookup_batch(&addresses, &mut ids);
            live.lookup_batch(&addresses, &mut of_live);
            for ((id, of_live), address) in ids.into_iter().zip(of_live).zip(addresses) {
                assert_eq!(table.value_of(id), live.value_of(of_live), "at {address:#010x}");
            }
        }
    }
}

#[test]
fn wrong_input_refused_compact_table_small() {
    let wrong: ipnet::Ipv4Net = "10.0.0.1/8".parse().unwrap();
    let refused = FrozenTable::from_routes([(wrong, 1)], Layout::Fast).err();
    assert_eq!(refused, Some(RouteError::HostBits(wrong)));
    let routes = || (0..10_000).map(|n| (prefix(n << 12, 20), n % 9));
    let fast = FrozenTable::from_routes(routes(), Layout::Fast).unwrap();
    let compact = FrozenTable::from_routes(routes(), Layout::Compact).unwrap();
    assert!(fast.bytes() > 1 << 24 && compact.bytes() < (1 << 22) + 12_000);
    let none = FrozenTable::from_routes([(net("10.0.0.0/8"), 1)], Layout::Compact).unwrap();
    assert_eq!(none.value([11, 0, 0, 0]), None);
}

#[test]
fn table_bytes_are_sum_of_parts() {
    let bytes = |routes: &[(&str, u32)], layout| {
        let routes = routes.iter().map(|(text, value)| (net(text), *value));
        FrozenTable::from_routes(routes, layout).unwrap().bytes()
    };
    let (fast, compact) = ((1 << 24) + 4, 16 << 18);
    let values = |count: usize| count * size_of::<u32>();
    assert_eq!(bytes(&[], Layout::Fast), fast);
    assert_eq!(bytes(&[], Layout::Compact), compact + 1);
    let wide = ("10.0.0.0/8", 7);
    assert_eq!(bytes(&[wide], Layout::Fast), fast + values(1));
    assert_eq!(bytes(&[wide], Layout::Compact), compact + 2 + values(1));
    // A page start for each /16, two pages, two blocks, and two runs in the /18.
    let split = 4 * (65_536 + 512) + 512;
    let host = ("10.0.0.1/32", 8);
    assert_eq!(bytes(&[wide, host], Layout::Fast), fast + split + values(2));
    assert_eq!(bytes(&[wide, host], Layout::Compact), compact + 5 + split + values(2));
    let many = || (0..300u32).map(|n| (prefix(n << 16, 16), n));
    let table = |layout| FrozenTable::from_routes(many(), layout).unwrap().bytes();
    assert_eq!(table(Layout::Fast), 2 * fast + values(300));
    assert_eq!(table(Layout::Compact), compact + 2 * 301 + values(300));
}
