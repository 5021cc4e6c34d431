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
    queue: VecDeque<Answer>,
    limit: usize,
}

/// A packet in place.
struct Answer {
    to: Edge,
    length: usize,
    bytes: [u8; IcmpError::MAXIMUM_LENGTH],
}

/// Time to live of packets of our own making (W-11).
const TTL: u8 = 64;

/// Identification of resets, which are never fragmented and need none (RFC 6864 4.1); a count would tell tenants of each other (I1).
const IDENTIFICATION: u16 = 0;

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::with_capacity(limit), limit }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Packets that wait, and the bytes in them.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.iter().map(|answer| answer.length).sum())
    }

    pub(crate) fn take(&mut self, counters: &mut Counters) -> Option<Transmit> {
        let answer = self.queue.pop_front()?;
        counters.transmitted.add(answer.length);
        let packet = answer.bytes.get(..answer.length).unwrap_or_default();
        Some(Transmit { to: answer.to, packet: Bytes::copy_from_slice(packet) })
    }

    pub(crate) fn reset(&mut self, to: Edge, reset: Reset, counters: &mut Counters) {
        let packet = reset.write(IDENTIFICATION, TTL);
        self.push(to, counters, |buffer| {
            if let Some(start) = buffer.first_chunk_mut() {
                *start = packet;
            }
            packet.len()
        });
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
            self.push(to, counters, |buffer| error.write(about, headers, buffer));
        }
    }

    fn push(
        &mut self,
        to: Edge,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8; IcmpError::MAXIMUM_LENGTH]) -> usize,
    ) {
        let mut bytes = [0; IcmpError::MAXIMUM_LENGTH];
        let length = write(&mut bytes);
        counters.generated.add(length);
        if self.queue.len() < self.limit {
            self.queue.push_back(Answer { to, length, bytes });
        } else {
            counters.dropped.add(length);
            counters.queue_full.add(length);
        }
    }
}
