//! The life of a packet, top to bottom: identify, fragment, flow, security, route, source,
//! authorise. [`Pipeline::decide`] makes a [`Plan`] of it. Everything here is pure:
//! [`DataPlane`](crate::DataPlane) carries the plan out.

mod answer;
pub(crate) mod decision;
mod given;
mod hairpin;
mod icmp_error;
mod inbound;
mod new_flow;
pub(crate) mod origin;
mod outbound;
mod path;
pub(crate) mod plan;
mod security;
mod spoof;
pub(crate) mod trace;

use vnetem_authz::DenyMode;
use vnetem_nat::{
    Cause, Flow, FlowTable, Found, FragmentError, Fragments, Opening, RevalidationKey, Side, Span,
    Standing, Time, opens,
};
use vnetem_packet::{
    Checksums, FiveTuple, Fragment, Headers, IcmpErrorKind, Transport, TransportChecksum,
};

use crate::edge::{EdgeId, revalidation_key};
use crate::pipeline::decision::{CachedDecision, Hit, Renewal, fragment_key};
use crate::pipeline::origin::{Entry, FlowEnds};
use crate::pipeline::plan::{
    ByteChange, FlowChange, Follow, FragmentNote, Plan, Response, Stop, Way,
};
use crate::pipeline::trace::{FlowStep, Note, Step};
use crate::{CloseMode, Disposition, DropReason, Mtu, Shard, Snapshot};

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
    /// Which ends of a closed flow hear of it.
    pub(crate) close_mode: CloseMode,
    pub(crate) shard: Option<Shard>,
    /// The first of two flows that a hairpinned packet opens: it takes its room before the second.
    pub(crate) opens_first: Option<&'a Opening<CachedDecision>>,
    pub(crate) now: Time,
}

/// A packet that came in, and who sent it.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    entry: Entry<'a>,
    packet: &'a [u8],
    headers: &'a Headers,
}

impl<'a> Pipeline<'a> {
    /// Says all that will happen because of a packet that entered by `edge`. A plan is long, so the
    /// caller's [new](Plan::new) one is filled in place.
    #[inline]
    pub(crate) fn decide(
        &self,
        edge: EdgeId,
        packet: &[u8],
        headers: &Headers,
        plan: &mut Plan,
        note: &mut impl Note,
    ) {
        if let Err(stop) = self.fill(edge, packet, headers, plan, note) {
            plan.disposition = stop.disposition;
            plan.response = stop.response;
            plan.no_port = stop.no_port;
        }
    }

    /// Fills a plan. Where the packet does not go on, what is left to fill is in the [`Stop`].
    #[inline]
    fn fill(
        &self,
        edge: EdgeId,
        packet: &[u8],
        headers: &Headers,
        plan: &mut Plan,
        note: &mut impl Note,
    ) -> Result<(), Stop> {
        let entry = self.identify(edge, headers)?;
        if self.verify_checksums
            && Checksums::of(packet, headers).transport == TransportChecksum::Wrong
        {
            return Err(DropReason::TransportChecksum.into());
        }
        let arrival = Arrival { entry, packet, headers };
        let way = match headers.transport {
            Transport::IcmpError => return self.fill_error(arrival, plan, note),
            _ if matches!(headers.fragment, Fragment::Later { .. }) => {
                self.decide_later_fragment(arrival, &mut plan.flow, note)?
            }
            _ => self.decide_flow(arrival, &mut plan.flow, note)?,
        };
        match way {
            Way::AsItIs(forward, asked) => self.fill_answer(forward, asked, arrival, plan)?,
            Way::Through(ref flow_ends, side) if flow_ends.turns_round(side) => {
                self.fill_hairpin(flow_ends, side, arrival, plan);
            }
            Way::Through(ref flow_ends, side) => {
                let segment_size = self.segment_size(flow_ends);
                plan.bytes = ByteChange::Forward(flow_ends.rewrite(side), segment_size);
                plan.disposition = Disposition::Forward(flow_ends.forward(side));
            }
        }
        Ok(())
    }

