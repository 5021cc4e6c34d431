//! What a subnet's table and its endpoints say of a destination, to packets and to people.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_packet::{Protocol, SubnetId};

use crate::network::wave;
use crate::snapshot::SubnetView;
use crate::{Choice, EffectiveRoute, Route, RouteSource, RouteState, ServiceId, Snapshot, choose};

/// For whom a route is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// One host; a change of an endpoint may not have reached it yet (U-13).
    Host(Ipv4Addr),
    /// Any host, once every change has reached it.
    Any,
    /// An appliance in the name of others than hosts of the network and its peers: no endpoint serves these (S-37).
    Foreign,
}

impl Snapshot {
    /// The effective routes of a subnet as Azure lists them: the table's own routes by prefix, winners before what they override, then
    /// one entry per enabled service with all its prefixes (S-22, R-10, R-29). Empty for a subnet that does not exist.
    #[must_use]
    pub fn effective_routes(&self, subnet: SubnetId) -> Vec<EffectiveRoute> {
        let Some(view) = self.subnet(subnet) else {
            return Vec::new();
        };
        let winners = view.routes.iter().map(|(prefix, &(source, next_hop))| {
            (Route { prefix, source, next_hop }, RouteState::Active)
        });
        let losers = view.losers.iter().map(|&(route, by)| (route, RouteState::Invalid(by)));
        let mut own: Vec<_> = winners.chain(losers).collect();
        own.sort_by_key(|(route, state)| {
            (route.prefix, *state != RouteState::Active, route.source)
        });
        let own = own.into_iter().map(|(route, state)| EffectiveRoute {
            source: route.source,
            state,
            prefixes: vec![route.prefix],
            next_hop: Some(route.next_hop),
            service: None,
        });
        let endpoints = view.endpoints.iter().map(|endpoint| EffectiveRoute {
            source: RouteSource::Default,
            state: RouteState::Active,
            prefixes: self.services.prefixes_of(endpoint.service).collect(),
            next_hop: None,
            service: Some(endpoint.name.clone()),
        });
        own.chain(endpoints).collect()
    }

    /// The next hop of a TCP packet from a subnet, as Network Watcher tells it; `None` if there is no route, or no such subnet.
    #[must_use]
    pub fn next_hop(&self, subnet: SubnetId, destination: Ipv4Addr) -> Option<Choice> {
        self.choose(self.subnet(subnet)?, Protocol::TCP, destination, Sender::Any).0
    }

    /// What is chosen for a packet, and the best route of the subnet's own table.
    pub(crate) fn choose(
        &self,
        subnet: &SubnetView,
        protocol: Protocol,
        destination: Ipv4Addr,
        sender: Sender,
    ) -> (Option<Choice>, Option<Route>) {
        let route = subnet.routes.lookup(destination).map(|(prefix, &(source, next_hop))| Route {
            prefix,
            source,
            next_hop,
        });
        let endpoint = self.endpoint(subnet, protocol, destination, sender);
        (choose(route, endpoint, self.tie_policy), route)
    }

    /// The endpoint that may take this packet: enabled, TCP (E-13), in scope (E-06 to E-09, C-06).
    fn endpoint(
        &self,
        subnet: &SubnetView,
        protocol: Protocol,
        destination: Ipv4Addr,
        sender: Sender,
    ) -> Option<(ServiceId, Ipv4Net)> {
        let none = subnet.endpoints.is_empty() && subnet.lags.is_empty();
        if protocol != Protocol::TCP || none || sender == Sender::Foreign {
            return None;
        }
        let services = &self.services;
        let (prefix, &service) = services.prefixes.lookup(destination)?;
        let lags = subnet.lags.iter().filter(|lag| lag.service == service);
        let late = lags.into_iter().find(|lag| match sender {
            Sender::Host(host) => wave(lag.seed, subnet.id, host) >= lag.reached,
            Sender::Any | Sender::Foreign => false,
        });
        let endpoint = match late {
            Some(lag) => lag.before.as_ref()?,
            None => subnet.endpoints.iter().find(|endpoint| endpoint.service == service)?,
        };
        if let Some(regions) = &endpoint.regions
            && let Some((_, region)) = services.regions.lookup(destination)
            && !regions.contains(region)
        {
            return None;
        }
        Some((service, prefix))
    }
}
