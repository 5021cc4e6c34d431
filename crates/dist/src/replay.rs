//! Replays captures through a network, over all workers.

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::{Broadcast, Input};
use timely::dataflow::operators::{Capability, Probe};
use timely::dataflow::{ProbeHandle, StreamVec};
use timely::worker::Worker;
use vnetem::{Snapshot, Time};
use vnetem_whatif::files::{ModelFiles, Switch};
use vnetem_whatif::replay::{Player, ReplayCount, Unit, Units};

use crate::batch::{Batch, in_order};
use crate::captures::{Captures, Sorting};
use crate::job::Job;
use crate::output::Output;
use crate::{Cluster, DistError};

/// Seconds of the capture that a reader may be ahead of the slowest worker.
const AHEAD: u64 = 2;

/// What to replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The network.
    pub model: ModelFiles,
    /// Endpoints to enable while the captures play.
    pub enable: Vec<Switch>,
    /// Endpoints to disable.
    pub disable: Vec<Switch>,
    /// When, counted from the first packet.
    pub at: Option<Time>,
    /// The captures: files and patterns such as `day/*.pcapng`. Every process must see all.
    pub captures: Vec<String>,
    /// A folder that [`shard`](crate::shard()) made, in place of captures.
    pub cut: Option<PathBuf>,
    /// The folder for what comes out.
    pub write: Option<PathBuf>,
    /// Whether to go on where a former run of the same ended.
    pub resume: bool,
    /// Flows that are live at once at most, in all units together.
    pub flows: u32,
    /// Addresses above which a domain is split.
    pub split_above: u64,
}

/// What became of the packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Packets and flows, by reason.
    pub counts: ReplayCount,
    /// A digest of every packet that came out, in order, and of every closed flow.
    pub digest: u128,
    /// Units that had packets.
    pub units: usize,
    /// Seconds of units that a former run completed.
    pub resumed: u64,
    /// Whether the captures ended before the change.
    pub ended_before_change: bool,
    /// What was passed over while the files were read.
    pub notes: Vec<String>,
}

impl Replayed {
    /// Returns the answer as a value of the schema `vnetem/1`.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = self.counts.json();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("digest".to_owned(), json!(format!("{:032x}", self.digest)));
            fields.insert("units".to_owned(), json!(self.units));
        }
        value
    }
}

/// What a unit did, or the reader of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    unit: Option<Unit>,
    counts: ReplayCount,
    digest: u128,
    resumed: u64,
    changed: bool,
}

/// Replays captures. Only the process 0 gets an answer.
///
/// # Errors
///
/// A file cannot be read or written, or the processes do not find each other. Once the workers
/// run, a failure ends the process with status 3 and brings down the other processes.
pub fn replay(asked: &Replay, cluster: Cluster) -> Result<Option<Replayed>, DistError> {
    let job = Job::new(asked)?;
    job.prepare(cluster.process() == 0)?;
    let notes = job.notes.clone();
    let task = job.fingerprint;
    let first = cluster.process() == 0;
    let cut_not_ipv4 = job.cut.as_ref().map_or(0, |parts| parts.not_ipv4);
    let job = Arc::new(job);
    let parts = cluster.run(task, move |worker| work(&job, worker))?;
    if !first {
        return Ok(None);
    }
    let mut parts: Vec<Part> = parts.into_iter().flatten().collect();
    parts.sort_by_key(|part| part.unit);
    let mut replayed = Replayed { notes, ..Replayed::default() };
    let mut digest = twox_hash::XxHash3_128::new();
    replayed.counts.not_ipv4 = cut_not_ipv4;
    for part in &parts {
        replayed.counts.add(&part.counts);
        replayed.resumed += part.resumed;
        if let Some(unit) = part.unit {
            replayed.units += 1;
            digest.write(&[unit]);
            digest.write(&part.digest.to_le_bytes());
        }
    }
    let asked_change = !asked.enable.is_empty() || !asked.disable.is_empty();
    replayed.ended_before_change = asked_change && !parts.iter().any(|part| part.changed);
    replayed.digest = digest.finish_128();
    Ok(Some(replayed))
}

