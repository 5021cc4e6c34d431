//! A TCP connection as a middlebox sees it: Linux's states, one line for each transition, and the
//! windows of van Rooij.

use super::wire::{ACK, FIN, RST, SYN, Segment};

/// The state of a connection.
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
    /// A reset answered the opening SYN, so nothing is remembered.
    Refused,
}

/// A connection. Index 0 is the initiator, 1 the other end.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    ends: [End; 2],
    /// Bytes of the packets from each end.
    carried: [u64; 2],
    /// A SYN of the initiator that has no effect unless it is answered.
    again: Option<Segment>,
    /// Whether a segment outside the windows is invalid. Otherwise it passes without effect.
    strict: bool,
}

/// What is known of one end.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// Whether it has sent something.
    seen: bool,
    /// Whether it has sent a FIN that counts.
    finished: bool,
    /// The highest sequence end that it sent.
    end: u32,
    /// The highest sequence end that the other end's window allows.
    limit: u32,
    /// Its window scale.
    scale: Option<u8>,
    /// Its highest acknowledgement, or the lowest that it may send.
    acknowledged: u32,
    /// Whether it has acknowledged something.
    acknowledges: bool,
}

/// The effect of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It belongs to the connection and restarts its timer.
    Fits,
    /// It passes without effect.
    Nothing,
    /// It does not fit the connection.
    Invalid,
}

impl Connection {
    /// Begins with a SYN, or in the middle with an acknowledgement (T-19).
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

    /// Picks a connection up in the middle. The segment says how far its sender is, and how far the
    /// other end was. Windows are as large as possible, since their scale is unknown (RFC 7323
    /// 2.3).
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

    /// Returns the highest sequence end that an end sent, which the other end expects next
    /// (INV-reset-number-exact).
    pub(crate) fn end_of(&self, from: usize) -> Option<u32> {
        let end = self.ends[from & 1];
        end.seen.then_some(end.end)
    }

    /// Records that all fragments of a segment were forwarded. Its receiver expects what follows
    /// it, if the window reaches that far (INV-reset-number-exact).
    pub(crate) fn reach(&mut self, from: usize, end: u32) {
        let sender = &mut self.ends[from & 1];
        if sender.seen && !is_before(sender.limit, end) {
            sender.end = latest(sender.end, end);
        }
    }

    /// Returns whether a sequence number of an end is in flight: sent and not acknowledged (RFC
    /// 5927 4.1). Before the first acknowledgement only the SYN is.
    pub(crate) fn is_under_way(&self, from: usize, sequence: u32) -> bool {
        let (sender, receiver) = (self.ends[from & 1], self.ends[1 - (from & 1)]);
        let oldest = receiver.acknowledged.wrapping_sub(u32::from(!receiver.acknowledges));
        sender.seen && !is_before(sequence, oldest) && !is_before(sender.end, sequence)
    }

