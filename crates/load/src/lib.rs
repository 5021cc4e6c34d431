//! Load: a data plane with many flows, and packets on them, for whoever measures.
//!
//! Nothing here asks a clock. What is to be measured is handed, as work to do, to a function that
//! the caller brings; everything else is preparation.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use vnetem_load::{Load, Shape};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut load = Load::new(Shape { flows: 1000, ..Shape::default() })?;
//!     load.open(&mut |work| work())?;
//!     let mut spent = Duration::ZERO;
//!     let packets = load.forward(&mut |work| {
//!         let start = Instant::now();
//!         work();
//!         spent += start.elapsed();
//!     })?;
//!     assert!(packets > 0);
//!     Ok(())
//! }
//! ```

mod connect;
mod frame;
mod talk;

use core::net::Ipv4Addr;
use core::time::Duration;

use ipnet::Ipv4Net;
use thiserror::Error;
use vnetem::{
    BatchPacket, DataPlane, Disposition, Edge, EditError, Identity, Network, Outbound, Protocol,
    Scope, ServiceId, Settings, SubnetId, Time, VnetId,
};
use vnetem_nat::{HoldDown, Side, Timers};

use frame::Frames;
use talk::Talks;

pub use frame::FrameSize;

/// What is measured: handed the work, the caller runs it, once, between two looks at its clock.
pub type Timed<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// How large everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Length of the frames on the wire.
    pub size: FrameSize,
    /// TCP or UDP. An endpoint carries only TCP (E-13).
    pub protocol: Protocol,
    /// Flows.
    pub flows: u32,
    /// How many of them are of the subnet whose endpoint is toggled; the others are spread over the
    /// other 63.
    pub affected: u32,
    /// Routes that a gateway announces to all subnets, beside the service's.
    pub routes: u32,
    /// Whether the subnets have the service's endpoint.
    pub endpoint: bool,
    /// Packets that go together; 1 is one at a time.
    pub batch: usize,
    /// Which of several data planes this is: each has its own public addresses.
    pub shard: u8,
    /// What is random starts here.
    pub seed: u64,
}

/// A data plane with flows, and the next packets on them.
pub struct Load {
    shape: Shape,
    plane: DataPlane,
    network: Network,
    vnet: VnetId,
    subnets: Vec<SubnetId>,
    service: ServiceId,
    talks: Talks,
    frames: Frames,
    edges: Vec<Edge>,
    /// The next connection of [`connect`](Load::connect).
    next: u32,
    now: Time,
    /// When all flows were opened last.
    opened: Time,
    /// What a fresh data plane is made with.
    settings: Settings,
}

/// Why nothing could be measured.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The network cannot be made.
    #[error("the network cannot be made: {0}")]
    Network(#[from] EditError),
    /// Packets that should all have gone through did not.
    #[error("{dropped} of {packets} packets were not forwarded")]
    Dropped {
        /// How many.
        dropped: usize,
        /// Of how many.
        packets: usize,
    },
    /// An endpoint is asked for, but not TCP.
    #[error("an endpoint carries only TCP")]
    EndpointOfTcpOnly,
    /// The flows of a toggle are gone, or there are others.
    #[error("{closed} flows were closed, where {affected} should have been")]
    Closed {
        /// How many were.
        closed: u64,
        /// How many should have been.
        affected: u32,
    },
}

/// What a toggle costs, part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TogglePart {
    /// The new snapshot is compiled.
    Commit,
    /// The data plane takes it.
    Apply,
    /// All flows that it ends are closed, and their resets taken; [`Load::toggle`] does it in one
    /// piece.
    Close,
    /// One call of the closing; [`Load::toggle_in_steps`] does it call by call.
    Step,
}

/// Longer than anything lasts but [`Load::expire`].
const LONG: Duration = Duration::from_secs(1_000_000);
/// Longer than a tombstone stands.
const SHORT: Duration = Duration::from_secs(2);
/// Virtual time is counted in 64 bits of nanoseconds. From here on a load begins anew at time 1.
const LATE: Time = Time(u64::MAX / 2);

impl Default for Shape {
    fn default() -> Self {
        Self {
            size: FrameSize::Bytes(64),
            protocol: Protocol::TCP,
            flows: 1000,
            affected: 1000 / 64,
            routes: 0,
            endpoint: false,
            batch: 32,
            shard: 0,
            seed: 1,
        }
    }
}

