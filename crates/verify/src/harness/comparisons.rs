//! Invariants that need no model: two runs are compared (INV-networks-isolated,
//! INV-toggle-changes-only-service).

use std::collections::BTreeSet;
use std::sync::Arc;

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem::{BatchPacket, Edge, SubnetId, control::Rollout};

use super::craft::Conversation;
use super::edit::Edit;
use super::planes::Planes;
use super::world::{HostAt, hosts};
use super::{Call, Coverage, Mismatch, Output, Runner, Sequence, Step, Transcript};
use crate::model::wire::{Packet, TCP};

/// What left the data plane at a step: dispositions with the bytes, and packets that it made.
type Outputs = Vec<(usize, String)>;

/// Compares every output of the other networks with and without beta's hosts and edits, byte for
/// byte (INV-networks-isolated).
///
/// # Errors
///
/// Returns the first output that differs.
pub fn betas_presence_changes_nothing(sequence: &Sequence) -> Result<(), Box<Mismatch>> {
    let is_betas = |runner: &Runner, step: &Step| match step {
        Step::Change { edit, .. } => edit.is_betas(),
        _ => runner.speaks(step).is_some_and(|it| runner.is_betas(it)),
    };
    let strays = |step: &Step| step.twist().is_some_and(|twist| twist.changes_edge());
    // Tenants share limits by design (INV-memory-bounded), and a change of beta's takes others'
    // packets out of the queue.
    let steps = sequence.steps.iter().map(|step| match *step {
        Step::Change { edit, .. } => Step::Change { edit, drain: true },
        step => step,
    });
    let sequence = Sequence { setup: sequence.setup & !7, steps: steps.collect() };
    let run = |with_beta: bool| {
        run(&sequence, |runner, _, step| {
            let betas = is_betas(runner, step);
            Ok(if strays(step) || betas && !with_beta {
                Part::Absent
            } else if betas {
                Part::Unseen
            } else {
                Part::Seen
            })
        })
    };
    agree(run(true)?, run(false)?)
}

/// Toggles the endpoint of storage in the middle, or not, and compares
/// (INV-toggle-changes-only-service, S-18, S-19). Everything but the TCP traffic of that subnet to
/// that service is the same, byte for byte.
///
/// # Errors
///
/// Returns the first output that differs.
pub fn the_endpoint_changes_nothing_else(sequence: &Sequence) -> Result<(), Box<Mismatch>> {
    let (on, off) = (sequence.steps.len() / 3, sequence.steps.len() * 2 / 3);
    let run = |toggles: bool| {
        run(sequence, |runner, at, step| {
            let toggle = |kind| Edit { kind, on: 0, to: 0, with: 0 };
            if toggles && at == on {
                runner.change(toggle(0), true)?;
            } else if toggles && at == off {
                runner.change(toggle(2), true)?;
            }
            // Also where the subnet is gone and the toggle is refused.
            if at == on || at == off {
                runner.drain()?;
            }
            let concerned = match step {
                Step::Change { edit, .. } => edit.is_about_endpoints(),
                _ => runner.speaks(step).is_some_and(|it| runner.is_of_storage(it)),
            };
            // A flipped bit may turn a packet into any other traffic.
            let strays = step.twist().is_some_and(|twist| twist.changes_edge() || twist.flips());
            Ok(if concerned || strays { Part::Absent } else { Part::Seen })
        })
    };
    agree(run(true)?, run(false)?)
}

/// Makes the same calls twice, which must give the same bytes (INV-same-input-same-bytes).
///
/// # Errors
///
/// Returns the first output that differs.
pub fn the_same_calls_give_the_same_bytes(sequence: &Sequence) -> Result<(), Box<Mismatch>> {
    let run = || run(sequence, |_, _, _| Ok(Part::Seen));
    agree(run()?, run()?)
}

/// Compares packets that are processed one by one with packets processed `size` at a time: all
/// outputs are the same. Returns the size of the largest batch. A move of the clock ends a batch,
/// and so does an edit.
///
/// # Errors
///
/// Returns the first output that differs.
pub fn a_batch_is_its_packets_in_order(
    sequence: &Sequence,
    size: usize,
) -> Result<usize, Box<Mismatch>> {
    let mut runner = Runner::recording(sequence.setup);
    for step in &sequence.steps {
        if let Err(what) = runner.step(step) {
            return Err(runner.mismatch(what));
        }
    }
    let calls = core::mem::take(&mut runner.calls);
    let replay = |at_once| {
        let fresh = Runner::new(sequence.setup);
        (replay(fresh.planes, &calls, size, at_once), runner.transcript.clone())
    };
    agree(replay(true), replay(false))?;
    let batches = calls.chunk_by(|call, next| call.is_packet() && next.is_packet());
    Ok(batches.map(|batch| batch.len().min(size)).max().unwrap_or(0))
}

