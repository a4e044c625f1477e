//! The node's clocks: the only place that reads them.

use std::time::SystemTime;

use crate::time::{Duration, Instant};

/// Turns the system's monotonic clock into the core's [`Instant`], whose origin is the process start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// The time since the origin.
    pub fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }

    /// The system's instant that corresponds to `instant`, for timers.
    pub fn at(&self, instant: Instant) -> std::time::Instant {
        self.origin + Duration::from_nanos(instant.as_nanos())
    }
}

/// Wall-clock time since 1970; shown to humans and used for epochs, never for decisions about liveness.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Time since boot, the time asleep included; for deadlines that a suspend must not stretch.
pub fn since_boot() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let id = rustix::time::ClockId::Monotonic;
    Duration::try_from(rustix::time::clock_gettime(id)).unwrap_or_default()
}
