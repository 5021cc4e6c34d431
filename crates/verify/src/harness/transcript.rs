//! Records what happened in its raw form, because nearly every run succeeds and nobody reads it.

use crate::said::Disposition;
use vnetem::{Edge, Time};

use super::{Step, shown};

/// The events of a run, to be shown line by line.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript(Vec<Line>);

/// An event.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// Anything, in words.
    Text(String),
    /// A step begins.
    Step(Time, Step),
    /// A packet enters.
    In(Edge, Vec<u8>),
    /// Its disposition and bytes.
    Out(Disposition, Vec<u8>),
    /// A packet that the data plane made.
    Made(Edge, Vec<u8>),
}

impl Transcript {
    pub(super) fn push(&mut self, line: Line) {
        self.0.push(line);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(Line::notified).collect()
    }
}

impl Line {
    fn notified(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Step(now, step) => format!("[{} ns] {step}", now.0),
            Self::In(edge, bytes) => format!("    in   {edge:?} {}", shown(bytes)),
            Self::Out(disposition, bytes) => format!("    out  {disposition:?} {}", shown(bytes)),
            Self::Made(edge, bytes) => format!("    made {edge:?} {}", shown(bytes)),
        }
    }
}
