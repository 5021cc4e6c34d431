//! What to do in which order, run before it is said.

use core::net::SocketAddrV4;
use std::collections::{BTreeMap, BTreeSet};

use vnetem::packet::FiveTuple;
use vnetem::{
    Network, ResourceId,
    control::{EndpointFirst, MissingEndpoint},
};

use crate::Change;
use crate::change::subnet_name;
use crate::groups::{is_worse, newly_refused};
use crate::moved::Moved;
use crate::report::{Gap, Plan, Remaining, Stage};
use crate::rules;
use crate::seen::{Delivery, Need, Seen, Shared};
use crate::side::{Origin, Side, StandsFor};

/// Batches of rules that are run one by one.
const MOST_RUNS: usize = 16;

/// Rules that a step names one by one.
const MOST_SHOWN: usize = 4;

/// A flow that fares differently, without its source port, and how it fares as things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Probe {
    origin: Origin,
    tuple: FiveTuple,
    before: Seen,
}

impl Probe {
    pub(crate) fn new(origin: Origin, tuple: &FiveTuple, before: Seen) -> Self {
        let mut tuple = *tuple;
        tuple.source = SocketAddrV4::new(*tuple.source.ip(), 50_000);
        Self { origin, tuple, before }
    }
}

/// A refusal that one stage adds: the service, the caller, what would help, and how often.
#[derive(Debug, Default)]
struct Refused {
    flows: u64,
    by: BTreeMap<(ResourceId, Origin, Need), (u64, &'static str)>,
    /// What the network itself does not carry, by reason.
    lost: BTreeMap<(Origin, &'static str), u64>,
}

/// Runs stages of a change.
struct Runner<'a> {
    change: &'a Change,
    tried: &'a BTreeMap<Probe, u64>,
    stands_for: StandsFor<'a>,
}

impl Runner<'_> {
    fn run(&self, network: &Network, shared: &mut Shared) -> Refused {
        let mut copy = network.clone();
        let snapshot = copy.commit();
        let mut side = Side::new(network, &snapshot, self.stands_for, shared);
        let mut refused = Refused::default();
        let moved = Moved::new(&self.change.before, network);
        for (probe, flows) in self.tried {
            let origin = moved.origin(probe.origin);
            // A subnet that is not there yet sends nothing.
            if let Origin::Subnet(id) = origin
                && network.subnet(id).is_err()
            {
                continue;
            }
            let seen = side.judge(origin, &probe.tuple, shared);
            if !is_worse(&probe.before, &seen, shared) {
                continue;
            }
            refused.flows += flows;
            if seen.disposition != Delivery::Forward {
                let reason = seen.reason.unwrap_or("unknown");
                *refused.lost.entry((probe.origin, reason)).or_default() += flows;
            }
            for answer in newly_refused(&probe.before, &seen, shared) {
                let need = answer.need.unwrap_or(Need::Other("unknown"));
                let key = (answer.resource, probe.origin, need);
                let entry = refused.by.entry(key);
                entry.or_insert((0, answer.reason.unwrap_or("unknown"))).0 += flows;
            }
        }
        refused
    }

    /// The network behind the change with the firewalls that resources have in another one.
    fn with_rules_of(&self, other: &Network) -> Network {
        let mut network = self.change.after.clone();
        for (id, resource) in other.resources() {
            // A rule that the service would not take now is there since before the change.
            _ = network.set_rules_with(id, resource.rules.clone(), MissingEndpoint::Ignore);
        }
        network
    }
}

