//! Time as an argument: nanoseconds since an origin that the caller chooses.

use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since the caller's origin.
///
/// Nothing in this crate asks a clock. A [`FlowTable`](crate::FlowTable) that is shown an earlier
/// time than before works with the latest one that it has seen (INV-clock-steps-harmless), and the
/// last representable instant, 584 years on, is the end of time: every timer has run out then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// How long ago `earlier` was; nothing if it is not earlier.
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

/// Nanoseconds of a duration, the longest ones cut to 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_stop_at_the_ends() {
        assert_eq!(Time(5) + Duration::from_nanos(3), Time(8));
        assert_eq!(Time(u64::MAX) + Duration::MAX, Time(u64::MAX));
        assert_eq!(Time(8).since(Time(5)), Duration::from_nanos(3));
        assert_eq!(Time(5).since(Time(8)), Duration::ZERO);
    }
}
