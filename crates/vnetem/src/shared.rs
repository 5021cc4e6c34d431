//! Collections that share all unchanged parts with their clones. A clone costs nothing, and an edit
//! afterwards copies what leads to the changed entry.

pub(crate) mod map;
pub(crate) mod numbered;

pub(crate) use map::{Map, Set};
pub(crate) use numbered::Numbered;
