//! What a change does to the flows of one unit, in a form that travels between machines.
//!
//! A part holds flows that stand for many others. Whoever has all parts tries these few flows
//! again, which gives the same outcomes, and adds up what the parts counted.

use core::net::Ipv4Addr;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use vnetem::Settings;
use vnetem::packet::FiveTuple;

use crate::compare::{Progress, aim};
use crate::groups::{GroupKey, Groups, Row, Target};
use crate::live;
use crate::moved::Moved;
use crate::seen::Shared;
use crate::side::{Origin, Side, StandsFor};
use crate::spread::{Case, FlowId};
use crate::steps::Probe;
use crate::{Change, replay::Unit};

/// What a change does to the flows of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The unit.
    pub unit: Unit,
    pub(crate) flows: u64,
    /// Groups of flows that behave alike, each with one of them.
    pub(crate) rows: Vec<(Origined, Row)>,
    /// Flows by which more rules matched, or more choices of the model counted.
    pub(crate) witnesses: Vec<Origined>,
    /// Flows that fare differently, one for all source ports, with how many there are.
    pub(crate) tried: Vec<(Origined, u64)>,
    pub(crate) skipped: BTreeMap<Cow<'static, str>, u64>,
    pub(crate) open: u64,
    pub(crate) closed: u64,
    pub(crate) causes: BTreeMap<Cow<'static, str>, u64>,
    pub(crate) unopened: BTreeMap<Cow<'static, str>, u64>,
    pub(crate) resets: u64,
}

/// A flow with the number of its subnet, none for the internet.
pub(crate) type Origined = (Option<u32>, FlowId);

/// Flows between two reports of progress.
const OFTEN: usize = 1 << 12;

/// Both sides of a change, and what they know of flows that were tried.
pub(crate) struct Trial<'a> {
    pub(crate) before: Side<'a>,
    pub(crate) after: Side<'a>,
    pub(crate) shared: Shared,
    moved: Moved,
    targets: HashMap<(Origin, Ipv4Addr), Target, RandomState>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(change: &'a Change, stands_for: StandsFor<'a>) -> Self {
        let mut shared = Shared::default();
        let before = Side::new(&change.before, &change.first, stands_for, &mut shared);
        let after = Side::new(&change.after, &change.second, stands_for, &mut shared);
        let moved = Moved::new(&change.before, &change.after);
        Self { before, after, shared, moved, targets: HashMap::default() }
    }

    /// Tries a flow before and after.
    pub(crate) fn key(&mut self, origin: Origin, tuple: &FiveTuple) -> GroupKey {
        let destination = *tuple.destination.ip();
        let (before, after) = (&mut self.before, &mut self.after);
        let target = self.targets.entry((origin, destination));
        let target = *target.or_insert_with(|| aim(before, after, origin, tuple));
        GroupKey {
            origin,
            target,
            port: matches!(target, Target::Service(..)).then(|| tuple.destination.port()),
            protocol: tuple.protocol.0,
            before: before.judge(origin, tuple, &mut self.shared),
            after: after.judge(self.moved.origin(origin), tuple, &mut self.shared),
        }
    }

    /// How many rules matched and choices counted so far.
    fn seen(&self) -> usize {
        let of = |side: &Side<'_>| side.hits.len() + side.hinges.len();
        of(&self.before) + of(&self.after)
    }
}

