//! Packets of our own making, until the caller takes them.

use core::net::Ipv4Addr;
use std::collections::VecDeque;

use bytes::Bytes;
use vnetem_packet::{Headers, IcmpError, IcmpErrorKind, Reset};

use crate::{Counters, Edge};

/// A packet of our own making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The edge by which it leaves.
    pub to: Edge,
    /// The whole packet.
    pub packet: Bytes,
}

/// A bounded queue of packets that the data plane made. It never allocates after it is made.
pub(crate) struct Outbox {
    queue: VecDeque<(Edge, Answer)>,
    /// The errors of the queue.
    errors: VecDeque<[u8; IcmpError::MAXIMUM_LENGTH]>,
    limit: usize,
}

/// A reset is written when it is taken, since a change of configuration makes many at once; an error quotes a packet that is gone by then.
enum Answer {
    Reset(Reset),
    /// The first of the errors, and its length.
    Error(usize),
}

/// Time to live of packets of our own making (W-11).
const TTL: u8 = 64;

/// Identification of resets, which are never fragmented and need none (RFC 6864 4.1); a count would tell tenants of each other (I1).
const IDENTIFICATION: u16 = 0;

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        let (queue, errors) = (VecDeque::with_capacity(limit), VecDeque::with_capacity(limit));
        Self { queue, errors, limit }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Packets that wait, and the bytes in them.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.iter().map(|(_, answer)| answer.length()).sum())
    }

    pub(crate) fn take(&mut self, counters: &mut Counters) -> Option<Transmit> {
        let (to, answer) = self.queue.pop_front()?;
        counters.transmitted.add(answer.length());
        let packet = match answer {
            Answer::Reset(reset) => Bytes::copy_from_slice(&reset.write(IDENTIFICATION, TTL)),
            Answer::Error(length) => {
                let bytes = self.errors.pop_front()?;
                Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default())
            }
        };
        Some(Transmit { to, packet })
    }

    pub(crate) fn reset(&mut self, to: Edge, reset: Reset, counters: &mut Counters) {
        self.push(to, Answer::Reset(reset), counters);
    }

    /// An ICMP error about a packet, unless it is one that no error may be sent about (P10).
    pub(crate) fn complain(
        &mut self,
        to: Edge,
        kind: IcmpErrorKind,
        router: Ipv4Addr,
        about: &[u8],
        headers: &Headers,
        counters: &mut Counters,
    ) {
        if IcmpError::may_answer(headers) {
            let error = IcmpError { kind, source: router };
            let mut bytes = [0; IcmpError::MAXIMUM_LENGTH];
            let length = error.write(about, headers, &mut bytes);
            if self.push(to, Answer::Error(length), counters) {
                self.errors.push_back(bytes);
            }
        }
    }

    /// Counts a packet, and says whether there is room for it.
    fn push(&mut self, to: Edge, answer: Answer, counters: &mut Counters) -> bool {
        let length = answer.length();
        counters.generated.add(length);
        let has_room = self.queue.len() < self.limit;
        if has_room {
            self.queue.push_back((to, answer));
        } else {
            counters.dropped.add(length);
            counters.queue_full.add(length);
        }
        has_room
    }
}

impl Answer {
    fn length(&self) -> usize {
        match self {
            Self::Reset(_) => Reset::LENGTH,
            Self::Error(length) => *length,
        }
    }
}
