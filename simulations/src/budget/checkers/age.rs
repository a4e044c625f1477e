//! The age of the value while somebody could write: it stays below 8 hours.

use meshnode::time::{Duration, Instant};

use super::Breach;
use crate::budget::edge::Look;

/// The most, by the promise.
const MAX_AGE: Duration = Duration::from_secs(8 * 3_600);

/// How old the value is, not counting the time before somebody could write again.
#[derive(Debug, Default)]
pub(super) struct Age {
    able_since: Instant,
    stored_at: Instant,
    oldest: Duration,
}

impl Age {
    pub(super) fn look(&mut self, at: Instant, look: Look) {
        if !look.could_write {
            self.able_since = at;
        }
        // A value that somebody deleted was the last one none the less.
        self.stored_at = self.stored_at.max(look.stored_at.unwrap_or(Instant::ORIGIN));
        let since = self.stored_at.max(self.able_since);
        self.oldest = self.oldest.max(at.since(since));
    }

    pub(super) const fn oldest(&self) -> Duration {
        self.oldest
    }
}

/// Whether it became too old.
pub(super) fn check(oldest: Duration) -> Option<Breach> {
    (oldest >= MAX_AGE).then(|| Breach {
        promise: "age",
        text: format!("the value was {:.1} h old", oldest.as_secs_f64() / 3_600.0),
    })
}
