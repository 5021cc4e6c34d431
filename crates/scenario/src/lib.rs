//! Scenarios: a small language for networks, packets, hosts and changes, whose outcome lines are
//! the test.
//!
//! `docs/guide/scenarios.md` in the repository describes the language, and `SCENARIOS.md` beside
//! this crate lists all its lines. [`Scenario::play`] plays a scenario. The outcome lines of a file
//! must come out again, byte for byte, and [`Scenario::with_outcomes`] writes them.

mod actions;
mod declarations;
mod edit;
mod error;
mod firewall;
mod model;
mod outcome;
mod policies;
mod pool;
mod private;
pub mod report;
mod routing;
mod runner;
mod security;
mod setup;
mod show;
mod step;
mod topology;
mod words;

use std::sync::Arc;

use vnetem::Time;
use vnetem_azure::ServiceTags;

pub use declarations::Serves;
pub use error::{Problem, ScenarioError};
pub use model::{Member, Model, Role};
pub use runner::Runner;
pub use show::{counter_lines, route_remark, route_table};
pub use words::parse_duration;

use crate::report::Report;
use declarations::Declaration;
use step::Step;
use vnetem_sim::world::Tap;
use words::Words;

/// A scenario file that was read and is well formed.
#[derive(Clone, Debug)]
pub struct Scenario {
    file: String,
    /// Every line as it is in the file, without outcomes.
    lines: Vec<String>,
    declarations: Vec<(usize, Declaration)>,
    steps: Vec<Scheduled>,
}

/// A step, its time, and the outcome that the file expects.
#[derive(Clone, Debug)]
struct Scheduled {
    /// Its line in the file, from 1.
    line: usize,
    /// Its index in `lines`, from 0.
    line_index: usize,
    at: Time,
    step: Step,
    text: String,
    expected: Vec<String>,
}

/// What a run needs beside the file.
pub struct Options<'a> {
    /// Replaces the seed of the file.
    pub seed: Option<u64>,
    /// The list of service tags for `service NAME tag TAG`.
    pub tags: Arc<ServiceTags>,
    /// Is called for every packet.
    pub tap: Option<Box<Tap<'a>>>,
}

impl Scenario {
    /// Returns the scenario that the command plays without a file.
    ///
    /// # Errors
    ///
    /// None, as long as the tests of this crate pass.
    pub fn demo() -> Result<Self, ScenarioError> {
        Self::parse("demo.scn", include_str!("../scenarios/demo.scn"))
    }

    /// Reads a scenario. Errors name it by `file`.
    ///
    /// # Errors
    ///
    /// The first line that is not well formed, with what was found and what was expected.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let mut scenario = Self {
            file: file.to_owned(),
            lines: Vec::new(),
            declarations: Vec::new(),
            steps: Vec::new(),
        };
        let mut at = None;
        // Some editors begin a UTF-8 file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, raw) in (1..).zip(text.lines()) {
            scenario.read_line(number, raw, &mut at).map_err(|problem| problem.at(file, number))?;
        }
        Ok(scenario)
    }

    /// Returns the claim of the file, which is its first line.
    #[must_use]
    pub fn title(&self) -> &str {
        let first = self.lines.first().map_or("", String::as_str);
        first.strip_prefix('#').map_or("", str::trim)
    }

    /// Returns whether the file has outcomes. One that has none is played without comparison.
    #[must_use]
    pub fn is_golden(&self) -> bool {
        self.steps.iter().any(|step| !step.expected.is_empty())
    }

    /// Plays the whole scenario.
    ///
    /// # Errors
    ///
    /// The model refuses a declaration or a name in a step, or an invariant of the data plane does
    /// not hold.
    pub fn play(&self, options: Options<'_>) -> Result<Report, ScenarioError> {
        let mut runner = Runner::new(self, options)?;
        runner.play(None)?;
        Ok(runner.report())
    }

    /// Plays all steps up to and including `end`, and returns the run as it is then. Without `end`
    /// it makes the declarations only.
    ///
    /// # Errors
    ///
    /// As [`Scenario::play`].
    pub fn play_until<'a>(
        &self,
        end: Option<Time>,
        options: Options<'a>,
    ) -> Result<Runner<'a>, ScenarioError> {
        let mut runner = Runner::new(self, options)?;
        if end.is_some() {
            runner.play(end)?;
        }
        Ok(runner)
    }

    /// Returns the text of the file with the outcomes of a report in place of its own.
    #[must_use]
    pub fn with_outcomes(&self, report: &Report) -> String {
        let mut text = String::new();
        for (line_index, line) in self.lines.iter().enumerate() {
            text.push_str(line);
            text.push('\n');
            let step = self.steps.iter().find(|step| step.line_index == line_index);
            let moment = step
                .and_then(|step| report.timeline.iter().find(|moment| moment.line == step.line));
            for outcome in moment.into_iter().flat_map(|moment| &moment.outcome) {
                text.push_str(format!("    {outcome}").trim_end());
                text.push('\n');
            }
        }
        text
    }

    fn read_line(
        &mut self,
        number: usize,
        raw: &str,
        at: &mut Option<Time>,
    ) -> Result<(), Problem> {
        clean(raw)?;
        let text = without_comment(raw);
        let indent = indentation(raw);
        if indent >= OUTCOME
            && !text.trim().is_empty()
            && let Some(step) = self.steps.last_mut()
            && step.line_index + 1 == self.lines.len()
        {
            no_step(text)?;
            step.expected.push(raw.trim().to_owned());
            return Ok(());
        }
        self.lines.push(raw.trim_end().to_owned());
        let mut words = Words::new(text);
        if words.peek().is_none() {
            return Ok(());
        }
        if indent == 0 && words.accept("at") {
            let time = Time(0) + words.duration()?;
            if at.is_some_and(|before| time < before) {
                let found = format!("\"{}\"", text.trim());
                let expected = "a time that is not before the last one".to_owned();
                return Err(Problem::Expected { found, expected });
            }
            *at = Some(time);
            return words.end();
        }
        match (*at, indent) {
            (None, 0) => {
                self.declarations.push((number, Declaration::parse(&mut words)?));
            }
            (Some(time), 1..) => {
                let step = self.step(&mut words)?;
                let line_index = self.lines.len() - 1;
                let text = text.trim().to_owned();
                self.steps.push(Scheduled {
                    line: number,
                    line_index,
                    at: time,
                    step,
                    text,
                    expected: Vec::new(),
                });
            }
            (None, _) => {
                return Err(words.wrong(
                    "a declaration at the start of the line, since no \"at TIME\" has come yet",
                ));
            }
            (Some(_), 0) => return Err(words.wrong("\"at TIME\", or a step, which is indented")),
        }
        words.end()
    }
}

