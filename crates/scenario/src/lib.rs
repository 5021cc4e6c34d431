//! Scenarios: a small language for networks, packets, hosts and changes, whose outcome lines are
//! the test.
//!
//! The language is described in `SCENARIOS.md` beside this crate. A scenario is played by
//! [`Scenario::play`]; the outcome lines that a file carries must come out again, byte for byte,
//! and [`Scenario::with_outcomes`] writes them.

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

/// A scenario file, read and found well formed.
#[derive(Clone, Debug)]
pub struct Scenario {
    file: String,
    /// Every line as it stands, outcomes left out.
    lines: Vec<String>,
    declarations: Vec<(usize, Declaration)>,
    steps: Vec<Scheduled>,
}

/// A step, when it happens and what its file says of the outcome.
#[derive(Clone, Debug)]
struct Scheduled {
    /// Where it stands in the file, from 1.
    line: usize,
    /// Where it stands in `lines`, from 0.
    place: usize,
    at: Time,
    step: Step,
    text: String,
    expected: Vec<String>,
}

/// What a scenario is played with, beyond its own text.
pub struct Options<'a> {
    /// Replaces the seed of the file.
    pub seed: Option<u64>,
    /// The list of service tags that `service NAME tag TAG` takes its prefixes from.
    pub tags: Arc<ServiceTags>,
    /// Sees every packet.
    pub tap: Option<Box<Tap<'a>>>,
}

impl Scenario {
    /// The story that the command line plays without a file.
    ///
    /// # Errors
    ///
    /// None as long as the tests of this crate pass.
    pub fn founding_story() -> Result<Self, ScenarioError> {
        Self::parse("founding-story.scn", include_str!("../scenarios/founding-story.scn"))
    }

    /// Reads a scenario; `file` is how errors name it.
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
        // Some editors begin a file with a mark that says that it is UTF-8.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, raw) in (1..).zip(text.lines()) {
            scenario.read_line(number, raw, &mut at).map_err(|problem| problem.at(file, number))?;
        }
        Ok(scenario)
    }

    /// The first line of the file: what it claims, and the numbers of the statements behind it.
    #[must_use]
    pub fn title(&self) -> &str {
        let first = self.lines.first().map_or("", String::as_str);
        first.strip_prefix('#').map_or("", str::trim)
    }

    /// Whether the file says what comes out; one that nowhere does is only played.
    #[must_use]
    pub fn is_golden(&self) -> bool {
        self.steps.iter().any(|step| !step.expected.is_empty())
    }

    /// Plays the whole scenario.
    ///
    /// # Errors
    ///
    /// A declaration or a name in a step that the model refuses, or an invariant of the data plane
    /// that does not hold.
    pub fn play(&self, options: Options<'_>) -> Result<Report, ScenarioError> {
        let mut stage = Runner::new(self, options)?;
        stage.play(None)?;
        Ok(stage.report())
    }

    /// Plays up to and with all steps at `end` and leaves the stage as it is then; without `end`
    /// only what is declared stands.
    ///
    /// # Errors
    ///
    /// As [`Scenario::play`].
    pub fn play_until<'a>(
        &self,
        end: Option<Time>,
        options: Options<'a>,
    ) -> Result<Runner<'a>, ScenarioError> {
        let mut stage = Runner::new(self, options)?;
        if end.is_some() {
            stage.play(end)?;
        }
        Ok(stage)
    }

    /// The text of the file with the outcomes of a report in place of its own.
    #[must_use]
    pub fn with_outcomes(&self, report: &Report) -> String {
        let mut text = String::new();
        for (place, line) in self.lines.iter().enumerate() {
            text.push_str(line);
            text.push('\n');
            let step = self.steps.iter().find(|step| step.place == place);
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
            && step.place + 1 == self.lines.len()
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
                let place = self.lines.len() - 1;
                let text = text.trim().to_owned();
                self.steps.push(Scheduled {
                    line: number,
                    place,
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
    /// Reads a step. Where it goes wrong and begins with neither a verb nor a host of the file,
    /// that is what is wrong.
    fn step(&self, words: &mut Words<'_>) -> Result<Step, Problem> {
        let first = words.peek().unwrap_or_default().to_owned();
        let hosts: Vec<&str> = self.declarations.iter().filter_map(|(_, it)| it.caller()).collect();
        Step::parse(words).map_err(|problem| match Step::begins_with_host(&first) {
            true if !hosts.contains(&first.as_str()) => no_host(&first, &hosts),
            _ => problem,
        })
    }
}

/// Says that there is no such host that calls, and which there are.
fn no_host(name: &str, hosts: &[&str]) -> Problem {
    let hosts = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
    Problem::Refused(format!("there is no host {name} that calls; there are {hosts}, and {VERBS}"))
}

/// What may begin a step beside a host.
const VERBS: &str = "the steps from, answer, connect, trace, wait, probe, status, show and changes";

impl Options<'_> {
    /// The embedded tags, the file's own seed, and no tap.
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

/// Spaces before an outcome line, at least.
const OUTCOME: usize = 4;

/// Columns before the first letter; a tab counts for two, so that one stands before a step and two
/// before its outcome.
fn indentation(line: &str) -> usize {
    let blank = line.chars().take_while(|letter| letter.is_whitespace());
    blank.map(|letter| if letter == '\t' { OUTCOME / 2 } else { 1 }).sum()
}

/// Refuses letters that would not be seen as they are: a terminal obeys some of them.
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

/// Refuses an outcome that is a step: who indents steps by four would have them compared, not
/// played.
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

/// A line up to its comment, which begins with a `#` at the start or behind a space.
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
