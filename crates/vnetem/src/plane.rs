//! The data plane: packets and time in, verdicts out.

mod answer_edge;
mod closing;
mod commit;
pub(crate) mod counters;
pub(crate) mod event;
pub(crate) mod event_queue;
pub(crate) mod flow;
mod hairpin;
mod hit;
pub(crate) mod transmit_queue;
pub(crate) mod tunnel_port;
mod unsolicited;

use core::fmt;
use core::net::Ipv4Addr;
use std::sync::Arc;

use closing::notify_idle_end;
pub use hit::BatchPacket;
use unsolicited::Unsolicited;
use vnetem_nat::{Ended, FlowCounters, FlowTable, Fragments, Generation, Time};
use vnetem_packet::{Headers, VnetId};

use crate::pipeline::Pipeline;
use crate::pipeline::decision::CachedDecision;
use crate::pipeline::plan::Plan;
use crate::pipeline::trace::{Explanation, Trace};
use crate::plane::event::Event;
use crate::plane::event_queue::{EventQueue, TranslationEvent};
use crate::plane::flow::Flow;
use crate::plane::transmit_queue::TransmitQueue;
use crate::snapshot::tenant::tenant_of_vnet;
use crate::{
    Applied, CloseMode, Counters, Disposition, DropReason, EdgeId, Mtu, Settings, Shard, Snapshot,
    Transmit, Verdict,
};

/// The data plane of an emulated cloud network, without I/O: packets, time, configuration and the
/// seed are arguments.
///
/// Its methods are of three families:
///
/// - **packets**: [`process`](Self::process) rewrites a packet in place and says where it leaves,
///   [`process_batch`](Self::process_batch) many of them sooner;
/// - **configuration**: [`apply`](Self::apply) takes a snapshot. The next packet is decided by it;
///   closing the flows that it ends is bounded work in `poll_transmit`;
/// - **drains**, to be called after either until they have no more:
///   [`poll_transmit`](Self::poll_transmit) (packets that the data plane makes itself),
///   [`poll_event`](Self::poll_event) (flows that came and went), and
///   [`poll_timeout`](Self::poll_timeout), which says when to call
///   [`handle_timeout`](Self::handle_timeout) even if no packet comes.
///
/// `now` is the caller's clock. It may stand still; where it steps back the latest time so far
/// counts (INV-clock-steps-harmless). No method panics, and `process` never allocates
/// (INV-packets-allocate-nothing).
///
/// The same settings and the same calls give the same bytes, on any machine
/// (INV-same-input-same-bytes).
pub struct DataPlane {
    snapshot: Arc<Snapshot>,
    flows: FlowTable<CachedDecision>,
    fragments: Fragments,
    transmit_queue: TransmitQueue,
    event_queue: EventQueue,
    unsolicited: Unsolicited,
    mtu: Mtu,
    verify_checksums: bool,
    /// Longest packet that the fast path takes.
    longest_hit: u16,
    counters: Counters,
    closing: CloseMode,
    /// Whether stale flows may still wait to be revalidated.
    closes: bool,
    suggestion: Option<u16>,
    shard: Option<Shard>,
    now: Time,
}

/// The most flows that one call closes or checks for expiry, so that it never holds up other
/// traffic (INV-work-bounded, INV-toggle-stalls-nobody).
const STALE_BUDGET: usize = 1024;
const EXPIRY_BUDGET: usize = 4;
const TIMEOUT_BUDGET: usize = 4096;