impl Scenario {
    /// Reads a step. If it begins with neither a verb nor a host of the file, the error says so.
    fn step(&self, words: &mut Words<'_>) -> Result<Step, Problem> {
        let first = words.peek().unwrap_or_default().to_owned();
        let hosts: Vec<&str> = self.declarations.iter().filter_map(|(_, it)| it.caller()).collect();
        Step::parse(words).map_err(|problem| match Step::begins_with_host(&first) {
            true if !hosts.contains(&first.as_str()) => no_host(&first, &hosts),
            _ => problem,
        })
    }
}

/// Makes the error for an unknown host, and lists the hosts that can call.
fn no_host(name: &str, hosts: &[&str]) -> Problem {
    let hosts = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
    Problem::Refused(format!("there is no host {name} that calls; there are {hosts}, and {VERBS}"))
}

/// What may begin a step besides a host.
const VERBS: &str = "the steps from, answer, connect, trace, wait, probe, status, show and changes";

impl Options<'_> {
    /// Returns options with the embedded tags, the file's own seed and no tap.
    #[must_use]
    pub fn embedded() -> Self {
        Self { seed: None, tags: Arc::new(ServiceTags::embedded()), tap: None }
    }
}

impl core::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Options").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// The least number of spaces before an outcome line.
const OUTCOME: usize = 4;

/// Returns the columns before the first letter. A tab counts for two, so one indents a step and two
/// an outcome.
fn indentation(line: &str) -> usize {
    let blank = line.chars().take_while(|letter| letter.is_whitespace());
    blank.map(|letter| if letter == '\t' { OUTCOME / 2 } else { 1 }).sum()
}

/// Refuses letters that a terminal would not show as they are, such as control characters.
fn clean(line: &str) -> Result<(), Problem> {
    let hidden = |letter: &char| {
        letter.is_control() && *letter != '\t'
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    match line.chars().find(hidden) {
        None => Ok(()),
        Some(letter) => Err(Problem::Expected {
            found: format!("the invisible character U+{:04X}", u32::from(letter)),
            expected: "text that can be seen".to_owned(),
        }),
    }
}

/// Refuses an outcome that is a step. A file that indents steps by four would have them compared,
/// not played.
fn no_step(text: &str) -> Result<(), Problem> {
    let mut words = Words::new(text);
    if Step::parse(&mut words).and_then(|_| words.end()).is_err() {
        return Ok(());
    }
    Err(Problem::Expected {
        found: format!("the step \"{}\" behind {OUTCOME} spaces or more", text.trim()),
        expected: "an outcome of the step above, or a step behind two spaces".to_owned(),
    })
}

/// Returns a line up to its comment. A comment begins with a `#` at the start or behind a space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        if letter == '#' && before.is_whitespace() {
            return line.get(..at).unwrap_or(line);
        }
        before = letter;
    }
    line
}
