//! A decision is done: recorded, and the packet rewritten if it goes on.

use vnetem_nat::{
    Cause, Ended, Flow, FlowId, OpenError, Opening, Resets, Side, Span, State, Tenant, Time, Track,
};
use vnetem_packet::{
    Fragment, Headers, IcmpError, IcmpErrorKind, Quote, Reset, Rewrite, TcpFlags, Transport,
    clamp_maximum_segment_size, rewrite, rewrite_quoting,
};

use super::DataPlane;
use crate::edge::EdgeCode;
use crate::pipeline::Pipeline;
use crate::pipeline::decision::{CachedDecision, Decision, Hit, fragment_key};
use crate::pipeline::origin::FlowEnds;
use crate::{Disposition, DropReason, Edge};

impl DataPlane {
    /// Records a decision, rewrites the packet if it goes on, and says what became of it.
    #[inline]
    pub(super) fn commit(
        &mut self,
        edge: Edge,
        packet: &mut [u8],
        headers: &Headers,
        decision: Decision,
    ) -> Disposition {
        match decision {
            Decision::Hit(hit) => self.pass(hit, packet, headers),
            Decision::Renew(hit, revalidation_key, cached) => {
                self.flows.refresh(hit.id, revalidation_key, self.snapshot.generation(), cached);
                self.pass(hit, packet, headers)
            }
            Decision::Answer(hit, renewed, to) => {
                if let Some((revalidation_key, cached)) = renewed {
                    self.flows.refresh(
                        hit.id,
                        revalidation_key,
                        self.snapshot.generation(),
                        cached,
                    );
                }
                self.answer_elsewhere(hit, to, packet, headers)
            }
            Decision::Open(opening) => match self.open(&opening, headers, packet) {
                Ok(hit) => match self.flows.flow(hit.id) {
                    Some(flow) => {
                        self.opened(&flow, hit.id, opening.flow().tenant);
                        self.emit(&flow, hit, packet, headers)
                    }
                    None => Disposition::Drop(DropReason::NoFlow),
                },
                Err(why) => Disposition::Drop(why.into()),
            },
            Decision::ForwardUntracked(far) => {
                let ttl = headers.ttl.saturating_sub(1);
                rewrite(packet, headers, Rewrite::default(), ttl);
                Disposition::Forward(self.pipeline().again(far, headers.source))
            }
            Decision::Error(hit, quote) => self.pass_error(hit, &quote, packet, headers),
            Decision::Close(id, cause, reason) => {
                self.close_on_the_way(id, cause);
                Disposition::Drop(reason)
            }
            Decision::Late(id, side) => {
                if self.answers(id, side)
                    && let Some(reset) = self.flows.answer(self.now, id, side, headers)
                {
                    let tenant = self.flows.tenant(id).unwrap_or_default();
                    self.transmit_queue.reset(edge, reset, tenant, &mut self.counters);
                }
                Disposition::Drop(DropReason::FlowClosed)
            }
            Decision::Deny(reason, answer) => {
                self.answer(edge, answer, headers);
                Disposition::Deny(reason)
            }
            Decision::Drop(reason, answer) => {
                self.answer(edge, answer, headers);
                Disposition::Drop(reason)
            }
            Decision::Refused(why, on_exhaustion) => {
                let (now, tuple) = (self.now, headers.tuple());
                let tenant = self.snapshot.tenant_at(edge, headers.destination);
                self.event_queue.refused(now, why, &tuple, tenant, &mut self.counters);
                if let Some(kind) = on_exhaustion {
                    self.send_icmp_error(edge, kind, packet, headers);
                }
                Disposition::Drop(why.into())
            }
            Decision::Hold(after) => {
                self.hold(after, edge, packet, headers);
                Disposition::Drop(DropReason::Unsolicited)
            }
            Decision::TooLong(mtu) => {
                if headers.dont_fragment {
                    let kind = IcmpErrorKind::FragmentationNeeded { mtu };
                    self.send_icmp_error(edge, kind, packet, headers);
                }
                Disposition::Drop(DropReason::TooLong)
            }
            Decision::Expired => {
                self.send_icmp_error(edge, IcmpErrorKind::TimeExceeded, packet, headers);
                Disposition::Drop(DropReason::TtlExpired)
            }
        }
    }

    /// Tells the sender of a packet why it did not go on.
    pub(super) fn send_icmp_error(
        &mut self,
        edge: Edge,
        kind: IcmpErrorKind,
        about: &[u8],
        headers: &Headers,
    ) {
        let source = self.snapshot.router_at(edge, headers.destination);
        let to = (edge, self.snapshot.tenant_at(edge, headers.destination));
        let error = IcmpError { kind, source };
        self.transmit_queue.send_icmp_error(to, &error, about, headers, &mut self.counters);
    }

    /// Answers a packet that went no further with a reset, if it gets one.
    fn answer(&mut self, edge: Edge, answer: Option<Reset>, headers: &Headers) {
        if let Some(reset) = answer {
            let tenant = self.snapshot.tenant_at(edge, headers.destination);
            self.transmit_queue.reset(edge, reset, tenant, &mut self.counters);
        }
    }

