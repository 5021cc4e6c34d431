//! The hit path: a packet of a live flow, from bytes to verdict, alone or many together. Whatever is not a plain hit takes the long way
//! (`decide`, `commit`), which knows hits too and comes to the same.

use vnetem_nat::{Probe, Time};
use vnetem_packet::{Fragment, Headers, Malformed, Transport, rewrite};

use super::DataPlane;
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

/// A packet on its way to its flow.
#[derive(Clone, Copy)]
struct Approach {
    /// Where it comes from, as flows store it.
    code: EdgeCode,
    probe: Probe,
}

impl DataPlane {
    /// Takes a packet that enters by `edge`: rewrites it in place if it is forwarded, leaves it as it is otherwise.
    ///
    /// Bytes behind the packet's own total length are not looked at, not changed, and no part of what is delivered (P3): the caller
    /// sends [`Headers::total_length`] bytes, or all, as its link needs.
    #[inline]
    pub fn process(&mut self, now: Time, edge: Edge, packet: &mut [u8]) -> Verdict {
        let headers = match Headers::parse(packet) {
            Ok(headers) => headers,
            Err(cause) => return self.refuse(now, packet, cause),
        };
        let approach = self.approach(edge, &headers);
        self.finish(now, edge, packet, &headers, approach.as_ref())
    }

    /// [`process`](Self::process) for many packets in their order: the same verdicts and the same bytes, several times sooner when there
    /// are more flows than the caches hold. Batches of 32 and more gain all there is to gain.
    ///
    /// Packets of a batch go step by step together: all are parsed, all looked up in the index, all flows fetched; so the processor
    /// waits for memory once and not for each. Then one after the other is decided and rewritten.
    pub fn process_batch(&mut self, now: Time, slots: &mut [Slot<'_>]) {
        for slots in slots.chunks_mut(STAGE) {
            let mut headers = [Err(Malformed::Truncated); STAGE];
            let mut codes = [None; STAGE];
            let mut probes = [Probe::default(); STAGE];
            for (((slot, headers), code), probe) in
                slots.iter().zip(&mut headers).zip(&mut codes).zip(&mut probes)
            {
                *headers = Headers::parse(slot.packet);
                if let Ok(headers) = headers
                    && let Some(approach) = self.approach(slot.edge, headers)
                {
                    *code = Some(approach.code);
                    *probe = approach.probe;
                }
            }
            self.flows.look_ahead(probes.get_mut(..slots.len()).unwrap_or_default());
            for (((slot, headers), code), probe) in
                slots.iter_mut().zip(&headers).zip(&codes).zip(&probes)
            {
                let approach = code.map(|code| Approach { code, probe: *probe });
                slot.verdict = Some(match headers {
                    Err(cause) => self.refuse(now, slot.packet, *cause),
                    Ok(headers) => {
                        self.finish(now, slot.edge, slot.packet, headers, approach.as_ref())
                    }
                });
            }
        }
    }

    /// Where the flow of a packet would be, if it may be a hit.
    #[inline(always)]
    fn approach(&self, edge: Edge, headers: &Headers) -> Option<Approach> {
        if headers.fragment != Fragment::Whole
            || headers.ttl <= 1
            || matches!(headers.transport, Transport::IcmpError)
        {
            return None;
        }
        let entry = self.pipeline().enter(edge, headers).ok()?;
        let probe = self.flows.probe(entry.zone, &headers.tuple());
        Some(Approach { code: entry.code, probe })
    }

    #[inline(always)]
    fn finish(
        &mut self,
        now: Time,
        edge: Edge,
        packet: &mut [u8],
        headers: &Headers,
        approach: Option<&Approach>,
    ) -> Verdict {
        self.advance(now);
        self.counters.received.add(packet.len());
        let generation = self.snapshot.generation();
        if let Some(approach) = approach
            && let Some(forward) = self.hit(approach, packet, headers)
        {
            self.counters.forward(&forward, packet.len());
            return Verdict { generation, fate: Fate::Forward(forward) };
        }
        let fate = self.take(edge, packet, *headers);
        self.counters.count(&fate, packet.len());
        Verdict { generation, fate }
    }

    /// A packet of a live flow whose judgement stands and whose end is at this edge.
    #[inline(always)]
    fn hit(
        &mut self,
        approach: &Approach,
        packet: &mut [u8],
        headers: &Headers,
    ) -> Option<Forward> {
        let Approach { code, probe } = approach;
        let hit = self.flows.hit(self.now, probe, headers, packet, |judgement, from_opener| {
            *code == if from_opener { judgement.near } else { judgement.far }
        })?;
        rewrite(packet, headers, hit.rewrite(), headers.ttl.saturating_sub(1));
        Some(self.pipeline().forward(&Parties::of_hit(&hit), hit.side))
    }

    /// The long way. It takes the headers by value and is never inlined, so that those of a hit need not be in memory.
    #[inline(never)]
    fn take(&mut self, edge: Edge, packet: &mut [u8], headers: Headers) -> Fate {
        let decision = self.pipeline().decide(edge, packet, &headers, &mut ());
        self.commit(edge, packet, &headers, decision)
    }

    /// Bytes that are no packet.
    #[cold]
    fn refuse(&mut self, now: Time, packet: &[u8], cause: Malformed) -> Verdict {
        self.advance(now);
        self.counters.received.add(packet.len());
        let fate = Fate::Drop(DropReason::Malformed(cause));
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
