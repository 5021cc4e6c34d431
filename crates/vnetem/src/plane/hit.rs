//! The hit path: a packet of a live flow, from bytes to verdict, alone or many together. Whatever is not a plain hit takes the long way
//! (`decide`, `commit`), which knows hits too and comes to the same.

use vnetem_nat::{Probe, Time};
use vnetem_packet::{Headers, Plain};

use super::DataPlane;
use crate::decision::Judgement;
use crate::edge::EdgeCode;
use crate::origin::Parties;
use crate::{DropReason, Edge, Fate, Forward, Verdict};

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
    /// Bytes behind the packet's own total length are not looked at, not changed, and no part of what is delivered (P3): the caller
    /// sends [`Headers::total_length`] bytes, or all, as its link needs.
    #[inline]
    pub fn process(&mut self, now: Time, edge: Edge, packet: &mut [u8]) -> Verdict {
        self.advance(now);
        let Some((plain, code, probe)) = self.approach(edge, packet) else {
            return self.take(edge, packet);
        };
        match self.hit(&plain, code, &probe, packet) {
            Some(forward) => self.passed(packet, forward),
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
            let mut approaches = [None; STAGE];
            let mut probes = [Probe::default(); STAGE];
            for ((slot, approach), probe) in slots.iter().zip(&mut approaches).zip(&mut probes) {
                if let Some((plain, code, ahead)) = self.approach(slot.edge, slot.packet) {
                    *approach = Some((plain, code));
                    *probe = ahead;
                }
            }
            self.flows.look_ahead(probes.get_mut(..slots.len()).unwrap_or_default());
            for ((slot, approach), probe) in slots.iter_mut().zip(&approaches).zip(&probes) {
                self.advance(now);
                let hit = match approach {
                    Some((plain, code)) => self.hit(plain, *code, probe, slot.packet),
                    None => None,
                };
                slot.verdict = Some(match hit {
                    Some(forward) => self.passed(slot.packet, forward),
                    None => self.take(slot.edge, slot.packet),
                });
            }
        }
    }

    /// Where the flow of a packet would be, if it may be a hit.
    #[inline(always)]
    fn approach(&self, edge: Edge, packet: &[u8]) -> Option<(Plain, EdgeCode, Probe)> {
        let plain = Plain::parse(packet)
            .filter(|plain| plain.ttl > 1 && plain.total_length <= self.longest_hit)?;
        let entry = self.pipeline().enter(edge, plain.source(), plain.destination()).ok()?;
        Some((plain, entry.code, self.flows.probe(entry.zone, plain.ends, plain.protocol)))
    }

    /// A packet of a live flow whose judgement stands and whose end is at this edge.
    #[inline(always)]
    fn hit(
        &mut self,
        plain: &Plain,
        code: EdgeCode,
        probe: &Probe,
        packet: &mut [u8],
    ) -> Option<Forward> {
        let hit = self.flows.hit(self.now, probe, plain, |judgement, from_opener| {
            let Judgement { near, far, .. } = *judgement;
            let (from, to) = if from_opener { (near, far) } else { (far, near) };
            code == from && to != EdgeCode::OURS
        })?;
        plain.rewrite(packet, hit.ends(), plain.ttl.saturating_sub(1));
        Some(self.pipeline().forward(&Parties::of_hit(&hit), hit.side))
    }

    #[inline(always)]
    fn passed(&mut self, packet: &[u8], forward: Forward) -> Verdict {
        self.counters.received.add(packet.len());
        self.counters.forward(&forward, packet.len());
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