/// Suggests steps, and says how they came out.
pub(crate) fn plan(
    change: &Change,
    tried: &BTreeMap<Probe, u64>,
    stands_for: StandsFor<'_>,
    shared: &mut Shared,
    before: &Side<'_>,
    after: &Side<'_>,
) -> (Vec<String>, Plan) {
    let runner = Runner { change, tried, stands_for };
    let mut plan = Plan::default();
    if tried.is_empty() {
        return (Vec::new(), plan);
    }
    let alone = runner.run(&change.after, shared);
    // The network changes first: an account's rule for a subnet is written after the subnet.
    let middle = runner.run(&runner.with_rules_of(&change.before), shared);
    plan.refused_without = alone.flows;
    let needs: BTreeSet<(ResourceId, Need)> =
        alone.by.keys().chain(middle.by.keys()).map(|(id, _, need)| (*id, *need)).collect();
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for (id, need) in needs {
        let is_needed = alone.by.keys().any(|(other, _, held)| (*other, *held) == (id, need));
        match (need, takes_before(change, id, need)) {
            (Need::Other(_), _) => {}
            (Need::Address(address), _) if stands_for(address).is_some() => {}
            (_, true) => early.push((id, need)),
            (_, false) if is_needed => late.push((id, need)),
            (_, false) => {}
        }
    }
    let mut stages = Vec::new();
    let mut steps: Vec<String> = Vec::new();
    let mut network = change.before.clone();
    for batch in batches(&early) {
        let done = add_all(change, &mut network, batch, true);
        let newly_refused = runner.run(&network, shared).flows;
        stages.extend(stage(&done, newly_refused));
        steps.extend(done);
    }
    let switched = runner.with_rules_of(&network);
    let during = runner.run(&switched, shared);
    let mut last = change.after.clone();
    for (id, need) in &early {
        add(&mut last, *id, *need);
    }
    let rules_change = change.after.resources().any(|(id, resource)| {
        change.before.resource(id).is_ok_and(|old| old.rules != resource.rules)
    });
    let mut end = runner.run(&last, shared);
    steps.push("apply the change".to_owned());
    if rules_change && during.flows != end.flows {
        let step = "apply the change: the network first".to_owned();
        stages.push(Stage { step, newly_refused: during.flows });
        let step = "apply the change: the rules of resources".to_owned();
        stages.push(Stage { step, newly_refused: end.flows });
    } else {
        stages.push(Stage { step: "apply the change".to_owned(), newly_refused: end.flows });
    }
    for batch in batches(&late) {
        let done = add_all(change, &mut last, batch, false);
        end = runner.run(&last, shared);
        stages.extend(stage(&done, end.flows));
        steps.extend(done);
    }
    gaps(change, &during, &end, &mut plan);
    remaining(before, after, &end, &mut plan);
    plan.stages = stages;
    if steps.len() == 1 {
        steps.clear();
    }
    (steps, plan)
}

/// Parts a list of rules into a few batches, each of whole resources, since every batch is run.
fn batches(rules: &[(ResourceId, Need)]) -> Vec<&[(ResourceId, Need)]> {
    let by_resource: Vec<_> = rules.chunk_by(|one, other| one.0 == other.0).collect();
    if by_resource.len() <= MOST_RUNS {
        return by_resource;
    }
    vec![rules]
}

/// Adds the rules of a batch, and says it in steps.
fn add_all(
    change: &Change,
    network: &mut Network,
    batch: &[(ResourceId, Need)],
    early: bool,
) -> Vec<String> {
    let mut done = Vec::new();
    for (id, need) in batch {
        let there = network.resource(*id).is_ok_and(|held| rules::has(&held.rules, *need));
        if there || add(network, *id, *need) {
            let step = step(change, *id, *need, early, there);
            // A subnet of several ranges is one to Azure.
            if !done.contains(&step) {
                done.push(step);
            }
        }
    }
    done
}

/// The stage of a batch; none of an empty one.
fn stage(done: &[String], newly_refused: u64) -> Option<Stage> {
    let step = match done {
        [] => return None,
        few if few.len() <= MOST_SHOWN => few.join("; "),
        [first, more @ ..] => format!("{first}, and {} more rules", more.len()),
    };
    Some(Stage { step, newly_refused })
}

/// Whether a resource takes a rule before the change, by what the network says to it (E-14).
fn takes_before(change: &Change, id: ResourceId, need: Need) -> bool {
    let Ok(resource) = change.before.resource(id) else { return false };
    match need {
        Need::Subnet(subnet) => {
            let ignore = MissingEndpoint::Ignore;
            change.before.subnet(subnet).is_ok()
                && change.before.check_rule(resource.service, subnet, ignore).is_ok()
        }
        Need::Address(_) => true,
        Need::Other(_) => false,
    }
}

fn add(network: &mut Network, id: ResourceId, need: Need) -> bool {
    let Ok(resource) = network.resource(id) else { return false };
    let Some(changed) = rules::with(&resource.rules, need) else { return false };
    network.set_rules_with(id, changed, MissingEndpoint::Ignore).is_ok()
}

