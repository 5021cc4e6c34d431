//! The public view of flows.

pub(crate) mod cause;
pub(crate) mod close;
pub(crate) mod hit;
pub(crate) mod may_open;
pub(crate) mod open;
pub(crate) mod opens;
pub(crate) mod pending_reopen;
pub(crate) mod side;
pub(crate) mod state;
pub(crate) mod tcp;
pub(crate) mod track;

use core::error::Error;
use core::fmt;
use core::net::SocketAddrV4;

use vnetem_packet::{FiveTuple, Protocol, Reset, Rewrite};

use crate::table::key::Key;
use crate::{
    Cause, Chosen, Generation, MappingPolicy, RevalidationKey, Side, Sides, State, Tenant, Time,
    Wanted, Zone,
};

/// A flow to be opened.
///
/// Packets from the internal side have the key (`internal_zone`, `internal` to `remote`). Packets
/// from the external side have the key (`external_zone`, `remote` to `external`). If the source is
/// preserved, `external` equals `internal`. The identifier of an ICMP query stands in the port of
/// the side that asks, as in [`FiveTuple`]; the other port is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFlow<T> {
    /// The protocol.
    pub protocol: Protocol,
    /// The internal end, as the internal side knows it.
    pub internal: SocketAddrV4,
    /// The zone where packets from the internal side enter.
    pub internal_zone: Zone,
    /// The internal end, as the external side knows it.
    pub external: SocketAddrV4,
    /// The zone where packets from the external side enter.
    pub external_zone: Zone,
    /// The external end, which both sides know by the same address.
    pub remote: SocketAddrV4,
    /// The side that sent the first packet.
    pub initiator: Side,
    /// The key under which a change invalidates the cached decision.
    pub revalidation_key: RevalidationKey,
    /// The tenant charged if room is short. All flows of a revalidation key have the same one.
    pub tenant: Tenant,
    /// The configuration on which the decision was based.
    pub generation: Generation,
    /// The caller's cached decision.
    pub cached: T,
    /// Its shared mapping state, as [`choose`](crate::FlowTable::choose) gave it.
    pub mapping_policy: MappingPolicy,
}

/// A copy of a flow in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<T> {
    /// The protocol.
    pub protocol: Protocol,
    /// The internal end, as the internal side knows it.
    pub internal: SocketAddrV4,
    /// The zone where packets from the internal side enter.
    pub internal_zone: Zone,
    /// The internal end, as the external side knows it.
    pub external: SocketAddrV4,
    /// The zone where packets from the external side enter.
    pub external_zone: Zone,
    /// The external end, which both sides know by the same address.
    pub remote: SocketAddrV4,
    /// The side that sent the first packet.
    pub initiator: Side,
    /// The key under which a change invalidates the cached decision.
    pub revalidation_key: RevalidationKey,
    /// The configuration on which the latest decision was based.
    pub generation: Generation,
    /// The caller's cached decision.
    pub cached: T,
    /// The state.
    pub state: State,
    /// When it was opened.
    pub opened: Time,
    /// When its timer was last restarted.
    pub last: Time,
    /// Packets from each side. The table counts up to 2^32 - 1.
    pub packets: Sides<u64>,
    /// Bytes of these packets, IPv4 headers included.
    pub bytes: Sides<u64>,
}

/// The handle of a flow. It is harmless after its flow has ended: it finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId {
    pub(crate) slot: u32,
    pub(crate) stamp: u32,
}

/// The flow to which a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its handle.
    pub id: FlowId,
    /// The side from which the packet comes.
    pub side: Side,
    /// Whether the flow carries packets.
    pub standing: Standing,
}

/// Whether a flow carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It carries packets.
    Live,
    /// It was closed and only answers late segments
    /// ([`FlowTable::answer`](crate::FlowTable::answer)).
    Tombstone,
}

/// The result of tracking a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Track {
    /// The packet may be forwarded.
    Pass,
    /// The packet does not fit its flow. Nothing has changed.
    Invalid,
}

/// Why a flow could not be opened. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// There is no room for a flow (INV-memory-bounded).
    TableFull,
    /// There is no room for a flow of this tenant: the free room is guaranteed to others
    /// (docs/shares.md).
    ShareUsed,
    /// There is no room for another revalidation key, or none for this tenant.
    CellsFull,
    /// There is no room for shared mapping state, or none for this tenant: internal address,
    /// socket, remote or block.
    MappingsFull,
    /// A live flow has one of the two keys, or another socket has the external tuple, or the two
    /// keys are equal (INV-mapping-unique, INV-tuple-unique-per-side).
    TupleInUse,
    /// The external tuple is in hold-down (INV-hold-down-kept).
    TupleHeld,
}

