mod build;
mod cell;
mod generation;
mod group;
mod iter;
mod live_table;
mod place;
mod plane;
mod sync;
mod version;
mod view;
mod width;
mod writer;

pub use iter::Routes;
pub use live_table::{LiveTable, Memory};
pub use view::{Contended, Reader, View};
pub use width::Width;
pub(crate) use writer::number;
