//! A decision is done: recorded, and the packet rewritten if it goes on.

use vnetem_nat::{
    Cause, Closing, Ended, Flow, FlowId, OpenError, Opening, Side, Span, State, Tenant, Time, Track,
};
use vnetem_packet::{
    Fragment, Headers, IcmpError, IcmpErrorKind, Quote, Reset, Rewrite, TcpFlags, Transport,
    clamp_maximum_segment_size, rewrite, rewrite_quoting,
};

use super::DataPlane;
use crate::decision::{Decision, Hit, Judgement, fragment_key};
use crate::edge::EdgeCode;
use crate::origin::Parties;
use crate::pipeline::Pipeline;
use crate::{DropReason, Edge, Fate};

impl DataPlane {
    /// Records a decision, rewrites the packet if it goes on, and says what became of it.
    #[inline]
    pub(super) fn commit(
        &mut self,
        edge: Edge,
        packet: &mut [u8],
        headers: &Headers,
        decision: Decision,
    ) -> Fate {
        match decision {
            Decision::Hit(hit) => self.pass(hit, packet, headers),
            Decision::Renew(hit, cell, judgement) => {
                self.flows.adopt(hit.id, cell, self.snapshot.generation(), judgement);
                self.pass(hit, packet, headers)
            }
            Decision::Answer(hit, renewed, to) => {
                if let Some((cell, judgement)) = renewed {
                    self.flows.adopt(hit.id, cell, self.snapshot.generation(), judgement);
                }
                self.answer_elsewhere(hit, to, packet, headers)
            }
            Decision::Open(opening) => match self.open(&opening, headers, packet) {
                Ok(hit) => match self.flows.flow(hit.id) {
                    Some(flow) => {
                        self.opened(&flow, hit.id, opening.flow().tenant);
                        self.emit(&flow, hit, packet, headers)
                    }
                    None => Fate::Drop(DropReason::NoFlow),
                },
                Err(why) => Fate::Drop(why.into()),
            },
            Decision::Again(far) => {
                let ttl = headers.ttl.saturating_sub(1);
                rewrite(packet, headers, Rewrite::default(), ttl);
                Fate::Forward(self.pipeline().again(far, headers.source))
            }
            Decision::Error(hit, quote) => self.pass_error(hit, &quote, packet, headers),
            Decision::Close(id, cause, reason) => {
                self.close_on_the_way(id, cause);
                Fate::Drop(reason)
            }
            Decision::Late(id, side) => {
                if self.answers(id, side)
                    && let Some(reset) = self.flows.answer(self.now, id, side, headers)
                {
                    let tenant = self.flows.tenant(id).unwrap_or_default();
                    self.outbox.reset(edge, reset, tenant, &mut self.counters);
                }
                Fate::Drop(DropReason::FlowClosed)
            }
            Decision::Deny(reason, answer) => {
                self.answer(edge, answer, headers);
                Fate::Deny(reason)
            }
            Decision::Drop(reason, answer) => {
                self.answer(edge, answer, headers);
                Fate::Drop(reason)
            }
            Decision::Refused(why, notice) => {
                let (now, tuple) = (self.now, headers.tuple());
                let tenant = self.snapshot.tenant_at(edge, headers.destination);
                self.journal.refused(now, why, &tuple, tenant, &mut self.counters);
                if let Some(kind) = notice {
                    self.complain(edge, kind, packet, headers);
                }
                Fate::Drop(why.into())
            }
            Decision::Hold(after) => {
                self.hold(after, edge, packet, headers);
                Fate::Drop(DropReason::Unsolicited)
            }
            Decision::TooLong(mtu) => {
                if headers.dont_fragment {
                    let kind = IcmpErrorKind::FragmentationNeeded { mtu };
                    self.complain(edge, kind, packet, headers);
                }
                Fate::Drop(DropReason::TooLong)
            }
            Decision::Expired => {
                self.complain(edge, IcmpErrorKind::TimeExceeded, packet, headers);
                Fate::Drop(DropReason::TtlExpired)
            }
        }
    }

    /// Tells the sender of a packet why it did not go on.
    pub(super) fn complain(
        &mut self,
        edge: Edge,
        kind: IcmpErrorKind,
        about: &[u8],
        headers: &Headers,
    ) {
        let source = self.snapshot.router_at(edge, headers.destination);
        let to = (edge, self.snapshot.tenant_at(edge, headers.destination));
        let error = IcmpError { kind, source };
        self.outbox.complain(to, &error, about, headers, &mut self.counters);
    }

    /// Answers a packet that went no further with a reset, if it gets one.
    fn answer(&mut self, edge: Edge, answer: Option<Reset>, headers: &Headers) {
        if let Some(reset) = answer {
            let tenant = self.snapshot.tenant_at(edge, headers.destination);
            self.outbox.reset(edge, reset, tenant, &mut self.counters);
        }
    }

