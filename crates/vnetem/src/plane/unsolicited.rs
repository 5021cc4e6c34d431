//! Unsolicited SYNs, held until it is known whether they cross one from the inside (T-16, RFC 5382
//! REQ-4).

use core::time::Duration;
use std::collections::VecDeque;

use vnetem_nat::{Quota, Tenant, Time};
use vnetem_packet::{FiveTuple, Headers, IcmpErrorKind};

use super::DataPlane;
use crate::EdgeId;

/// A bounded queue of SYNs in the order in which they are due; pools hold them for different times.
/// The owners of public addresses share it (docs/shares.md). A SYN that finds no room is never
/// answered, as RFC 5382 REQ-4 allows.
pub(crate) struct Unsolicited {
    waiting: VecDeque<Waiting>,
    quota: Quota<1>,
}

struct Waiting {
    due: Time,
    tenant: Tenant,
    edge: EdgeId,
    headers: Headers,
    /// Its first bytes; a SYN fits whole.
    bytes: [u8; 128],
    length: usize,
}

impl Unsolicited {
    pub(crate) fn new(limit: usize) -> Self {
        let total = u32::try_from(limit).unwrap_or(u32::MAX);
        Self { waiting: VecDeque::with_capacity(limit), quota: Quota::new([total]) }
    }

    pub(crate) fn share_among(&mut self, tenants: impl Iterator<Item = Tenant>) {
        self.quota.share_among(tenants);
    }

    fn hold(&mut self, due: Time, edge: EdgeId, tenant: Tenant, packet: &[u8], headers: &Headers) {
        if !self.quota.has_room(0, tenant) {
            return;
        }
        self.quota.take(0, tenant);
        let mut bytes = [0; 128];
        let packet = packet.get(..usize::from(headers.total_length)).unwrap_or(packet);
        let length = packet.len().min(bytes.len());
        bytes.iter_mut().zip(packet).for_each(|(to, from)| *to = *from);
        let at = self.waiting.partition_point(|other| other.due <= due);
        self.waiting.insert(at, Waiting { due, tenant, edge, headers: *headers, bytes, length });
    }

    /// Removes the SYNs of the other end of a flow that opens: they crossed its own SYN.
    pub(crate) fn cancel(&mut self, answer: impl FnOnce() -> FiveTuple) {
        if !self.waiting.is_empty() {
            let answer = answer();
            let Self { waiting, quota } = self;
            waiting.retain(|waiting| {
                let stays = waiting.headers.tuple() != answer;
                if !stays {
                    quota.give_back(0, waiting.tenant);
                }
                stays
            });
        }
    }

    pub(crate) fn next_due(&self) -> Option<Time> {
        self.waiting.front().map(|waiting| waiting.due)
    }
}

impl DataPlane {
    /// Holds an unsolicited SYN.
    pub(super) fn hold(&mut self, after: Duration, edge: EdgeId, packet: &[u8], headers: &Headers) {
        let tenant = self.snapshot.tenant_at(edge, headers.destination);
        self.unsolicited.hold(self.now + after, edge, tenant, packet, headers);
    }

    /// Answers the SYNs that have waited long enough.
    #[inline]
    pub(super) fn answer_unsolicited(&mut self) {
        while self.unsolicited.next_due().is_some_and(|due| due <= self.now)
            && let Some(waiting) = self.unsolicited.waiting.pop_front()
        {
            let Waiting { tenant, edge, headers, bytes, length, .. } = waiting;
            self.unsolicited.quota.give_back(0, tenant);
            let about = bytes.get(..length).unwrap_or_default();
            self.send_icmp_error(edge, IcmpErrorKind::PortUnreachable, about, &headers);
        }
    }
}