impl Load {
    /// A data plane with room for all flows, and none of them open.
    ///
    /// # Errors
    ///
    /// [`LoadError::EndpointOfTcpOnly`], or what the network says to such a size.
    pub fn new(shape: Shape) -> Result<Self, LoadError> {
        Self::with(shape, &settings(&shape))
    }

    fn with(shape: Shape, settings: &Settings) -> Result<Self, LoadError> {
        if shape.endpoint && shape.protocol != Protocol::TCP {
            return Err(LoadError::EndpointOfTcpOnly);
        }
        let mut network = Network::new();
        let range = |first: [u8; 4], length| Ipv4Net::new(first.into(), length).unwrap_or_default();
        let service = network.add_service("storage", &[range([52, 239, 0, 0], 16)])?;
        let vnet = network.add_vnet("load", &[range([10, 0, 0, 0], 8)])?;
        if shape.routes > 0 {
            let site = network.add_site("site", &[range([192, 168, 0, 0], 16)], &[])?;
            // Of /24 each, in 128.0.0.0/2, where nothing else is.
            let announced = (0..shape.routes.min(1 << 22)).map(|n| {
                let first = Ipv4Addr::from_bits(0x8000_0000 | n << 8);
                Ipv4Net::new(first, 24).unwrap_or_default()
            });
            network.connect(vnet, site, &announced.collect::<Vec<_>>())?;
        }
        let public = (0..16).map(|n| Ipv4Addr::new(20, shape.shard, 0, n)).collect();
        let outbound = Outbound::NatGateway(public);
        let mut subnets = Vec::new();
        for n in 0..talk::SUBNETS {
            let subnet =
                network.add_subnet(vnet, &format!("subnet-{n}"), range([10, n, 0, 0], 16))?;
            network.set_outbound(subnet, outbound.clone())?;
            if shape.endpoint {
                network.enable_endpoint(subnet, service, Scope::Worldwide)?;
            }
            subnets.push(subnet);
        }
        let plane = DataPlane::new(network.commit(), *settings);
        let talks = Talks::new(&shape);
        let (frames, edges) = (Frames::new(&shape), Vec::new());
        Ok(Self {
            shape,
            plane,
            network,
            vnet,
            subnets,
            service,
            talks,
            frames,
            edges,
            next: 0,
            now: Time(1),
            opened: Time(1),
            settings: *settings,
        })
    }

