//! A TCP connection as it is seen from the middle: Linux's states, one line for each transition,
//! and the windows of van Rooij.

use super::wire::{ACK, FIN, RST, SYN, Segment};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SynSent,
    SynSent2,
    SynReceived,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Close,
    /// The opening SYN was answered by a reset: nothing is left to remember.
    Refused,
}

/// A connection. Index 0 is who opened it, 1 the other end.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    ends: [End; 2],
    /// Bytes of the packets from each end.
    carried: [u64; 2],
    /// A SYN of the opener that means nothing unless it is answered.
    again: Option<Segment>,
    /// What does not fit the windows has no place, where else it passes and means nothing.
    strict: bool,
}

/// What is known of one end.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// It has sent something.
    seen: bool,
    /// It has sent a FIN that counts.
    finished: bool,
    /// Highest sequence end that it sent.
    end: u32,
    /// Highest sequence end that the other end's window lets it reach.
    limit: u32,
    /// Its window scale.
    scale: Option<u8>,
    /// Its highest acknowledgement, or the lowest that it may send.
    acknowledged: u32,
    /// It has acknowledged something.
    acknowledges: bool,
}

/// What a segment means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It belongs to the connection, whose timer starts again.
    Fits,
    /// It passes and means nothing.
    Nothing,
    /// It has no place in the connection.
    Invalid,
}

impl Connection {
    /// By a SYN, or in the middle by an acknowledgement (T-19).
    pub(crate) fn opened_by(first: &Segment, strict: bool) -> Self {
        let mut new = Self {
            state: State::SynSent,
            ends: [End::default(); 2],
            carried: [first.packet, 0],
            again: None,
            strict,
        };
        if first.has(SYN) {
            new.greet(0, first);
        } else {
            new.pick_up(first);
        }
        new
    }

    /// All that is known of a connection in the middle is in the segment: how far its sender has
    /// come, and how far the other had when it was sent. Windows are as large as they can be, since
    /// nobody knows whether they are scaled (RFC 7323 2.3).
    fn pick_up(&mut self, segment: &Segment) {
        self.state = State::Established;
        let end = End { seen: true, scale: Some(14), ..End::default() };
        let largest = 65_535 << 14;
        let window = (u32::from(segment.window) << 14).max(1);
        self.ends = [
            End {
                end: segment.end(),
                limit: segment.end().wrapping_add(largest),
                acknowledged: segment.acknowledgement,
                acknowledges: true,
                ..end
            },
            End {
                end: segment.acknowledgement,
                limit: segment.acknowledgement.wrapping_add(window),
                acknowledged: segment.sequence,
                ..end
            },
        ];
    }

    /// Highest sequence end that an end sent: exactly what the other expects next
    /// (INV-reset-number-exact).
    pub(crate) fn end_of(&self, from: usize) -> Option<u32> {
        let end = self.ends[from & 1];
        end.seen.then_some(end.end)
    }

    /// All fragments of a segment went on: its receiver expects what is behind it, if the window
    /// reaches so far (INV-reset-number-exact).
    pub(crate) fn reach(&mut self, from: usize, end: u32) {
        let sender = &mut self.ends[from & 1];
        if sender.seen && !is_before(sender.limit, end) {
            sender.end = latest(sender.end, end);
        }
    }

    /// Whether an end has sent a segment with this number that the other has not acknowledged (RFC
    /// 5927 4.1); before the first acknowledgement that is its SYN.
    pub(crate) fn is_under_way(&self, from: usize, sequence: u32) -> bool {
        let (sender, receiver) = (self.ends[from & 1], self.ends[1 - (from & 1)]);
        let oldest = receiver.acknowledged.wrapping_sub(u32::from(!receiver.acknowledges));
        sender.seen && !is_before(sequence, oldest) && !is_before(sender.end, sequence)
    }

