//! `vnetem bench commit`: what an edit, its commit and its apply cost, by the size of the network.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vnetem_load::{Estate, EstatePart};

use super::{nanoseconds, short};
use crate::Failure;
use crate::arguments::Bench;

/// What one size of network cost.
pub(super) struct Row {
    vnets: u32,
    routes: u32,
    build: Duration,
    first_commit: Duration,
    /// Medians over all rounds.
    toggle: Duration,
    bulk_edit: Duration,
}

/// Measures every combination of the lists.
pub(super) fn measure(asked: &Bench, seen: &dyn Fn(u32, u32)) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for &vnets in &asked.vnets {
        for &routes in &asked.routes {
            seen(vnets, routes);
            rows.push(row(vnets, routes, asked.duration)?);
        }
    }
    Ok(rows)
}

fn row(vnets: u32, routes: u32, duration: Duration) -> Result<Row, Failure> {
    let (mut build, mut first_commit) = (Duration::ZERO, Duration::ZERO);
    let mut estate = Estate::new(vnets, routes, &mut |part, work| {
        let start = Instant::now();
        work();
        match part {
            EstatePart::Build => build = start.elapsed(),
            EstatePart::FirstCommit => first_commit = start.elapsed(),
        }
    })?;
    let mut spent = [Vec::new(), Vec::new()];
    let begin = Instant::now();
    // Both in turns, so that what disturbs the machine disturbs both.
    while spent[0].is_empty() || begin.elapsed() < duration {
        for (bulk, spent) in [false, true].into_iter().zip(&mut spent) {
            let mut clock = |work: &mut dyn FnMut()| {
                let start = Instant::now();
                work();
                spent.push(start.elapsed());
            };
            match bulk {
                false => estate.toggle(&mut clock)?,
                true => estate.bulk_edit(&mut clock)?,
            }
        }
    }
    let [toggle, bulk_edit] = spent.map(|mut times| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    });
    Ok(Row { vnets, routes, build, first_commit, toggle, bulk_edit })
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let title = ["vnets", "routes", "build", "first commit", "toggle", "bulk edit"];
    let cells = rows.iter().map(|row| {
        let times = [row.build, row.first_commit, row.toggle, row.bulk_edit];
        let [build, first_commit, toggle, bulk_edit] = times.map(|time| format!("{time:.1?}"));
        let [vnets, routes] = [row.vnets, row.routes].map(|number| short(number.into()));
        [vnets, routes, build, first_commit, toggle, bulk_edit]
    });
    for [vnets, routes, build, first, toggle, bulk] in
        core::iter::once(title.map(str::to_owned)).chain(cells)
    {
        let _ = writeln!(
            text,
            "{vnets:>7}  {routes:>7}  {build:>9}  {first:>12}  {toggle:>8}  {bulk:>9}"
        );
    }
    text.push_str(
        "Two subnets a vnet. toggle: one endpoint, with commit and apply; bulk edit: the same by \
         Network::edit. Medians.\n",
    );
    text
}

pub(super) fn json(rows: &[Row]) -> impl Iterator<Item = Value> + '_ {
    rows.iter().map(|row| {
        json!({
            "mode": "commit",
            "vnets": row.vnets,
            "routes": row.routes,
            "buildNanoseconds": nanoseconds(row.build),
            "firstCommitNanoseconds": nanoseconds(row.first_commit),
            "toggleNanoseconds": nanoseconds(row.toggle),
            "bulkEditNanoseconds": nanoseconds(row.bulk_edit),
        })
    })
}
