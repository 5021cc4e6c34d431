//! Flows as the model keeps them, and the zones in which tuples are unique.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use crate::said::Forward;
use vnetem::{
    AccessVerdict, Edge, EventKind, Network, NicId, PrivateEndpointId, ServiceId, SiteId,
    SourceMode, SubnetId, Time, VnetId,
    nat::{Block, Cause, Direction, Filtering},
};
use vnetem_nat::{HoldDown, Timers};

use super::Passed;
use super::rules::Socket;
use super::tcp::{Connection, State};
use super::wire::{self, Kind, Packet, Part, UDP};

/// A flow. Side 0 is internal, and its source may be translated. Side 1 is external.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) number: u64,
    pub(super) protocol: u8,
    /// The side that opened it: the internal one, except where the internet may open flows (N-11,
    /// T-03).
    pub(super) initiator: usize,
    pub(super) edges: [Edge; 2],
    /// The tenant charged: the network or site of its internal side when it opened.
    pub(super) tenant: Option<Tenant>,
    /// The place of its internal side, and the service of its far end (docs/shares.md).
    pub(super) revalidation_key: (Option<Edge>, Option<ServiceId>),
    /// Whether it is the first flow of a hairpin. The edge of its external side then has no meaning
    /// (T-33).
    pub(super) hairpins: bool,
    /// The zones of both sides, as they were when the flow opened.
    pub(super) zones: [Zone; 2],
    pub(super) internal: SocketAddrV4,
    pub(super) external: SocketAddrV4,
    pub(super) remote: SocketAddrV4,
    pub(super) translated: bool,
    pub(super) access: AccessVerdict,
    pub(super) stage: Stage,
    /// When the timer started.
    pub(super) started: Time,
    pub(super) deadline: Time,
    /// The timers of the method behind which it opened (N-15, N-23).
    pub(super) timers: Timers,
    /// How long its public tuple is in hold-down, by the same method (N-14).
    pub(super) hold: HoldDown,
    /// Whether it is a tombstone whose public tuple has left hold-down and is free (U-12).
    pub(super) released: bool,
    /// What its internal socket keeps beyond this flow (T-01, T-02).
    pub(super) share: Share,
    /// Whether its public address belongs to its internal address alone, port by port (N-11).
    pub(super) one_to_one: bool,
    /// Whether it counts against the limits of its internal address (T-10).
    pub(super) limited: bool,
    /// How long its opening delays the next one of its internal address (T-10).
    pub(super) pays: Option<Duration>,
    /// The port block of its internal address that has its port (T-09).
    pub(super) block: Option<Block>,
    /// Whether a change of configuration came and the flow was not revalidated since.
    pub(super) invalidated: bool,
}

/// What an internal socket keeps beyond its flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Nothing,
    /// A port that new flows try first (T-02).
    Kept,
    /// An endpoint-independent mapping (T-01) with its filter (T-03).
    Whole(Filtering),
}

/// A tenant, which has a share of everything that is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    Vnet(VnetId),
    Site(SiteId),
}

/// The progress of a flow.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Tcp(Connection),
    /// Whether the remote end has answered.
    Datagrams(bool),
    /// Closed by a change. It answers late segments.
    Tombstone {
        cause: Cause,
        at: Time,
        /// When each side was last answered.
        answers: [u64; 2],
    },
}

/// A flow event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The kind.
    pub kind: EventKind,
    /// Protocol, source and destination as the initiator sends them.
    pub initiator: (u8, SocketAddrV4, SocketAddrV4),
    /// The source that the far side sees.
    pub external: SocketAddrV4,
    /// The progress of the flow.
    pub state: vnetem::nat::State,
}

/// The zone in which a tuple is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    Public,
    Subnet(SubnetId),
    Nic(NicId),
    Platform(SubnetId),
    SameRegion(SubnetId),
    Endpoint(SubnetId),
    Site(SiteId),
    PrivateEndpoint(PrivateEndpointId),
}

impl Flow {
    /// Returns the internal socket.
    pub(super) fn socket(&self) -> Socket {
        (self.zones[0], self.protocol, self.internal)
    }

    /// Returns the internal address.
    pub(super) fn host(&self) -> (Zone, Ipv4Addr) {
        (self.zones[0], *self.internal.ip())
    }

