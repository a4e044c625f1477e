//! What becomes of a failed attempt: which may be repeated elsewhere, and how many of them.

use crate::time::{Duration, Instant};

/// The most attempts for one request, whatever the budget says.
pub const MAX_ATTEMPTS: usize = 5;

/// How far an attempt had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing of the request reached the instance: no connection, or the link refused the stream.
    Unsent,
    /// The exit said that it did not start the request (`x-mesh-retry: 1`).
    Refused,
    /// The instance may have begun to work on it.
    Sent,
    /// The client has seen the head of an answer.
    Begun,
}

/// Whether a failed attempt may be repeated on another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, and it costs nothing: the instance surely did not start.
    Free,
    /// Yes, if the service's budget allows it.
    Budgeted,
    /// No: the request may have had an effect, or cannot be sent again.
    No,
}

impl Retry {
    /// The rule. `replayable`: the body can be sent again from its first byte, because nothing of it was read
    /// yet, or all that was read is kept.
    pub const fn after(phase: Phase, idempotent: bool, replayable: bool) -> Self {
        match (phase, idempotent, replayable) {
            (Phase::Begun, _, _) | (_, _, false) | (Phase::Sent, false, _) => Self::No,
            (Phase::Unsent | Phase::Refused, _, true) => Self::Free,
            (Phase::Sent, true, true) => Self::Budgeted,
        }
    }
}

/// For how long an unused permission to retry lasts.
const MEMORY: Duration = Duration::from_secs(10);

/// The most permissions that a retry costs.
const MAX_PRICE: f64 = 20.0;

/// How many retries a service may have: a share of its recent requests, and some at any rate, so that retries
/// cannot multiply the load of a service that fails.
///
/// As long as half of the attempts at its instances succeed, a retry costs one permission. The fewer succeed, the
/// less likely is the retry to, and the more it costs: when all replicas fail, next to nothing is repeated. (gRPC's
/// retry throttling, gRFC A6, stops at a share of the attempts. Here each instance counts the same however many
/// attempts it had, so that one that takes many requests with it does not cost them their retries.)
#[derive(Debug, Clone)]
pub(super) struct RetryBudget {
    percent: u32,
    min_per_second: u32,
    deposits: f64,
    reserve: f64,
    updated: Instant,
}

impl RetryBudget {
    pub(super) fn new(percent: u32, min_per_second: u32, now: Instant) -> Self {
        let reserve = f64::from(min_per_second);
        Self { percent, min_per_second, deposits: 0.0, reserve, updated: now }
    }

    /// Follows a changed route, and keeps what was saved.
    pub(super) fn configure(&mut self, percent: u32, min_per_second: u32) {
        self.percent = percent;
        self.min_per_second = min_per_second;
    }

    /// A request's first attempt.
    pub(super) fn deposit(&mut self, now: Instant) {
        self.age(now);
        self.deposits += f64::from(self.percent) / 100.0;
    }

    /// Takes the permissions for one retry, if there are enough. `success` is the share of attempts that succeed.
    pub(super) fn withdraw(&mut self, success: f64, now: Instant) -> bool {
        self.age(now);
        let price = (0.5 / success).clamp(1.0, MAX_PRICE);
        if self.deposits + self.reserve < price {
            return false;
        }
        let saved = self.deposits.min(price);
        self.deposits -= saved;
        self.reserve -= price - saved;
        true
    }

    fn age(&mut self, now: Instant) {
        let elapsed = now.since(self.updated).as_secs_f64();
        self.updated = self.updated.max(now);
        self.deposits *= (-elapsed / MEMORY.as_secs_f64()).exp();
        let rate = f64::from(self.min_per_second);
        self.reserve = (self.reserve + rate * elapsed).min(rate);
    }
}
