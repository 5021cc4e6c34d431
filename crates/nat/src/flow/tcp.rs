//! TCP connection tracking: states, ends and windows (nothing is kept of the data).
//!
//! The state table is Linux's, with two differences that closing needs: a FIN that is sent again by
//! the same end does not count as the other end's, and new data behind an RST takes the connection
//! back out of `Close` (T-17). A connection that an RST refuses is forgotten at once, which Linux
//! does outside of its table.

use vnetem_packet::{TcpFlags, TcpSegment};

use crate::flow::side::Pair;
use crate::table::detail::Numbers;
use crate::table::record::Record;
use crate::{Side, State};

/// What a segment means to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It belongs to the connection, which is now in this state. Its timer starts again.
    To(State),
    /// It passes and means nothing: the ends must sort it out.
    Passes,
    /// It has no place in this state.
    Invalid,
}

/// Marks of a record: each is one bit for the inside and the next for the outside.
const SEEN: u8 = 1;
const FINISHED: u8 = 1 << 2;
const ACKNOWLEDGES: u8 = 1 << 4;
/// Of a tombstone: its external tuple is not its own any more.
const RELEASED: u8 = FINISHED;
/// The outside opened the flow.
pub(crate) const OPENED_OUTSIDE: u8 = 1 << 6;
/// The scale of a side that offered none.
const NO_SCALE: u8 = 15;
/// No scale on either side.
pub(crate) const NO_SCALES: u8 = NO_SCALE << 4 | NO_SCALE;
/// The longest window without a scale.
const WINDOW: u32 = 65_535;
/// How far behind an acknowledgement may lag if the window of its sender is small, as in Linux.
const LAG: u32 = 66_000;

/// A connection under the hand: what record and detail of its flow hold of it.
pub(crate) struct Connection<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) marks: &'a mut u8,
    pub(crate) scales: &'a mut u8,
    pub(crate) numbers: &'a mut Numbers,
}

/// What the marks of a flow say.
impl<T> Record<T> {
    /// Who opened the flow, which need not be TCP.
    #[inline]
    pub(crate) fn initiator(&self) -> Side {
        initiator(self.marks)
    }

    /// Whether both ends have finished.
    pub(crate) fn both_finished(&self) -> bool {
        has(self.marks, Side::Internal, FINISHED) && has(self.marks, Side::External, FINISHED)
    }

    /// Whether this side has acknowledged anything.
    pub(crate) fn has_acknowledged(&self, side: Side) -> bool {
        has(self.marks, side, ACKNOWLEDGES)
    }

    /// Whether this is a tombstone that has given its external tuple back.
    #[inline]
    pub(crate) fn is_released(&self) -> bool {
        self.state.is_tombstone() && self.marks & RELEASED != 0
    }

    pub(crate) fn mark_released(&mut self) {
        self.marks |= RELEASED;
    }

    /// Forgets what was known of a connection that is a tombstone from now on.
    pub(crate) fn forget_finished(&mut self) {
        self.marks &= !(FINISHED | FINISHED << 1);
    }

    /// Whether anything of this side is known.
    pub(crate) fn has_seen(&self, side: Side) -> bool {
        has(self.marks, side, SEEN)
    }
}

