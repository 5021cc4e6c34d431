//! The shared state of readers and writer holds in every order and memory model that loom tries
//! (INV-lookup-sees-one-table).
//!
//! The test includes the very source files of the table.
#![allow(dead_code, reason = "the tests use a part of what they include")]

#[path = "../src/live/cell.rs"]
mod cell;
#[path = "../src/live/version.rs"]
mod version;

mod sync {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{
        AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence,
    };
}

use cell::Cell;
use loom::sync::Arc;
use loom::thread;
use sync::{AtomicU8, AtomicU16, Ordering, fence};
use version::Version;

/// A lookup for one state finds prefix and value of the same state.
#[test]
fn no_reader_sees_half_a_change() {
    loom::model(|| {
        let table = Arc::new((Version::new(), AtomicU8::new(0), AtomicU16::new(0)));
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                for code in 1..=2 {
                    table.0.change(|| {
                        Cell::store(&table.1, code);
                        Cell::store(&table.2, code);
                    });
                }
            })
        };
        let found = table.0.undisturbed(2, || {
            (Cell::load(&table.1, Ordering::Relaxed), Cell::load(&table.2, Ordering::Relaxed))
        });
        assert!(found.is_none_or(|(one, other)| one == other), "{found:?}");
        writer.join().unwrap();
        let found = table.0.undisturbed(1, || Cell::load(&table.1, Ordering::Relaxed));
        assert_eq!(found, Some(2));
    });
}

/// A reader of a split code finds the filled block, and a reader of a new number finds its value.
#[test]
fn code_is_published_after_its_target() {
    loom::model(|| {
        let table = Arc::new((AtomicU8::new(1), AtomicU8::new(0)));
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                Cell::store(&table.1, 1);
                Cell::store(&table.0, <AtomicU8 as Cell>::EXTENDED);
                Cell::store(&table.1, 2);
            })
        };
        let mut code = Cell::load(&table.0, Ordering::Relaxed);
        if code == <AtomicU8 as Cell>::EXTENDED {
            fence(Ordering::Acquire);
            code = Cell::load(&table.1, Ordering::Relaxed);
        }
        assert!(matches!(code, 1 | 2), "{code}");
        writer.join().unwrap();
    });
}
