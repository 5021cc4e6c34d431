//! Hairpin (T-33; RFC 4787 REQ-9, RFC 5382 REQ-8, RFC 5508 REQ-7).
//!
//! A packet turns round that a host sends to a public address of ours: to one of its own pool if
//! the pool's rules say so, to one of another method, in whichever network, always. It comes in
//! again as from the internet.
//!
//! So it goes by two flows, one after the other. The first is that of its sender, under whose
//! public address its receiver sees it; the second is that of its receiver. What lets it in is
//! asked as of any packet from outside. The first flow stands whatever the answer, as that of a
//! packet whose receiver refuses it (RFC 5128 3.3: so two hosts open the way for each other).

use core::net::Ipv4Addr;

use vnetem_nat::{Flow, Side, Zone};
use vnetem_packet::{Fragment, Headers, Quote, Rewrite};

use crate::edge::EdgeCode;
use crate::pipeline::Pipeline;
use crate::pipeline::decision::{CachedDecision, Decision, Hit, rewrite_error};
use crate::pipeline::origin::{Entry, FlowEnds, Origin};
use crate::pipeline::trace::Note;
use crate::{DropReason, Forward};

impl<'a> Pipeline<'a> {
    /// Whether packets from a side of a flow turn round.
    pub(crate) fn turns_round(self, flow: &Flow<CachedDecision>, side: Side) -> bool {
        self.edge_of(flow, side.other()) == EdgeCode::HAIRPIN
    }

    /// Whether a flow goes on although a public address of its far end became ours, or is no longer
    /// (N-07): it turns round, or does not, as when it opened. Of an address of its own method the
    /// rules of the pool decide.
    pub(crate) fn turns_as_before(
        self,
        entry: Entry<'_>,
        before: EdgeCode,
        now: EdgeCode,
        remote: Ipv4Addr,
    ) -> bool {
        let goes_out = |far: EdgeCode| far.is_public() || far == EdgeCode::HAIRPIN;
        goes_out(before) && goes_out(now) && !self.is_own_public(entry, remote)
    }

    /// What becomes of a packet that turned round; `headers` is what it bears by then. Nobody is
    /// told of a refusal.
    pub(crate) fn decide_turned(self, headers: &Headers, note: &mut impl Note) -> Decision {
        let (entry, tuple) = (hairpinned(), headers.tuple());
        let decision = match headers.fragment {
            // Without ports, two hosts behind one public address have the same end.
            Fragment::Later { .. } => self.decide_later_fragment(entry, headers, note),
            _ if tuple.source == tuple.destination => {
                return Decision::Drop(DropReason::MartianDestination, None);
            }
            Fragment::Whole | Fragment::First => self.decide_flow(entry, headers, note),
        };
        // N-18: the second of the flows may be behind another method than the first.
        let decision = match headers.fragment {
            Fragment::Whole => decision,
            _ => self.unless_fragments_are_refused(decision),
        };
        match decision {
            Decision::Drop(reason, _) => Decision::Drop(reason, None),
            Decision::Deny(reason, _) => Decision::Deny(reason, None),
            Decision::Late(..) => Decision::Drop(DropReason::FlowClosed, None),
            Decision::Hold(_) => Decision::Drop(DropReason::Unsolicited, None),
            decision => decision,
        }
    }

    /// How an ICMP error about a packet of a flow is rewritten, outside and in its quote, and how
    /// it leaves; `None` if it turns round and its receiver knows nothing of it.
    pub(crate) fn error_of(
        self,
        hit: Hit,
        quote: &Quote,
        headers: &Headers,
    ) -> Option<(Rewrite, Rewrite, Forward)> {
        let flow = self.flows.flow(hit.id)?;
        let (outer, inner) = rewrite_error(&flow, hit.side);
        let forward = self.forward(&FlowEnds::of(&flow), hit.side);
        if !self.turns_round(&flow, hit.side) {
            return Some((outer, inner, forward));
        }
        let quoted = inner.applied(&quote.headers).tuple();
        let (landing, flow) = self.quoted(hairpinned(), headers.destination, &quoted)?;
        let (last_outer, last_inner) = rewrite_error(&flow, landing.side);
        let to = self.forward(&FlowEnds::of(&flow), landing.side).to;
        Some((outer.then(last_outer), inner.then(last_inner), Forward { to, ..forward }))
    }
}

/// Who sends a packet that turned round, as its receiver can know.
const fn hairpinned<'a>() -> Entry<'a> {
    Entry { code: EdgeCode::HAIRPIN, zone: Zone::PUBLIC, origin: Origin::Internet }
}