    /// Whether nothing more can come of it.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::TimeWait | State::Close | State::Refused)
    }

    /// Whether an opening SYN begins a new connection in place of this one (T-18).
    pub(crate) fn gives_way_to(&self, syn: &Segment) -> bool {
        match self.state {
            State::Close | State::Refused => true,
            State::TimeWait => is_before(self.ends[0].end, syn.sequence),
            _ => false,
        }
    }

    /// Takes a segment from the opener (0) or the other end (1).
    pub(crate) fn take(&mut self, from: usize, segment: &Segment) -> Meaning {
        let mut meaning = self.judge(from, segment);
        let is = |flags| segment.flags & (SYN | ACK | FIN | RST) == flags;
        if meaning == Meaning::Nothing && from == 0 && is(SYN) {
            // Linux, too, goes with both ends if the far one answers such a SYN; not if it is one
            // of before, sent again, whose number lies among what its end has sent.
            let back = self.ends[0].end.wrapping_sub(segment.end());
            if u64::from(back) > self.carried[0] {
                self.again = Some(*segment);
            }
        }
        if meaning != Meaning::Fits
            && from == 1
            && is(SYN | ACK)
            && let Some(syn) = self.again.filter(|syn| syn.end() == segment.acknowledgement)
        {
            *self = Self { carried: self.carried, ..Self::opened_by(&syn, self.strict) };
            meaning = self.judge(from, segment);
        }
        if meaning != Meaning::Invalid {
            self.carried[from & 1] += segment.packet;
        }
        meaning
    }

    fn judge(&mut self, from: usize, segment: &Segment) -> Meaning {
        use Meaning::{Fits, Invalid, Nothing};
        use State::*;
        let (from, initiator) = (from & 1, from & 1 == 0);
        let other_finished = self.ends[1 - from].finished;
        let unfit = if self.strict { Invalid } else { Nothing };
        let next = match (segment.flags & (SYN | ACK | FIN | RST), self.state) {
            // RST, with or without ACK
            (RST | 0x14, state) => {
                // One that answers a SYN leaves nothing behind, as in Linux.
                let refuses = !self.ends[from].seen;
                let is_exact = self.is_exact(from, segment);
                let counts = is_exact && (refuses || state != Close);
                if counts {
                    self.state = if refuses { Refused } else { Close };
                }
                let known = self.ends.iter().all(|end| end.seen);
                let passes = !self.strict || known && self.may_be_a_reset(from, segment);
                return if counts {
                    Fits
                } else if is_exact || passes {
                    Nothing
                } else {
                    Invalid
                };
            }
            // SYN
            (SYN, SynSent) if initiator => SynSent,
            (SYN, SynSent | SynSent2) => SynSent2,
            (SYN, TimeWait) => return Nothing,
            (SYN, _) => return if initiator { Nothing } else { Invalid },
            // SYN and ACK
            (0x12, SynSent) if !initiator => SynReceived,
            (0x12, SynSent2 | SynReceived) => SynReceived,
            (0x12, _) => return if initiator { Invalid } else { Nothing },
            // FIN and ACK: one that is sent again does not count as the other end's
            (0x11, SynReceived | Established) => FinWait,
            (0x11, FinWait | CloseWait) if other_finished => LastAck,
            (0x11, SynSent | SynSent2) => return Invalid,
            (0x11, state) => state,
            // ACK
            (ACK, SynSent | SynSent2) => return if initiator { Invalid } else { Nothing },
            // RFC 9293 3.5: established once each end's SYN is acknowledged; the opener's ACK is
            // that, the other's only if both began.
            (ACK, SynReceived) if !initiator && !self.ends[0].acknowledges => SynReceived,
            (ACK, SynReceived | Established) => Established,
            (ACK, FinWait | CloseWait) => CloseWait,
            (ACK, LastAck | TimeWait) => TimeWait,
            (ACK, Close) => Close,
            // What no connection says (T-20)
            _ => return Invalid,
        };
        if segment.has(SYN) {
            if segment.has(ACK) && !self.answers_syn(from, segment) {
                return unfit;
            }
            self.greet(from, segment);
        } else {
            if !self.is_in_window(from, segment) {
                return unfit;
            }
            let is_news = is_before(self.ends[from].end, segment.end());
            self.remember(from, segment);
            if self.state == Close {
                // T-17: new data behind a reset shows that it did not count, unless somebody had
                // finished.
                let data = segment.length > u32::from(segment.has(FIN));
                if is_news && data && !self.ends.iter().any(|end| end.finished) {
                    self.state = Established;
                    return Fits;
                }
                return Nothing;
            }
        }
        self.state = next;
        Fits
    }

    /// INV-inexact-reset-ignored, T-17: a reset counts only if its number is exactly what its
    /// receiver expects: the highest end sent to it, or the last that it acknowledged; in answer to
    /// a SYN, if it acknowledges that.
    fn is_exact(&self, from: usize, reset: &Segment) -> bool {
        let (sender, receiver) = (self.ends[from], self.ends[1 - from]);
        if !sender.seen {
            return reset.has(ACK) && self.answers_syn(from, reset);
        }
        reset.sequence == sender.end
            || receiver.acknowledges && reset.sequence == receiver.acknowledged
    }

    /// Whether a reset lies where its receiver would ask for another one: from what it last
    /// acknowledged to what it has room for (RFC 5961 3.2).
    fn may_be_a_reset(&self, from: usize, reset: &Segment) -> bool {
        let (sender, receiver) = (self.ends[from], self.ends[1 - from]);
        !is_before(reset.sequence, receiver.acknowledged)
            && !is_before(sender.limit, reset.sequence)
    }

    /// Whether a segment acknowledges the other end's SYN and nothing that it has not sent (RFC
    /// 9293 3.10.7.3).
    fn answers_syn(&self, from: usize, segment: &Segment) -> bool {
        let (sender, receiver) = (self.ends[from], self.ends[1 - from]);
        receiver.seen
            && !is_before(receiver.end, segment.acknowledgement)
            && !is_before(segment.acknowledgement, sender.acknowledged)
    }

    /// What a SYN says of its sender; the latest counts.
    fn greet(&mut self, from: usize, syn: &Segment) {
        let other = 1 - from;
        let sender = &mut self.ends[from];
        if self.state == State::SynReceived && !is_before(sender.end, syn.end()) {
            // Sent again: what was sent since then is not taken back (INV-reset-number-exact).
            sender.acknowledged = latest(sender.acknowledged, syn.acknowledgement);
            sender.acknowledges = true;
            return;
        }
        sender.seen = true;
        sender.end = syn.end();
        sender.limit = syn.end();
        sender.scale = syn.scale;
        if syn.has(ACK) {
            sender.acknowledged = syn.acknowledgement;
            sender.acknowledges = true;
        }
        if self.ends[other].seen {
            // The other's window is told when it acknowledges this; that of a SYN is never scaled
            // (RFC 7323 2.2).
            self.ends[from].limit = syn.end().wrapping_add(65_535);
            self.ends[other].limit =
                self.ends[other].end.wrapping_add(u32::from(syn.window.max(1)));
        }
        if !self.ends[other].acknowledges {
            self.ends[other].acknowledged = syn.sequence.wrapping_add(1);
        }
    }

    /// Whether the data lies between what the window allows and what may be sent again, and the
    /// acknowledgement between what was sent and what a late one may say.
    fn is_in_window(&self, from: usize, segment: &Segment) -> bool {
        let (sender, receiver) = (self.ends[from], self.ends[1 - from]);
        let oldest = sender.end.wrapping_sub(self.window_of(1 - from)).wrapping_sub(1);
        let rollout_state = self.window_of(from);
        sender.seen
            && receiver.seen
            && !is_before(sender.limit, segment.end())
            && !is_before(segment.sequence, oldest)
            && !is_before(receiver.end, segment.acknowledgement)
            && !is_before(segment.acknowledgement, receiver.end.wrapping_sub(rollout_state))
    }

    fn remember(&mut self, from: usize, segment: &Segment) {
        let scale = self.scale_of(from);
        let sender = &mut self.ends[from];
        if !segment.partial {
            sender.end = latest(sender.end, segment.end());
        }
        sender.acknowledged = latest(sender.acknowledged, segment.acknowledgement);
        sender.acknowledges = true;
        sender.finished |= segment.has(FIN);
        let reach = (u32::from(segment.window) << scale).max(1);
        let receiver = &mut self.ends[1 - from];
        receiver.limit = latest(receiver.limit, segment.acknowledgement.wrapping_add(reach));
    }

    /// How much an end lets the other send; never so little that what was repeated or delayed would
    /// not fit.
    fn window_of(&self, of: usize) -> u32 {
        self.ends[1 - of].limit.wrapping_sub(self.ends[of].acknowledged).max(66_000)
    }

    /// Windows are scaled only if both offered it (RFC 7323 2.2).
    fn scale_of(&self, of: usize) -> u8 {
        match self.ends.map(|end| end.scale) {
            [Some(initiator), Some(other)] => [initiator, other][of],
            _ => 0,
        }
    }
}

fn latest(one: u32, other: u32) -> u32 {
    if is_before(one, other) { other } else { one }
}

/// Whether one sequence number comes before another, modulo 2^32 (RFC 9293 3.4).
const fn is_before(earlier: u32, later: u32) -> bool {
    let distance = later.wrapping_sub(earlier);
    distance != 0 && distance <= 1 << 31
}
