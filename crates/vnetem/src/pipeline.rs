//! The life of a packet, top to bottom: identify, fragment, flow, security, route, source,
//! authorise. Everything here is pure; what was decided is recorded by
//! [`DataPlane`](crate::DataPlane) afterwards.

mod answer;
pub(crate) mod decision;
mod given;
mod hairpin;
mod inbound;
pub(crate) mod origin;
mod outbound;
mod path;
mod security;
mod spoof;
pub(crate) mod trace;

use core::net::Ipv4Addr;

use vnetem_authz::DenyMode;
use vnetem_nat::{
    Cause, Chosen, Flow, FlowTable, Found, FragmentError, Fragments, LoosePickup, MappingPolicy,
    NewFlow, OnExhaustion, OpenError, Opening, RevalidationKey, Side, Span, Standing, Time, Zone,
    opens, picks_up,
};
use vnetem_packet::{
    Checksums, FiveTuple, Fragment, Headers, IcmpErrorKind, Quote, Reset, TcpFlags, Transport,
    TransportChecksum, verify_icmp_checksum,
};

use crate::edge::{EdgeCode, revalidation_key};
use crate::pipeline::decision::{CachedDecision, Decision, Hit, fragment_key};
use crate::pipeline::origin::{Entry, Origin};
use crate::pipeline::trace::{FlowStep, Note, Step};
use crate::snapshot::OutboundView;
use crate::{AccessVerdict, DenyReason, DropReason, Edge, Mtu, Shard, Snapshot};

/// The ICMP type of a redirect.
const REDIRECT: u8 = 5;

/// All that a decision is made from.
#[derive(Clone, Copy)]
pub(crate) struct Pipeline<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) flows: &'a FlowTable<CachedDecision>,
    pub(crate) fragments: &'a Fragments,
    /// The port that a new flow takes if it can.
    pub(crate) suggestion: Option<u16>,
    pub(crate) mtu: Mtu,
    pub(crate) verify_checksums: bool,
    pub(crate) shard: Option<Shard>,
    /// A flow that will have opened before the one that is decided on, and will have taken its
    /// room: for a trace.
    pub(crate) opens_first: Option<&'a Opening<CachedDecision>>,
    pub(crate) now: Time,
}

impl<'a> Pipeline<'a> {
    /// What is to be done with a packet that entered by `edge`.
    #[inline]
    pub(crate) fn decide(
        self,
        edge: Edge,
        packet: &[u8],
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let entry = match self.identify(edge, headers) {
            Ok(entry) => entry,
            Err(reason) => return Decision::Drop(reason, None),
        };
        if self.verify_checksums
            && Checksums::of(packet, headers).transport == TransportChecksum::Wrong
        {
            return Decision::Drop(DropReason::TransportChecksum, None);
        }
        let decision = match headers.transport {
            Transport::IcmpError => self.decide_error(entry, packet, headers, note),
            _ if matches!(headers.fragment, Fragment::Later { .. }) => {
                self.decide_later_fragment(entry, headers, note)
            }
            _ => self.decide_flow(entry, headers, note),
        };
        let decision = if headers.fragment == Fragment::Whole {
            decision
        } else {
            self.unless_fragments_are_refused(decision)
        };
        match decision {
            Decision::Hit(_)
            | Decision::Renew(..)
            | Decision::Answer(..)
            | Decision::Open(_)
            | Decision::ForwardUntracked(_)
            | Decision::Error(..)
                if headers.ttl <= 1 =>
            {
                Decision::Expired
            }
            decision if self.mtu == Mtu::default() => decision,
            decision => match self.next_mtu(&decision) {
                Some(mtu) if headers.total_length > mtu => Decision::TooLong(mtu),
                _ => decision,
            },
        }
    }

    /// The longest packet that the next link takes; `None` for what goes nowhere.
    fn next_mtu(self, decision: &Decision) -> Option<u16> {
        let to = match decision {
            Decision::Open(opening) => opening.flow().cached.far,
            Decision::ForwardUntracked(to) | Decision::Answer(_, _, to) => *to,
            Decision::Hit(hit) | Decision::Renew(hit, ..) | Decision::Error(hit, _) => {
                self.edge_of(&self.flows.flow(hit.id)?, hit.side.other())
            }
            _ => return None,
        };
        Some(if to.is_public() { self.mtu.public } else { self.mtu.private })
    }

