//! Packets of a flow.

use vnetem_packet::{Fragment, Headers, Protocol, TcpFlags, TcpSegment, Transport, tcp_options};

use crate::flow::pending_reopen::PendingReopens;
use crate::flow::tcp::{Connection, Step, after, raise};
use crate::table::deadline;
use crate::{FlowId, FlowTable, Side, State, Time, Track};

impl<T: Copy> FlowTable<T> {
    /// Takes note of a packet of a flow that is about to be forwarded: its state, what the other
    /// side will expect next, timers and counters. A TCP segment that makes no sense in the flow's
    /// state is invalid, and so is everything on a tombstone or past the deadline.
    ///
    /// What restarts the timer (T-13): any UDP, ICMP query or other packet, from the outside only
    /// if [`inbound_refreshes`](crate::Settings::inbound_refreshes); a TCP segment that belongs to
    /// the connection, by its window too. An RST never does, nor an ICMP error, which is no packet
    /// of the flow (T-24).
    pub fn track(
        &mut self,
        now: Time,
        id: FlowId,
        side: Side,
        headers: &Headers,
        packet: &[u8],
    ) -> Track {
        let now = self.advance(now);
        match self.record(id) {
            Some(record) if !record.state.is_tombstone() && self.deadline(record) > now => {
                let segment = segment_of(headers);
                let scale = || tcp_options(packet, headers).window_scale;
                // Of a segment in fragments its receiver knows nothing until it has them all.
                let is_part = headers.fragment == Fragment::First
                    && segment.is_some_and(|segment| !segment.flags.contains(TcpFlags::SYN));
                let end = is_part.then(|| self.end_of(id.slot, side));
                let length = headers.total_length;
                let track = self.note(now, id.slot, side, segment.as_ref(), scale, length);
                if let Some(end) = end
                    && let Some(detail) = self.details.get_mut(id.slot as usize)
                {
                    detail.numbers.end.set(side, end);
                }
                track
            }
            _ => Track::Invalid,
        }
    }

    /// Takes note that all fragments of a TCP segment of a flow went on, which ends at this
    /// sequence number: its receiver expects that next (INV-reset-number-exact). Beyond the window
    /// it expects no such number.
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

    /// Whether a side has sent a TCP segment with this number that the other has not acknowledged:
    /// an ICMP error about any other was made up, or comes too late to matter (RFC 5927 4.1).
    /// Between both numbers, each included, as Linux asks it of its own sockets.
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

    /// The packet of a live flow in this slot, noted.
    pub(crate) fn note(
        &mut self,
        now: u64,
        slot: u32,
        side: Side,
        segment: Option<&TcpSegment>,
        scale: impl FnOnce() -> Option<u8>,
        length: u16,
    ) -> Track {
        let settings = &self.settings;
        let Some(record) = self.records.get_mut(slot) else { return Track::Invalid };
        let (state, before) = (record.state, deadline(&self.clocks, record));
        let step = match segment {
            Some(segment) => match self.details.get_mut(slot as usize) {
                None => Step::Invalid,
                Some(detail) if segment.flags.contains(TcpFlags::SYN) => {
                    let id = FlowId { slot, stamp: detail.stamp };
                    let sent = self.totals.get(slot as usize);
                    let sent = sent.map_or(0, |totals| record.carried(totals, side));
                    let connection = &mut record.connection(detail);
                    let news = (side, segment, scale());
                    greet(
                        &mut self.pending_reopens,
                        id,
                        connection,
                        news,
                        sent,
                        settings.strict_windows,
                    )
                }
                Some(detail) => {
                    let mut connection = record.connection(detail);
                    connection.segment(side, segment, || None, settings.strict_windows)
                }
            },
            // A later fragment: what it carries is not known.
            None if record.protocol() == Protocol::TCP => Step::Passes,
            None if !settings.inbound_refreshes && side == Side::External => Step::Passes,
            None => Step::To(state),
        };
        match step {
            Step::Invalid => return Track::Invalid,
            Step::Passes => {}
            Step::To(next) => {
                record.state = next;
                record.last = now;
            }
        }
        if state == State::OneWay && side != record.initiator() {
            record.state = State::TwoWay;
        }
        record.count(|| self.totals.get_mut(slot as usize), side, length);
        // The wheel has it under an earlier time than before or the same: only a shorter timer
        // needs a new place.
        if record.state != state && deadline(&self.clocks, record) < before {
            self.reschedule(slot);
        }
        Track::Pass
    }

    /// What [`track`](Self::track) would say. Nothing changes.
    pub fn would_track(
        &self,
        now: Time,
        id: FlowId,
        side: Side,
        headers: &Headers,
        packet: &[u8],
    ) -> Track {
        let now = self.at(now);
        let Some(record) = self.record(id) else { return Track::Invalid };
        if record.state.is_tombstone() || self.deadline(record) <= now {
            return Track::Invalid;
        }
        let Some(segment) = segment_of(headers) else { return Track::Pass };
        let mut record = *record;
        let Some(mut detail) = self.details.get(id.slot as usize).copied() else {
            return Track::Invalid;
        };
        let strict = self.settings.strict_windows;
        let scale = || tcp_options(packet, headers).window_scale;
        let is_openers = side == record.initiator();
        match record.connection(&mut detail).segment(side, &segment, scale, strict) {
            Step::Invalid if is_openers || !self.pending_reopens.has_answer(id, &segment) => {
                Track::Invalid
            }
            Step::Invalid | Step::To(_) | Step::Passes => Track::Pass,
        }
    }
}

/// The segment as far as it counts: what only a first fragment carries of its data does not, until
/// the others have gone on too.
pub(crate) fn segment_of(headers: &Headers) -> Option<TcpSegment> {
    let Transport::Tcp(segment) = headers.transport else { return None };
    match headers.fragment {
        Fragment::First => Some(TcpSegment { payload_length: 0, ..segment }),
        Fragment::Whole | Fragment::Later { .. } => Some(segment),
    }
}

/// What a segment with SYN means: it has a place in the connection as it is, or it begins another
/// one under the same tuple, or answers what does.
fn greet(
    pending_reopens: &mut PendingReopens,
    id: FlowId,
    connection: &mut Connection<'_>,
    (side, segment, scale): (Side, &TcpSegment, Option<u8>),
    sent: u64,
    strict: bool,
) -> Step {
    let step = connection.segment(side, segment, || scale, strict);
    let is_openers = side == connection.initiator();
    match step {
        Step::Passes if is_openers && connection.is_new_syn(segment, sent) => {
            pending_reopens.note(id, segment, scale);
            step
        }
        Step::Passes | Step::Invalid if !is_openers => match pending_reopens.take(id, segment) {
            Some(pending_reopen) => {
                connection.pending_reopen(&pending_reopen.syn, pending_reopen.scale);
                connection.segment(side, segment, || scale, strict)
            }
            None => step,
        },
        _ => step,
    }
}
