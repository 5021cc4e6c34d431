//! Records which flows the last changes may concern.

use std::collections::VecDeque;

use vnetem_nat::{Generation, RevalidationKey};

/// What the last changes invalidated, newest last, so that a data plane may skip generations.
#[derive(Clone, Debug, Default)]
pub(crate) struct InvalidationLog(VecDeque<(Generation, Invalidated)>);

/// The flows that a change may concern.
#[derive(Clone, Debug)]
pub(crate) enum Invalidated {
    Cells(Vec<RevalidationKey>),
    Everything,
}

/// A data plane more than this many generations behind revalidates every flow.
const LOG_LENGTH: usize = 64;

impl InvalidationLog {
    pub(crate) fn with(&self, generation: Generation, invalidated: Invalidated) -> Self {
        let kept = self.0.iter().rev().take(LOG_LENGTH - 1).rev().cloned();
        Self(kept.chain([(generation, invalidated)]).collect())
    }

    pub(crate) fn since(
        &self,
        generation: Generation,
    ) -> Option<impl Iterator<Item = (Generation, &Invalidated)>> {
        let (oldest, _) = self.0.front()?;
        (oldest.0 <= generation.0.saturating_add(1)).then(|| {
            self.0
                .iter()
                .filter(move |(at, _)| at.0 > generation.0)
                .map(|(at, invalidated)| (*at, invalidated))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INV-accepted-edit-in-force: a data plane within the length of the log gets each generation
    /// since its own, oldest first. One further behind gets none.
    #[test]
    fn log_keeps_the_last_64_generations() {
        let mut log = InvalidationLog::default();
        assert!(log.since(Generation(0)).is_none());
        for number in 1..=100 {
            log = log.with(Generation(number), Invalidated::Cells(vec![RevalidationKey(7)]));
        }
        let since = |generation| {
            let notified = log.since(Generation(generation))?;
            Some(notified.map(|(at, _)| at.0).collect::<Vec<_>>())
        };
        assert_eq!(since(35), None);
        assert_eq!(since(36), Some((37..=100).collect()));
        assert_eq!(since(37), Some((38..=100).collect()));
        assert_eq!(since(99), Some(vec![100]));
        assert_eq!(since(100), Some(vec![]));
    }
}
