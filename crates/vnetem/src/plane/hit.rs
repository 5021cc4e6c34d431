//! The hit path: a packet of a live flow, from bytes to verdict, alone or many together. Whatever is not a plain hit takes the long way
//! (`decide`, `commit`), which knows hits too and comes to the same.

use core::net::Ipv4Addr;

use vnetem_nat::{Hit, Probe, Side, Time, Zone};
use vnetem_packet::{Headers, Plain};

use super::DataPlane;
use crate::decision::Judgement;
use crate::edge::EdgeCode;
use crate::origin::Parties;
use crate::{DropReason, Edge, Fate, Verdict};

/// A packet of a batch: where it enters, its bytes, and what became of it.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The edge by which it enters.
    pub edge: Edge,
    /// The packet, rewritten in place if it is forwarded.
    pub packet: &'a mut [u8],
    /// The verdict; `None` until the packet has been processed.
    pub verdict: Option<Verdict>,
}

/// How many packets go step by step together. More than the processor can wait for at once brings nothing.
const STAGE: usize = 32;

impl DataPlane {
    /// Takes a packet that enters by `edge`: rewrites it in place if it is forwarded, leaves it as it is otherwise.
    ///
    /// Bytes behind the packet's own total length are not looked at, not changed, and no part of
    /// what is delivered (INV-trailer-ignored): the caller sends [`Headers::total_length`] bytes,
    /// or all, as its link needs.
    #[inline(always)] // as a call it has its edge and its verdict copied, which costs a sixth
    pub fn process(&mut self, now: Time, edge: Edge, packet: &mut [u8]) -> Verdict {
        self.advance(now);
        let hit = match self.approach(&edge, packet) {
            Some((code, mut probe)) => {
                self.flows.look(&mut probe);
                self.hit(code, &probe, packet)
            }
            None => None,
        };
        match hit {
            Some(hit) => self.pass_on(&hit, packet),
            None => self.take(edge, packet),
        }
    }

    /// [`process`](Self::process) for many packets in their order: the same verdicts and the same bytes, several times sooner when there
    /// are more flows than the caches hold. Batches of 32 and more gain all there is to gain.
    ///
    /// Packets of a batch go step by step together: all are parsed, all looked up in the index, all flows fetched; so the processor
    /// waits for memory once and not for each. Then one after the other is decided and rewritten.
    pub fn process_batch(&mut self, now: Time, slots: &mut [Slot<'_>]) {
        for slots in slots.chunks_mut(STAGE) {
            let mut probes = [Probe::default(); STAGE];
            let mut codes = [EdgeCode::NOWHERE; STAGE];
            for ((slot, probe), code) in slots.iter().zip(&mut probes).zip(&mut codes) {
                if let Some(approach) = self.approach(&slot.edge, slot.packet) {
                    (*code, *probe) = approach;
                }
            }
            self.flows.look_ahead(probes.get_mut(..slots.len()).unwrap_or_default());
            for ((slot, code), probe) in slots.iter_mut().zip(&codes).zip(&probes) {
                self.advance(now);
                match self.hit(*code, probe, slot.packet) {
                    Some(hit) => slot.verdict = Some(self.pass_on(&hit, slot.packet)),
                    None => slot.verdict = Some(self.take(slot.edge, slot.packet)),
                }
            }
        }
    }

    /// Where the flow of a packet would be, if it may be a hit, and the edge by which it came.
    #[inline(always)]
    fn approach(&self, edge: &Edge, packet: &[u8]) -> Option<(EdgeCode, Probe)> {
        let plain = Plain::parse(packet)
            .filter(|plain| plain.ttl > 1 && plain.total_length <= self.longest_hit)?;
        let (code, zone) = match self.snapshot.gates.at(edge) {
            Some(gate) if gate.lets_in(plain.source()) => (gate.code, gate.zone),
            _ => self.enter(*edge, plain.source(), plain.destination())?,
        };
        Some((code, self.flows.probe(zone, plain.ends, plain.protocol)))
    }

    /// How a packet enters by an edge without a gate, or that looks closer.
    #[inline(never)]
    fn enter(
        &self,
        edge: Edge,
        source: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> Option<(EdgeCode, Zone)> {
        let entry = self.pipeline().enter(edge, source, destination).ok()?;
        Some((entry.code, entry.zone))
    }

    /// A packet of a live flow whose judgement stands and whose end is at this edge, taken note of.
    #[inline(always)]
    fn hit(&mut self, code: EdgeCode, probe: &Probe, packet: &[u8]) -> Option<Hit<Judgement>> {
        let (segment, length) = (|| Plain::segment(packet), Plain::total_length(packet));
        let fits = |judgement: &Judgement, from_opener: bool| {
            code == judgement.of(from_opener) && judgement.of(!from_opener) != EdgeCode::OURS
        };
        self.flows.hit(self.now, probe, segment, length, fits)
    }

    /// Rewrites and counts a hit.
    #[inline(always)]
    fn pass_on(&mut self, hit: &Hit<Judgement>, packet: &mut [u8]) -> Verdict {
        Plain::forward(packet, hit.ends);
        self.counters.received.add(packet.len());
        self.counters.forward(hit.judgement.mark, packet.len());
        let (generation, parties) = (self.snapshot.generation(), Parties::of_hit(hit));
        let to = hit.judgement.of(hit.side != hit.opener);
        match self.snapshot.gates.get(to) {
            Some(gate) => {
                let fate = Fate::Forward(parties.forward(gate.edge, hit.side));
                Verdict { generation, fate }
            }
            None => self.verdict(&parties, hit.side),
        }
    }

    /// The verdict on a packet that leaves by an edge without a gate. A call of its own, since an edge that may come from either way goes
    /// through memory.
    #[inline(never)]
    fn verdict(&self, parties: &Parties, side: Side) -> Verdict {
        let forward = self.pipeline().forward(parties, side);
        Verdict { generation: self.snapshot.generation(), fate: Fate::Forward(forward) }
    }

    /// The long way.
    #[inline(never)]
    fn take(&mut self, edge: Edge, packet: &mut [u8]) -> Verdict {
        self.counters.received.add(packet.len());
        let fate = match Headers::parse(packet) {
            Err(cause) => Fate::Drop(DropReason::Malformed(cause)),
            Ok(headers) => {
                let decision = self.pipeline().decide(edge, packet, &headers, &mut ());
                self.commit(edge, packet, &headers, decision)
            }
        };
        self.counters.count(&fate, packet.len());
        Verdict { generation: self.snapshot.generation(), fate }
    }
}

impl<'a> Slot<'a> {
    /// A packet that enters by `edge`.
    #[must_use]
    pub fn new(edge: Edge, packet: &'a mut [u8]) -> Self {
        Self { edge, packet, verdict: None }
    }
}
