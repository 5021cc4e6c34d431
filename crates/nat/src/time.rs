//! Time as an argument: nanoseconds since the caller's origin.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A point in time: nanoseconds since the caller's origin.
///
/// This crate reads no clock. If a [`FlowTable`](crate::FlowTable) gets an earlier time than
/// before, it uses the latest that it has seen (INV-clock-steps-harmless). The last representable
/// instant, 584 years on, is the end of time: every timer has run out then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Makes the instant so many seconds after the origin.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Makes the instant so many milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }

    /// Makes the instant so many microseconds after the origin.
    #[must_use]
    pub const fn from_micros(microseconds: u64) -> Self {
        Self(microseconds.saturating_mul(1_000))
    }

    /// Makes the instant so many nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Gives the time since the origin.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Gives the time since `earlier`; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Stops at the last representable instant.
impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, duration: Duration) {
        self.0 = self.0.saturating_add(nanoseconds(duration));
    }
}

/// Stops at the origin.
impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(duration)))
    }
}

/// Gives what [`since`](Time::since) gives.
impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// An instant so long after the origin, as a clock with [`Instant::elapsed`](std::time::Instant)
/// counts.
impl From<Duration> for Time {
    fn from(elapsed: Duration) -> Self {
        Self(nanoseconds(elapsed))
    }
}

/// Gives the nanoseconds of a duration, at most 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_arithmetic_saturates() {
        assert_eq!(Time(5) + Duration::from_nanos(3), Time(8));
        assert_eq!(Time(u64::MAX) + Duration::MAX, Time(u64::MAX));
        assert_eq!(Time(8).since(Time(5)), Duration::from_nanos(3));
        assert_eq!(Time(5).since(Time(8)), Duration::ZERO);
        assert_eq!(Time(8) - Time(5), Duration::from_nanos(3));
        assert_eq!(Time(5) - Time(8), Duration::ZERO);
        assert_eq!(Time(8) - Duration::from_nanos(3), Time(5));
        assert_eq!(Time(8) - Duration::MAX, Time(0));
        assert_eq!(Time::from_secs(u64::MAX), Time(u64::MAX));
    }

    #[test]
    fn units_give_the_same_instants() {
        assert_eq!(Time::from_secs(2), Time::from_millis(2_000));
        assert_eq!(Time::from_millis(3), Time::from_micros(3_000));
        assert_eq!(Time::from_micros(4), Time::from_nanos(4_000));
        assert_eq!(Time::from(Duration::from_micros(4)), Time(4_000));
        let mut time = Time::from_secs(1);
        time += Duration::from_millis(500);
        assert_eq!(time.elapsed(), Duration::from_millis(1_500));
    }
}
