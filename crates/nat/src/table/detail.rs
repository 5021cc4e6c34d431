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
#[derive(Clone, Copy, Default)]
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

    /// Counts one more reset from a tombstone to a side, if fewer than `limit` were sent.
    pub(crate) fn may_answer(&mut self, side: Side, limit: u64) -> bool {
        let sent = self.end.of(side);
        let may = u64::from(sent) < limit;
        self.end.set(side, sent.saturating_add(may.into()));
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_details_are_one_cache_line_and_so_are_two_totals() {
        assert_eq!((size_of::<Detail>(), size_of::<Totals>()), (32, 32));
    }
}
