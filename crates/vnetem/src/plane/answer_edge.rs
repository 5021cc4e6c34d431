//! Finds the edge by which an answer enters, for whoever stands at many edges.

use vnetem_nat::{Time, Zone};
use vnetem_packet::{FiveTuple, Headers, Quote, Transport};

use super::DataPlane;
use crate::EdgeId;
use crate::snapshot::PlaceView;

impl DataPlane {
    /// Returns the edge by which a service's packet enters that answers a flow; `None` if no flow
    /// asked for it.
    ///
    /// It is for a server that stands at many edges and knows only its own packets. Callers reach
    /// it by public addresses, over the endpoints of several subnets, and over private endpoints.
    /// Of subnets with the same addresses, the first one with such a flow counts. A server that
    /// keeps state for each connection stores [`Verdict::forwarded_to`](crate::Verdict) instead.
    #[must_use]
    pub fn answer_edge(&self, now: Time, packet: &[u8]) -> Option<EdgeId> {
        let headers = Headers::parse(packet).ok()?;
        let answer = match headers.transport {
            // An ICMP error goes to the sender of the packet that it quotes.
            Transport::IcmpError => Quote::parse(packet, &headers).ok()?.tuple().reversed(),
            _ => headers.tuple(),
        };
        self.asked_in(now, Zone::PUBLIC, &answer)
            .or_else(|| self.asked_over_endpoint(now, &answer))
            .or_else(|| self.asked_over_private_endpoint(now, &answer))
    }

    fn asked_over_endpoint(&self, now: Time, answer: &FiveTuple) -> Option<EdgeId> {
        let service = self.snapshot.service_at(*answer.source.ip())?;
        let subnets = self.snapshot.places.values().filter_map(|place| match place {
            PlaceView::Subnet(view) => Some(view),
            PlaceView::Site(_) => None,
        });
        // An interface that forwards brings sources that are not the subnet's.
        let near =
            subnets.filter(|view| view.prefix.contains(answer.destination.ip()) || view.has_nics);
        let mut edges = near.flat_map(|view| {
            [EdgeId::endpoint(service, view.id), EdgeId::same_region(service, view.id)]
        });
        edges.find_map(|edge| self.asked_in(now, edge.zone(), answer))
    }

    fn asked_over_private_endpoint(&self, now: Time, answer: &FiveTuple) -> Option<EdgeId> {
        let all = self.snapshot.private.iter();
        let mut here = all.filter(|(_, view)| view.address == *answer.source.ip());
        here.find_map(|(&id, _)| self.asked_in(now, EdgeId::private(id).zone(), answer))
    }

    /// Returns the far edge of the flow of a zone in which a packet is a reply.
    fn asked_in(&self, now: Time, zone: Zone, answer: &FiveTuple) -> Option<EdgeId> {
        let found = self.flows.find(self.now.max(now), zone, answer)?;
        let flow = self.flows.flow(found.id).filter(|flow| found.side != flow.initiator)?;
        let edge = self.pipeline().edge_of(&flow, found.side);
        (edge != EdgeId::HAIRPIN).then_some(edge)
    }
}
