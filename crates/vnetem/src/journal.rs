//! What happened to flows and translations, until the caller takes it. Nothing allocates after it is made.

use core::net::SocketAddrV4;
use std::collections::VecDeque;

use vnetem_nat::{Block, Ended, Flow, NoTuple, Time};
use vnetem_packet::{FiveTuple, Protocol};

use crate::decision::Judgement;
use crate::{Counters, Event, EventKind, Settings};

/// Something that happened to a translation: the events of RFC 8158 that concern this translator (T-37; RFC 6888 REQ-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslationEvent {
    /// When.
    pub at: Time,
    /// What.
    pub kind: TranslationEventKind,
    /// The protocol.
    pub protocol: Protocol,
    /// The inside end.
    pub inside: SocketAddrV4,
    /// The inside end as the outside knows it; `None` where none was given.
    pub external: Option<SocketAddrV4>,
    /// The outside end, only if [`Settings::log_remotes`] asks for it.
    pub remote: Option<SocketAddrV4>,
}

/// What happened to a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranslationEventKind {
    /// A translated flow was opened.
    SessionCreated,
    /// It is gone.
    SessionDeleted,
    /// No port was left for a flow.
    PortsExhausted,
    /// An inside address had as much as it may.
    QuotaExceeded,
    /// An inside address got a block of ports.
    BlockAllocated(Block),
}

/// Two bounded queues.
pub(crate) struct Journal {
    events: VecDeque<Event>,
    event_limit: usize,
    translations: VecDeque<TranslationEvent>,
    translation_limit: usize,
    log_remotes: bool,
}

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

impl Journal {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            events: VecDeque::with_capacity(settings.events),
            event_limit: settings.events,
            translations: VecDeque::with_capacity(settings.translation_events),
            translation_limit: settings.translation_events,
            log_remotes: settings.log_remotes,
        }
    }

    pub(crate) fn event(&mut self, event: impl FnOnce() -> Event, counters: &mut Counters) {
        if self.events.len() < self.event_limit {
            self.events.push_back(event());
        } else {
            counters.events_lost += 1;
        }
    }

    pub(crate) fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn take_translation(&mut self) -> Option<TranslationEvent> {
        self.translations.pop_front()
    }

    /// A flow was opened, with the first port of a block if that is given.
    pub(crate) fn opened(
        &mut self,
        at: Time,
        flow: &Flow<Judgement>,
        block: impl FnOnce() -> Option<(Block, u32)>,
        counters: &mut Counters,
    ) {
        self.event(|| Event::of(at, EventKind::Opened, flow), counters);
        if self.translation_limit == 0 {
            return;
        }
        if let Some((block, _)) = block() {
            self.session(at, TranslationEventKind::BlockAllocated(block), flow, counters);
        }
        self.session(at, TranslationEventKind::SessionCreated, flow, counters);
    }

    /// A flow is gone.
    pub(crate) fn ended(&mut self, at: Time, ended: &Ended<Judgement>, counters: &mut Counters) {
        self.event(|| Event::of(at, EventKind::Ended(ended.cause), &ended.flow), counters);
        self.session(at, TranslationEventKind::SessionDeleted, &ended.flow, counters);
    }

    /// A flow got no port.
    pub(crate) fn refused(
        &mut self,
        at: Time,
        why: NoTuple,
        tuple: &FiveTuple,
        counters: &mut Counters,
    ) {
        let kind = match why {
            NoTuple::Exhausted => TranslationEventKind::PortsExhausted,
            NoTuple::Quota | NoTuple::Rate => TranslationEventKind::QuotaExceeded,
        };
        let FiveTuple { protocol, source: inside, destination } = *tuple;
        let remote = Some(destination);
        let event = TranslationEvent { at, kind, protocol, inside, external: None, remote };
        self.translation(event, counters);
    }

    fn session(
        &mut self,
        at: Time,
        kind: TranslationEventKind,
        flow: &Flow<Judgement>,
        counters: &mut Counters,
    ) {
        if self.translation_limit == 0 || !flow.is_translated() {
            return;
        }
        let Flow { protocol, inside, external, remote, .. } = *flow;
        let (external, remote) = (Some(external), Some(remote));
        let event = TranslationEvent { at, kind, protocol, inside, external, remote };
        self.translation(event, counters);
    }

    fn translation(&mut self, event: TranslationEvent, counters: &mut Counters) {
        // None are wanted.
        if self.translation_limit == 0 {
            return;
        }
        let remote = event.remote.filter(|_| self.log_remotes);
        if self.translations.len() < self.translation_limit {
            self.translations.push_back(TranslationEvent { remote, ..event });
        } else {
            counters.events_lost += 1;
        }
    }
}
