//! The clock around the loads of the lab.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use vnetem_load::{Load, LoadError, Shape, TogglePart};

use crate::Failure;
use crate::arguments::BenchMode;

/// What one line cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Packets, or flows, that were measured.
    pub(super) count: u64,
    /// For one of them, on each core: the median over all rounds.
    pub(super) nanoseconds: f64,
    /// Allocations for one of them.
    pub(super) allocations: f64,
    cores: u8,
    pub(super) toggle: Option<Toggle>,
    /// Tuples in hold-down when connections were measured.
    pub(super) resting: Option<u32>,
}

/// The parts of a toggle beside the closing of flows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Toggle {
    /// The control plane compiles the snapshot.
    pub(super) commit: Duration,
    /// The data plane takes it.
    pub(super) apply: Duration,
    /// The longest that other traffic waits.
    pub(super) longest_step: Duration,
}

/// What one core did.
#[derive(Default)]
struct Work {
    /// Of each round: how many, and how long for all of them.
    rounds: Vec<(u64, Duration)>,
    allocations: u64,
    /// For how many.
    allocated_for: u64,
    toggle: Option<Toggle>,
    resting: Option<u32>,
}

/// Measures one line for about so long, preparation left aside.
pub(super) fn measure(
    mode: BenchMode,
    shape: Shape,
    cores: u8,
    duration: Duration,
) -> Result<Measured, Failure> {
    let barrier = Barrier::new(cores.into());
    let works: Vec<Result<Work, LoadError>> = std::thread::scope(|scope| {
        let barrier = &barrier;
        let workers = (0..cores).map(|shard| {
            let shape = Shape { shard, seed: shape.seed.wrapping_add(shard.into()), ..shape };
            scope.spawn(move || work(mode, shape, duration, barrier))
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    let mut all = Work::default();
    for work in works {
        let work = work?;
        all.rounds.extend(work.rounds);
        all.allocations += work.allocations;
        all.allocated_for += work.allocated_for;
        all.toggle = all.toggle.or(work.toggle);
        all.resting = all.resting.or(work.resting);
    }
    let mut each: Vec<f64> = all
        .rounds
        .iter()
        .map(|(count, spent)| {
            spent.as_secs_f64() * 1e9 / f64::from(u32::try_from(*count).unwrap_or(u32::MAX))
        })
        .collect();
    each.sort_by(f64::total_cmp);
    let nanoseconds = each.get(each.len() / 2).copied().ok_or("nothing was measured")?;
    let allocated_for = f64::from(u32::try_from(all.allocated_for).unwrap_or(u32::MAX)).max(1.0);
    Ok(Measured {
        count: all.rounds.iter().map(|(count, _)| count).sum(),
        nanoseconds,
        allocations: f64::from(u32::try_from(all.allocations).unwrap_or(u32::MAX)) / allocated_for,
        cores,
        toggle: all.toggle,
        resting: all.resting,
    })
}

impl Measured {
    /// By all cores together.
    pub(super) fn million_a_second(&self) -> f64 {
        f64::from(self.cores) * 1e3 / self.nanoseconds
    }
}

/// One core's part. All cores begin together once they are prepared.
fn work(
    mode: BenchMode,
    shape: Shape,
    duration: Duration,
    barrier: &Barrier,
) -> Result<Work, LoadError> {
    let prepared = prepare(mode, shape);
    barrier.wait();
    let mut load = prepared?;
    let mut work = Work::default();
    let begin = Instant::now();
    while work.rounds.is_empty() || begin.elapsed() < duration {
        let mut spent = Duration::ZERO;
        let mut clock = |work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            spent += start.elapsed();
        };
        let count = match mode {
            BenchMode::Forward => load.forward(&mut clock)?,
            BenchMode::Connect => load.connect(&mut clock)?,
            BenchMode::Open => {
                let count = load.open(&mut clock)?;
                load.expire(&mut |work| work());
                count
            }
            BenchMode::Expire => {
                load.open(&mut |work| work())?;
                load.expire(&mut clock)
            }
            BenchMode::Toggle => {
                let mut toggle = work.toggle.unwrap_or_default();
                let count = load.toggle(&mut |part, work| {
                    let start = Instant::now();
                    work();
                    let time = start.elapsed();
                    match part {
                        TogglePart::Commit => toggle.commit = time,
                        TogglePart::Apply => toggle.apply = time,
                        TogglePart::Close | TogglePart::Step => spent = time,
                    }
                })?;
                work.toggle = Some(toggle);
                count
            }
        };
        if count > 0 {
            work.rounds.push((count, spent));
        }
    }
    finish(mode, &mut load, &mut work)?;
    Ok(work)
}

/// Flows open and memory touched, so that what is measured is the second time.
fn prepare(mode: BenchMode, shape: Shape) -> Result<Load, LoadError> {
    if mode == BenchMode::Connect {
        let mut load = Load::connecting(shape)?;
        let mut made = 0;
        // Once more than it takes until as many tuples are given free as begin to rest.
        while made < 2 * u64::from(shape.flows) {
            made += load.connect(&mut |work| work())?;
        }
        return Ok(load);
    }
    let mut load = Load::new(shape)?;
    load.open(&mut |work| work())?;
    match mode {
        BenchMode::Connect => {}
        BenchMode::Forward => {
            load.forward(&mut |work| work())?;
        }
        BenchMode::Open | BenchMode::Expire => {
            load.expire(&mut |work| work());
        }
        BenchMode::Toggle => {
            load.toggle(&mut |_, work| work())?;
        }
    }
    Ok(load)
}

/// One more round, of which the allocations are counted, and for a toggle the longest step.
fn finish(mode: BenchMode, load: &mut Load, work: &mut Work) -> Result<(), LoadError> {
    let mut allocations = 0;
    let mut counted = |work: &mut dyn FnMut()| {
        allocations += allocation_counter::measure(work).count_total;
    };
    work.allocated_for = match mode {
        BenchMode::Forward => load.forward(&mut counted)?,
        BenchMode::Open => load.open(&mut counted)?,
        BenchMode::Connect => {
            work.resting = Some(load.resting());
            load.connect(&mut counted)?
        }
        BenchMode::Expire => {
            load.open(&mut |work| work())?;
            load.expire(&mut counted)
        }
        BenchMode::Toggle => {
            let mut longest = Duration::ZERO;
            load.toggle_in_steps(&mut |part, work| {
                let start = Instant::now();
                work();
                if part == TogglePart::Step {
                    longest = longest.max(start.elapsed());
                }
            })?;
            if let Some(toggle) = &mut work.toggle {
                toggle.longest_step = longest;
            }
            load.toggle(&mut |part, work| {
                if part == TogglePart::Close { counted(work) } else { work() }
            })?
        }
    };
    work.allocations = allocations;
    Ok(())
}
