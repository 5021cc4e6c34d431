//! Which timers a flow has: one of a fixed number of profiles, so that a record names it in a byte.

use core::time::Duration;

use crate::settings::Timers;
use crate::{Settings, State};

/// Which timers a flow has, for all its life (N-15, N-23): those of the gateway or pool behind which it opened. Default: the table's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerProfile {
    /// [`Settings::timers`].
    #[default]
    Table,
    /// [`Timers::LINUX`].
    Linux,
    /// [`Timers::RFC`].
    Rfc,
    /// [`Timers::AZURE`] with this idle timeout of TCP.
    Azure(IdleMinutes),
}

/// The idle timeout of TCP behind Azure's methods: 4 to 120 minutes, 4 by default (N-15, N-23, C-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdleMinutes(u8);

impl IdleMinutes {
    /// The shortest, which is the default.
    pub const MIN: Self = Self(4);
    /// The longest.
    pub const MAX: Self = Self(120);

    /// So many minutes; `None` outside of 4 to 120.
    #[must_use]
    pub const fn new(minutes: u8) -> Option<Self> {
        if minutes < Self::MIN.0 || minutes > Self::MAX.0 { None } else { Some(Self(minutes)) }
    }

    /// The number of minutes.
    #[must_use]
    pub const fn minutes(self) -> u8 {
        self.0
    }
}

impl Default for IdleMinutes {
    fn default() -> Self {
        Self::MIN
    }
}

impl TimerProfile {
    /// Its row among all; Azure's profiles have the rows of their minutes.
    pub(crate) const fn row(self) -> u8 {
        match self {
            Self::Table => 0,
            Self::Linux => 1,
            Self::Rfc => 2,
            Self::Azure(idle) => idle.0,
        }
    }
}

/// The timers of every profile, one row of 16 for each, as flat as the hit path wants them.
pub(crate) struct Clocks(Box<[u64; ROWS << WIDTH]>);

const ROWS: usize = 128;
const WIDTH: u32 = 4;

const _: () = assert!(State::COUNT <= 1 << WIDTH && (IdleMinutes::MAX.0 as usize) < ROWS);

impl Clocks {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut all = Box::new([0; ROWS << WIDTH]);
        let azure = (IdleMinutes::MIN.0..=IdleMinutes::MAX.0).filter_map(IdleMinutes::new);
        let rows = azure.map(|idle| (TimerProfile::Azure(idle), Timers::azure(idle)));
        let others = [
            (TimerProfile::Table, settings.timers),
            (TimerProfile::Linux, Timers::LINUX),
            (TimerProfile::Rfc, Timers::RFC),
        ];
        for (profile, timers) in rows.chain(others) {
            let row = all.get_mut(usize::from(profile.row()) << WIDTH..).unwrap_or_default();
            for (place, timer) in row.iter_mut().zip(timers.by_state()) {
                *place = timer;
            }
        }
        Self(all)
    }

    /// The timer of a state in nanoseconds.
    #[inline(always)]
    pub(crate) fn of(&self, row: u8, state: State) -> u64 {
        let at = usize::from(row) << WIDTH | state.index();
        self.0.get(at).copied().unwrap_or(0)
    }
}

impl Timers {
    /// [`Timers::AZURE`] with this idle timeout of TCP; UDP's is fixed (N-15).
    #[must_use]
    pub const fn azure(idle: IdleMinutes) -> Self {
        let idle = Duration::from_secs((idle.0 as u64).saturating_mul(60));
        Self { established: idle, fin_wait: idle, close_wait: idle, ..Self::AZURE }
    }

    /// The timers of a profile, where the table's own are these.
    #[must_use]
    pub const fn of(profile: TimerProfile, table: &Self) -> Self {
        match profile {
            TimerProfile::Table => *table,
            TimerProfile::Linux => Self::LINUX,
            TimerProfile::Rfc => Self::RFC,
            TimerProfile::Azure(idle) => Self::azure(idle),
        }
    }
}
