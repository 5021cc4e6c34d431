//! Packets that the data plane makes itself, until the caller takes them.

use std::collections::VecDeque;

use bytes::Bytes;
use vnetem_nat::{Quota, Tenant};
use vnetem_packet::{Headers, IcmpError, Reset};

use crate::{Counters, Edge};

/// A packet that the data plane made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transmit {
    /// The edge by which it leaves.
    pub to: Edge,
    /// The whole packet.
    pub packet: Bytes,
}

/// Packets that the data plane made, in the order in which it made them. It never allocates after
/// it is made.
///
/// Resets of flows that a change closes have a queue of their own and are never lost: closing
/// [waits](Self::may_close) for room. All others answer packets, and have room by the share of
/// their tenant (docs/shares.md).
pub(crate) struct TransmitQueue {
    /// Answers to packets.
    queue: VecDeque<Waiting>,
    /// The errors of the queue.
    errors: VecDeque<[u8; IcmpError::MAXIMUM_LENGTH]>,
    quota: Quota<1>,
    /// Resets of flows that a change closed.
    closings: VecDeque<ClosingReset>,
    closing_limit: usize,
    /// Packets made so far.
    made: u64,
}

struct Waiting {
    /// Its place among all.
    number: u64,
    to: Edge,
    answer: Answer,
    tenant: Tenant,
}

/// A reset of a flow that a change closed.
struct ClosingReset {
    /// Its place among all packets.
    number: u64,
    to: Edge,
    reset: Reset,
}

/// The most resets that one closing makes: a hairpin has two flows.
const MOST_OF_A_CLOSING: usize = 4;

/// A reset is written when it is taken, since a change of configuration makes many at once; an
/// error quotes a packet that is gone by then.
enum Answer {
    Reset(Reset),
    /// The first of the errors, and its length.
    Error(usize),
}

/// TTL of own packets (W-11).
const TTL: u8 = 64;

/// Identification of resets, which are never fragmented and need none (RFC 6864 4.1); a count would
/// tell tenants of each other (INV-networks-isolated).
const IDENTIFICATION: u16 = 0;

impl TransmitQueue {
    pub(crate) fn new(limit: usize) -> Self {
        let total = u32::try_from(limit).unwrap_or(u32::MAX);
        let closing_limit = limit.max(MOST_OF_A_CLOSING);
        Self {
            queue: VecDeque::with_capacity(limit),
            errors: VecDeque::with_capacity(limit),
            quota: Quota::new([total]),
            closings: VecDeque::with_capacity(closing_limit),
            closing_limit,
            made: 0,
        }
    }

    pub(crate) fn share_among(&mut self, tenants: impl Iterator<Item = Tenant>) {
        self.quota.share_among(tenants);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.closings.is_empty()
    }

    /// Says whether a flow may be closed: whether there is room for all its resets.
    pub(crate) fn may_close(&self) -> bool {
        self.closings.len().saturating_add(MOST_OF_A_CLOSING) <= self.closing_limit
    }

    /// Returns the number of packets that wait, and the bytes in them.
    pub(crate) fn held(&self) -> (usize, usize) {
        let answers: usize = self.queue.iter().map(|waiting| waiting.answer.length()).sum();
        let closings = self.closings.len();
        let bytes = answers.saturating_add(closings.saturating_mul(Reset::LENGTH));
        (self.queue.len().saturating_add(closings), bytes)
    }

    pub(crate) fn take(&mut self, counters: &mut Counters) -> Option<Transmit> {
        let answer = self.queue.front().map_or(u64::MAX, |waiting| waiting.number);
        if self.closings.front().is_none_or(|closing| closing.number > answer) {
            return self.take_answer(counters);
        }
        let ClosingReset { to, reset, .. } = self.closings.pop_front()?;
        counters.transmitted.add(Reset::LENGTH);
        Some(Transmit { to, packet: written(&reset) })
    }

    fn take_answer(&mut self, counters: &mut Counters) -> Option<Transmit> {
        let Waiting { to, answer, tenant, .. } = self.queue.pop_front()?;
        self.quota.give_back(0, tenant);
        counters.transmitted.add(answer.length());
        let packet = match answer {
            Answer::Reset(reset) => written(&reset),
            Answer::Error(length) => {
                let bytes = self.errors.pop_front()?;
                Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default())
            }
        };
        Some(Transmit { to, packet })
    }

    /// Queues a reset that closes a flow, for which [`may_close`](Self::may_close) has said that
    /// there is room.
    pub(crate) fn close(&mut self, to: Edge, reset: Reset, counters: &mut Counters) {
        counters.generated.add(Reset::LENGTH);
        let number = self.count();
        self.closings.push_back(ClosingReset { number, to, reset });
    }

    /// Queues a reset that answers a packet, or ends a connection that idled out.
    pub(crate) fn reset(
        &mut self,
        to: Edge,
        reset: Reset,
        tenant: Tenant,
        counters: &mut Counters,
    ) {
        self.push(to, Answer::Reset(reset), tenant, counters);
    }

    /// Queues an ICMP error about a packet. That one may be sent about it was decided before
    /// (INV-last-hop-ends).
    pub(crate) fn send_icmp_error(
        &mut self,
        (to, tenant): (Edge, Tenant),
        error: &IcmpError,
        about: &[u8],
        headers: &Headers,
        counters: &mut Counters,
    ) {
        debug_assert!(IcmpError::may_answer(headers), "no error about {headers:?}");
        let mut bytes = [0; IcmpError::MAXIMUM_LENGTH];
        let length = error.write(about, headers, &mut bytes);
        if self.push(to, Answer::Error(length), tenant, counters) {
            self.errors.push_back(bytes);
        }
    }

    /// Counts a packet, and says whether there is room for it.
    fn push(&mut self, to: Edge, answer: Answer, tenant: Tenant, counters: &mut Counters) -> bool {
        let length = answer.length();
        counters.generated.add(length);
        let has_room = self.quota.has_room(0, tenant);
        if has_room {
            self.quota.take(0, tenant);
            let number = self.count();
            self.queue.push_back(Waiting { number, to, answer, tenant });
        } else {
            counters.dropped.add(length);
            counters.queue_full.add(length);
        }
        has_room
    }

    fn count(&mut self) -> u64 {
        self.made = self.made.wrapping_add(1);
        self.made
    }
}

fn written(reset: &Reset) -> Bytes {
    Bytes::copy_from_slice(&reset.write(IDENTIFICATION, TTL))
}

impl Answer {
    fn length(&self) -> usize {
        match self {
            Self::Reset(_) => Reset::LENGTH,
            Self::Error(length) => *length,
        }
    }
}
