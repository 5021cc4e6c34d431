//! The two flows of a connection that turns round (T-33): where one closes, so does the other.

use vnetem_nat::{Flow, FlowId, Side, Standing, Zone};
use vnetem_packet::FiveTuple;

use super::DataPlane;
use crate::pipeline::decision::CachedDecision;

impl DataPlane {
    /// Finds the second flow of packets from the inside of this one, if they turn round and it is
    /// live.
    #[inline(always)] // hardly any flow has another half
    pub(super) fn other_half(&self, flow: &Flow<CachedDecision>) -> Option<FlowId> {
        match self.pipeline().turns_round(flow, Side::Internal) {
            true => self.half_behind(flow),
            false => None,
        }
    }

    fn half_behind(&self, flow: &Flow<CachedDecision>) -> Option<FlowId> {
        let pipeline = self.pipeline();
        let Flow { protocol, external: source, remote: destination, .. } = *flow;
        let hairpinned = FiveTuple { protocol, source, destination };
        let found = self.flows.find(self.now, Zone::PUBLIC, &hairpinned)?;
        let other = self.flows.flow(found.id)?;
        let ours = pipeline.turns_round(&other, found.side.other());
        (ours && found.standing == Standing::Live).then_some(found.id)
    }
}
