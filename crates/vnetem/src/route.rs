//! Routes: their sources, the choice between a route and an endpoint, and the effective routes that
//! an engineer reads.

use core::fmt;
use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_packet::{SiteId, VnetId};

use crate::{PrivateEndpointId, ServiceId};

/// Where a route comes from. At equal prefixes the lower one wins: user before BGP before system
///
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// A user-defined route.
    User,
    /// Learned by BGP through a gateway.
    VirtualNetworkGateway,
    /// A system route.
    Default,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// To the host itself, inside the virtual network.
    VnetLocal,
    /// To the host itself, in a peered virtual network.
    VnetPeering(VnetId),
    /// To an on-premises site, through the gateway.
    VirtualNetworkGateway(SiteId),
    /// To an appliance, named by its private address.
    VirtualAppliance(Ipv4Addr),
    /// To the internet, by the outbound method of the subnet.
    Internet,
    /// To the resource of a private endpoint (L-01).
    InterfaceEndpoint(PrivateEndpointId),
    /// Nowhere: the packet is dropped, and no shorter route is tried.
    None,
}

/// How equal prefixes of a user route and a service endpoint are decided (C-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TiePolicy {
    /// The endpoint wins, as Azure's documentation says.
    #[default]
    Documented,
    /// The user route wins unless it leads to the internet, as lab reports show.
    Observed,
}

/// The route that a subnet's own table has for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The matching prefix.
    pub prefix: Ipv4Net,
    /// Where the route comes from.
    pub source: RouteSource,
    /// Where it leads.
    pub next_hop: NextHop,
}

/// The result of the choice between a subnet's best route and a service prefix that covers the same
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The service endpoint.
    Endpoint {
        /// The service.
        service: ServiceId,
        /// The prefix of the service.
        prefix: Ipv4Net,
    },
    /// The subnet's own route.
    Route(Route),
}

/// Chooses between a subnet's best route and the service prefix of an endpoint. Both cover the
/// destination; `None` means that there is none. The endpoint is enabled, in scope and usable for
/// this packet. The first line that applies decides:
///
/// 1. a system or BGP route of any length: the endpoint (R-07, C-02, S-25);
/// 2. a user route to the internet: the endpoint (R-19, U-19);
/// 3. a user route with a longer prefix: the user route;
/// 4. a user route with a shorter prefix: the endpoint (R-15, S-23);
/// 5. equal prefixes: the endpoint if [`TiePolicy::Documented`], else the user route (C-01).
#[must_use]
pub fn choose(
    route: Option<Route>,
    endpoint: Option<(ServiceId, Ipv4Net)>,
    tie: TiePolicy,
) -> Option<Choice> {
    let Some((service, prefix)) = endpoint else {
        return route.map(Choice::Route);
    };
    match route {
        Some(user)
            if user.may_beat_endpoints()
                && (user.prefix.prefix_len() > prefix.prefix_len()
                    || is_tie(user, prefix) && tie == TiePolicy::Observed) =>
        {
            Some(Choice::Route(user))
        }
        _ => Some(Choice::Endpoint { service, prefix }),
    }
}

/// Returns whether a route and the prefix of an endpoint tie, so that the [`TiePolicy`] decides
/// (C-01).
#[must_use]
pub fn is_tie(route: Route, endpoint: Ipv4Net) -> bool {
    route.may_beat_endpoints() && route.prefix.prefix_len() == endpoint.prefix_len()
}

/// Why a subnet's endpoint does not take a packet to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassedOver {
    /// The packet is not TCP (E-13).
    NotTcp,
    /// An appliance forwards the packet, and its source is outside the network and its peers
    /// (S-37).
    ForeignSource,
    /// The endpoint was enabled and has not reached this host yet (S-28).
    NotReached,
    /// The address lies in a region outside the endpoint's scope (E-09).
    OutOfScope,
    /// A user route is longer than the service's prefix, or equally long and preferred by
    /// the policy (C-01).
    UserRoute,
}

/// One line of a subnet's effective routes, in Azure's columns (R-10, R-29, S-22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveRoute {
    /// Where the route comes from.
    pub source: RouteSource,
    /// Whether the route is in force.
    pub state: RouteState,
    /// Its prefixes: one, or all prefixes of a service.
    pub prefixes: Vec<Ipv4Net>,
    /// Where it leads; `None` for a service endpoint.
    pub next_hop: Option<NextHop>,
    /// The service, if this line is an endpoint's.
    pub service: Option<String>,
    /// What else affects these prefixes.
    pub remark: Option<RouteRemark>,
}

/// What Azure's columns of effective routes do not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteRemark {
    /// The endpoint of this name takes the TCP packets. The route carries the rest.
    Endpoint(String),
    /// A user route and a prefix of the endpoint of this name are equally long, and this policy
    /// decided (C-01).
    Tie(TiePolicy, String),
    /// The user route to the network itself overrides the route of this private endpoint, and
    /// carries nothing to it (L-11).
    PrivateEndpoint(String),
}

/// Whether a route is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// In force.
    Active,
    /// Overridden by a route from this source.
    Invalid(RouteSource),
    /// The regions of these prefixes are outside the endpoint's scope, so the endpoint takes
    /// nothing there (E-09, C-06).
    OutOfScope,
}