/// Compares the 64 shards of a network with what the model says of one data plane. The ports
/// differ, since each shard has a slice. Everything else is the same:
///
/// - A flow is in one shard with both its directions, its fragments and errors about it.
/// - Public tuples of two shards never meet.
/// - A slice is exhausted for itself.
///
/// # Errors
///
/// They differ. The transcript shows the steps before.
pub fn shards_are_one_data_plane(sequence: &Sequence) -> Result<Coverage, Box<Mismatch>> {
    let mut runner = Runner::sharded(sequence.setup);
    for step in &sequence.steps {
        if let Err(what) = runner.step(step) {
            return Err(runner.mismatch(what));
        }
    }
    Ok(runner.coverage)
}

/// Repeats the calls, with packets in groups of up to `size` at one time, and drains between the
/// groups.
fn replay(mut planes: Planes, calls: &[Call], size: usize, at_once: bool) -> Outputs {
    let plane = planes.only_mut();
    let mut outputs = Outputs::new();
    let mut rest = calls;
    while let Some(call) = rest.first() {
        let at = outputs.len();
        let group = rest.iter().take(size).take_while(|call| call.is_packet());
        let (group, after) = rest.split_at(group.count().max(1));
        rest = after;
        let now = call.time();
        match call {
            Call::Apply(now, snapshot) => {
                plane.apply(*now, Arc::clone(snapshot));
            }
            Call::Timeout(now) => plane.handle_timeout(*now),
            Call::Packet(..) => {
                let packets = group.iter().filter_map(|call| match call {
                    Call::Packet(_, edge, bytes) => Some((*edge, bytes.clone())),
                    _ => None,
                });
                let mut packets: Vec<(Edge, Vec<u8>)> = packets.collect();
                let mut slots: Vec<BatchPacket<'_>> = packets
                    .iter_mut()
                    .map(|(edge, bytes)| BatchPacket::new(*edge, bytes))
                    .collect();
                if at_once {
                    plane.process_batch(now, &mut slots);
                } else {
                    for slot in &mut slots {
                        slot.verdict = Some(plane.process(now, slot.edge, slot.packet));
                    }
                }
                let lines =
                    slots.iter().map(|slot| format!("{:?} {:02x?}", slot.verdict, slot.packet));
                outputs.extend(lines.map(|line| (at, line)));
            }
        }
        while let Some(transmit) = plane.poll_transmit(now) {
            outputs.push((at, format!("{:?} {:02x?}", transmit.to, transmit.packet)));
        }
        while let Some(event) = plane.poll_event() {
            outputs.push((at, format!("{event:?}")));
        }
        while let Some(event) = plane.poll_translation_event() {
            outputs.push((at, format!("{event:?}")));
        }
        outputs.push((at, format!("{:?} {:?}", plane.counters(), plane.flow_counters())));
    }
    outputs
}

/// The part that a step has in a run.
enum Part {
    /// The step is made and its outputs are compared.
    Seen,
    /// The step is made.
    Unseen,
    /// The step is left out. Its conversation is remembered, so that later steps mean the same.
    Absent,
}

fn run(
    sequence: &Sequence,
    mut part: impl FnMut(&mut Runner, usize, &Step) -> Result<Part, String>,
) -> Result<(Outputs, Transcript), Box<Mismatch>> {
    let mut runner = Runner::recording(sequence.setup);
    // A pending change would come into force between the steps of one run, and not in the other.
    runner.rollout = Rollout::default();
    let mut outputs = Outputs::new();
    for (at, step) in sequence.steps.iter().enumerate() {
        let done = part(&mut runner, at, step).and_then(|part| {
            runner.outputs.clear();
            match part {
                Part::Absent => runner.pass_over(step),
                Part::Seen | Part::Unseen => runner.step(step)?,
            }
            Ok(part)
        });
        match done {
            Ok(Part::Seen) => {
                let seen = core::mem::take(&mut runner.outputs);
                let seen = seen.into_iter().filter(|output| !runner.is_at_betas(output));
                outputs.extend(seen.map(|output| (at, output.line())));
            }
            Ok(Part::Unseen | Part::Absent) => {}
            Err(what) => {
                return Err(runner.mismatch(what));
            }
        }
    }
    Ok((outputs, runner.transcript))
}