    /// N-18: a flow may be behind a method that carries none.
    pub(crate) fn unless_fragments_are_refused(self, decision: Decision) -> Decision {
        match decision {
            Decision::Hit(hit) | Decision::Renew(hit, ..)
                if self.flows.flow(hit.id).is_some_and(|flow| !self.carries_fragments(&flow)) =>
            {
                Decision::Drop(DropReason::OutboundUnsupported, None)
            }
            decision => decision,
        }
    }

    /// A later fragment takes its first one's judgement or is dropped (P-30,
    /// INV-fragment-follows-first, INV-early-fragment-dropped).
    pub(crate) fn decide_later_fragment(
        self,
        entry: Entry<'_>,
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let key = fragment_key(entry.zone, headers);
        let (id, side) = match self.fragments.admit(self.now, &key, Span::of(headers)) {
            Ok(of_first) => of_first,
            Err(FragmentError::WithoutFirst) => {
                return Decision::Drop(DropReason::FragmentWithoutFirst, None);
            }
            Err(_) => return Decision::Drop(DropReason::FragmentRefused, None),
        };
        // The entry dies with its flow, which a tombstone is no more (INV-fragment-state-bounded,
        // INV-tombstone-answers).
        match self.flows.flow(id).filter(|flow| !flow.state.is_tombstone()) {
            Some(flow) => self.decide_hit(entry, Hit { id, side }, &flow, note),
            None => Decision::Drop(DropReason::FragmentWithoutFirst, None),
        }
    }

    /// An ICMP error goes the way of the flow whose packet it quotes (INV-icmp-quote-translated,
    /// T-22 to T-25).
    fn decide_error(
        self,
        entry: Entry<'_>,
        packet: &[u8],
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        if !verify_icmp_checksum(packet, headers) {
            return Decision::Drop(DropReason::IcmpChecksum, None);
        }
        let quote = match Quote::parse(packet, headers) {
            Ok(quote) => quote,
            Err(cause) => return Decision::Drop(DropReason::Malformed(cause), None),
        };
        let is_redirect = packet.get(usize::from(headers.header_length)) == Some(&REDIRECT);
        match self.quoted(entry, headers.destination, &quote.tuple()) {
            None => Decision::Drop(DropReason::QuoteUnknown, None),
            // A router on the way may report, but none of the receiver's neighbours does from
            // there.
            Some((hit, flow))
                if headers.source != end_of(&flow, hit.side)
                    && self.is_spoofed(
                        entry,
                        self.edge_of(&flow, hit.side.other()),
                        headers.source,
                    ) =>
            {
                Decision::Drop(DropReason::SpoofedSource, None)
            }
            Some((_, flow)) if is_redirect && flow.is_translated() => {
                Decision::Drop(DropReason::Redirect, None)
            }
            Some((hit, _)) if !self.may_be_about(hit, &quote) => {
                Decision::Drop(DropReason::QuoteOutOfWindow, None)
            }
            Some((hit, flow)) if self.is_answer_elsewhere(&flow, hit.side) => {
                self.decide_answer(entry, hit, &flow, None, note)
            }
            Some((hit, _)) => Decision::Error(hit, quote),
        }
    }

    /// Whether an ICMP error is about a segment that is under way, by the number that it quotes:
    /// the addresses and ports of a connection are easily guessed (RFC 5927 4.1).
    pub(crate) fn may_be_about(self, hit: Hit, quote: &Quote) -> bool {
        let Transport::Tcp(segment) = quote.headers.transport else { return true };
        self.flows.is_under_way(hit.id, hit.side.other(), segment.sequence)
    }

