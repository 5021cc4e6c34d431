//! Hairpin: packets from hosts to public addresses of the network. They come in again as from the
//! internet, by a second flow (T-33; RFC 4787 REQ-9, RFC 5382 REQ-8, RFC 5508 REQ-7).

use super::*;

impl Model {
    /// Processes a packet that took the first of its two flows. The first flow stays open whatever
    /// happens now.
    pub(super) fn hairpin(
        &mut self,
        passed: &Passed,
        packet: &Packet,
        icmp_error: &mut Option<String>,
    ) -> Result<Passed, Disposition> {
        // Both flows together are one hop.
        let unknown = Disposition::Drop(DropReason::Hairpin);
        let hairpinned = Packet::read(&passed.bytes).map_err(|_| unknown)?;
        let hairpinned = Packet { ttl: packet.ttl, ..hairpinned };
        // Without ports, two hosts behind one public address have the same end.
        let has_ports =
            packet.kind != Kind::IcmpError && !matches!(packet.part, Part::Later { .. });
        if has_ports && hairpinned.source == hairpinned.destination {
            return drop(DropReason::MartianDestination);
        }
        let (by, edge) = (Edge::Internet, Edge::Internet);
        let entered = Entered { by, edge, bytes: &passed.bytes, hairpinned: true };
        let nothing = Observed { chosen: None, denied: false, shard: None };
        let last = self.pass(&entered, &hairpinned, nothing, icmp_error)?;
        Ok(Passed { forward: Forward { to: last.forward.to, ..passed.forward }, ..last })
    }

    /// Returns the live second flow of this one's packets.
    pub(super) fn other_half(&self, flow: &Flow) -> Option<&Flow> {
        let hairpinned = (flow.protocol, flow.external, flow.remote);
        let (at, side) = self.find_in(Zone::Public, hairpinned).filter(|_| flow.hairpins)?;
        let other = self.flows.get(at)?;
        let is_other = other.number != flow.number && other.hairpins && side == 1;
        (is_other && !other.is_tombstone()).then_some(other)
    }
}
