//! Loads a data plane with many flows and sends packets on them, for measurements.
//!
//! No function here reads a clock. Each hands the work to be measured to a function of the caller;
//! everything else is preparation.
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
mod estate;
mod frame;
mod talk;
mod toggle;

use core::net::Ipv4Addr;
use core::time::Duration;

use ipnet::Ipv4Net;
use thiserror::Error;
use vnetem::{
    BatchPacket, DataPlane, Disposition, Edge, EdgeId, EditError, Identity, Network, Protocol,
    ServiceId, Settings, SubnetId, Time, VnetId,
    control::{Outbound, Scope},
};
use vnetem_nat::{HoldDown, Side, Timers};

use frame::Frames;
use talk::Talks;

pub use estate::{Estate, EstatePart, MAX_VNETS};
pub use frame::FrameSize;

/// Takes the work to be measured. The caller runs it once, between two readings of its clock.
pub type Timed<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// The size of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Length of the frames on the wire.
    pub size: FrameSize,
    /// TCP or UDP. An endpoint carries only TCP (E-13).
    pub protocol: Protocol,
    /// The number of flows.
    pub flows: u32,
    /// How many of them belong to the subnet whose endpoint is toggled. The others are spread over
    /// the other 63.
    pub affected: u32,
    /// Routes that a gateway announces to all subnets, besides the service's.
    pub routes: u32,
    /// Whether the subnets have the service's endpoint.
    pub endpoint: bool,
    /// Packets that are processed together; 1 is one at a time.
    pub batch: usize,
    /// Which of several data planes this is. Each has its own public addresses.
    pub shard: u8,
    /// The seed of everything random.
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
    edges: Vec<EdgeId>,
    /// The next connection of [`connect`](Load::connect).
    next: u32,
    now: Time,
    /// When all flows were last opened.
    opened: Time,
    /// The settings of a new data plane.
    settings: Settings,
}

/// Why nothing could be measured.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The network cannot be made.
    #[error("the network cannot be made: {0}")]
    Network(#[from] EditError),
    /// Packets were dropped that should have been forwarded.
    #[error("{dropped} of {packets} packets were not forwarded")]
    Dropped {
        /// The number of dropped packets.
        dropped: usize,
        /// The number of packets.
        packets: usize,
    },
    /// The shape has an endpoint, but not TCP.
    #[error("an endpoint carries only TCP")]
    EndpointOfTcpOnly,
    /// A toggle closed another number of flows than expected.
    #[error("{closed} flows were closed, where {affected} should have been")]
    Closed {
        /// The number of closed flows.
        closed: u64,
        /// The number expected.
        affected: u32,
    },
}

/// The parts of a toggle that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TogglePart {
    /// Compiling the new snapshot.
    Commit,
    /// Applying it to the data plane.
    Apply,
    /// Closing all flows that it ends, and taking their resets. [`Load::toggle`] does it in one
    /// piece.
    Close,
    /// One call of the closing. [`Load::toggle_in_steps`] does it call by call.
    Step,
}

/// Longer than everything except [`Load::expire`].
const LONG: Duration = Duration::from_secs(1_000_000);
/// Longer than a tombstone lives.
const SHORT: Duration = Duration::from_secs(2);
/// Virtual time has 64 bits of nanoseconds. From here on a load restarts at time 1.
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
    /// Makes a data plane with room for all flows, and none open.
    ///
    /// # Errors
    ///
    /// [`LoadError::EndpointOfTcpOnly`], or why the network refuses such a size.
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
            // A /24 each, in 128.0.0.0/2, where nothing else is.
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

    /// Returns the data plane, for its counters. They restart whenever virtual time does, after
    /// some hundred years.
    #[must_use]
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }

    /// Opens all flows, and times their first packets, one ring at a time. TCP connections then
    /// complete their handshakes. Returns the number of flows.
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

    /// Sends one ring of packets of open flows, at random over all flows and both directions, and
    /// times all of it. Returns the number of packets.
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

    /// Lets enough time pass that all flows end, and times their removal. Returns their number.
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

    /// Replaces the data plane by a new one at time 1 if virtual time nears its end. Its memory is
    /// touched once, so that no measurement includes page faults.
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

    /// Puts the next packet of the ring: of the n-th flow, from a side.
    fn put(&mut self, n: u32, side: Side, kind: frame::Kind) {
        let talk = self.talks.ends(n);
        let subnet = self.subnets.get(usize::from(talk.subnet)).copied().unwrap_or(SubnetId(0));
        let edge = match side {
            Side::Internal => Edge::Subnet(subnet),
            Side::External => Edge::Service {
                service: self.service,
                identity: self.shape.endpoint.then_some(Identity {
                    vnet: self.vnet,
                    subnet,
                    address: *talk.internal.ip(),
                }),
            },
        };
        self.edges.push(edge.into());
        self.frames.put(talk.tuple(side), kind, side);
    }

    /// Sends the ring, timed as a whole.
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
    // The site that announces routes is also a tenant, with a guaranteed quarter of the table.
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
    // Nobody takes events.
    settings.events = 0;
    settings
}

/// Runs the example of the measuring guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/measuring.md")]
struct MeasuringGuide;

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

    /// Flows outside the toggled subnet are as old as their first packet.
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
