//! Translation events (T-37; RFC 8158, RFC 6888 REQ-12).

use vnetem::nat::{Block, TranslationEventKind};

use super::*;

/// A translation event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The kind.
    pub kind: TranslationEventKind,
    /// The protocol.
    pub protocol: u8,
    /// The internal end.
    pub internal: SocketAddrV4,
    /// The external form of the internal end, if it has one.
    pub external: Option<SocketAddrV4>,
    /// The remote end, if the settings ask for it.
    pub remote: Option<SocketAddrV4>,
}

impl Model {
    /// Records that a flow opened. The first flow with a port of a block names the owner of the
    /// block.
    pub(super) fn record_opening(&mut self, flow: &Flow) {
        let has = |other: &Flow, block: Block| other.block == Some(block);
        if let Some(block) = flow.block
            && !self.flows.iter().any(|other| has(other, block))
        {
            self.record_event(flow, TranslationEventKind::BlockAllocated(block));
        }
        self.record_event(flow, TranslationEventKind::SessionCreated);
    }

    pub(super) fn record_event(&mut self, flow: &Flow, kind: TranslationEventKind) {
        let Flow { protocol, internal, external, remote, translated, .. } = *flow;
        if translated {
            let (external, remote) = (Some(external), Some(remote));
            self.record(Translation { kind, protocol, internal, external, remote });
        }
    }

    /// Records that a packet got no public source.
    pub(super) fn record_refusal(&mut self, why: DropReason, packet: &Packet) {
        let kind = match why {
            DropReason::SnatExhausted => TranslationEventKind::PortsExhausted,
            DropReason::PortQuota | DropReason::FlowRate => TranslationEventKind::QuotaExceeded,
            _ => return,
        };
        let (protocol, internal, remote) = packet.ends();
        self.record(Translation { kind, protocol, internal, external: None, remote: Some(remote) });
    }

    fn record(&mut self, event: Translation) {
        if self.settings.translation_events > 0 {
            let remote = event.remote.filter(|_| self.settings.log_remotes);
            self.translations.push(Translation { remote, ..event });
        }
    }
}
