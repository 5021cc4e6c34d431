//! Writes outcome lines: what a network engineer reads below a step, and what golden files assert.

use vnetem::{
    AccessVerdict, Disposition, Event, Generation, Transmit, Verdict,
    authz::{Access, Grant},
    control::TiePolicy,
    nat::{Cause, State},
    trace::{RegionChoice, Step, Trace},
};

use super::topology::Topology;
use vnetem_packet_text::Packet;

/// The outcome of a change that no packet notices.
pub(super) const NOTHING: &str = "nothing changes";

/// Writes the lines of a change: the generation, what it closed, and the packets that it made.
pub(super) fn change(
    topology: &Topology,
    (before, after): (Generation, Generation),
    closed: &[Event],
    made: &[Transmit],
) -> Vec<String> {
    let first = match before == after {
        true => NOTHING.to_owned(),
        false => format!("generation {}", after.0),
    };
    let (over, live): (Vec<&Event>, Vec<&Event>) = closed.iter().partition(|event| is_over(event));
    let mut lines = vec![first];
    lines.extend(live.into_iter().map(self::closed));
    if !over.is_empty() {
        lines.push(format!("forgot  {} connections that were over", over.len()));
    }
    lines.extend(made.iter().map(|made| self::made(topology, made)));
    lines
}

/// Returns whether a closed flow was over and only waited for its timer.
pub(super) fn is_over(event: &Event) -> bool {
    matches!(event.state, State::TimeWait | State::Close | State::Refused)
}

/// Writes the line of a decided packet: where it leaves, as what, and what the rules at the far
/// side say.
pub(super) fn passage(
    topology: &Topology,
    trace: &Trace,
    verdict: &Verdict,
    came: &[u8],
    went: &[u8],
) -> String {
    match verdict.disposition {
        Disposition::Forward(forward) => {
            let mut said = access(topology, trace, forward.access());
            if let Some(choice) = choice_behind(trace) {
                said = format!("{said}    {choice}").trim().to_owned();
            }
            let packet = forwarded(came, went);
            let place = trace.leaves_by().map_or_else(String::new, |to| topology.place(to));
            line(&place, &packet, &said)
        }
        Disposition::Deny(reason) => format!("deny {reason}"),
        Disposition::Drop(reason) => format!("drop {reason}"),
    }
}

/// Writes place, packet and remark in columns.
pub(super) fn line(place: &str, packet: &str, remark: &str) -> String {
    format!("{place:<30}  {packet}    {remark}").trim_end().to_owned()
}

/// Writes the line of a packet that the data plane made.
pub(super) fn made(topology: &Topology, transmit: &Transmit) -> String {
    let tcp = transmit.packet.get(9) == Some(&vnetem_packet::Protocol::TCP.0);
    let kind = if tcp { "reset" } else { "error" };
    let words = match Packet::read(&transmit.packet) {
        Ok(mut packet) => {
            // This field is the same in all packets that the data plane makes.
            packet.dont_fragment = false;
            if let vnetem_packet_text::Content::Tcp(segment) = &mut packet.content {
                segment.window = vnetem_packet_text::Segment::WINDOW;
            }
            packet.to_string()
        }
        Err(cause) => cause.to_string(),
    };
    format!("{kind:<7} {}", line(&topology.place(transmit.to), &words, ""))
}

/// Writes the line of a flow that a change closed.
pub(super) fn closed(event: &Event) -> String {
    let cause = event.kind.cause().map_or("opened", Cause::name);
    let source = if event.external == event.tuple.source {
        String::new()
    } else {
        format!(" as {}", event.external)
    };
    format!("closed  {}{source}    {cause}", event.tuple)
}

/// Writes what the rules of the resource say, and which rule says it.
pub(super) fn access(topology: &Topology, trace: &Trace, access_verdict: AccessVerdict) -> String {
    let judged = trace.steps.iter().find_map(|step| match step {
        Step::Access { access, .. } => Some(*access),
        _ => None,
    });
    match (judged, access_verdict) {
        (Some(Access::Allowed(Grant::SubnetRule(subnet))), _) => {
            format!("allow subnet-rule {}", topology.full_name(subnet))
        }
        (Some(access), _) => access.to_string(),
        (None, AccessVerdict::Unjudged) => String::new(),
        (None, AccessVerdict::Allowed) => "allow".into(),
        (None, AccessVerdict::Refused(refusal)) => format!("refuse {refusal}"),
    }
}

/// Returns the choice of the model on which the outcome depends: equal prefixes (C-01), or an
/// unknown region (C-03).
pub(super) fn choice_behind(trace: &Trace) -> Option<&'static str> {
    trace.steps.iter().find_map(|step| match step {
        Step::Tie { policy: TiePolicy::Documented, .. } => {
            Some("(tie documented; observed: the user route)")
        }
        Step::Tie { policy: TiePolicy::Observed, .. } => {
            Some("(tie observed; documented: the endpoint)")
        }
        Step::Region { choice: RegionChoice::NetworkUnknown(true), .. } => {
            Some("(region of the network unknown)")
        }
        Step::Region { choice: RegionChoice::AddressUnknown(true), .. } => {
            Some("(region of the address unknown)")
        }
        _ => None,
    })
}

/// Writes a forwarded packet in words, without its decremented TTL.
fn forwarded(came: &[u8], went: &[u8]) -> String {
    match (Packet::read(came), Packet::read(went)) {
        (Ok(came), Ok(mut went)) => {
            if went.ttl.checked_add(1) == Some(came.ttl) {
                went.ttl = came.ttl;
            }
            went.to_string()
        }
        (_, Err(cause)) => cause.to_string(),
        (Err(_), Ok(went)) => went.to_string(),
    }
}
