//! How fast an instance answers: a moving average that jumps up at once and comes down slowly.

use crate::time::{Duration, Instant};

/// How long it takes to forget.
const DECAY: Duration = Duration::from_secs(10);

/// A peak-sensitive exponentially weighted moving average of times to first byte, in seconds. While nothing is
/// observed it drifts to what is usual in its fleet, so that neither luck nor a bad moment lasts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PeakEwma {
    /// With penalties: what decides.
    cost: Option<Average>,
    /// Without them: what the fleet's median is made of, so that one failure does not make failing the norm.
    measured: Option<Average>,
}

#[derive(Debug, Clone, Copy)]
struct Average {
    seconds: f64,
    at: Instant,
}

impl PeakEwma {
    /// What to expect now, in seconds; `prior` is what to expect while nothing is known.
    pub(super) fn get_at(&self, now: Instant, prior: f64) -> f64 {
        self.cost.map_or(prior, |cost| prior + (cost.seconds - prior) * cost.remaining(now))
    }

    /// What was measured, in seconds, if anything was.
    pub(super) fn measured(&self) -> Option<f64> {
        self.measured.map(|measured| measured.seconds)
    }

    /// Takes in a measured time.
    pub(super) fn observe(&mut self, sample: Duration, now: Instant) {
        self.penalise(sample, now);
        self.measured = Some(Average::after(self.measured, sample, now));
    }

    /// Takes in what a failure counts as.
    pub(super) fn penalise(&mut self, cost: Duration, now: Instant) {
        self.cost = Some(Average::after(self.cost, cost, now));
    }

    /// Takes in that it lasted at least this long and was not awaited.
    pub(super) fn observe_at_least(&mut self, elapsed: Duration, now: Instant) {
        if self.cost.is_none_or(|cost| elapsed.as_secs_f64() > cost.seconds) {
            self.penalise(elapsed, now);
        }
    }

    /// Forgets what it cost lately.
    pub(super) fn forgive(&mut self) {
        self.cost = None;
    }
}

impl Average {
    /// Up at once, down slowly.
    fn after(last: Option<Self>, sample: Duration, now: Instant) -> Self {
        let sample = sample.as_secs_f64();
        let seconds = match last {
            Some(last) if sample < last.seconds => sample + (last.seconds - sample) * last.remaining(now),
            Some(_) | None => sample,
        };
        Self { seconds, at: now }
    }

    /// How much of it is still worth something now, 0 to 1.
    fn remaining(&self, now: Instant) -> f64 {
        (-(now.since(self.at).as_secs_f64()) / DECAY.as_secs_f64()).exp()
    }
}
