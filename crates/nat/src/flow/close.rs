//! Closes flows with exact resets, and leaves a tombstone that answers late segments.

use vnetem_packet::{Headers, Protocol, Reset};

use crate::table::detail::Numbers;
use crate::table::record::Record;
use crate::time::nanoseconds;
use crate::{Cause, Ended, FlowId, FlowTable, Resets, Side, State, Time};

impl<T: Copy> FlowTable<T> {
    /// Closes a flow that may not continue, and gives the resets to send.
    ///
    /// - A TCP connection gets a reset for each end. Its sequence number is the highest end
    ///   forwarded, which the receiver expects next (INV-reset-number-exact).
    /// - A tombstone stays and [answers](Self::answer) late segments (INV-both-ends-learn,
    ///   INV-tombstone-answers). It keeps both keys until the hold-down of its tuple is over; then
    ///   a flow that takes the tuple replaces it (N-14, U-12).
    /// - If the SYN was not answered yet, the initiator gets RST and ACK of it, the other end a
    ///   plain RST after it (INV-reset-answers-segment).
    /// - A finished connection, a tombstone, or a flow past its deadline gets no reset.
    /// - Flows of UDP, ICMP and other protocols end at once (INV-datagrams-not-reset).
    pub fn close(&mut self, now: Time, id: FlowId, cause: Cause) -> Resets {
        let now = self.advance(now);
        let Some(record) = self.record(id) else { return Resets::default() };
        if record.state.is_tombstone() {
            return Resets::default();
        }
        let deadline = self.deadline(record);
        if deadline <= now {
            self.remove(id.slot, record.state.cause_of_expiry(), deadline, None);
            return Resets::default();
        }
        if record.protocol() != Protocol::TCP || record.is_over() {
            self.remove(id.slot, cause, now, None);
            return Resets::default();
        }
        let closing = self.resets(id.slot, record);
        let revalidation_key = record.revalidation_key();
        self.revalidation_keys.unlink(&mut self.chains, revalidation_key, id.slot);
        if let Some(record) = self.records.get_mut(id.slot) {
            record.state = State::Tombstone(cause);
            record.forget_finished();
            record.last = now;
        }
        if let Some(detail) = self.details.get_mut(id.slot as usize) {
            detail.numbers.become_tombstone();
        }
        self.counters.tombstones = self.counters.tombstones.saturating_add(1);
        self.reschedule(id.slot);
        closing
    }

    /// Gives the reset with which a tombstone answers a late segment.
    ///
    /// The segment itself tells what its sender expects, so the reset is exact
    /// (INV-reset-answers-segment, INV-tombstone-answers). It returns to the sender in the sender's
    /// own tuple. `None` for an RST, for a flow that is no tombstone, and beyond the rate of
    /// [`Answers`](crate::Answers) (INV-resets-bounded).
    pub fn answer(
        &mut self,
        now: Time,
        id: FlowId,
        side: Side,
        headers: &Headers,
    ) -> Option<Reset> {
        let now = self.advance(now);
        let record = self.record(id)?;
        if !record.state.is_tombstone()
            || self.deadline(record) <= now
            || headers.tuple() != record.key(side).tuple()
        {
            return None;
        }
        let reset = Reset::answering(headers)?;
        let answers = self.settings.answers;
        let earned = now
            .saturating_sub(record.last)
            .checked_div(nanoseconds(answers.interval))
            .unwrap_or(u64::MAX)
            .saturating_add(answers.burst.into());
        let detail = self.details.get_mut(id.slot as usize)?;
        detail.numbers.may_answer(side, earned).then_some(reset)
    }

    /// Removes a flow past its deadline, even if others are due before it, and says whether it did.
    /// `sink` gets it as from [`expire`](Self::expire).
    pub fn expire_flow(&mut self, now: Time, id: FlowId, sink: &mut dyn FnMut(Ended<T>)) -> bool {
        let now = self.advance(now);
        let due = self.record(id).map(|record| self.deadline(record)).filter(|due| *due <= now);
        if let Some(deadline) = due {
            let ended = self.ended(id.slot);
            self.remove(id.slot, ended.map_or(Cause::Idle, |it| it.cause), deadline, None);
            ended.into_iter().for_each(sink);
        }
        due.is_some()
    }

    /// Makes the resets that close both ends.
    pub(crate) fn resets(&self, slot: u32, record: &Record<T>) -> Resets {
        let numbers = self.details.get(slot as usize).map(|detail| detail.numbers);
        let reset = |to| reset(record, &numbers.unwrap_or_default(), to);
        Resets { to_internal: reset(Side::Internal), to_external: reset(Side::External) }
    }

    /// Removes a flow at once and without resets; says whether it was there. The cause decides the
    /// hold-down of its external tuple.
    pub fn end(&mut self, now: Time, id: FlowId, cause: Cause) -> bool {
        let now = self.advance(now);
        let there = self.record(id).is_some();
        if there {
            self.remove(id.slot, cause, now, None);
        }
        there
    }
}

/// Makes the reset that closes one end; `None` if that end cannot know of the connection.
fn reset<T: Copy>(record: &Record<T>, numbers: &Numbers, to: Side) -> Option<Reset> {
    let from = to.other();
    let (source, destination) = match to {
        Side::Internal => (record.remote(), record.internal()),
        Side::External => (record.external(), record.remote()),
    };
    let known = |side: Side| record.has_seen(side).then(|| numbers.end.of(side));
    match (known(from), known(to)) {
        (None, None) => None,
        (expected, sent) => Some(Reset {
            source,
            destination,
            sequence: expected.unwrap_or(0),
            acknowledgement: sent,
        }),
    }
}
