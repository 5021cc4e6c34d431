//! Small types that describe flows: zones, sides, directions.

use core::hint::select_unpredictable;

/// An opaque number for a space in which a five-tuple is unique: a realm refined by the place of
/// entry.
///
/// Every key has one, so overlapping networks need no special case (INV-keys-name-network).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(pub u32);

impl Zone {
    /// The zone of all public traffic.
    pub const PUBLIC: Self = Self(0);
}

/// An opaque number for what a cached decision depends on, for example (subnet, service).
///
/// A policy change invalidates keys, and so only the flows that it may affect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevalidationKey(pub u32);

/// The number of a configuration. A later configuration has a greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// The two sides of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The side whose source is rewritten if the flow is translated.
    Internal,
    /// The other side, which sees the external tuple.
    External,
}

/// The direction of a packet relative to the flow's initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the initiator.
    Original,
    /// To the initiator.
    Reply,
}

/// One value for each side of a flow, for what came *from* that side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sides<V> {
    /// Of the internal side.
    pub internal: V,
    /// Of the external side.
    pub external: V,
}

impl Side {
    /// Gives the other side.
    #[must_use]
    #[inline]
    pub const fn other(self) -> Self {
        match self {
            Self::Internal => Self::External,
            Self::External => Self::Internal,
        }
    }

    /// Gives `internal` for the internal side and `external` for the other, without a branch.
    ///
    /// Packets of both sides alternate, so a branch would be mispredicted half the time and stall
    /// the processor.
    #[inline(always)]
    pub(crate) fn choose<V>(self, internal: V, external: V) -> V {
        select_unpredictable(self as u8 == 0, internal, external)
    }

    /// Gives the direction of packets from this side, if `initiator` opened the flow.
    #[must_use]
    #[inline]
    pub fn direction(self, initiator: Self) -> Direction {
        if self == initiator { Direction::Original } else { Direction::Reply }
    }
}

impl<V: Copy> Sides<V> {
    /// Gives the value of one side.
    #[must_use]
    #[inline]
    pub fn of(&self, side: Side) -> V {
        *side.choose(&self.internal, &self.external)
    }
}

/// [`Sides`] that are indexed by the number of the side, without a branch, for values that every
/// packet reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pair<V>(pub(crate) [V; 2]);

impl<V: Copy + Default> Pair<V> {
    #[inline(always)]
    pub(crate) fn of(&self, side: Side) -> V {
        self.0.get(side as usize).copied().unwrap_or_default()
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, side: Side, value: V) {
        if let Some(place) = self.0.get_mut(side as usize) {
            *place = value;
        }
    }
}
