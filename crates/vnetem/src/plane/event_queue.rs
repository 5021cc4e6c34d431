//! Events of flows and translations, until the caller takes them. A queue never allocates after it
//! is made.

use core::net::SocketAddrV4;
use std::collections::VecDeque;

use vnetem_nat::{Block, Ended, Flow, NoTuple, Quota, Tenant, Time};
use vnetem_packet::{FiveTuple, Protocol};

use crate::pipeline::decision::CachedDecision;
use crate::{Counters, Event, EventKind, Settings};

/// Something that happened to a translation: the events of RFC 8158 that concern this translator
/// (T-37; RFC 6888 REQ-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TranslationEvent {
    /// When.
    pub at: Time,
    /// What.
    pub kind: TranslationEventKind,
    /// The protocol.
    pub protocol: Protocol,
    /// The internal end.
    pub internal: SocketAddrV4,
    /// The external end; `None` where none was given.
    pub external: Option<SocketAddrV4>,
    /// The remote end, only if [`Settings::log_remotes`] asks for it.
    pub remote: Option<SocketAddrV4>,
}

/// What happened to a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TranslationEventKind {
    /// A translated flow was opened.
    SessionCreated,
    /// It is gone.
    SessionDeleted,
    /// No port was left for a flow.
    PortsExhausted,
    /// An internal address had as much as it may.
    QuotaExceeded,
    /// An internal address got a block of ports.
    BlockAllocated(Block),
}

/// Two bounded queues, which tenants share (docs/shares.md).
pub(crate) struct EventQueue {
    events: VecDeque<(Tenant, Event)>,
    translations: VecDeque<(Tenant, TranslationEvent)>,
    quota: Quota<2>,
    translation_limit: usize,
    log_remotes: bool,
}

/// The two queues by their place in the quota.
const EVENTS: usize = 0;
const TRANSLATIONS: usize = 1;

impl TranslationEventKind {
    /// The value of natEvent (RFC 8158 8.1).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::SessionCreated => 4,
            Self::SessionDeleted => 5,
            Self::PortsExhausted => 12,
            Self::QuotaExceeded => 13,
            Self::BlockAllocated(_) => 16,
        }
    }
}

impl EventQueue {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            events: VecDeque::with_capacity(settings.events),
            translations: VecDeque::with_capacity(settings.translation_events),
            quota: Quota::new(
                [settings.events, settings.translation_events]
                    .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            ),
            translation_limit: settings.translation_events,
            log_remotes: settings.log_remotes,
        }
    }

    pub(crate) fn share_among(&mut self, tenants: impl Iterator<Item = Tenant>) {
        self.quota.share_among(tenants);
    }

    /// Queues an event of a flow.
    pub(crate) fn event(
        &mut self,
        event: impl FnOnce() -> Event,
        tenant: Tenant,
        counters: &mut Counters,
    ) {
        if self.quota.has_room(EVENTS, tenant) {
            self.quota.take(EVENTS, tenant);
            self.events.push_back((tenant, event()));
        } else {
            counters.events_lost += 1;
        }
    }

    pub(crate) fn take_event(&mut self) -> Option<Event> {
        let (tenant, event) = self.events.pop_front()?;
        self.quota.give_back(EVENTS, tenant);
        Some(event)
    }

    pub(crate) fn take_translation(&mut self) -> Option<TranslationEvent> {
        let (tenant, event) = self.translations.pop_front()?;
        self.quota.give_back(TRANSLATIONS, tenant);
        Some(event)
    }

    /// Queues the events of a flow that opened, and of the block of ports that it began, if any.
    pub(crate) fn opened(
        &mut self,
        at: Time,
        flow: &Flow<CachedDecision>,
        block: impl FnOnce() -> Option<(Block, u32)>,
        tenant: Tenant,
        counters: &mut Counters,
    ) {
        self.event(|| Event::of(at, EventKind::Opened, flow), tenant, counters);
        if self.translation_limit == 0 {
            return;
        }
        if let Some((block, _)) = block() {
            let kind = TranslationEventKind::BlockAllocated(block);
            self.session(at, kind, flow, tenant, counters);
        }
        self.session(at, TranslationEventKind::SessionCreated, flow, tenant, counters);
    }

    /// Queues the events of a flow that ended.
    pub(crate) fn ended(
        &mut self,
        at: Time,
        ended: &Ended<CachedDecision>,
        tenant: Tenant,
        counters: &mut Counters,
    ) {
        self.event(|| Event::of(at, EventKind::Ended(ended.cause), &ended.flow), tenant, counters);
        self.session(at, TranslationEventKind::SessionDeleted, &ended.flow, tenant, counters);
    }

    /// Queues the event of a flow that got no port.
    pub(crate) fn refused(
        &mut self,
        at: Time,
        why: NoTuple,
        tuple: &FiveTuple,
        tenant: Tenant,
        counters: &mut Counters,
    ) {
        let kind = match why {
            NoTuple::Exhausted => TranslationEventKind::PortsExhausted,
            NoTuple::Quota | NoTuple::Rate => TranslationEventKind::QuotaExceeded,
        };
        let FiveTuple { protocol, source: internal, destination } = *tuple;
        let remote = Some(destination);
        let event = TranslationEvent { at, kind, protocol, internal, external: None, remote };
        self.translation(event, tenant, counters);
    }

    fn session(
        &mut self,
        at: Time,
        kind: TranslationEventKind,
        flow: &Flow<CachedDecision>,
        tenant: Tenant,
        counters: &mut Counters,
    ) {
        if self.translation_limit == 0 || !flow.is_translated() {
            return;
        }
        let Flow { protocol, internal, external, remote, .. } = *flow;
        let (external, remote) = (Some(external), Some(remote));
        let event = TranslationEvent { at, kind, protocol, internal, external, remote };
        self.translation(event, tenant, counters);
    }

    fn translation(&mut self, event: TranslationEvent, tenant: Tenant, counters: &mut Counters) {
        // The settings keep none.
        if self.translation_limit == 0 {
            return;
        }
        let remote = event.remote.filter(|_| self.log_remotes);
        if self.quota.has_room(TRANSLATIONS, tenant) {
            self.quota.take(TRANSLATIONS, tenant);
            self.translations.push_back((tenant, TranslationEvent { remote, ..event }));
        } else {
            counters.events_lost += 1;
        }
    }
}