    /// Opens a flow with its first packet. The journal is still to hear of it.
    pub(super) fn open(
        &mut self,
        opening: &Opening<CachedDecision>,
        headers: &Headers,
        packet: &[u8],
    ) -> Result<Hit, OpenError> {
        let (now, snapshot) = (self.now, &self.snapshot);
        let (event_queue, counters) = (&mut self.event_queue, &mut self.counters);
        let mut notify = |ended: Ended<CachedDecision>| {
            event_queue.ended(
                now,
                &ended,
                snapshot.tenant_of(ended.flow.revalidation_key),
                counters,
            );
        };
        let id = self.flows.enter(now, opening, headers, packet, &mut notify)?;
        Ok(Hit { id, side: opening.flow().initiator })
    }

    /// Tells of a flow that was opened.
    pub(super) fn opened(&mut self, flow: &Flow<CachedDecision>, id: FlowId, tenant: Tenant) {
        let block = || self.flows.block_of(id).filter(|(_, flows)| *flows == 1);
        self.event_queue.opened(self.now, flow, block, tenant, &mut self.counters);
        self.unsolicited.cancel(|| flow.tuple(Side::External));
    }

    /// A packet of a live flow: tracked, then sent on.
    #[inline]
    fn pass(&mut self, hit: Hit, packet: &mut [u8], headers: &Headers) -> Disposition {
        // What a later fragment carries is not known, so there is nothing to track.
        let later = matches!(headers.fragment, Fragment::Later { .. });
        if !later && self.flows.track(self.now, hit.id, hit.side, headers, packet) == Track::Invalid
        {
            return Disposition::Drop(DropReason::TcpInvalid);
        }
        let disposition = match self.flows.flow(hit.id) {
            Some(flow) => self.emit(&flow, hit, packet, headers),
            None => Disposition::Drop(DropReason::NoFlow),
        };
        self.forget_if_refused(hit.id, headers);
        disposition
    }

