//! What a flow may share with others of its pool, and the keys under which that stands.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{FiveTuple, Protocol};

use crate::mapping::rules::{Filtering, Limits, PoolRules};
use crate::table::key::Key;
use crate::time::nanoseconds;
use crate::{TimerProfile, Zone};

/// What a new flow shares with others of its pool; made by
/// [`FlowTable::choose`](crate::FlowTable::choose). The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingPolicy {
    pub(crate) socket: SocketRule,
    /// Whether it counts for its inside address.
    pub(crate) counts: bool,
    /// Nanoseconds by which its opening delays the next one of its inside address.
    pub(crate) delays: u64,
    pub(crate) block: Option<Block>,
    /// Whether its external tuple is nobody else's in any case, so that it need not have rested.
    pub(crate) alone: bool,
    /// Its timers, which stand in its own record.
    pub(crate) timers: TimerProfile,
}

impl MappingPolicy {
    /// For a flow behind an external address that belongs to its inside address alone, port by
    /// port: nobody else can be given its tuple, so that it may be opened again at once (N-11).
    pub const ONE_TO_ONE: Self = Self { alone: true, ..Self::NONE };
    const NONE: Self = Self {
        socket: SocketRule::None,
        counts: false,
        delays: 0,
        block: None,
        alone: false,
        timers: TimerProfile::Table,
    };

    /// The same, with other timers.
    #[must_use]
    #[inline]
    pub const fn with_timers(self, timers: TimerProfile) -> Self {
        Self { timers, ..self }
    }
}

/// What an inside socket has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SocketRule {
    /// Nothing beyond its flows.
    #[default]
    None,
    /// A port that it tries first (T-02).
    Kept,
    /// A port of its own (T-01), at which it is reached so (T-03).
    Whole(Filtering),
}

/// Ports of one external address that belong to one inside address (T-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The external address.
    pub address: Ipv4Addr,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// The inside socket to which a packet from the outside may come without a flow (T-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The socket.
    pub internal: SocketAddrV4,
    /// Where its packets enter.
    pub zone: Zone,
    /// What the flow that the packet opens shares with the others of the socket.
    pub mapping_policy: MappingPolicy,
}

impl MappingPolicy {
    /// What flows of a pool with these rules share, but for the block.
    pub(crate) fn of(rules: &PoolRules) -> Self {
        let socket = match rules.is_independent() {
            true => SocketRule::Whole(rules.filtering),
            false if rules.keep_port || rules.limits.ports > 0 => SocketRule::Kept,
            false => SocketRule::None,
        };
        let delays = rules.limits.rate.map_or(0, |rate| nanoseconds(rate.interval));
        let counts = rules.limits != Limits::default();
        Self { socket, counts, delays, block: None, alone: false, timers: rules.timers }
    }

    /// Whom the port of the inside socket lets in, if it is the socket's own.
    pub(crate) const fn filtering(&self) -> Option<Filtering> {
        match self.socket {
            SocketRule::Whole(filtering) => Some(filtering),
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

/// Whole sockets and those that only keep a port stand apart, since the rules of a pool may change.
pub(crate) fn socket_key(
    rule: SocketRule,
    zone: Zone,
    protocol: Protocol,
    source: SocketAddrV4,
) -> Option<Key> {
    let mark = match rule {
        SocketRule::None => return None,
        SocketRule::Kept => 0,
        SocketRule::Whole(_) => 1,
    };
    let destination = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, mark);
    Some(Key::new(zone, &FiveTuple { protocol, source, destination }))
}

/// The outside key of a flow without its remote: the external tuple as such.
pub(crate) fn endpoint_independent(external: &Key) -> Key {
    let FiveTuple { protocol, destination, .. } = external.tuple();
    Key::new(external.zone(), &FiveTuple { protocol, source: NOWHERE, destination })
}

/// The outside key of a flow without the remote's port.
pub(crate) fn permitted_remote(external: &Key) -> Key {
    let FiveTuple { protocol, source, destination } = external.tuple();
    let source = SocketAddrV4::new(*source.ip(), 0);
    Key::new(external.zone(), &FiveTuple { protocol, source, destination })
}
