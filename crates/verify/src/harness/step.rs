//! The steps of a sequence: opening, talking, errors, fragments, edits and the clock. Every step is
//! eight bytes that are decoded by position, so property tests and fuzzers share one encoding and
//! shrink alike.

use core::fmt;
use core::time::Duration;

use super::edit::Edit;
use super::pick;

/// One step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A packet that may open a flow.
    Open {
        /// The host.
        host: u8,
        /// The destination.
        to: u8,
        /// Protocol and ports.
        ports: u8,
        /// TCP flags.
        flags: u8,
        /// What is done to the packet before it enters.
        twist: Twist,
    },
    /// A packet of an earlier conversation, from its initiator or from the remote end.
    Talk {
        /// Which conversation, counted back from the latest.
        of: u8,
        /// Whether the remote end sends it.
        far: bool,
        /// The segment; 0 is the next one of a regular connection.
        says: u8,
        /// How far the sequence number is off; 0 is exact.
        off: u8,
        /// What is done to the packet before it enters.
        twist: Twist,
    },
    /// An ICMP error about a packet of a conversation.
    Error {
        /// Which conversation.
        of: u8,
        /// Whether the remote end, or a router near it, reports.
        far: bool,
        /// Type, length of the quote, and whether the quote is right.
        how: u8,
        /// What is done to the packet before it enters.
        twist: Twist,
    },
    /// A fragment of a datagram of a conversation.
    Fragment {
        /// Which conversation.
        of: u8,
        /// Whether the remote end sends it.
        far: bool,
        /// Which datagram, and which part of it.
        part: u8,
        /// What is done to the packet before it enters.
        twist: Twist,
    },
    /// An edit and a commit that the data plane takes, drained at once or later.
    Change {
        /// The edit.
        edit: Edit,
        /// Whether everything that the change closes is closed before the next step.
        drain: bool,
    },
    /// The clock moves.
    Clock {
        /// By how much: a place in `TICKS`.
        tick: u8,
    },
    /// Everything that waits is taken.
    Drain,
}

/// What is done to a packet before it enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twist {
    /// The kind; most values do nothing.
    pub kind: u8,
    /// The position.
    pub at: u8,
}

/// Steps of the clock: nothing, a little, around every timer, jumps, and back.
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
    /// Decodes a step from its eight bytes.
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
                // Endpoints are edited more often than anything else, and rather enabled than
                // disabled.
                let kind = match a {
                    0..=67 => 0,
                    68..=91 => 2,
                    92..=107 => 23,
                    // Routes, since each concerns a part of the flows only.
                    108..=115 => 6,
                    other => other % Edit::KINDS,
                };
                let edit = Edit { kind, on: b, to: c, with: d };
                Self::Change { edit, drain: e % 4 != 3 }
            }
            29 | 30 => Self::Clock { tick: a },
            _ => Self::Drain,
        }
    }
}

impl Twist {
    /// Values from this one on are twists.
    pub(crate) const FIRST: u8 = 216;

    /// From this number on the packet enters by another edge.
    const OTHER_EDGE: u8 = 36;

    /// Returns whether the packet enters by another edge.
    pub(crate) fn changes_edge(self) -> bool {
        self.number().is_some_and(|number| number >= Self::OTHER_EDGE)
    }

    /// Returns whether a bit is flipped.
    pub(crate) fn flips(self) -> bool {
        self.number().is_some_and(|number| (19..=30).contains(&number))
    }

    /// Returns which twist it is, if it is one.
    pub(crate) const fn number(self) -> Option<u8> {
        self.kind.checked_sub(Self::FIRST)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change { edit, drain: true } => write!(f, "{edit}; drain"),
            Self::Change { edit, drain: false } => write!(f, "{edit}"),
            Self::Clock { tick } => match *pick(&TICKS, *tick) {
                back @ ..0 => {
                    write!(f, "clock back {:?}", Duration::from_nanos(back.unsigned_abs()))
                }
                on => write!(f, "clock on {:?}", Duration::from_nanos(on.unsigned_abs())),
            },
            Self::Drain => f.write_str("drain"),
            other => write!(f, "{other:?}"),
        }
    }
}