    /// Opens a flow with its first packet. The journal is still to hear of it.
    pub(super) fn open(
        &mut self,
        opening: &Opening<Judgement>,
        headers: &Headers,
        packet: &[u8],
    ) -> Result<Hit, OpenError> {
        let (now, snapshot) = (self.now, &self.snapshot);
        let (journal, counters) = (&mut self.journal, &mut self.counters);
        let mut tell = |ended: Ended<Judgement>| {
            journal.ended(now, &ended, snapshot.tenant_of(ended.flow.cell), counters);
        };
        let id = self.flows.enter(now, opening, headers, packet, &mut tell)?;
        Ok(Hit { id, side: opening.flow().opener })
    }

    /// Tells of a flow that was opened.
    pub(super) fn opened(&mut self, flow: &Flow<Judgement>, id: FlowId, tenant: Tenant) {
        let block = || self.flows.block_of(id).filter(|(_, flows)| *flows == 1);
        self.journal.opened(self.now, flow, block, tenant, &mut self.counters);
        self.unsolicited.cancel(|| flow.tuple(Side::Outside));
    }

    /// A packet of a live flow: tracked, then sent on.
    #[inline]
    fn pass(&mut self, hit: Hit, packet: &mut [u8], headers: &Headers) -> Fate {
        // What a later fragment carries is not known, so there is nothing to track.
        let later = matches!(headers.fragment, Fragment::Later { .. });
        if !later && self.flows.track(self.now, hit.id, hit.side, headers, packet) == Track::Invalid
        {
            return Fate::Drop(DropReason::TcpInvalid);
        }
        let fate = match self.flows.flow(hit.id) {
            Some(flow) => self.emit(&flow, hit, packet, headers),
            None => Fate::Drop(DropReason::NoFlow),
        };
        self.forget_if_refused(hit.id, headers);
        fate
    }

