//! Flow logs of virtual networks (version 4) and of network security groups (versions 1 and 2).
//!
//! [`read`] takes a log as a stream: it holds one record at a time. Records stand in `records`, one
//! a line, in a list, or as text in `_raw`, as exports of log systems have them; versions may be
//! mixed. A record that comes a second time counts once. [`Traffic`] gathers tuples to flows.
//!
//! ```
//! use vnetem_azure::import::flow_log::{self, FlowState, Traffic};
//!
//! let log = br#"{"records":[{"time":"2026-01-01T00:00:00Z","macAddress":"0022","flowRecords":{
//!     "flows":[{"aclID":"a","flowGroups":[{"rule":"r","flowTuples":[
//!     "1733975972606,10.1.0.4,20.60.0.4,57892,443,6,O,B,NX,0,0,0,0"]}]}]}}]}"#;
//! let mut traffic = Traffic::new();
//! let summary = flow_log::read(&log[..], |record, tuple| traffic.add(record, tuple))?;
//! assert_eq!(summary.tuples, 1);
//! assert_eq!(traffic.flows().filter(|(_, flow)| flow.is_open()).count(), 1);
//! # Ok::<(), flow_log::FlowLogError>(())
//! ```

mod reader;
mod record;
mod traffic;
mod tuple;

pub use reader::{FlowLogError, FlowLogSummary, read};
pub use record::RecordHead;
pub use traffic::{Flow, FlowKey, Traffic};
pub use tuple::{FlowState, FlowTuple};

/// How far into a file its kind must show.
const START: usize = 1 << 16;

/// Whether the bytes begin as a flow log does.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let start = bytes.get(..START).unwrap_or(bytes);
    memchr::memmem::find(start, b"flowTuples").is_some()
        || memchr::memmem::find(start, b"flowRecords").is_some()
}
