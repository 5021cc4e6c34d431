//! Time as an argument: nanoseconds since the caller's origin.

use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since the caller's origin.
///
/// This crate reads no clock. If a [`FlowTable`](crate::FlowTable) gets an earlier time than
/// before, it uses the latest that it has seen (INV-clock-steps-harmless). The last representable
/// instant, 584 years on, is the end of time: every timer has run out then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
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
    }
}
