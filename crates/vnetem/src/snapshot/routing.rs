//! Chooses between a subnet's table and its endpoints for a destination, and lists the effective
//! routes.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_packet::{Protocol, SubnetId};

use super::stage::stage;
use crate::snapshot::{EndpointView, ServiceMap, SubnetView};
use crate::{
    Choice, EffectiveRoute, NextHop, PassedOver, Route, RouteRemark, RouteSource, RouteState,
    ServiceId, Snapshot, choose, is_tie,
};

/// The sender for which a route is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// One host, which a change of an endpoint may not have reached yet (U-13).
    Host(Ipv4Addr),
    /// Any host, after every change has reached it.
    Any,
    /// An appliance that forwards for a source outside the network and its peers. No endpoint
    /// serves such packets (S-37).
    Foreign,
}

/// What was chosen for a packet, and what was passed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) choice: Option<Choice>,
    /// The best route of the subnet's own table.
    pub(crate) route: Option<Route>,
    /// The service whose endpoint the subnet has but which does not take the packet, and why.
    pub(crate) passed: Option<(ServiceId, PassedOver)>,
    /// The service whose endpoint tied with the route, so that the tie policy decided (C-01).
    pub(crate) tie: Option<ServiceId>,
}

impl Snapshot {
    /// Lists the effective routes of a subnet as Azure does (S-22, R-10, R-29):
    ///
    /// - The table's own routes come first, by prefix, winners before the routes that they
    ///   override.
    /// - Each enabled service has one entry with all prefixes that its endpoint takes.
    /// - What the scope leaves out, and what a user route takes from an endpoint, are entries of
    ///   their own.
    ///
    /// So the entry with the longest prefix says whether the endpoint takes a TCP packet, as
    /// [`Snapshot::next_hop`] does. A subnet that does not exist has no entries.
    #[must_use]
    pub fn effective_routes(&self, subnet: SubnetId) -> Vec<EffectiveRoute> {
        let Some(view) = self.subnet(subnet) else {
            return Vec::new();
        };
        let winners = view.routes.iter().map(|(prefix, &(source, next_hop))| {
            (Route { prefix, source, next_hop }, RouteState::Active)
        });
        let overridden =
            view.overridden.iter().map(|&(route, by)| (route, RouteState::Invalid(by)));
        let mut own: Vec<_> = winners.chain(overridden).collect();
        own.sort_by_key(|(route, state)| {
            (route.prefix, *state != RouteState::Active, route.source)
        });
        let own = own.into_iter().map(|(route, state)| EffectiveRoute {
            source: route.source,
            state,
            prefixes: vec![route.prefix],
            next_hop: Some(route.next_hop),
            service: None,
            remark: match state {
                RouteState::Active => self.remark(view, route),
                RouteState::Invalid(_) | RouteState::OutOfScope => None,
            },
        });
        let endpoints = view.endpoints.iter().flat_map(|it| self.endpoint_routes(view, it));
        own.chain(endpoints).collect()
    }

    /// Lists the entries of an endpoint: what it takes, what user routes of equal length take from
    /// it, and what its scope leaves out.
    fn endpoint_routes(
        &self,
        view: &SubnetView,
        endpoint: &EndpointView,
    ) -> impl Iterator<Item = EffectiveRoute> {
        let (mut caught, mut taken, mut external) = (Vec::new(), Vec::new(), Vec::new());
        for prefix in self.services.prefixes_of(endpoint.service) {
            let yields = |route: Option<Route>| {
                let chosen = choose(route, Some((endpoint.service, prefix)), self.tie_policy);
                matches!(chosen, Some(Choice::Route(_)))
            };
            let route = |prefix: Ipv4Net, &(source, next_hop): &(RouteSource, NextHop)| {
                Some(Route { prefix, source, next_hop })
            };
            let mut catches = vec![prefix];
            if yields(view.routes.get(prefix).and_then(|own| route(prefix, own))) {
                taken.push(prefix);
                // Where the longest route is one that the endpoint beats, such as a BGP route, the
                // endpoint takes the packet.
                let longer = view.routes.covered(prefix).filter(|(part, _)| *part != prefix);
                let beaten = longer.filter(|&(part, own)| !yields(route(part, own)));
                catches = beaten.map(|(part, _)| part).collect();
            }
            for part in catches {
                let (internal, out) = self.services.scoped(endpoint, part);
                caught.extend(internal);
                external.extend(out);
            }
        }
        let tie = RouteRemark::Tie(self.tie_policy, endpoint.name.clone());
        let name = endpoint.name.clone();
        [
            (RouteState::Active, caught, None),
            (RouteState::Invalid(RouteSource::User), taken, Some(tie)),
            (RouteState::OutOfScope, external, None),
        ]
        .into_iter()
        .filter(|(_, prefixes, _)| !prefixes.is_empty())
        .map(move |(state, prefixes, remark)| EffectiveRoute {
            source: RouteSource::Default,
            state,
            prefixes,
            next_hop: None,
            service: Some(name.clone()),
            remark,
        })
    }

