//! What nearly every program with a data plane needs: `use vnetem::prelude::*`.

pub use crate::control::{NextHop, Outbound, Scope};
pub use crate::{
    DataPlane, Disposition, Edge, EdgeId, Network, Settings, Snapshot, SourceMode, Time, Verdict,
};
