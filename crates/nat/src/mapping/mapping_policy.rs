//! The mapping state that a flow shares with others of its pool, and the keys of that state.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{FiveTuple, Protocol};

use crate::mapping::rules::{Filtering, Limits, PoolRules};
use crate::table::key::Key;
use crate::time::nanoseconds;
use crate::{TimerProfile, Zone};

/// The mapping state that a new flow shares. [`FlowTable::choose`](crate::FlowTable::choose) makes
/// it; the default shares nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingPolicy {
    pub(crate) socket: SocketRule,
    /// Whether it counts for its internal address.
    pub(crate) counts: bool,
    /// By how many nanoseconds it delays the next flow of its internal address.
    pub(crate) delays: u64,
    pub(crate) block: Option<Block>,
    /// Whether no other host can ever get its external tuple, so that the tuple needs no hold-down.
    pub(crate) alone: bool,
    /// Its timers, which are kept in its own record.
    pub(crate) timers: TimerProfile,
}

impl MappingPolicy {
    /// For a flow whose external address belongs to its internal address alone, port by port.
    /// Nobody else can get its tuple, so it may be reopened at once (N-11).
    pub const ONE_TO_ONE: Self = Self { alone: true, ..Self::NONE };
    const NONE: Self = Self {
        socket: SocketRule::None,
        counts: false,
        delays: 0,
        block: None,
        alone: false,
        timers: TimerProfile::Table,
    };

    /// Replaces the timers.
    #[must_use]
    #[inline]
    pub const fn with_timers(self, timers: TimerProfile) -> Self {
        Self { timers, ..self }
    }
}

/// What an internal socket owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SocketRule {
    /// Nothing beyond its flows.
    #[default]
    None,
    /// A port that its new flows try first (T-02).
    Kept,
    /// A port of its own, with this filtering (T-01, T-03).
    Independent(Filtering),
}

/// Ports of one external address that belong to one internal address (T-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The external address.
    pub address: Ipv4Addr,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// The internal socket that a packet from the external side may reach without a flow (T-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The socket.
    pub internal: SocketAddrV4,
    /// The zone where its packets enter.
    pub zone: Zone,
    /// The mapping state that the packet's flow shares with others of the socket.
    pub mapping_policy: MappingPolicy,
}

impl MappingPolicy {
    /// Gives the state that flows of a pool with these rules share, without the block.
    pub(crate) fn of(rules: &PoolRules) -> Self {
        let socket = match rules.is_independent() {
            true => SocketRule::Independent(rules.filtering),
            false if rules.keep_port || rules.limits.ports > 0 => SocketRule::Kept,
            false => SocketRule::None,
        };
        let delays = rules.limits.rate.map_or(0, |rate| nanoseconds(rate.interval));
        let counts = rules.limits != Limits::default();
        Self { socket, counts, delays, block: None, alone: false, timers: rules.timers }
    }

    /// Gives the filtering of the internal socket's port, if the socket owns it.
    pub(crate) const fn filtering(&self) -> Option<Filtering> {
        match self.socket {
            SocketRule::Independent(filtering) => Some(filtering),
            SocketRule::None | SocketRule::Kept => None,
        }
    }

    pub(crate) const fn is_none(&self) -> bool {
        let Self { socket, counts, delays, block, alone, timers: _ } = self;
        matches!(socket, SocketRule::None) && !*counts && *delays == 0 && block.is_none() && !*alone
    }
}

impl Block {
    pub(crate) fn key(&self, zone: Zone) -> Key {
        let destination = SocketAddrV4::new(self.address, self.first);
        Key::new(zone, &FiveTuple { protocol: Protocol(0), source: NOWHERE, destination })
    }
}

const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

pub(crate) fn host_key(zone: Zone, internal: SocketAddrV4) -> Key {
    let source = SocketAddrV4::new(*internal.ip(), 0);
    Key::new(zone, &FiveTuple { protocol: Protocol(0), source, destination: NOWHERE })
}

/// Gives the key of an internal socket. The two rules have separate keys, since the rules of a pool
/// may change.
pub(crate) fn socket_key(
    rule: SocketRule,
    zone: Zone,
    protocol: Protocol,
    source: SocketAddrV4,
) -> Option<Key> {
    let mark = match rule {
        SocketRule::None => return None,
        SocketRule::Kept => 0,
        SocketRule::Independent(_) => 1,
    };
    let destination = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, mark);
    Some(Key::new(zone, &FiveTuple { protocol, source, destination }))
}

/// Gives the external key of a flow without its remote, for an endpoint-independent mapping.
pub(crate) fn endpoint_independent(external: &Key) -> Key {
    let FiveTuple { protocol, destination, .. } = external.tuple();
    Key::new(external.zone(), &FiveTuple { protocol, source: NOWHERE, destination })
}

/// Gives the external key of a flow without the remote's port, for a permitted remote.
pub(crate) fn permitted_remote(external: &Key) -> Key {
    let FiveTuple { protocol, source, destination } = external.tuple();
    let source = SocketAddrV4::new(*source.ip(), 0);
    Key::new(external.zone(), &FiveTuple { protocol, source, destination })
}