    /// Returns the private endpoint that a user route to the network itself overrides without
    /// carrying packets to it (L-11).
    fn lost(&self, view: &SubnetView, route: Route) -> Option<String> {
        if route.source != RouteSource::User || route.next_hop != NextHop::VnetLocal {
            return None;
        }
        let private = &self.vnet(view.vnet)?.private;
        let taken = |at: Ipv4Addr| {
            let best = view.routes.lookup(at);
            best.is_some_and(|(prefix, _)| prefix == route.prefix)
        };
        let mut all = private.iter().filter(|(at, _)| route.prefix.contains(*at) && taken(**at));
        let lost = all.find_map(|(_, id)| self.private.get(id).filter(|it| !it.by_vnet_routes));
        lost.map(|endpoint| endpoint.name.clone())
    }

    /// Returns the remark on a route of the subnet's own table: what an endpoint does to it whose
    /// prefix covers it.
    fn remark(&self, view: &SubnetView, route: Route) -> Option<RouteRemark> {
        if let Some(endpoint) = self.lost(view, route) {
            return Some(RouteRemark::PrivateEndpoint(endpoint));
        }
        let (prefix, &service) = self.services.prefixes.lookup(route.prefix.network())?;
        let endpoint = view.endpoints.iter().find(|endpoint| endpoint.service == service)?;
        let (internal, _) = self.services.scoped(endpoint, route.prefix);
        if !prefix.contains(&route.prefix) || internal.is_empty() {
            return None;
        }
        if is_tie(route, prefix) {
            return Some(RouteRemark::Tie(self.tie_policy, endpoint.name.clone()));
        }
        match choose(Some(route), Some((service, prefix)), self.tie_policy) {
            Some(Choice::Endpoint { .. }) => Some(RouteRemark::Endpoint(endpoint.name.clone())),
            _ => None,
        }
    }

    /// Returns the next hop of a TCP packet from a subnet, as Network Watcher does. Returns
    /// `None` if there is no route, or no such subnet.
    #[must_use]
    pub fn next_hop(&self, subnet: SubnetId, destination: Ipv4Addr) -> Option<Choice> {
        self.choose(self.subnet(subnet)?, Protocol::TCP, destination, Sender::Any).choice
    }

    /// Chooses between the subnet's own best route and an endpoint, and says what was passed over.
    #[inline(always)] // a caller that needs only the choice pays for nothing else
    pub(crate) fn choose(
        &self,
        subnet: &SubnetView,
        protocol: Protocol,
        destination: Ipv4Addr,
        sender: Sender,
    ) -> Chosen {
        let route = subnet.routes.lookup(destination).map(|(prefix, &(source, next_hop))| Route {
            prefix,
            source,
            next_hop,
        });
        let (endpoint, mut passed) = match self.endpoint(subnet, protocol, destination, sender) {
            Ok(endpoint) => (Some(endpoint), None),
            Err(passed) => (None, passed),
        };
        let choice = choose(route, endpoint, self.tie_policy);
        if let (Some((service, _)), Some(Choice::Route(_))) = (endpoint, choice) {
            passed = Some((service, PassedOver::UserRoute));
        }
        let tied = route.zip(endpoint).filter(|&(route, (_, prefix))| is_tie(route, prefix));
        let tie = tied.map(|(_, (service, _))| service);
        Chosen { choice, route, passed, tie }
    }

