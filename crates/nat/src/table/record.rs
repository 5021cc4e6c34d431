//! The record of a flow: what nearly every packet reads, in one cache line.

use core::net::SocketAddrV4;

use vnetem_packet::{AddressPair, Protocol, Rewrite};

use crate::flow::side::Pair;
use crate::flow::tcp::{Connection, NO_SCALES, OPENED_OUTSIDE};
use crate::table::detail::{Detail, Totals};
use crate::table::key::{Key, Words, ends};
use crate::table::slab::Slot;
use crate::{Flow, NewFlow, RevalidationKey, Side, Sides, State, Time};

/// A flow, both directions in one record, so that both keys live and end together
/// (INV-both-halves-end). Its [`Detail`] and [`Totals`] have the same number.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Record<T> {
    /// When its timer was last restarted.
    pub(crate) last: u64,
    /// The key of packets from each side. Both contain the remote end, so that neither must be
    /// assembled.
    keys: Pair<Words>,
    /// The slot of the revalidation key, and above it the row of the timers. For a free record, the
    /// next free one.
    key_and_timers: u32,
    /// Bytes and packets from each side since they were last added to the totals.
    recent_bytes: Pair<u16>,
    recent_packets: Pair<u8>,
    pub(crate) cached: T,
    protocol: Protocol,
    pub(crate) state: State,
    /// Window scale of the internal side (low four bits) and the external side (high four bits).
    pub(crate) scales: u8,
    pub(crate) marks: u8,
}

/// The most revalidation keys that records can number.
pub(crate) const MOST_REVALIDATION_KEYS: u32 = 1 << KEY_BITS;
const KEY_BITS: u32 = 24;

/// Marks a record without a flow.
const VACANT: u8 = 1 << 7;

impl<T: Copy> Record<T> {
    pub(crate) fn new(new: &NewFlow<T>, now: u64, revalidation_key: u32) -> Self {
        Self {
            last: now,
            keys: Pair([Side::Internal, Side::External].map(|side| new.key(side).words)),
            key_and_timers: (new.mapping_policy.timers.row() as u32) << KEY_BITS | revalidation_key,
            recent_bytes: Pair::default(),
            recent_packets: Pair::default(),
            cached: new.cached,
            protocol: new.protocol,
            state: match new.protocol {
                Protocol::TCP => State::SynSent,
                Protocol::UDP => State::OneWay,
                Protocol::ICMP => State::Query,
                _ => State::Opaque,
            },
            scales: NO_SCALES,
            marks: match new.initiator {
                Side::Internal => 0,
                Side::External => OPENED_OUTSIDE,
            },
        }
    }

