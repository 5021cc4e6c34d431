//! Says which configuration was committed from which. A generation alone does not, since copies of
//! a network count on from the same one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vnetem_nat::Generation;

/// What [`DataPlane::apply`](crate::DataPlane::apply) did with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is newer and was committed from the previous one. It is in force.
    Taken,
    /// It is the one that is in force.
    Same,
    /// It is an ancestor of the one in force. Nothing has changed.
    Older,
    /// Neither was committed from the other: it belongs to another network, or to a copy that was
    /// edited differently. Nothing has changed.
    OfAnotherNetwork,
}

/// The ancestors of a configuration: a line of commits, which forks where copies of a network
/// commit different edits.
#[derive(Clone, Debug)]
pub(crate) struct Lineage {
    /// The lines from the first on, each with the last generation that is an ancestor. The own line
    /// and generation come last.
    lines: Arc<Vec<(Line, Generation)>>,
    /// Whether another configuration continues the line, so that a further one starts a line of its
    /// own.
    has_heir: Arc<AtomicBool>,
}

/// Identifies a line by its address in memory, which stays unique as long as the line is known.
#[derive(Clone, Debug)]
struct Line(Arc<u8>);

impl Lineage {
    /// Returns the lineage of the next generation.
    pub(crate) fn next(&self, generation: Generation) -> Self {
        let mut lines = Vec::clone(&self.lines);
        let forks = self.has_heir.swap(true, Ordering::Relaxed);
        match lines.last_mut() {
            Some((_, last)) if !forks => *last = generation,
            _ => lines.push((Line::new(), generation)),
        }
        Self { lines: Arc::new(lines), has_heir: Arc::default() }
    }

    /// Returns what happens to a configuration with this lineage where another one is in force.
    pub(crate) fn follows(&self, present: &Self) -> Applied {
        match (self.has(present), present.has(self)) {
            (true, true) => Applied::Same,
            (true, false) => Applied::Taken,
            (false, true) => Applied::Older,
            (false, false) => Applied::OfAnotherNetwork,
        }
    }

    /// Returns whether `ancestor` is this configuration or one of its ancestors.
    fn has(&self, ancestor: &Self) -> bool {
        let Some((line, generation)) = ancestor.lines.last() else { return false };
        self.lines.iter().any(|(other, last)| other.is(line) && generation <= last)
    }
}

/// Begins the lineage of a new network.
impl Default for Lineage {
    fn default() -> Self {
        let lines = Arc::new(vec![(Line::new(), Generation(0))]);
        Self { lines, has_heir: Arc::default() }
    }
}

impl Line {
    fn new() -> Self {
        Self(Arc::new(0))
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diverged_copies_are_other_networks() {
        let root = Lineage::default();
        let first = root.next(Generation(1));
        let (one, other) = (first.next(Generation(2)), first.next(Generation(2)));
        assert_eq!(other.follows(&one), Applied::OfAnotherNetwork);
        assert_eq!(one.follows(&other), Applied::OfAnotherNetwork);
        for ancestor in [&root, &first] {
            for heir in [&one, &other] {
                assert_eq!(heir.follows(ancestor), Applied::Taken);
                assert_eq!(ancestor.follows(heir), Applied::Older);
            }
        }
        assert_eq!(one.follows(&one.clone()), Applied::Same);
        // A fork of a fork, and the line that it left.
        let (third, fourth) = (other.next(Generation(3)), other.next(Generation(3)));
        assert_eq!(fourth.follows(&first), Applied::Taken);
        assert_eq!(fourth.follows(&one.next(Generation(3))), Applied::OfAnotherNetwork);
        assert_eq!(fourth.follows(&third), Applied::OfAnotherNetwork);
        assert_eq!(third.next(Generation(4)).follows(&first), Applied::Taken);
        assert_eq!(Lineage::default().follows(&root), Applied::OfAnotherNetwork);
    }
}
