//! The fast path: an established flow's packet, from bytes to verdict, alone or many together. All
//! other packets take the slow path (`decide`, `commit`), which gives the same result for these.

use core::net::Ipv4Addr;

use vnetem_nat::{Hit, Lookup, Time, Zone};
use vnetem_packet::{FastHeaders, Headers};

use super::{DataPlane, EXPIRY_BUDGET};
use crate::edge::EdgeId;
use crate::pipeline::decision::CachedDecision;
use crate::pipeline::origin::FlowEnds;
use crate::pipeline::plan::Plan;
use crate::{Disposition, DropReason, Verdict};

/// A packet of a batch: where it enters, its bytes, and what became of it.
#[derive(Debug)]
pub struct BatchPacket<'a> {
    /// The edge by which it enters.
    pub edge: EdgeId,
    /// The packet, rewritten in place if it is forwarded.
    pub packet: &'a mut [u8],
    /// The verdict; `None` until the packet has been processed.
    pub verdict: Option<Verdict>,
}

/// How many packets go step by step together: as many cache misses as a processor has under way.
const STAGE: usize = 32;

impl DataPlane {
    /// Takes a packet that enters by `edge`. Rewrites it in place if it is forwarded; leaves it as
    /// it is otherwise.
    ///
    /// `edge` may be an [`Edge`](crate::Edge), which is packed for each packet, or an [`EdgeId`]
    /// that the caller keeps. An answer enters by the edge that
    /// [`Verdict::forwarded_to`] gave of the packet that it answers.
    ///
    /// Bytes behind the packet's own total length are neither read nor changed, and are no part of
    /// what is delivered (INV-trailer-ignored): the caller sends [`Headers::total_length`] bytes,
    /// or all, as its link needs.
    #[inline(always)] // as a call it has its verdict copied
    pub fn process(&mut self, now: Time, edge: impl Into<EdgeId>, packet: &mut [u8]) -> Verdict {
        let edge = edge.into();
        self.advance(now);
        self.counters.received.add(packet.len());
        let hit = match self.classify(edge, packet) {
            Some((edge, mut lookup)) => {
                self.flows.look(&mut lookup);
                self.hit(edge, &lookup, packet)
            }
            None => None,
        };
        match hit {
            Some(hit) => self.forward_fast(&hit, packet),
            None => self.take(edge, packet),
        }
    }

    /// Does [`process`](Self::process) for many packets in their order, with the same verdicts and
    /// bytes. It is several times faster with more flows than the caches hold. Batches of 32 are
    /// enough.
    ///
    /// Packets of a batch go step by step together: all are parsed, all looked up in the index, all
    /// flows fetched. So the processor waits for memory once and not for each. Then one after the
    /// other is decided and rewritten.
    pub fn process_batch(&mut self, now: Time, slots: &mut [BatchPacket<'_>]) {
        for slots in slots.chunks_mut(STAGE) {
            let mut lookups = [Lookup::default(); STAGE];
            let mut edges = [EdgeId::NOWHERE; STAGE];
            let mut bytes = 0;
            for ((slot, lookup), edge) in slots.iter().zip(&mut lookups).zip(&mut edges) {
                bytes += slot.packet.len();
                if let Some(classify) = self.classify(slot.edge, slot.packet) {
                    (*edge, *lookup) = classify;
                }
            }
            self.counters.received.add_all(slots.len(), bytes);
            self.flows.look_ahead(lookups.get_mut(..slots.len()).unwrap_or_default());
            self.now = self.now.max(now);
            for ((slot, edge), lookup) in slots.iter_mut().zip(&edges).zip(&lookups) {
                self.expire(EXPIRY_BUDGET);
                match self.hit(*edge, lookup, slot.packet) {
                    Some(hit) => slot.verdict = Some(self.forward_fast(&hit, slot.packet)),
                    None => slot.verdict = Some(self.take(slot.edge, slot.packet)),
                }
            }
        }
    }

    /// Prepares the lookup of a packet's flow, and returns it with the edge by which the packet
    /// came; `None` if only the slow path can take the packet.
    #[inline(always)]
    fn classify(&self, edge: EdgeId, packet: &[u8]) -> Option<(EdgeId, Lookup)> {
        let plain = FastHeaders::parse(packet)
            .filter(|plain| plain.ttl > 1 && plain.total_length <= self.longest_hit)?;
        let (edge, zone) = match self.snapshot.ingress_table.at(edge) {
            Some(ingress) if ingress.lets_in(plain.source()) => (edge, edge.plain_zone()),
            _ => self.enter(edge, plain.source())?,
        };
        Some((edge, self.flows.prepare_lookup(zone, plain.ends, plain.protocol)))
    }

    /// Returns edge and zone of a packet whose edge has no entry in the ingress table, or one that
    /// does not let its source in.
    #[inline(never)]
    fn enter(&self, edge: EdgeId, source: Ipv4Addr) -> Option<(EdgeId, Zone)> {
        let entry = self.pipeline().enter(edge, source).ok()?;
        Some((entry.code, entry.zone))
    }

    /// Looks up the flow and tracks it; `None` unless its cached decision is current and the packet
    /// came by the edge of its side.
    #[inline(always)]
    fn hit(&mut self, edge: EdgeId, lookup: &Lookup, packet: &[u8]) -> Option<Hit<CachedDecision>> {
        let (segment, length) =
            (|| FastHeaders::segment(packet), FastHeaders::total_length(packet));
        let fits = |cached: &CachedDecision, from_initiator: bool| {
            edge == cached.of(from_initiator) && cached.of(!from_initiator) != EdgeId::HAIRPIN
        };
        self.flows.hit(self.now, lookup, segment, length, fits)
    }

    /// Rewrites and counts a packet of the fast path.
    #[inline(always)]
    fn forward_fast(&mut self, hit: &Hit<CachedDecision>, packet: &mut [u8]) -> Verdict {
        FastHeaders::forward(packet, hit.ends);
        self.counters.forward(hit.cached.access, packet.len());
        Verdict {
            generation: self.snapshot.generation(),
            disposition: Disposition::Forward(FlowEnds::of_hit(hit).forward(hit.side)),
        }
    }

    /// Takes a packet on the slow path: plan, then commit.
    #[inline(never)]
    fn take(&mut self, edge: EdgeId, packet: &mut [u8]) -> Verdict {
        let mut plan = Plan::new();
        match &Headers::parse(packet) {
            Err(cause) => plan.disposition = Disposition::Drop(DropReason::Malformed(*cause)),
            Ok(headers) => {
                self.pipeline().decide(edge, packet, headers, &mut plan, &mut ());
                self.carry_out(edge, packet, headers, &mut plan);
            }
        }
        self.counters.count(&plan.disposition, packet.len());
        Verdict { generation: self.snapshot.generation(), disposition: plan.disposition }
    }
}

impl<'a> BatchPacket<'a> {
    /// A packet that enters by `edge`.
    #[must_use]
    pub fn new(edge: impl Into<EdgeId>, packet: &'a mut [u8]) -> Self {
        Self { edge: edge.into(), packet, verdict: None }
    }
}
