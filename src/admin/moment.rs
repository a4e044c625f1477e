//! One reading of both clocks: turns the core's instants into wall-clock times for humans.

use jiff::Timestamp;

use crate::clock::{self, Clock};
use crate::time::{Duration, Instant};

/// One reading of both clocks. Take one per answer, so that its times agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The monotonic reading.
    pub now: Instant,
    /// The wall clock's reading, since 1970.
    pub unix: Duration,
}

impl Moment {
    /// Reads both clocks.
    pub fn read(clock: &Clock) -> Self {
        Self { now: clock.now(), unix: clock::unix_now() }
    }

    /// The wall-clock time of `instant`.
    pub fn timestamp(&self, instant: Instant) -> Timestamp {
        timestamp(self.unix.saturating_sub(self.now.since(instant)))
    }
}

/// The time `unix` after 1970, to the millisecond; the last representable one when it lies beyond.
pub(super) fn timestamp(unix: Duration) -> Timestamp {
    i64::try_from(unix.as_millis())
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or(Timestamp::MAX)
}
