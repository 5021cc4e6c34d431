//! The clock: from event to event.

use core::time::Duration;

use vnetem::Time;
use vnetem_packet::Headers;

use super::passing::opening;
use super::station::Body;
use super::{StationId, World};
use crate::{Answer, Call};

/// The smallest step of the clock where somebody wants to go on at once for ever.
const TICK: Duration = Duration::from_micros(1);

impl World<'_> {
    /// Lets everything happen up to `end`, which is then the time.
    pub fn run_until(&mut self, end: Time) {
        self.run_while(end, |_| true);
    }

    /// Lets things happen as long as `goes_on` says so, asked after each moment, and at most up to
    /// `end`.
    pub fn run_while(&mut self, end: Time, mut goes_on: impl FnMut(&Self) -> bool) {
        loop {
            self.settle();
            if !goes_on(self) {
                return;
            }
            match self.next_event() {
                Some(next) if next <= self.now && self.now + TICK <= end => {
                    self.now = self.now + TICK
                }
                Some(next) if next > self.now && next <= end => self.now = next,
                _ => {
                    self.now = self.now.max(end);
                    return;
                }
            }
        }
    }

    /// Does all that can be done now.
    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            if self.data_plane.poll_timeout().is_some_and(|due| due <= self.now) {
                self.data_plane.handle_timeout(self.now);
                self.drain();
            }
            for at in 0..self.stations.len() {
                busy |= self.take_up(StationId(at));
            }
            for at in 0..self.stations.len() {
                busy |= self.take_down(StationId(at));
            }
        }
    }

    /// Packets that have come up a station's link enter the data plane.
    fn take_up(&mut self, id: StationId) -> bool {
        let mut busy = false;
        while let Some(station) = self.stations.get_mut(id.0)
            && let Some(packet) = station.up.poll(self.now)
        {
            busy = true;
            let destination = Headers::parse(&packet).map(|headers| headers.destination);
            let edge = destination.map_or(station.edge, |destination| station.entry(destination));
            let _ = self.enter(Some(id), edge, packet, false);
        }
        busy
    }

    /// Packets that have come down a station's link are taken by whoever is there, who then does
    /// what there is to do.
    fn take_down(&mut self, id: StationId) -> bool {
        let (now, mut busy) = (self.now, false);
        let Self { stations, front_ends, journeys, data_plane, .. } = self;
        let Some(station) = stations.get_mut(id.0) else { return false };
        match &mut station.body {
            Body::Host(host) => {
                while let Some(packet) = station.down.poll(now) {
                    busy = true;
                    host.receive(packet);
                }
                if !busy && host.next_poll(now).is_none_or(|next| next > now) {
                    return false;
                }
                let edge = station.edge;
                let snapshot = data_plane.snapshot();
                host.poll_deciding(now, &mut |call: &Call| match edge {
                    vnetem::Edge::Service { .. }
                    | vnetem::Edge::SameRegion { .. }
                    | vnetem::Edge::PrivateEndpoint(_) => front_ends.answer(snapshot, edge, call),
                    _ => Answer::allow(call.client.ip().to_string()),
                });
                while let Some(packet) = host.transmit() {
                    busy = true;
                    station.up.send(now, packet);
                }
            }
            Body::Appliance(appliance) => {
                while let Some(packet) = station.down.poll(now) {
                    busy = true;
                    let came = opening(&packet);
                    let Some(packet) = appliance.forward(now, packet) else { continue };
                    if let (Some(came), Some(went)) = (came, opening(&packet)) {
                        journeys.relayed(id, came, went);
                    }
                    station.up.send(now, packet);
                }
            }
        }
        busy
    }

    /// When something happens next.
    fn next_event(&mut self) -> Option<Time> {
        let now = self.now;
        let stations = self.stations.iter_mut().flat_map(|station| {
            let body = match &mut station.body {
                Body::Host(host) => host.next_poll(now),
                Body::Appliance(_) => None,
            };
            [station.up.next_arrival(), station.down.next_arrival(), body]
        });
        stations.flatten().chain(self.data_plane.poll_timeout()).min()
    }
}
