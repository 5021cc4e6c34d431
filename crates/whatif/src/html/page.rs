//! The page around a picture and its tables, and the page of a report.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::sankey;
use crate::report::{Group, Outcome, Report};

/// Colours that colour-blind people tell apart (Okabe and Ito), for light and dark.
const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1b1b1b;--line:#c9c9c9;--soft:#f2f2f2;--allow:#0072b2;\
--deny:#d55e00;--cut:#cc79a7;--other:#767676;--private:#009e73;--translated:#e69f00}\
@media(prefers-color-scheme:dark){:root{--back:#16181b;--text:#e8e8e8;--line:#44484d;--soft:#22262a;\
--allow:#56b4e9;--deny:#ff8c42;--cut:#e3a5c7;--other:#9a9a9a;--private:#2fd0a0;--translated:#f0b840}}\
body{background:var(--back);color:var(--text);font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;\
max-width:80rem;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid var(--line)}\
table{border-collapse:collapse;width:100%;font-size:.87rem}\
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}\
th{background:var(--soft);position:sticky;top:0}.number{text-align:right}.short{white-space:nowrap}\
.scroll{overflow:auto;max-height:80vh}.deny{color:var(--deny);font-weight:600}\
.allow{color:var(--allow)}.cutword{color:var(--cut);font-weight:600}\
.pair{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;flex:1 1 34rem;overflow:auto}\
figcaption{font-weight:600}svg{width:100%;height:auto;font:11px system-ui,sans-serif}\
svg text{fill:var(--text)}svg .node{fill:var(--other)}svg .link{fill:none;stroke-opacity:.45}\
svg .link.allow{stroke:var(--allow)}svg .link.deny{stroke:var(--deny)}svg .link.cut{stroke:var(--cut)}\
svg .link.other{stroke:var(--other)}svg .link:hover{stroke-opacity:.8}\
svg .private,.key.private{fill:var(--private);background:var(--private)}\
svg .translated,.key.translated{fill:var(--translated);background:var(--translated)}\
svg .cross{stroke:var(--cut);stroke-width:2}.key.cut{background:var(--cut)}\
svg .change{stroke:var(--text);stroke-dasharray:4 3}\
.key{display:inline-block;width:1em;height:.8em}.key.allow{background:var(--allow)}\
.key.deny{background:var(--deny)}.key.other{background:var(--other)}.legend{font-size:.87rem}\
code{background:var(--soft);padding:.1rem .3rem}ol,ul{padding-left:1.4rem}";

/// A page that needs nothing but itself.
pub(super) fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // No icon is asked for.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

impl Report {
    /// Writes the report as one HTML page that needs no network and no script.
    #[must_use]
    pub fn html(&self) -> String {
        let title = "What the change does";
        let changes: Vec<String> = self.changes.iter().map(crate::Changed::line).collect();
        let body = html! {
            h1 { (title) }
            p {
                @if self.different { strong { "Something fares differently." } }
                @else { strong { "Nothing fares differently." } }
                " " (self.traffic.flows) " flows"
                @if !self.traffic.sources.is_empty() { " of " (self.traffic.sources.join(", ")) }
                @if self.traffic.sources.is_empty() { ", tried without traffic" }
                ", " (self.traffic.open) " open, " (self.traffic.closed) " cut."
            }
            (list("Change", &changes))
            (self.pictures())
            (self.steps_markup())
            (table(&self.groups))
            (self.consequences())
            (self.notes())
        };
        page(title, &body)
    }

    fn pictures(&self) -> Markup {
        html! {
            h2 { "Before and after" }
            p class="legend" {
                span class="key allow" {} " allowed or forwarded   "
                span class="key deny" {} " denied or dropped   "
                span class="key cut" {} " open connections cut   "
                span class="key other" {} " unknown"
            }
            div class="pair" {
                figure {
                    figcaption { "Before" }
                    (PreEscaped(sankey::draw(&self.groups, sankey::Moment::Before)))
                }
                figure {
                    figcaption { "After" }
                    (PreEscaped(sankey::draw(&self.groups, sankey::Moment::After)))
                }
            }
        }
    }

    fn steps_markup(&self) -> Markup {
        html! {
            @if !self.steps.is_empty() {
                h2 { "What to do, in order" }
                ol {
                    @for stage in &self.plan.stages {
                        li {
                            (stage.step) " "
                            @if stage.newly_refused == 0 { "(nothing is refused that was not)" }
                            @else {
                                span class="deny" {
                                    "(" (stage.newly_refused) " flows refused that were not)"
                                }
                            }
                        }
                    }
                }
            }
            @if !self.plan.gaps.is_empty() {
                h2 { "Gaps that no order avoids" }
                ul {
                    @for gap in &self.plan.gaps {
                        li {
                            (gap.resource) " refuses " (gap.flows) " flows of " (gap.subnet) " "
                            (gap.why) "."
                        }
                    }
                }
            }
            @if !self.plan.remaining.is_empty() {
                h2 { "What no step mends" }
                ul {
                    @for left in &self.plan.remaining {
                        li {
                            (left.resource) " refuses " (left.flows) " flows of " (left.subnet)
                            ": " (left.reason)
                        }
                    }
                }
            }
        }
    }

    fn consequences(&self) -> Markup {
        let rules: Vec<String> =
            self.dead_rules.iter().map(|dead| format!("{} {}", dead.resource, dead.rule)).collect();
        let findings: Vec<String> = self
            .findings
            .iter()
            .map(|one| format!("{}: {} ({} flows)", one.code, one.text, one.flows))
            .collect();
        html! { (list("Rules that match nothing any more", &rules)) (list("Mind", &findings)) }
    }

    fn notes(&self) -> Markup {
        let texts = |one: &vnetem_azure::import::Unresolved| one.to_string();
        let unresolved: Vec<String> = self.unresolved.iter().map(texts).collect();
        let contradictions: Vec<String> =
            self.contradictions.iter().map(ToString::to_string).collect();
        let ignored: Vec<String> =
            self.ignored.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let assumed: Vec<String> =
            self.assumptions.iter().map(|one| format!("{}: {}", one.code, one.text)).collect();
        html! {
            (list("Contradictions", &contradictions))
            (list("Unresolved", &unresolved))
            (list("Ignored", &ignored))
            (list("Assumed", &assumed))
        }
    }
}

fn list(title: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            h2 { (title) }
            ul { @for line in lines { li { (line) } } }
        }
    }
}

