//! Which flows the last changes may concern.

use std::collections::VecDeque;

use vnetem_nat::{Cell, Generation};

/// What the last changes touched, newest last, so that a data plane may skip generations.
#[derive(Clone, Debug, Default)]
pub(crate) struct TouchLog(VecDeque<(Generation, Touched)>);

/// The flows that a change may concern.
#[derive(Clone, Debug)]
pub(crate) enum Touched {
    Cells(Vec<Cell>),
    Everything,
}

/// Generations that a data plane may lag behind before a change counts as touching everything.
const LOG_LENGTH: usize = 64;

impl TouchLog {
    pub(crate) fn with(&self, generation: Generation, touched: Touched) -> Self {
        let kept = self.0.iter().rev().take(LOG_LENGTH - 1).rev().cloned();
        Self(kept.chain([(generation, touched)]).collect())
    }

    pub(crate) fn since(
        &self,
        generation: Generation,
    ) -> Option<impl Iterator<Item = (Generation, &Touched)>> {
        let (oldest, _) = self.0.front()?;
        (oldest.0 <= generation.0.saturating_add(1)).then(|| {
            self.0
                .iter()
                .filter(move |(at, _)| at.0 > generation.0)
                .map(|(at, touched)| (*at, touched))
        })
    }
}
