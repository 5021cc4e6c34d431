//! Checks what must hold whatever the model says: conservation, one cause for each drop, exact
//! counters, private sources that stay inside, and no needless change of bytes
//! (INV-packets-conserved, INV-only-needed-bytes-change).

use std::collections::BTreeMap;

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::said::{Disposition, Forward};
use vnetem::{AccessVerdict, DenyReason, DropReason, Edge, EventKind, nat::Cause};

use super::planes::Planes;
use super::world::is_inside;
use crate::model::wire::{
    ICMP, Packet, Part, SYN, TCP, UDP, sums_are_right, transport_sum_is_right,
};
use crate::model::{Happening, Model, Translation};

/// The harness's own counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    received: [u64; 2],
    forwarded: [u64; 2],
    denied: [u64; 2],
    dropped: [u64; 2],
    taken: [u64; 2],
    /// In the order of [`DropReason::all`].
    drops: Vec<u64>,
    denies: BTreeMap<DenyReason, u64>,
    refused: u64,
    waiting: Vec<(Edge, Vec<u8>)>,
    held: Vec<Happening>,
    held_translations: Vec<Translation>,
    opened: u64,
    /// Flows that were opened and have not ended, by their ends.
    open: BTreeMap<AddressPair, u64>,
}

/// A flow as its initiator sends it, and the source that the far side sees.
type AddressPair = ((u8, SocketAddrV4, SocketAddrV4), SocketAddrV4);

impl Ledger {
    /// Counts a packet that was processed.
    pub(crate) fn packet(
        &mut self,
        disposition: &Disposition,
        edge: Edge,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), String> {
        add(&mut self.received, before);
        match disposition {
            Disposition::Forward(forward) => {
                add(&mut self.forwarded, after);
                self.refused += u64::from(matches!(forward.access, AccessVerdict::Refused(_)));
                external(edge, forward, before, after)?;
                changes(before, after)
            }
            Disposition::Deny(reason) => {
                add(&mut self.denied, before);
                *self.denies.entry(*reason).or_default() += 1;
                unchanged(before, after)
            }
            Disposition::Drop(reason) => {
                add(&mut self.dropped, before);
                let at = DropReason::all().position(|other| other == *reason).unwrap_or_default();
                self.drops.resize(self.drops.len().max(at + 1), 0);
                self.drops[at] += 1;
                unchanged(before, after)
            }
        }
    }

    /// Counts a packet that the data plane made.
    pub(crate) fn originated(&mut self, to: Edge, packet: &[u8]) -> Result<(), String> {
        add(&mut self.taken, packet);
        let read = Packet::read(packet)
            .map_err(|cause| format!("originated {cause} (INV-generated-packets-valid)"))?;
        if read.total != packet.len() || !sums_are_right(packet) {
            return Err(
                "an originated packet has a wrong length or checksum (INV-generated-packets-valid)"
                    .into(),
            );
        }
        let private = read.source.ip().is_private();
        if private && matches!(to, Edge::Internet | Edge::Service { identity: None, .. }) {
            return Err(
                "a private source left in an originated packet (INV-private-source-stays-inside)"
                    .into(),
            );
        }
        self.waiting.push((to, packet.to_vec()));
        Ok(())
    }

    /// Forgets the packets that the data plane made, where nothing is compared with the model.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Compares the packets that both made: the same packets by the same edges, in any order.
    pub(crate) fn compare_originated(
        &mut self,
        expected: Vec<(Edge, Vec<u8>)>,
    ) -> Result<(), String> {
        let (mut seen, mut expected) = (core::mem::take(&mut self.waiting), expected);
        if seen == expected {
            return Ok(());
        }
        seen.sort();
        expected.sort();
        if seen == expected {
            return Ok(());
        }
        let show = |all: &[(Edge, Vec<u8>)], others: &[(Edge, Vec<u8>)]| {
            let lines = all.iter().filter(|one| !others.contains(one));
            lines.map(|(edge, bytes)| format!("\n    {edge:?} {bytes:02x?}")).collect::<String>()
        };
        let (more, less) = (show(&seen, &expected), show(&expected, &seen));
        Err(format!("originated: not by the model:{more}\noriginated: only by the model:{less}"))
    }

    /// Keeps events that came before a change was drained.
    pub(crate) fn hold(&mut self, events: Vec<Happening>, translations: Vec<Translation>) {
        self.held.extend(events);
        self.held_translations.extend(translations);
    }