    /// The data plane, for its counters. They begin anew whenever virtual time does, after some
    /// hundred years.
    #[must_use]
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }

    /// Opens all flows; timed are their first packets, a ring at a time. TCP connections are then
    /// led through their handshakes. Gives the number of flows.
    ///
    /// # Errors
    ///
    /// [`LoadError::Dropped`].
    pub fn open(&mut self, timed: Timed<'_>) -> Result<u64, LoadError> {
        self.renew_if_late()?;
        self.open_all(timed)
    }

    fn open_all(&mut self, timed: Timed<'_>) -> Result<u64, LoadError> {
        self.opened = self.now;
        let mut opened = 0;
        for first in (0..self.shape.flows).step_by(self.frames.ring()) {
            let ring = u32::try_from(self.frames.ring()).unwrap_or(u32::MAX);
            let last = self.shape.flows.min(first.saturating_add(ring));
            opened += self.open_some(first..last, timed)?;
        }
        Ok(opened)
    }

    /// Passes one ring of packets of open flows, at random over all flows and both directions;
    /// timed is all of it. Gives the number of packets.
    ///
    /// # Errors
    ///
    /// [`LoadError::Dropped`].
    pub fn forward(&mut self, timed: Timed<'_>) -> Result<u64, LoadError> {
        self.frames.begin();
        self.edges.clear();
        for _ in 0..self.frames.ring() {
            let n = self.talks.random();
            let side = self.talks.random_side();
            self.put(n, side, frame::Kind::Data);
        }
        self.pass(timed)
    }

    /// Switches the endpoint of one subnet the other way: every flow of it is closed, and both ends
    /// of each get a reset. Timed are the parts, each named; what was closed is then opened again.
    /// Gives the number of closed flows.
    ///
    /// # Errors
    ///
    /// [`LoadError::Closed`] if another number of flows was closed; what the network or the packets
    /// say.
    pub fn toggle(
        &mut self,
        timed: &mut dyn FnMut(TogglePart, &mut dyn FnMut()),
    ) -> Result<u64, LoadError> {
        self.toggle_by(timed, |plane, now, timed| {
            timed(TogglePart::Close, &mut || while plane.poll_transmit(now).is_some() {});
        })
    }

    /// The same, with each call of the closing timed alone: what other traffic waits at most.
    ///
    /// # Errors
    ///
    /// As for [`toggle`](Self::toggle).
    pub fn toggle_in_steps(
        &mut self,
        timed: &mut dyn FnMut(TogglePart, &mut dyn FnMut()),
    ) -> Result<u64, LoadError> {
        self.toggle_by(timed, |plane, now, timed| {
            let mut more = true;
            while more {
                timed(TogglePart::Step, &mut || more = plane.poll_transmit(now).is_some());
            }
        })
    }

    /// Lets so much time pass that all flows end; timed is their removal. Gives their number;
    /// [`open`](Self::open) opens them again.
    pub fn expire(&mut self, timed: Timed<'_>) -> u64 {
        let before = self.plane.flow_counters().live;
        let now = self.now + LONG + LONG;
        self.now = now;
        let plane = &mut self.plane;
        timed(&mut || {
            while plane.poll_timeout().is_some_and(|next| next <= now) {
                plane.handle_timeout(now);
            }
        });
        u64::from(before)
    }

    /// Replaces the data plane by a fresh one at time 1 if virtual time nears its end. Its memory
    /// is touched once, so that nothing is measured on pages that were never there.
    fn renew_if_late(&mut self) -> Result<(), LoadError> {
        if self.now < LATE || self.plane.flow_counters().live > 0 {
            return Ok(());
        }
        self.renew();
        self.open_all(&mut |work| work())?;
        self.expire(&mut |work| work());
        Ok(())
    }

    fn renew(&mut self) {
        self.plane = DataPlane::new(self.network.commit(), self.settings);
        self.now = Time(1);
        self.opened = Time(1);
    }

    fn toggle_by(
        &mut self,
        timed: &mut dyn FnMut(TogglePart, &mut dyn FnMut()),
        close: impl FnOnce(&mut DataPlane, Time, &mut dyn FnMut(TogglePart, &mut dyn FnMut())),
    ) -> Result<u64, LoadError> {
        // Flows that no toggle touches would time out after half a million of them.
        if self.now >= self.opened + LONG / 2 {
            self.expire(&mut |work| work());
            self.open(&mut |work| work())?;
        }
        let before = self.plane.counters().generated.packets;
        self.switch(!self.shape.endpoint)?;
        let (network, plane, now) = (&mut self.network, &mut self.plane, self.now);
        let mut snapshot = None;
        timed(TogglePart::Commit, &mut || snapshot = Some(network.commit()));
        timed(TogglePart::Apply, &mut || {
            if let Some(snapshot) = snapshot.take() {
                plane.apply(now, snapshot);
            }
        });
        close(plane, now, timed);
        let resets = self.plane.counters().generated.packets - before;
        // UDP flows are not told, and not closed: no endpoint takes them.
        let affected = if self.shape.protocol == Protocol::TCP { self.shape.affected } else { 0 };
        if resets != 2 * u64::from(affected) {
            return Err(LoadError::Closed { closed: resets / 2, affected });
        }
        // As it was: the tombstones go, the endpoint comes back, the flows are opened again.
        self.now = self.now + SHORT;
        self.plane.handle_timeout(self.now);
        self.switch(self.shape.endpoint)?;
        let snapshot = self.network.commit();
        self.plane.apply(self.now, snapshot);
        while self.plane.poll_transmit(self.now).is_some() {}
        let ring = self.frames.ring();
        for first in (0..affected).step_by(ring) {
            let last = affected.min(first.saturating_add(u32::try_from(ring).unwrap_or(u32::MAX)));
            self.open_some(first..last, &mut |work| work())?;
        }
        Ok(u64::from(affected))
    }

    fn switch(&mut self, on: bool) -> Result<(), EditError> {
        let Some(&subnet) = self.subnets.first() else { return Ok(()) };
        if on {
            self.network.enable_endpoint(subnet, self.service, Scope::Worldwide)
        } else {
            self.network.disable_endpoint(subnet, self.service)
        }
    }

    fn open_some(
        &mut self,
        flows: core::ops::Range<u32>,
        timed: Timed<'_>,
    ) -> Result<u64, LoadError> {
        self.frames.begin();
        self.edges.clear();
        for n in flows.clone() {
            self.put(n, Side::Internal, frame::Kind::First);
        }
        let opened = self.pass(timed)?;
        for (n, packet) in flows.clone().zip(self.frames.packets()) {
            self.talks.seen_outside(n, packet);
        }
        if self.shape.protocol == Protocol::TCP {
            for (side, kind) in
                [(Side::External, frame::Kind::Answer), (Side::Internal, frame::Kind::Data)]
            {
                self.frames.begin();
                self.edges.clear();
                flows.clone().for_each(|n| self.put(n, side, kind));
                self.pass(&mut |work| work())?;
            }
        }
        Ok(opened)
    }

    /// The next packet of the ring: of the n-th flow, from a side.
    fn put(&mut self, n: u32, side: Side, kind: frame::Kind) {
        let talk = self.talks.ends(n);
        let subnet = self.subnets.get(usize::from(talk.subnet)).copied().unwrap_or(SubnetId(0));
        self.edges.push(match side {
            Side::Internal => Edge::Subnet(subnet),
            Side::External => Edge::Service {
                service: self.service,
                identity: self.shape.endpoint.then_some(Identity {
                    vnet: self.vnet,
                    subnet,
                    address: *talk.internal.ip(),
                }),
            },
        });
        self.frames.put(talk.tuple(side), kind, side);
    }

    /// Passes the ring, timed as a whole.
    fn pass(&mut self, timed: Timed<'_>) -> Result<u64, LoadError> {
        let (now, batch, plane) = (self.now, self.shape.batch, &mut self.plane);
        let frames = self.frames.packets_mut().zip(&self.edges);
        let mut slots: Vec<BatchPacket<'_>> =
            frames.map(|(packet, &edge)| BatchPacket::new(edge, packet)).collect();
        timed(&mut || {
            if batch <= 1 {
                for slot in &mut slots {
                    slot.verdict = Some(plane.process(now, slot.edge, slot.packet));
                }
            } else {
                slots.chunks_mut(batch).for_each(|slots| plane.process_batch(now, slots));
            }
        });
        let packets = slots.len();
        let forwarded = slots.iter().filter(|slot| {
            slot.verdict
                .is_some_and(|verdict| matches!(verdict.disposition, Disposition::Forward(_)))
        });
        match packets - forwarded.count() {
            0 => Ok(u64::try_from(packets).unwrap_or(u64::MAX)),
            dropped => Err(LoadError::Dropped { dropped, packets }),
        }
    }
}