    pub(super) const fn is_tombstone(&self) -> bool {
        matches!(self.stage, Stage::Tombstone { .. })
    }

    /// Returns whether a SYN of the initiator opens a new connection. It does over a tombstone and
    /// a reset connection, and over a finished one if its sequence number is higher
    /// (INV-syn-opens-anew, T-18).
    pub(super) fn gives_way_to(&self, packet: &Packet) -> bool {
        match (&self.stage, packet.segment()) {
            (Stage::Tcp(connection), Some(syn)) => connection.gives_way_to(&syn),
            (Stage::Tombstone { .. }, _) => true,
            _ => false,
        }
    }

    /// Rewrites a packet of a side, and says how it leaves.
    pub(super) fn carry(&self, side: usize, bytes: &[u8], packet: &Packet) -> Passed {
        let (source, destination) =
            if side == 0 { (self.external, self.remote) } else { (self.remote, self.internal) };
        let bytes = wire::readdress(bytes, packet, source, destination, packet.ttl - 1);
        Passed { forward: self.forward(side), bytes, hairpins: self.hairpins && side == 0 }
    }

    /// Forwards a reply as it is, by another edge than the one that the initiator's packets use
    ///
    pub(super) fn carry_elsewhere(
        &self,
        side: usize,
        to: Edge,
        bytes: &[u8],
        packet: &Packet,
    ) -> Passed {
        let (source, destination) = (packet.source, packet.destination);
        let bytes = wire::readdress(bytes, packet, source, destination, packet.ttl - 1);
        Passed { forward: Forward { to, ..self.forward(side) }, bytes, hairpins: false }
    }

    pub(super) fn forward(&self, side: usize) -> Forward {
        let direction = if side == self.initiator { Direction::Original } else { Direction::Reply };
        // Traffic from outside has its initiator outside, under its own address.
        let source = match self.translated && self.initiator == 0 {
            true => SourceMode::Translated(self.external),
            false => SourceMode::Preserved,
        };
        Forward { to: self.edges[1 - side], direction, source, access: self.access }
    }

    pub(super) fn first_packet(&self) -> Packet {
        first_packet(self.protocol, self.internal, self.remote)
    }

    pub(super) fn happening(&self, kind: EventKind) -> Happening {
        let (from, to) = match self.initiator {
            0 => (self.internal, self.remote),
            _ => (self.remote, self.external),
        };
        let initiator = (self.protocol, from, to);
        Happening { kind, initiator, external: self.external, state: self.state() }
    }

    /// Returns the progress in the words of events.
    fn state(&self) -> vnetem::nat::State {
        use vnetem::nat::State as Told;
        match &self.stage {
            Stage::Tombstone { cause, .. } => Told::Tombstone(*cause),
            Stage::Datagrams(answered) => match self.protocol {
                UDP if *answered => Told::TwoWay,
                UDP => Told::OneWay,
                wire::ICMP => Told::Query,
                _ => Told::Opaque,
            },
            Stage::Tcp(connection) => match connection.state {
                State::SynSent => Told::SynSent,
                State::SynSent2 => Told::SynSent2,
                State::SynReceived => Told::SynReceived,
                State::Established => Told::Established,
                State::FinWait => Told::FinWait,
                State::CloseWait => Told::CloseWait,
                State::LastAck => Told::LastAck,
                State::TimeWait => Told::TimeWait,
                State::Close => Told::Close,
                State::Refused => Told::Refused,
            },
        }
    }

    /// Returns the resets that both sides accept as the other's, if its connection is open
    /// (INV-reset-number-exact).
    pub(super) fn resets(&self) -> Option<[Vec<u8>; 2]> {
        let Stage::Tcp(connection) = &self.stage else { return None };
        if connection.is_over() {
            return None;
        }
        let [internal, external_side] = [0, 1].map(|side| connection.end_of(side ^ self.initiator));
        let to_internal =
            wire::reset((self.remote, self.internal), external_side.unwrap_or(0), internal);
        let to_external =
            wire::reset((self.external, self.remote), internal.unwrap_or(0), external_side);
        Some([to_internal, to_external])
    }

