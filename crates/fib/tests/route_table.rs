//! Compares the table of candidates with a list.

mod common;

use std::collections::BTreeMap;

use common::{cases, net, prefixes};
use ipnet::Ipv4Net;
use proptest::prelude::*;
use vnetem_fib::{RouteTable, Table};

proptest! {
    #![proptest_config(cases(256))]

    /// Whatever the order of changes, the lowest remaining preference wins (INV-routes-order-free,
    /// INV-removal-restores-cover).
    #[test]
    fn the_lowest_preference_left_wins(
        changes in prop::collection::vec((prefixes(), 0u8..4, prop::option::of(0u16..9)), 0..60),
    ) {
        let mut table = RouteTable::new();
        let mut reference: BTreeMap<(Ipv4Net, u8), u16> = BTreeMap::new();
        for (prefix, preference, change) in changes {
            match change {
                Some(value) => prop_assert_eq!(
                    table.insert(prefix, preference, value),
                    reference.insert((prefix, preference), value)
                ),
                None => prop_assert_eq!(
                    table.remove(prefix, &preference),
                    reference.remove(&(prefix, preference))
                ),
            }
        }
        let listed: Vec<_> = table
            .iter()
            .flat_map(|(prefix, all)| all.iter().map(move |(s, v)| ((prefix, *s), *v)))
            .collect();
        prop_assert_eq!(&listed, &reference.clone().into_iter().collect::<Vec<_>>());
        let mut winners: BTreeMap<Ipv4Net, u16> = BTreeMap::new();
        for ((prefix, preference), value) in &reference {
            winners.entry(*prefix).or_insert_with(|| {
                assert_eq!(table.winner(*prefix), Some((*preference, value)));
                *value
            });
        }
        prop_assert_eq!(table.len(), winners.len());
        prop_assert_eq!(table.compile(), winners.into_iter().collect::<Table<_>>());
    }
}

#[test]
fn equal_preference_replaces_removed_winner_yields() {
    let mut table = RouteTable::new();
    let prefix = net("10.0.0.0/8");
    assert_eq!(table.insert(prefix, 1, "bgp"), None);
    assert_eq!(table.insert(prefix, 0, "user"), None);
    assert_eq!(table.insert(prefix, 0, "user again"), Some("user"));
    assert_eq!(table.winner(prefix), Some((0, &"user again")));
    assert_eq!(table.remove(prefix, &0), Some("user again"));
    assert_eq!(table.winner(prefix), Some((1, &"bgp")));
    assert_eq!(table.remove(prefix, &0), None);
    assert_eq!(table.remove(prefix, &1), Some("bgp"));
    assert!(table.is_empty() && table.compile().is_empty());
}
