//! The clock: from event to event.

use core::time::Duration;
use std::collections::BTreeSet;

use vnetem::Time;

use super::passing::opening;
use super::station::{Body, Way};
use super::{StationId, World};
use crate::link::Travelling;
use crate::{Answer, Call};

/// The smallest step of the clock where somebody wants to go on at once for ever.
const TICK: Duration = Duration::from_micros(1);

impl World<'_> {
    /// Runs all events up to `end`, at which the clock then stands.
    pub fn run_until(&mut self, end: Time) {
        self.run_while(end, |_| true);
    }

    /// Runs until `proceed` returns false or the clock reaches `end`.
    ///
    /// `proceed` is asked after every moment at which something happened.
    pub fn run_while(&mut self, end: Time, mut proceed: impl FnMut(&Self) -> bool) {
        loop {
            self.run_due();
            if !proceed(self) {
                return;
            }
            match self.next_event() {
                Some(next) if next <= self.now && self.now + TICK <= end => self.now += TICK,
                Some(next) if next > self.now && next <= end => self.now = next,
                _ => {
                    self.now = self.now.max(end);
                    return;
                }
            }
        }
    }

    /// Runs all that is due now; returns whether anything was.
    ///
    /// Due stations take turns in the order of their numbers. First the packets that they sent
    /// enter the data plane, then the packets for them arrive.
    pub(crate) fn run_due(&mut self) -> bool {
        let mut any_due = false;
        loop {
            if self.data_plane.poll_timeout().is_some_and(|due| due <= self.now) {
                self.data_plane.handle_timeout(self.now);
                self.drain();
            }
            let mut due = self.due();
            if due.is_empty() {
                return any_due;
            }
            any_due = true;
            for &id in &due {
                self.take_up(id);
            }
            due.append(&mut self.due());
            for &id in &due {
                let busy = self.take_down(id);
                self.rearm(id, busy);
            }
        }
    }

    /// Takes all that have something to do now.
    fn due(&mut self) -> BTreeSet<StationId> {
        core::iter::from_fn(|| self.agenda.pop(self.now)).map(StationId).collect()
    }

    /// Schedules a station for now.
    pub(crate) fn schedule_now(&mut self, id: StationId) {
        self.agenda.set(id.0, Some(self.now));
    }

    /// Notes when a station has something to do next. One that wants to go on at once without need
    /// waits a tick.
    fn rearm(&mut self, id: StationId, busy: bool) {
        let now = self.now;
        let soonest = if busy { now } else { now + TICK };
        let next = self.stations.get_mut(id.0).and_then(|station| station.next_event(now));
        let at_once = next.filter(|next| *next <= now).map(|_| soonest);
        self.agenda.set(id.0, at_once.or(next));
    }

    /// Packets that have come up a station's link enter the data plane.
    fn take_up(&mut self, id: StationId) {
        while let Some(station) = self.stations.get_mut(id.0)
            && let Some(Travelling { edge, packet }) = station.up.poll_by(self.now)
        {
            let edge = edge.unwrap_or(station.edge);
            let _ = self.enter(Some(id), edge, packet, false);
        }
    }

    /// Packets that have come down a station's link are taken by whoever is there, who then does
    /// what there is to do.
    fn take_down(&mut self, id: StationId) -> bool {
        let (now, mut busy) = (self.now, false);
        let Self { stations, front_ends, journeys, data_plane, wakes, .. } = self;
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
                let mut sent = Vec::new();
                while let Some(packet) = host.transmit() {
                    sent.push(packet);
                }
                for packet in sent {
                    busy = true;
                    station.send(now, Way::Up, edge, packet);
                }
            }
            Body::Stack(stack) => {
                while let Some(Travelling { edge, packet }) = station.down.poll_by(now) {
                    busy = true;
                    stack.receive(now, edge.unwrap_or(station.edge), packet);
                }
                let sent = stack.run(now);
                wakes.append(&mut stack.take_wakes());
                busy |= !sent.is_empty();
                for (edge, packet) in sent {
                    station.send(now, Way::Up, edge, packet);
                }
            }
            Body::Off => while station.down.poll(now).is_some() {},
            Body::Appliance(appliance) => {
                while let Some(packet) = station.down.poll(now) {
                    busy = true;
                    let came = opening(&packet);
                    let Some(packet) = appliance.forward(now, packet) else { continue };
                    if let (Some(came), Some(went)) = (came, opening(&packet)) {
                        journeys.relayed(id, came, went);
                    }
                    let edge = station.edge;
                    station.up.send_by(now, Some(edge), packet);
                }
            }
        }
        busy
    }

    /// When something happens next.
    pub(crate) fn next_event(&mut self) -> Option<Time> {
        self.agenda.next().into_iter().chain(self.data_plane.poll_timeout()).min()
    }
}
