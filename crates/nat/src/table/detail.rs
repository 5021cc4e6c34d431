//! Parts of a flow outside its record. They are read less often, so the caches hold more records.

use crate::flow::side::Pair;
use crate::{Generation, Side};

/// The part that TCP tracking and closing read: half a cache line.
#[repr(C, align(32))]
#[derive(Clone, Copy, Default)]
pub(crate) struct Detail {
    pub(crate) numbers: Numbers,
    /// The configuration of the decision. It is read only while a change is worked off.
    pub(crate) generation: Generation,
    /// Counts the flows of this slot, so that an old id finds nothing.
    pub(crate) stamp: u32,
}

/// Totals that are read when a flow is shown or ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) opened: u64,
    /// Packets and bytes from each side, without the recent ones, which the record counts.
    pub(crate) packets: Pair<u32>,
    pub(crate) bytes: Pair<u64>,
}

/// The sequence numbers of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Highest sequence end sent by each side, which the other expects next
    /// (INV-reset-number-exact).
    pub(crate) end: Pair<u32>,
    /// Highest acknowledgement sent by each side; before its first one, the lowest that it may
    /// send.
    pub(crate) acknowledged: Pair<u32>,
    /// Highest sequence end that the other side's window permits each side.
    pub(crate) limit: Pair<u32>,
}

impl Numbers {
    /// Turns the numbers of a closed connection into counters of the resets sent to each end.
    pub(crate) fn become_tombstone(&mut self) {
        self.end = Pair::default();
    }

    /// Says whether a tombstone sent a side fewer resets than `limit`.
    pub(crate) fn may_answer(&self, side: Side, limit: u64) -> bool {
        u64::from(self.end.of(side)) < limit
    }

    /// Counts one more reset of a tombstone to a side.
    pub(crate) fn count_answer(&mut self, side: Side) {
        self.end.set(side, self.end.of(side).saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_and_totals_fill_cache_lines() {
        assert_eq!((size_of::<Detail>(), size_of::<Totals>()), (32, 32));
    }
}