    /// An answer that leaves as it is by another edge than the question came by: tracked,
    /// also in the flow by which its receiver asked, then sent on.
    fn answer_elsewhere(
        &mut self,
        hit: Hit,
        to: EdgeCode,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Disposition {
        let asked = self.pipeline().asked_by(to, &headers.tuple());
        for hit in [Some(hit), asked].into_iter().flatten().filter(|_| is_tracked(headers)) {
            if self.flows.track(self.now, hit.id, hit.side, headers, packet) == Track::Invalid {
                return Disposition::Drop(DropReason::TcpInvalid);
            }
        }
        let Some(flow) = self.flows.flow(hit.id) else {
            return Disposition::Drop(DropReason::NoFlow);
        };
        if headers.fragment != Fragment::Whole {
            self.note_fragment(&flow, hit, headers);
        }
        rewrite(packet, headers, Rewrite::default(), headers.ttl.saturating_sub(1));
        for hit in [Some(hit), asked].into_iter().flatten() {
            self.forget_if_refused(hit.id, headers);
        }
        Disposition::Forward(self.pipeline().elsewhere(&flow, hit.side, to))
    }

    /// Ends a flow whose opening an RST has just refused.
    pub(super) fn forget_if_refused(&mut self, id: FlowId, headers: &Headers) {
        if let Transport::Tcp(segment) = headers.transport
            && segment.flags.contains(TcpFlags::RST)
            && let Some(flow) = self.flows.flow(id)
            && flow.state == State::Refused
        {
            let ended = Ended { flow, cause: Cause::Reset, resets: Resets::default() };
            let tenant = self.snapshot.tenant_of(flow.revalidation_key);
            self.event_queue.ended(self.now, &ended, tenant, &mut self.counters);
            self.flows.end(self.now, id, Cause::Reset);
        }
    }

    /// Rewrites a packet of a flow and lets it leave.
    #[inline]
    fn emit(
        &mut self,
        flow: &Flow<CachedDecision>,
        hit: Hit,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Disposition {
        if headers.fragment != Fragment::Whole {
            self.note_fragment(flow, hit, headers);
        }
        if self.pipeline().turns_round(flow, hit.side) {
            return self.turn(flow, hit.side, packet, headers);
        }
        self.clamp(flow, packet, headers);
        rewrite(packet, headers, flow.rewrite(hit.side), headers.ttl.saturating_sub(1));
        Disposition::Forward(self.pipeline().forward(&FlowEnds::of(flow), hit.side))
    }

    /// Lowers the segment size that a SYN of either side announces to what the flow's pool allows
    /// (T-36).
    #[inline]
    pub(super) fn clamp(&self, flow: &Flow<CachedDecision>, packet: &mut [u8], headers: &Headers) {
        if self.snapshot.clamps
            && let Some(limit) = self.pipeline().segment_size(flow)
        {
            clamp_maximum_segment_size(packet, headers, limit);
        }
    }

    pub(super) fn note_fragment(
        &mut self,
        flow: &Flow<CachedDecision>,
        hit: Hit,
        headers: &Headers,
    ) {
        let zone = match hit.side {
            Side::Internal => flow.internal_zone,
            Side::External => flow.external_zone,
        };
        let (key, span) = (fragment_key(zone, headers), Span::of(headers));
        if headers.fragment == Fragment::First {
            let tenant = self.snapshot.tenant_of(flow.revalidation_key);
            self.fragments.note_first(self.now, key, headers, hit.id, hit.side, tenant);
        } else if let Some((id, side, end)) = self.fragments.pass(self.now, &key, span) {
            self.flows.reach(self.now, id, side, end);
        }
    }

    fn pass_error(
        &mut self,
        hit: Hit,
        quote: &Quote,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Disposition {
        let Some((outer, inner, forward)) = self.pipeline().error_of(hit, quote, headers) else {
            return Disposition::Drop(DropReason::QuoteUnknown);
        };
        rewrite_quoting(packet, headers, quote, outer, inner, headers.ttl.saturating_sub(1));
        Disposition::Forward(forward)
    }

    /// What `commit` would say, without doing anything.
    pub(super) fn foresee(
        &self,
        now: Time,
        decision: Decision,
        packet: &[u8],
        headers: &Headers,
    ) -> Disposition {
        let of = |hit: Hit, renewed: Option<CachedDecision>| {
            let Some(flow) = self.flows.flow(hit.id) else {
                return Disposition::Drop(DropReason::NoFlow);
            };
            let later = matches!(headers.fragment, Fragment::Later { .. });
            let track = self.flows.would_track(now, hit.id, hit.side, headers, packet);
            if !later && track == Track::Invalid {
                return Disposition::Drop(DropReason::TcpInvalid);
            }
            let cached = renewed.unwrap_or(flow.cached);
            let flow = Flow { cached, ..flow };
            let forward = self.pipeline().forward(&FlowEnds::of(&flow), hit.side);
            if self.pipeline().turns_round(&flow, hit.side) {
                let hairpinned = flow.rewrite(hit.side).applied(headers);
                return self.foresee_turned(now, forward, None, &hairpinned, packet);
            }
            Disposition::Forward(forward)
        };
        match decision {
            Decision::Hit(hit) => of(hit, None),
            Decision::Error(hit, quote) => {
                match (Pipeline { now, ..self.pipeline() }).error_of(hit, &quote, headers) {
                    Some((.., forward)) => Disposition::Forward(forward),
                    None => Disposition::Drop(DropReason::QuoteUnknown),
                }
            }
            Decision::Renew(hit, _, cached) => of(hit, Some(cached)),
            Decision::Answer(hit, renewed, to) => {
                let Some(flow) = self.flows.flow(hit.id) else {
                    return Disposition::Drop(DropReason::NoFlow);
                };
                let asked = Pipeline { now, ..self.pipeline() }.asked_by(to, &headers.tuple());
                let is_invalid = |hit: Hit| {
                    self.flows.would_track(now, hit.id, hit.side, headers, packet) == Track::Invalid
                };
                let mut hits = [Some(hit), asked].into_iter().flatten();
                if is_tracked(headers) && hits.any(is_invalid) {
                    return Disposition::Drop(DropReason::TcpInvalid);
                }
                let cached = renewed.map_or(flow.cached, |(_, cached)| cached);
                let flow = Flow { cached, ..flow };
                Disposition::Forward(self.pipeline().elsewhere(&flow, hit.side, to))
            }
            Decision::ForwardUntracked(far) => {
                Disposition::Forward(self.pipeline().again(far, headers.source))
            }
            Decision::Open(opening) => {
                let new = opening.flow();
                let forward = self.pipeline().forward(&FlowEnds::opening(new), new.initiator);
                if new.cached.far != EdgeCode::HAIRPIN {
                    return Disposition::Forward(forward);
                }
                let hairpinned = Rewrite { source: Some(new.external), destination: None };
                let hairpinned = hairpinned.applied(headers);
                self.foresee_turned(now, forward, Some(&opening), &hairpinned, packet)
            }
            Decision::Close(_, _, reason) => Disposition::Drop(reason),
            Decision::Late(..) => Disposition::Drop(DropReason::FlowClosed),
            Decision::Deny(reason, _) => Disposition::Deny(reason),
            Decision::Drop(reason, _) => Disposition::Drop(reason),
            Decision::Refused(why, _) => Disposition::Drop(why.into()),
            Decision::Hold(_) => Disposition::Drop(DropReason::Unsolicited),
            Decision::TooLong(_) => Disposition::Drop(DropReason::TooLong),
            Decision::Expired => Disposition::Drop(DropReason::TtlExpired),
        }
    }
}

/// Whether a packet of a flow says where its connection is: what a later fragment carries is not
/// known, and an error speaks of another.
const fn is_tracked(headers: &Headers) -> bool {
    !matches!(headers.fragment, Fragment::Later { .. })
        && !matches!(headers.transport, Transport::IcmpError)
}
