//! The flows of a run over time, for a page.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use vnetem::packet::{FiveTuple, Headers};
use vnetem_scenario::report::Report;
use vnetem_sim::world::Tapped;
use vnetem_whatif::Timeline;

/// Gathers what a run sends.
#[derive(Default)]
pub(crate) struct Drawing {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    timeline: Timeline,
    /// The packet that entered last: its id and tuple.
    entered: Option<(u64, FiveTuple)>,
    /// What answers have as their tuple where they enter.
    answers: HashSet<FiveTuple>,
}

impl Drawing {
    /// Takes a packet where it enters the data plane, or where it leaves it.
    pub(crate) fn take(&self, tapped: &Tapped<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(headers) = Headers::parse(tapped.packet) else { return };
        let tuple = headers.tuple();
        if !tapped.leaves {
            state.entered = (tapped.place != "drop").then_some((tapped.id, tuple));
            return;
        }
        // Packets that the data plane makes enter nowhere.
        let Some((id, came)) = state.entered.take() else { return };
        if id != tapped.id || state.answers.contains(&came) {
            return;
        }
        state.answers.insert(tuple.reversed());
        let translated = tuple.source != came.source;
        let source = tuple.source.ip().to_string();
        state.timeline.seen(&came, tapped.time.0, &source, translated);
    }

    /// The page, with the changes of the run and the flows that they closed.
    pub(crate) fn page(self, name: &str, report: &Report) -> String {
        let mut timeline = self.state.into_inner().unwrap_or_else(PoisonError::into_inner).timeline;
        for moment in report.timeline.iter().filter(|moment| moment.is_change) {
            timeline.change(moment.at.0, &moment.step);
        }
        for closing in &report.closings {
            timeline.cut(&closing.event.tuple, closing.event.at.0);
        }
        timeline.html(&format!("run of {name}"))
    }
}
