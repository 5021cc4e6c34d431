//! The small numbers and words in which flows are spoken of.

use core::hint::select_unpredictable;

/// An opaque number for a space in which a five-tuple means one thing: a realm, refined by the
/// place of entry.
///
/// Every key holds one, so that overlapping networks are no special case (INV-keys-name-network).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(pub u32);

impl Zone {
    /// The zone of all public traffic.
    pub const PUBLIC: Self = Self(0);
}

/// An opaque number for what a flow's judgement hangs on, for example (subnet, service).
///
/// A change of policy touches cells, and so the flows that it may concern and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevalidationKey(pub u32);

/// The number of a configuration; a later one is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// The two sides of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Whose source is rewritten if the flow is translated.
    Internal,
    /// The other one, which sees the external tuple.
    External,
}

/// The direction of a packet as seen from who opened its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the opener.
    Original,
    /// To the opener.
    Reply,
}

/// One value for each side of a flow: what was seen *from* that side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sides<V> {
    /// Of the inside.
    pub internal: V,
    /// Of the outside.
    pub external: V,
}

impl Side {
    /// The other side.
    #[must_use]
    #[inline]
    pub const fn other(self) -> Self {
        match self {
            Self::Internal => Self::External,
            Self::External => Self::Internal,
        }
    }

    /// The first value for the inside, the other for the outside. Packets come from both sides as
    /// they like, so that a branch would be guessed wrong half the time, and the processor would
    /// wait for the flow to find out.
    #[inline(always)]
    pub(crate) fn choose<V>(self, internal: V, external: V) -> V {
        select_unpredictable(self as u8 == 0, internal, external)
    }

    /// The direction of packets from this side, if `initiator` opened the flow.
    #[must_use]
    #[inline]
    pub fn direction(self, initiator: Self) -> Direction {
        if self == initiator { Direction::Original } else { Direction::Reply }
    }
}

impl<V: Copy> Sides<V> {
    /// The value of one side.
    #[must_use]
    #[inline]
    pub fn of(&self, side: Side) -> V {
        *side.choose(&self.internal, &self.external)
    }
}

/// [`Sides`] where every packet asks for one of them: found by the number of the side, which takes
/// neither branch nor choice.
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
