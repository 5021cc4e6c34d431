//! What the table keeps of a flow: two cache lines, of which a lookup reads the first.

use core::net::SocketAddrV4;

use vnetem_packet::{Ends, Protocol, Rewrite};

use crate::key::{Key, Words, ends, zone};
use crate::slab::Slot;
use crate::tcp::{NO_SCALES, OPENED_OUTSIDE};
use crate::{Cell, Flow, FlowId, Generation, NewFlow, Side, Sides, State, Time};

/// A flow, both directions: one record, so that both keys live and end together (R8).
#[repr(C, align(128))]
#[derive(Clone, Copy)]
pub(crate) struct Record<T> {
    keys: Sides<Words>,
    /// When its timer started.
    pub(crate) last: u64,
    /// Counts the flows that this slot has held, so that an old id is harmless.
    pub(crate) stamp: u32,
    pub(crate) generation: Generation,
    /// Slot of the cell; the next free record where there is no flow.
    pub(crate) cell: u32,
    pub(crate) packets: Sides<u32>,
    protocol: Protocol,
    pub(crate) state: State,
    /// Window scale of the inside (low four bits) and the outside (high four bits).
    pub(crate) scales: u8,
    pub(crate) marks: u8,
    // The second line.
    opened: u64,
    /// Highest sequence end sent by each side: what the other expects next (R3).
    pub(crate) end: Sides<u32>,
    /// Highest acknowledgement that each side sent; before its first one, the lowest that it may send.
    pub(crate) acknowledged: Sides<u32>,
    /// Highest sequence end that the other side's window lets each side reach.
    pub(crate) limit: Sides<u32>,
    pub(crate) bytes: Sides<u64>,
    pub(crate) judgement: T,
}

/// The mark of a record whose flow is gone.
const VACANT: u8 = 1 << 7;

impl<T: Copy> Record<T> {
    pub(crate) const fn new(new: &NewFlow<T>, now: u64, stamp: u32, cell: u32) -> Self {
        Self {
            keys: Sides {
                inside: new.key(Side::Inside).words,
                outside: new.key(Side::Outside).words,
            },
            last: now,
            stamp,
            generation: new.generation,
            cell,
            packets: Sides { inside: 0, outside: 0 },
            protocol: new.protocol,
            state: match new.protocol {
                Protocol::TCP => State::SynSent,
                Protocol::UDP => State::OneWay,
                Protocol::ICMP => State::Query,
                _ => State::Opaque,
            },
            scales: NO_SCALES,
            marks: match new.opener {
                Side::Inside => 0,
                Side::Outside => OPENED_OUTSIDE,
            },
            opened: now,
            end: Sides { inside: 0, outside: 0 },
            acknowledged: Sides { inside: 0, outside: 0 },
            limit: Sides { inside: 0, outside: 0 },
            bytes: Sides { inside: 0, outside: 0 },
            judgement: new.judgement,
        }
    }

    /// Marks a record whose flow is gone, and makes its ids useless.
    pub(crate) fn vacate(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        self.marks = VACANT;
    }

    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.marks == VACANT
    }

    /// The key of packets from a side: what [`FlowTable::find`](crate::FlowTable::find) is asked.
    #[inline]
    pub(crate) const fn key(&self, side: Side) -> Key {
        Key { words: self.keys.of(side), protocol: self.protocol }
    }

    #[inline]
    pub(crate) fn has_key(&self, side: Side, key: &Key) -> bool {
        self.key(side) == *key
    }

    #[inline]
    pub(crate) fn is_translated(&self) -> bool {
        self.inside() != self.external()
    }

    #[inline]
    pub(crate) fn rewrite(&self, side: Side) -> Rewrite {
        let (inside, external) = (self.inside(), self.external());
        if inside == external {
            return Rewrite::default();
        }
        match side {
            Side::Inside => Rewrite { source: Some(external), destination: None },
            Side::Outside => Rewrite { source: None, destination: Some(inside) },
        }
    }

    /// Whether the connection is over and what remains of the flow only waits: a new one may take its place (R9).
    pub(crate) fn is_over(&self) -> bool {
        match self.state {
            State::Tombstone(_) | State::Close => true,
            State::TimeWait => self.both_finished(),
            _ => false,
        }
    }

    /// Both ends as packets of a side bear them.
    #[inline]
    pub(crate) const fn ends(&self, side: Side) -> Ends {
        ends(self.keys.of(side))
    }

    #[inline]
    pub(crate) const fn inside(&self) -> SocketAddrV4 {
        ends(self.keys.inside).source()
    }

    #[inline]
    pub(crate) const fn external(&self) -> SocketAddrV4 {
        ends(self.keys.outside).destination()
    }

    #[inline]
    pub(crate) const fn remote(&self) -> SocketAddrV4 {
        ends(self.keys.inside).destination()
    }

    #[inline]
    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The public view.
    #[inline]
    pub(crate) fn view(&self, cell: Cell) -> Flow<T> {
        Flow {
            protocol: self.protocol,
            inside: self.inside(),
            inside_zone: zone(self.keys.inside),
            external: self.external(),
            outside_zone: zone(self.keys.outside),
            remote: self.remote(),
            opener: self.opener(),
            cell,
            generation: self.generation,
            judgement: self.judgement,
            state: self.state,
            opened: Time(self.opened),
            last: Time(self.last),
            packets: Sides {
                inside: u64::from(self.packets.inside),
                outside: u64::from(self.packets.outside),
            },
            bytes: self.bytes,
        }
    }

    /// The public handle of this flow in its slot.
    #[inline]
    pub(crate) const fn id(&self, slot: u32) -> FlowId {
        FlowId { slot, stamp: self.stamp }
    }

    /// Reads both lines, so that they are on their way.
    #[inline]
    pub(crate) const fn read_ahead(&self) -> u32 {
        self.stamp | self.end.inside
    }
}

impl<T> Slot for Record<T> {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_two_cache_lines_and_a_lookup_reads_one() {
        assert_eq!(size_of::<Record<()>>(), 128);
        assert_eq!(size_of::<Record<[u64; 2]>>(), 128, "with up to 16 bytes of judgement");
        assert_eq!(core::mem::offset_of!(Record<()>, opened), 64);
    }
}