/// The work of one worker: reads its files, and plays its units.
fn work(job: &Arc<Job>, worker: &mut Worker) -> Result<Vec<Part>, DistError> {
    let (index, peers) = (worker.index(), worker.peers());
    let not_ipv4 = Rc::new(Cell::new(0));
    let parts = Rc::new(RefCell::new(Vec::new()));
    let (mut batches, mut changes, probe) = worker.dataflow::<u64, _, _>(|scope| {
        let (batches, packets) = scope.new_input::<Batch>();
        let (changes, change) = scope.new_input::<u64>();
        let change = change.broadcast();
        let units = Playing::new(Arc::clone(job), Rc::clone(&not_ipv4));
        let played = play(packets, change, units, job.is_cut(), peers);
        let collected = Rc::clone(&parts);
        let probe = ProbeHandle::new();
        played
            .unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
                Exchange::new(|_: &Part| 0),
                "collect",
                move |_, _| {
                    move |input, _| {
                        input.for_each_stamp(|_, data| {
                            collected.borrow_mut().extend(data.flat_map(|part| part.drain(..)));
                        });
                    }
                },
            )
            .probe_with(&probe);
        (batches, changes, probe)
    });

    let sorting = job.sorting();
    let mine = |file: usize| file % peers == index;
    let mut captures = Captures::new(&job.files, &sorting, job.start, mine)?;
    let mut full: Vec<Batch> = (0..=u8::MAX).map(Batch::new).collect();
    let mut due = job.at;
    while let Some(second) = captures.next_second() {
        batches.advance_to(second);
        changes.advance_to(second);
        let least = second.saturating_sub(AHEAD);
        worker.step_or_park_while(None, || probe.less_than(&least));
        captures.read(second, |packet| {
            if let Some(at) = due.take_if(|at| at.0 <= packet.time) {
                changes.send(at.0);
            }
            let batch = full.get_mut(usize::from(packet.unit));
            let ready = batch.and_then(|batch| batch.add(packet.time, packet.id, packet.bytes));
            if let Some(ready) = ready {
                batches.send(ready);
                // One batch is as large as many records, so none waits for others.
                batches.flush();
            }
            Ok(())
        })?;
        for batch in full.iter_mut().filter(|batch| !batch.is_empty()) {
            batches.send(batch.take());
        }
        worker.step();
    }
    not_ipv4.set(captures.not_ipv4());
    batches.close();
    changes.close();
    worker.step_or_park_while(None, || !probe.done());
    Ok(parts.take())
}

/// Plays the packets of a second once every reader is past it.
fn play<'scope>(
    packets: StreamVec<'scope, u64, Batch>,
    change: StreamVec<'scope, u64, u64>,
    mut units: Playing,
    is_cut: bool,
    peers: usize,
) -> StreamVec<'scope, u64, Part> {
    // The parts of a cut are read where their units are.
    let route = move |batch: &Batch| u64::from(batch.unit);
    let peers = u64::try_from(peers).unwrap_or(1);
    let exchange = Exchange::new(move |batch: &Batch| route(batch) % peers);
    macro_rules! operator {
        ($pact:expr) => {
            packets.binary_frontier(change, $pact, Pipeline, "play", |capability, _| {
                let mut own: Option<Capability<u64>> = Some(capability);
                let mut waiting: BTreeMap<u64, (Vec<Batch>, Option<u64>)> = BTreeMap::new();
                move |(packets, packet_frontier), (changes, change_frontier), output| {
                    packets.for_each_stamp(|capability, data| {
                        if let Some(second) = capability.least() {
                            let (batches, _) = waiting.entry(*second).or_default();
                            batches.extend(data.flat_map(|batches| batches.drain(..)));
                        }
                    });
                    changes.for_each_stamp(|capability, data| {
                        if let Some(second) = capability.least() {
                            let (_, change) = waiting.entry(*second).or_default();
                            *change = data.flat_map(|times| times.drain(..)).last().or(*change);
                        }
                    });
                    let passed = |second: &u64| {
                        !packet_frontier.less_equal(second) && !change_frontier.less_equal(second)
                    };
                    while let Some(entry) = waiting.first_entry().filter(|it| passed(it.key())) {
                        let (second, (mut batches, change)) = entry.remove_entry();
                        units.play(second, &mut batches, change);
                    }
                    let frontiers = [packet_frontier.frontier(), change_frontier.frontier()];
                    let next = frontiers.iter().flat_map(|frontier| frontier.iter()).min();
                    match (next, own.as_mut()) {
                        (Some(next), Some(capability)) => capability.downgrade(next),
                        (None, Some(capability)) => {
                            output.session(capability).give_iterator(units.finish().into_iter());
                            own = None;
                        }
                        (_, None) => {}
                    }
                }
            })
        };
    }
    if is_cut { operator!(Pipeline) } else { operator!(exchange) }
}

