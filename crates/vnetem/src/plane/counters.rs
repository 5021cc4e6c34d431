//! What went in, what came out, and why the rest did not.

use vnetem_authz::Refusal;

use crate::{AccessVerdict, DenyReason, Disposition, DropReason};

/// Packets and the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCount {
    /// Packets.
    pub packets: u64,
    /// Bytes, as handed in or out.
    pub bytes: u64,
}

/// Counters of a data plane; none ever goes back (INV-flows-conserved).
///
/// Conservation (INV-packets-conserved), in packets and in bytes: `received + generated = forwarded
/// + transmitted + denied + dropped + queued`, where `queued` are packets of our own making that
/// wait for [`poll_transmit`](crate::DataPlane::poll_transmit).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Packets handed to [`process`](crate::DataPlane::process).
    pub received: TrafficCount,
    /// Packets that the data plane made itself: resets and ICMP errors.
    pub generated: TrafficCount,
    /// Received packets that left.
    pub forwarded: TrafficCount,
    /// Generated packets that were taken by the caller.
    pub transmitted: TrafficCount,
    /// Received packets that policy refused.
    pub denied: TrafficCount,
    /// Received packets that the network could not carry, and generated ones that found the queue
    /// full.
    pub dropped: TrafficCount,
    /// Generated packets that found the queue full (INV-untaken-output-bounded); they are among
    /// `generated` and `dropped`.
    pub queue_full: TrafficCount,
    /// Forwarded packets that carried a refusal to the service.
    pub refused: TrafficCount,
    /// Events that found the queue full.
    pub events_lost: u64,
    drops: [u64; DropReason::COUNT],
    denies: [u64; DenyReason::COUNT],
    refusals: [u64; Refusal::ALL.len()],
}

impl TrafficCount {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn add_all(&mut self, packets: usize, bytes: usize) {
        self.packets += packets as u64;
        self.bytes += bytes as u64;
    }
}

impl Counters {
    /// Received packets dropped for a reason; the reasons and `queue_full` add up to `dropped`
    /// (INV-one-cause-per-drop).
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops.get(reason.index()).copied().unwrap_or(0)
    }

    /// Received packets denied for a reason.
    #[must_use]
    pub fn denies(&self, reason: DenyReason) -> u64 {
        self.denies.get(reason.index()).copied().unwrap_or(0)
    }

    /// Packets delivered with this refusal as their mark.
    #[must_use]
    pub fn refusals(&self, refusal: Refusal) -> u64 {
        self.refusals.get(refusal_index(refusal)).copied().unwrap_or(0)
    }

    /// Counts a received packet that leaves.
    #[inline]
    pub(crate) fn forward(&mut self, access: AccessVerdict, bytes: usize) {
        self.forwarded.add(bytes);
        if let AccessVerdict::Refused(refusal) = access {
            self.refused.add(bytes);
            bump(&mut self.refusals, refusal_index(refusal));
        }
    }

    /// Counts the end of a received packet.
    pub(crate) fn count(&mut self, disposition: &Disposition, bytes: usize) {
        match *disposition {
            Disposition::Forward(forward) => self.forward(forward.access(), bytes),
            Disposition::Deny(reason) => {
                self.denied.add(bytes);
                bump(&mut self.denies, reason.index());
            }
            Disposition::Drop(reason) => {
                self.dropped.add(bytes);
                bump(&mut self.drops, reason.index());
            }
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: TrafficCount::default(),
            generated: TrafficCount::default(),
            forwarded: TrafficCount::default(),
            transmitted: TrafficCount::default(),
            denied: TrafficCount::default(),
            dropped: TrafficCount::default(),
            queue_full: TrafficCount::default(),
            refused: TrafficCount::default(),
            events_lost: 0,
            drops: [0; DropReason::COUNT],
            denies: [0; DenyReason::COUNT],
            refusals: [0; Refusal::ALL.len()],
        }
    }
}

fn refusal_index(refusal: Refusal) -> usize {
    Refusal::ALL.iter().position(|other| *other == refusal).unwrap_or(0)
}

fn bump(counters: &mut [u64], at: usize) {
    if let Some(counter) = counters.get_mut(at) {
        *counter += 1;
    }
}