    /// Returns whether the connection is over.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::TimeWait | State::Close | State::Refused)
    }

    /// Returns whether an opening SYN begins a new connection in place of this one (T-18).
    pub(crate) fn gives_way_to(&self, syn: &Segment) -> bool {
        match self.state {
            State::Close | State::Refused => true,
            State::TimeWait => is_before(self.ends[0].end, syn.sequence),
            _ => false,
        }
    }

    /// Takes a segment from the initiator (0) or the other end (1).
    pub(crate) fn take(&mut self, from: usize, segment: &Segment) -> Meaning {
        let mut meaning = self.judge(from, segment);
        let is = |flags| segment.flags & (SYN | ACK | FIN | RST) == flags;
        if meaning == Meaning::Nothing && from == 0 && is(SYN) {
            // As in Linux, both ends begin anew if the remote answers such a SYN. A repeated SYN
            // does not count: its number lies among what its end has sent.
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
                // A reset that answers a SYN leaves nothing behind, as in Linux.
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
            // FIN and ACK: a repeated one does not count as the other end's
            (0x11, SynReceived | Established) => FinWait,
            (0x11, FinWait | CloseWait) if other_finished => LastAck,
            (0x11, SynSent | SynSent2) => return Invalid,
            (0x11, state) => state,
            // ACK
            (ACK, SynSent | SynSent2) => return if initiator { Invalid } else { Nothing },
            // RFC 9293 3.5: established once each end's SYN is acknowledged. The initiator's ACK
            // does that, and the other's only if both opened at once.
            (ACK, SynReceived) if !initiator && !self.ends[0].acknowledges => SynReceived,
            (ACK, SynReceived | Established) => Established,
            (ACK, FinWait | CloseWait) => CloseWait,
            (ACK, LastAck | TimeWait) => TimeWait,
            (ACK, Close) => Close,
            // Segments that no connection sends (T-20)
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
                // T-17: new data after a reset shows that the reset had no effect, unless an end
                // had finished.
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

    /// Returns whether a reset has exactly the number that its receiver expects
    /// (INV-inexact-reset-ignored, T-17). That is the highest end sent to it, or the last one that
    /// it acknowledged. A reset that answers a SYN must acknowledge it.
    fn is_exact(&self, from: usize, reset: &Segment) -> bool {
        let (sender, receiver) = (self.ends[from], self.ends[1 - from]);
        if !sender.seen {
            return reset.has(ACK) && self.answers_syn(from, reset);
        }
        reset.sequence == sender.end
            || receiver.acknowledges && reset.sequence == receiver.acknowledged
    }

    /// Returns whether a reset lies where its receiver would send a challenge: from what it last
    /// acknowledged to the end of its window (RFC 5961 3.2).
    fn may_be_a_reset(&self, from: usize, reset: &Segment) -> bool {
        let (sender, receiver) = (self.ends[from], self.ends[1 - from]);
        !is_before(reset.sequence, receiver.acknowledged)
            && !is_before(sender.limit, reset.sequence)
    }

    /// Returns whether a segment acknowledges the other end's SYN and nothing that the other end
    /// has not sent (RFC 9293 3.10.7.3).
    fn answers_syn(&self, from: usize, segment: &Segment) -> bool {
        let (sender, receiver) = (self.ends[from], self.ends[1 - from]);
        receiver.seen
            && !is_before(receiver.end, segment.acknowledgement)
            && !is_before(segment.acknowledgement, sender.acknowledged)
    }

    /// Records the options of a SYN. The latest SYN counts.
    fn greet(&mut self, from: usize, syn: &Segment) {
        let other = 1 - from;
        let sender = &mut self.ends[from];
        if self.state == State::SynReceived && !is_before(sender.end, syn.end()) {
            // A repeated SYN takes back nothing that was sent since (INV-reset-number-exact).
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
            // The other's window follows with its acknowledgement. That of a SYN is never scaled
            // (RFC 7323 2.2).
            self.ends[from].limit = syn.end().wrapping_add(65_535);
            self.ends[other].limit =
                self.ends[other].end.wrapping_add(u32::from(syn.window.max(1)));
        }
        if !self.ends[other].acknowledges {
            self.ends[other].acknowledged = syn.sequence.wrapping_add(1);
        }
    }

    /// Returns whether a segment is in the window. Its data lies between what may be repeated and
    /// what the window allows. Its acknowledgement lies between the oldest late one and what was
    /// sent.
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

    /// Returns the window of an end, which is never too small for repeated or delayed segments.
    fn window_of(&self, of: usize) -> u32 {
        self.ends[1 - of].limit.wrapping_sub(self.ends[of].acknowledged).max(66_000)
    }

    /// Returns the window scale of an end, which counts only if both offered one (RFC 7323 2.2).
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

/// Returns whether one sequence number comes before another, modulo 2^32 (RFC 9293 3.4).
const fn is_before(earlier: u32, later: u32) -> bool {
    let distance = later.wrapping_sub(earlier);
    distance != 0 && distance <= 1 << 31
}