impl Connection<'_> {
    /// Takes the first segment of a connection. A segment without SYN is a connection picked up in
    /// the middle, about which little is known (T-19).
    pub(crate) fn begin(&mut self, segment: &TcpSegment, scale: Option<u8>) {
        let (side, other) = (self.initiator(), self.initiator().other());
        if segment.flags.contains(TcpFlags::SYN) {
            return self.synchronise(side, segment, scale);
        }
        *self.state = State::Established;
        *self.scales = 14 << 4 | 14;
        self.mark(side, SEEN);
        self.numbers.end.set(side, segment.end());
        self.numbers.limit.set(side, segment.end().wrapping_add(WINDOW << 14));
        if segment.flags.contains(TcpFlags::ACK) {
            self.mark(other, SEEN);
            self.numbers.end.set(other, segment.acknowledgement);
            self.numbers.acknowledged.set(other, segment.sequence);
            self.numbers.acknowledged.set(side, segment.acknowledgement);
            self.numbers.limit.set(other, segment.acknowledgement);
            self.acknowledge(side, segment);
        }
    }

    /// Begins anew with a SYN of the initiator.
    pub(crate) fn pending_reopen(&mut self, syn: &TcpSegment, scale: Option<u8>) {
        *self.state = State::SynSent;
        *self.marks &= OPENED_OUTSIDE;
        *self.scales = NO_SCALES;
        *self.numbers = Numbers::default();
        self.begin(syn, scale);
    }

    /// Whether a segment of the initiator that means nothing is a SYN, and not one that was sent
    /// before: no further back than the bytes that its side has sent does the number of such a one
    /// lie.
    pub(crate) fn is_new_syn(&self, segment: &TcpSegment, sent: u64) -> bool {
        let back = self.numbers.end.of(self.initiator()).wrapping_sub(segment.end());
        segment.flags.0 & CONTROL == TcpFlags::SYN.0 && u64::from(back) > sent
    }

    /// What a segment from `side` means; remembers what must be remembered, but for the state. A
    /// SYN is asked for its window scale.
    #[inline]
    pub(crate) fn segment(
        &mut self,
        side: Side,
        segment: &TcpSegment,
        scale: impl FnOnce() -> Option<u8>,
        strict: bool,
    ) -> Step {
        let Some(class) = Class::of(segment.flags) else { return Step::Invalid };
        if class == Class::Rst {
            return self.reset(side, segment, strict);
        }
        let step = self.transition(side, class);
        let Step::To(next) = step else { return step };
        let handshake = matches!(class, Class::Syn | Class::SynAck);
        if !(if handshake {
            self.is_handshake_segment(side, segment)
        } else {
            self.fits(side, segment)
        }) {
            return if strict { Step::Invalid } else { Step::Passes };
        }
        if handshake {
            self.synchronise(side, segment, scale());
            return Step::To(next);
        }
        let news = after(segment.end(), self.numbers.end.of(side));
        self.advance(side, segment);
        if segment.flags.contains(TcpFlags::FIN) {
            self.mark(side, FINISHED);
        }
        if next == State::Close {
            return self.revive(segment, news);
        }
        Step::To(next)
    }

    /// Takes a segment with nothing but an acknowledgement on an established connection, as
    /// [`segment`](Self::segment) does: nearly all are of this kind. Says no, and changes nothing,
    /// if it lies outside of the windows.
    #[inline(always)]
    pub(crate) fn continues(&mut self, side: Side, segment: &TcpSegment) -> bool {
        let fits = self.fits(side, segment);
        if fits {
            self.advance(side, segment);
        }
        fits
    }

    /// Takes what a segment inside of the windows sends and acknowledges.
    #[inline(always)]
    fn advance(&mut self, side: Side, segment: &TcpSegment) {
        raise(&mut self.numbers.end, side, segment.end());
        if segment.flags.contains(TcpFlags::ACK) {
            self.acknowledge(side, segment);
        }
    }

    pub(crate) fn initiator(&self) -> Side {
        initiator(*self.marks)
    }

    /// Where Linux's table leads, windows left aside.
    #[inline]
    fn transition(&self, side: Side, class: Class) -> Step {
        use State::*;
        let (state, forward) = (*self.state, side == self.initiator());
        let next = match (class, state) {
            (Class::Syn, SynSent) => {
                if forward {
                    SynSent
                } else {
                    SynSent2
                }
            }
            (Class::Syn, SynSent2) => SynSent2,
            (Class::Syn, TimeWait) => return Step::Passes,
            (Class::Syn, _) => return if forward { Step::Passes } else { Step::Invalid },
            (Class::SynAck, SynSent) if !forward => SynReceived,
            (Class::SynAck, SynSent2) => SynReceived,
            (Class::SynAck, SynReceived) => SynReceived,
            (Class::SynAck, _) => return if forward { Step::Invalid } else { Step::Passes },
            (Class::Fin, SynReceived | Established) => FinWait,
            (Class::Fin, FinWait | CloseWait) if self.has(side.other(), FINISHED) => LastAck,
            (Class::Fin, FinWait | CloseWait | LastAck | TimeWait | Close) => state,
            (Class::Ack, SynSent | SynSent2) if !forward => return Step::Passes,
            // Where both have begun, the initiator has acknowledged too.
            (Class::Ack, SynReceived) if !forward && !self.has(self.initiator(), ACKNOWLEDGES) => {
                SynReceived
            }
            (Class::Ack, SynReceived | Established) => Established,
            (Class::Ack, FinWait | CloseWait) => CloseWait,
            (Class::Ack, LastAck | TimeWait) => TimeWait,
            (Class::Ack, Close) => Close,
            _ => return Step::Invalid,
        };
        Step::To(next)
    }

    /// An RST ends the connection only if its number is exact (INV-inexact-reset-ignored): the
    /// highest end sent to its receiver, or the last that the receiver acknowledged; in answer to a
    /// SYN, the acknowledgement of that.
    fn reset(&self, side: Side, segment: &TcpSegment, strict: bool) -> Step {
        let other = side.other();
        let answers_syn = !self.has(side, SEEN);
        let exact = if !answers_syn {
            segment.sequence == self.numbers.end.of(side)
                || self.has(other, ACKNOWLEDGES)
                    && segment.sequence == self.numbers.acknowledged.of(other)
        } else {
            segment.flags.contains(TcpFlags::ACK) && self.acknowledges_syn(side, segment)
        };
        if exact && answers_syn {
            return Step::To(State::Refused);
        }
        if exact {
            return if *self.state == State::Close { Step::Passes } else { Step::To(State::Close) };
        }
        let known = self.has(side, SEEN) && self.has(other, SEEN);
        let inside_window = known
            && !after(self.numbers.acknowledged.of(other), segment.sequence)
            && !after(segment.sequence, self.numbers.limit.of(side));
        if strict && !inside_window { Step::Invalid } else { Step::Passes }
    }

    /// New data behind an RST, on a connection that nobody finished, shows that the RST did not
    /// count (T-17). A stray ACK shows nothing (INV-syn-opens-anew).
    fn revive(&self, segment: &TcpSegment, news: bool) -> Step {
        let finished = self.has(Side::Internal, FINISHED) || self.has(Side::External, FINISHED);
        if news && segment.payload_length > 0 && !finished {
            Step::To(State::Established)
        } else {
            Step::Passes
        }
    }

    /// Whether a SYN or SYN+ACK may be taken: one that acknowledges must acknowledge the other's
    /// SYN (RFC 9293 3.10.7.3).
    fn is_handshake_segment(&self, side: Side, segment: &TcpSegment) -> bool {
        !segment.flags.contains(TcpFlags::ACK) || self.acknowledges_syn(side, segment)
    }

    fn acknowledges_syn(&self, side: Side, segment: &TcpSegment) -> bool {
        self.has(side.other(), SEEN)
            && !after(segment.acknowledgement, self.numbers.end.of(side.other()))
            && !after(self.numbers.acknowledged.of(side), segment.acknowledgement)
    }

    /// Whether a segment lies in the windows, by the four conditions of Linux (van Rooij, "Real
    /// stateful TCP packet filtering"), with the present windows in place of the largest ones seen.
    #[inline(always)]
    fn fits(&self, side: Side, segment: &TcpSegment) -> bool {
        let other = side.other();
        let oldest = self.numbers.end.of(side).wrapping_sub(self.window(other)).wrapping_sub(1);
        let in_order = self.has(side, SEEN)
            && self.has(other, SEEN)
            && !after(segment.end(), self.numbers.limit.of(side))
            && !after(oldest, segment.sequence);
        let oldest = self.numbers.end.of(other).wrapping_sub(self.window(side));
        in_order
            && (!segment.flags.contains(TcpFlags::ACK)
                || !after(segment.acknowledgement, self.numbers.end.of(other))
                    && !after(oldest, segment.acknowledgement))
    }

    /// Takes a SYN: the latest one is the truth about its sender, unless it is one that is sent
    /// again, behind which data may have gone (INV-reset-number-exact).
    fn synchronise(&mut self, side: Side, segment: &TcpSegment, scale: Option<u8>) {
        let other = side.other();
        if *self.state == State::SynReceived && !after(segment.end(), self.numbers.end.of(side)) {
            raise(&mut self.numbers.acknowledged, side, segment.acknowledgement);
            return self.mark(side, ACKNOWLEDGES);
        }
        self.mark(side, SEEN);
        self.set_scale(side, scale);
        self.numbers.end.set(side, segment.end());
        self.numbers.limit.set(side, segment.end());
        if self.has(other, SEEN) {
            // How far the other's window reaches, it will say when it acknowledges this.
            self.numbers.limit.set(side, segment.end().wrapping_add(WINDOW));
            let window = u32::from(segment.window).max(1);
            self.numbers.limit.set(other, self.numbers.end.of(other).wrapping_add(window));
        }
        if !self.has(other, ACKNOWLEDGES) {
            self.numbers.acknowledged.set(other, segment.sequence.wrapping_add(1));
        }
        if segment.flags.contains(TcpFlags::ACK) {
            self.numbers.acknowledged.set(side, segment.acknowledgement);
            self.mark(side, ACKNOWLEDGES);
        }
    }

    #[inline(always)]
    fn acknowledge(&mut self, side: Side, segment: &TcpSegment) {
        raise(&mut self.numbers.acknowledged, side, segment.acknowledgement);
        self.mark(side, ACKNOWLEDGES);
        let window = u32::from(segment.window) << self.scale(side);
        let reach = segment.acknowledgement.wrapping_add(window.max(1));
        raise(&mut self.numbers.limit, side.other(), reach);
    }

    /// How much a side lets the other send, in bytes; never so little that what was repeated or
    /// delayed would not fit.
    #[inline]
    fn window(&self, side: Side) -> u32 {
        self.numbers
            .limit
            .of(side.other())
            .wrapping_sub(self.numbers.acknowledged.of(side))
            .max(LAG)
    }

    /// Windows are scaled only if both offered it (RFC 7323 2.2).
    #[inline]
    fn scale(&self, side: Side) -> u8 {
        let (internal, external) = (*self.scales & 15, *self.scales >> 4);
        if internal == NO_SCALE || external == NO_SCALE {
            return 0;
        }
        side.choose(internal, external)
    }

    fn set_scale(&mut self, side: Side, scale: Option<u8>) {
        let scale = scale.map_or(NO_SCALE, |scale| scale.min(14));
        *self.scales = match side {
            Side::Internal => *self.scales & 0xF0 | scale,
            Side::External => *self.scales & 0x0F | scale << 4,
        };
    }

    #[inline]
    fn has(&self, side: Side, mark: u8) -> bool {
        has(*self.marks, side, mark)
    }

    #[inline]
    fn mark(&mut self, side: Side, mark: u8) {
        *self.marks |= mark << side as u8;
    }
}

