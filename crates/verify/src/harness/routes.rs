//! Compares the list of effective routes and the words of a trace with the model.

use vnetem::{
    control::{EffectiveRoute, NextHop, RouteRemark, RouteState},
    trace::{Step as TraceStep, Trace},
};

use super::world::DESTINATIONS;
use super::*;
use crate::model::wire::{Kind, quoted};
use crate::model::{Missed, next_hop};

impl Runner {
    /// Reads the next hop of many addresses from the list of each subnet's effective routes, as an
    /// engineer would.
    pub(super) fn compare_routes(&self) -> Result<(), String> {
        let snapshot = self.planes.only().snapshot();
        for (id, subnet) in self.network.subnets() {
            if !subnet.rollout_states.is_empty() {
                continue;
            }
            let routes = snapshot.effective_routes(id);
            for to in DESTINATIONS.map(Ipv4Addr::from) {
                let listed = read(&routes, to);
                let expected = next_hop(&self.network, id, to).map(|hop| match hop {
                    Ok(hop) => Ok(hop),
                    Err(service) => Err(subnet.endpoints.get(&service).map(|it| it.name.clone())),
                });
                if listed != expected {
                    return Err(format!(
                        "the routes of {id} list {listed:?} for {to}, the model says {expected:?} (R-29)"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that a trace names the endpoint that was passed over, and why, or the tie.
    pub(super) fn compare_missed(
        &mut self,
        edge: Edge,
        bytes: &[u8],
        trace: &Trace,
    ) -> Result<(), String> {
        let is_route = |step: &TraceStep| matches!(step, TraceStep::Route { .. });
        let is_routed = trace.steps.iter().any(is_route);
        // The route of the replies follows the packet's own, if it differs.
        let at_answers = trace.steps.iter().enumerate().position(|(at, step)| {
            let before = trace.steps.get(..at).unwrap_or_default();
            matches!(step, TraceStep::Answer { .. }) && before.iter().any(is_route)
        });
        let own = trace.steps.iter().take(at_answers.unwrap_or(usize::MAX));
        let from_inside = matches!(edge, Edge::Subnet(_) | Edge::Nic(_));
        let Ok(packet) = Packet::read(bytes) else { return Ok(()) };
        // An error takes the path of the connection that it quotes, and the trace shows that.
        if !from_inside || !is_routed {
            return Ok(());
        }
        let said = { own }.find_map(|step| match *step {
            TraceStep::PassedOver { service, why, .. } => Some(Missed::Over(service, why)),
            TraceStep::Tie { service, policy, .. } => Some(Missed::Tie(service, policy)),
            _ => None,
        });
        let routed = answered(bytes, &packet).unwrap_or(packet);
        let expected = self.model.missed(edge, &routed);
        self.coverage.missed += u64::from(said.is_some());
        if said == expected {
            return Ok(());
        }
        Err(format!("of an endpoint the trace said {said:?}, the model says {expected:?}"))
    }
}

/// Returns the answer for which an ICMP error stands. The error takes the path of the flow that it
/// quotes, whatever its own protocol and source.
fn answered(bytes: &[u8], error: &Packet) -> Option<Packet> {
    let (quote, _) = (error.kind == Kind::IcmpError).then(|| quoted(bytes, error))?.ok()?;
    let (source, destination) = (quote.destination, quote.source);
    Some(Packet { protocol: quote.protocol, source, destination, ..*error })
}

/// Returns the next hop of TCP to an address by a list of effective routes, or the name of the
/// endpoint that takes it.
fn read(routes: &[EffectiveRoute], to: Ipv4Addr) -> Option<Result<NextHop, Option<String>>> {
    let longest = |route: &EffectiveRoute| {
        let covering = route.prefixes.iter().filter(|prefix| prefix.contains(&to));
        covering.map(|prefix| prefix.prefix_len()).max()
    };
    let of = |endpoints: bool| {
        let all = routes.iter().filter(move |route| route.service.is_some() == endpoints);
        let all = all.filter_map(move |route| Some((longest(route)?, route)));
        // Of own routes only those in force count; of an endpoint's entries the longest counts.
        let standing = all.filter(move |(_, route)| endpoints || route.state == RouteState::Active);
        standing.max_by_key(|(length, _)| *length)
    };
    let own = of(false);
    let endpoint = of(true).filter(|(_, route)| route.state == RouteState::Active);
    let hop = own.and_then(|(_, route)| route.next_hop).map(Ok);
    let Some((_, caught)) = endpoint else { return hop };
    // The remark of a route inside a prefix of the endpoint says which of the two applies.
    let internal = own.filter(|(length, route)| {
        let wider =
            |prefix: &ipnet::Ipv4Net| prefix.contains(&to) && prefix.prefix_len() <= *length;
        let within = caught.prefixes.iter().any(wider);
        let yields = matches!(route.remark, Some(RouteRemark::Endpoint(_)))
            || route.remark
                == caught
                    .service
                    .clone()
                    .map(|name| RouteRemark::Tie(vnetem::control::TiePolicy::Documented, name));
        within && !yields
    });
    if internal.is_some() { hop } else { Some(Err(caught.service.clone())) }
}
