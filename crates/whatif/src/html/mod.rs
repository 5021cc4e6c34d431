//! The answer as one page: no network, no script, readable as tables.

mod page;
mod sankey;
mod timeline;

pub use timeline::Timeline;
