//! Somebody at an edge, with a link in each direction.

use core::net::Ipv4Addr;

use vnetem::Edge;

use crate::{Appliance, Host, Link};

/// Number of a station in its world; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId(pub(super) usize);

pub(super) struct Station {
    pub(super) name: String,
    /// Where its packets enter. Of a front end's identity only the subnet counts.
    pub(super) edge: Edge,
    pub(super) address: Ipv4Addr,
    pub(super) body: Body,
    /// To the data plane.
    pub(super) up: Link,
    /// From the data plane.
    pub(super) down: Link,
}

pub(super) enum Body {
    Host(Box<Host>),
    Appliance(Box<Appliance>),
}

impl Station {
    /// Whether packets to `destination` that leave by `to` are for this station.
    pub(super) fn is_at(&self, to: Edge, destination: Ipv4Addr) -> bool {
        match (self.edge, to) {
            (
                Edge::Service { service: mine, identity: None },
                Edge::Service { service, identity: None },
            ) => mine == service,
            (
                Edge::Service { service: mine, identity: Some(own) },
                Edge::Service { service, identity: Some(other) },
            ) => mine == service && own.subnet == other.subnet,
            (Edge::SameRegion { .. }, Edge::SameRegion { .. }) => self.edge == to,
            (Edge::Nic(mine), Edge::Nic(nic)) => mine == nic,
            (Edge::PrivateEndpoint(mine), Edge::PrivateEndpoint(other)) => mine == other,
            (Edge::Internet, Edge::Internet) => self.address == destination,
            (Edge::Site(mine), Edge::Site(site)) => mine == site && self.address == destination,
            _ => false,
        }
    }

    /// Where a packet of this station to `destination` enters: an endpoint's answer carries the
    /// identity of the one it is for.
    pub(super) fn entry(&self, destination: Ipv4Addr) -> Edge {
        match self.edge {
            Edge::Service { service, identity: Some(identity) } => Edge::Service {
                service,
                identity: Some(vnetem::Identity { address: destination, ..identity }),
            },
            edge => edge,
        }
    }
}