    /// Marks the record as free.
    pub(crate) fn vacate(&mut self) {
        self.marks = VACANT;
    }

    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.marks == VACANT
    }

    /// Gives the key of packets from a side, with which [`FlowTable::find`](crate::FlowTable::find)
    /// searches.
    #[inline]
    pub(crate) fn key(&self, side: Side) -> Key {
        Key { words: self.keys.of(side), protocol: self.protocol }
    }

    /// Compares word by word. A key that was just assembled is still on its way to memory, so one
    /// wide load would stall.
    #[inline(always)]
    pub(crate) fn has_key(&self, side: Side, key: &Key) -> bool {
        let ([first, second], [other_first, other_second]) = (self.keys.of(side), key.words);
        first == other_first && second == other_second && self.protocol == key.protocol
    }

    /// Says whether this is the flow or tombstone with the key.
    #[inline(always)]
    pub(crate) fn is_at(&self, side: Side, key: &Key) -> bool {
        self.has_key(side, key) && !self.is_vacant()
    }

    /// Gives both ends of packets from a side as they arrive.
    #[inline(always)]
    pub(crate) fn ends(&self, side: Side) -> AddressPair {
        ends(self.keys.of(side))
    }

    /// Gives both ends of packets from a side as they leave: those of a reply, swapped.
    #[inline(always)]
    pub(crate) fn new_ends(&self, side: Side) -> AddressPair {
        self.ends(side.other()).reversed()
    }

    #[inline]
    pub(crate) fn internal(&self) -> SocketAddrV4 {
        self.ends(Side::Internal).source()
    }

    #[inline]
    pub(crate) fn external(&self) -> SocketAddrV4 {
        self.ends(Side::External).destination()
    }

    #[inline]
    pub(crate) fn remote(&self) -> SocketAddrV4 {
        self.ends(Side::Internal).destination()
    }

    #[inline]
    pub(crate) fn is_translated(&self) -> bool {
        self.internal() != self.external()
    }

    #[inline]
    pub(crate) fn rewrite(&self, side: Side) -> Rewrite {
        let (internal, external) = (self.internal(), self.external());
        if internal == external {
            return Rewrite::default();
        }
        match side {
            Side::Internal => Rewrite { source: Some(external), destination: None },
            Side::External => Rewrite { source: None, destination: Some(internal) },
        }
    }

    /// Says whether the connection is finished, so that a new one may replace it
    /// (INV-syn-opens-anew).
    pub(crate) fn is_over(&self) -> bool {
        match self.state {
            State::Tombstone(_) | State::Close | State::Refused => true,
            State::TimeWait => self.both_finished(),
            _ => false,
        }
    }

    #[inline]
    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Counts a packet of so many bytes.
    #[inline]
    pub(crate) fn count<'a>(
        &mut self,
        totals: impl FnOnce() -> Option<&'a mut Totals>,
        side: Side,
        length: u16,
    ) {
        let (packets, bytes) = (self.recent_packets.of(side), self.recent_bytes.of(side));
        let (more, sum) = match (packets.checked_add(1), bytes.checked_add(length)) {
            (Some(more), Some(sum)) => (more, sum),
            _ => {
                if let Some(totals) = totals() {
                    let all = totals.packets.of(side).saturating_add(u32::from(packets));
                    totals.packets.set(side, all);
                    let all = totals.bytes.of(side).saturating_add(u64::from(bytes));
                    totals.bytes.set(side, all);
                }
                (1, length)
            }
        };
        self.recent_packets.set(side, more);
        self.recent_bytes.set(side, sum);
    }

    /// Gives the bytes of packets from a side.
    pub(crate) fn carried(&self, totals: &Totals, side: Side) -> u64 {
        totals.bytes.of(side).saturating_add(self.recent_bytes.of(side).into())
    }

    /// Gives the connection of a TCP flow.
    #[inline]
    pub(crate) fn connection<'a>(&'a mut self, detail: &'a mut Detail) -> Connection<'a> {
        Connection {
            state: &mut self.state,
            marks: &mut self.marks,
            scales: &mut self.scales,
            numbers: &mut detail.numbers,
        }
    }

    /// Makes the public view.
    pub(crate) fn view(
        &self,
        detail: &Detail,
        totals: &Totals,
        revalidation_key: RevalidationKey,
    ) -> Flow<T> {
        let packets = |side| {
            let total = totals.packets.of(side).saturating_add(self.recent_packets.of(side).into());
            u64::from(total)
        };
        let bytes = |side| self.carried(totals, side);
        Flow {
            protocol: self.protocol,
            internal: self.internal(),
            internal_zone: self.key(Side::Internal).zone(),
            external: self.external(),
            external_zone: self.key(Side::External).zone(),
            remote: self.remote(),
            initiator: self.initiator(),
            revalidation_key,
            generation: detail.generation,
            cached: self.cached,
            state: self.state,
            opened: Time(totals.opened),
            last: Time(self.last),
            packets: Sides { internal: packets(Side::Internal), external: packets(Side::External) },
            bytes: Sides { internal: bytes(Side::Internal), external: bytes(Side::External) },
        }
    }

    /// Reads the line, so that it is fetched early.
    #[inline]
    pub(crate) const fn read_ahead(&self) -> u32 {
        self.key_and_timers
    }
}

/// The fields that share a word.
impl<T> Record<T> {
    /// Gives the slot of the revalidation key.
    #[inline]
    pub(crate) const fn revalidation_key(&self) -> u32 {
        self.key_and_timers & (MOST_REVALIDATION_KEYS - 1)
    }

    pub(crate) fn set_revalidation_key(&mut self, revalidation_key: u32) {
        self.key_and_timers = self.key_and_timers >> KEY_BITS << KEY_BITS | revalidation_key;
    }

    /// Gives the row of its timers, which is constant while the flow lives.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "eight bits are left")]
    pub(crate) const fn timers(&self) -> u8 {
        (self.key_and_timers >> KEY_BITS) as u8
    }
}

impl<T> Slot for Record<T> {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.key_and_timers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_cache_line() {
        assert_eq!(size_of::<Record<()>>(), 64);
        assert_eq!(size_of::<Record<u64>>(), 64);
        assert_eq!(size_of::<Record<[u16; 5]>>(), 64, "with up to ten bytes of cached decision");
    }
}
