//! Timer profiles of flows. There is a fixed number, so a record names its profile in a byte.

use core::time::Duration;

use crate::settings::{HoldDown, Timers};
use crate::table::hold::Kind;
use crate::time::nanoseconds;
use crate::{Settings, State};

/// The timers of a flow, for all its life (N-15, N-23), and the hold-down of its external tuple
/// (N-14).
///
/// They are those of the gateway or pool behind which it opened. Default: the table's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerProfile {
    /// [`Settings::timers`] and [`Settings::hold`].
    #[default]
    Table,
    /// [`Timers::LINUX`] and [`HoldDown::NONE`].
    Linux,
    /// [`Timers::RFC`] and [`HoldDown::RFC`].
    Rfc,
    /// [`Timers::AZURE`] with this idle timeout of TCP, and [`HoldDown::AZURE`].
    Azure(IdleMinutes),
    /// [`Timers::balancer`] with this idle timeout of TCP, and [`HoldDown::BALANCER`].
    Balancer(IdleMinutes),
}

/// The idle timeout of TCP behind Azure's methods: 4 to 120 minutes, 4 by default (N-15, N-23,
/// C-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdleMinutes(u8);

impl IdleMinutes {
    /// The shortest, which is the default.
    pub const MIN: Self = Self(4);
    /// The longest.
    pub const MAX: Self = Self(120);

    /// Makes a timeout of so many minutes; `None` outside 4 to 120.
    #[must_use]
    pub const fn new(minutes: u8) -> Option<Self> {
        if minutes < Self::MIN.0 || minutes > Self::MAX.0 { None } else { Some(Self(minutes)) }
    }

    /// Gives the number of minutes.
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
    /// Gives its row. Azure's profiles have the rows of their minutes, load balancers' come after.
    pub(crate) const fn row(self) -> u8 {
        match self {
            Self::Table => 0,
            Self::Linux => 1,
            Self::Rfc => 2,
            Self::Azure(idle) => idle.0,
            Self::Balancer(idle) => BALANCERS | idle.0,
        }
    }
}

/// The timers of every profile in rows of 16, flat for the fast path.
pub(crate) struct Clocks(Box<[u64; ROWS << WIDTH]>);

const ROWS: usize = 256;
/// The first row of load balancers.
const BALANCERS: u8 = 128;
const WIDTH: u32 = 4;

const _: () = assert!(State::COUNT <= 1 << WIDTH && IdleMinutes::MAX.0 < BALANCERS);

impl Clocks {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut all = Box::new([0; ROWS << WIDTH]);
        let azure = (IdleMinutes::MIN.0..=IdleMinutes::MAX.0).filter_map(IdleMinutes::new);
        let rows = azure.flat_map(|idle| {
            let balancer = (TimerProfile::Balancer(idle), Timers::balancer(idle));
            [(TimerProfile::Azure(idle), Timers::azure(idle)), balancer]
        });
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

    /// Gives the timer of a state in nanoseconds.
    #[inline(always)]
    pub(crate) fn of(&self, row: u8, state: State) -> u64 {
        let at = usize::from(row) << WIDTH | state.index();
        self.0.get(at).copied().unwrap_or(0)
    }
}

impl Timers {
    /// Makes [`Timers::AZURE`] with this idle timeout of TCP. That of UDP is fixed (N-15).
    #[must_use]
    pub const fn azure(idle: IdleMinutes) -> Self {
        let idle = Duration::from_secs((idle.0 as u64).saturating_mul(60));
        Self { established: idle, fin_wait: idle, close_wait: idle, ..Self::AZURE }
    }

    /// Makes the timers of a load balancer with this idle timeout of TCP. After the first FIN, the
    /// port is released in 240 s whatever the timeout (N-14, N-23).
    #[must_use]
    pub const fn balancer(idle: IdleMinutes) -> Self {
        let closing = Duration::from_secs(240);
        Self { fin_wait: closing, close_wait: closing, ..Self::azure(idle) }
    }

    /// Gives the timers of a profile; `table` are the table's own.
    #[must_use]
    pub const fn of(profile: TimerProfile, table: &Self) -> Self {
        match profile {
            TimerProfile::Table => *table,
            TimerProfile::Linux => Self::LINUX,
            TimerProfile::Rfc => Self::RFC,
            TimerProfile::Azure(idle) => Self::azure(idle),
            TimerProfile::Balancer(idle) => Self::balancer(idle),
        }
    }
}

impl HoldDown {
    /// Gives the hold-down of a profile; `table` is the table's own.
    #[must_use]
    pub const fn of(profile: TimerProfile, table: &Self) -> Self {
        match profile {
            TimerProfile::Table => *table,
            TimerProfile::Linux => Self::NONE,
            TimerProfile::Rfc => Self::RFC,
            TimerProfile::Azure(_) => Self::AZURE,
            TimerProfile::Balancer(_) => Self::BALANCER,
        }
    }
}

/// The hold-down times of every profile, in nanoseconds.
pub(crate) struct HoldDownTimes([[u64; Kind::COUNT]; 5]);

impl HoldDownTimes {
    pub(crate) fn new(settings: &Settings) -> Self {
        let idle = IdleMinutes::MIN;
        let profiles = [
            TimerProfile::Table,
            TimerProfile::Linux,
            TimerProfile::Rfc,
            TimerProfile::Azure(idle),
            TimerProfile::Balancer(idle),
        ];
        Self(profiles.map(|profile| {
            let HoldDown { fin, reset, half_open, idle, datagram } =
                HoldDown::of(profile, &settings.hold);
            [fin, reset, half_open, idle, datagram].map(nanoseconds)
        }))
    }

    /// Gives the hold-down of a tuple after a flow with the timers of this row.
    #[inline]
    pub(crate) fn of(&self, row: u8, kind: Kind) -> u64 {
        let profile = match row {
            0..=2 => usize::from(row),
            3..BALANCERS => 3,
            BALANCERS.. => 4,
        };
        let hold_down_times = self.0.get(profile);
        hold_down_times
            .and_then(|hold_down_times| hold_down_times.get(kind as usize))
            .copied()
            .unwrap_or(0)
    }
}
