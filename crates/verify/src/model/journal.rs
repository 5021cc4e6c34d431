//! What is told of translations (T-37; RFC 8158, RFC 6888 REQ-12).

use vnetem::{Block, TranslationEventKind};

use super::*;

/// Something that happened to a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// What.
    pub kind: TranslationEventKind,
    /// The protocol.
    pub protocol: u8,
    /// The inside end.
    pub internal: SocketAddrV4,
    /// The inside end as the outside knows it, where one was given.
    pub external: Option<SocketAddrV4>,
    /// The outside end, where it is asked for.
    pub remote: Option<SocketAddrV4>,
}

impl Model {
    /// A flow opened. The first that has a port of a block is who got it.
    pub(super) fn tell_of_opening(&mut self, flow: &Flow) {
        let has = |other: &Flow, block: Block| other.block == Some(block);
        if let Some(block) = flow.block
            && !self.flows.iter().any(|other| has(other, block))
        {
            self.tell_of(flow, TranslationEventKind::BlockAllocated(block));
        }
        self.tell_of(flow, TranslationEventKind::SessionCreated);
    }

    pub(super) fn tell_of(&mut self, flow: &Flow, kind: TranslationEventKind) {
        let Flow { protocol, internal, external, remote, translated, .. } = *flow;
        if translated {
            let (external, remote) = (Some(external), Some(remote));
            self.tell(Translation { kind, protocol, internal, external, remote });
        }
    }

    /// A packet got no public source.
    pub(super) fn tell_of_refusal(&mut self, why: DropReason, packet: &Packet) {
        let kind = match why {
            DropReason::SnatExhausted => TranslationEventKind::PortsExhausted,
            DropReason::PortQuota | DropReason::FlowRate => TranslationEventKind::QuotaExceeded,
            _ => return,
        };
        let (protocol, internal, remote) = packet.ends();
        self.tell(Translation { kind, protocol, internal, external: None, remote: Some(remote) });
    }

    fn tell(&mut self, event: Translation) {
        if self.settings.translation_events > 0 {
            let remote = event.remote.filter(|_| self.settings.log_remotes);
            self.translations.push(Translation { remote, ..event });
        }
    }
}