impl DataPlane {
    /// Makes an empty data plane with this configuration. Settings beyond the limits of
    /// [`Settings::check`] are lowered to them.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, settings: Settings) -> Self {
        let settings = settings.bounded();
        let mut plane = Self {
            snapshot,
            flows: FlowTable::new(settings.flows),
            fragments: Fragments::new(
                settings.fragments,
                settings.fragment_life,
                settings.flows.keys,
            ),
            transmit_queue: TransmitQueue::new(settings.queue),
            event_queue: EventQueue::new(&settings),
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
        };
        plane.share();
        plane
    }

    /// Explains what would become of a packet: makes the plan that [`process`](Self::process) would
    /// carry out. Nothing changes, so expired flows that were not removed yet still have their
    /// place: `process` removes a few first, [`handle_timeout`](Self::handle_timeout) all of them.
    #[must_use]
    pub fn trace(&self, now: Time, edge: impl Into<EdgeId>, packet: &[u8]) -> Trace {
        let edge = edge.into();
        let mut explanation = Explanation::default();
        let headers = Headers::parse(packet);
        let disposition = match &headers {
            Err(cause) => Disposition::Drop(DropReason::Malformed(*cause)),
            Ok(headers) => {
                let pipeline = Pipeline { now: self.now.max(now), ..self.pipeline() };
                let mut plan = Plan::new();
                pipeline.decide(edge, packet, headers, &mut plan, &mut explanation);
                plan.disposition
            }
        };
        let verdict = Verdict { generation: self.snapshot.generation(), disposition };
        let answered = headers.map_or(Ipv4Addr::UNSPECIFIED, |headers| headers.destination);
        let edge = self.snapshot.edge(edge, answered);
        Trace::new(Arc::clone(&self.snapshot), edge, headers, explanation, verdict)
    }

    /// Takes a new configuration, and says whether it did. It is in force for the next packet
    /// (INV-accepted-edit-in-force); flows that it closes are closed at their next packet or by
    /// [`poll_transmit`](Self::poll_transmit), whichever comes first.
    ///
    /// It takes only a successor of the present configuration, made by edits and commits. It
    /// ignores an older one, and one of another network or of a copy with edits of its own: there
    /// the same numbers mean other subnets.
    pub fn apply(&mut self, now: Time, snapshot: Arc<Snapshot>) -> Applied {
        self.advance(now);
        let applied = snapshot.lineage.follows(&self.snapshot.lineage);
        if applied != Applied::Taken {
            return applied;
        }
        let before = self.snapshot.generation();
        let generation = snapshot.generation();
        match snapshot.touched_since(before) {
            Some(changes) => {
                for (at, invalidated) in changes {
                    for &revalidation_key in &*invalidated.keys {
                        self.flows.invalidate(revalidation_key, at);
                    }
                    if !invalidated.everywhere.is_empty() {
                        let concerned = |key| invalidated.everywhere.concern(key);
                        self.flows.invalidate_each(concerned, at);
                    }
                }
            }
            None => self.flows.invalidate_each(|_| true, generation),
        }
        let same_tenants = self.snapshot.tenants.same(&snapshot.tenants);
        self.snapshot = snapshot;
        self.closes = true;
        if !same_tenants {
            self.share();
        }
        Applied::Taken
    }

    /// Shares all that is bounded among the tenants of the configuration (docs/shares.md).
    fn share(&mut self) {
        let tenants = self.snapshot.tenants.clone();
        let tenants = || tenants.keys().copied();
        self.flows.share_among(tenants());
        self.fragments.share_among(tenants());
        self.transmit_queue.share_among(tenants());
        self.unsolicited.share_among(tenants());
        self.event_queue.share_among(tenants());
    }

    /// Suggests the public port, or identifier, of flows that are translated from now on. A flow
    /// takes it if the pool has it and it is free, and else the port that the seed draws. `None` is
    /// the default and leaves the choice to the seed. An oracle repeats another translator's choice
    /// with it, and a fuzzer makes its own.
    pub fn suggest_port(&mut self, port: Option<u16>) {
        self.suggestion = port;
    }

    /// Returns the next packet that the data plane makes itself, if there is one. Each call does a
    /// bounded part of the closing that a change asked for, so calls may come at any rate. The
    /// closing is done once there is no packet and [`poll_timeout`](Self::poll_timeout) names a
    /// later time.
    pub fn poll_transmit(&mut self, now: Time) -> Option<Transmit> {
        self.advance(now);
        let mut budget = STALE_BUDGET;
        while self.closes && self.transmit_queue.is_empty() && budget > 0 {
            budget -= 1;
            match self.flows.next_stale() {
                Some(id) => self.judge_stale(id),
                None => self.closes = false,
            }
        }
        self.answer_unsolicited();
        self.transmit_queue.take(&mut self.counters)
    }

    /// Returns the next event of a flow, if there is one.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event_queue.take_event()
    }

    /// Returns the next event of a translation, if [`Settings::translation_events`] keeps any
    /// (T-37).
    pub fn poll_translation_event(&mut self) -> Option<TranslationEvent> {
        self.event_queue.take_translation()
    }

    /// Returns how many flows a virtual network has in the table, and how many are guaranteed to
    /// each (docs/shares.md).
    #[must_use]
    pub fn share_of(&self, vnet: VnetId) -> (u32, u32) {
        self.flows.share_of(tenant_of_vnet(vnet))
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due: at the next expiry, or at once
    /// if packets wait or closing goes on.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if !self.transmit_queue.is_empty() || self.closes {
            return Some(self.now);
        }
        self.flows.next_deadline().into_iter().chain(self.unsolicited.next_due()).min()
    }

    /// Ends flows that have expired by `now`, a bounded number a call.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.expire(TIMEOUT_BUDGET);
        self.answer_unsolicited();
    }

    /// Returns the configuration in force.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Returns the generation of the configuration in force.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.snapshot.generation()
    }

    /// Lists all flows and tombstones, in an order that is the same in every run.
    pub fn flows(&self) -> impl Iterator<Item = Flow> {
        self.flows.iter().map(|(_, flow)| Flow::new(&flow))
    }

    /// Returns what went in and out so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns how many flows opened, ended and are in hold-down.
    #[must_use]
    pub fn flow_counters(&self) -> FlowCounters {
        self.flows.counters()
    }

    /// Returns the number and bytes of own packets that wait to be taken.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.transmit_queue.held()
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
            close_mode: self.closing,
            shard: self.shard,
            opens_first: None,
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
        if !self.flows.is_due(self.now) {
            return;
        }
        let Self { flows, event_queue, counters, transmit_queue, snapshot, now, .. } = self;
        flows.expire(*now, budget, &mut |ended: Ended<CachedDecision>| {
            notify_idle_end(&ended, snapshot, transmit_queue, counters);
            event_queue.ended(
                *now,
                &ended,
                snapshot.tenant_of(ended.flow.revalidation_key),
                counters,
            );
        });
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