/// Tries the flows of a unit. `settings` are those of its data plane.
pub(crate) fn part(
    change: &Change,
    unit: Unit,
    settings: Settings,
    mut cases: Vec<Case>,
    stands_for: StandsFor<'_>,
    progress: &dyn Fn(Progress),
) -> Part {
    // One flow stands in the logs of both its ends.
    cases.sort_unstable_by_key(|case| (case.origin, case.tuple));
    cases.dedup_by(|later, kept| {
        let same = (later.origin, later.tuple) == (kept.origin, kept.tuple);
        if same {
            kept.packets = kept.packets.max(later.packets);
            kept.bytes = kept.bytes.max(later.bytes);
            kept.open |= later.open;
        }
        same
    });
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut part = Part { unit, flows: count(cases.len()), ..Part::default() };
    let mut trial = Trial::new(change, stands_for);
    let mut groups = Groups::default();
    let mut samples: Vec<Origined> = Vec::new();
    let mut rows: Vec<u32> = Vec::with_capacity(cases.len());
    let mut tried: BTreeMap<Probe, (Origined, u64)> = BTreeMap::new();
    let mut seen = 0;
    for (done, case) in cases.iter().enumerate() {
        if done.is_multiple_of(OFTEN) {
            let (done, all) = (count(done), count(cases.len()));
            progress(Progress::new("flows tried before and after", done, all));
        }
        let flow = (case.origin.number(), FlowId::of(&case.tuple));
        let key = trial.key(case.origin, &case.tuple);
        let row = groups.add(key, &case.tuple, case.packets, case.bytes);
        rows.push(row);
        let is_new = usize::try_from(row).is_ok_and(|row| row == samples.len());
        if is_new {
            samples.push(flow);
        }
        let now = trial.seen();
        if now != core::mem::replace(&mut seen, now) && !is_new {
            part.witnesses.push(flow);
        }
        if key.is_different() {
            let probe = Probe::new(case.origin, &case.tuple, key.before);
            tried.entry(probe).or_insert((flow, 0)).1 += 1;
        }
    }
    part.tried = tried.into_values().collect();

    let open: Vec<(usize, &Case)> =
        cases.iter().enumerate().filter(|(_, case)| case.open).collect();
    let flows = open.iter().map(|(_, case)| {
        let source = *case.tuple.source.ip();
        let now = trial.after.edge(trial.moved.origin(case.origin), source);
        (trial.before.edge(case.origin, source), now, case.tuple)
    });
    let flows: Vec<_> = flows.collect();
    progress(Progress::new("open flows switched", 0, count(flows.len())));
    let fares = live::switch(change, settings, &flows);
    for ((at, _), fared) in open.iter().zip(&fares.flows) {
        if let Some(row) = rows.get(*at) {
            groups.fared(*row, *fared);
        }
    }
    let owned = |map: BTreeMap<&'static str, u64>| {
        map.into_iter().map(|(name, count)| (name.into(), count)).collect()
    };
    part.open = count(open.len());
    part.closed = fares.flows.iter().map(|fared| u64::from(fared.closed)).sum();
    (part.causes, part.unopened) = (owned(fares.causes), owned(fares.unopened));
    part.resets = fares.resets;
    part.rows = samples.into_iter().zip(groups.into_rows()).collect();
    part
}

/// Tries again what the parts hold, and adds up what they counted.
pub(crate) fn merge(parts: &[Part], trial: &mut Trial<'_>) -> (Groups, BTreeMap<Probe, u64>) {
    let mut groups = Groups::default();
    let mut tried = BTreeMap::new();
    for part in parts {
        for ((origin, flow), row) in &part.rows {
            let key = trial.key(Origin::of_number(*origin), &flow.tuple());
            groups.add_row(key, row);
        }
        for (origin, flow) in &part.witnesses {
            _ = trial.key(Origin::of_number(*origin), &flow.tuple());
        }
    }
    for ((origin, flow), count) in parts.iter().flat_map(|part| &part.tried) {
        let origin = Origin::of_number(*origin);
        let key = trial.key(origin, &flow.tuple());
        *tried.entry(Probe::new(origin, &flow.tuple(), key.before)).or_default() += count;
    }
    (groups, tried)
}

/// Adds counts by name.
pub(crate) fn add_all(
    sums: &mut BTreeMap<Cow<'static, str>, u64>,
    more: &BTreeMap<Cow<'static, str>, u64>,
) {
    for (name, count) in more {
        *sums.entry(name.clone()).or_default() += count;
    }
}