/// Whether a segment goes on with a connection: it has an acknowledgement, and neither SYN nor FIN
/// nor RST.
#[inline]
pub(crate) const fn is_plain(flags: TcpFlags) -> bool {
    flags.0 & CONTROL == TcpFlags::ACK.0
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
}

impl Class {
    /// `None` for combinations that no connection has (T-20): none of the flags, SYN or RST with
    /// FIN, SYN with RST, FIN without ACK.
    #[inline]
    fn of(flags: TcpFlags) -> Option<Self> {
        const SYN: u8 = TcpFlags::SYN.0;
        const ACK: u8 = TcpFlags::ACK.0;
        const FIN_ACK: u8 = TcpFlags::FIN.0 | ACK;
        const SYN_ACK: u8 = SYN | ACK;
        const RST: u8 = TcpFlags::RST.0;
        const RST_ACK: u8 = RST | ACK;
        match flags.0 & CONTROL {
            SYN => Some(Self::Syn),
            SYN_ACK => Some(Self::SynAck),
            FIN_ACK => Some(Self::Fin),
            ACK => Some(Self::Ack),
            RST | RST_ACK => Some(Self::Rst),
            _ => None,
        }
    }
}

/// The bits that make a segment's class; the others (PSH, URG, ECN) may be set.
pub(crate) const CONTROL: u8 =
    TcpFlags::FIN.0 | TcpFlags::SYN.0 | TcpFlags::RST.0 | TcpFlags::ACK.0;

#[inline]
const fn has(marks: u8, side: Side, mark: u8) -> bool {
    marks & mark << side as u8 != 0
}

#[inline]
const fn initiator(marks: u8) -> Side {
    if marks & OPENED_OUTSIDE == 0 { Side::Internal } else { Side::External }
}

/// Whether one sequence number is behind another (RFC 9293 3.4: modulo 2^32).
#[inline]
pub(crate) const fn after(left: u32, right: u32) -> bool {
    (right.wrapping_sub(left) as i32) < 0
}

/// Sets the number of a side if this one is higher.
#[inline(always)]
pub(crate) fn raise(highest: &mut Pair<u32>, side: Side, number: u32) {
    let old = highest.of(side);
    highest.set(side, if after(number, old) { number } else { old });
}
