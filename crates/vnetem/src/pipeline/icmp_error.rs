//! ICMP errors: they go the way of the flow whose packet they quote (INV-icmp-quote-translated,
//! T-22 to T-25).

use core::net::Ipv4Addr;

use vnetem_nat::{Flow, Side, Standing};
use vnetem_packet::{FiveTuple, Quote, Rewrite, Transport, verify_icmp_checksum};

use crate::pipeline::decision::{CachedDecision, Hit, rewrite_error};
use crate::pipeline::origin::{Entry, FlowEnds};
use crate::pipeline::plan::{ByteChange, Plan, Stop, Way};
use crate::pipeline::trace::Note;
use crate::pipeline::{Arrival, Pipeline};
use crate::{Disposition, DropReason, Forward};

/// The ICMP type of a redirect.
const REDIRECT: u8 = 5;

impl Pipeline<'_> {
    /// Fills the plan of an ICMP error.
    pub(super) fn fill_error(
        &self,
        arrival: Arrival<'_>,
        plan: &mut Plan,
        note: &mut impl Note,
    ) -> Result<(), Stop> {
        let Arrival { entry, packet, headers } = arrival;
        if !verify_icmp_checksum(packet, headers) {
            return Err(DropReason::IcmpChecksum.into());
        }
        let quote = Quote::parse(packet, headers).map_err(DropReason::Malformed)?;
        let is_redirect = packet.get(usize::from(headers.header_length)) == Some(&REDIRECT);
        let (hit, flow) = self
            .quoted(entry, headers.destination, &quote.tuple())
            .ok_or(DropReason::QuoteUnknown)?;
        let far = self.edge_of(&flow, hit.side.other());
        // A router on the way may report, but none of the receiver's neighbours does from there.
        if headers.source != end_of(&flow, hit.side) && self.is_spoofed(entry, far, headers.source)
        {
            return Err(DropReason::SpoofedSource.into());
        }
        if is_redirect && flow.is_translated() {
            return Err(DropReason::Redirect.into());
        }
        if !self.may_be_about(hit, &quote) {
            return Err(DropReason::QuoteOutOfWindow.into());
        }
        if self.is_answer_elsewhere(&flow, hit.side) {
            let way = self.decide_answer(arrival, hit, &flow, None, &mut plan.flow, note)?;
            if let Way::AsItIs(forward, asked) = way {
                self.fill_answer(forward, asked, arrival, plan)?;
            }
            return Ok(());
        }
        self.may_go_on(entry, headers, far)?;
        note.given(|given| self.note_reasons(&flow, given));
        let (outer, inner, forward) = self
            .error_of(&flow, hit.side, &quote, headers.destination)
            .ok_or(DropReason::QuoteUnknown)?;
        plan.bytes = ByteChange::Quoting { quote, outer, inner };
        plan.disposition = Disposition::Forward(forward);
        Ok(())
    }

    /// Says whether an ICMP error is about a segment that is under way, by the number that it
    /// quotes: the addresses and ports of a connection are easily guessed (RFC 5927 4.1).
    fn may_be_about(&self, hit: Hit, quote: &Quote) -> bool {
        let Transport::Tcp(segment) = quote.headers.transport else { return true };
        self.flows.is_under_way(hit.id, hit.side.other(), segment.sequence)
    }

    /// Finds the live flow whose packet an ICMP error quotes, if the error may go on to
    /// `destination`.
    fn quoted(
        &self,
        entry: Entry<'_>,
        destination: Ipv4Addr,
        quoted: &FiveTuple,
    ) -> Option<(Hit, Flow<CachedDecision>)> {
        // The sender of the error saw the packet arrive, so its own packets of the flow would have
        // the reversed tuple.
        let found = self.flows.find(self.now, entry.zone, &quoted.reversed())?;
        let flow = self.flows.flow(found.id)?;
        let came_from = self.edge_of(&flow, found.side);
        // It goes to the sender of the quoted packet, and to nobody else.
        let to_sender = destination == *quoted.source.ip();
        let fits = came_from == entry.code || came_from.is_public() && entry.code.is_public();
        let continues = !self.flows.is_stale(found.id) || self.revalidate(&flow).is_ok();
        let may = found.standing == Standing::Live && to_sender && fits && continues;
        may.then_some((Hit { id: found.id, side: found.side }, flow))
    }

    /// Says how an ICMP error about a packet of a flow is rewritten, outside and in its quote, and
    /// how it leaves; `None` if it turns round and its receiver knows nothing of the quoted packet.
    fn error_of(
        &self,
        flow: &Flow<CachedDecision>,
        side: Side,
        quote: &Quote,
        destination: Ipv4Addr,
    ) -> Option<(Rewrite, Rewrite, Forward)> {
        let (outer, inner) = rewrite_error(flow, side);
        let flow_ends = FlowEnds::of(flow);
        let forward = flow_ends.forward(side);
        if !flow_ends.turns_round(side) {
            return Some((outer, inner, forward));
        }
        let quoted = inner.applied(&quote.headers).tuple();
        let (landing, flow) = self.quoted(Entry::HAIRPINNED, destination, &quoted)?;
        let (last_outer, last_inner) = rewrite_error(&flow, landing.side);
        let to = FlowEnds::of(&flow).forward(landing.side).to();
        Some((outer.then(last_outer), inner.then(last_inner), forward.with_edge(to)))
    }
}

/// The address of the end of a flow that is at a side.
const fn end_of(flow: &Flow<CachedDecision>, side: Side) -> Ipv4Addr {
    match side {
        Side::Internal => *flow.internal.ip(),
        Side::External => *flow.remote.ip(),
    }
}