    /// The live flow whose packet an ICMP error quotes, if the error may go on to `destination`.
    pub(crate) fn quoted(
        self,
        entry: Entry<'_>,
        destination: Ipv4Addr,
        quoted: &FiveTuple,
    ) -> Option<(Hit, Flow<CachedDecision>)> {
        // The sender of the error saw the packet arrive, so its own packets of the flow would have
        // the reversed tuple.
        let found = self.flows.find(self.now, entry.zone, &quoted.reversed())?;
        let flow = self.flows.flow(found.id)?;
        let came_from = self.edge_of(&flow, found.side);
        // It goes to whoever sent the quoted packet, and no one else.
        let to_sender = destination == *quoted.source.ip();
        let fits = came_from == entry.code || came_from.is_public() && entry.code.is_public();
        let goes_on = !self.flows.is_stale(found.id) || self.revalidate(&flow).is_ok();
        let may = found.standing == Standing::Live && to_sender && fits && goes_on;
        may.then_some((Hit { id: found.id, side: found.side }, flow))
    }

    #[inline]
    pub(crate) fn decide_flow(
        self,
        entry: Entry<'_>,
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let tuple = headers.tuple();
        let Some(found) = self.flows.find(self.now, entry.zone, &tuple) else {
            note.step(|| Step::Flow(FlowStep::Miss));
            return self.decide_new(entry, headers, note);
        };
        let Found { id, side, standing } = found;
        let Some(flow) = self.flows.flow(id) else {
            return self.decide_new(entry, headers, note);
        };
        match standing {
            Standing::Live if !asks_and_is_answered(headers, side == flow.initiator) => {
                note.step(|| Step::Flow(FlowStep::Miss));
                Decision::Drop(DropReason::NoFlow, None)
            }
            Standing::Live if self.flows.may_reopen(id, side, headers) => {
                note.step(|| Step::Flow(FlowStep::Reopen));
                self.decide_new(entry, headers, note)
            }
            Standing::Live => self.decide_hit(entry, Hit { id, side }, &flow, note),
            Standing::Tombstone if side == flow.initiator && opens(headers) => {
                note.step(|| Step::Flow(FlowStep::Reopen));
                self.decide_new(entry, headers, note)
            }
            Standing::Tombstone => {
                note.step(|| Step::Flow(FlowStep::Closed));
                Decision::Late(id, side)
            }
        }
    }

    /// A packet of a live flow takes the stored judgement, which is renewed first if a change
    /// touched it.
    #[inline]
    fn decide_hit(
        self,
        entry: Entry<'_>,
        hit: Hit,
        flow: &Flow<CachedDecision>,
        note: &mut impl Note,
    ) -> Decision {
        let came_from = self.edge_of(flow, hit.side);
        if came_from != entry.code {
            return Decision::Drop(DropReason::WrongEdge, None);
        }
        let goes_elsewhere = |far: EdgeCode| hit.side != flow.initiator && far.answers_elsewhere();
        if !self.flows.is_stale(hit.id) {
            note.step(|| Step::Flow(FlowStep::Hit { opened_by: flow.generation }));
            if goes_elsewhere(flow.cached.far) {
                return self.decide_answer(entry, hit, flow, None, note);
            }
            return Decision::Hit(hit);
        }
        match self.revalidate(flow) {
            Ok((revalidation_key, cached)) => {
                note.step(|| Step::Flow(FlowStep::Renewed { opened_by: flow.generation }));
                if goes_elsewhere(cached.far) {
                    return self.decide_answer(
                        entry,
                        hit,
                        flow,
                        Some((revalidation_key, cached)),
                        note,
                    );
                }
                Decision::Renew(hit, revalidation_key, cached)
            }
            Err((cause, reason)) => {
                note.step(|| Step::Flow(FlowStep::Switched { reason }));
                Decision::Close(hit.id, cause, reason)
            }
        }
    }

