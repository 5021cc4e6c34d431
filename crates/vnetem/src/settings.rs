//! Bounds and modes of a data plane.

use core::time::Duration;

/// Bounds of a data plane. All memory is taken when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Settings of the flow table: capacity, seed, timers, hold-down.
    pub flows: vnetem_nat::Settings,
    /// First fragments that are remembered at once (default 1,024).
    pub fragments: usize,
    /// How long a first fragment speaks for the later ones (default 30 s, P-30).
    pub fragment_life: Duration,
    /// Packets of our own making that may wait to be taken (default 256); more are dropped and counted (T9).
    pub queue: usize,
    /// Events that may wait to be taken (default 1,024); more are dropped and counted.
    pub events: usize,
    /// How a change closes flows.
    pub closing: Closing,
}

/// Who is told when a change closes a TCP flow (U-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    /// Both ends get a reset at once, and an answer to each later segment.
    #[default]
    Both,
    /// Only the end that opened the flow.
    Opener,
    /// Nobody: later segments vanish.
    Silent,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flows: vnetem_nat::Settings::default(),
            fragments: 1024,
            fragment_life: Duration::from_secs(30),
            queue: 256,
            events: 1024,
            closing: Closing::Both,
        }
    }
}
