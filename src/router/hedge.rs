//! How many requests of a service may be hedged: sent to a second instance because the first is slow to answer.

use crate::time::{Duration, Instant};

/// The share of the requests that may be hedged.
const SHARE: f64 = 0.05;

/// For how long an unused permission to hedge lasts.
const MEMORY: Duration = Duration::from_secs(10);

/// A share of the recent requests, so that a service that is slow as a whole gets hardly more load from hedging.
/// One permission is always kept, so that a service with few requests can have one of them hedged.
#[derive(Debug, Clone)]
pub(super) struct HedgeBudget {
    permissions: f64,
    updated: Instant,
}

impl HedgeBudget {
    pub(super) const fn new(now: Instant) -> Self {
        Self { permissions: 1.0, updated: now }
    }

    /// A request's first attempt.
    pub(super) fn deposit(&mut self, now: Instant) {
        self.age(now);
        self.permissions += SHARE;
    }

    /// Takes the permission for one hedge, if there is one.
    pub(super) fn withdraw(&mut self, now: Instant) -> bool {
        self.age(now);
        let granted = self.permissions >= 1.0;
        if granted {
            self.permissions -= 1.0;
        }
        granted
    }

    fn age(&mut self, now: Instant) {
        let elapsed = now.since(self.updated).as_secs_f64();
        self.updated = self.updated.max(now);
        if self.permissions > 1.0 && elapsed > 0.0 {
            self.permissions = 1.0 + (self.permissions - 1.0) * (-elapsed / MEMORY.as_secs_f64()).exp();
        }
    }
}
