//! What must hold at all times.

use vnetem::{DropReason, TrafficCount};

use super::World;

impl World<'_> {
    /// Checks what must hold at all times: conservation in packets and bytes
    /// (INV-packets-conserved), one cause for each drop (INV-one-cause-per-drop), flows opened and
    /// not ended are the flows there are (INV-flows-conserved), explanations said what then
    /// happened (INV-trace-equals-verdict), and no private source ever left towards the public
    /// (INV-private-source-stays-inside, INV-other-source-public).
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn check(&self) -> Result<(), String> {
        if let Some(fault) = self.faults.first() {
            return Err(fault.clone());
        }
        let counters = self.data_plane.counters();
        let (waiting, waiting_bytes) = self.data_plane.queued();
        let packets = |tally: TrafficCount| tally.packets;
        let bytes = |tally: TrafficCount| tally.bytes;
        for (what, of, held) in [
            ("packets", packets as fn(TrafficCount) -> u64, waiting as u64),
            ("bytes", bytes as fn(TrafficCount) -> u64, waiting_bytes as u64),
        ] {
            let came = of(counters.received) + of(counters.generated);
            let went = of(counters.forwarded)
                + of(counters.transmitted)
                + of(counters.denied)
                + of(counters.dropped)
                + held;
            if came != went {
                return Err(format!("INV-packets-conserved: {came} {what} came and {went} went"));
            }
        }
        let causes: u64 = DropReason::all().map(|reason| counters.drops(reason)).sum();
        if causes + counters.queue_full.packets != counters.dropped.packets {
            return Err(format!(
                "INV-one-cause-per-drop: {causes} causes for {} drops",
                counters.dropped.packets
            ));
        }
        let flows = self.data_plane.flow_counters();
        let ended = flows.total_ended();
        let held = u64::from(flows.live) + u64::from(flows.tombstones);
        if flows.opened.checked_sub(ended) != Some(held) {
            return Err(format!(
                "INV-flows-conserved: {} opened, {ended} ended, {held} held",
                flows.opened
            ));
        }
        Ok(())
    }
}
