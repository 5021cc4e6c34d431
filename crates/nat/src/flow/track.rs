//! Packets of a flow: what they mean ([`FlowTable::follow`]), and what is written of it
//! ([`FlowTable::record_packet`]).

use vnetem_packet::{Fragment, Headers, Protocol, TcpFlags, TcpSegment, Transport, tcp_options};

use crate::flow::pending_reopen::Restart;
use crate::flow::tcp::{Connection, Step, after, raise};
use crate::table::deadline;
use crate::table::detail::Numbers;
use crate::table::record::Record;
use crate::{FlowId, FlowTable, Side, State, Time, Track};

/// A packet that has a place in its flow, and what the flow becomes by it.
///
/// Made by [`FlowTable::follow`], which changes nothing. [`FlowTable::record_packet`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Followed {
    id: FlowId,
    side: Side,
    length: u16,
    /// Whether the flow's timer starts again.
    restarts_timer: bool,
    state: State,
    /// The connection as the segment leaves it; `None` for what is no segment.
    connection: Option<Tracked>,
}

/// A TCP connection, as far as tracking knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tracked {
    marks: u8,
    scales: u8,
    numbers: Numbers,
    reopen: Reopen,
}

/// What becomes of the SYN that would begin a connection anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reopen {
    /// Nothing.
    Unchanged,
    /// The initiator sent it now.
    Asked(Restart),
    /// The other end answered it: it is the connection's own from now on.
    Answered,
}

impl Followed {
    /// Returns the state of the flow after the packet.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }
}

impl<T: Copy> FlowTable<T> {
    /// Says what a packet that is about to be forwarded means to its flow. Nothing changes.
    ///
    /// `None` for a TCP segment that makes no sense in the flow's state, and for every packet on a
    /// tombstone or past the deadline.
    pub fn follow(
        &self,
        now: Time,
        id: FlowId,
        side: Side,
        headers: &Headers,
        packet: &[u8],
    ) -> Option<Followed> {
        let now = self.at(now);
        let record = self.record(id)?;
        if record.state.is_tombstone() || self.deadline(record) <= now {
            return None;
        }
        let segment = segment_of(headers);
        let scale = || tcp_options(packet, headers).window_scale;
        let mut followed =
            self.follow_slot(id.slot, side, segment.as_ref(), scale, headers.total_length)?;
        // The receiver of a segment in fragments knows nothing of it until it has them all.
        if headers.fragment == Fragment::First
            && segment.is_some_and(|segment| !segment.flags.contains(TcpFlags::SYN))
            && let Some(connection) = &mut followed.connection
        {
            connection.numbers.end.set(side, self.end_of(id.slot, side));
        }
        Some(followed)
    }

    /// Records a packet that [`follow`](Self::follow) found a place for: the flow's state, what the
    /// other side will expect next, timers and counters.
    ///
    /// What restarts the timer (T-13): any UDP, ICMP query or other packet, from the outside only
    /// if [`inbound_refreshes`](crate::Settings::inbound_refreshes); a TCP segment that belongs to
    /// the connection, by its window too. An RST never does, nor an ICMP error, which is no packet
    /// of the flow (T-24).
    ///
    /// Nothing may have happened to the flow in between.
    pub fn record_packet(&mut self, now: Time, followed: &Followed) {
        let now = self.advance(now);
        debug_assert!(self.record(followed.id).is_some(), "a packet is recorded on a live flow");
        self.write(now, followed);
    }

    /// Follows a packet and records it at once. An invalid one changes nothing.
    pub fn track(
        &mut self,
        now: Time,
        id: FlowId,
        side: Side,
        headers: &Headers,
        packet: &[u8],
    ) -> Track {
        let now = Time(self.advance(now));
        match self.follow(now, id, side, headers, packet) {
            Some(followed) => {
                self.record_packet(now, &followed);
                Track::Pass
            }
            None => Track::Invalid,
        }
    }

    /// Records that all fragments of a TCP segment of a flow went on, which ends at this sequence
    /// number: its receiver expects that next (INV-reset-number-exact). Beyond the window it
    /// expects no such number.
    pub fn reach(&mut self, now: Time, id: FlowId, side: Side, end: u32) {
        self.advance(now);
        let is_live = self.record(id).is_some_and(|record| {
            !record.state.is_tombstone() && record.has_seen(side) && self.deadline(record) > now.0
        });
        if is_live
            && let Some(detail) = self.details.get_mut(id.slot as usize)
            && !after(end, detail.numbers.limit.of(side))
        {
            raise(&mut detail.numbers.end, side, end);
        }
    }

    /// Says whether a side has sent a TCP segment with this number that the other has not
    /// acknowledged: an ICMP error about any other was made up, or comes too late to matter (RFC
    /// 5927 4.1). Between both numbers, each included, as Linux asks it of its own sockets.
    #[must_use]
    pub fn is_under_way(&self, id: FlowId, side: Side, sequence: u32) -> bool {
        let Some(record) = self.record(id) else { return false };
        let Some(detail) = self.details.get(id.slot as usize) else { return false };
        // Before the first acknowledgement the SYN itself is under way.
        let oldest = detail.numbers.acknowledged.of(side.other());
        let oldest = match record.has_acknowledged(side.other()) {
            true => oldest,
            false => oldest.wrapping_sub(1),
        };
        let newest = detail.numbers.end.of(side);
        record.has_seen(side) && !after(oldest, sequence) && !after(sequence, newest)
    }

