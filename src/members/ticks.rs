//! A moment in four bytes: in sixteenths of a second, up to four years before or after the origin of time.

use crate::time::{Duration, Instant};

const NANOS: i128 = 1_000_000_000 / 16;

/// A moment, rounded down: what it dates is never younger than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks(i32);

impl Ticks {
    /// The moment `age` before `now`, which may lie before the origin.
    pub(super) fn at(now: Instant, age: Duration) -> Self {
        let nanos = i128::from(now.as_nanos()) - i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
        Self(i32::try_from(nanos.div_euclid(NANOS)).unwrap_or(if nanos < 0 { i32::MIN } else { i32::MAX }))
    }

    /// The time that has passed since.
    pub(super) fn age(self, now: Instant) -> Duration {
        let nanos = i128::from(now.as_nanos()) - i128::from(self.0) * NANOS;
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }

    /// The moment, or the origin if it lies before that.
    pub(super) fn instant(self) -> Instant {
        Instant::from_nanos(u64::try_from(i128::from(self.0) * NANOS).unwrap_or(0))
    }
}
