//! How fast an instance answers: a moving average that jumps up at once and comes down slowly.

use crate::time::{Duration, Instant};

/// How long it takes to forget.
const DECAY: Duration = Duration::from_secs(10);

/// A peak-sensitive exponentially weighted moving average of times to first byte, in seconds. While nothing is
/// observed it drifts to the median of its fleet, so that neither luck nor a bad moment lasts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PeakEwma {
    last: Option<(f64, Instant)>,
}

impl PeakEwma {
    /// What to expect now; `median` is what the fleet does.
    pub(super) fn get_at(&self, now: Instant, median: f64) -> f64 {
        match self.last {
            Some((value, at)) => median + (value - median) * remaining(at, now),
            None => median,
        }
    }

    /// What was observed last, if anything was.
    pub(super) fn observed(&self) -> Option<f64> {
        self.last.map(|(value, _)| value)
    }

    /// Takes in a measured time.
    pub(super) fn observe(&mut self, sample: Duration, now: Instant) {
        let sample = sample.as_secs_f64();
        let value = match self.last {
            Some((value, at)) if sample < value => sample + (value - sample) * remaining(at, now),
            Some(_) | None => sample,
        };
        self.last = Some((value, now));
    }

    /// Takes in that it lasted at least this long and was not awaited.
    pub(super) fn observe_at_least(&mut self, elapsed: Duration, now: Instant) {
        if self.last.is_none_or(|(value, _)| elapsed.as_secs_f64() > value) {
            self.observe(elapsed, now);
        }
    }

    /// Starts again from the fleet's median.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

fn remaining(at: Instant, now: Instant) -> f64 {
    (-(now.since(at).as_secs_f64()) / DECAY.as_secs_f64()).exp()
}
