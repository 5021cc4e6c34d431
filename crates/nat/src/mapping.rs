//! Mappings: which external tuple a flow gets, and what flows of one pool share.

pub(crate) mod choose;
pub(crate) mod crowds;
pub(crate) mod pool;
pub(crate) mod ports;
pub(crate) mod rules;
pub(crate) mod shares;
pub(crate) mod sharing;
