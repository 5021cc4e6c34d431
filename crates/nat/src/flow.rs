//! Flows as callers see them.

pub(crate) mod cause;
pub(crate) mod close;
pub(crate) mod hit;
pub(crate) mod open;
pub(crate) mod opens;
pub(crate) mod pending_reopen;
pub(crate) mod side;
pub(crate) mod state;
pub(crate) mod tcp;
pub(crate) mod track;

use core::net::SocketAddrV4;

use vnetem_packet::{FiveTuple, Protocol, Reset, Rewrite};

use crate::table::key::Key;
use crate::{
    Cause, Generation, MappingPolicy, RevalidationKey, Side, Sides, State, Tenant, Time, Zone,
};

/// A flow that is to be opened.
///
/// Packets from the inside have the key (`internal_zone`, `inside` to `remote`), those from the
/// outside (`external_zone`, `remote` to `external`). Where the source is preserved, `external`
/// equals `inside`. For ICMP queries the identifier stands in the port of the side that asks, as in
/// [`FiveTuple`]; the other port is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFlow<T> {
    /// The protocol.
    pub protocol: Protocol,
    /// The inside end, as the inside knows it.
    pub internal: SocketAddrV4,
    /// Where packets from the inside enter.
    pub internal_zone: Zone,
    /// The inside end, as the outside knows it.
    pub external: SocketAddrV4,
    /// Where packets from the outside enter.
    pub external_zone: Zone,
    /// The outside end, the same for both.
    pub remote: SocketAddrV4,
    /// Which side sent the first packet.
    pub initiator: Side,
    /// What the judgement hangs on.
    pub revalidation_key: RevalidationKey,
    /// The tenant charged where room is short; all flows of a cell have the same one.
    pub tenant: Tenant,
    /// The configuration that judged.
    pub generation: Generation,
    /// What the caller decided, kept with the flow.
    pub cached: T,
    /// What it shares with others of its pool, as [`choose`](crate::FlowTable::choose) said.
    pub mapping_policy: MappingPolicy,
}

/// A flow of the table, as it was when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<T> {
    /// The protocol.
    pub protocol: Protocol,
    /// The inside end, as the inside knows it.
    pub internal: SocketAddrV4,
    /// Where packets from the inside enter.
    pub internal_zone: Zone,
    /// The inside end, as the outside knows it.
    pub external: SocketAddrV4,
    /// Where packets from the outside enter.
    pub external_zone: Zone,
    /// The outside end, the same for both.
    pub remote: SocketAddrV4,
    /// Which side sent the first packet.
    pub initiator: Side,
    /// What the judgement hangs on.
    pub revalidation_key: RevalidationKey,
    /// The configuration that judged last.
    pub generation: Generation,
    /// What the caller decided.
    pub cached: T,
    /// How far the flow has come.
    pub state: State,
    /// When it was opened.
    pub opened: Time,
    /// When its timer started last.
    pub last: Time,
    /// Packets from each side. The table counts up to 2^32 - 1.
    pub packets: Sides<u64>,
    /// Bytes of these packets, IPv4 headers included.
    pub bytes: Sides<u64>,
}

/// The handle of a flow. One that is kept longer than its flow is harmless: nothing is found by it.
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
    /// Whether it carries packets.
    pub standing: Standing,
}

/// Whether a flow carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Live,
    /// It was closed and only answers late segments
    /// ([`FlowTable::answer`](crate::FlowTable::answer)).
    Tombstone,
}

/// What tracking says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Track {
    /// It may go on.
    Pass,
    /// It has no place in the flow; nothing has changed.
    Invalid,
}

/// Why a flow could not be opened. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No room for a flow (INV-memory-bounded).
    TableFull,
    /// No room for a flow of this tenant: what is free is the others' (docs/shares.md).
    ShareUsed,
    /// No room for one more cell, or none for this tenant.
    CellsFull,
    /// No room for what it shares with others of its pool, or none for this tenant: inside address,
    /// socket, remote or block.
    MappingsFull,
    /// A live flow has one of the two keys, or another socket the external tuple; or the two keys
    /// are the same (INV-mapping-unique, INV-tuple-unique-per-side).
    TupleInUse,
    /// The external tuple is in hold-down (INV-hold-down-kept).
    TupleHeld,
}

impl OpenError {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::TableFull,
        Self::ShareUsed,
        Self::CellsFull,
        Self::MappingsFull,
        Self::TupleInUse,
        Self::TupleHeld,
    ];
}

/// The resets that tell both ends that their connection is closed; each in the tuple that its
/// receiver knows (INV-generated-packets-valid).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Resets {
    /// To the inside, in the name of the remote.
    pub to_internal: Option<Reset>,
    /// To the outside, from the external tuple.
    pub to_external: Option<Reset>,
}

/// A flow that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<T> {
    /// What it was at its end.
    pub flow: Flow<T>,
    /// Why it ended.
    pub cause: Cause,
    /// What would tell both ends, if it was an established connection that idled out (N-23); none
    /// otherwise.
    pub resets: Resets,
}

impl<T> Flow<T> {
    /// The same flow with something else in place of the judgement.
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

    /// Whether the outside sees another address or port than the inside has.
    #[must_use]
    #[inline]
    pub fn is_translated(&self) -> bool {
        self.internal != self.external
    }

    /// The new ends of packets from a side: the inside's source becomes the external tuple, the
    /// outside's destination the inside one.
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

    /// The tuple of packets from a side, as that side sends them.
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

impl<T: Copy> NewFlow<T> {
    /// The key of packets from a side.
    pub(crate) const fn key(&self, side: Side) -> Key {
        let (zone, source, destination) = match side {
            Side::Internal => (self.internal_zone, self.internal, self.remote),
            Side::External => (self.external_zone, self.remote, self.external),
        };
        Key::new(zone, &FiveTuple { protocol: self.protocol, source, destination })
    }
}
