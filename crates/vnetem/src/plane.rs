//! The data plane: packets and time in, verdicts out.

mod closing;
mod hit;
mod unsolicited;

use core::fmt;
use std::sync::Arc;

use closing::{tell_of_idling, touch_everything};
pub use hit::Slot;
use unsolicited::Unsolicited;
use vnetem_nat::{
    Ended, Flow, FlowCounters, FlowId, FlowTable, Fragments, Generation, Side, Span, Time, Track,
};
use vnetem_packet::{
    Fragment, Headers, IcmpErrorKind, Quote, Rewrite, clamp_maximum_segment_size, rewrite,
    rewrite_quoting,
};

use crate::event::{Event, EventKind};
use crate::journal::{Journal, TranslationEvent};
use crate::origin::Parties;
use crate::outbox::Outbox;
use crate::pipeline::{Decision, Hit, Judgement, Pipeline, fragment_key, rewrite_error};
use crate::snapshot::Touched;
use crate::trace::Trace;
use crate::{
    Closing, Counters, DropReason, Edge, Fate, Mark, Mtu, Settings, Shard, Snapshot, Transmit,
    Verdict,
};

/// The data plane of an emulated cloud network, without I/O: packets, time, configuration and the seed are arguments.
///
/// Its methods are of three families:
///
/// - **packets**: [`process`](Self::process) rewrites a packet in place and says where it leaves,
///   [`process_batch`](Self::process_batch) many of them sooner;
/// - **configuration**: [`apply`](Self::apply) takes a snapshot. The next packet is decided by it; closing the flows that it ends is
///   bounded work in `poll_transmit`;
/// - **drains**, to be called after either until they have no more: [`poll_transmit`](Self::poll_transmit) (packets that the data plane
///   makes itself), [`poll_event`](Self::poll_event) (flows that came and went), and [`poll_timeout`](Self::poll_timeout), which says
///   when to call [`handle_timeout`](Self::handle_timeout) even if no packet comes.
///
/// `now` is the caller's clock. It may stand still; where it steps back the latest time so far counts (T4). No method panics, and
/// `process` never allocates (T3).
///
/// The same settings and the same calls give the same bytes, on any machine (W10).
pub struct DataPlane {
    snapshot: Arc<Snapshot>,
    flows: FlowTable<Judgement>,
    fragments: Fragments,
    outbox: Outbox,
    journal: Journal,
    unsolicited: Unsolicited,
    mtu: Mtu,
    verify_checksums: bool,
    /// Length up to which a packet of a live flow takes the short way.
    longest_hit: u16,
    counters: Counters,
    closing: Closing,
    /// Whether flows that a change touched may still wait to be judged again.
    closes: bool,
    suggestion: Option<u16>,
    shard: Option<Shard>,
    now: Time,
}

/// Flows that one call closes or looks at for expiry at most, so that other traffic is never held up (T7, T8).
const STALE_BUDGET: usize = 1024;
const EXPIRY_BUDGET: usize = 4;
const TIMEOUT_BUDGET: usize = 4096;

