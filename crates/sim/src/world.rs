//! A data plane with hosts around it on virtual time: everything that moves packets in a scenario.

mod check;
mod clock;
mod front_end;
mod journey;
mod passing;
#[cfg(feature = "tokio")]
mod sockets;
mod station;
mod tap;
mod wire;

use core::net::{Ipv4Addr, SocketAddrV4};
use core::task::Waker;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use vnetem::{
    DataPlane, Disposition, Edge, Event, EventKind, ServiceId, Settings, Snapshot, Time, Transmit,
    Verdict, nat::Keys, trace::Trace, tunnel::TunnelSettings,
};
use vnetem_packet::{AddressClass, FiveTuple, Headers};

pub use front_end::{FrontEnds, Served};
pub use journey::Journey;
pub use tap::{Tap, Tapped};

use crate::engine::{Agenda, Index};
use crate::{
    Appliance, ConnectError, Connection, ConnectionId, Host, HostSettings, Link, LinkSettings,
};
use journey::Journeys;
pub use station::LinkState;
pub use station::StationId;
pub(crate) use station::{Body, Station};
use station::{Spot, Way};
use wire::Wire;

/// A data plane, hosts, appliances, front ends, the links between them, and one clock.
///
/// Time moves only in [`World::run_until`] and [`World::run_while`], from event to event. Same
/// seed, same calls: same bytes.
pub struct World<'a> {
    now: Time,
    seed: u64,
    data_plane: DataPlane,
    stations: Vec<Station>,
    front_ends: FrontEnds,
    journeys: Journeys,
    link: LinkSettings,
    tap: Option<Box<Tap<'a>>>,
    /// Services whose front ends read the identity from the bytes.
    wires: BTreeMap<ServiceId, Wire>,
    numbered: u64,
    closed: Vec<Event>,
    made: Vec<Transmit>,
    undelivered: u64,
    faults: Vec<String>,
    /// When stations have something to do.
    agenda: Agenda,
    /// Who takes the packets that leave; where two stand at one place, the first.
    spots: Index<Spot, StationId>,
    /// Stations that answer for a service by whatever path.
    fronts: Vec<StationId>,
    /// Whether journeys, closed flows and packets of the data plane's own are kept.
    records_history: bool,
    applying: bool,
    /// Tasks that wait for what has happened.
    wakes: Vec<Waker>,
}

/// What became of a packet that was put in at an edge.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Why, step by step; made before the packet went in.
    pub trace: Trace,
    /// The final word.
    pub verdict: Verdict,
    /// The bytes as they left, or as they came if they did not.
    pub packet: Bytes,
    /// Packets that the data plane made itself in answer.
    pub made: Vec<Transmit>,
}

/// What a change did at once.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Flows that it closed.
    pub closed: Vec<Event>,
    /// Packets that tell the ends.
    pub made: Vec<Transmit>,
}