    pub(super) fn timer(&self) -> Duration {
        let timers = &self.timers;
        match &self.stage {
            Stage::Tombstone { .. } => timers.tombstone,
            Stage::Datagrams(answered) => match self.protocol {
                UDP if *answered => timers.udp_two_way,
                UDP => timers.udp_one_way,
                wire::ICMP => timers.icmp,
                _ => timers.other,
            },
            Stage::Tcp(connection) => match connection.state {
                State::SynSent | State::SynSent2 => timers.syn_sent,
                State::SynReceived => timers.syn_received,
                State::Established => timers.established,
                State::FinWait => timers.fin_wait,
                State::CloseWait => timers.close_wait,
                State::LastAck => timers.last_ack,
                State::TimeWait => timers.time_wait,
                State::Close => timers.close,
                State::Refused => Duration::ZERO,
            },
        }
    }

    pub(super) fn cause_of_expiry(&self) -> Cause {
        match &self.stage {
            Stage::Tombstone { cause, .. } => *cause,
            Stage::Datagrams(_) => Cause::Idle,
            Stage::Tcp(connection) => match connection.state {
                State::SynSent | State::SynSent2 | State::SynReceived => Cause::HalfOpen,
                State::Established => Cause::Idle,
                State::Close | State::Refused => Cause::Reset,
                _ => Cause::Fin,
            },
        }
    }

    /// Returns when the public tuple of a flow that ends at `when` leaves hold-down. It counts from
    /// the end of the connection, which was earlier if the flow only waited since then (N-14).
    pub(super) fn rested_at(&self, cause: Cause, when: Time) -> Time {
        let (hold, over) = (&self.hold, self.started);
        match &self.stage {
            Stage::Datagrams(_) => when + hold.datagram,
            // U-12: as after a reset, or for the tombstone's life where there is no hold-down.
            Stage::Tombstone { .. } if hold.reset.is_zero() => when,
            Stage::Tombstone { at, .. } => *at + hold.reset,
            Stage::Tcp(connection) => match (connection.state, cause) {
                (State::TimeWait, _) | (State::LastAck, Cause::Fin) => over + hold.fin,
                (State::Close, _) => over + hold.reset,
                (_, Cause::HalfOpen) => over + hold.half_open,
                // One end finished, and then nothing arrived.
                (_, Cause::Idle | Cause::Fin) => when + hold.idle,
                _ => when + hold.reset,
            },
        }
    }

    /// Returns the same for a flow that ends by its timer.
    pub(super) fn rested_if_left(&self) -> Time {
        self.rested_at(self.cause_of_expiry(), self.deadline)
    }

    /// Returns whether no other flow can use its public tuple.
    pub(super) const fn has_tuple(&self) -> bool {
        self.translated && !self.released
    }
}

/// Makes a packet from the internal side, with the fields that routes read.
pub(super) fn first_packet(protocol: u8, internal: SocketAddrV4, remote: SocketAddrV4) -> Packet {
    Packet {
        source: internal,
        destination: remote,
        protocol,
        ttl: 64,
        identification: 0,
        dont_fragment: false,
        header: 20,
        total: 20,
        part: Part::Whole,
        kind: Kind::IcmpRequest,
    }
}

/// Returns the zone of an edge. An interface that forwards has its own, since packets that it
/// forwards for others are routed again.
pub(super) fn zone(net: &Network, edge: Edge) -> Zone {
    match edge {
        Edge::Subnet(id) => Zone::Subnet(id),
        Edge::Nic(id) => match net.nic(id) {
            Ok(nic) if !nic.ip_forwarding => Zone::Subnet(nic.subnet),
            _ => Zone::Nic(id),
        },
        Edge::Site(id) => Zone::Site(id),
        Edge::Platform(id) => Zone::Platform(id),
        Edge::SameRegion { subnet, .. } => Zone::SameRegion(subnet),
        Edge::Service { identity: Some(identity), .. } => Zone::Endpoint(identity.subnet),
        Edge::PrivateEndpoint(id) => Zone::PrivateEndpoint(id),
        Edge::Internet | Edge::Service { identity: None, .. } => Zone::Public,
    }
}

pub(super) const fn is_public(edge: Edge) -> bool {
    matches!(edge, Edge::Internet | Edge::Service { identity: None, .. })
}