    /// Checks what the way to an edge asks of a packet: that its TTL is not over, and that the next
    /// link takes its length (T-26, T-27).
    fn may_go_on(&self, entry: Entry<'_>, headers: &Headers, to: EdgeId) -> Result<(), Stop> {
        // A hairpinned packet was checked before its first flow.
        if entry.is_hairpinned() {
            return Ok(());
        }
        if headers.ttl <= 1 {
            let kind = IcmpErrorKind::TimeExceeded;
            return Err(Stop::with_error(DropReason::TtlExpired, kind, headers));
        }
        if self.mtu == Mtu::default() {
            return Ok(());
        }
        let mtu = if to.is_public() { self.mtu.public } else { self.mtu.private };
        if headers.total_length <= mtu {
            return Ok(());
        }
        let kind = IcmpErrorKind::FragmentationNeeded { mtu };
        Err(match headers.dont_fragment {
            true => Stop::with_error(DropReason::TooLong, kind, headers),
            false => DropReason::TooLong.into(),
        })
    }

    /// Decides on a later fragment: it takes the flow of its first one, or is dropped (P-30,
    /// INV-fragment-follows-first, INV-early-fragment-dropped).
    fn decide_later_fragment(
        &self,
        arrival: Arrival<'_>,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        let Arrival { entry, headers, .. } = arrival;
        let key = fragment_key(entry.zone, headers);
        let (id, side) = match self.fragments.admit(self.now, &key, Span::of(headers)) {
            Ok(of_first) => of_first,
            Err(FragmentError::WithoutFirst) => {
                return Err(DropReason::FragmentWithoutFirst.into());
            }
            Err(_) => return Err(DropReason::FragmentRefused.into()),
        };
        // The entry ends with its flow, and a tombstone is no flow any more
        // (INV-fragment-state-bounded, INV-tombstone-answers).
        match self.flows.flow(id).filter(|flow| !flow.state.is_tombstone()) {
            Some(flow) => self.decide_hit(arrival, Hit { id, side }, &flow, change, note),
            None => Err(DropReason::FragmentWithoutFirst.into()),
        }
    }

    /// Decides on a packet with ports by its flow, or as the first of a new one.
    #[inline(always)] // as a call it returns through memory
    fn decide_flow(
        &self,
        arrival: Arrival<'_>,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        let Arrival { entry, headers, .. } = arrival;
        let tuple = headers.tuple();
        let Some(found) = self.flows.find(self.now, entry.zone, &tuple) else {
            note.step(|| Step::Flow(FlowStep::Miss));
            return self.decide_new(entry, headers, change, note);
        };
        let Found { id, side, standing } = found;
        let Some(flow) = self.flows.flow(id) else {
            return self.decide_new(entry, headers, change, note);
        };
        match standing {
            Standing::Live if !asks_and_is_answered(headers, side == flow.initiator) => {
                note.step(|| Step::Flow(FlowStep::Miss));
                Err(DropReason::NoFlow.into())
            }
            Standing::Live if self.flows.may_reopen(id, side, headers) => {
                note.step(|| Step::Flow(FlowStep::Reopen));
                self.decide_new(entry, headers, change, note)
            }
            Standing::Live => self.decide_hit(arrival, Hit { id, side }, &flow, change, note),
            Standing::Tombstone if side == flow.initiator && opens(headers) => {
                note.step(|| Step::Flow(FlowStep::Reopen));
                self.decide_new(entry, headers, change, note)
            }
            Standing::Tombstone => {
                note.step(|| Step::Flow(FlowStep::Closed));
                Err(self.decide_late(arrival, Hit { id, side }, &flow, change))
            }
        }
    }

    /// Decides on a late segment of a closed flow. It is answered as the close mode says, but not
    /// if it turned round: nobody hears why such a packet goes nowhere.
    fn decide_late(
        &self,
        arrival: Arrival<'_>,
        hit: Hit,
        flow: &Flow<CachedDecision>,
        change: &mut FlowChange,
    ) -> Stop {
        let Arrival { entry, headers, .. } = arrival;
        let mut stop = Stop::from(DropReason::FlowClosed);
        let answers = match self.close_mode {
            CloseMode::Both => true,
            CloseMode::Initiator => flow.initiator == hit.side,
            CloseMode::Silent => false,
        };
        if answers
            && !entry.is_hairpinned()
            && let Some(reset) = self.flows.late_answer(self.now, hit.id, hit.side, headers)
        {
            *change = FlowChange::Answer(hit.id, hit.side);
            stop.response = Response::Reset(reset);
        }
        stop
    }

