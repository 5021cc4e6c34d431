//! Says which endpoint of a subnet does not take a packet, and why, by scanning the intent.

use vnetem::{
    ServiceId,
    control::{NextHop, PassedOver, TiePolicy},
};

use super::*;

/// What a trace says about the subnet's endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// It does not take the packet.
    Over(ServiceId, PassedOver),
    /// A user route is as long as the service's prefix, and the tie policy decides (C-01).
    Tie(ServiceId, TiePolicy),
}

impl Model {
    /// Returns what a trace must say about the endpoint for the destination's service, beside the
    /// route. Returns nothing where the endpoint takes the packet without a tie, or where there is
    /// none.
    pub(crate) fn missed(&self, edge: Edge, packet: &Packet) -> Option<Missed> {
        let (net, to) = (&self.network, *packet.destination.ip());
        let edge = self.entry(edge, packet).ok()?;
        let id = self.subnet_of(edge)?;
        let subnet = net.subnet(id).ok()?;
        let (service, prefix) = route::service_at(net, to)?;
        let over = |why| Some(Missed::Over(service, why));
        let sender = match edge {
            Edge::Nic(nic) => net.nic(nic).ok()?.address,
            _ => *packet.source.ip(),
        };
        let is_foreign = sender != *packet.source.ip() && !route::is_at_home(net, subnet, packet);
        let late = subnet
            .rollout_states
            .get(&service)
            .filter(|rollout_state| !rollout_state.has_reached(id, sender));
        match (late.filter(|_| !is_foreign), subnet.endpoints.get(&service)) {
            (None, None) => return None,
            (Some(rollout_state), None) if rollout_state.before.is_none() => return None,
            (Some(rollout_state), Some(_)) if rollout_state.before.is_none() => {
                return over(PassedOver::NotReached);
            }
            _ if packet.protocol != TCP => return over(PassedOver::NotTcp),
            _ if is_foreign => return over(PassedOver::ForeignSource),
            _ if !route::in_scope(net, id, service, (sender, to)) => {
                return over(PassedOver::OutOfScope);
            }
            _ => {}
        }
        match route::best(net, subnet, to)? {
            (_, NextHop::Internet, _) | (_, _, false) => None,
            (route, _, true) if route.prefix_len() == prefix.prefix_len() => {
                Some(Missed::Tie(service, net.tie_policy()))
            }
            (route, _, true) if route.prefix_len() > prefix.prefix_len() => {
                over(PassedOver::UserRoute)
            }
            _ => None,
        }
    }
}
