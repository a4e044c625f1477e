//! When the checks of one service run: jittered, soon after the start, and never two at the same time.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::time::{Duration, Instant};

/// The first check comes within this time, so that a node is soon of use.
const FIRST_WITHIN: Duration = Duration::from_millis(100);

/// A result that has not come by then never comes. Longer than any time-out that can be configured.
pub(super) const RESULT_WITHIN: Duration = Duration::from_secs(90);

/// When the next check is due, and whether one is running.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    due: Instant,
    running: Option<Running>,
}

#[derive(Debug, Clone)]
struct Running {
    lost_at: Instant,
    /// It was started for an earlier target of this name.
    void: bool,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Start a check.
    Check,
    /// The running check is lost; it counts as failed.
    Lost,
}

impl Schedule {
    pub(super) fn start(now: Instant, rng: &mut ChaCha8Rng) -> Self {
        Self { due: now + FIRST_WITHIN.mul_f64(rng.random_range(0.0..1.0)), running: None }
    }

    /// Starts again for another target of the same name; the result of a running check will not count.
    pub(super) fn restart(&mut self, now: Instant, rng: &mut ChaCha8Rng) {
        self.due = Self::start(now, rng).due;
        if let Some(running) = &mut self.running {
            running.void = true;
        }
    }

    /// Brings the next check forward when the interval became shorter.
    pub(super) fn shorten(&mut self, interval: Duration, now: Instant) {
        self.due = self.due.min(now + interval);
    }

    /// When [`take_due`](Self::take_due) has something to say.
    pub(super) fn deadline(&self) -> Instant {
        self.running.as_ref().map_or(self.due, |running| running.lost_at)
    }

    /// What is due now. A check is taken as started, and the next one is due an interval (+/- 10 %) later.
    pub(super) fn take_due(&mut self, interval: Duration, now: Instant, rng: &mut ChaCha8Rng) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        if let Some(running) = self.running.take() {
            return (!running.void).then_some(Due::Lost);
        }
        self.due = now + interval.mul_f64(rng.random_range(0.9..1.1));
        self.running = Some(Running { lost_at: now + RESULT_WITHIN, void: false });
        Some(Due::Check)
    }

    /// A result came; whether it counts.
    pub(super) fn finish(&mut self) -> bool {
        self.running.take().is_some_and(|running| !running.void)
    }
}
