//! The answer as text that a person decides on.

use core::fmt::{self, Write as _};

use crate::report::{Group, Outcome, Report};

/// Rows of one kind that are printed before the rest is counted.
const MOST_ROWS: usize = 40;
const MOST_NOTES: usize = 12;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_changes(f)?;
        self.write_traffic(f)?;
        self.write_groups(f)?;
        self.write_consequences(f)?;
        self.write_steps(f)?;
        self.write_notes(f)
    }
}

impl Report {
    fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.changes.iter().map(crate::Changed::line).collect();
        match lines.as_slice() {
            [] => writeln!(f, "change      none that the model sees"),
            lines => list(f, "change", lines, MOST_ROWS),
        }
    }

    fn write_traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traffic = &self.traffic;
        let mut line = match traffic.sources.as_slice() {
            [] => format!("no file: {} tries of everything that is known", traffic.flows),
            sources => format!(
                "{}   {} tuples, {} flows, {} open at the end, {} refused lines left out",
                sources.join(" "),
                traffic.tuples,
                traffic.flows,
                traffic.open,
                traffic.denied
            ),
        };
        for (what, count) in &traffic.skipped {
            write!(line, ", {what} {count}")?;
        }
        writeln!(f, "traffic     {line}")
    }

    fn write_groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["flows", "from", "to", "next hop", "source seen", "access", "open now"];
        let mut table: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
        let (changed, same): (Vec<&Group>, Vec<&Group>) =
            self.groups.iter().partition(|group| group.different);
        for group in changed.iter().take(MOST_ROWS) {
            table.push(row(group));
            for account in &group.accounts {
                let turn = turn(account.before.unwrap_or("-"), account.after.unwrap_or("-"));
                let reason = account.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
                let empty = String::new;
                let name = format!("  if {}", account.resource);
                let access = shout(&turn) + &reason;
                table.push(vec![empty(), empty(), name, empty(), empty(), access, empty()]);
            }
        }
        if let Some(more) = changed.len().checked_sub(MOST_ROWS).filter(|more| *more > 0) {
            table.push(vec![String::new(), format!("and {more} rows more: -o json has all")]);
        }
        let flows: u64 = same.iter().map(|group| group.flows).sum();
        if flows > 0 {
            let as_before = ["others", "", "same", "same", "same", "-"].map(str::to_owned);
            table.push([vec![flows.to_string()], as_before.to_vec()].concat());
        }
        writeln!(f)?;
        columns(f, &table)?;
        writeln!(f)
    }

    fn write_consequences(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.dead_rules.iter().map(|dead| format!("{} {}", dead.resource, dead.rule));
        list(f, "dead rules", &rules.collect::<Vec<_>>(), MOST_ROWS)?;
        if self.traffic.closed > 0 {
            let causes =
                self.traffic.causes.iter().map(|(cause, count)| format!("{cause} {count}"));
            let causes: Vec<_> = causes.collect();
            let again: u64 = self.groups.iter().map(|group| group.reopened).sum();
            writeln!(
                f,
                "cut         {} of {} open connections ({}), {} resets; {again} open again at once",
                self.traffic.closed,
                self.traffic.open,
                causes.join(", "),
                self.traffic.resets
            )?;
        }
        let unopened = self.traffic.unopened.iter().map(|(why, count)| {
            format!("{count} flows could not be opened beforehand ({why}): whether the change cuts them is not known")
        });
        let unopened: Vec<String> = unopened.collect();
        list(f, "not open", &unopened, MOST_NOTES)?;
        let findings = self
            .findings
            .iter()
            .map(|finding| format!("{} flows: {}", finding.flows, finding.text));
        list(f, "note", &findings.collect::<Vec<_>>(), MOST_ROWS)
    }

    fn write_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.plan.stages.iter().enumerate().map(|(at, stage)| {
            let left = match stage.newly_refused {
                0 => "nothing is refused that was not".to_owned(),
                flows => format!("{flows} flows refused that were not"),
            };
            format!("{}. {}   ({left})", at + 1, stage.step)
        });
        if !self.steps.is_empty() {
            list(f, "steps", &stages.collect::<Vec<_>>(), MOST_ROWS)?;
        }
        let gaps = self.plan.gaps.iter().map(|gap| {
            format!("{} refuses {} flows of {} {}", gap.resource, gap.flows, gap.subnet, gap.why)
        });
        list(f, "gap", &gaps.collect::<Vec<_>>(), MOST_ROWS)?;
        let remaining = self.plan.remaining.iter().map(|left| {
            format!(
                "{} refuses {} flows of {}: {}",
                left.resource, left.flows, left.subnet, left.reason
            )
        });
        list(f, "no step", &remaining.collect::<Vec<_>>(), MOST_ROWS)
    }

    fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = |list: &[_]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
        list(f, "contradicts", &texts(&self.contradictions), MOST_NOTES)?;
        let unresolved: Vec<_> = self.unresolved.iter().map(ToString::to_string).collect();
        list(f, "unresolved", &unresolved, MOST_NOTES)?;
        let ignored: u64 =
            self.ignored.values().map(|count| u64::try_from(*count).unwrap_or(u64::MAX)).sum();
        if ignored > 0 {
            let types = self.ignored.len();
            writeln!(f, "ignored     {ignored} resources of {types} types that move no packets")?;
        }
        let assumed = self.assumptions.iter().map(|one| format!("{}: {}", one.code, one.text));
        list(f, "assuming", &assumed.collect::<Vec<_>>(), MOST_ROWS)
    }
}

