//! A Sankey diagram as SVG: subnet, source seen, destination, how it fares; width by flows.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use super::page::{class, destination, verdict};
use super::timeline::escaped;
use crate::report::{Group, Outcome};

/// Rows that are drawn on their own; the rest is one ribbon a subnet.
const MOST_RIBBONS: usize = 60;
const WIDTH: f64 = 680.0;
const NODE: f64 = 10.0;
const GAP: f64 = 8.0;
/// The height of all flows together.
const HEIGHT: f64 = 300.0;
/// The thinnest ribbon that is still seen.
const THIN: f64 = 1.5;
const COLUMNS: usize = 4;

/// Which side is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

/// A ribbon through all columns.
struct Ribbon {
    nodes: [String; COLUMNS],
    class: &'static str,
    flows: u64,
}

/// Draws one side.
pub(super) fn draw(groups: &[Group], moment: Moment) -> String {
    let ribbons = ribbons(groups, moment);
    let all: u64 = ribbons.iter().map(|ribbon| ribbon.flows).sum();
    let scale = HEIGHT / (all.max(1) as f64);
    let thick = |flows: u64| (flows as f64 * scale).max(THIN);
    let mut columns: [BTreeMap<&str, f64>; COLUMNS] = Default::default();
    for ribbon in &ribbons {
        for (column, node) in columns.iter_mut().zip(&ribbon.nodes) {
            *column.entry(node).or_default() += thick(ribbon.flows);
        }
    }
    // Each node has its place, and below it how far its ribbons have come in and gone out.
    let mut places: Vec<BTreeMap<&str, (f64, f64)>> = Vec::new();
    let mut height: f64 = 0.0;
    for column in &columns {
        let mut y = 22.0;
        let mut own = BTreeMap::new();
        for (node, thickness) in column {
            own.insert(*node, (y, *thickness));
            y += thickness + GAP;
        }
        height = height.max(y);
        places.push(own);
    }
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"flows by subnet, source, \
         destination and outcome\">",
        height + 6.0
    );
    heads(&mut out);
    links(&mut out, &ribbons, &places, thick);
    for (number, column) in places.iter().enumerate() {
        nodes(&mut out, number, column);
    }
    out.push_str("</svg>");
    out
}

fn x(column: usize) -> f64 {
    column as f64 * (WIDTH - 160.0) / (COLUMNS - 1) as f64 + 2.0
}

fn heads(out: &mut String) {
    for (column, head) in ["subnet", "source seen", "destination", "outcome"].iter().enumerate() {
        let _ =
            write!(out, "<text x=\"{:.0}\" y=\"12\" font-weight=\"600\">{head}</text>", x(column));
    }
}

fn links(
    out: &mut String,
    ribbons: &[Ribbon],
    places: &[BTreeMap<&str, (f64, f64)>],
    thick: impl Fn(u64) -> f64,
) {
    for column in 0..COLUMNS - 1 {
        let ends = ends(ribbons, places, column, &thick);
        for (ribbon, (start, end)) in ribbons.iter().zip(ends) {
            let width = thick(ribbon.flows);
            let (left, right) = (x(column) + NODE, x(column + 1));
            let middle = (left + right) / 2.0;
            let _ = write!(
                out,
                "<path class=\"link {}\" stroke-width=\"{width:.1}\" d=\"M{left:.0} {start:.1} \
                 C{middle:.0} {start:.1} {middle:.0} {end:.1} {right:.0} {end:.1}\"><title>{}: {} \
                 flows</title></path>",
                ribbon.class,
                escaped(&ribbon.nodes.join(" / ")),
                ribbon.flows
            );
        }
    }
}

/// Where the ribbons leave one column and enter the next, so that those between two nodes do not
/// cross.
fn ends(
    ribbons: &[Ribbon],
    places: &[BTreeMap<&str, (f64, f64)>],
    column: usize,
    thick: &impl Fn(u64) -> f64,
) -> Vec<(f64, f64)> {
    let side = |own: usize, other: usize| -> Vec<f64> {
        let name = |ribbon: &Ribbon, at: usize| ribbon.nodes.get(at).cloned().unwrap_or_default();
        let mut order: Vec<usize> = (0..ribbons.len()).collect();
        order.sort_by_key(|at| ribbons.get(*at).map(|it| (name(it, own), name(it, other))));
        let mut used: BTreeMap<String, f64> = BTreeMap::new();
        let mut middles = vec![0.0; ribbons.len()];
        for at in order {
            let Some(ribbon) = ribbons.get(at) else { continue };
            let node = name(ribbon, own);
            let place = places.get(own).and_then(|column| column.get(node.as_str()));
            let top = place.map_or(0.0, |(y, _)| *y);
            let width = thick(ribbon.flows);
            let offset = used.entry(node).or_default();
            if let Some(middle) = middles.get_mut(at) {
                *middle = top + *offset + width / 2.0;
            }
            *offset += width;
        }
        middles
    };
    side(column, column + 1).into_iter().zip(side(column + 1, column)).collect()
}

fn nodes(out: &mut String, number: usize, column: &BTreeMap<&str, (f64, f64)>) {
    for (node, (y, thickness)) in column {
        let x = x(number);
        let _ = write!(
            out,
            "<rect class=\"node\" x=\"{x:.0}\" y=\"{y:.1}\" width=\"{NODE}\" \
             height=\"{thickness:.1}\"/><text x=\"{:.0}\" y=\"{:.1}\">{}</text>",
            x + NODE + 4.0,
            y + (thickness / 2.0).max(3.0) + 4.0,
            escaped(&shortened(node))
        );
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= 26 {
        return name.to_owned();
    }
    name.chars().take(25).chain(['…']).collect()
}

fn ribbons(groups: &[Group], moment: Moment) -> Vec<Ribbon> {
    let mut ribbons = Vec::new();
    let mut rest: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
    for (place, group) in groups.iter().enumerate() {
        let outcome = match moment {
            Moment::Before => &group.before,
            Moment::After => &group.after,
        };
        if place >= MOST_RIBBONS {
            *rest.entry((group.subnet.clone(), class(outcome))).or_default() += group.flows;
            continue;
        }
        let cut = if moment == Moment::After { group.closed.min(group.flows) } else { 0 };
        let mut add = |flows: u64, word: String, class| {
            if flows > 0 {
                let nodes = [group.subnet.clone(), source(outcome), destination(group), word];
                ribbons.push(Ribbon { nodes, class, flows });
            }
        };
        let word = words(outcome);
        // Refused flows stay refused, cut or not.
        match class(outcome) {
            "allow" => {
                add(cut, "cut, then as new".to_owned(), "cut");
                add(group.flows - cut, word, "allow");
            }
            class => add(group.flows, word, class),
        }
    }
    for ((subnet, class), flows) in rest {
        let other = || "others".to_owned();
        ribbons.push(Ribbon { nodes: [subnet, other(), other(), class.to_owned()], class, flows });
    }
    ribbons
}

fn words(outcome: &Outcome) -> String {
    match outcome.reason {
        Some(reason) => format!("{} {reason}", verdict(outcome)),
        None => verdict(outcome).to_owned(),
    }
}

fn source(outcome: &Outcome) -> String {
    match (&outcome.source, outcome.source_kind) {
        (Some(source), _) => source.clone(),
        (None, Some("public-unknown")) => "a public address".to_owned(),
        (None, Some(kind)) => kind.to_owned(),
        (None, None) => "none".to_owned(),
    }
}