fn table(groups: &[Group]) -> Markup {
    html! {
        h2 { "Flows that behave alike" }
        div class="scroll" {
            table {
                thead {
                    tr {
                        th { "flows" } th { "from" } th { "to" } th { "before" } th { "after" }
                        th { "open now" }
                    }
                }
                tbody { @for group in groups { (row(group)) } }
            }
        }
    }
}

fn row(group: &Group) -> Markup {
    html! {
        tr {
            td class="number" { (group.flows) }
            td class="short" { (group.subnet) }
            td { (destination(group)) }
            td { (outcome(&group.before)) }
            td {
                @if group.before == group.after { "same" } @else { (outcome(&group.after)) }
                @for account in group.accounts.iter().filter(|one| one.before != one.after) {
                    br; "if " (account.resource) ": " (account.before.unwrap_or("-")) " then "
                    (account.after.unwrap_or("-"))
                }
            }
            td {
                @if group.closed > 0 { span class="cutword" { (group.closed) " cut" } }
                @else { "-" }
            }
        }
    }
}

/// Where a row goes, in words.
pub(super) fn destination(group: &Group) -> String {
    let to = &group.destination;
    let mut text = match (&to.resource, &to.service) {
        (Some(resource), Some(service)) => format!("{resource} ({service})"),
        (Some(resource), None) => resource.clone(),
        (None, Some(service)) => format!("{service}, account unknown"),
        (None, None) => to.kind.to_owned(),
    };
    if let Some(port) = to.port {
        text.push_str(&format!(" {}/{port}", to.protocol));
    }
    text
}

fn outcome(outcome: &Outcome) -> Markup {
    let hop = outcome.next_hop.unwrap_or("no route");
    let word = verdict(outcome);
    html! {
        (hop)
        @if let Some(address) = &outcome.next_hop_address { " " (address) }
        @if let Some(source) = &outcome.source { ", seen as " (source) }
        ", " span class=(class(outcome)) { (word) }
        @if let Some(reason) = outcome.reason { " " (reason) }
    }
}

/// The word for how flows fare.
pub(super) fn verdict(outcome: &Outcome) -> &'static str {
    match (outcome.disposition, outcome.access) {
        ("forward", Some(access)) => access,
        ("forward", None) => "forward",
        (gone, _) => gone,
    }
}

/// The class of style for it.
pub(super) fn class(outcome: &Outcome) -> &'static str {
    match verdict(outcome) {
        "allow" | "forward" => "allow",
        "unknown" => "other",
        _ => "deny",
    }
}
