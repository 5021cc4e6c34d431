//! `vnetem bench`: what the data plane costs on this machine.

mod commit;
mod measure;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use serde_json::{Value, json};
use vnetem::Protocol;
use vnetem_load::{FrameSize, Shape};

use crate::arguments::{Bench, BenchMode, BenchProtocol, BenchWord, Common, Output, Switch};
use crate::{Answer, Failure};
use measure::{Measured, measure};

/// One line of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    mode: BenchMode,
    shape: Shape,
    cores: u8,
}

pub(crate) fn bench(common: &Common, asked: &Bench) -> Result<Answer, Failure> {
    let modes: Vec<BenchMode> = asked.modes.iter().filter_map(|mode| mode.of_packets()).collect();
    let points = if modes.is_empty() { Vec::new() } else { points(common, asked, &modes)? };
    let mut rows = Vec::new();
    for (point, n) in points.iter().zip(1..) {
        progress(&format!("{n} of {}: {}", points.len(), point.words()));
        let measured = measure(point.mode, point.shape, point.cores, asked.duration);
        progress("");
        rows.push((*point, measured?));
    }
    let mut commits = Vec::new();
    if asked.modes.contains(&BenchWord::Commit) {
        commits = commit::measure(asked, &|vnets, routes| {
            progress(&format!("commit, vnets {vnets}, routes {routes}"));
        })?;
        progress("");
    }
    let text = match common.output {
        Output::Text => {
            let packets = if rows.is_empty() { String::new() } else { table(&rows) };
            let commits = if commits.is_empty() { String::new() } else { commit::table(&commits) };
            packets + &commits
        }
        Output::Json => json(&rows, &commits),
    };
    Ok(Answer { text, notes: Vec::new(), good: true })
}

/// Every combination that means something, in the order of the lists.
fn points(common: &Common, asked: &Bench, modes: &[BenchMode]) -> Result<Vec<Point>, Failure> {
    let shape = Shape { seed: common.seed.unwrap_or(1), ..Shape::default() };
    let first = Point { mode: BenchMode::Forward, shape, cores: 1 };
    let all = each(vec![first], modes, |point, mode| point.mode = mode);
    let all = each(all, &asked.protocol, |point, protocol| {
        point.shape.protocol = match protocol {
            BenchProtocol::Tcp => Protocol::TCP,
            BenchProtocol::Udp => Protocol::UDP,
        };
    });
    let all = each(all, &asked.sizes, |point, size| point.shape.size = size);
    let all = each(all, &asked.flows, |point, flows| {
        point.shape.flows = flows;
        // One at least, or a toggle would have nothing to close.
        point.shape.affected = asked.affected.unwrap_or((flows / 64).max(1)).min(flows);
    });
    let all = each(all, &asked.routes, |point, routes| point.shape.routes = routes);
    let all = each(all, &asked.endpoint, |point, on| point.shape.endpoint = on == Switch::On);
    let all = each(all, &asked.batch, |point, batch| point.shape.batch = batch);
    let all = each(all, &asked.cores, |point, cores| point.cores = cores);
    let mut points: Vec<Point> = Vec::new();
    for point in all.into_iter().map(Point::plain).filter(Point::is_possible) {
        if !points.contains(&point) {
            points.push(point);
        }
    }
    if points.is_empty() {
        return Err("nothing to measure: an endpoint carries only TCP, and only TCP flows are closed by a toggle or connect".into());
    }
    Ok(points)
}

/// Each of the points with each of the values.
fn each<T: Copy>(points: Vec<Point>, values: &[T], set: impl Fn(&mut Point, T)) -> Vec<Point> {
    let with = |mut point: Point, value| {
        set(&mut point, value);
        point
    };
    points
        .into_iter()
        .flat_map(|point| values.iter().map(move |&value| (point, value)))
        .map(|(point, value)| with(point, value))
        .collect()
}

impl Point {
    /// Without what makes no difference.
    fn plain(mut self) -> Self {
        if self.mode != BenchMode::Forward {
            self.shape.size = FrameSize::Bytes(64);
        }
        if self.mode == BenchMode::Connect {
            self.shape.affected = 0;
        }
        if matches!(self.mode, BenchMode::Toggle | BenchMode::Expire) {
            self.shape.batch = 32;
        }
        self
    }

    fn is_possible(&self) -> bool {
        let tcp = self.shape.protocol == Protocol::TCP;
        let udp = !matches!(self.mode, BenchMode::Toggle | BenchMode::Connect);
        tcp || !self.shape.endpoint && udp
    }

