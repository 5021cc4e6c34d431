//! Mappings: which external tuple a flow gets, and what flows of one pool share.

pub(crate) mod choose;
pub(crate) mod join;
pub(crate) mod mapping_policy;
pub(crate) mod mappings;
pub(crate) mod pool;
pub(crate) mod port_bitmaps;
pub(crate) mod ports;
pub(crate) mod rules;