    /// Decides on a packet of a live flow by the cached decision, which is renewed first if a
    /// change made it stale.
    #[inline]
    fn decide_hit(
        &self,
        arrival: Arrival<'_>,
        hit: Hit,
        flow: &Flow<CachedDecision>,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        let Arrival { entry, headers, .. } = arrival;
        if self.edge_of(flow, hit.side) != entry.code {
            return Err(DropReason::WrongEdge.into());
        }
        let mut renewal = None;
        if self.flows.is_stale(hit.id) {
            match self.revalidate(flow) {
                Ok(renewed) => renewal = Some(renewed),
                Err((cause, reason)) => {
                    note.step(|| Step::Flow(FlowStep::Switched { reason }));
                    *change = FlowChange::Close(hit.id, cause);
                    return Err(reason.into());
                }
            }
        }
        let opened_by = flow.generation;
        note.step(|| {
            Step::Flow(match renewal {
                None => FlowStep::Hit { opened_by },
                Some(_) => FlowStep::Renewed { opened_by },
            })
        });
        let cached = renewal.map_or(flow.cached, |(_, cached)| cached);
        if hit.side != flow.initiator && cached.far.answers_elsewhere() {
            return self.decide_answer(arrival, hit, flow, renewal, change, note);
        }
        // N-18: the second flow of a hairpin may be behind another method than the first.
        if headers.fragment != Fragment::Whole {
            self.may_carry_fragment(flow)?;
        }
        self.may_go_on(entry, headers, self.edge_of(flow, hit.side.other()))?;
        note.given(|given| self.note_reasons(flow, given));
        self.follow(arrival, hit, flow, renewal, change)?;
        Ok(Way::Through(FlowEnds::of(flow).with(cached), hit.side))
    }

    /// Follows a flow with a packet of it; refuses a segment that has no place in the flow.
    fn follow(
        &self,
        arrival: Arrival<'_>,
        hit: Hit,
        flow: &Flow<CachedDecision>,
        renewal: Option<Renewal>,
        change: &mut FlowChange,
    ) -> Result<(), Stop> {
        let Arrival { packet, headers, .. } = arrival;
        let tracked = if is_tracked(headers) {
            let followed = self.flows.follow(self.now, hit.id, hit.side, headers, packet);
            if followed.is_none() {
                // The flow is renewed all the same.
                *change = renewal.map_or(FlowChange::None, |it| FlowChange::Renew(hit.id, it));
                return Err(DropReason::TcpInvalid.into());
            }
            followed
        } else {
            None
        };
        let revalidation_key = renewal.map_or(flow.revalidation_key, |(renewed, _)| renewed);
        let zone = match hit.side {
            Side::Internal => flow.internal_zone,
            Side::External => flow.external_zone,
        };
        let fragment = (headers.fragment != Fragment::Whole).then(|| FragmentNote {
            key: fragment_key(zone, headers),
            tenant: self.snapshot.tenant_of(revalidation_key),
        });
        *change = FlowChange::Follow(Follow::new(hit, renewal, tracked, fragment, headers));
        Ok(())
    }

    /// Decides on a live flow by the present configuration: its new cached decision, or why it must
    /// close.
    pub(crate) fn revalidate(
        &self,
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
        let hairpinned = far == EdgeId::HAIRPIN;
        let far = if hairpinned == (path.far == EdgeId::HAIRPIN) { path.far } else { far };
        let far = self.far_of(near, far, &tuple.reversed(), &mut ());
        let cached = CachedDecision { near, far, access };
        Ok((revalidation_key(entry.origin.number(), path.service), cached))
    }
}

/// Whether a packet of a flow says where its connection is: what a later fragment carries is not
/// known, and an error speaks of another packet.
const fn is_tracked(headers: &Headers) -> bool {
    !matches!(headers.fragment, Fragment::Later { .. })
        && !matches!(headers.transport, Transport::IcmpError)
}

/// Whether the initiator of a flow of ICMP queries asks and the other end answers. With the
/// identifier 0 both look up the same tuple.
const fn asks_and_is_answered(headers: &Headers, from_initiator: bool) -> bool {
    match headers.transport {
        Transport::IcmpRequest => from_initiator,
        Transport::IcmpReply => !from_initiator,
        _ => true,
    }
}