    /// Name, then value, of all that was asked for.
    fn cells(&self) -> [(&'static str, Value); 8] {
        let Shape { size, protocol, flows, routes, endpoint, batch, .. } = self.shape;
        [
            ("mode", json!(self.mode_name())),
            ("protocol", json!(if protocol == Protocol::TCP { "tcp" } else { "udp" })),
            (
                "size",
                match size {
                    FrameSize::Bytes(bytes) => json!(bytes),
                    FrameSize::Imix => json!("imix"),
                },
            ),
            ("flows", json!(flows)),
            ("routes", json!(routes)),
            ("endpoint", json!(endpoint)),
            ("batch", json!(batch)),
            ("cores", json!(self.cores)),
        ]
    }

    fn mode_name(&self) -> &'static str {
        match self.mode {
            BenchMode::Forward => "forward",
            BenchMode::Open => "open",
            BenchMode::Toggle => "toggle",
            BenchMode::Expire => "expire",
            BenchMode::Connect => "connect",
        }
    }

    fn words(&self) -> String {
        let words = self.cells().map(|(name, value)| match value {
            Value::String(word) => word,
            value => format!("{name} {value}"),
        });
        words.join(", ")
    }
}

/// A line that stands while something is measured, where somebody looks.
fn progress(line: &str) {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        // Back to the beginning, and clear what stood there.
        let _ = write!(error, "\r\x1b[K{line}");
        let _ = error.flush();
    }
}

fn table(rows: &[(Point, Measured)]) -> String {
    let title = ["mode", "proto", "size", "flows", "routes", "endpoint", "batch", "cores"];
    let measured = ["Mpps", "Gb/s", "ns", "allocs"];
    let mut lines = vec![title.into_iter().chain(measured).map(str::to_owned).collect::<Vec<_>>()];
    for (point, measured) in rows {
        let asked = point.cells().map(|(name, value)| match (name, value) {
            ("endpoint", value) => (if value == true { "on" } else { "off" }).to_owned(),
            ("flows" | "routes", value) => short(value.as_u64().unwrap_or(0)),
            (_, Value::String(word)) => word,
            (_, value) => value.to_string(),
        });
        let gigabits = match point.mode {
            BenchMode::Forward => {
                format!("{:.2}", measured.million_a_second() * point.shape.size.mean() * 8.0 / 1e3)
            }
            _ => "-".to_owned(),
        };
        let of_row = [
            format!("{:.2}", measured.million_a_second()),
            gigabits,
            format!("{:.1}", measured.nanoseconds),
            format!("{:.2}", measured.allocations),
        ];
        lines.push(asked.into_iter().chain(of_row).collect());
    }
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let width = lines.iter().filter_map(|line| line.get(column)).map(String::len).max();
            let _ = write!(text, "{cell:>width$}  ", width = width.unwrap_or(0));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str("Mpps: millions of packets (open, toggle, expire: of flows; connect: of connections) a second, all cores. ns: median for one, on each core.\n");
    for (point, measured) in rows {
        if let Some(resting) = measured.resting {
            let flows = short(point.shape.flows.into());
            let _ =
                writeln!(text, "connect over {flows}: {resting} tuples in hold-down at the end");
        }
        if let Some(toggle) = measured.toggle {
            let _ = writeln!(
                text,
                "toggle of {} in {} flows: compiled in {:?}, applied in {:?}, longest step {:?}",
                short(point.shape.affected.into()),
                short(point.shape.flows.into()),
                toggle.commit,
                toggle.apply,
                toggle.longest_step
            );
        }
    }
    text
}

fn json(rows: &[(Point, Measured)], commits: &[commit::Row]) -> String {
    let rows = rows.iter().map(|(point, measured)| {
        let mut row: serde_json::Map<String, Value> =
            point.cells().map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        row.insert("affected".to_owned(), json!(point.shape.affected));
        row.insert("count".to_owned(), json!(measured.count));
        row.insert("millionPerSecond".to_owned(), json!(measured.million_a_second()));
        row.insert("nanoseconds".to_owned(), json!(measured.nanoseconds));
        row.insert("allocations".to_owned(), json!(measured.allocations));
        if let Some(resting) = measured.resting {
            row.insert("resting".to_owned(), json!(resting));
        }
        if let Some(toggle) = measured.toggle {
            row.insert("commitNanoseconds".to_owned(), nanoseconds(toggle.commit));
            row.insert("applyNanoseconds".to_owned(), nanoseconds(toggle.apply));
            row.insert("longestStepNanoseconds".to_owned(), nanoseconds(toggle.longest_step));
        }
        Value::Object(row)
    });
    let answer = json!({
        "schema": "vnetem/1",
        "version": env!("CARGO_PKG_VERSION"),
        "rows": rows.chain(commit::json(commits)).collect::<Vec<_>>(),
    });
    format!("{answer:#}\n")
}

fn nanoseconds(duration: std::time::Duration) -> Value {
    json!(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// A number as one would ask for it.
fn short(number: u64) -> String {
    match number {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n >= 1_000 && n % 1_000 == 0 => format!("{}k", n / 1_000),
        n => n.to_string(),
    }
}
