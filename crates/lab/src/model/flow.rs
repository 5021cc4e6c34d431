//! A flow as the model keeps it, and where tuples mean one thing.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem::{
    Cause, Direction, Edge, EventKind, Forward, Mark, Network, NicId, PrivateEndpointId, SiteId,
    SourceMode, SubnetId, Time,
};
use vnetem_nat::{HoldDown, Timers};

use super::rules::Socket;
use super::tcp::{Connection, State};
use super::wire::{self, Kind, Packet, Part, UDP};

/// A flow; who opened it is its inside.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) number: u64,
    pub(super) protocol: u8,
    pub(super) from: Edge,
    pub(super) to: Edge,
    /// Where packets of either side are looked up: as it was when the flow opened.
    pub(super) zones: [Zone; 2],
    pub(super) inside: SocketAddrV4,
    pub(super) external: SocketAddrV4,
    pub(super) remote: SocketAddrV4,
    pub(super) translated: bool,
    pub(super) mark: Mark,
    pub(super) stage: Stage,
    /// When the timer started.
    pub(super) started: Time,
    pub(super) deadline: Time,
    /// N-15, N-23: those of the method behind which it opened.
    pub(super) timers: Timers,
    /// Its socket has its port for itself (T-01).
    pub(super) whole: bool,
    /// It counts for its inside address (T-10).
    pub(super) limited: bool,
    /// A change of configuration came and the flow has not been judged by it.
    pub(super) touched: bool,
}

/// How far a flow has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Tcp(Connection),
    /// Whether the far end has answered.
    Datagrams(bool),
    /// Closed by a change; answers late segments.
    Tombstone {
        cause: Cause,
        at: Time,
        answers: u64,
    },
}

/// Something that happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    /// What.
    pub kind: EventKind,
    /// Protocol, source and destination as the opener sends them.
    pub opener: (u8, SocketAddrV4, SocketAddrV4),
    /// The source that the far side sees.
    pub external: SocketAddrV4,
}

/// Where a tuple means one thing.
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
    pub(super) const fn edges(&self) -> [Edge; 2] {
        [self.from, self.to]
    }

    /// The inside socket.
    pub(super) fn socket(&self) -> Socket {
        (self.zones[0], self.protocol, self.inside)
    }

    /// The inside address.
    pub(super) fn host(&self) -> (Zone, Ipv4Addr) {
        (self.zones[0], *self.inside.ip())
    }

    pub(super) const fn is_tombstone(&self) -> bool {
        matches!(self.stage, Stage::Tombstone { .. })
    }

    /// Whether a SYN of the opener begins anew: over a tombstone and a reset connection, and over a finished one if its number is
    /// higher (R9, T-18).
    pub(super) fn gives_way_to(&self, packet: &Packet) -> bool {
        match (&self.stage, packet.segment()) {
            (Stage::Tcp(connection), Some(syn)) => connection.gives_way_to(&syn),
            (Stage::Tombstone { .. }, _) => true,
            _ => false,
        }
    }

    /// The packet of a side between its new ends, and how it leaves.
    pub(super) fn carry(&self, side: usize, bytes: &[u8], packet: &Packet) -> (Forward, Vec<u8>) {
        let (source, destination) =
            if side == 0 { (self.external, self.remote) } else { (self.remote, self.inside) };
        (self.forward(side), wire::readdress(bytes, packet, source, destination, packet.ttl - 1))
    }

    pub(super) fn forward(&self, side: usize) -> Forward {
        let (to, direction) = match side {
            0 => (self.to, Direction::Forward),
            _ => (self.from, Direction::Reverse),
        };
        let source = match self.translated {
            true => SourceMode::Translated(self.external),
            false => SourceMode::Preserved,
        };
        Forward { to, direction, source, mark: self.mark }
    }

    /// The packet that opened the flow, as far as routes care.
    pub(super) fn first_packet(&self) -> Packet {
        Packet {
            source: self.inside,
            destination: self.remote,
            protocol: self.protocol,
            ttl: 64,
            identification: 0,
            dont_fragment: false,
            header: 20,
            total: 20,
            part: Part::Whole,
            kind: Kind::IcmpRequest,
        }
    }

    pub(super) fn happening(&self, kind: EventKind) -> Happening {
        Happening {
            kind,
            opener: (self.protocol, self.inside, self.remote),
            external: self.external,
        }
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

    pub(super) fn rest(&self, hold: &HoldDown, cause: Cause) -> Duration {
        match (&self.stage, cause) {
            (Stage::Datagrams(_), _) => hold.datagram,
            (Stage::Tcp(connection), _) if connection.state == State::TimeWait => hold.fin,
            (_, Cause::Fin) => hold.fin,
            (_, Cause::HalfOpen) => hold.half_open,
            (_, Cause::Idle) => hold.idle,
            _ => hold.reset,
        }
    }
}

/// The zone of an edge; an interface that forwards has its own, since what it emits for others is judged afresh.
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
