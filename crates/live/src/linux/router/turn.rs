//! What a turn does beside reading: time, links, packets that were made here.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::epoll::EpollTimeout;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerFd, TimerSetTimeFlags};
use vnetem::{Event, Transmit};

use super::Router;
use crate::linux::offload::PLAIN;
use crate::linux::os;
use crate::linux::stations::{Body, Links, Place};

/// Below this a wait is timed exactly, above it to a millisecond.
const EXACT: Duration = Duration::from_millis(20);
/// The longest wait, after which the time is looked at anyway.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a change did.
pub(in crate::linux) struct Changed {
    pub(in crate::linux) closed: Vec<Event>,
    pub(in crate::linux) made: Vec<Transmit>,
}

impl Router {
    /// Sets the alarm for what comes next, and says how long to wait for a packet at most.
    pub(super) fn wake_at(&mut self, alarm: &TimerFd) -> io::Result<EpollTimeout> {
        if let Some(tap) = &mut self.tap {
            tap.flush();
        }
        let links = self.stations.all.iter().filter_map(|station| station.link.as_ref());
        let links = links.flat_map(|link| [link.up.next_arrival(), link.down.next_arrival()]);
        let due =
            links.flatten().chain(self.plane.poll_timeout()).chain(self.model.poll_timeout()).min();
        let due = due.into_iter().chain(self.next_of_servers()).min();
        self.tick();
        let Some(due) = due else { return Ok(milliseconds(LONGEST_WAIT)) };
        let wait = Duration::from_nanos(due.0.saturating_sub(self.now.0)).min(LONGEST_WAIT);
        if wait.is_zero() {
            return Ok(EpollTimeout::ZERO);
        }
        if wait < EXACT {
            let expiration = Expiration::OneShot(TimeSpec::from_duration(wait));
            alarm.set(expiration, TimerSetTimeFlags::empty()).map_err(os)?;
        }
        Ok(milliseconds(wait))
    }

    /// Does all that can be done now.
    pub(super) fn catch_up(&mut self) {
        if self.model.poll_timeout().is_some_and(|due| due <= self.now)
            && self.model.handle_timeout(self.now)
        {
            let snapshot = self.model.commit();
            let _ = self.plane.apply(self.now, snapshot);
        }
        if self.plane.poll_timeout().is_some_and(|due| due <= self.now) {
            self.plane.handle_timeout(self.now);
        }
        self.drain(&mut |_| {});
        let mut busy = true;
        while busy {
            busy = false;
            for at in 0..self.stations.all.len() {
                busy |= self.arrive(at);
                self.poll_server(at);
            }
            while let Some((at, packet)) = self.pending.pop_front() {
                busy = true;
                self.leave(at, &packet);
            }
        }
        // Nobody asked for these.
        self.closed.clear();
    }

    /// What was edited comes into force, and closes what it closes.
    pub(in crate::linux) fn come_into_force(&mut self) -> Changed {
        self.closed.clear();
        let snapshot = self.model.commit();
        let _ = self.plane.apply(self.now, snapshot);
        let mut made = Vec::new();
        self.drain(&mut |transmit| made.push(transmit.clone()));
        let closed = core::mem::take(&mut self.closed);
        self.readdress();
        Changed { closed, made }
    }

    /// Lets real servers answer at the private endpoints that lead to them now (L-05).
    pub(in crate::linux) fn readdress(&mut self) {
        for station in &mut self.stations.all {
            let (Place::Resource(_, resource), Body::Real(_, spaces)) =
                (station.place, &station.body)
            else {
                continue;
            };
            let endpoints = self.model.network().private_endpoints().map(|(_, it)| it);
            let wanted = endpoints.filter(|it| it.resource == resource).map(|it| it.address);
            let wanted: BTreeSet<Ipv4Addr> = wanted.collect();
            let more: Vec<_> = wanted.difference(&station.further).copied().collect();
            let less: Vec<_> = station.further.difference(&wanted).copied().collect();
            if more.is_empty() && less.is_empty() {
                continue;
            }
            if !spaces.readdress(&more, &less) {
                eprintln!("vnetem: {} could not have the addresses {more:?}", station.name);
            }
            station.further = wanted;
        }
    }

    /// Sends what the data plane has made, and takes note of what it says of flows.
    fn drain(&mut self, see: &mut dyn FnMut(&Transmit)) {
        while let Some(transmit) = self.plane.poll_transmit(self.now) {
            see(&transmit);
            if let Some(tap) = &mut self.tap {
                tap.made(self.now, &self.model, &transmit);
            }
            self.deliver(transmit.to, &mut [&PLAIN, &transmit.packet[..]].concat());
        }
        while let Some(event) = self.plane.poll_event() {
            self.note(None, &event, None);
        }
    }

    /// What has come over a station's link is taken, in both directions.
    fn arrive(&mut self, at: usize) -> bool {
        let (now, mut busy) = (self.now, false);
        while let Some(link) = self.link(at)
            && let Some(packet) = link.up.poll(now)
        {
            busy = true;
            self.enter(at, &mut [&PLAIN, &packet[..]].concat());
        }
        while let Some(link) = self.link(at)
            && let Some(packet) = link.down.poll(now)
        {
            busy = true;
            self.hand_over(at, &mut [&PLAIN, &packet[..]].concat());
        }
        busy
    }

    /// A packet that a simulated station has sent takes its link, if there is one.
    fn leave(&mut self, at: usize, packet: &[u8]) {
        let now = self.now;
        match self.link(at) {
            Some(link) => link.up.send(now, bytes::Bytes::copy_from_slice(packet)),
            None => self.enter(at, &mut [&PLAIN, packet].concat()),
        }
    }

    fn link(&mut self, at: usize) -> Option<&mut Links> {
        self.stations.all.get_mut(at)?.link.as_mut()
    }
}

fn milliseconds(wait: Duration) -> EpollTimeout {
    let rounded =
        Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(0));
    EpollTimeout::try_from(rounded).unwrap_or(EpollTimeout::ZERO)
}
