//! What the table keeps of a flow: two cache lines, of which a lookup reads the first.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{FiveTuple, Protocol};

use crate::slab::{NIL, Slot};
use crate::tcp::Tracking;
use crate::{Flow, FlowId, Generation, NewFlow, Side, Sides, State, Time, Zone};

/// A flow, both directions: both keys are made from it, so that they are kept once and end together (R8).
#[repr(C, align(128))]
#[derive(Clone, Copy)]
pub(crate) struct Record {
    inside: Ipv4Addr,
    external: Ipv4Addr,
    remote: Ipv4Addr,
    inside_port: u16,
    external_port: u16,
    remote_port: u16,
    protocol: Protocol,
    pub(crate) state: State,
    inside_zone: Zone,
    outside_zone: Zone,
    /// Counts the flows that this slot has held, so that an old id is harmless.
    pub(crate) stamp: u32,
    pub(crate) generation: Generation,
    /// Slot of the cell.
    pub(crate) cell: u32,
    /// When its timer started.
    pub(crate) last: u64,
    pub(crate) bytes: Sides<u64>,
    // The second line.
    pub(crate) tracking: Tracking,
    pub(crate) packets: Sides<u32>,
    opened: u64,
    /// Place in the timer wheel; the next free slot where there is no flow.
    pub(crate) timer: Links,
    /// Place in the list of the cell.
    pub(crate) siblings: Links,
}

/// A place in a doubly linked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) previous: u32,
    pub(crate) next: u32,
}

impl Record {
    pub(crate) fn new<T>(new: &NewFlow<T>, now: u64, stamp: u32, cell: u32) -> Self {
        Self {
            inside: *new.inside.ip(),
            external: *new.external.ip(),
            remote: *new.remote.ip(),
            inside_port: new.inside.port(),
            external_port: new.external.port(),
            remote_port: new.remote.port(),
            protocol: new.protocol,
            state: match new.protocol {
                Protocol::TCP => State::SynSent,
                Protocol::UDP => State::OneWay,
                Protocol::ICMP => State::Query,
                _ => State::Opaque,
            },
            inside_zone: new.inside_zone,
            outside_zone: new.outside_zone,
            stamp,
            generation: new.generation,
            cell,
            last: now,
            bytes: Sides::default(),
            tracking: Tracking::new(new.opener),
            packets: Sides::default(),
            opened: now,
            timer: Links::NONE,
            siblings: Links::NONE,
        }
    }

    /// Marks a record whose flow is gone, and makes its ids useless.
    pub(crate) fn vacate(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        self.siblings = Links::VACANT;
    }

    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.siblings == Links::VACANT
    }

    /// The key of packets from a side: what [`FlowTable::find`](crate::FlowTable::find) is asked.
    #[inline]
    pub(crate) fn key(&self, side: Side) -> (Zone, FiveTuple) {
        match side {
            Side::Inside => (self.inside_zone, self.tuple(self.inside(), self.remote())),
            Side::Outside => (self.outside_zone, self.tuple(self.remote(), self.external())),
        }
    }

    #[inline]
    pub(crate) fn has_key(&self, side: Side, zone: Zone, tuple: &FiveTuple) -> bool {
        self.key(side) == (zone, *tuple)
    }

    #[inline]
    pub(crate) fn is_translated(&self) -> bool {
        self.inside != self.external || self.inside_port != self.external_port
    }

    /// Whether the connection is over and what remains of the flow only waits: a new one may take its place (R9).
    pub(crate) fn is_over(&self) -> bool {
        match self.state {
            State::Tombstone(_) | State::Close => true,
            State::TimeWait => self.tracking.both_finished(),
            _ => false,
        }
    }

    #[inline]
    pub(crate) fn inside(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.inside, self.inside_port)
    }

    #[inline]
    pub(crate) fn external(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.external, self.external_port)
    }

    #[inline]
    pub(crate) fn remote(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.remote, self.remote_port)
    }

    #[inline]
    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The public view.
    #[inline]
    pub(crate) fn view<T>(&self, cell: crate::Cell, judgement: T) -> Flow<T> {
        Flow {
            protocol: self.protocol,
            inside: self.inside(),
            inside_zone: self.inside_zone,
            external: self.external(),
            outside_zone: self.outside_zone,
            remote: self.remote(),
            opener: self.tracking.opener,
            cell,
            generation: self.generation,
            judgement,
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

    /// Reads both lines, so that they are on their way.
    #[inline]
    pub(crate) const fn read_ahead(&self) -> u32 {
        self.stamp | self.packets.inside
    }

    /// The public handle of this flow in its slot.
    #[inline]
    pub(crate) const fn id(&self, slot: u32) -> FlowId {
        FlowId { slot, stamp: self.stamp }
    }

    #[inline]
    const fn tuple(&self, source: SocketAddrV4, destination: SocketAddrV4) -> FiveTuple {
        FiveTuple { protocol: self.protocol, source, destination }
    }
}

impl Slot for Record {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.timer.next
    }
}

impl Links {
    pub(crate) const NONE: Self = Self { previous: NIL, next: NIL };
    /// Leads to two slots that no table has.
    const VACANT: Self = Self { previous: NIL - 1, next: NIL - 1 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_two_cache_lines_and_a_lookup_reads_one() {
        assert_eq!(size_of::<Record>(), 128);
        assert_eq!(core::mem::offset_of!(Record, tracking), 64);
    }
}