    /// Whether a live flow would be judged the same today: its new judgement, or why it must close.
    pub(crate) fn revalidate(
        self,
        flow: &Flow<CachedDecision>,
    ) -> Result<(RevalidationKey, CachedDecision), (Cause, DropReason)> {
        let CachedDecision { near, far, .. } = flow.cached;
        if self.is_deallocated(near) || self.is_deallocated(far) {
            return Err((Cause::Deallocated, DropReason::NoSuchHost));
        }
        if flow.initiator == Side::External {
            return self.judge_inbound(flow);
        }
        let path_switched = (Cause::PathSwitched, DropReason::PathSwitched);
        let withdrawn = (Cause::Withdrawn, DropReason::Withdrawn);
        let entry = self.entry_of(flow.cached.near, *flow.internal.ip()).ok_or(withdrawn)?;
        let tuple =
            FiveTuple { protocol: flow.protocol, source: flow.internal, destination: flow.remote };
        let path = self.path(entry, &tuple, false, &mut ()).map_err(|_| path_switched)?;
        let translated = flow.is_translated();
        if translated != path.outbound.is_some() {
            return Err((Cause::SourceSwitched, DropReason::SourceSwitched));
        }
        if translated && !self.may_keep(entry, flow.external) {
            let reclaimed = self.is_reclaimed(entry, flow.external);
            let lost = (Cause::PortReclaimed, DropReason::PortReclaimed);
            return Err(if reclaimed { lost } else { withdrawn });
        }
        let (near, far) = (flow.cached.near, flow.cached.far.plain());
        let same_far = far == path.far
            || far.is_public() && path.far.is_public()
            || self.turns_as_before(entry, far, path.far, *flow.remote.ip());
        if near != entry.code
            || !same_far
            || entry.zone != flow.internal_zone
            || path.zone != flow.external_zone
        {
            return Err(path_switched);
        }
        let (access, _) = self.authorise(entry, &path, *flow.external.ip(), *flow.remote.ip());
        let access =
            if self.snapshot.deny_mode == DenyMode::Deliver { access } else { flow.cached.access };
        let hairpinned = far == EdgeCode::HAIRPIN;
        let far = if hairpinned == (path.far == EdgeCode::HAIRPIN) { path.far } else { far };
        let far = self.far_of(near, far, &tuple.reversed(), &mut ());
        let cached = CachedDecision { near, far, access };
        Ok((revalidation_key(entry.origin.number(), path.service), cached))
    }

