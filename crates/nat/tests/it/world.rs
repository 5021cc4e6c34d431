//! A table with one connection, and the connection's two ends.

use std::net::SocketAddrV4;
use std::time::Duration;

use vnetem_nat::{
    FlowId, FlowTable, Generation, MappingPolicy, NewFlow, OpenError, RevalidationKey, Settings,
    Side, State, Tenant, Time, Track, Zone,
};
use vnetem_packet::Protocol;

use crate::packets::{ACK, Packet, SYN, Segment, at, segment};

pub(crate) const SUBNET: Zone = Zone(7);
/// The client's first sequence number.
pub(crate) const CLIENT: u32 = 1000;
/// The server's first sequence number.
pub(crate) const SERVER: u32 = 9000;

/// A table, the time, and the connection of [`flow`].
pub(crate) struct World {
    pub(crate) table: FlowTable<u32>,
    pub(crate) now: Time,
    pub(crate) new: NewFlow<u32>,
    pub(crate) id: FlowId,
}

/// Makes a flow of a client behind 20.1.1.1:1024 to a service.
pub(crate) fn flow(protocol: Protocol) -> NewFlow<u32> {
    NewFlow {
        protocol,
        internal: at([10, 0, 0, 4], 50_001),
        internal_zone: SUBNET,
        external: at([20, 1, 1, 1], 1024),
        external_zone: Zone::PUBLIC,
        remote: at([52, 239, 1, 9], if protocol == Protocol::ICMP { 0 } else { 443 }),
        initiator: Side::Internal,
        revalidation_key: RevalidationKey(1),
        tenant: Tenant::NOBODY,
        generation: Generation(1),
        cached: 0,
        mapping_policy: MappingPolicy::default(),
    }
}

/// Gives source and destination of packets from a side.
pub(crate) fn ends(new: &NewFlow<u32>, side: Side) -> (SocketAddrV4, SocketAddrV4) {
    match side {
        Side::Internal => (new.internal, new.remote),
        Side::External => (new.remote, new.external),
    }
}

/// Makes the packet with which a flow begins.
pub(crate) fn first(new: &NewFlow<u32>) -> Packet {
    let (source, destination) = ends(new, new.initiator);
    Packet::of(vnetem_packet::FiveTuple { protocol: new.protocol, source, destination })
}

pub(crate) fn open(
    table: &mut FlowTable<u32>,
    now: Time,
    new: NewFlow<u32>,
) -> Result<FlowId, OpenError> {
    let packet = first(&new);
    table.open(now, new, &packet.headers, &packet.bytes)
}

impl World {
    /// Opens the flow by its first packet; for TCP a SYN with the number [`CLIENT`].
    pub(crate) fn new(settings: Settings, new: NewFlow<u32>) -> Self {
        let mut table = FlowTable::new(settings);
        let now = Time(1_000_000_000);
        let id = open(&mut table, now, new).unwrap();
        Self { table, now, new, id }
    }

    pub(crate) fn opened(protocol: Protocol) -> Self {
        Self::new(Settings::replayable(0), flow(protocol))
    }

    /// Makes a TCP connection whose handshake is complete.
    pub(crate) fn established() -> Self {
        let mut world = Self::opened(Protocol::TCP);
        world.handshake();
        world
    }

    pub(crate) fn handshake(&mut self) {
        assert_eq!(self.external(segment(SYN | ACK, SERVER, CLIENT + 1, 0)), Track::Pass);
        assert_eq!(self.internal(segment(ACK, CLIENT + 1, SERVER + 1, 0)), Track::Pass);
        assert_eq!(self.state(), State::Established);
    }

    pub(crate) fn packet(&self, side: Side, segment: Segment) -> Packet {
        let (source, destination) = ends(&self.new, side);
        Packet::tcp(source, destination, segment)
    }

    pub(crate) fn send(&mut self, side: Side, packet: &Packet) -> Track {
        let (now, id) = (self.now, self.id);
        self.table.track(now, id, side, &packet.headers, &packet.bytes)
    }

    /// Tracks a segment from the client.
    pub(crate) fn internal(&mut self, segment: Segment) -> Track {
        let packet = self.packet(Side::Internal, segment);
        self.send(Side::Internal, &packet)
    }

    /// Tracks a segment from the server.
    pub(crate) fn external(&mut self, segment: Segment) -> Track {
        let packet = self.packet(Side::External, segment);
        self.send(Side::External, &packet)
    }

    pub(crate) fn state(&self) -> State {
        self.table.flow(self.id).unwrap().state
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }

    /// Says whether packets of the internal side still find the flow.
    pub(crate) fn is_found(&self) -> bool {
        let tuple = first(&self.new).headers.tuple();
        self.table.find(self.now, self.new.internal_zone, &tuple).is_some()
    }

    /// Removes all due flows and gives their causes in order.
    pub(crate) fn expire(&mut self) -> Vec<vnetem_nat::Cause> {
        let mut causes = Vec::new();
        self.table.expire(self.now, usize::MAX, &mut |ended| causes.push(ended.cause));
        causes
    }
}
