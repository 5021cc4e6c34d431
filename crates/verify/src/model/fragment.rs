//! Fragments: a later one takes the path of its first one (P-30, INV-fragment-follows-first).

use core::net::Ipv4Addr;

use crate::said::Disposition;
use vnetem::{DropReason, Edge, Time};

use super::flow::{Flow, Stage, Tenant, Zone, zone};
use super::wire::{Packet, Part, RST};
use super::{Entered, Model, Passed, drop};

/// A first fragment, which decides for the later ones (P-30).
#[derive(Clone, Debug)]
pub(super) struct FirstFragment {
    key: FragmentKey,
    flow: u64,
    side: usize,
    /// Bytes of the datagram that were forwarded.
    spans: Vec<(usize, usize)>,
    /// The length of the datagram, once its last fragment was forwarded.
    length: Option<usize>,
    /// The sequence number with which its TCP segment would end if the datagram had no bytes.
    base: Option<u32>,
    deadline: Time,
    /// The tenant charged. A tenant without room loses its own oldest entry, even one that is over.
    tenant: Option<Tenant>,
}

type FragmentKey = (Zone, Ipv4Addr, Ipv4Addr, u8, u16);

impl Model {
    /// Processes a later fragment: it takes the path of its first one, or is dropped (P-30,
    /// INV-fragment-follows-first).
    pub(super) fn later_fragment(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<Passed, Disposition> {
        let missing = Disposition::Drop(DropReason::FragmentWithoutFirst);
        let Part::Later { offset, last } = packet.part else { return Err(missing) };
        let key = self.fragment_key(entered.edge, packet);
        let end = offset + packet.total - packet.header;
        let is_it = |first: &FirstFragment| first.key == key && first.deadline > self.now;
        let at = self.fragments.iter().position(is_it).ok_or(missing)?;
        let Some(first) = self.fragments.get(at) else { return Err(missing) };
        let (number, side) = (first.flow, first.side);
        let overlaps = first.spans.iter().any(|span| span.0 < end && offset < span.1);
        let reaches_behind = first.length.is_some_and(|length| last || end > length);
        if overlaps || reaches_behind || last && first.spans.iter().any(|span| span.1 > end) {
            return drop(DropReason::FragmentRefused);
        }
        let carries = |flow: &Flow| flow.number == number && !flow.is_tombstone();
        let flow_at = self.flows.iter().position(carries).ok_or(missing)?;
        let flow = self.flow(flow_at)?;
        if !entered.is_at(&flow, side) {
            return drop(DropReason::WrongEdge);
        }
        // N-18: the method may have changed since the first fragment. A packet that is not
        // forwarded refreshes nothing.
        let refused = !self.carries_fragments(&flow);
        let way = self.way_of_answer(&flow, side);
        let size = self.size_of_way(&flow, side, way.ok().flatten());
        let is_forwarded = packet.ttl > 1 && !refused && way.is_ok();
        self.renew(flow_at, is_forwarded && packet.total <= usize::from(size))?;
        if refused {
            return drop(DropReason::OutboundUnsupported);
        }
        let elsewhere = way?;
        self.check_ttl(entered, packet)?;
        self.check_size(entered, packet, size)?;
        let Some(first) = self.fragments.get_mut(at) else { return Err(missing) };
        first.spans.push((offset, end));
        first.length = first.length.or(last.then_some(end));
        let seen: usize = first.spans.iter().map(|span| span.1 - span.0).sum();
        if first.length == Some(seen) {
            let base = self.fragments.remove(at).base;
            let flow = &mut self.flows[flow_at];
            if let (Some(base), Stage::Tcp(connection)) = (base, &mut flow.stage) {
                let end = base.wrapping_add(u32::try_from(seen).unwrap_or_default());
                connection.reach(side ^ flow.initiator, end);
            }
        }
        let flow = self.flow(flow_at)?;
        Ok(match elsewhere {
            Some(to) => flow.carry_elsewhere(side, to, entered.bytes, packet),
            None => flow.carry(side, entered.bytes, packet),
        })
    }

    /// Records a first fragment that was forwarded. The same one again changes nothing, and another
    /// begins another datagram.
    pub(super) fn note_first(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
        flow: &Flow,
        side: usize,
    ) {
        let (flow, tenant) = (flow.number, flow.tenant);
        if packet.part != Part::First {
            return;
        }
        let key = self.fragment_key(entered.edge, packet);
        let length = packet.total - packet.header;
        let same = |first: &FirstFragment| {
            let seen = first.spans.iter().any(|span| span.0 == 0 && span.1 >= length);
            let is_live = first.deadline > self.now;
            first.key == key && (first.flow, first.side) == (flow, side) && seen && is_live
        };
        if self.fragments.iter().any(same) {
            return;
        }
        self.fragments.retain(|first| first.key != key);
        let deadline = self.now + self.settings.fragment_life;
        let spans = vec![(0, length)];
        // SYN and FIN take a number each, and the TCP header none. A reset has no sequence end.
        let base = packet.segment().filter(|segment| !segment.has(RST)).map(|segment| {
            let at = packet.header + 12;
            let header = entered.bytes.get(at).map_or(0, |byte| u32::from(byte >> 4) * 4);
            segment.end().wrapping_sub(header)
        });
        let length = None;
        let owners: Vec<_> = self.fragments.iter().map(|first| first.tenant).collect();
        if !self.has_room(self.settings.fragments, &owners, tenant) {
            let is_own = |first: &FirstFragment| first.tenant == tenant;
            let Some(oldest) = self.fragments.iter().position(is_own) else { return };
            self.fragments.remove(oldest);
            self.filled.fragments += 1;
        }
        let first = FirstFragment { key, flow, side, spans, length, base, deadline, tenant };
        self.fragments.push(first);
    }

    fn fragment_key(&self, edge: Edge, packet: &Packet) -> FragmentKey {
        let zone = zone(&self.network, edge);
        let (source, destination) = (*packet.source.ip(), *packet.destination.ip());
        (zone, source, destination, packet.protocol, packet.identification)
    }
}