fn agree(one: (Outputs, Transcript), other: (Outputs, Transcript)) -> Result<(), Box<Mismatch>> {
    let ((one, first), (other, second)) = (one, other);
    if one == other {
        return Ok(());
    }
    let at = one.iter().zip(&other).position(|(a, b)| a != b).unwrap_or(one.len().min(other.len()));
    let what = format!("one run: {:?}\nthe other: {:?}", one.get(at), other.get(at));
    let mut transcript = first.lines();
    transcript.push("--- the other run".into());
    transcript.extend(second.lines());
    Err(Box::new(Mismatch { transcript, what }))
}

impl Runner {
    /// Returns the conversation that a step belongs to, or the one that it begins.
    fn speaks(&self, step: &Step) -> Option<Conversation> {
        match *step {
            Step::Open { host, to, ports, .. } => Some(self.begin(host, to, ports)),
            Step::Talk { of, far, .. }
            | Step::Error { of, far, .. }
            | Step::Fragment { of, far, .. } => {
                let (at, _) = self.speaker(of, far)?;
                self.conversations.get(at).cloned()
            }
            _ => None,
        }
    }

    fn pass_over(&mut self, step: &Step) {
        if let Step::Open { .. } = step {
            self.conversations.extend(self.speaks(step));
        }
    }

    fn is_betas(&self, conversation: Conversation) -> bool {
        let [_, _, HostAt(web, _), _, _, HostAt(db, _), ..] = hosts(&self.world);
        let betas = [Some(web), Some(db)];
        betas.contains(&conversation.edges[0]) || betas.contains(&conversation.callee)
    }

    /// Returns whether something left for beta, or from its public addresses.
    fn is_at_betas(&self, output: &Output) -> bool {
        let betas: BTreeSet<SubnetId> =
            self.world.subnets.iter().skip(2).take(2).copied().collect();
        let public = |end: SocketAddrV4| matches!(end.ip().octets(), [20, 2, ..]);
        match output.edge {
            Edge::Subnet(id) | Edge::SameRegion { subnet: id, .. } => betas.contains(&id),
            Edge::Service { identity: Some(identity), .. } => betas.contains(&identity.subnet),
            _ => Packet::read(&output.bytes)
                .is_ok_and(|packet| public(packet.source) || public(packet.destination)),
        }
    }

    /// Returns whether it is TCP from alpha's web to what is, or may become, an address of storage.
    fn is_of_storage(&self, conversation: Conversation) -> bool {
        let storage = |at: &Ipv4Addr| match at.octets() {
            [52, 239, third, _] => third < 64 || third == 128,
            octets => octets == [198, 51, 100, 21],
        };
        let [HostAt(web, _), HostAt(vm, _), ..] = hosts(&self.world);
        // A machine's replies to an address of the service take its endpoint too.
        if conversation.protocol == TCP && storage(conversation.initiator[0].ip()) {
            return true;
        }
        conversation.protocol == TCP
            && storage(conversation.remote[0].ip())
            && conversation.edges.first().is_some_and(|edge| [Some(web), Some(vm)].contains(edge))
    }
}

impl Output {
    fn line(&self) -> String {
        match &self.disposition {
            Some(disposition) => format!("{disposition:?} {:02x?}", self.bytes),
            None => format!("{:?} {:02x?}", self.edge, self.bytes),
        }
    }
}

impl Step {
    /// Returns what is done to the step's packet, if it has one.
    fn twist(&self) -> Option<super::Twist> {
        match *self {
            Self::Open { twist, .. }
            | Self::Talk { twist, .. }
            | Self::Error { twist, .. }
            | Self::Fragment { twist, .. } => Some(twist),
            Self::Change { .. } | Self::Clock { .. } | Self::Drain => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the comparison sees a difference.
    #[test]
    fn runs_that_differ_do_not_agree() {
        let run = |line: &str| (vec![(0, line.to_owned())], Transcript::default());
        assert!(agree(run("a"), run("a")).is_ok());
        assert!(agree(run("a"), run("b")).is_err());
        assert!(agree(run("a"), (Vec::new(), Transcript::default())).is_err());
    }
}