    /// Returns the endpoint that may take this packet: enabled, for TCP (E-13), in scope (E-06 to
    /// E-09, C-06). Otherwise returns the service whose endpoint the subnet has, and why it does
    /// not take the packet.
    #[inline(always)]
    fn endpoint(
        &self,
        subnet: &SubnetView,
        protocol: Protocol,
        destination: Ipv4Addr,
        sender: Sender,
    ) -> Result<(ServiceId, Ipv4Net), Option<(ServiceId, PassedOver)>> {
        if subnet.endpoints.is_empty() && subnet.rollout_states.is_empty() {
            return Err(None);
        }
        let services = &self.services;
        let (prefix, &service) = services.prefixes.lookup(destination).ok_or(None)?;
        let rollout_states =
            subnet.rollout_states.iter().filter(|rollout_state| rollout_state.service == service);
        let late = rollout_states.into_iter().find(|rollout_state| match sender {
            Sender::Host(host) => {
                stage(rollout_state.seed, subnet.id, host) >= rollout_state.reached
            }
            Sender::Any | Sender::Foreign => false,
        });
        let enabled = subnet.endpoints.iter().find(|endpoint| endpoint.service == service);
        let passed = |why| Err(Some((service, why)));
        let endpoint = match late {
            Some(rollout_state) => match (&rollout_state.before, enabled) {
                (Some(before), _) => before,
                (None, Some(_)) => return passed(PassedOver::NotReached),
                (None, None) => return Err(None),
            },
            None => enabled.ok_or(None)?,
        };
        if protocol != Protocol::TCP {
            return passed(PassedOver::NotTcp);
        }
        if sender == Sender::Foreign {
            return passed(PassedOver::ForeignSource);
        }
        if let Some(regions) = &endpoint.regions
            && let Some((_, region)) = services.regions.lookup(destination)
            && !regions.contains(region)
        {
            return passed(PassedOver::OutOfScope);
        }
        Ok((service, prefix))
    }
}

impl ServiceMap {
    /// Splits a prefix into the parts that an endpoint takes and those that its scope leaves out.
    /// Of nested parts the longer decides. One list is empty if the whole prefix is alike.
    fn scoped(&self, endpoint: &EndpointView, prefix: Ipv4Net) -> (Vec<Ipv4Net>, Vec<Ipv4Net>) {
        let Some(regions) = &endpoint.regions else { return (vec![prefix], Vec::new()) };
        let catches = |region: Option<&u16>| region.is_none_or(|region| regions.contains(region));
        let parts: Vec<(Ipv4Net, bool)> = self
            .regions
            .covered(prefix)
            .map(|(part, region)| (part, catches(Some(region))))
            .collect();
        // The region of an address can change at the start of a part and behind its end.
        let behind =
            |part: &Ipv4Net| Ipv4Addr::from_bits(part.broadcast().to_bits().wrapping_add(1));
        let turns = parts.iter().flat_map(|(part, _)| [part.network(), behind(part)]);
        let turns = turns.chain([prefix.network()]).filter(|at| prefix.contains(at));
        let states: Vec<bool> =
            turns.map(|at| catches(self.regions.lookup(at).map(|(_, region)| region))).collect();
        if !states.contains(&false) {
            return (vec![prefix], Vec::new());
        }
        if !states.contains(&true) {
            return (Vec::new(), vec![prefix]);
        }
        let around = self.regions.iter().filter(|(part, _)| part.contains(&prefix));
        let around = around.max_by_key(|(part, _)| part.prefix_len()).map(|(_, region)| region);
        let longer = parts.into_iter().filter(|(part, _)| *part != prefix);
        let all: Vec<_> = core::iter::once((prefix, catches(around))).chain(longer).collect();
        // A part that equals the next wider one is left out.
        let wider = |of: Ipv4Net| {
            let all = all.iter().filter(move |(part, _)| *part != of && part.contains(&of));
            all.max_by_key(|(part, _)| part.prefix_len()).map(|(_, catches)| *catches)
        };
        let said = all.iter().copied().filter(|(part, catches)| wider(*part) != Some(*catches));
        let (caught, external): (Vec<_>, Vec<_>) = said.partition(|(_, catches)| *catches);
        let prefixes =
            |parts: Vec<(Ipv4Net, bool)>| parts.into_iter().map(|(part, _)| part).collect();
        (prefixes(caught), prefixes(external))
    }
}