    /// An answer that leaves as it is by another edge than the question came by: tracked,
    /// also in the flow by which its receiver asked, then sent on.
    fn answer_elsewhere(
        &mut self,
        hit: Hit,
        to: EdgeCode,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Fate {
        let asked = self.pipeline().asked_by(to, &headers.tuple());
        for hit in [Some(hit), asked].into_iter().flatten().filter(|_| is_tracked(headers)) {
            if self.flows.track(self.now, hit.id, hit.side, headers, packet) == Track::Invalid {
                return Fate::Drop(DropReason::TcpInvalid);
            }
        }
        let Some(flow) = self.flows.flow(hit.id) else { return Fate::Drop(DropReason::NoFlow) };
        if headers.fragment != Fragment::Whole {
            self.note_fragment(&flow, hit, headers);
        }
        rewrite(packet, headers, Rewrite::default(), headers.ttl.saturating_sub(1));
        for hit in [Some(hit), asked].into_iter().flatten() {
            self.forget_if_refused(hit.id, headers);
        }
        Fate::Forward(self.pipeline().elsewhere(&flow, hit.side, to))
    }

    /// Ends a flow whose opening an RST has just refused.
    pub(super) fn forget_if_refused(&mut self, id: FlowId, headers: &Headers) {
        if let Transport::Tcp(segment) = headers.transport
            && segment.flags.contains(TcpFlags::RST)
            && let Some(flow) = self.flows.flow(id)
            && flow.state == State::Refused
        {
            let ended = Ended { flow, cause: Cause::Reset, resets: Closing::default() };
            let tenant = self.snapshot.tenant_of(flow.cell);
            self.journal.ended(self.now, &ended, tenant, &mut self.counters);
            self.flows.end(self.now, id, Cause::Reset);
        }
    }

    /// Rewrites a packet of a flow and lets it leave.
    #[inline]
    fn emit(
        &mut self,
        flow: &Flow<Judgement>,
        hit: Hit,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Fate {
        if headers.fragment != Fragment::Whole {
            self.note_fragment(flow, hit, headers);
        }
        if self.pipeline().turns_round(flow, hit.side) {
            return self.turn(flow, hit.side, packet, headers);
        }
        self.clamp(flow, packet, headers);
        rewrite(packet, headers, flow.rewrite(hit.side), headers.ttl.saturating_sub(1));
        Fate::Forward(self.pipeline().forward(&Parties::of(flow), hit.side))
    }

    /// Lowers the segment size that a SYN of either side announces to what the flow's pool allows (T-36).
    #[inline]
    pub(super) fn clamp(&self, flow: &Flow<Judgement>, packet: &mut [u8], headers: &Headers) {
        if self.snapshot.clamps
            && let Some(limit) = self.pipeline().segment_size(flow)
        {
            clamp_maximum_segment_size(packet, headers, limit);
        }
    }

    pub(super) fn note_fragment(&mut self, flow: &Flow<Judgement>, hit: Hit, headers: &Headers) {
        let zone = match hit.side {
            Side::Inside => flow.inside_zone,
            Side::Outside => flow.outside_zone,
        };
        let (key, span) = (fragment_key(zone, headers), Span::of(headers));
        if headers.fragment == Fragment::First {
            let tenant = self.snapshot.tenant_of(flow.cell);
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
    ) -> Fate {
        let Some((outer, inner, forward)) = self.pipeline().error_of(hit, quote, headers) else {
            return Fate::Drop(DropReason::QuoteUnknown);
        };
        rewrite_quoting(packet, headers, quote, outer, inner, headers.ttl.saturating_sub(1));
        Fate::Forward(forward)
    }

    /// What `commit` would say, without doing anything.
    pub(super) fn foresee(
        &self,
        now: Time,
        decision: Decision,
        packet: &[u8],
        headers: &Headers,
    ) -> Fate {
        let of = |hit: Hit, renewed: Option<Judgement>| {
            let Some(flow) = self.flows.flow(hit.id) else {
                return Fate::Drop(DropReason::NoFlow);
            };
            let later = matches!(headers.fragment, Fragment::Later { .. });
            let track = self.flows.would_track(now, hit.id, hit.side, headers, packet);
            if !later && track == Track::Invalid {
                return Fate::Drop(DropReason::TcpInvalid);
            }
            let judgement = renewed.unwrap_or(flow.judgement);
            let flow = Flow { judgement, ..flow };
            let forward = self.pipeline().forward(&Parties::of(&flow), hit.side);
            if self.pipeline().turns_round(&flow, hit.side) {
                let turned = flow.rewrite(hit.side).applied(headers);
                return self.foresee_turned(now, forward, None, &turned, packet);
            }
            Fate::Forward(forward)
        };
        match decision {
            Decision::Hit(hit) => of(hit, None),
            Decision::Error(hit, quote) => {
                match (Pipeline { now, ..self.pipeline() }).error_of(hit, &quote, headers) {
                    Some((.., forward)) => Fate::Forward(forward),
                    None => Fate::Drop(DropReason::QuoteUnknown),
                }
            }
            Decision::Renew(hit, _, judgement) => of(hit, Some(judgement)),
            Decision::Answer(hit, renewed, to) => {
                let Some(flow) = self.flows.flow(hit.id) else {
                    return Fate::Drop(DropReason::NoFlow);
                };
                let asked = Pipeline { now, ..self.pipeline() }.asked_by(to, &headers.tuple());
                let is_invalid = |hit: Hit| {
                    self.flows.would_track(now, hit.id, hit.side, headers, packet) == Track::Invalid
                };
                let mut hits = [Some(hit), asked].into_iter().flatten();
                if is_tracked(headers) && hits.any(is_invalid) {
                    return Fate::Drop(DropReason::TcpInvalid);
                }
                let judgement = renewed.map_or(flow.judgement, |(_, judgement)| judgement);
                let flow = Flow { judgement, ..flow };
                Fate::Forward(self.pipeline().elsewhere(&flow, hit.side, to))
            }
            Decision::Again(far) => Fate::Forward(self.pipeline().again(far, headers.source)),
            Decision::Open(opening) => {
                let new = opening.flow();
                let forward = self.pipeline().forward(&Parties::opening(new), new.opener);
                if new.judgement.far != EdgeCode::OURS {
                    return Fate::Forward(forward);
                }
                let turned = Rewrite { source: Some(new.external), destination: None };
                let turned = turned.applied(headers);
                self.foresee_turned(now, forward, Some(&opening), &turned, packet)
            }
            Decision::Close(_, _, reason) => Fate::Drop(reason),
            Decision::Late(..) => Fate::Drop(DropReason::FlowClosed),
            Decision::Deny(reason, _) => Fate::Deny(reason),
            Decision::Drop(reason, _) => Fate::Drop(reason),
            Decision::Refused(why, _) => Fate::Drop(why.into()),
            Decision::Hold(_) => Fate::Drop(DropReason::Unsolicited),
            Decision::TooLong(_) => Fate::Drop(DropReason::TooLong),
            Decision::Expired => Fate::Drop(DropReason::TtlExpired),
        }
    }
}

/// Whether a packet of a flow says where its connection is: what a later fragment carries is not
/// known, and an error speaks of another.
const fn is_tracked(headers: &Headers) -> bool {
    !matches!(headers.fragment, Fragment::Later { .. })
        && !matches!(headers.transport, Transport::IcmpError)
}
