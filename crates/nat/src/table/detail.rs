//! What a flow has beside its record: what tracking and closing read, and what is added up now and
//! then, each by itself, so that the caches hold more of what is read more.

use crate::flow::side::Pair;
use crate::{Generation, Side};

/// The part of a flow that TCP tracking and closing read: half a cache line.
#[repr(C, align(32))]
#[derive(Clone, Copy, Default)]
pub(crate) struct Detail {
    pub(crate) numbers: Numbers,
    /// The configuration that judged the flow, which is asked only while a change is worked off.
    pub(crate) generation: Generation,
    /// Counts the flows that this slot has held, so that an old id is harmless.
    pub(crate) stamp: u32,
}

/// What nobody reads until the flow is looked at, or ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) opened: u64,
    /// Packets and bytes from each side, but for the latest, which the record counts.
    pub(crate) packets: Pair<u32>,
    pub(crate) bytes: Pair<u64>,
}

/// The sequence numbers of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Highest sequence end sent by each side: what the other expects next
    /// (INV-reset-number-exact).
    pub(crate) end: Pair<u32>,
    /// Highest acknowledgement that each side sent; before its first one, the lowest that it may
    /// send.
    pub(crate) acknowledged: Pair<u32>,
    /// Highest sequence end that the other side's window lets each side reach.
    pub(crate) limit: Pair<u32>,
}

impl Numbers {
    /// Forgets a connection that was closed. What is left in place of each end counts the resets
    /// that it was sent.
    pub(crate) fn to_tombstone(&mut self) {
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
    fn two_details_are_one_cache_line_and_so_are_two_totals() {
        assert_eq!((size_of::<Detail>(), size_of::<Totals>()), (32, 32));
    }
}
