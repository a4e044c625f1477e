//! Noticing that the machine was asleep, from two clocks of which only one goes on meanwhile.

#[cfg(test)]
mod tests;

use crate::clock::{Clock, since_boot};
use crate::time::Duration;

/// The two clocks are read one after the other, so that a busy machine sees them drift apart a little.
const LEAST: Duration = Duration::from_millis(500);

/// How far the clock that counts sleep is ahead of the one that does not.
#[derive(Debug)]
pub(super) struct Sleep {
    ahead: Duration,
}

impl Sleep {
    pub(super) fn watch(clock: &Clock) -> Self {
        Self { ahead: ahead(since_boot(), awake(clock)) }
    }

    /// For how long the machine was asleep since the last call, if it was.
    pub(super) fn slept(&mut self, clock: &Clock) -> Option<Duration> {
        // In this order a pause between the two readings looks like time awake.
        let with_sleep = since_boot();
        self.compare(with_sleep, awake(clock))
    }

    fn compare(&mut self, with_sleep: Duration, awake: Duration) -> Option<Duration> {
        let ahead = ahead(with_sleep, awake);
        let slept = ahead.saturating_sub(self.ahead);
        if slept < LEAST {
            return None;
        }
        self.ahead = ahead;
        Some(slept)
    }
}

fn ahead(with_sleep: Duration, awake: Duration) -> Duration {
    with_sleep.saturating_sub(awake)
}

fn awake(clock: &Clock) -> Duration {
    Duration::from_nanos(clock.now().as_nanos())
}
