//! What went in, what came out, and why the rest did not.

use vnetem_authz::Refusal;

use crate::{DenyReason, DropReason, Fate, Mark};

/// Packets and the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
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
pub struct Counters {
    /// Packets handed to [`process`](crate::DataPlane::process).
    pub received: Tally,
    /// Packets that the data plane made itself: resets and ICMP errors.
    pub generated: Tally,
    /// Received packets that left.
    pub forwarded: Tally,
    /// Generated packets that were taken by the caller.
    pub transmitted: Tally,
    /// Received packets that policy refused.
    pub denied: Tally,
    /// Received packets that the network could not carry, and generated ones that found the queue full.
    pub dropped: Tally,
    /// Generated packets that found the queue full (INV-untaken-output-bounded); they are among
    /// `generated` and `dropped`.
    pub queue_full: Tally,
    /// Forwarded packets that carried a refusal to the service.
    pub refused: Tally,
    /// Events that found the queue full.
    pub events_lost: u64,
    drops: [u64; DropReason::COUNT],
    denies: [u64; DenyReason::COUNT],
    refusals: [u64; Refusal::ALL.len()],
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
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
    pub(crate) fn forward(&mut self, mark: Mark, bytes: usize) {
        self.forwarded.add(bytes);
        if let Mark::Refused(refusal) = mark {
            self.refused.add(bytes);
            bump(&mut self.refusals, refusal_index(refusal));
        }
    }

    /// Counts the end of a received packet.
    pub(crate) fn count(&mut self, fate: &Fate, bytes: usize) {
        match *fate {
            Fate::Forward(forward) => self.forward(forward.mark, bytes),
            Fate::Deny(reason) => {
                self.denied.add(bytes);
                bump(&mut self.denies, reason.index());
            }
            Fate::Drop(reason) => {
                self.dropped.add(bytes);
                bump(&mut self.drops, reason.index());
            }
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: Tally::default(),
            generated: Tally::default(),
            forwarded: Tally::default(),
            transmitted: Tally::default(),
            denied: Tally::default(),
            dropped: Tally::default(),
            queue_full: Tally::default(),
            refused: Tally::default(),
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