    /// [`follow`](Self::follow) for the live flow in this slot.
    pub(crate) fn follow_slot(
        &self,
        slot: u32,
        side: Side,
        segment: Option<&TcpSegment>,
        scale: impl FnOnce() -> Option<u8>,
        length: u16,
    ) -> Option<Followed> {
        let record = self.records.get(slot)?;
        let (step, connection) = match segment {
            Some(segment) => {
                let (step, connection) = self.follow_segment(slot, record, side, segment, scale)?;
                (step, Some(connection))
            }
            None => (self.follow_other(record, side), None),
        };
        let (restarts_timer, next) = match step {
            Step::Invalid => return None,
            Step::Passes => (false, record.state),
            Step::To(next) => (true, next),
        };
        let answered = record.state == State::OneWay && side != record.initiator();
        let state = if answered { State::TwoWay } else { next };
        Some(Followed { id: self.id(slot)?, side, length, restarts_timer, state, connection })
    }

    /// Says what a TCP segment means, and what the connection is by it, unless it is invalid.
    fn follow_segment(
        &self,
        slot: u32,
        record: &Record<T>,
        side: Side,
        segment: &TcpSegment,
        scale: impl FnOnce() -> Option<u8>,
    ) -> Option<(Step, Tracked)> {
        let detail = self.details.get(slot as usize)?;
        let strict = self.settings.strict_windows;
        let mut state = record.state;
        let mut tracked = Tracked {
            marks: record.marks,
            scales: record.scales,
            numbers: detail.numbers,
            reopen: Reopen::Unchanged,
        };
        let mut connection = Connection {
            state: &mut state,
            marks: &mut tracked.marks,
            scales: &mut tracked.scales,
            numbers: &mut tracked.numbers,
        };
        if !segment.flags.contains(TcpFlags::SYN) {
            let step = connection.segment(side, segment, || None, strict);
            return Some((step, tracked));
        }
        let scale = scale();
        let step = connection.segment(side, segment, || scale, strict);
        let is_initiator = side == connection.initiator();
        match step {
            // Another connection may begin under the same tuple, if the other end answers.
            Step::Passes if is_initiator => {
                let sent = self.totals.get(slot as usize);
                let sent = sent.map_or(0, |totals| record.carried(totals, side));
                if connection.is_new_syn(segment, sent) {
                    tracked.reopen = Reopen::Asked(Restart { syn: *segment, scale });
                }
                Some((step, tracked))
            }
            Step::Passes | Step::Invalid if !is_initiator => {
                let id = FlowId { slot, stamp: detail.stamp };
                let Some(restart) = self.pending_reopens.answered(id, segment) else {
                    return Some((step, tracked));
                };
                connection.pending_reopen(&restart.syn, restart.scale);
                let step = connection.segment(side, segment, || scale, strict);
                tracked.reopen = Reopen::Answered;
                Some((step, tracked))
            }
            _ => Some((step, tracked)),
        }
    }

    /// Says what a packet means that is no TCP segment.
    fn follow_other(&self, record: &Record<T>, side: Side) -> Step {
        // What a later fragment carries is not known.
        if record.protocol() == Protocol::TCP {
            return Step::Passes;
        }
        if !self.settings.inbound_refreshes && side == Side::External {
            return Step::Passes;
        }
        Step::To(record.state)
    }

    /// Writes what a packet makes of the flow in its slot.
    pub(crate) fn write(&mut self, now: u64, followed: &Followed) {
        let Followed { id, side, length, restarts_timer, state, ref connection } = *followed;
        let Some(record) = self.records.get_mut(id.slot) else { return };
        let (old, before) = (record.state, deadline(&self.clocks, record));
        record.state = state;
        if restarts_timer {
            record.last = now;
        }
        if let Some(tracked) = connection
            && let Some(detail) = self.details.get_mut(id.slot as usize)
        {
            (record.marks, record.scales) = (tracked.marks, tracked.scales);
            detail.numbers = tracked.numbers;
            match tracked.reopen {
                Reopen::Unchanged => {}
                Reopen::Asked(restart) => self.pending_reopens.note(id, &restart),
                Reopen::Answered => self.pending_reopens.forget(id),
            }
        }
        record.count(|| self.totals.get_mut(id.slot as usize), side, length);
        // The wheel has it under an earlier time than before or the same: only a shorter timer
        // needs a new place.
        if state != old && deadline(&self.clocks, record) < before {
            self.reschedule(id.slot);
        }
    }
}

/// Returns the segment as far as it counts: what only a first fragment carries of its data does
/// not, until the others have gone on too.
pub(crate) fn segment_of(headers: &Headers) -> Option<TcpSegment> {
    let Transport::Tcp(segment) = headers.transport else { return None };
    match headers.fragment {
        Fragment::First => Some(TcpSegment { payload_length: 0, ..segment }),
        Fragment::Whole | Fragment::Later { .. } => Some(segment),
    }
}
