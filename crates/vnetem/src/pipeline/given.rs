//! The reasons that a live flow was given, for whoever asks about one of its packets.

use vnetem_nat::{Flow, Side};
use vnetem_packet::FiveTuple;

use crate::pipeline::Pipeline;
use crate::pipeline::decision::CachedDecision;
use crate::pipeline::trace::{Note, Step};

impl Pipeline<'_> {
    /// Notes why a live flow goes where it goes. Its packets take the cached decision and ask
    /// nothing of this; as long as no change touched the flow, asking again gives the same answer.
    pub(crate) fn note_reasons(&self, flow: &Flow<CachedDecision>, note: &mut impl Note) {
        let translated = flow.is_translated().then_some(flow.external);
        if flow.initiator == Side::External {
            // Who calls keeps its source, and the configuration only says whose the address is.
            note.step(|| Step::Source { translated: None, identity: None });
            return;
        }
        let Some(entry) = self.entry_of(flow.cached.near, *flow.internal.ip()) else { return };
        let tuple =
            FiveTuple { protocol: flow.protocol, source: flow.internal, destination: flow.remote };
        let Ok(path) = self.path(entry, &tuple, false, note) else { return };
        let identity = self.identity(path.far, *flow.internal.ip());
        note.step(|| Step::Source { translated, identity });
        let (_, access) = self.authorise(entry, &path, *flow.external.ip(), *flow.remote.ip());
        if let Some((resource, access)) = access {
            note.step(|| Step::Access { resource, access });
        }
    }
}