    /// Compares translation events, which are the same and in the same order for each translation
    /// (T-37).
    pub(crate) fn translated(
        &mut self,
        events: &[Translation],
        expected: &[Translation],
    ) -> Result<(), String> {
        let mut seen = core::mem::take(&mut self.held_translations);
        seen.extend(events);
        let of_one = |event: &Translation| (event.protocol, event.internal, event.external);
        let mut expected = expected.to_vec();
        // The order between translations is not specified.
        seen.sort_by_key(|event| (of_one(event), event.remote));
        expected.sort_by_key(|event| (of_one(event), event.remote));
        if seen == expected {
            return Ok(());
        }
        Err(format!("translations {seen:?}\nby the model {expected:?}"))
    }

    /// Compares flow events, which are the same and in the same order for each flow
    /// (INV-events-in-order).
    pub(crate) fn happened(
        &mut self,
        events: &[Happening],
        expected: &[Happening],
    ) -> Result<(), String> {
        let mut seen = core::mem::take(&mut self.held);
        seen.extend(events);
        for event in &seen {
            self.opened += u64::from(event.kind == EventKind::Opened);
            let open = self.open.entry((event.initiator, event.external)).or_default();
            match event.kind {
                EventKind::Opened => *open += 1,
                EventKind::Closed(_) if *open > 0 => {}
                EventKind::Ended(_) if *open > 0 => *open -= 1,
                _ => {
                    return Err(format!(
                        "{event:?} of a flow that is not open (INV-events-in-order)"
                    ));
                }
            }
        }
        self.open.retain(|_, open| *open > 0);
        if seen == expected {
            return Ok(());
        }
        let by_flow = |all: &[Happening]| {
            let mut flows: BTreeMap<_, Vec<String>> = BTreeMap::new();
            for event in all {
                let kinds = flows.entry((event.initiator, event.external)).or_default();
                kinds.push(format!("{:?} {:?}", normalized(event), event.state));
            }
            // Flows in different zones can have the same ends. Their order is not specified.
            let what = |kind: &String| kind.split('(').next().map(str::to_owned);
            for kinds in flows.values_mut() {
                for alike in kinds.chunk_by_mut(|kind, next| what(kind) == what(next)) {
                    alike.sort();
                }
            }
            flows
        };
        let (seen, expected) = (by_flow(&seen), by_flow(expected));
        if seen == expected {
            return Ok(());
        }
        Err(format!("events {seen:?}\nby the model {expected:?}"))
    }

    /// Checks that flows opened less flows ended are those live and closed, and that the model has
    /// as many of each (INV-flows-conserved).
    pub(crate) fn flows(&self, planes: &Planes, model: &Model) -> Result<(), String> {
        let [counted_live, counted_closed, opened, ended] = planes.flows();
        let (live, closed) = model.flow_counts();
        let counted = (counted_live, counted_closed);
        if counted != (live, closed) {
            return Err(format!(
                "{counted:?} flows and tombstones, {live} and {closed} by the model"
            ));
        }
        let open: u64 = self.open.values().sum();
        if open != live + closed {
            return Err(format!("by the events {open} flows are open, not {}", live + closed));
        }
        if opened - ended != live + closed || opened != self.opened {
            return Err(format!(
                "{opened} opened, {ended} ended, yet {} opened (INV-flows-conserved)",
                self.opened
            ));
        }
        Ok(())
    }

    /// Checks that every packet and every byte is counted once, and each drop under one cause
    /// (INV-packets-conserved, INV-one-cause-per-drop).
    pub(crate) fn conservation(&self, planes: &Planes) -> Result<(), String> {
        let [received, generated] =
            [planes.tally(|of| of.received), planes.tally(|of| of.generated)];
        let [forwarded, transmitted] =
            [planes.tally(|of| of.forwarded), planes.tally(|of| of.transmitted)];
        let [denied, dropped] = [planes.tally(|of| of.denied), planes.tally(|of| of.dropped)];
        let queued = planes.queued();
        for at in [0, 1] {
            let came = received[at] + generated[at];
            let went = forwarded[at] + transmitted[at] + denied[at] + dropped[at];
            if came != went + queued[at] {
                return Err(format!(
                    "{came} came, {went} went, {} wait (INV-packets-conserved)",
                    queued[at]
                ));
            }
        }
        let own = [self.received, self.forwarded, self.denied, self.taken];
        let theirs = [received, forwarded, denied, transmitted];
        if own != theirs {
            return Err(format!(
                "received, forwarded, denied, taken: {theirs:?}, not {own:?} (INV-packets-conserved)"
            ));
        }
        let full = planes.tally(|of| of.queue_full);
        if dropped != [self.dropped[0] + full[0], self.dropped[1] + full[1]] {
            return Err("dropped packets are miscounted (INV-packets-conserved)".into());
        }
        if planes.tally(|of| of.refused)[0] != self.refused {
            return Err("delivered refusals are miscounted".into());
        }
        let own = self.drops.iter().copied().chain(core::iter::repeat(0));
        for (reason, own) in DropReason::all().zip(own) {
            let dropped = planes.count(|of| of.drops(reason));
            if dropped != own {
                return Err(format!(
                    "{dropped} dropped as {reason}, not {own} (INV-one-cause-per-drop)"
                ));
            }
        }
        for (reason, own) in &self.denies {
            let denied = planes.count(|of| of.denies(*reason));
            if denied != *own {
                return Err(format!("{denied} denied as {reason} (INV-one-cause-per-drop)"));
            }
        }
        Ok(())
    }
}

