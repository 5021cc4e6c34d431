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
//! | you have | take | because |
//! |---|---|---|
//! | one or a few tables of more than some 20,000 routes, or routes that change while others look up | [`LiveTable`] | one load a lookup; a change is some hundred nanoseconds and holds no reader up; 30 MB however few routes |
//! | such a table that is only looked up, many addresses at a time | [`FrozenTable`], [`Layout::Fast`] | nobody writes to it, so sixteen addresses are one instruction; it answers values, not prefixes |
//! | the same where the cache is crowded, or many of them | [`FrozenTable`], [`Layout::Compact`] | 5 MB for the whole internet; two loads a lookup |
//! | a small table, or some | [`Table`] | it answers prefix and value; it is replaced whole |
//! | tens of thousands of tables of 10 to 2,000 routes | [`IdTable`], of [`SharedValues`] | 256 bytes for 10 routes, 384 for 20; one or two lines of cache a lookup; [`lookup_pairs`] takes a burst for many tables |
//! | such tables over routes that all of them share | [`BaseTable`] under them | the shared ones stand in memory once, under an index |
//! | several sources for one prefix, of which the best forwards | [`RouteTable`] | it keeps the losers, and compiles the winners into a [`Table`] |
//!
//! A batch is always faster than as many single lookups; those of a [`FrozenTable`] take what those
//! of a [`LiveTable`] take. A program built for the processor that it runs on
//! (`-C target-cpu=native`) compares a cache line of a small table by one instruction where there
//! is AVX-512, and takes half to four fifths of the time.
//!
//! An address is an [`Ipv4Addr`](std::net::Ipv4Addr), its octets, or a `u32`. A value is any
//! `Clone + Eq + Hash`: equal values are kept once, under a number that is as narrow as their count
//! allows.
//!
//! # A small table, end to end
//!
//! ```text
//! 10.0.0.0/8    vnet
//! 10.1.0.0/16   peering
//! 10.1.1.7/32   appliance
//! ```
//!
//! Values become numbers: 1 `vnet`, 2 `peering`, 3 `appliance`; 0 says that nothing matches.
//!
//! A [`LiveTable`] has an array with a one-byte code for every /24. The slots of 10.0.0.0 to
//! 10.255.255.0 say 1, but those of 10.1.0.0 to 10.1.255.0 say 2. The /32 splits a /24: slot
//! 10.1.1.0 says 255, which means that a block of 256 codes has the answer. That block says 2, and
//! at .7 it says 3. So 10.1.2.3 is one load, 10.1.1.7 is four.
//!
//! Which prefixes exist is kept apart, in a line of 64 bytes for each /16: one bit for each of the
//! 510 prefixes of 17 to 24 bits below it (and in lines of the same form for the shorter ones, and
//! for each block). To remove 10.1.0.0/16, the writer clears its bit, finds the next shorter prefix
//! on the way up, the /8, and gives its code to the addresses that no longer prefix covers: the 255
//! slots still at 2, and the 255 cells of the block. Which ones those are takes some 200 operations
//! on the line, not a walk over routes. An insertion is the same with the new code, so the order of
//! changes leaves no trace.
//!
//! Each address changes by one store. A reader meanwhile sees the old code or the new one. What two
//! loads could mix up, a prefix and its value, [`View::lookup`] compares with a version counter and
//! repeats. When 254 values are used up, or the blocks are, the table is copied beside the readers,
//! with wider codes if need be, and hung on a link that they follow when they next ask for a
//! [`View`].
//!
//! A [`FrozenTable`] is the same array without a writer, or, compact, for every /18 a word that
//! says which of its 64 /24s differ from the one before. Of 10.1.0.0/18 that is the first (2), the
//! second (split) and the third (2 again): bits 0, 1 and 2. The code of 10.1.2.3 is that of the run
//! number three.
//!
//! A [`Table`] cuts the address space where the answer changes and keeps the starts, sorted:
//!
//! ```text
//! start  0.0.0.0  10.0.0.0  10.1.0.0  10.1.1.7  10.1.1.8  10.2.0.0  11.0.0.0
//! cell   none     /8, 1     /16, 2    /32, 3    /16, 2    /8, 1     none
//! ```
//!
//! A lookup finds the last start that is not behind the address. The cell says length and value,
//! and the address cut to that length is the prefix that matched. Ten starts and their cells make
//! one line of cache, so these seven are one; above more than eight lines there is a tree, whose
//! nodes are lines, too.
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
