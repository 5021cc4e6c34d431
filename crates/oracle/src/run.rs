//! Runs the same packets through both, and sums up the results.

use core::fmt;
use std::collections::{BTreeMap, VecDeque};

use vnetem_nat::Side;

use crate::conversation::Key;
use crate::packet::show;
use crate::{
    Chosen, Exchange, Failure, Kernel, Ours, PortRule, Ports, Recording, Tracking, Traffic,
    compare, directed,
};

/// The results of a run. Every number but the differences should be large.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Packets that were compared.
    pub packets: u64,
    /// Packets that Linux forwarded.
    pub passed: u64,
    /// Packets that Linux answered itself.
    pub answered: u64,
    /// Packets that Linux dropped silently.
    pub swallowed: u64,
    /// Flows that vnetem opened.
    pub opened: u64,
    /// Packets that came out of Linux late.
    pub late: u64,
    /// Runs that ended early, because Linux gave the identifier 0.
    pub cut_short: u64,
    /// Intended differences.
    pub chosen: BTreeMap<Chosen, u64>,
    /// The rules of Linux's choice of ports, with their counts.
    pub ports: BTreeMap<PortRule, u64>,
    /// Differences that are not intended, in words.
    pub differences: Vec<String>,
    /// What the kernel did, if it was to be recorded.
    pub recording: Recording,
}

/// The number of differences after which a run stops.
const SHOWN: usize = 10;

/// Packets between two looks for late ones.
const PATIENCE: u64 = 1000;

/// Sends the [`directed`] packets and then `packets` random ones through a kernel in a new
/// namespace and through vnetem.
///
/// # Errors
///
/// Something cannot be done, or there are too many differences.
pub fn run(seed: u64, packets: u64, record: bool) -> Result<Summary, Failure> {
    let mut kernel = Kernel::start(Tracking::Liberal)?;
    let mut ours = Ours::liberal()?;
    let mut traffic = Traffic::new(seed);
    let mut ports = Ports::default();
    let mut summary = Summary::default();
    let mut history = History::default();
    let directed = directed();
    let first = u64::try_from(directed.len())?;
    let mut directed = directed.into_iter();
    for step in 0..first + packets {
        let (from, sent) = directed.next().unwrap_or_else(|| traffic.packet());
        let emitted = kernel.send(from, &sent);
        let exchange = Exchange { from, sent, emitted };
        let port = exchange.port();
        // Linux may give an ICMP query the identifier 0, once in 65,536. A pool in vnetem begins at
        // 1, so all that follows would differ.
        if port == Some(0) {
            summary.cut_short += 1;
            break;
        }
        let Exchange { sent, emitted, .. } = &exchange;
        summary.packets += 1;
        let through = emitted.iter().find(|one| one.to != from);
        match (through, emitted.is_empty()) {
            (Some(_), _) => summary.passed += 1,
            (None, false) => summary.answered += 1,
            (None, true) => summary.swallowed += 1,
        }
        if let Some(arrived) = through.filter(|_| port.is_some()) {
            ports.see(sent, &arrived.bytes);
        }
        let (verdict, answer) = ours.send(from, sent, port);
        match compare(from, sent, emitted, &answer, verdict) {
            Ok(None) => {}
            Ok(Some(chosen)) => *summary.chosen.entry(chosen).or_default() += 1,
            Err(difference) if summary.differences.len() < SHOWN => {
                let before = history.of(traffic.flow(from, sent));
                summary
                    .differences
                    .push(format!("seed {seed}, packet {step}, {difference}{before}"));
            }
            Err(_) => return Err(format!("{SHOWN} differences: {summary}").into()),
        }
        history.see(traffic.flow(from, sent), from, sent, !emitted.is_empty());
        traffic.see(from, sent, emitted);
        if record {
            summary.recording.0.push(exchange);
        }
        if step % PATIENCE == 0 {
            summary.late += u64::try_from(kernel.late().len())?;
        }
    }
    summary.late += u64::try_from(kernel.late().len())?;
    summary.opened = ours.plane().flow_counters().opened;
    summary.ports = ports.rules().clone();
    Ok(summary)
}

impl Summary {
    /// Adds the results of another run.
    pub fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.passed += other.passed;
        self.answered += other.answered;
        self.swallowed += other.swallowed;
        self.opened += other.opened;
        self.late += other.late;
        self.cut_short += other.cut_short;
        self.differences.extend(other.differences);
        other.chosen.iter().for_each(|(chosen, n)| *self.chosen.entry(*chosen).or_default() += n);
        other.ports.iter().for_each(|(rule, n)| *self.ports.entry(*rule).or_default() += n);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} packets: {} passed, {} answered, {} swallowed, {} late, {} runs cut short; {} flows opened; ports {:?}; chosen differences {:?}",
            self.packets,
            self.passed,
            self.answered,
            self.swallowed,
            self.late,
            self.cut_short,
            self.opened,
            self.ports,
            self.chosen
        )?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n{difference}"))
    }
}

/// The last packets of each flow, to be shown when something differs.
#[derive(Default)]
struct History(BTreeMap<Key, VecDeque<String>>);

impl History {
    fn see(&mut self, flow: Key, from: Side, sent: &[u8], passed: bool) {
        let of_flow = self.0.entry(flow).or_default();
        let passed = if passed { "" } else { "  (nothing came out)" };
        of_flow.push_back(format!("{from:?}: {}{passed}", show(sent)));
        if of_flow.len() > 30 {
            of_flow.pop_front();
        }
    }

    fn of(&self, flow: Key) -> String {
        let lines = self.0.get(&flow).into_iter().flatten();
        lines.map(|line| format!("\n    before: {line}")).collect()
    }
}