impl OpenError {
    /// All errors.
    pub const ALL: [Self; 6] = [
        Self::TableFull,
        Self::ShareUsed,
        Self::CellsFull,
        Self::MappingsFull,
        Self::TupleInUse,
        Self::TupleHeld,
    ];
}

/// Resets that close a connection at both ends, each in the tuple that its receiver knows
/// (INV-generated-packets-valid).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Resets {
    /// To the internal side, in the name of the remote.
    pub to_internal: Option<Reset>,
    /// To the external side, from the external tuple.
    pub to_external: Option<Reset>,
}

/// A flow that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<T> {
    /// The flow at its end.
    pub flow: Flow<T>,
    /// Why it ended.
    pub cause: Cause,
    /// Resets for an established connection that timed out when idle (N-23); empty otherwise.
    pub resets: Resets,
}

impl<T> Flow<T> {
    /// Replaces the cached decision.
    #[must_use]
    #[inline]
    pub fn with<U>(self, cached: U) -> Flow<U> {
        Flow {
            protocol: self.protocol,
            internal: self.internal,
            internal_zone: self.internal_zone,
            external: self.external,
            external_zone: self.external_zone,
            remote: self.remote,
            initiator: self.initiator,
            revalidation_key: self.revalidation_key,
            generation: self.generation,
            cached,
            state: self.state,
            opened: self.opened,
            last: self.last,
            packets: self.packets,
            bytes: self.bytes,
        }
    }

    /// Says whether the external side sees another address or port.
    #[must_use]
    #[inline]
    pub fn is_translated(&self) -> bool {
        self.internal != self.external
    }

    /// Gives the new ends of packets from a side. The source becomes the external tuple, or the
    /// destination the internal end.
    #[must_use]
    #[inline]
    pub fn rewrite(&self, side: Side) -> Rewrite {
        if !self.is_translated() {
            return Rewrite::default();
        }
        match side {
            Side::Internal => Rewrite { source: Some(self.external), destination: None },
            Side::External => Rewrite { source: None, destination: Some(self.internal) },
        }
    }

    /// Gives the tuple of packets from a side, as that side sends them.
    #[must_use]
    #[inline]
    pub const fn tuple(&self, side: Side) -> FiveTuple {
        let (source, destination) = match side {
            Side::Internal => (self.internal, self.remote),
            Side::External => (self.remote, self.external),
        };
        FiveTuple { protocol: self.protocol, source, destination }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TableFull => "the table has no room for a flow",
            Self::ShareUsed => "the table has no room for a flow of this tenant",
            Self::CellsFull => "the table has no room for another revalidation key",
            Self::MappingsFull => "the table has no room for shared mapping state",
            Self::TupleInUse => "a flow or socket has this tuple",
            Self::TupleHeld => "the external tuple is in hold-down",
        })
    }
}

impl Error for OpenError {}

impl<T> NewFlow<T> {
    /// Describes the flow that an internal host opens behind a chosen tuple.
    ///
    /// It belongs to no tenant, and has revalidation key and generation 0.
    #[must_use]
    pub fn outbound(wanted: &Wanted, chosen: Chosen, cached: T) -> Self {
        Self {
            protocol: wanted.protocol,
            internal: wanted.internal,
            internal_zone: wanted.internal_zone,
            external: chosen.external,
            external_zone: wanted.external_zone,
            remote: wanted.remote,
            initiator: Side::Internal,
            revalidation_key: RevalidationKey(0),
            tenant: Tenant::NOBODY,
            generation: Generation(0),
            cached,
            mapping_policy: chosen.mapping_policy,
        }
    }
}

impl<T: Copy> NewFlow<T> {
    /// Gives the key of packets from a side.
    pub(crate) const fn key(&self, side: Side) -> Key {
        let (zone, source, destination) = match side {
            Side::Internal => (self.internal_zone, self.internal, self.remote),
            Side::External => (self.external_zone, self.remote, self.external),
        };
        Key::new(zone, &FiveTuple { protocol: self.protocol, source, destination })
    }
}
