//! What can happen: opening, talking, errors, fragments, edits, the clock. Every step is eight
//! bytes that are read by position, so that property tests and fuzzers share one language and
//! shrink alike.

use core::fmt;
use core::time::Duration;

use super::edit::Edit;
use super::pick;

/// One step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A packet that may open a flow: who, where to, how.
    Open {
        /// The host.
        host: u8,
        /// The destination.
        to: u8,
        /// Protocol and ports.
        ports: u8,
        /// TCP flags.
        flags: u8,
        /// What is done to the packet on its way.
        twist: Twist,
    },
    /// A packet of an earlier conversation, from its opener or from the far end.
    Talk {
        /// Which conversation, counted back from the latest.
        of: u8,
        /// Whether the far end speaks.
        far: bool,
        /// What it says: 0 is whatever comes next in a tidy connection.
        says: u8,
        /// How far the sequence number is off; 0 is exact.
        off: u8,
        /// What is done to the packet on its way.
        twist: Twist,
    },
    /// An ICMP error about a packet of a conversation.
    Error {
        /// Which conversation.
        of: u8,
        /// Whether the far end, or a router near it, reports.
        far: bool,
        /// Type, length of the quote, and whether the quote is right.
        how: u8,
        /// What is done to the packet on its way.
        twist: Twist,
    },
    /// A fragment of a datagram of a conversation.
    Fragment {
        /// Which conversation.
        of: u8,
        /// Whether the far end sends.
        far: bool,
        /// Which datagram, and which part of it.
        part: u8,
        /// What is done to the packet on its way.
        twist: Twist,
    },
    /// An edit, a commit, and the change handed to the data plane; settled at once or not.
    Change {
        /// The edit.
        edit: Edit,
        /// Whether everything that the change closes is closed before the next step.
        settle: bool,
    },
    /// The clock moves.
    Clock {
        /// By how much: a place in a list of telling steps.
        tick: u8,
    },
    /// Everything that waits is taken.
    Settle,
}

/// What happens to a packet on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twist {
    /// Which; most values are nothing.
    pub kind: u8,
    /// Where.
    pub at: u8,
}

/// Steps of the clock: nothing, a little, around every timer, leaps, and back.
pub(crate) const TICKS: [i64; 27] = {
    const S: i64 = 1_000_000_000;
    [
        1_000_000,
        1,
        0,
        100_000_000,
        S,
        10 * S - 1,
        10 * S,
        16 * S - 1,
        16 * S,
        30 * S - 1,
        30 * S,
        30 * S + 1,
        60 * S - 1,
        60 * S,
        65 * S - 1,
        65 * S,
        65 * S + 1,
        240 * S - 1,
        240 * S,
        240 * S + 1,
        300 * S - 1,
        300 * S,
        7200 * S,
        -5 * S,
        -1_000 * S,
        1_000_000 * S,
        5 * S,
    ]
};

impl Step {
    /// Reads a step from its eight bytes.
    #[must_use]
    pub fn decode([kind, a, b, c, d, e, twist, at]: [u8; 8]) -> Self {
        let twist = Twist { kind: twist, at };
        let far = b & 1 == 1;
        match kind % 32 {
            0..=6 => Self::Open { host: a, to: b, ports: c, flags: d, twist },
            7..=19 => Self::Talk { of: a, far, says: c, off: d, twist },
            20 | 21 => Self::Error { of: a, far, how: c, twist },
            22..=24 => Self::Fragment { of: a, far, part: c, twist },
            25..=28 => {
                // Endpoints are switched on more often than anything else happens, and rather on
                // than off.
                let kind = match a {
                    0..=67 => 0,
                    68..=91 => 2,
                    92..=107 => 23,
                    // Routes, since each concerns a part of the flows only.
                    108..=115 => 6,
                    other => other % Edit::KINDS,
                };
                let edit = Edit { kind, on: b, to: c, with: d };
                Self::Change { edit, settle: e % 4 != 3 }
            }
            29 | 30 => Self::Clock { tick: a },
            _ => Self::Settle,
        }
    }
}

impl Twist {
    /// Values from this one on are twists.
    pub(crate) const FIRST: u8 = 216;

    /// From this number on the packet comes in by another edge.
    const OTHER_EDGE: u8 = 36;

    /// Whether the packet comes in by another edge.
    pub(crate) fn changes_edge(self) -> bool {
        self.number().is_some_and(|number| number >= Self::OTHER_EDGE)
    }

    /// Whether a bit is flipped.
    pub(crate) fn flips(self) -> bool {
        self.number().is_some_and(|number| (19..=30).contains(&number))
    }

    /// Which twist, if it is one.
    pub(crate) const fn number(self) -> Option<u8> {
        self.kind.checked_sub(Self::FIRST)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change { edit, settle: true } => write!(f, "{edit}; settle"),
            Self::Change { edit, settle: false } => write!(f, "{edit}"),
            Self::Clock { tick } => match *pick(&TICKS, *tick) {
                back @ ..0 => {
                    write!(f, "clock back {:?}", Duration::from_nanos(back.unsigned_abs()))
                }
                on => write!(f, "clock on {:?}", Duration::from_nanos(on.unsigned_abs())),
            },
            Self::Settle => f.write_str("settle"),
            other => write!(f, "{other:?}"),
        }
    }
}
