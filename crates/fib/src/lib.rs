//! IPv4 longest-prefix match, at internet size and at subnet size.
//!
//! ```
//! use vnetem_fib::LiveTable;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut table = LiveTable::new();
//!     table.insert("10.0.0.0/8".parse()?, "vnet")?;
//!     table.insert("10.1.0.0/16".parse()?, "peering")?;
//!
//!     let (prefix, value) = table.lookup([10, 1, 2, 3]).unwrap();
//!     assert_eq!((prefix.to_string().as_str(), *value), ("10.1.0.0/16", "peering"));
//!
//!     let mut reader = table.reader(); // may go to another thread
//!     table.remove("10.1.0.0/16".parse()?);
//!     assert_eq!(reader.view().value([10, 1, 2, 3]), Some(&"vnet"));
//!     Ok(())
//! }
//! ```
//!
//! # Which table
//!
//! - [`LiveTable`]: more than some 20,000 routes, or routes that change during lookups. A lookup is
//!   one load. A change takes some hundred nanoseconds and blocks no reader. It takes 30 MB,
//!   however few routes there are.
//! - [`FrozenTable`], [`Layout::Fast`]: such a table that never changes, for batches of addresses.
//!   One instruction looks up sixteen addresses. It answers values, not prefixes.
//! - [`FrozenTable`], [`Layout::Compact`]: the same for a crowded cache, or for many tables. The
//!   whole internet takes 5 MB; a lookup is two loads.
//! - [`Table`]: one or a few small tables. It answers prefix and value, and is replaced whole.
//! - [`IdTable`], of [`SharedValues`]: tens of thousands of tables of 10 to 2,000 routes. 10 routes
//!   take 256 bytes, 20 take 384; a lookup reads one or two cache lines. [`lookup_pairs`] takes a
//!   burst for many tables.
//! - [`BaseTable`]: routes that all such tables share. They are stored once, under an index.
//! - [`RouteTable`]: several sources for one prefix. It keeps all candidates and compiles the
//!   winners into a [`Table`].
//!
//! A batch is always faster than as many single lookups. The single lookups of a [`FrozenTable`]
//! are as fast as those of a [`LiveTable`]. A program built with `-C target-cpu=native` for a
//! processor with AVX-512 compares a cache line of a small table by one instruction. It takes half
//! to four fifths of the time.
//!
//! An address is an [`Ipv4Addr`](std::net::Ipv4Addr), its octets, or a `u32`. A value is any `Clone
//! + Eq + Hash`. Equal values are kept once, under a number as narrow as their count allows.
//!
//! # A small table, end to end
//!
//! ```text
//! 10.0.0.0/8    vnet
//! 10.1.0.0/16   peering
//! 10.1.1.7/32   appliance
//! ```
//!
//! Values become numbers: 1 `vnet`, 2 `peering`, 3 `appliance`; 0 means that nothing matches.
//!
//! A [`LiveTable`] has an array with a one-byte code for every /24.
//!
//! - The slots of 10.0.0.0 to 10.255.255.0 hold 1, except those of 10.1.0.0 to 10.1.255.0, which
//!   hold 2.
//! - The /32 splits a /24. Slot 10.1.1.0 holds 255, which means that a block of 256 codes has the
//!   answer. That block holds 2 everywhere, and 3 at .7.
//! - So a lookup of 10.1.2.3 takes one load, and one of 10.1.1.7 takes four.
//!
//! Which prefixes exist is kept apart, in a line of 64 bytes for each /16. It has one bit for each
//! of the 510 prefixes of 17 to 24 bits. Lines of the same form serve shorter prefixes and blocks.
//!
//! To remove 10.1.0.0/16, the writer clears its bit and finds the next shorter prefix, the /8. It
//! gives the code of the /8 to the addresses that no longer prefix covers. These are the 255 slots
//! still at 2, and 255 cells of the block. Some 200 operations on the line find them, without a
//! walk over routes. An insertion is the same with the new code, so the order of changes does not
//! matter.
//!
//! Each address changes by one store, so a reader sees the old code or the new one. The matched
//! prefix is in the line of the /16; a byte for each /16 tells the length of shorter ones. So
//! prefix and value need several loads. [`View::lookup`] guards them by a version counter and
//! repeats if needed. When 254 values or the blocks are used up, the writer copies the table, with
//! wider codes if needed. Readers follow a link to the copy when they next ask for a [`View`].
//!
//! A [`FrozenTable`] is the same array without a writer. The compact layout has a word for every
//! /18, which says which of its 64 /24s differ from the one before. In 10.1.0.0/18 these are the
//! first (2), the second (split) and the third (2 again): bits 0, 1 and 2. So 10.1.2.3 has the code
//! of the third run.
//!
//! A [`Table`] cuts the address space where the answer changes and keeps the sorted starts:
//!
//! ```text
//! start  0.0.0.0  10.0.0.0  10.1.0.0  10.1.1.7  10.1.1.8  10.2.0.0  11.0.0.0
//! cell   none     /8, 1     /16, 2    /32, 3    /16, 2    /8, 1     none
//! ```
//!
//! A lookup finds the last start at or before the address. The cell has length and value, and the
//! address cut to that length is the matched prefix. Ten starts and their cells fill one cache
//! line, so these seven are one. Above more than eight lines stands a tree, whose nodes are lines,
//! too.

#![deny(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod address;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod base_table;
mod block;
mod compare;
mod error;
mod frozen;
mod id_table;
mod intern;
mod layered;
mod live;
mod route_table;
mod shared_values;
mod sweep;
mod table;
mod value_id;
mod values;

pub use address::Address;
pub use base_table::BaseTable;
pub use error::RouteError;
pub use frozen::{FrozenTable, Layout};
pub use id_table::{Hit, IdTable};
pub use layered::{lookup_layered, lookup_pairs};
pub use live::{Contended, LiveTable, Memory, Reader, Routes, View, Width};
pub use route_table::RouteTable;
pub use shared_values::SharedValues;
pub use table::{Iter, Match, Table};
pub use value_id::ValueId;
