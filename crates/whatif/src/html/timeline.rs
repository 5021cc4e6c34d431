//! Flows around a change: a row for each, a line where the change came.

use core::fmt::Write as _;
use std::collections::HashMap;

use maud::{PreEscaped, html};
use vnetem::packet::FiveTuple;

use super::page::page;

/// Flows that get a row; the rest is counted.
const MOST_ROWS: usize = 400;
const WIDTH: f64 = 900.0;
const ROW: f64 = 14.0;
const LABEL: f64 = 330.0;

/// Flows over time, for a page.
///
/// ```
/// use vnetem_whatif::Timeline;
///
/// let tuple = vnetem::FiveTuple {
///     protocol: vnetem::Protocol::TCP,
///     source: "10.0.0.4:50000".parse()?,
///     destination: "20.60.0.4:443".parse()?,
/// };
/// let mut timeline = Timeline::default();
/// timeline.seen(&tuple, 0, "52.160.0.9", true);
/// timeline.change(1_000, "enable");
/// timeline.cut(&tuple, 1_000);
/// assert!(timeline.html("replay").contains("cut by the change"));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    rows: Vec<Row>,
    numbers: HashMap<FiveTuple, usize>,
    changes: Vec<(u64, String)>,
    more: u64,
    last: u64,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    /// Parts of one source each: from, to, source, whether that is translated.
    parts: Vec<(u64, u64, String, bool)>,
    cut: Option<u64>,
}

impl Timeline {
    /// Takes a packet of a flow: when, and which source the far side sees.
    pub fn seen(&mut self, tuple: &FiveTuple, at: u64, source: &str, translated: bool) {
        self.last = self.last.max(at);
        let number = match self.numbers.get(tuple) {
            Some(number) => *number,
            None if self.rows.len() < MOST_ROWS => {
                let number = self.rows.len();
                self.rows.push(Row { name: tuple.to_string(), parts: Vec::new(), cut: None });
                self.numbers.insert(*tuple, number);
                number
            }
            None => {
                self.more += 1;
                return;
            }
        };
        let Some(row) = self.rows.get_mut(number) else { return };
        match row.parts.last_mut() {
            Some((_, to, held, _)) if held == source => *to = at,
            _ => row.parts.push((at, at, source.to_owned(), translated)),
        }
    }

    /// Marks a change.
    pub fn change(&mut self, at: u64, what: &str) {
        self.changes.push((at, what.to_owned()));
        self.last = self.last.max(at);
    }

    /// Marks a flow that a change cut.
    pub fn cut(&mut self, tuple: &FiveTuple, at: u64) {
        let number = self.numbers.get(tuple).copied();
        if let Some(row) = number.and_then(|number| self.rows.get_mut(number)) {
            row.cut = Some(at);
        }
    }

    /// Writes the page.
    #[must_use]
    pub fn html(&self, title: &str) -> String {
        let body = html! {
            h1 { (title) }
            p class="legend" {
                span class="key translated" {} " public source   "
                span class="key private" {} " private source   "
                span class="key cut" {} " cut by the change"
            }
            figure { (PreEscaped(self.svg())) }
            @if self.more > 0 {
                p { "and " (self.more) " packets of flows beyond the first " (MOST_ROWS) }
            }
            h2 { "Flows" }
            table {
                thead { tr { th { "flow" } th { "source seen" } th { "from s" } th { "to s" } th { "end" } } }
                tbody {
                    @for row in &self.rows {
                        @for (from, to, source, translated) in &row.parts {
                            tr {
                                td { (row.name) }
                                td { (source) @if *translated { " (public)" } @else { " (private)" } }
                                td class="number" { (seconds(*from)) }
                                td class="number" { (seconds(*to)) }
                                td { @if let Some(at) = row.cut { "cut by the change at " (seconds(at)) " s" } }
                            }
                        }
                    }
                }
            }
        };
        page(title, &body)
    }

    fn svg(&self) -> String {
        let span = self.last.max(1) as f64;
        let x = |at: u64| LABEL + at as f64 / span * (WIDTH - LABEL - 20.0);
        let height = ROW * self.rows.len() as f64 + 40.0;
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"flows over time\">"
        );
        for (number, row) in self.rows.iter().enumerate() {
            let y = 30.0 + ROW * number as f64;
            let _ = write!(
                out,
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LABEL - 8.0,
                y + 4.0,
                escaped(&row.name)
            );
            for (from, to, source, translated) in &row.parts {
                let class = if *translated { "translated" } else { "private" };
                let width = (x(*to) - x(*from)).max(2.0);
                let _ = write!(
                    out,
                    "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
                     height=\"8\"><title>{}: source seen {}</title></rect>",
                    x(*from),
                    y - 4.0,
                    escaped(&row.name),
                    escaped(source)
                );
            }
            if let Some(at) = row.cut {
                let (x, low, high) = (x(at), y - 5.0, y + 5.0);
                let _ = write!(
                    out,
                    "<path class=\"cross\" d=\"M{:.1} {low:.1} L{:.1} {high:.1} M{:.1} {high:.1} \
                     L{:.1} {low:.1}\"><title>cut by the change</title></path>",
                    x - 5.0,
                    x + 5.0,
                    x - 5.0,
                    x + 5.0
                );
            }
        }
        for (at, what) in &self.changes {
            let x = x(*at);
            let _ = write!(
                out,
                "<line class=\"change\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"16\" y2=\"{height:.0}\"/>\
                 <text x=\"{x:.1}\" y=\"12\" text-anchor=\"middle\">{} {} s</text>",
                escaped(what),
                seconds(*at)
            );
        }
        out.push_str("</svg>");
        out
    }
}

fn seconds(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1_000_000_000, nanoseconds / 1_000_000 % 1_000)
}

/// Text as HTML has it.
pub(super) fn escaped(text: &str) -> String {
    html! { (text) }.into_string()
}