fn settings(shape: &Shape) -> Settings {
    let mut settings = Settings::replayable(shape.seed);
    // The site that announces routes is a tenant too, with a quarter of the places for itself.
    let reserved = if shape.routes > 0 { shape.flows / 3 + 1 } else { 0 };
    settings.flows.capacity = shape.flows.saturating_add(reserved);
    settings.flows.held = 1;
    settings.flows.hold = HoldDown::NONE;
    settings.flows.timers = Timers {
        syn_sent: LONG,
        syn_received: LONG,
        established: LONG,
        udp_one_way: LONG,
        udp_two_way: LONG,
        tombstone: Duration::from_secs(1),
        ..Timers::AZURE
    };
    // Nobody listens.
    settings.events = 0;
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Shape = Shape {
        size: FrameSize::Bytes(64),
        protocol: Protocol::TCP,
        flows: 8,
        affected: 2,
        routes: 0,
        endpoint: false,
        batch: 32,
        shard: 0,
        seed: 7,
    };

    #[test]
    fn loads_go_on_when_time_ends() -> Result<(), LoadError> {
        let mut load = Load::new(FEW)?;
        for late in [LATE, Time(u64::MAX - 1), Time(u64::MAX)] {
            for _ in 0..3 {
                assert_eq!(load.open(&mut |work| work())?, 8, "{late:?}");
                assert_eq!(load.expire(&mut |work| work()), 8, "{late:?}");
                load.now = late;
            }
        }
        let mut load = Load::connecting(FEW)?;
        for _ in 0..3 {
            assert!(load.connect(&mut |work| work())? > 0);
            load.now = LATE;
        }
        assert!(load.resting() > 0, "tuples rest after the new beginning as before");
        Ok(())
    }

    /// Flows that no toggle touches are as old as the first packet.
    #[test]
    fn toggles_go_on_when_flows_age() -> Result<(), LoadError> {
        for endpoint in [false, true] {
            for age in [LONG / 2, LONG - SHORT / 2, LONG, LONG + LONG, Duration::MAX] {
                let mut load = Load::new(Shape { endpoint, ..FEW })?;
                load.open(&mut |work| work())?;
                load.now = load.opened + age;
                for _ in 0..2 {
                    assert_eq!(load.toggle(&mut |_, work| work())?, 2, "{age:?}");
                    assert_eq!(load.plane.flow_counters().live, 8, "{age:?}");
                }
                load.forward(&mut |work| work())?;
            }
        }
        Ok(())
    }
}
