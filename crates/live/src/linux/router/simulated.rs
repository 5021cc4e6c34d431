//! Simulated servers behind services, and who decides about calls to them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use vnetem::{Edge, Time};
use vnetem_sim::{Answer, Call, Host, HostSettings};

use super::Router;
use crate::linux::stations::{Body, Place, Station};

/// Bytes that a connection of a simulated server buffers in each direction.
const WINDOW: u32 = 256 * 1024;

/// A simulated server at all addresses, or at one.
pub(in crate::linux) fn server(address: Ipv4Addr, any_address: bool, seed: u64) -> Host {
    let serve_limit = usize::MAX;
    let settings = HostSettings::new(address, seed);
    Host::new(HostSettings { any_address, window: WINDOW, serve_limit, ..settings })
}

impl Router {
    /// Adds the front end of an edge at which somebody is served, when it is called first.
    pub(super) fn add_server(&mut self, to: Edge) -> Option<usize> {
        if !self.front_ends.are_at(self.plane.snapshot(), to) {
            return None;
        }
        let seed = self.seed.wrapping_add(self.stations.all.len() as u64);
        let mut host = server(Ipv4Addr::UNSPECIFIED, true, seed);
        self.front_ends.ports().into_iter().for_each(|(port, app)| host.listen(port, app));

        let station = Station {
            name: self.model.place(to),
            address: Ipv4Addr::UNSPECIFIED,
            place: Place::At(to),
            body: Body::Server(Box::new(host)),
            link: None,
            further: BTreeSet::new(),
            headers: None,
        };
        self.stations.add(station).ok()
    }

    /// Lets a simulated server do what it has to do now.
    pub(super) fn poll_server(&mut self, at: usize) {
        let Self { stations, front_ends, plane, pending, now, .. } = self;
        let Some(Station { body: Body::Server(host), place, .. }) = stations.all.get_mut(at) else {
            return;
        };
        if host.next_poll(*now).is_none_or(|next| next > *now) {
            return;
        }
        let snapshot = plane.snapshot();
        let mut decide = |call: &Call| match *place {
            Place::At(
                edge @ (Edge::Service { .. } | Edge::SameRegion { .. } | Edge::PrivateEndpoint(_)),
            ) => front_ends.answer(snapshot, edge, call),
            _ => Answer::allow(call.client.ip().to_string()),
        };
        host.poll_deciding(*now, &mut decide);
        while let Some(packet) = host.transmit() {
            pending.push_back((at, packet.to_vec()));
        }
    }

    /// When a simulated server has something to do.
    pub(super) fn next_of_servers(&mut self) -> Option<Time> {
        let now = self.now;
        let servers = self.stations.all.iter_mut().filter_map(|station| match &mut station.body {
            Body::Server(host) => host.next_poll(now),
            _ => None,
        });
        servers.min()
    }
}