fn step(change: &Change, id: ResourceId, need: Need, early: bool, there: bool) -> String {
    let held = change.after.resource(id).or_else(|_| change.before.resource(id)).ok();
    let name = held.map_or_else(|| id.to_string(), |resource| resource.name.clone());
    let subnet = |id| {
        let network = if change.before.subnet(id).is_ok() { &change.before } else { &change.after };
        azure_subnet(&subnet_name(network, id))
    };
    match need {
        Need::Subnet(of) => {
            let asked = held.and_then(|resource| change.before.service(resource.service).ok());
            let flag = asked.map(|service| service.endpoint_first);
            let has = change.before.subnet(of).is_ok_and(|subnet| {
                held.is_some_and(|resource| subnet.endpoints.contains_key(&resource.service))
            });
            let flag = match flag {
                Some(EndpointFirst::UnlessIgnored) if early && !has => {
                    " with ignoreMissingVnetServiceEndpoint"
                }
                _ => "",
            };
            match there {
                true => format!("keep virtual network rule {} of {name}", subnet(of)),
                false => format!("add virtual network rule {} to {name}{flag}", subnet(of)),
            }
        }
        Need::Address(address) if there => format!("keep the ip rule of {name} for {address}"),
        Need::Address(address) => format!("add ip rule {address} to {name}"),
        Need::Other(reason) => format!("let in what {name} refuses: {reason}"),
    }
}

/// The name of a subnet as Azure has it: a subnet of several ranges is several in the model.
pub(crate) fn azure_subnet(name: &str) -> String {
    name.split('#').next().unwrap_or(name).to_owned()
}

/// What is refused while the change is under way and not at the end.
fn gaps(change: &Change, during: &Refused, end: &Refused, plan: &mut Plan) {
    let mut found: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for ((id, origin, need), (flows, _)) in &during.by {
        let still = end.by.keys().any(|(other, from, _)| (other, from) == (id, origin));
        let Ok(resource) = change.after.resource(*id) else { continue };
        if still {
            continue;
        }
        let service = change.after.service(resource.service);
        let name = service.map_or_else(|_| "the service".to_owned(), |one| one.name.clone());
        let why = match need {
            Need::Subnet(_) => format!(
                "from the switch until the rule is in force: {name} takes a rule for a subnet only \
                 when the subnet has the endpoint (E-14). Keep the address rule until then, add the \
                 subnet rule at once, and let clients retry"
            ),
            _ => "from the change of the network until the rules of the resource have changed too"
                .to_owned(),
        };
        let origin = origin_name(change, *origin);
        *found.entry((resource.name.clone(), origin, why)).or_default() += flows;
    }
    plan.gaps = found
        .into_iter()
        .map(|((resource, subnet, why), flows)| Gap { resource, subnet, flows, why })
        .collect();
}

fn remaining(before: &Side<'_>, after: &Side<'_>, end: &Refused, plan: &mut Plan) {
    let mut found: BTreeMap<(String, String, &'static str), u64> = BTreeMap::new();
    let origin = |origin: Origin| match origin {
        Origin::Internet => "internet".to_owned(),
        Origin::Subnet(id) if before.network.subnet(id).is_ok() => subnet_name(before.network, id),
        Origin::Subnet(id) => subnet_name(after.network, id),
    };
    for ((id, from, _), (flows, reason)) in &end.by {
        let name = after.network.resource(*id).map(|resource| resource.name.clone());
        let name = name.unwrap_or_else(|_| id.to_string());
        *found.entry((name, origin(*from), reason)).or_default() += flows;
    }
    for ((from, reason), flows) in &end.lost {
        *found.entry(("the network".to_owned(), origin(*from), reason)).or_default() += flows;
    }
    plan.remaining = found
        .into_iter()
        .map(|((resource, subnet, reason), flows)| Remaining { resource, subnet, reason, flows })
        .collect();
}

fn origin_name(change: &Change, origin: Origin) -> String {
    match origin {
        Origin::Internet => "internet".to_owned(),
        Origin::Subnet(id) if change.before.subnet(id).is_ok() => subnet_name(&change.before, id),
        Origin::Subnet(id) => subnet_name(&change.after, id),
    }
}