/// The types of next hops, in Azure's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHopType {
    /// By the outbound method of the subnet.
    Internet,
    /// To an appliance.
    VirtualAppliance,
    /// To an on-premises site.
    VirtualNetworkGateway,
    /// To a host of the network.
    VnetLocal,
    /// To a host of a peered network.
    VnetPeering,
    /// Over a service endpoint.
    VirtualNetworkServiceEndpoint,
    /// To a private endpoint.
    InterfaceEndpoint,
    /// Azure uses this type for routers of its own edge. No route of a subnet has it, so it is
    /// never returned.
    MicrosoftEdge,
    /// Nowhere.
    None,
}

impl NextHopType {
    /// All types.
    pub const ALL: [Self; 9] = [
        Self::Internet,
        Self::VirtualAppliance,
        Self::VirtualNetworkGateway,
        Self::VnetLocal,
        Self::VnetPeering,
        Self::VirtualNetworkServiceEndpoint,
        Self::InterfaceEndpoint,
        Self::MicrosoftEdge,
        Self::None,
    ];

    /// Returns the type in Azure's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internet => "Internet",
            Self::VirtualAppliance => "VirtualAppliance",
            Self::VirtualNetworkGateway => "VirtualNetworkGateway",
            Self::VnetLocal => "VnetLocal",
            Self::VnetPeering => "VNetPeering",
            Self::VirtualNetworkServiceEndpoint => "VirtualNetworkServiceEndpoint",
            Self::InterfaceEndpoint => "InterfaceEndpoint",
            Self::MicrosoftEdge => "MicrosoftEdge",
            Self::None => "None",
        }
    }
}

impl Route {
    /// Returns whether the route can win against an endpoint. Only a user route can, and not one to
    /// the internet.
    const fn may_beat_endpoints(self) -> bool {
        matches!(self.source, RouteSource::User) && !matches!(self.next_hop, NextHop::Internet)
    }
}

impl Choice {
    /// Returns the type of the next hop.
    #[must_use]
    pub const fn next_hop_type(self) -> NextHopType {
        match self {
            Self::Endpoint { .. } => NextHopType::VirtualNetworkServiceEndpoint,
            Self::Route(route) => route.next_hop.kind(),
        }
    }
}

impl EffectiveRoute {
    /// Returns the next hop type in Azure's spelling.
    #[must_use]
    pub fn next_hop_type(&self) -> &'static str {
        let endpoint = NextHopType::VirtualNetworkServiceEndpoint;
        self.next_hop.map_or(endpoint, NextHop::kind).name()
    }
}

impl NextHop {
    /// Returns the type of the next hop.
    #[must_use]
    pub const fn kind(self) -> NextHopType {
        match self {
            Self::VnetLocal => NextHopType::VnetLocal,
            Self::VnetPeering(_) => NextHopType::VnetPeering,
            Self::VirtualNetworkGateway(_) => NextHopType::VirtualNetworkGateway,
            Self::VirtualAppliance(_) => NextHopType::VirtualAppliance,
            Self::Internet => NextHopType::Internet,
            Self::InterfaceEndpoint(_) => NextHopType::InterfaceEndpoint,
            Self::None => NextHopType::None,
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VirtualAppliance(address) => write!(f, "VirtualAppliance {address}"),
            other => f.write_str(other.kind().name()),
        }
    }
}

impl fmt::Display for RouteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "User",
            Self::VirtualNetworkGateway => "VirtualNetworkGateway",
            Self::Default => "Default",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORAGE: ServiceId = ServiceId(0);

    /// Checks each row of the table: S-23, S-25, R-07, R-08, R-15, R-18, R-19, C-01, C-02.
    #[test]
    fn route_choice_follows_the_table() {
        use RouteSource::{Default, User, VirtualNetworkGateway};
        let appliance = NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 9, 4));
        let gateway = NextHop::VirtualNetworkGateway(SiteId(1));
        // route, source, next hop, endpoint wins when documented, when observed
        for (route, source, hop, documented, observed) in [
            ("0.0.0.0/0", Default, NextHop::Internet, true, true),
            ("52.239.1.0/24", VirtualNetworkGateway, gateway, true, true),
            ("52.239.0.0/16", VirtualNetworkGateway, gateway, true, true),
            ("0.0.0.0/0", User, appliance, true, true),
            ("0.0.0.0/0", User, NextHop::None, true, true),
            ("52.239.1.0/24", User, appliance, false, false),
            ("52.239.1.0/24", User, NextHop::None, false, false),
            ("52.239.1.0/24", User, NextHop::Internet, true, true),
            ("52.239.0.0/16", User, appliance, true, false),
            ("52.239.0.0/16", User, NextHop::None, true, false),
            ("52.239.0.0/16", User, NextHop::Internet, true, true),
        ] {
            let service = Some((STORAGE, "52.239.0.0/16".parse().unwrap()));
            let own = Route { prefix: route.parse().unwrap(), source, next_hop: hop };
            for (tie, wins) in
                [(TiePolicy::Documented, documented), (TiePolicy::Observed, observed)]
            {
                let endpoint =
                    matches!(choose(Some(own), service, tie), Some(Choice::Endpoint { .. }));
                assert_eq!(endpoint, wins, "{route} {source} {hop} {tie:?}");
            }
        }
    }

    #[test]
    fn no_endpoint_or_route_gives_none() {
        assert_eq!(choose(None, None, TiePolicy::Documented), None);
        let route = Route {
            prefix: Ipv4Net::default(),
            source: RouteSource::Default,
            next_hop: NextHop::Internet,
        };
        assert_eq!(choose(Some(route), None, TiePolicy::Documented), Some(Choice::Route(route)));
    }
}