fn row(group: &Group) -> Vec<String> {
    let (before, after) = (&group.before, &group.after);
    let destination = &group.destination;
    let mut to = match (&destination.resource, &destination.service) {
        (Some(resource), _) => resource.clone(),
        (None, Some(service)) => format!("{service}, account unknown"),
        (None, None) => destination.kind.to_owned(),
    };
    match (&destination.address, destination.port) {
        (Some(address), Some(port)) => _ = write!(to, "  {address}:{port}"),
        (Some(address), None) => _ = write!(to, "  {address}"),
        (None, Some(port)) => _ = write!(to, "  :{port}"),
        (None, None) => {}
    }
    if destination.protocol != "tcp" {
        _ = write!(to, " {}", destination.protocol);
    }
    let open = match (group.closed, group.reopened) {
        (0, _) => "-".to_owned(),
        (closed, again) if closed == again => format!("{closed} cut"),
        (closed, again) => format!("{closed} cut, {again} can reopen"),
    };
    vec![
        group.flows.to_string(),
        group.subnet.clone(),
        to,
        turn(&hop(before), &hop(after)),
        turn(&source(before), &source(after)),
        access(before, after),
        open,
    ]
}

/// `a > b`, or one of them where both are alike.
fn turn(before: &str, after: &str) -> String {
    if before == after { before.to_owned() } else { format!("{before} > {after}") }
}

/// Refusals in capitals, which no reader overlooks.
fn shout(text: &str) -> String {
    text.replace("deny", "DENY").replace("drop", "DROP")
}

fn hop(outcome: &Outcome) -> String {
    let name = outcome.next_hop.unwrap_or("-");
    match &outcome.next_hop_address {
        Some(address) => format!("{name} {address}"),
        None if name == "VirtualAppliance" => format!("{name} (address unknown)"),
        None => name.to_owned(),
    }
}

fn source(outcome: &Outcome) -> String {
    match (&outcome.source, outcome.source_kind) {
        (Some(source), _) => source.clone(),
        (None, Some("public-unknown")) => "a public address".to_owned(),
        (None, Some("unknown")) => "unknown".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

fn access(before: &Outcome, after: &Outcome) -> String {
    let word = |outcome: &Outcome| {
        let word = match outcome.disposition {
            "forward" => shout(outcome.access.unwrap_or("not asked")),
            gone => shout(gone),
        };
        match outcome.reason {
            Some(reason) => format!("{word} {reason}"),
            None => word,
        }
    };
    turn(&word(before), &word(after))
}

/// A label and lines behind it; nothing without lines.
fn list(f: &mut impl fmt::Write, label: &str, lines: &[String], most: usize) -> fmt::Result {
    let mut label = label;
    for line in lines.iter().take(most) {
        writeln!(f, "{label:<12}{line}")?;
        label = "";
    }
    match lines.len().checked_sub(most) {
        Some(more) if more > 0 => writeln!(f, "{:12}and {more} more: -o json has all", ""),
        _ => Ok(()),
    }
}

/// A table whose columns are as wide as their widest cell.
fn columns(f: &mut impl fmt::Write, table: &[Vec<String>]) -> fmt::Result {
    let mut widths: Vec<usize> = Vec::new();
    for (at, cell) in table.iter().flat_map(|row| row.iter().enumerate()) {
        let length = cell.chars().count();
        match widths.get_mut(at) {
            Some(width) => *width = length.max(*width),
            None => widths.push(length),
        }
    }
    for row in table {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Numbers stand to the right.
            match at {
                0 => write!(line, "  {cell:>width$}")?,
                _ => write!(line, "  {cell:<width$}")?,
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}