impl DataPlane {
    /// A data plane with nothing in it that follows `snapshot`.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, settings: Settings) -> Self {
        Self {
            snapshot,
            flows: FlowTable::new(settings.flows),
            fragments: Fragments::new(
                settings.fragments,
                settings.fragment_life,
                settings.flows.seed,
            ),
            outbox: Outbox::new(settings.queue),
            journal: Journal::new(&settings),
            unsolicited: Unsolicited::new(settings.unsolicited),
            mtu: settings.mtu,
            verify_checksums: settings.verify_checksums,
            longest_hit: match settings.verify_checksums {
                true => 0,
                false => settings.mtu.public.min(settings.mtu.private),
            },
            counters: Counters::default(),
            closing: settings.closing,
            closes: false,
            suggestion: None,
            shard: settings.shard,
            now: Time::default(),
        }
    }

    /// Explains what would become of a packet, by the code that forwards it. Nothing changes.
    #[must_use]
    pub fn trace(&self, now: Time, edge: Edge, packet: &[u8]) -> Trace {
        let mut steps = Vec::new();
        let headers = Headers::parse(packet);
        let fate = match &headers {
            Err(cause) => Fate::Drop(DropReason::Malformed(*cause)),
            Ok(headers) => {
                let pipeline = Pipeline { now: self.now.max(now), ..self.pipeline() };
                let decision = pipeline.decide(edge, packet, headers, &mut steps);
                self.foresee(pipeline.now, decision, packet, headers)
            }
        };
        let verdict = Verdict { generation: self.snapshot.generation(), fate };
        Trace::new(Arc::clone(&self.snapshot), edge, headers, steps, verdict)
    }

    /// Takes a new configuration. It is in force for the next packet (C4); flows that it closes are closed at their next packet or by
    /// [`poll_transmit`](Self::poll_transmit), whichever comes first. A snapshot that is not newer than the present one is ignored.
    pub fn apply(&mut self, now: Time, snapshot: Arc<Snapshot>) {
        self.advance(now);
        let before = self.snapshot.generation();
        let generation = snapshot.generation();
        if generation <= before {
            return;
        }
        match snapshot.touched_since(before) {
            Some(changes) => {
                for (at, touched) in changes {
                    match touched {
                        Touched::Cells(cells) => {
                            cells.iter().for_each(|&cell| self.flows.touch(cell, at));
                        }
                        Touched::Everything => touch_everything(&mut self.flows, &snapshot, at),
                    }
                }
            }
            None => touch_everything(&mut self.flows, &snapshot, generation),
        }
        self.snapshot = snapshot;
        self.closes = true;
    }

    /// Suggests the public port, or identifier, of flows that are translated from now on: it goes before the port that would be drawn,
    /// if the pool has it and it is free. For an oracle that repeats another translator's choice, and for a fuzzer that makes its own;
    /// `None`, as in the beginning, leaves the choice to the seed.
    pub fn suggest_port(&mut self, port: Option<u16>) {
        self.suggestion = port;
    }

    /// The next packet of our own making, if there is one. Each call does a bounded part of the closing that a change asked for, so it
    /// may be called in any rhythm beside `process`; when it has no more for now and [`poll_timeout`](Self::poll_timeout) says later,
    /// all is done.
    pub fn poll_transmit(&mut self, now: Time) -> Option<Transmit> {
        self.advance(now);
        let mut budget = STALE_BUDGET;
        while self.closes && self.outbox.is_empty() && budget > 0 {
            budget -= 1;
            match self.flows.next_stale() {
                Some(id) => self.judge_stale(id),
                None => self.closes = false,
            }
        }
        self.answer_unsolicited();
        self.outbox.take(&mut self.counters)
    }

    /// The next thing that happened to a flow, if there is one.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.journal.take_event()
    }

    /// The next thing that happened to a translation, if [`Settings::translation_events`] keeps any (T-37).
    pub fn poll_translation_event(&mut self) -> Option<TranslationEvent> {
        self.journal.take_translation()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do: the next expiry, or at once if packets wait or closing goes on.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if !self.outbox.is_empty() || self.closes {
            return Some(self.now);
        }
        self.flows.next_deadline().into_iter().chain(self.unsolicited.next_due()).min()
    }

    /// Lets time pass: ends flows whose time is over, a bounded number a call.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.expire(TIMEOUT_BUDGET);
        self.answer_unsolicited();
    }

    /// The configuration in force.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The generation of the configuration in force.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.snapshot.generation()
    }

    /// All flows and tombstones, in the order of their slots, each with its mark.
    pub fn flows(&self) -> impl Iterator<Item = Flow<Mark>> {
        self.flows.iter().map(|(_, flow)| {
            let mark = flow.judgement.mark;
            flow.with(mark)
        })
    }

    /// What went in and out so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Flows opened, ended and held.
    #[must_use]
    pub fn flow_counters(&self) -> FlowCounters {
        self.flows.counters()
    }

    /// Packets of our own making that wait to be taken: their number and bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.outbox.held()
    }

    #[inline]
    fn pipeline(&self) -> Pipeline<'_> {
        Pipeline {
            snapshot: &self.snapshot,
            flows: &self.flows,
            fragments: &self.fragments,
            suggestion: self.suggestion,
            mtu: self.mtu,
            verify_checksums: self.verify_checksums,
            shard: self.shard,
            now: self.now,
        }
    }

    #[inline]
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.expire(EXPIRY_BUDGET);
    }

    #[inline]
    fn expire(&mut self, budget: usize) {
        if self.flows.next_deadline().is_none_or(|deadline| deadline > self.now) {
            return;
        }
        let Self { flows, journal, counters, outbox, snapshot, now, .. } = self;
        flows.expire(*now, budget, &mut |ended: Ended<Judgement>| {
            tell_of_idling(&ended, snapshot, outbox, counters);
            journal.ended(*now, &ended, counters);
        });
    }

    /// Records a decision, rewrites the packet if it goes on, and says what became of it.
    #[inline]
    fn commit(
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
            Decision::Open(new) => {
                let (now, journal, counters) = (self.now, &mut self.journal, &mut self.counters);
                let mut tell = |ended| journal.ended(now, &ended, counters);
                match self.flows.open_telling(now, new, headers, packet, &mut tell) {
                    Err(_) => Fate::Drop(DropReason::TupleInUse),
                    Ok(id) => {
                        self.opened(id);
                        self.emit(Hit { id, side: new.opener }, packet, headers)
                    }
                }
            }
            Decision::Again(far) => {
                let ttl = headers.ttl.saturating_sub(1);
                rewrite(packet, headers, Rewrite::default(), ttl);
                Fate::Forward(self.pipeline().again(far, headers.source))
            }
            Decision::Error(hit, quote) => self.pass_error(hit, &quote, packet, headers),
            Decision::Close(id, cause, reason) => {
                self.close(id, cause);
                Fate::Drop(reason)
            }
            Decision::Late(id, side) => {
                if self.answers(id, side)
                    && let Some(reset) = self.flows.answer(self.now, id, side, headers)
                {
                    self.outbox.reset(edge, reset, &mut self.counters);
                }
                Fate::Drop(DropReason::FlowClosed)
            }
            Decision::Deny(reason, answer) => {
                if let Some(reset) = answer {
                    self.outbox.reset(edge, reset, &mut self.counters);
                }
                Fate::Deny(reason)
            }
            Decision::Drop(reason, answer) => {
                if let Some(reset) = answer {
                    self.outbox.reset(edge, reset, &mut self.counters);
                }
                Fate::Drop(reason)
            }
            Decision::Refused(why, notice) => {
                let (now, tuple) = (self.now, headers.tuple());
                self.journal.refused(now, why, &tuple, &mut self.counters);
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
    fn complain(&mut self, edge: Edge, kind: IcmpErrorKind, about: &[u8], headers: &Headers) {
        let router = self.snapshot.router_at(edge, headers.destination);
        self.outbox.complain(edge, kind, router, about, headers, &mut self.counters);
    }

    /// Notes a flow that has just been opened.
    fn opened(&mut self, id: FlowId) {
        let Some(flow) = self.flows.flow(id) else { return };
        let block = self.flows.block_of(id).filter(|(_, flows)| *flows == 1);
        let block = block.map(|(block, _)| block);
        self.journal.opened(self.now, &flow, block, &mut self.counters);
        self.unsolicited.cancel(&flow.tuple(Side::Outside));
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
        self.emit(hit, packet, headers)
    }

    /// Rewrites a packet of a flow and lets it leave.
    #[inline]
    fn emit(&mut self, hit: Hit, packet: &mut [u8], headers: &Headers) -> Fate {
        let Some(flow) = self.flows.flow(hit.id) else {
            return Fate::Drop(DropReason::NoFlow);
        };
        if headers.fragment != Fragment::Whole {
            self.note_fragment(&flow, hit, headers);
        }
        self.clamp(&flow, packet, headers);
        rewrite(packet, headers, flow.rewrite(hit.side), headers.ttl.saturating_sub(1));
        Fate::Forward(self.pipeline().forward(&Parties::of(&flow), hit.side))
    }

    /// Lowers the segment size that a SYN of either side announces to what the flow's pool allows (T-36).
    fn clamp(&self, flow: &Flow<Judgement>, packet: &mut [u8], headers: &Headers) {
        if self.snapshot.clamps
            && let Some(limit) = self.pipeline().segment_size(flow)
        {
            clamp_maximum_segment_size(packet, headers, limit);
        }
    }

    fn note_fragment(&mut self, flow: &Flow<Judgement>, hit: Hit, headers: &Headers) {
        let zone = match hit.side {
            Side::Inside => flow.inside_zone,
            Side::Outside => flow.outside_zone,
        };
        let (key, span) = (fragment_key(zone, headers), Span::of(headers));
        if headers.fragment == Fragment::First {
            self.fragments.note(self.now, key, span, hit.id, hit.side);
        } else {
            self.fragments.pass(self.now, &key, span);
        }
    }

    fn pass_error(
        &mut self,
        hit: Hit,
        quote: &Quote,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Fate {
        let Some(flow) = self.flows.flow(hit.id) else {
            return Fate::Drop(DropReason::QuoteUnknown);
        };
        let (outer, inner) = rewrite_error(&flow, hit.side);
        rewrite_quoting(packet, headers, quote, outer, inner, headers.ttl.saturating_sub(1));
        Fate::Forward(self.pipeline().forward(&Parties::of(&flow), hit.side))
    }

    /// What `commit` would say, without doing anything.
    fn foresee(&self, now: Time, decision: Decision, packet: &[u8], headers: &Headers) -> Fate {
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
            let parties = Parties::of(&Flow { judgement, ..flow });
            Fate::Forward(self.pipeline().forward(&parties, hit.side))
        };
        match decision {
            Decision::Hit(hit) | Decision::Error(hit, _) => of(hit, None),
            Decision::Renew(hit, _, judgement) => of(hit, Some(judgement)),
            Decision::Again(far) => Fate::Forward(self.pipeline().again(far, headers.source)),
            Decision::Open(new) => {
                Fate::Forward(self.pipeline().forward(&Parties::opening(&new), new.opener))
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

    fn event(&mut self, kind: EventKind, id: FlowId) {
        if let Some(flow) = self.flows.flow(id) {
            let event = Event::of(self.now, kind, &flow);
            self.journal.event(event, &mut self.counters);
        }
    }
}

impl fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPlane")
            .field("generation", &self.generation())
            .field("now", &self.now)
            .field("flows", &self.flows.counters())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