/// The units of one worker.
struct Playing {
    job: Arc<Job>,
    snapshot: Arc<Snapshot>,
    changed: bool,
    units: BTreeMap<Unit, (Player, Output)>,
    not_ipv4: Rc<Cell<u64>>,
}

impl Playing {
    fn new(job: Arc<Job>, not_ipv4: Rc<Cell<u64>>) -> Self {
        let snapshot = Arc::clone(&job.before);
        Self { job, snapshot, changed: false, units: BTreeMap::new(), not_ipv4 }
    }

    /// Plays a second, and ends the process if that fails.
    fn play(&mut self, second: u64, batches: &mut [Batch], change: Option<u64>) {
        if let Err(error) = self.try_play(second, batches, change) {
            fail(&error);
        }
    }

    fn try_play(
        &mut self,
        second: u64,
        batches: &mut [Batch],
        change: Option<u64>,
    ) -> Result<(), DistError> {
        // Several readers may announce the change; the first one counts.
        let change = change.filter(|_| !self.changed).map(Time);
        batches.sort_by_key(|batch| batch.unit);
        for batches in batches.chunk_by_mut(|one, other| one.unit == other.unit) {
            let Some(unit) = batches.first().map(|batch| batch.unit) else { continue };
            self.play_unit(unit, batches, change)?;
        }
        if let Some(at) = change {
            self.changed = true;
            self.snapshot = Arc::clone(&self.job.after);
            for (player, output) in self.units.values_mut() {
                if player.generation() != self.snapshot.generation() {
                    player.apply(at, Arc::clone(&self.snapshot), |seen| output.see(seen))?;
                }
            }
        }
        self.units.values_mut().try_for_each(|(_, output)| output.end(second))
    }

    fn play_unit(
        &mut self,
        unit: Unit,
        batches: &mut [Batch],
        change: Option<Time>,
    ) -> Result<(), DistError> {
        let (player, output) = match self.units.entry(unit) {
            std::collections::btree_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(self.job.unit(unit, &self.snapshot)?)
            }
        };
        let after = &self.job.after;
        let mut due = change;
        let mut result = Ok(());
        in_order(batches, |_, head, bytes| {
            if result.is_err() {
                return;
            }
            if let Some(at) = due.take_if(|at| at.0 <= head.time) {
                result = player.apply(at, Arc::clone(after), |seen| output.see(seen));
            }
            if result.is_ok() {
                result = player.play(Time(head.time), head.id, bytes, |seen| output.see(seen));
            }
        });
        result
    }

    /// Returns what became of all packets.
    fn finish(&mut self) -> Vec<Part> {
        let counts = ReplayCount { not_ipv4: self.not_ipv4.get(), ..ReplayCount::default() };
        let reader = Part { unit: None, counts, digest: 0, resumed: 0, changed: self.changed };
        let mut parts = vec![reader];
        for (unit, (player, output)) in core::mem::take(&mut self.units) {
            let (digest, resumed) = output.finish().unwrap_or_else(|error| fail(&error));
            let (unit, counts) = (Some(unit), player.counts().clone());
            parts.push(Part { unit, counts, digest, resumed, changed: self.changed });
        }
        parts
    }
}

/// Ends the process, since timely's operators have no way to fail. The others notice.
fn fail(error: &DistError) -> ! {
    eprintln!("vnetem-dist: {error}");
    std::process::exit(3)
}

impl Job {
    /// Makes the data plane of a unit and what it writes to.
    fn unit(&self, unit: Unit, snapshot: &Arc<Snapshot>) -> Result<(Player, Output), DistError> {
        let units: &Units = &self.units;
        let settings = units.settings(unit, self.flows);
        let player = Player::new(Arc::clone(units.hosts()), Arc::clone(snapshot), settings);
        let output = Output::new(unit, self.start, self.write.as_deref(), self.resume)?;
        Ok((player, output))
    }

    fn sorting(&self) -> Sorting<'_> {
        if self.is_cut() { Sorting::Cut } else { Sorting::By(&self.units, &self.before) }
    }
}
