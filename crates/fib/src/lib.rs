//! IPv4 longest-prefix match.
//!
//! ```
//! use vnetem_fib::RouteTable;
//!
//! let mut routes = RouteTable::new();
//! routes.insert("10.0.0.0/8".parse()?, 2, "system");
//! routes.insert("10.0.0.0/8".parse()?, 0, "user");
//! routes.insert("10.1.0.0/16".parse()?, 1, "bgp");
//!
//! let table = routes.compile();
//! let (prefix, value) = table.lookup([10, 9, 9, 9]).unwrap();
//! assert_eq!((prefix.to_string().as_str(), *value), ("10.0.0.0/8", "user"));
//! assert_eq!(table.lookup([11, 0, 0, 0]), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod address;
mod error;
mod intern;
mod layered;
mod live;
mod route_table;
mod sweep;
mod table;
mod tree;
mod value_id;

pub use address::Address;
pub use error::RouteError;
pub use layered::{longer, lookup_layered, lookup_pairs};
pub use live::{Contended, LiveTable, Memory, Reader, Routes, View, Width};
pub use route_table::RouteTable;
pub use table::{Iter, Match, Table};
pub use value_id::ValueId;
