//! Stations whose sockets somebody else holds.

use core::net::Ipv4Addr;
use core::task::Waker;

use vnetem::{Edge, Time};

use super::station::{Body, LinkState, Spot};
use super::{StationId, World, mix};
use crate::LinkSettings;
use crate::engine::{Stack, StackSettings};

impl World<'_> {
    /// Puts a stack at an edge. `front` says that it answers for all of a service at its address,
    /// by whatever path.
    pub(crate) fn add_stack(
        &mut self,
        name: &str,
        edge: Edge,
        address: Ipv4Addr,
        front: bool,
    ) -> StationId {
        let id = self.add_station(name, edge, address, Body::Off);
        if let (true, Edge::Service { service, .. }) = (front, edge) {
            self.spots.remove(&Spot::of(edge, address));
            self.spots.entry(Spot::Front(service, address)).or_insert(id);
            self.fronts.push(id);
        }
        id
    }

    /// Switches a station on with a fresh stack.
    pub(crate) fn switch_on(&mut self, id: StationId, settings: StackSettings) {
        self.set_body(id, Body::Stack(Box::new(Stack::new(settings))));
    }

    /// Switches a station off: what is on the way to it is lost, and nobody is told.
    pub(crate) fn switch_off(&mut self, id: StationId) {
        self.set_body(id, Body::Off);
    }

    /// A seed for a station's stack, another one after each restart.
    pub(crate) fn seed_of(&self, id: StationId, incarnation: u32) -> u64 {
        mix(mix(self.seed, 1 + 4 * id.0 as u64), u64::from(incarnation))
    }

    /// The stack of a station that is on.
    pub(crate) fn stack(&mut self, id: StationId) -> Option<&mut Stack> {
        match &mut self.stations.get_mut(id.0)?.body {
            Body::Stack(stack) => Some(stack),
            _ => None,
        }
    }

    /// The connections of a station on which somebody waits, as in
    /// `10.0.0.4:50001 > 52.239.1.9:443 reads`.
    pub(crate) fn connections_of(&self, id: StationId) -> Vec<String> {
        match self.stations.get(id.0).map(|station| &station.body) {
            Some(Body::Stack(stack)) => stack.waiting(),
            _ => Vec::new(),
        }
    }

    /// Connections that the stacks of async hosts still know, those that wait out their end
    /// included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        let stacks = self.stations.iter().map(|station| match &station.body {
            Body::Stack(stack) => stack.len(),
            _ => 0,
        });
        stacks.sum()
    }

    /// Lets the links of a station carry packets, or not. Packets that are on the way already
    /// arrive.
    pub(crate) fn set_passage(&mut self, id: StationId, passage: LinkState) {
        let now = self.now;
        let Some(station) = self.stations.get_mut(id.0) else { return };
        station.passage = passage;
        for (way, edge, packet) in core::mem::take(&mut station.held) {
            station.send(now, way, edge, packet);
        }
        self.schedule_now(id);
    }

    /// Changes what both links of a station do.
    pub(crate) fn change_links(&mut self, id: StationId, settings: LinkSettings) {
        if let Some(station) = self.stations.get_mut(id.0) {
            station.up.change(settings);
            station.down.change(settings);
        }
    }

    /// Moves the clock, never back.
    pub(crate) fn set_now(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Keeps no journeys and no list of what the data plane did, so that memory does not grow with
    /// time.
    pub(crate) fn forget_history(&mut self) {
        self.records_history = false;
    }

    /// Packets that the data plane has seen or made.
    pub(crate) fn packets(&self) -> u64 {
        self.numbered
    }

    /// Takes the tasks that wait for what has happened; to be woken when no lock is held.
    pub(crate) fn take_wakes(&mut self) -> Vec<Waker> {
        core::mem::take(&mut self.wakes)
    }

    fn set_body(&mut self, id: StationId, body: Body) {
        if let Some(station) = self.stations.get_mut(id.0) {
            station.body = body;
        }
        self.schedule_now(id);
    }
}
