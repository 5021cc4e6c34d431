//! Says what a change does to the traffic of flow logs, over all workers.

use core::cell::{Cell, RefCell};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::Hasher;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::{Capability, Probe};
use timely::worker::Worker;
use twox_hash::XxHash3_64;
use vnetem_whatif::files::{ChangeFiles, ModelFiles};
use vnetem_whatif::replay::{Unit, Units};
use vnetem_whatif::{Change, Estate, LoggedFlow, Part, Report, Traffic, TrafficReport, UnitFlows};

use crate::{Cluster, DistError, captures};

/// Files that a reader may be ahead of the slowest worker.
const AHEAD: u64 = 4;

/// What to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct WhatIf {
    /// The network.
    pub model: ModelFiles,
    /// The change.
    pub change: ChangeFiles,
    /// Flow logs: files and patterns such as `logs/**/PT1H.json`. Every process must see all.
    pub flows: Vec<String>,
    /// Addresses above which a domain is split.
    pub split_above: u64,
}

/// The answer with what was passed over while files were read.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The same report as that of one machine.
    pub report: Report,
    /// What was passed over while the files were read.
    pub notes: Vec<String>,
}

/// What is known before the workers begin.
struct Job {
    estate: Estate,
    change: Change,
    files: Vec<PathBuf>,
    split_above: u64,
}

/// What a worker has read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Read {
    tuples: u64,
    denied: u64,
    skipped: BTreeMap<Cow<'static, str>, u64>,
}

/// What the workers hand to the first one.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Done {
    Part(Part),
    Read(Read),
}

/// Asks what a change does. Only the process 0 gets an answer.
///
/// # Errors
///
/// A file cannot be read, or the processes do not find each other. Once the workers run, a failure
/// ends the process with status 3 and brings down the other processes.
pub fn what_if(asked: &WhatIf, cluster: Cluster) -> Result<Option<Answer>, DistError> {
    let mut notes = Vec::new();
    let (estate, change) = asked.change.read(&asked.model, &mut notes)?;
    let files = captures::find(&asked.flows)?;
    if files.is_empty() {
        return Err(DistError::new("on which traffic? Give --flows"));
    }
    let mut task = XxHash3_64::new();
    task.write(format!("{asked:?} {files:?}").as_bytes());
    let first = cluster.process() == 0;
    let job = Arc::new(Job { estate, change, files, split_above: asked.split_above });
    let work_job = Arc::clone(&job);
    let done = cluster.run(task.finish(), move |worker| work(&work_job, worker))?;
    if !first {
        return Ok(None);
    }
    let mut said = TrafficReport::default();
    said.sources = job.files.iter().map(|path| path.display().to_string()).collect();
    let mut parts = Vec::new();
    for done in done.into_iter().flatten() {
        match done {
            Done::Part(part) => parts.push(part),
            Done::Read(read) => {
                said.tuples += read.tuples;
                said.denied += read.denied;
                for (why, count) in read.skipped {
                    *said.skipped.entry(why).or_default() += count;
                }
            }
        }
    }
    // The order of the units decides which of two equal groups comes first.
    parts.sort_by_key(|part| part.unit);
    Ok(Some(Answer { report: job.estate.joined(&job.change, &parts, said), notes }))
}

/// The work of one worker: reads its files, and tries the flows of its units.
fn work(job: &Arc<Job>, worker: &mut Worker) -> Result<Vec<Done>, DistError> {
    let (index, peers) = (worker.index(), worker.peers());
    let count = u64::try_from(peers).unwrap_or(1);
    let read = Rc::new(Cell::new(Read::default()));
    let collected = Rc::new(RefCell::new(Vec::new()));
    let (mut flows, probe, read_probe) = worker.dataflow::<u64, _, _>(|scope| {
        let (handle, flows) = scope.new_input::<LoggedFlow>();
        let (probe, read_probe) = (ProbeHandle::new(), ProbeHandle::new());
        let exchange = Exchange::new(move |flow: &LoggedFlow| u64::from(flow.unit) % count);
        let mut units = Trying { job: Arc::clone(job), units: BTreeMap::new() };
        let read = Rc::clone(&read);
        let done = flows.unary_frontier(exchange, "try", |capability, _| {
            let mut own: Option<Capability<u64>> = Some(capability);
            move |(input, frontier), output| {
                input.for_each_stamp(|_, data| {
                    for flow in data.flat_map(|flows| flows.drain(..)) {
                        units.units.entry(flow.unit).or_default().add(flow);
                    }
                });
                match (frontier.frontier().iter().min(), own.as_mut()) {
                    (Some(next), Some(capability)) => capability.downgrade(next),
                    (None, Some(capability)) => {
                        let mut session = output.session(capability);
                        session.give(Done::Read(read.take()));
                        session.give_iterator(units.finish().into_iter().map(Done::Part));
                        drop(session);
                        own = None;
                    }
                    (_, None) => {}
                }
            }
        });
        let done = done.container::<Vec<_>>().probe_with(&read_probe);
        let collected = Rc::clone(&collected);
        done.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
            Exchange::new(|_: &Done| 0),
            "collect",
            move |_, _| {
                move |input, _| {
                    input.for_each_stamp(|_, data| {
                        collected.borrow_mut().extend(data.flat_map(|done| done.drain(..)));
                    });
                }
            },
        )
        .probe_with(&probe);
        (handle, probe, read_probe)
    });

    let mut spread = job.estate.spread(&job.change, job.split_above);
    let mut total = Read::default();
    for (number, path) in job.files.iter().enumerate().filter(|(file, _)| file % peers == index) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        flows.advance_to(number);
        let least = number.saturating_sub(AHEAD * count);
        worker.step_or_park_while(None, || read_probe.less_than(&least));
        let mut traffic = Traffic::new();
        let file = File::open(path).map_err(|error| DistError::of(path, error))?;
        let name = path.display().to_string();
        traffic.read_flow_log(&name, file).map_err(|error| DistError::of(path, error))?;
        if traffic.tuples() == 0 {
            return Err(DistError::of(path, "no flow log: it has no line of a flow"));
        }
        total.tuples += traffic.tuples();
        total.denied += traffic.denied();
        for (why, count) in traffic.skipped() {
            *total.skipped.entry((*why).into()).or_default() += count;
        }
        spread.flows(&traffic, number, |flow| flows.send(flow));
        worker.step();
    }
    read.set(total);
    flows.close();
    worker.step_or_park_while(None, || !probe.done());
    Ok(collected.take())
}

/// The flows of the units of one worker.
struct Trying {
    job: Arc<Job>,
    units: BTreeMap<Unit, UnitFlows>,
}

impl Trying {
    /// Tries all flows.
    fn finish(&mut self) -> Vec<Part> {
        let Job { estate, change, split_above, .. } = &*self.job;
        let spread = estate.spread(change, *split_above);
        let units: &Units = spread.units();
        let flows = core::mem::take(&mut self.units).into_iter();
        flows.map(|(unit, flows)| estate.part(change, units, unit, flows)).collect()
    }
}
