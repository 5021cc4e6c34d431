//! Data planes whose queues are small, and seldom emptied by their caller
//! (INV-untaken-output-bounded).

use std::sync::Arc;

use vnetem::{DataPlane, Settings, Verdict};

use super::{Call, Mismatch, Runner, Sequence, fresh, settings};

/// What small queues did in a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// Answers to packets that found the queue full.
    pub answers: u64,
    /// Events that found the queue full.
    pub events: u64,
    /// Flows that could not be closed when a packet met them, for want of room for their resets.
    pub postponed: u64,
}

/// Compares a data plane with queues of `room` entries with one that has room for everything. Both
/// are emptied after each change and else after every `pause` calls. Small queues lose answers and
/// events, which are counted. They change no verdict, no byte, and no reset of a change.
///
/// # Errors
///
/// Returns the first call after which they differ otherwise.
pub fn small_queues_lose_only_answers(
    sequence: &Sequence,
    room: usize,
    pause: usize,
) -> Result<Losses, Box<Mismatch>> {
    let (runner, calls) = calls(sequence)?;
    let mut wide = Side::new(sequence.setup, 1 << 12);
    let mut small = Side::new(sequence.setup, room);
    let mut lacks = [0; 2];
    for (at, call) in calls.iter().enumerate() {
        let [expected, seen] = [&mut wide, &mut small].map(|side| side.make(call));
        if expected != seen {
            let what = format!("with small queues {seen:?}, with large ones {expected:?}");
            return Err(runner.mismatch(what));
        }
        if at % pause == 0 || matches!(call, Call::Apply(..)) || at + 1 == calls.len() {
            wide.take(call);
            small.take(call);
            let [packets, events] = small.lacks(&mut wide).map_err(|what| runner.mismatch(what))?;
            lacks = [lacks[0] + packets, lacks[1] + events];
            if (lacks, [0, 0]) != (small.lost(), wide.lost()) {
                let what = format!("{lacks:?} are missing, and {:?} are counted", small.lost());
                return Err(runner.mismatch(what));
            }
        }
        small.conserves().map_err(|what| runner.mismatch(what))?;
    }
    let [answers, events] = lacks;
    Ok(Losses { answers, events, postponed: 0 })
}

/// Checks that a trace equals the verdict where nobody takes anything from small queues, so that a
/// change cannot close its flows (INV-trace-equals-verdict). When the caller takes everything in
/// the end, nothing is left.
///
/// # Errors
///
/// Returns the first packet of which the trace says something else.
pub fn full_queues_keep_traces_true(
    sequence: &Sequence,
    room: usize,
) -> Result<Losses, Box<Mismatch>> {
    let (runner, calls) = calls(sequence)?;
    let mut side = Side::new(sequence.setup, room);
    let mut losses = Losses::default();
    for call in &calls {
        let waiting = side.plane.queued();
        side.make(call).and_then(|_| side.conserves()).map_err(|what| runner.mismatch(what))?;
        losses.postponed += u64::from(waiting.0 >= room && matches!(call, Call::Apply(..)));
    }
    if let Some(last) = calls.last() {
        side.take(last);
    }
    let left = side.plane.queued();
    match left {
        (0, 0) => Ok(losses),
        _ => Err(runner.mismatch(format!("{left:?} packets and bytes are never handed out"))),
    }
}

/// Returns the calls that a sequence makes.
fn calls(sequence: &Sequence) -> Result<(Runner, Vec<Call>), Box<Mismatch>> {
    let mut runner = Runner::recording(sequence.setup);
    for step in &sequence.steps {
        runner.step(step).map_err(|what| runner.mismatch(what))?;
    }
    let calls = core::mem::take(&mut runner.calls);
    Ok((runner, calls))
}

/// A data plane, and what its caller took since the last comparison.
struct Side {
    plane: DataPlane,
    made: Vec<String>,
    events: Vec<String>,
    translations: Vec<String>,
}

impl Side {
    fn new(setup: u8, room: usize) -> Self {
        let mut settings = Settings { queue: room, events: room, ..settings(setup) };
        // None means that the data plane records no translation.
        settings.translation_events = settings.translation_events.min(room.max(1));
        let (mut network, _) = fresh(setup);
        let plane = DataPlane::new(network.commit(), settings);
        Self { plane, made: Vec::new(), events: Vec::new(), translations: Vec::new() }
    }

    /// Makes a call, and returns the verdict and the bytes of a packet.
    fn make(&mut self, call: &Call) -> Result<Option<(Verdict, Vec<u8>)>, String> {
        match call {
            Call::Apply(now, snapshot) => {
                let _ = self.plane.apply(*now, Arc::clone(snapshot));
                Ok(None)
            }
            Call::Timeout(now) => {
                self.plane.handle_timeout(*now);
                Ok(None)
            }
            Call::Packet(now, edge, bytes) => {
                let traced = self.plane.trace(*now, *edge, bytes).verdict;
                let mut bytes = bytes.clone();
                let verdict = self.plane.process(*now, *edge, &mut bytes);
                match traced == verdict {
                    true => Ok(Some((verdict, bytes))),
                    false => Err(format!("{verdict:?}, yet the trace said {traced:?}")),
                }
            }
        }
    }

    /// Takes everything that waits.
    fn take(&mut self, after: &Call) {
        while let Some(transmit) = self.plane.poll_transmit(after.time()) {
            self.made.push(format!("{:?} {:02x?}", transmit.to, transmit.packet));
        }
        while let Some(event) = self.plane.poll_event() {
            self.events.push(format!("{event:?}"));
        }
        while let Some(event) = self.plane.poll_translation_event() {
            self.translations.push(format!("{event:?}"));
        }
    }

    /// Says what it lost so far: packets and events.
    fn lost(&self) -> [u64; 2] {
        [self.plane.counters().queue_full.packets, self.plane.counters().events_lost]
    }

    /// Forgets what was taken, and returns how many packets and events it lacks of all that the
    /// other side had.
    fn lacks(&mut self, all: &mut Self) -> Result<[u64; 2], String> {
        let mut lacks = [0; 2];
        for (at, part, all) in [
            (0, &mut self.made, &mut all.made),
            (1, &mut self.events, &mut all.events),
            (1, &mut self.translations, &mut all.translations),
        ] {
            let mut rest = all.iter();
            if let Some(more) = part.iter().find(|one| !rest.any(|other| other == *one)) {
                return Err(format!("only with small queues, or in another order: {more}"));
            }
            lacks[at] += (all.len() - part.len()) as u64;
            part.clear();
            all.clear();
        }
        Ok(lacks)
    }

    /// Checks that every packet is counted once (INV-packets-conserved).
    fn conserves(&self) -> Result<(), String> {
        let counters = self.plane.counters();
        let came = counters.received.packets + counters.generated.packets;
        let left = counters.forwarded.packets + counters.transmitted.packets;
        let ended = counters.denied.packets + counters.dropped.packets;
        let waiting = self.plane.queued().0 as u64;
        match came == left + ended + waiting {
            true => Ok(()),
            false => Err(format!("{came} came, {left} left, {ended} ended, {waiting} wait")),
        }
    }
}