impl<'a> World<'a> {
    /// Makes a world with nobody in it, at time 0.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, mut settings: Settings, seed: u64) -> Self {
        settings.flows.keys = Keys::replayable(mix(seed, 0));
        Self {
            now: Time(0),
            seed,
            data_plane: DataPlane::new(snapshot, settings),
            stations: Vec::new(),
            front_ends: FrontEnds::default(),
            journeys: Journeys::default(),
            link: LinkSettings::clean(core::time::Duration::from_millis(1)),
            tap: None,
            wires: BTreeMap::new(),
            numbered: 0,
            closed: Vec::new(),
            made: Vec::new(),
            undelivered: 0,
            faults: Vec::new(),
            agenda: Agenda::default(),
            spots: Index::default(),
            fronts: Vec::new(),
            records_history: true,
            applying: false,
            wakes: Vec::new(),
        }
    }

    /// Shows every packet that enters, leaves or is dropped from now on.
    pub fn tap(&mut self, tap: Box<Tap<'a>>) {
        self.tap = Some(tap);
    }

    /// Sets the links of hosts that are added from now on, front ends included.
    pub fn set_link(&mut self, settings: LinkSettings) {
        self.link = settings;
    }

    /// Returns the time of the simulated clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Returns the data plane.
    #[must_use]
    pub fn data_plane(&self) -> &DataPlane {
        &self.data_plane
    }

    /// Packets that left for a place where nobody is.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// Puts a host at an edge: the internet, a site or a declared interface.
    pub fn add_host(&mut self, name: &str, edge: Edge, address: Ipv4Addr) -> StationId {
        let seed = self.next_seed();
        let host = Host::new(settings(address, seed));
        self.add_station(name, edge, address, Body::Host(Box::new(host)))
    }

    /// Puts an appliance behind a declared interface that forwards.
    pub fn add_appliance(&mut self, name: &str, edge: Edge, appliance: Appliance) -> StationId {
        let address = appliance.address();
        self.add_station(name, edge, address, Body::Appliance(Box::new(appliance)))
    }

    /// Lets a resource answer: the front ends of its service speak for it from now on.
    pub fn serve(&mut self, name: &str, served: Served) {
        self.front_ends.serve(name, served);
        let apps = self.front_ends.ports();
        for station in &mut self.stations {
            if let (
                Edge::Service { .. } | Edge::SameRegion { .. } | Edge::PrivateEndpoint(_),
                Body::Host(host),
            ) = (station.edge, &mut station.body)
            {
                apps.iter().for_each(|&(port, app)| host.listen(port, app));
            }
        }
    }

    /// Puts the front ends of a service behind a tunnel, so that they know callers over endpoints
    /// by the bytes alone.
    pub fn set_wire(&mut self, service: ServiceId, settings: TunnelSettings) {
        self.wires.insert(service, Wire::new(service, settings));
    }

    /// Returns what the tunnel of a service has carried, in words; empty for a service without one.
    #[must_use]
    pub fn wire(&self, service: ServiceId) -> Vec<String> {
        self.wires.get(&service).map_or_else(Vec::new, Wire::lines)
    }

    /// Returns the host of a station, to call others from it or to make it serve.
    pub fn host(&mut self, id: StationId) -> Option<&mut Host> {
        self.schedule_now(id);
        match &mut self.stations.get_mut(id.0)?.body {
            Body::Host(host) => Some(host),
            _ => None,
        }
    }

    /// Returns the host of a station, to look at.
    #[must_use]
    pub fn host_at(&self, id: StationId) -> Option<&Host> {
        match &self.stations.get(id.0)?.body {
            Body::Host(host) => Some(host),
            _ => None,
        }
    }

    /// Returns where a station's packets enter.
    #[must_use]
    pub fn edge(&self, id: StationId) -> Option<Edge> {
        self.stations.get(id.0).map(|station| station.edge)
    }

    /// Returns the server's end of a connection at an edge: what a caller that comes as `client` is
    /// there.
    #[must_use]
    pub fn server_side(
        &self,
        server: SocketAddrV4,
        client: SocketAddrV4,
        edge: Edge,
    ) -> Option<&Connection> {
        let id = self.spots.get(&Spot::of(edge, *server.ip()))?;
        let station = self.stations.get(id.0)?;
        let Body::Host(host) = &station.body else { return None };
        // Who is called by the public address of its interface knows only its own.
        let own = SocketAddrV4::new(station.address, server.port());
        let ours = |connection: &&Connection| {
            [server, own].contains(&connection.local) && connection.remote == client
        };
        host.connections().map(|(_, connection)| connection).filter(ours).last()
    }

    /// Returns the appliance of a station.
    #[must_use]
    pub fn appliance(&self, id: StationId) -> Option<&Appliance> {
        match &self.stations.get(id.0)?.body {
            Body::Appliance(appliance) => Some(appliance),
            _ => None,
        }
    }

    /// Returns a station by its name.
    #[must_use]
    pub fn station(&self, name: &str) -> Option<StationId> {
        self.stations.iter().position(|station| station.name == name).map(StationId)
    }

    /// Calls `remote` from a host and sends `request` once the connection is open.
    ///
    /// # Errors
    ///
    /// See [`Host::connect`]. A station that is no host calls nobody.
    pub fn call(
        &mut self,
        id: StationId,
        remote: SocketAddrV4,
        request: Bytes,
    ) -> Result<ConnectionId, ConnectError> {
        let now = self.now;
        let local = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let host = self.host(id).ok_or(ConnectError::Unaddressable { local, remote })?;
        host.connect(now, remote, request, None)
    }

    /// Returns a connection of a host.
    #[must_use]
    pub fn connection(&self, id: StationId, connection: ConnectionId) -> Option<&Connection> {
        match &self.stations.get(id.0)?.body {
            Body::Host(host) => host.connection(connection),
            _ => None,
        }
    }

    /// Returns how the opening packet of a host's connection travelled, if it got as far as the
    /// data plane.
    #[must_use]
    pub fn journey(&self, id: StationId, connection: ConnectionId) -> Option<&Journey> {
        let connection = self.connection(id, connection)?;
        self.journeys.of(id, connection.local, connection.remote)
    }

    /// Returns the calls at a resource, at all its front ends, in order of time.
    #[must_use]
    pub fn access_log(&self, resource: &str) -> Vec<&crate::Access> {
        let hosts =
            self.stations.iter().filter_map(|station| match (&station.body, station.edge) {
                (
                    Body::Host(host),
                    Edge::Service { .. } | Edge::SameRegion { .. } | Edge::PrivateEndpoint(_),
                ) => Some(host),
                (Body::Host(host), _) if station.name == resource => Some(host),
                _ => None,
            });
        let mut log: Vec<&crate::Access> = hosts
            .flat_map(|host| host.access_log())
            .filter(|access| front_end::label(&access.call.host) == resource)
            .collect();
        log.sort_by_key(|access| access.call.time);
        log
    }

    /// Puts a packet in at an edge, past all links, and delivers what comes of it.
    pub fn inject(&mut self, edge: Edge, packet: Bytes) -> Passage {
        let before = self.made.len();
        let (trace, verdict, packet) = self.enter(None, edge, packet, true);
        let made = self.made.get(before..).unwrap_or_default().to_vec();
        let trace = trace.unwrap_or_else(|| self.data_plane.trace(self.now, edge, &packet));
        Passage { trace, verdict, packet, made }
    }

    /// Takes a new configuration and does all the closing that it asks for.
    pub fn apply(&mut self, snapshot: Arc<Snapshot>) -> Changed {
        let (closed, made) = (self.closed.len(), self.made.len());
        self.applying = true;
        self.data_plane.apply(self.now, snapshot);
        self.drain();
        self.applying = false;
        let changed = Changed {
            closed: self.closed.get(closed..).unwrap_or_default().to_vec(),
            made: self.made.get(made..).unwrap_or_default().to_vec(),
        };
        if !self.records_history {
            self.made.clear();
            self.closed.clear();
        }
        changed
    }

    /// Flows that changes have closed so far.
    #[must_use]
    pub fn closed(&self) -> &[Event] {
        &self.closed
    }

    fn next_seed(&self) -> u64 {
        mix(self.seed, 1 + 4 * self.stations.len() as u64)
    }

    fn add_station(&mut self, name: &str, edge: Edge, address: Ipv4Addr, body: Body) -> StationId {
        let id = StationId(self.stations.len());
        let base = 4 * id.0 as u64;
        let up = Link::new(self.link, mix(self.seed, base + 2));
        let down = Link::new(self.link, mix(self.seed, base + 3));
        let (passage, held) = (LinkState::Passing, Vec::new());
        let name = name.to_owned();
        self.stations.push(Station { name, edge, address, body, up, down, passage, held });
        self.spots.entry(Spot::of(edge, address)).or_insert(id);
        id
    }
}

impl core::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("stations", &self.stations.len())
            .finish_non_exhaustive()
    }
}

/// What hosts and front ends of a world are. They serve everybody who calls: a server that is too
/// busy would look like a network that refuses.
fn settings(address: Ipv4Addr, seed: u64) -> HostSettings {
    HostSettings { serve_limit: usize::MAX, ..HostSettings::new(address, seed) }
}

/// One seed of many from one (SplitMix64).
fn mix(seed: u64, stream: u64) -> u64 {
    let mut z = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
