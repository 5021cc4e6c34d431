//! SYNs that nobody asked for, until it is known whether they cross one from the inside (T-16, RFC 5382 REQ-4).

use core::time::Duration;
use std::collections::VecDeque;

use vnetem_nat::Time;
use vnetem_packet::{FiveTuple, Headers, IcmpErrorKind};

use super::DataPlane;
use crate::Edge;

/// A bounded queue in the order in which its SYNs are due, which is not that in which they came: pools
/// are patient in different ways. A SYN that finds it full is never answered, as RFC 5382 REQ-4 allows.
pub(crate) struct Unsolicited {
    waiting: VecDeque<Waiting>,
    limit: usize,
}

struct Waiting {
    due: Time,
    edge: Edge,
    headers: Headers,
    /// Its beginning: of a SYN all.
    bytes: [u8; 128],
    length: usize,
}

impl Unsolicited {
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: VecDeque::with_capacity(limit), limit }
    }

    pub(crate) fn hold(&mut self, due: Time, edge: Edge, packet: &[u8], headers: &Headers) {
        if self.waiting.len() >= self.limit {
            return;
        }
        let mut bytes = [0; 128];
        let packet = packet.get(..usize::from(headers.total_length)).unwrap_or(packet);
        let length = packet.len().min(bytes.len());
        bytes.iter_mut().zip(packet).for_each(|(to, from)| *to = *from);
        let at = self.waiting.partition_point(|other| other.due <= due);
        self.waiting.insert(at, Waiting { due, edge, headers: *headers, bytes, length });
    }

    /// A flow opens: a SYN of its other end was no intruder's.
    pub(crate) fn cancel(&mut self, answer: impl FnOnce() -> FiveTuple) {
        if !self.waiting.is_empty() {
            let answer = answer();
            self.waiting.retain(|waiting| waiting.headers.tuple() != answer);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Time> {
        self.waiting.front().map(|waiting| waiting.due)
    }
}

impl DataPlane {
    /// Holds a SYN that nobody asked for.
    pub(super) fn hold(&mut self, after: Duration, edge: Edge, packet: &[u8], headers: &Headers) {
        self.unsolicited.hold(self.now + after, edge, packet, headers);
    }

    /// Answers the SYNs that have waited long enough.
    pub(super) fn answer_unsolicited(&mut self) {
        while self.unsolicited.next_due().is_some_and(|due| due <= self.now)
            && let Some(waiting) = self.unsolicited.waiting.pop_front()
        {
            let Waiting { edge, headers, bytes, length, .. } = waiting;
            let about = bytes.get(..length).unwrap_or_default();
            self.complain(edge, IcmpErrorKind::PortUnreachable, about, &headers);
        }
    }
}
