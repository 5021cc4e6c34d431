//! Readers on threads of their own while the writer writes.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Random, net, prefix};
use ipnet::Ipv4Net;
use vnetem_fib::{LiveTable, ValueId};

/// Whatever the writer does, each lookup answers as before or as after a change
/// (INV-lookup-sees-one-table).
///
/// The writer toggles routes one by one above, inside and below others. Their values tell which
/// answers an address can have. It also splits and joins /24s and makes the table be copied.
#[test]
fn lookup_sees_before_or_after_change() {
    let mut table = LiveTable::new();
    table.insert(net("10.0.0.0/8"), 1u32).unwrap();
    let toggled: [(Ipv4Net, u32); 4] = [
        (net("10.1.0.0/16"), 2),
        (net("10.1.1.0/24"), 3),
        (net("10.1.1.128/25"), 4),
        (net("10.1.1.200/32"), 5),
    ];
    let possible: [([u8; 4], &[u32]); 5] = [
        ([10, 2, 0, 0], &[1]),
        ([10, 1, 2, 0], &[1, 2]),
        ([10, 1, 1, 1], &[1, 2, 3]),
        ([10, 1, 1, 129], &[1, 2, 3, 4]),
        ([10, 1, 1, 200], &[1, 2, 3, 4, 5]),
    ];
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = table.reader();
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for (address, values) in possible {
                        let view = reader.view();
                        let found = view.value(address).unwrap();
                        assert!(values.contains(found), "{address:?} says {found}");
                        let Ok(found) = view.lookup(address) else { continue };
                        let (prefix, value) = found.unwrap();
                        let known = toggled.iter().find(|(known, _)| *known == prefix);
                        assert_eq!(*value, known.map_or(1, |(_, value)| *value), "{prefix}");
                    }
                    assert_eq!(reader.view().value([11, 0, 0, 0]), None);
                }
            });
        }
        let mut random = Random(4);
        for round in 0..60_000u32 {
            let (prefix, value) = toggled[random.below(toggled.len())];
            if table.remove(prefix).is_none() {
                table.insert(prefix, value).unwrap();
            }
            if round % 1_000 == 0 {
                // New values use up the codes, so the table is copied.
                for value in 0..40 {
                    table.insert(net("99.0.0.0/8"), 100 + round + value).unwrap();
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A batch for one state sees one state: all routes change their value together, as one route
/// (INV-lookup-sees-one-table).
#[test]
fn batch_sees_one_state() {
    let mut table = LiveTable::from_routes([(net("10.0.0.0/9"), 0u32)]).unwrap();
    let stop = AtomicBool::new(false);
    let mut reader = table.reader();
    let seen = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let addresses: Vec<u32> = (0..64).map(|n| 0x0a00_0000 + (n << 17)).collect();
            let mut ids = [ValueId::NONE; 64];
            let mut seen = 0u32;
            while !stop.load(Ordering::Relaxed) {
                let view = reader.view();
                if view.lookup_batch_at_once(&addresses, &mut ids).is_ok() {
                    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
                    seen += 1;
                }
            }
            seen
        });
        for round in 0..3_000 {
            table.insert(net("10.0.0.0/9"), round % 3).unwrap();
            // A writer that never pauses would leave no state to be seen.
            for _ in 0..500 {
                std::hint::spin_loop();
            }
        }
        while !reading.is_finished() {
            stop.store(true, Ordering::Relaxed);
        }
        reading.join().unwrap()
    });
    assert!(seen > 0);
}

/// A batch sees a replaced table whole.
#[test]
fn replaced_table_is_one_state() {
    let routes = |value: u32| (0..64u32).map(move |n| (prefix(n << 24, 8), value));
    let mut table = LiveTable::from_routes(routes(0)).unwrap();
    let mut reader = table.reader();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let view = reader.view();
                let first = view.value(0u32);
                assert!((0..64u32).all(|n| view.value(n << 24) == first));
            }
        });
        for value in 1..12 {
            table.replace_all(routes(value)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A reader that slept through many generations finds the newest. An idle one may be dropped with a
/// long chain.
#[test]
fn idle_reader_finds_newest_table() {
    let mut table = LiveTable::new();
    let (mut sleeper, idle) = (table.reader(), table.reader());
    for value in 0..20u32 {
        table.replace_all([(net("10.0.0.0/8"), value)]).unwrap();
    }
    assert_eq!(sleeper.view().value([10, 0, 0, 1]), Some(&19));
    drop(idle);
    assert_eq!(table.value([10, 0, 0, 1]), Some(&19));
}
