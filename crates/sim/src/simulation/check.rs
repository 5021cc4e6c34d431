//! Whether the code of a simulation is deterministic.

use super::{Sim, SimError};

/// Runs a simulation twice and compares all packets, byte for byte and nanosecond for nanosecond.
///
/// What is built must be the same each time. Code that asks for the wall clock, for randomness or
/// for the order of a `HashMap` shows here.
///
/// # Errors
///
/// [`SimError::Diverged`] names the first packet that differs. If the packets are equal, what the
/// runs ended with.
pub fn check_deterministic(build: impl Fn() -> Sim) -> Result<(), SimError> {
    let run = || {
        let mut sim = build();
        sim.record().seen = Some(Vec::new());
        sim.listen_in();
        let result = sim.run();
        let seen = sim.record().seen.take().unwrap_or_default();
        (seen, result)
    };
    let ((first, result), (second, _)) = (run(), run());
    let longest = first.len().max(second.len());
    let differing = (0..longest).find(|&at| first.get(at) != second.get(at));
    let Some(at) = differing else { return result };
    let shown = |seen: Option<&super::recording::Seen>| {
        seen.map_or_else(|| "no packet".to_owned(), ToString::to_string)
    };
    Err(SimError::Diverged {
        number: at + 1,
        first: shown(first.get(at)),
        second: shown(second.get(at)),
    })
}
