//! The change on a live data plane: flows opened before, the change applied, closings drained, the
//! closed ones opened again.

use std::collections::BTreeMap;

use vnetem::packet::FiveTuple;
use vnetem::{
    AccessVerdict, DataPlane, Disposition, Edge, EventKind, Protocol, Settings, Time,
    trace::{FlowStep, Step},
};

use crate::Change;
use crate::packet::{Packet, Segment};

/// When the change is applied. All flows were opened shortly before.
const SWITCH: Time = Time(1_000_000_000);

/// What became of one open flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fared {
    /// The change closed it.
    pub(crate) closed: bool,
    /// The same two ends could open another one afterwards, and nobody refused it.
    pub(crate) reopened: bool,
}

/// What became of all open flows.
#[derive(Debug, Default)]
pub(crate) struct Fares {
    /// In the order in which the flows were given.
    pub(crate) flows: Vec<Fared>,
    /// Closed flows by cause.
    pub(crate) causes: BTreeMap<&'static str, u64>,
    /// Flows that could not be opened at the same time, by reason.
    pub(crate) unopened: BTreeMap<&'static str, u64>,
    /// Resets that went out.
    pub(crate) resets: u64,
}

/// Applies the change to a data plane on which these flows are open.
pub(crate) fn switch(
    change: &Change,
    settings: Settings,
    flows: &[(Edge, Edge, FiveTuple)],
) -> Fares {
    let settings = sized(settings, change, flows.len());
    let mut plane = DataPlane::new(change.first.clone(), settings);
    let mut fares = Fares::default();
    let opened: Vec<bool> = flows
        .iter()
        .map(|(edge, _, tuple)| match open(&mut plane, *edge, tuple) {
            Ok(()) => true,
            Err(reason) => {
                *fares.unopened.entry(reason).or_default() += 1;
                false
            }
        })
        .collect();
    while plane.poll_event().is_some() {}
    plane.apply(SWITCH, change.second.clone());
    loop {
        let sent = plane.poll_transmit(SWITCH);
        fares.resets += u64::from(sent.is_some());
        while let Some(event) = plane.poll_event() {
            if let EventKind::Closed(cause) = event.kind {
                *fares.causes.entry(cause.name()).or_default() += 1;
            }
        }
        if sent.is_none() && plane.poll_timeout().is_none_or(|due| due > SWITCH) {
            break;
        }
    }
    for ((edge, now, tuple), opened) in flows.iter().zip(opened) {
        let closed = opened && is_closed(&plane, *edge, tuple);
        let reopened = closed && reopens(&mut plane, *now, tuple);
        fares.flows.push(Fared { closed, reopened });
    }
    fares
}

/// Makes room for a number of flows.
fn sized(mut settings: Settings, change: &Change, flows: usize) -> Settings {
    let networks = change.before.vnets().count() + change.after.vnets().count();
    let places = change.before.subnets().count() + change.after.subnets().count();
    // Half of the table is guaranteed to others, and a closed flow opens once more.
    let room = flows.saturating_mul(3).saturating_add(networks.saturating_mul(1_024));
    settings.flows.capacity = u32::try_from(room.max(1_024)).unwrap_or(u32::MAX);
    settings.flows.held = u32::try_from(flows.max(1_024)).unwrap_or(u32::MAX).min(1 << 23);
    settings.flows.revalidation_keys =
        u32::try_from(places * 64 + 1_024).unwrap_or(u32::MAX).min(1 << 23);
    settings.events = Settings::MOST_WAITING.min(flows.saturating_mul(2).max(1_024));
    settings
}

/// Opens a flow: for TCP by the whole handshake, the answer from the very edge by which it left.
fn open(plane: &mut DataPlane, edge: Edge, tuple: &FiveTuple) -> Result<(), &'static str> {
    let mut packet = Packet::new(tuple, Segment::SYN);
    let to = match plane.process(Time(0), edge, packet.bytes_mut()).disposition {
        Disposition::Forward(forward) => forward.to(),
        Disposition::Deny(reason) => return Err(reason.name()),
        Disposition::Drop(reason) => return Err(reason.name()),
    };
    if tuple.protocol != Protocol::TCP {
        return Ok(());
    }
    if let Some(sent) = packet.tuple() {
        let mut answer = Packet::new(&sent.reversed(), Segment::SYN_ACK);
        _ = plane.process(Time(0), to, answer.bytes_mut());
        let mut last = Packet::new(tuple, Segment::ACK);
        _ = plane.process(Time(0), edge, last.bytes_mut());
    }
    Ok(())
}

/// Whether the next segment of a flow finds it closed.
fn is_closed(plane: &DataPlane, edge: Edge, tuple: &FiveTuple) -> bool {
    let trace = plane.trace(SWITCH, edge, Packet::new(tuple, Segment::ACK).bytes());
    let live = trace
        .steps
        .iter()
        .any(|step| matches!(step, Step::Flow(FlowStep::Hit { .. } | FlowStep::Renewed { .. })));
    !live
}

/// Whether the same ends can open a flow from another port, as a program does that tries again.
fn reopens(plane: &mut DataPlane, edge: Edge, tuple: &FiveTuple) -> bool {
    let mut again = *tuple;
    again.source.set_port((tuple.source.port() ^ 0x4000).max(1_024));
    let mut packet = Packet::new(&again, Segment::SYN);
    let verdict = plane.process(SWITCH, edge, packet.bytes_mut());
    let is_refused = |access| matches!(access, AccessVerdict::Refused(_));
    matches!(verdict.disposition, Disposition::Forward(to) if !is_refused(to.access()))
}
