use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_fib::{
    BaseTable, FrozenTable, Hit, IdTable, Layout, LiveTable, SharedValues, Table, ValueId,
    lookup_layered, lookup_pairs,
};

/// A list of routes and a linear scan, which every table must equal (INV-lookup-equals-scan).
type Scan = BTreeMap<Ipv4Net, u16>;

/// Inserts, removes and replaces routes in any order, in every kind of table, and compares with a
/// linear scan (INV-lookup-equals-scan, INV-routes-order-free, INV-removal-restores-cover,
/// INV-equal-tables-equal).
///
/// The first byte chooses the kind. Each six bytes after it are a change: four of address, the
/// length with a bit for removal, and the value. Addresses have few distinct bits, so that prefixes
/// nest. Tables of internet size cost a thousand times more than others, so few first bytes choose
/// them.
pub fn fib_ops(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let changes = bytes.as_chunks().0.iter().take(MOST).map(change);
    let mut changes: Vec<(Ipv4Net, Option<u16>)> = changes.collect();
    let mut scan = Scan::new();
    match kind {
        0 => {
            // A change of one short prefix writes millions of slots.
            let mut wide = 0;
            changes.retain(|(prefix, _)| {
                wide += u32::from(prefix.prefix_len() < 8);
                prefix.prefix_len() >= 8 || wide <= 2
            });
            live(&changes, &mut scan);
        }
        1 | 3 => {
            apply(&changes, &mut scan);
            frozen(&scan, if *kind == 1 { Layout::Fast } else { Layout::Compact });
        }
        _ => {
            apply(&changes, &mut scan);
            small(&changes, &scan);
        }
    }
}

/// The most changes of a run: enough for tables of more than eight lines, which have a tree.
const MOST: usize = 80;

fn change(bytes: &[u8; 6]) -> (Ipv4Net, Option<u16>) {
    let [a, b, c, d, length, value] = *bytes;
    let address = Ipv4Addr::new(a & 0xc1, b & 0xc1, c & 0x81, d & 0xc3);
    let prefix = Ipv4Net::new(address, (length & 0x3f).min(32)).unwrap_or_default().trunc();
    (prefix, (length & 0x40 == 0).then_some(u16::from(value)))
}

fn apply(changes: &[(Ipv4Net, Option<u16>)], scan: &mut Scan) {
    for (prefix, value) in changes {
        match value {
            Some(value) => drop(scan.insert(*prefix, *value)),
            None => drop(scan.remove(prefix)),
        }
    }
}

fn routes(scan: &Scan) -> impl Iterator<Item = (Ipv4Net, u16)> {
    scan.iter().map(|(prefix, value)| (*prefix, *value))
}

/// Checks the live table, change by change.
fn live(changes: &[(Ipv4Net, Option<u16>)], scan: &mut Scan) {
    let mut table = LiveTable::new();
    let mut reader = table.reader();
    for (prefix, value) in changes {
        match value {
            Some(value) => {
                assert_eq!(table.insert(*prefix, *value), Ok(scan.insert(*prefix, *value)))
            }
            None => assert_eq!(table.remove(*prefix), scan.remove(prefix)),
        }
        for address in ends(*prefix) {
            let wanted = longest(scan, address);
            assert_eq!(table.lookup(address), wanted, "{address:#010x}");
            assert_eq!(reader.view().value(address), wanted.map(|(_, value)| value));
        }
    }
    each_boundary(scan, |address, wanted| assert_eq!(table.lookup(address), wanted));
    assert!(table.iter().map(|(prefix, value)| (prefix, *value)).eq(routes(scan)), "{table:?}");
}

/// Checks a table that is only looked up.
fn frozen(scan: &Scan, layout: Layout) {
    let table = FrozenTable::from_routes(routes(scan), layout);
    let table = table.unwrap_or_else(|error| panic!("{error}"));
    each_boundary(scan, |address, wanted| {
        assert_eq!(table.value(address), wanted.map(|(_, value)| value), "{address:#010x}");
    });
}

/// Checks the small tables that are built whole: alone, in layers, and in pairs over a base.
fn small(changes: &[(Ipv4Net, Option<u16>)], scan: &Scan) {
    let table: Table<u16> = routes(scan).collect();
    assert!(table.iter().map(|(prefix, value)| (prefix, *value)).eq(routes(scan)), "{table:?}");
    // Every second route goes into the base, the others over it.
    let (mut over, mut under) = (Scan::new(), Scan::new());
    for ((prefix, value), at) in scan.iter().zip(0..) {
        if at % 2 == 0 { &mut over } else { &mut under }.insert(*prefix, *value);
    }
    let layers: [Table<u16>; 2] = [routes(&over).collect(), routes(&under).collect()];
    let mut values = SharedValues::new();
    let mut shared =
        |scan: &Scan| values.table(routes(scan)).unwrap_or_else(|error| panic!("{error}"));
    let (own, base) = (shared(&over), BaseTable::new(shared(&under)));
    let (mut pairs, mut wanted): (Vec<(&IdTable, u32)>, Vec<_>) = Default::default();
    each_boundary(scan, |address, found| {
        assert_eq!(table.lookup(address), found, "{address:#010x}");
        assert_eq!(lookup_layered(&layers, address), found, "{address:#010x}");
        pairs.push((&own, address));
        wanted.push(found);
    });
    let mut hits = vec![Hit::NONE; pairs.len()];
    lookup_pairs(&pairs, Some(&base), &mut hits);
    for (((_, address), hit), wanted) in pairs.iter().zip(hits).zip(wanted) {
        let found = hit.prefix(*address).zip(values.value_of(hit.id()));
        assert_eq!(found, wanted, "{address:#010x}");
    }
    assert_eq!(values.value_of(ValueId::NONE), None);
    // Of equal prefixes the last one counts, whatever came between.
    let inserted = || changes.iter().filter_map(|(prefix, value)| Some((*prefix, (*value)?)));
    let last: Scan = inserted().collect();
    assert_eq!(Table::new(inserted()), routes(&last).collect());
}

fn longest(scan: &Scan, address: u32) -> Option<(Ipv4Net, &u16)> {
    let covering = scan.iter().filter(|(prefix, _)| covers(prefix, address));
    covering.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(prefix, value)| (*prefix, value))
}

fn covers(prefix: &Ipv4Net, address: u32) -> bool {
    (address ^ prefix.addr().to_bits())
        .checked_shr(32 - u32::from(prefix.prefix_len()))
        .unwrap_or(0)
        == 0
}

/// Returns the first and last address of a prefix, and their neighbours.
fn ends(prefix: Ipv4Net) -> [u32; 4] {
    let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
    [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
}

fn each_boundary<'a>(scan: &'a Scan, mut check: impl FnMut(u32, Option<(Ipv4Net, &'a u16)>)) {
    for address in scan.keys().copied().flat_map(ends).chain([0, u32::MAX]) {
        check(address, longest(scan, address));
    }
}