    /// A packet without a flow: may it open one, and where would it go?
    fn decide_new(self, entry: Entry<'_>, headers: &Headers, note: &mut impl Note) -> Decision {
        if let Origin::Service = entry.origin {
            return self.unsolicited(entry, headers, note);
        }
        if let Origin::Internet = entry.origin
            && let Some(owner) = self.snapshot.public.get(&headers.destination)
        {
            return match owner.instance {
                Some(nic) => self.decide_inbound(entry, nic, headers, note),
                None => self.unsolicited(entry, headers, note),
            };
        }
        let tuple = headers.tuple();
        if let Err(reason) = self.may_leave(entry.code, &tuple, note) {
            return Decision::Deny(reason, None);
        }
        let whole = headers.fragment == Fragment::Whole;
        let path = match self.path(entry, &tuple, !whole, note) {
            Ok(path) => path,
            Err(reason) => return Decision::Drop(reason, None),
        };
        if self.is_spoofed(entry, path.far, headers.source) {
            return Decision::Drop(DropReason::SpoofedSource, None);
        }
        if let Err(reason) = self.may_arrive(path.far, &tuple, note) {
            return Decision::Deny(reason, None);
        }
        let outbound = match path.outbound.transpose() {
            Ok(outbound) => outbound,
            Err(reason) => return Decision::Drop(reason, None),
        };
        if !opens(headers) {
            match outbound.map_or(LoosePickup::Drop, OutboundView::loose_pickup) {
                LoosePickup::PickUp if picks_up(headers) => {}
                LoosePickup::Reset => {
                    return Decision::Drop(DropReason::NoFlow, Reset::answering(headers));
                }
                LoosePickup::Drop | LoosePickup::PickUp => {
                    return Decision::Drop(DropReason::NoFlow, None);
                }
            }
        }
        let Chosen { external, mapping_policy } = match outbound {
            None => Chosen { external: tuple.source, mapping_policy: MappingPolicy::default() },
            Some(outbound) => match self.external(outbound, entry, &path, &tuple) {
                Ok(chosen) => chosen,
                Err(why) => {
                    let on_exhaustion = match outbound.rules.on_exhaustion {
                        OnExhaustion::Silence => None,
                        OnExhaustion::Prohibited => Some(IcmpErrorKind::AdministrativelyProhibited),
                        OnExhaustion::HostUnreachable => Some(IcmpErrorKind::HostUnreachable),
                    };
                    return Decision::Refused(why, on_exhaustion);
                }
            },
        };
        note.step(|| Step::Source {
            translated: outbound.map(|_| external),
            identity: self.identity(path.far, *tuple.source.ip()),
        });
        let (access_verdict, access) =
            self.authorise(entry, &path, *external.ip(), headers.destination);
        match (access, access_verdict) {
            (Some((resource, access)), _) => note.step(|| Step::Access { resource, access }),
            (None, AccessVerdict::Refused(refusal)) => {
                let destination = headers.destination;
                note.step(|| Step::Undeclared { destination, refusal });
            }
            (None, _) => {}
        }
        if let AccessVerdict::Refused(refusal) = access_verdict {
            let reason = DenyReason::Refused(refusal);
            match self.snapshot.deny_mode {
                DenyMode::Deliver => {}
                DenyMode::Reset => return Decision::Deny(reason, Reset::answering(headers)),
                DenyMode::Drop => return Decision::Deny(reason, None),
            }
        }
        let far = self.far_of(entry.code, path.far, &tuple.reversed(), note);
        let revalidation_key = revalidation_key(entry.origin.number(), path.service);
        let new = NewFlow {
            protocol: tuple.protocol,
            internal: tuple.source,
            internal_zone: entry.zone,
            external,
            external_zone: path.zone,
            remote: tuple.destination,
            initiator: Side::Internal,
            revalidation_key,
            tenant: self.snapshot.tenant_of(revalidation_key),
            generation: self.snapshot.generation(),
            cached: CachedDecision { near: entry.code, far, access: access_verdict },
            mapping_policy,
        };
        match self.flows.may_open_after(self.now, new, self.opens_first) {
            Ok(opening) => Decision::Open(opening),
            // appliances that send a packet round in a circle. Its time to live ends that.
            Err(OpenError::TupleInUse)
                if outbound.is_none() && self.forwards(entry.code) && self.forwards(path.far) =>
            {
                Decision::ForwardUntracked(path.far)
            }
            Err(why) => Decision::Drop(why.into(), None),
        }
    }

    /// From the public side, or over an endpoint, without a flow: to a mapping that lets it in
    /// (T-03), else dropped; a NAT gateway answers segments with a reset (N-16).
    fn unsolicited(self, entry: Entry<'_>, headers: &Headers, note: &mut impl Note) -> Decision {
        if entry.zone != Zone::PUBLIC {
            return Decision::Drop(DropReason::NoFlow, None);
        }
        if opens(headers)
            && let Some(inbound) = self.flows.inbound(entry.zone, &headers.tuple())
            && let Some(target) = self.mapped(&inbound, &headers.tuple())
        {
            return self.open_inbound(entry, target, headers, note);
        }
        let unsolicited = Decision::Drop(DropReason::Unsolicited, None);
        let Some(owner) = self.snapshot.public.get(&headers.destination) else {
            return unsolicited;
        };
        let Transport::Tcp(segment) = headers.transport else { return unsolicited };
        match owner.unsolicited_syn {
            Some(after) if opens(headers) => Decision::Hold(after),
            _ if owner.resets && segment.flags.0 & TcpFlags::SYN.0 == 0 => {
                Decision::Drop(DropReason::Unsolicited, Reset::answering(headers))
            }
            _ => unsolicited,
        }
    }
}

/// The address of the end of a flow that is at a side.
const fn end_of(flow: &Flow<CachedDecision>, side: Side) -> Ipv4Addr {
    match side {
        Side::Internal => *flow.internal.ip(),
        Side::External => *flow.remote.ip(),
    }
}

/// Whether the opener of a flow of ICMP queries asks and the other end answers. With the identifier
/// 0 both look up the same tuple.
const fn asks_and_is_answered(headers: &Headers, from_opener: bool) -> bool {
    match headers.transport {
        Transport::IcmpRequest => from_opener,
        Transport::IcmpReply => !from_opener,
        _ => true,
    }
}
