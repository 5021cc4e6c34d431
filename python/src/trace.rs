//! One packet, explained.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::api as vnetem;
use crate::verdict::{InForce, Verdict};

/// Why a packet would fare as it would. ``str(trace)`` is the explanation, a line for each step.
#[pyclass(frozen, module = "vnetem")]
pub(crate) struct Trace {
    text: String,
    steps: Vec<TraceStep>,
    verdict: vnetem::Verdict,
    in_force: Arc<InForce>,
}

/// One step of a decision.
#[pyclass(frozen, module = "vnetem", get_all)]
#[derive(Clone)]
pub(crate) struct TraceStep {
    /// What was asked: ``flow``, ``security``, ``route``, ``source``, ``access`` and so on.
    kind: String,
    /// What it said.
    text: String,
    /// Whether it is a reason for the cached decision of a live flow, which is not asked again.
    given: bool,
}

impl Trace {
    pub(crate) fn new(trace: &vnetem::Trace, in_force: Arc<InForce>) -> Self {
        let text = trace.to_string();
        let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
        let steps = lines.filter_map(TraceStep::read).collect();
        Self { steps, text, verdict: trace.verdict, in_force }
    }
}

impl TraceStep {
    /// Reads a line of a trace. The last one is the verdict and no step.
    fn read(line: &str) -> Option<Self> {
        let (first, rest) = line.split_once(' ')?;
        let (kind, text, given) = match first {
            "verdict" => return None,
            "given" => {
                let (kind, text) = rest.trim_start().split_once(' ')?;
                (kind, text, true)
            }
            kind => (kind, rest, false),
        };
        Some(Self { kind: kind.to_owned(), text: text.trim_start().to_owned(), given })
    }
}

#[pymethods]
impl Trace {
    /// The steps of the decision, in order.
    #[getter]
    fn steps(&self) -> Vec<TraceStep> {
        self.steps.clone()
    }

    /// The verdict that ``process`` would give. It has no packet.
    #[getter]
    fn verdict(&self) -> Verdict {
        let in_force = Arc::clone(&self.in_force);
        Verdict { verdict: self.verdict, in_force, packet: None }
    }

    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<Trace of {} steps>\n{}", self.steps.len(), self.text)
    }
}

#[pymethods]
impl TraceStep {
    fn __repr__(&self) -> String {
        let given = if self.given { "given " } else { "" };
        format!("<TraceStep {given}{}: {}>", self.kind, self.text)
    }
}
