//! Somebody at an edge, with a link in each direction.

use core::net::Ipv4Addr;

use bytes::Bytes;
use vnetem::{Edge, EdgeId, ServiceId, Time};

use crate::engine::Stack;
use crate::{Appliance, Host, Link};

/// Number of a station in its world; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId(pub(crate) usize);

pub(crate) struct Station {
    pub(crate) name: String,
    /// Where its packets enter. Of a front end's identity only the subnet counts.
    pub(crate) edge: Edge,
    pub(crate) address: Ipv4Addr,
    pub(crate) body: Body,
    /// To the data plane.
    pub(crate) up: Link,
    /// From the data plane.
    pub(crate) down: Link,
    /// Whether its links carry packets.
    pub(crate) passage: LinkState,
    /// What waits for its links, oldest first.
    pub(super) held: Vec<(Way, Edge, Bytes)>,
}

pub(crate) enum Body {
    Host(Box<Host>),
    Appliance(Box<Appliance>),
    /// A stack whose sockets somebody else holds.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    Stack(Box<Stack>),
    /// Powered off: what arrives is lost.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    Off,
}

/// Whether the links of a host carry packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// They do.
    #[default]
    Passing,
    /// Packets wait at their beginning, and go on once the links pass again.
    Held,
    /// Packets are lost.
    Cut,
}

/// To the data plane or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// By what a packet that leaves the network finds its station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Spot {
    /// Whoever is at the edge.
    Edge(EdgeId),
    /// Whoever has the address at the edge.
    Address(Edge, Ipv4Addr),
    /// Who answers for a service at one address, by whatever path the caller comes.
    Front(ServiceId, Ipv4Addr),
}

impl Spot {
    /// Where packets to `destination` that leave by `to` are taken.
    pub(super) fn of(to: Edge, destination: Ipv4Addr) -> Self {
        match to {
            Edge::Service { .. }
            | Edge::SameRegion { .. }
            | Edge::Nic(_)
            | Edge::PrivateEndpoint(_)
            | Edge::Platform(_) => Self::Edge(to.into()),
            Edge::Internet | Edge::Site(_) | Edge::Subnet(_) => Self::Address(to, destination),
        }
    }

    /// Where packets to `destination` that leave by `to` are taken if one host answers for all of a
    /// service.
    pub(super) fn front(to: Edge, destination: Ipv4Addr) -> Option<Self> {
        match to {
            Edge::Service { service, .. } | Edge::SameRegion { service, .. } => {
                Some(Self::Front(service, destination))
            }
            _ => None,
        }
    }
}

impl Station {
    /// Puts a packet on one of the links.
    pub(super) fn send(&mut self, now: Time, way: Way, edge: Edge, packet: Bytes) {
        match (self.passage, way) {
            (LinkState::Cut, _) => {}
            (LinkState::Held, _) => self.held.push((way, edge, packet)),
            (LinkState::Passing, Way::Up) => self.up.send_by(now, Some(edge), packet),
            (LinkState::Passing, Way::Down) => self.down.send_by(now, Some(edge), packet),
        }
    }

    /// When it has something to do next.
    pub(super) fn next_event(&mut self, now: Time) -> Option<Time> {
        let body = match &mut self.body {
            Body::Host(host) => host.next_poll(now),
            Body::Stack(stack) => stack.next_poll(now),
            Body::Appliance(_) | Body::Off => None,
        };
        [self.up.next_arrival(), self.down.next_arrival(), body].into_iter().flatten().min()
    }
}
