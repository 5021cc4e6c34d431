//! Counters of a flow table.

use crate::Cause;

/// Counters of a [`FlowTable`](crate::FlowTable). Always `opened - total_ended() = live +
/// tombstones` (INV-flows-conserved).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Flows ever opened.
    pub opened: u64,
    /// Flows that carry packets.
    pub live: u32,
    /// Closed flows that only answer.
    pub tombstones: u32,
    /// External tuples in hold-down.
    pub held: u32,
    /// Tuples whose hold-down was cut short for lack of room.
    pub released_early: u64,
    pub(crate) ended: [u64; Cause::ALL.len()],
}

impl FlowCounters {
    /// Gives the number of flows ended by one cause. A tombstone counts when it is removed.
    #[must_use]
    pub fn ended(&self, cause: Cause) -> u64 {
        self.ended.get(cause as usize).copied().unwrap_or(0)
    }

    /// Gives the number of flows ended by any cause.
    #[must_use]
    pub fn total_ended(&self) -> u64 {
        self.ended.iter().fold(0, |sum, ended| sum.saturating_add(*ended))
    }
}
