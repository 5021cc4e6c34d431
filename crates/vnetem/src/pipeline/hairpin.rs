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
use vnetem_packet::{Fragment, Headers};

use crate::edge::EdgeId;
use crate::pipeline::decision::CachedDecision;
use crate::pipeline::origin::{Entry, FlowEnds, Origin};
use crate::pipeline::plan::{ByteChange, FlowChange, Plan, Stop, Way};
use crate::pipeline::{Arrival, Pipeline};
use crate::{Disposition, DropReason};

impl Pipeline<'_> {
    /// Says whether packets from a side of a flow turn round.
    pub(crate) fn turns_round(&self, flow: &Flow<CachedDecision>, side: Side) -> bool {
        self.edge_of(flow, side.other()) == EdgeId::HAIRPIN
    }

    /// Whether a flow goes on although a public address of its far end became ours, or is no longer
    /// (N-07): it turns round, or does not, as when it opened. Of an address of its own method the
    /// rules of the pool decide.
    pub(crate) fn turns_as_before(
        &self,
        entry: Entry<'_>,
        before: EdgeId,
        now: EdgeId,
        remote: Ipv4Addr,
    ) -> bool {
        let goes_out = |far: EdgeId| far.is_public() || far == EdgeId::HAIRPIN;
        goes_out(before) && goes_out(now) && !self.is_own_public(entry, remote)
    }

    /// Fills the second half of the plan of a packet that turns round, whose first flow is planned.
    pub(super) fn fill_hairpin(
        &self,
        first: &FlowEnds,
        side: Side,
        arrival: Arrival<'_>,
        plan: &mut Plan,
    ) {
        let rewrite = first.rewrite(side);
        let hairpinned = rewrite.applied(arrival.headers);
        let hairpinned = Arrival { entry: Entry::HAIRPINNED, headers: &hairpinned, ..arrival };
        // A flow that opens takes its room before the second one.
        let pipeline = Pipeline { opens_first: plan.flow.opening(), ..*self };
        match pipeline.decide_hairpin(hairpinned, &mut plan.second) {
            Ok((second, other_side)) => {
                let sizes = [self.segment_size(first), self.segment_size(&second)];
                plan.bytes = ByteChange::Forward(
                    rewrite.then(second.rewrite(other_side)),
                    sizes.into_iter().flatten().min(),
                );
                let to = second.forward(other_side).to();
                plan.disposition = Disposition::Forward(first.forward(side).with_edge(to));
            }
            // Nobody is told of a refusal.
            Err(stop) => plan.disposition = stop.disposition,
        }
    }

    /// Decides by which flow a packet goes on that turned round; its headers are what it bears by
    /// then.
    fn decide_hairpin(
        &self,
        hairpinned: Arrival<'_>,
        change: &mut FlowChange,
    ) -> Result<(FlowEnds, Side), Stop> {
        let Headers { fragment, .. } = *hairpinned.headers;
        let tuple = hairpinned.headers.tuple();
        let way = match fragment {
            // Without ports, two hosts behind one public address have the same end.
            Fragment::Later { .. } => self.decide_later_fragment(hairpinned, change, &mut ())?,
            _ if tuple.source == tuple.destination => {
                return Err(DropReason::MartianDestination.into());
            }
            Fragment::Whole | Fragment::First => self.decide_flow(hairpinned, change, &mut ())?,
        };
        match way {
            Way::Through(flow_ends, side) => Ok((flow_ends, side)),
            Way::AsItIs(..) => {
                *change = FlowChange::None;
                Err(DropReason::Hairpin.into())
            }
        }
    }
}

impl Entry<'_> {
    /// The sender of a packet that turned round, as its receiver can know.
    pub(crate) const HAIRPINNED: Self =
        Self { code: EdgeId::HAIRPIN, zone: Zone::PUBLIC, origin: Origin::Internet };

    /// Says whether the packet turned round.
    pub(crate) fn is_hairpinned(&self) -> bool {
        self.code == EdgeId::HAIRPIN
    }
}