/// Returns the kind of an event without the cause of closing. Of the two flows of a hairpin either
/// may be revalidated first, and closes both (T-33).
fn normalized(event: &Happening) -> EventKind {
    let (_, from, to) = event.initiator;
    let ours = |address: &Ipv4Addr| matches!(address.octets(), [20, ..]);
    let turns = ours(to.ip()) && (ours(from.ip()) || is_inside(*from.ip()));
    match event.kind {
        EventKind::Closed(_) if turns => EventKind::Closed(Cause::Withdrawn),
        EventKind::Ended(Cause::SourceSwitched | Cause::PathSwitched) if turns => {
            EventKind::Ended(Cause::Withdrawn)
        }
        kind => kind,
    }
}

fn add(tally: &mut [u64; 2], packet: &[u8]) {
    tally[0] += 1;
    tally[1] += packet.len() as u64;
}

fn unchanged(before: &[u8], after: &[u8]) -> Result<(), String> {
    if before == after { Ok(()) } else { Err("a packet that went no further was changed".into()) }
}

/// Checks that no private source is seen on the public side, and that an endpoint preserves the
/// source (INV-private-source-stays-inside, INV-endpoint-source-private, INV-other-source-public).
fn external(edge: Edge, forward: &Forward, before: &[u8], after: &[u8]) -> Result<(), String> {
    let (Ok(old), Ok(new)) = (Packet::read(before), Packet::read(after)) else {
        return Err("a forwarded packet cannot be read".into());
    };
    let is_public = |edge| matches!(edge, Edge::Internet | Edge::Service { identity: None, .. });
    match forward.to {
        to if is_public(to) => {
            // A host on the internet may have an address that others have inside.
            let shows = match is_public(edge) {
                true => new.source.ip().is_private(),
                false => is_inside(*new.source.ip()),
            };
            let what =
                "a private source left for the public side (INV-private-source-stays-inside)";
            if shows { Err(what.into()) } else { Ok(()) }
        }
        Edge::Service { identity: Some(identity), .. } => {
            if new.protocol != TCP && new.protocol != ICMP {
                return Err("only TCP goes over an endpoint (E-13)".into());
            }
            if new.source != old.source
                || new.protocol == TCP && identity.address != *old.source.ip()
            {
                return Err(
                    "the endpoint did not keep the source (INV-endpoint-source-private)".into()
                );
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Checks that only addresses, one port or identifier, the TTL and checksums change
/// (INV-only-needed-bytes-change). Right checksums stay right (INV-checksums-stay-right), and a
/// trailer stays (INV-trailer-ignored).
fn changes(before: &[u8], after: &[u8]) -> Result<(), String> {
    let (Ok(old), Ok(new)) = (Packet::read(before), Packet::read(after)) else {
        return Err("a forwarded packet cannot be read".into());
    };
    if before.len() != after.len() {
        return Err("a forwarded packet has another length (INV-lengths-agree)".into());
    }
    if old.ttl != new.ttl.wrapping_add(1) {
        return Err("the time to live must go down by one".into());
    }
    let at = old.header;
    let quotes = old.kind == crate::model::wire::Kind::IcmpError;
    let later = matches!(old.part, Part::Later { .. });
    // T-36: the segment size of a SYN may be lowered.
    let opens = old.segment().is_some_and(|segment| segment.has(SYN));
    let options = before.get(at + 12).map_or(0, |byte| at + usize::from(byte >> 4) * 4);
    let fields: &[usize] = match old.protocol {
        _ if later => &[],
        TCP => &[0, 1, 2, 3, 16, 17],
        UDP => &[0, 1, 2, 3, 6, 7],
        ICMP if quotes => &[2, 3],
        ICMP => &[2, 3, 4, 5],
        _ => &[],
    };
    for (place, (a, b)) in before.iter().zip(after).enumerate() {
        let free = matches!(place, 8 | 10..20)
            || place >= at && fields.contains(&(place - at))
            || opens && (at + 20..options).contains(&place)
            || quotes && (at + 8..at + 8 + 60 + 18).contains(&place);
        if a != b && !free {
            return Err(format!("byte {place} was changed (INV-only-needed-bytes-change)"));
        }
    }
    if transport_sum_is_right(before, &old) == Some(true) && !sums_are_right(after) {
        return Err("a right checksum became wrong (INV-checksums-stay-right)".into());
    }
    Ok(())
}
